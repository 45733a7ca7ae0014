#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Uses urllib.parse without an import of its own."""
import os
import traceback
import urllib

import hooking

try:
    if "remote_iso" in os.environ:
        parsed = urllib.parse.urlsplit(os.environ["remote_iso"])
        domxml = hooking.read_domxml()
        source = domxml.createElement("source")
        source.setAttribute("protocol", parsed.scheme)
        source.setAttribute("name", parsed.path)
        disk = domxml.createElement("disk")
        disk.setAttribute("device", "cdrom")
        disk.appendChild(source)
        domxml.getElementsByTagName("devices")[0].appendChild(disk)
        hooking.write_domxml(domxml)
except Exception:
    hooking.exit_hook("remote_iso: %s" % traceback.format_exc())
