#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
import io
import sys

import hooking

for arguments, code in ((("no",), 2), (("no", 1), 1), (("no", 0), 0), (("no", 77), 77)):
    sys.stderr = io.StringIO()
    try:
        hooking.exit_hook(*arguments)
    except SystemExit as end:
        assert end.code == code, end.code
    else:
        assert False, "it went on"
    said = sys.stderr.getvalue()
    sys.stderr = sys.__stderr__
    assert said == "no\n", said
try:
    hooking.exit_hook("by its name", return_code=1)
except SystemExit as end:
    assert end.code == 1
