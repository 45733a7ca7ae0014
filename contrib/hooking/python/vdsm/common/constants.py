# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Paths and names as on a host with vdsm. Those of programs are where this host has them."""

import os

SYSCONF_PATH = "/etc"

P_VDSM = "/usr/share/vdsm/"
P_VDSM_CONF = "/etc/vdsm/"
P_VDSM_EXEC = "/usr/libexec/vdsm"
P_VDSM_HOOKS = "/usr/libexec/vdsm/hooks/"
P_VDSM_LIB = "/var/lib/vdsm/"
P_VDSM_LOG = "/var/log/vdsm"
P_VDSM_RUN = "/run/vdsm/"

P_LIBVIRT_NVRAM = "/var/lib/libvirt/qemu/nvram"
P_LIBVIRT_SWTPM = "/var/lib/libvirt/swtpm"
P_LIBVIRT_VMCHANNELS = "/var/lib/libvirt/qemu/channels/"

VDSM_USER = "vdsm"
VDSM_GROUP = "kvm"
DISKIMAGE_USER = "vdsm"
DISKIMAGE_GROUP = "qemu"
QEMU_PROCESS_USER = "qemu"
QEMU_PROCESS_GROUP = "qemu"


def _program(name):
    directories = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
    paths = [os.path.join(directory, name) for directory in directories]
    return next((path for path in paths if os.access(path, os.X_OK)), paths[0])


_PROGRAMS = (
    "chown dd dmsetup fsck fuser grep ionice iscsiadm kill lvm mkfs mkfs.msdos mkisofs mount nice"
    " prlimit setsid sh su sudo tar taskset umount"
)
# EXT_SUDO = "/usr/bin/sudo" and the like
for _name in _PROGRAMS.split():
    globals()["EXT_" + _name.upper().replace(".", "_")] = _program(_name)
