#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A device's document, a device's property, and a traceback as the message."""
import os
import traceback

import hooking


def main():
    network = os.environ.get("other_network")
    if network is None:
        return
    document = hooking.read_domxml()
    (interface,) = document.getElementsByTagName("interface")
    (source,) = interface.getElementsByTagName("source")
    if not network.isalnum():
        raise RuntimeError("not a network: %s" % network)
    hooking.log("%s gets %s" % (os.environ["vmId"], network))
    source.setAttribute("network", network)
    hooking.write_domxml(document)


try:
    main()
except Exception:
    hooking.exit_hook(traceback.format_exc())
