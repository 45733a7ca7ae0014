# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The functions that hook scripts in vdsm's style use.

Modules are imported where they are needed: each costs a start of a guest some milliseconds.
"""

import os
import sys
import urllib.parse  # noqa: F401  hooks read `urllib.parse` after an `import urllib`

__all__ = [
    "dump_vm_launch_flags_to_file",
    "execCmd",
    "exit_hook",
    "load_vm_launch_flags_from_file",
    "log",
    "read_domxml",
    "read_json",
    "tobool",
    "write_domxml",
    "write_json",
]

# the processors that this hook may use when it begins
_PROCESSORS = os.sched_getaffinity(0)


def log(message):
    """Writes a line to standard error: it goes to the record and the journal."""
    if isinstance(message, bytes):
        message = message.decode("utf-8", "backslashreplace")
    sys.stderr.write("%s\n" % (message,))
    # before 3.9, Python keeps it back
    sys.stderr.flush()


def exit_hook(message, return_code=2):
    """Ends the script with a message. 2: no further hook runs; 1: the others still do."""
    log(message)
    sys.exit(return_code)


def tobool(value):
    """Reads a property: true (in any case) and numbers but 0 are True, all else is False."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() == "true":
        return True
    try:
        return bool(int(value))
    except (TypeError, ValueError, OverflowError):
        return False


def read_domxml():
    """Returns the document as a minidom Document.

    KeyError: the event has no document. ExpatError: the document is empty, as at before_vdsm_start.
    """
    return _parse(_read("_hook_domxml"))


def write_domxml(document):
    """Replaces the document, unless it is still the same: then its file stays as it is."""
    text = document.toxml(encoding="utf-8")
    if not _is_still(document, text):
        _write("_hook_domxml", text)


def read_json():
    """Returns what is in $_hook_json. No event that libvirt can fire has it: KeyError."""
    import json

    if "_hook_json" not in os.environ:
        log("hooking.read_json: libvirt has no event with a JSON document (_hook_json is not set)")
    return json.loads(_read("_hook_json").decode("utf-8"))


def write_json(content):
    """Replaces what is in $_hook_json."""
    import json

    _write("_hook_json", json.dumps(content).encode("ascii"))


def execCmd(
    command,
    sudo=False,
    cwd=None,
    data=None,
    raw=False,
    printable=None,
    env=None,
    nice=None,
    ioclass=None,
    ioclassdata=None,
    setsid=False,
    execCmdLogger=None,
    resetCpuAffinity=True,
):
    """Runs a program, and returns its exit status, standard output and standard error, in bytes.

    raw: both outputs as they are; else as lists of lines. data: its standard input. sudo: by sudo,
    unless this is root. printable: what is logged in place of the command. A signal is a negative
    status. OSError: the program can't be started.
    """
    import subprocess

    words = [command] if isinstance(command, (str, bytes)) else list(command)
    if ioclass is not None:
        level = [] if ioclassdata is None else ["-n", str(ioclassdata)]
        words = ["ionice", "-c", str(ioclass)] + level + words
    if nice is not None:
        words = ["nice", "-n", str(nice)] + words
    if setsid:
        words = ["setsid"] + words
    if sudo and os.geteuid() != 0:
        words = ["sudo", "-n"] + words
    if isinstance(data, str):
        data = data.encode("utf-8")
    if execCmdLogger is None and "logging" in sys.modules:
        execCmdLogger = sys.modules["logging"].getLogger()
    if execCmdLogger is not None:
        execCmdLogger.debug("%s (cwd %s)", words if printable is None else printable, cwd)
    prepare = None
    if resetCpuAffinity and os.sched_getaffinity(0) != _PROCESSORS:
        # the script has chosen other processors for itself
        def prepare():
            os.sched_setaffinity(0, _PROCESSORS)

    process = subprocess.Popen(
        words,
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=prepare,
    )
    try:
        out, err = process.communicate(data)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if execCmdLogger is not None:
        execCmdLogger.debug("exit status %d, stderr %r", process.returncode, err)
    if not raw:
        out, err = out.splitlines(), err.splitlines()
    return process.returncode, out, err


def load_vm_launch_flags_from_file(vm_id):
    """Returns the flags that a hook has written for a guest; 0 where none has."""
    try:
        with open(_launch_flags(vm_id)) as flags:
            return int(flags.readline())
    except FileNotFoundError:
        return 0


def dump_vm_launch_flags_to_file(vm_id, flags):
    """Writes launch flags of a guest to a file, for other hooks. libvirt takes none from hooks."""
    path = _launch_flags(vm_id)
    log("hooking: launch flags %s have no effect: libvirt takes none from hooks" % (flags,))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(str(flags))


def _launch_flags(vm_id):
    from vdsm.common import constants

    if os.sep in vm_id or vm_id in ("", os.curdir, os.pardir):
        raise ValueError("not a guest's id: %r" % (vm_id,))
    return os.path.join(constants.P_VDSM_RUN, vm_id, "launchflags")


def _read(variable):
    with open(os.environ[variable], "rb") as file:
        return file.read()


def _write(variable, content):
    with open(os.environ[variable], "wb") as file:
        file.write(content)


def _parse(content):
    from xml.dom import minidom

    return minidom.parseString(content.decode("utf-8"))


def _is_still(document, text):
    """Tells whether the file has this document, in whatever form."""
    from xml.parsers.expat import ExpatError

    try:
        there = _parse(_read("_hook_domxml"))
    except (ExpatError, UnicodeDecodeError, FileNotFoundError):
        return False
    if document.nodeType != document.DOCUMENT_NODE:
        there = there.documentElement
    return there.toxml(encoding="utf-8") == text
