#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Has a helper beside it, which isn't executable."""
import os
import sys

import bridge_port_helper
import hooking

if "bridge_port" in os.environ:
    vm_id = os.environ["vmId"]
    flags = hooking.load_vm_launch_flags_from_file(vm_id)
    bridge_port_helper.run(["echo", os.environ["bridge_port"]])
    hooking.log("%s: %d, %s" % (vm_id, flags, bridge_port_helper.MARK % vm_id))
    if not hooking.tobool(os.environ["bridge_port"]):
        hooking.exit_hook("no port", return_code=0)
    sys.exit(0)
