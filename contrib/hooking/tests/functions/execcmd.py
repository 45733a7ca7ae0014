#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
import os
import signal
import sys

import hooking


def sh(script, **options):
    return hooking.execCmd(["/bin/sh", "-c", script], **options)


assert hooking.execCmd(["echo", "a b"]) == (0, [b"a b"], [])
assert sh("printf 'a\\nb\\n\\nc'; echo err >&2; exit 3") == (3, [b"a", b"b", b"", b"c"], [b"err"])
assert sh("printf 'a\\nb\\n'; printf 'e\\n' >&2", raw=True) == (0, b"a\nb\n", b"e\n")
assert sh("printf '\\377'", raw=True) == (0, b"\xff", b"")
assert sh("true", raw=True) == (0, b"", b"")
assert sh("kill -TERM $$") == (-signal.SIGTERM, [], [])
assert sh("cat", data=b"in\xff", raw=True)[1] == b"in\xff"
assert sh("cat", data="caf\xe9", raw=True)[1] == "caf\xe9".encode("utf-8")
assert sh("cat") == (0, [], []), "standard input ends"
assert sh("true", data=b"x" * 1000000)[0] == 0
big = sh("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2", raw=True)
assert (len(big[1]), len(big[2])) == (300000, 300000)
assert sh("pwd", cwd="/") == (0, [b"/"], [])
assert sh("echo $A$HOOKMUX_EVENT", env={"A": "x"}) == (0, [b"x"], [])
assert sh("echo $HOOKMUX_EVENT")[1] == [os.environ["HOOKMUX_EVENT"].encode()]
assert hooking.execCmd(("echo", b"tuple"), False, None, None, True)[1] == b"tuple\n"
assert hooking.execCmd("true") == (0, [], [])
for missing in (["/no/such/program"], ["no-such-program-here"]):
    try:
        hooking.execCmd(missing)
    except OSError:
        pass
    else:
        assert False, missing
assert int(sh("nice", nice=7)[1][0]) == os.nice(0) + 7
if os.path.exists("/usr/bin/setsid"):
    own = "import os; print(os.getsid(0) == os.getpid())"
    assert hooking.execCmd([sys.executable, "-c", own], setsid=True)[1] == [b"True"]
    assert hooking.execCmd([sys.executable, "-c", own])[1] == [b"False"]
if os.path.exists("/usr/bin/ionice"):
    assert sh("ionice -p $$", ioclass=2, ioclassdata=6)[1] == [b"best-effort: prio 6"]
    assert sh("ionice -p $$", ioclass=3)[1] == [b"idle"]
if os.geteuid() == 0:
    # root needs no sudo
    assert sh("id -u", sudo=True) == (0, [b"0"], [])

processors = os.sched_getaffinity(0)
if len(processors) > 1:
    one = {min(processors)}
    os.sched_setaffinity(0, one)
    count = [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"]
    assert hooking.execCmd(count)[1] == [str(len(processors)).encode()]
    assert hooking.execCmd(count, resetCpuAffinity=False)[1] == [b"1"]
    os.sched_setaffinity(0, processors)


class Logger(object):
    lines = []

    def debug(self, text, *arguments):
        self.lines.append(text % arguments)


sh("echo secret >&2; exit 4", printable=["sh", "***"], execCmdLogger=Logger())
assert "***" in Logger.lines[0] and "secret" not in Logger.lines[0], Logger.lines
assert "exit status 4" in Logger.lines[1], Logger.lines

# an exception ends the program as well
import subprocess  # noqa: E402

started = []
popen = subprocess.Popen


class Interrupted(popen):
    def communicate(self, *arguments):
        started.append(self)
        raise KeyboardInterrupt


subprocess.Popen = Interrupted
try:
    hooking.execCmd(["sleep", "300"])
except KeyboardInterrupt:
    pass
assert started[0].returncode == -signal.SIGKILL
