#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
import io
import os
import sys
import tempfile

import hooking

assert "_hook_json" not in os.environ
sys.stderr = io.StringIO()
try:
    hooking.read_json()
except KeyError as error:
    assert error.args == ("_hook_json",)
else:
    assert False
said = sys.stderr.getvalue()
sys.stderr = sys.__stderr__
assert "_hook_json is not set" in said, said

with tempfile.NamedTemporaryFile() as file:
    os.environ["_hook_json"] = file.name
    for content in ({"a": [1, None, True]}, [{"vm_id": "x"}], {}, "caf\xe9 \u65e5"):
        hooking.write_json(content)
        assert hooking.read_json() == content
    with open(file.name, "rb") as there:
        assert there.read() == b'"caf\\u00e9 \\u65e5"'
    with open(file.name, "wb") as there:
        there.write("{\"k\": \"\xe9\"}".encode("utf-8"))
    assert hooking.read_json() == {"k": "\xe9"}
