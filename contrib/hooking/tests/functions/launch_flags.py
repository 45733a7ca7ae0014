#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
import io
import os
import shutil
import sys
import tempfile

import hooking
from vdsm.common import constants

assert constants.P_VDSM_RUN == "/run/vdsm/"
constants.P_VDSM_RUN = tempfile.mkdtemp() + "/"
try:
    vm_id = os.environ["vmId"]
    assert hooking.load_vm_launch_flags_from_file(vm_id) == 0
    sys.stderr = io.StringIO()
    hooking.dump_vm_launch_flags_to_file(vm_id, 5)
    hooking.dump_vm_launch_flags_to_file(vm_id, hooking.load_vm_launch_flags_from_file(vm_id) | 8)
    said = sys.stderr.getvalue()
    sys.stderr = sys.__stderr__
    assert said.count("libvirt takes none from hooks") == 2, said
    assert hooking.load_vm_launch_flags_from_file(vm_id) == 13
    with open(os.path.join(constants.P_VDSM_RUN, vm_id, "launchflags")) as file:
        assert file.read() == "13"
    for bad in ("", "..", "a/b", "../../etc"):
        for call in (hooking.load_vm_launch_flags_from_file, lambda bad: hooking.dump_vm_launch_flags_to_file(bad, 1)):
            try:
                call(bad)
            except ValueError:
                pass
            else:
                assert False, bad
finally:
    shutil.rmtree(constants.P_VDSM_RUN)
