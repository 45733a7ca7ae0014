# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The same as vdsm.common.constants, under the name that hooks use as well."""

from vdsm.common.constants import *  # noqa: F401,F403
