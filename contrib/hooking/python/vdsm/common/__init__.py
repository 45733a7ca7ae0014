# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What hooks use of vdsm.common."""

import hookmux_vdsm

hookmux_vdsm.hand_over(__name__)
