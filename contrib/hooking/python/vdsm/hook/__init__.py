# SPDX-License-Identifier: Apache-2.0 OR MIT
"""vdsm.hook, which has `hooking`."""

import hookmux_vdsm

hookmux_vdsm.hand_over(__name__)
