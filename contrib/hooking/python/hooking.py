# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The module that vdsm's hook scripts import: the same object as `vdsm.hook.hooking`."""

import sys

import hookmux_vdsm

hookmux_vdsm.fill_gaps()
sys.modules[__name__] = hookmux_vdsm.hooking()
