#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
import sys
import urllib

import hooking
import vdsm.hook.hooking
from vdsm.hook import hooking as again

assert hooking is again is vdsm.hook.hooking
assert sys.modules["hooking"] is sys.modules["vdsm.hook.hooking"] is hooking
# a hook that vdsm ships imports `urllib` alone
assert urllib.parse.urlsplit("https://host/x.iso").path == "/x.iso"
assert "xml.dom.minidom" not in sys.modules and "subprocess" not in sys.modules, "slow to import"
for name in hooking.__all__:
    assert callable(getattr(hooking, name)) and getattr(hooking, name).__doc__, name
