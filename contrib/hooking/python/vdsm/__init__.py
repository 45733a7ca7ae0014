# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What hooks use of vdsm. A real one that is further down Python's search path wins."""

import hookmux_vdsm

hookmux_vdsm.hand_over(__name__)
