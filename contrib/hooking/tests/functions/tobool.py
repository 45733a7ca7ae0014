#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
import hooking

for value in (True, "true", "TRUE", "True", "1", " 7 ", "-1", 1, 2.5, b"1"):
    assert hooking.tobool(value) is True, value
for value in (None, False, "false", "", "0", 0, "yes", "on", "y", "2.5", [], {}, b"true", float("nan")):
    assert hooking.tobool(value) is False, value
