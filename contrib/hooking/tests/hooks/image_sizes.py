#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Looks at each image of the guest, and refuses the start with a message."""
import os
import subprocess

import hooking
from vdsm.common.units import GiB

limit = os.environ.get("image_sizes")
if limit is not None:
    domxml = hooking.read_domxml()
    for disk in domxml.getElementsByTagName("disk"):
        for source in disk.getElementsByTagName("source"):
            path = source.getAttribute("file")
            process = subprocess.Popen(["stat", "-c", "%s", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            out, err = process.communicate()
            if process.returncode:
                hooking.exit_hook("image_sizes: %s" % err.decode("utf-8", "replace").strip())
            if int(out) > int(limit) * GiB:
                hooking.exit_hook("image_sizes: %s has more than %s GiB" % (path, limit))
