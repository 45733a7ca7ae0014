#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Asks the host on its way in."""
import hooking
from vdsm import osinfo

FLAGS = {"kvm_intel": "vmx", "kvm_amd": "svm"}

nested = osinfo.nested_virtualization()

if nested.enabled:
    domxml = hooking.read_domxml()
    feature = domxml.createElement("feature")
    feature.setAttribute("name", FLAGS[nested.kvm_module])
    feature.setAttribute("policy", "require")
    domxml.getElementsByTagName("cpu")[0].appendChild(feature)
    hooking.write_domxml(domxml)
