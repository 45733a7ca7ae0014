#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
import errno
import os
import shutil
import tempfile

from vdsm import constants, osinfo
from vdsm.common import constants as common
from vdsm.common import units
from vdsm.common.cmdutils import CommandPath
from vdsm.common.units import GiB, KiB, MiB, PiB, TiB

assert [KiB, MiB, GiB, TiB, PiB] == [1024 ** power for power in range(1, 6)] and units.GiB == GiB

assert common.SYSCONF_PATH == constants.SYSCONF_PATH == "/etc"
assert os.path.join(constants.P_VDSM_RUN, "x") == "/run/vdsm/x"
assert constants.P_VDSM_HOOKS == "/usr/libexec/vdsm/hooks/"
assert os.access(constants.EXT_SH, os.X_OK)

assert CommandPath("sh", "/no/sh", "/bin/sh").cmd == "/bin/sh"
assert os.access(CommandPath("sh", "/no/sh").cmd, os.X_OK)
assert str(CommandPath("sh", "/bin/sh")) == "/bin/sh" and "sh" in repr(CommandPath("sh"))
for missing in (CommandPath("no-such-program", "/no/such"), CommandPath("sh", "/no/sh", search_path=False)):
    try:
        missing.cmd
    except OSError as error:
        assert error.errno == errno.ENOENT and missing.name in error.strerror, error
    else:
        assert False, missing

osinfo.MODULES = tempfile.mkdtemp()
try:
    assert osinfo.nested_virtualization() == (False, None)
    for module in ("kvm_amd", "kvm_intel"):
        parameters = os.path.join(osinfo.MODULES, module, "parameters")
        os.makedirs(parameters)
        on, off = (True, module), (False, None)
        for value, expected in (("N\n", off), ("Y\n", on), ("1\n", on), ("0", off)):
            with open(os.path.join(parameters, "nested"), "w") as file:
                file.write(value)
            nested = osinfo.nested_virtualization()
            assert (nested.enabled, nested.kvm_module) == expected, (module, value, nested)
finally:
    shutil.rmtree(osinfo.MODULES)
