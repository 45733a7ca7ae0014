# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What the host can do."""

import os
from collections import namedtuple

MODULES = "/sys/module"

NestedVirtualization = namedtuple("NestedVirtualization", ["enabled", "kvm_module"])


def nested_virtualization():
    """Tells whether guests may have guests, and by which module of KVM (None where they may not)."""
    for module in ("kvm_intel", "kvm_amd"):
        try:
            with open(os.path.join(MODULES, module, "parameters", "nested")) as parameter:
                value = parameter.readline().strip()
        except OSError:
            continue
        if value in ("1", "Y", "y"):
            return NestedVirtualization(True, module)
    return NestedVirtualization(False, None)
