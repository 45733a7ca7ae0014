//! The variables that hooks get, for people.

/// The variables that hooks get, each with what is in it. A test holds them against a call.
pub(crate) const VARIABLES: &[(&str, &str)] = &[
    ("PATH, HOME", "the daemon's, or sane ones"),
    ("LC_ALL", "C.UTF-8"),
    ("HOOKMUX_EVENT", "the event: `before_vm_start`"),
    ("HOOKMUX_DRIVER", "libvirt's driver: daemon, qemu, lxc, libxl, network or bhyve"),
    ("HOOKMUX_OBJECT", "libvirt's first argument: the guest's or network's name"),
    ("HOOKMUX_OPERATION", "libvirt's second argument: prepare, start, started, stopped, release …"),
    ("HOOKMUX_SUB_OPERATION", "libvirt's third argument: begin or end"),
    ("HOOKMUX_EXTRA", "libvirt's fourth argument"),
    ("HOOKMUX_UUID, vmId", "the guest's or network's uuid"),
    ("HOOKMUX_ORIGIN", "how the guest came to run: fresh, restore, migration, or unknown"),
    (
        "HOOKMUX_REASON",
        "why the guest was released (libvirt 10.5); unset where libvirt gives no reason",
    ),
    ("HOOKMUX_STARTED_XML", "at stopped and release: a file with the document of the start"),
    ("HOOKMUX_EXECUTION", "the id of this call, as in `hookmux log`"),
    ("HOOKMUX_RUN", "the id of this run of the hook"),
    ("HOOKMUX_HOOK", "the hook's name: `before_vm_start/10-hugepages`"),
    ("HOOKMUX_DEPTH", "how deep calls within calls are: 1 in a call of libvirt's"),
    ("HOOKMUX_HOOKS_DIR", "the hooks directory"),
    ("HOOKMUX_DAEMON", "the daemon that called: libvirtd, virtqemud …"),
    ("HOOKMUX_PROPERTY_`<name>`", "the guest's custom properties"),
    ("_hook_domxml", "the file with the document; at a device's event with that device's"),
    ("FROM_SNAPSHOT", "at after_vm_dehibernate and before_vm_dehibernate: False"),
    (
        "PYTHONPATH, PYTHONDONTWRITEBYTECODE",
        "of hooks in vdsm's style: where `import hooking` finds its module; and 1",
    ),
    ("HOOKMUX_UNDO_OUTPUT", "of an undo program: a file with what the hook printed"),
    (
        "HOOKMUX_UNDO_OUTCOME",
        "of an undo program: done, or unknown where hookmux died while the hook ran",
    ),
    ("HOOKMUX_UNDO_AGAIN", "of an undo program: 1 if it may have run before"),
    (
        "HOOKMUX_REMOTE_HOST, HOOKMUX_REMOTE_EXECUTION",
        "of a hook for events of other hosts (`remote: true`): the host of the call, and the execution there",
    ),
    (
        "HOOKMUX_REMOTE_OUTCOME, HOOKMUX_REMOTE_STATUS, HOOKMUX_REMOTE_TIME",
        "likewise: how the call ended there, the exit status that libvirt got, and when",
    ),
    (
        "HOOKMUX_REMOTE_BOOT, HOOKMUX_REMOTE_SEQUENCE",
        "likewise: the boot of that host, and the number of the event there",
    ),
    ("HOOKMUX_REMOTE_AGAIN", "likewise: 1 if hooks were started for the event before"),
];
