#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""One script for two events by a relative link, constants, and a property that is read as a boolean."""
import os
import sys

import hooking
from vdsm.common import constants

CONFIGURATION = os.path.join(constants.SYSCONF_PATH, "host_metrics", "host_metrics.conf")

if hooking.tobool(os.environ.get("host_metrics", False)):
    domxml = hooking.read_domxml()
    (devices,) = domxml.getElementsByTagName("devices")
    devices.appendChild(domxml.createComment(" see %s " % CONFIGURATION))
    hooking.write_domxml(domxml)
    sys.exit(0)
