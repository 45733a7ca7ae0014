#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A list in JSON, and a namespace."""
import json
import os
import traceback

import hooking

if "more_arguments" in os.environ:
    try:
        domxml = hooking.read_domxml()
        arguments = json.loads(os.environ["more_arguments"])
        domain = domxml.getElementsByTagName("domain")[0]
        domain.setAttribute("xmlns:qemu", "http://libvirt.org/schemas/domain/qemu/1.0")
        line = domxml.createElement("qemu:commandline")
        for argument in arguments:
            arg = domxml.createElement("qemu:arg")
            arg.setAttribute("value", argument)
            line.appendChild(arg)
        domain.appendChild(line)
        hooking.write_domxml(domxml)
    except:  # noqa: E722
        hooking.exit_hook("more_arguments: [unexpected error]: %s\n" % traceback.format_exc())
