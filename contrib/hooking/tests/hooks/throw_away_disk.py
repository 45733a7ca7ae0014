#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Runs a program, with its output raw, and is there at the end as well: by its directory's name."""
import os
import sys

import hooking

EVENT = os.path.basename(os.path.dirname(os.path.abspath(__file__)))


def run(command):
    retcode, out, err = hooking.execCmd(command, raw=True)
    if retcode != 0:
        sys.stderr.write("throw_away_disk: %s: %s, err = %s\n" % (command, out, err))
        sys.exit(2)


if "throw_away_disk" in os.environ:
    size, path = os.environ["throw_away_disk"].split(",")
    if EVENT == "after_vm_destroy":
        os.unlink(path)
    else:
        run(["truncate", "-s", size, path])
        domxml = hooking.read_domxml()
        (devices,) = domxml.getElementsByTagName("devices")
        disk = domxml.createElement("disk")
        source = domxml.createElement("source")
        source.setAttribute("file", path)
        disk.appendChild(source)
        devices.appendChild(disk)
        hooking.write_domxml(domxml)
