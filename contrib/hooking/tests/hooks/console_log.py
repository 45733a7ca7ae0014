#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Logs much, in f-strings and with toprettyxml, and matches the guest's name."""
import os
import re

from vdsm.hook import hooking


def main():
    console_log = os.environ.get("console_log")
    pattern = os.environ.get("console_log_guests")
    hooking.log(f'console_log: "{console_log}"')
    domxml = hooking.read_domxml()
    name = domxml.getElementsByTagName("name")[0].firstChild.nodeValue
    if not (console_log and hooking.tobool(console_log)) and not (pattern and re.search(pattern, name)):
        return
    for serial in domxml.getElementsByTagName("serial")[:1]:
        hooking.log(f"before: [{serial.toprettyxml()}]")
        log = domxml.createElement("log")
        log.setAttribute("file", f"/var/log/{name}.log")
        serial.appendChild(log)
        hooking.log(f"after: [{serial.toprettyxml()}]")
    hooking.write_domxml(domxml)


if __name__ == "__main__":
    main()
