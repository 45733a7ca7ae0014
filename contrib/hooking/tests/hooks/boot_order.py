#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""By the long name, and with status 1."""
import os
import sys

from vdsm.hook import hooking

wanted = os.environ.get("boot_order")
if wanted:
    document = hooking.read_domxml()
    for device in document.getElementsByTagName("hostdev"):
        address = device.getElementsByTagName("address")[0]
        if address.getAttribute("bus") == wanted:
            boot = document.createElement("boot")
            boot.setAttribute("order", "1")
            device.appendChild(boot)
            hooking.write_domxml(document)
            break
    else:
        sys.stderr.write("boot_order: no device at bus %s\n" % wanted)
        sys.exit(1)
