#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A property of several words; a new element where the document may have it already."""
import json
import os

import hooking


def child(document, parent, name):
    found = parent.getElementsByTagName(name)
    if found:
        return found[0]
    element = document.createElement(name)
    parent.appendChild(element)
    return element


if "serial_number" in os.environ:
    document = hooking.read_domxml()
    sysinfo = child(document, document.documentElement, "sysinfo")
    sysinfo.setAttribute("type", "smbios")
    for name, value in sorted(json.loads(os.environ["serial_number"]).items()):
        entry = document.createElement("entry")
        entry.setAttribute("name", name)
        entry.appendChild(document.createTextNode(value))
        child(document, sysinfo, "system").appendChild(entry)
    child(document, child(document, document.documentElement, "os"), "smbios").setAttribute("mode", "sysinfo")
    hooking.write_domxml(document)
