#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
import os
import sys
import traceback

import hooking

if os.environ.get("unmap", "").lower() == "on":
    try:
        domxml = hooking.read_domxml()
        for disk in domxml.getElementsByTagName("disk"):
            targets = disk.getElementsByTagName("target")
            if targets and targets[0].getAttribute("bus") == "scsi":
                disk.getElementsByTagName("driver")[0].setAttribute("discard", "unmap")
        hooking.write_domxml(domxml)
    except:  # noqa: E722
        hooking.exit_hook("unmap: [unexpected error]: %s\n" % traceback.format_exc())
        sys.exit(2)
