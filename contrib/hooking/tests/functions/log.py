#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
import io
import sys

import hooking


class Stream(io.StringIO):
    flushed = 0

    def flush(self):
        self.flushed += 1


sys.stderr = Stream()
hooking.log("first")
hooking.log("caf\xe9 \u65e5")
hooking.log("two\nlines")
hooking.log("")
hooking.log(5)
hooking.log(b"bytes \xc3\xa9 \xff")
hooking.log("100 %s")
said, flushed = sys.stderr.getvalue(), sys.stderr.flushed
sys.stderr = sys.__stderr__
assert said == "first\ncaf\xe9 \u65e5\ntwo\nlines\n\n5\nbytes \xe9 \\xff\n100 %s\n", repr(said)
assert flushed >= 7
# what no locale can say ends no hook
hooking.log("caf\xe9 \ud800")
