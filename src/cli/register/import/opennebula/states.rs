//! OpenNebula's states and API calls, and the events that stand for them.

/// An event, and what differs from OpenNebula's moment; without an event, why there is none.
pub(super) struct Nearest {
    pub event: Option<&'static str>,
    pub words: &'static str,
}

const fn near(event: &'static str, words: &'static str) -> Nearest {
    Nearest { event: Some(event), words }
}

const fn nothing(words: &'static str) -> Nearest {
    Nearest { event: None, words }
}

/// A word of `ON` for which an event stands.
pub(super) struct OnWord {
    pub word: &'static str,
    pub event: &'static str,
    /// The condition under which the event is what the word means, if there is one.
    pub when: Option<(&'static str, &'static [&'static str])>,
    /// What differs from OpenNebula's moment all the same.
    pub words: &'static str,
}

pub(super) static ON: [OnWord; 5] = [
    OnWord {
        word: "PROLOG",
        event: "before_vm_prepare",
        when: Some(("origin", &["!migration", "!restore"])),
        words: "at every start, also of a guest that was powered off; `when` leaves out a guest that a migration or a save brings",
    },
    OnWord {
        word: "RUNNING",
        event: "after_vm_launch",
        when: None,
        words: "at every start, also after a save, and on the host to which a guest is migrated",
    },
    OnWord {
        word: "SHUTDOWN",
        event: "after_vm_stop",
        when: None,
        words: "also when the guest is saved, when it is migrated away, and when its start fails: libvirt gives no reason there. `events: after_vm_destroy` with `when: {reason: [\"!migrated\", \"!saved\", \"!failed\"]}` in the file leaves these out, from libvirt 10.5.0 on",
    },
    OnWord {
        word: "STOP",
        event: "after_vm_hibernate",
        when: None,
        words: "at every save, so also for OpenNebula's suspend; from libvirt 10.5.0 on",
    },
    OnWord {
        word: "DONE",
        event: "after_vm_destroy",
        // a migration that fails ends the guest on its destination with `failed`, and it runs on elsewhere
        when: Some(("reason", &["!migrated", "!saved", "!failed", "!from snapshot"])),
        words: "at every end of the guest, also when it is only powered off: libvirt doesn't know that a guest is removed for ever. `when` leaves out saves, migrations, failed starts and reverts to a snapshot; libvirt before 10.5.0 gives no reason, and the hook runs at these too",
    },
];

/// Returns the words of `ON`.
pub(super) fn words_of_on() -> [&'static str; 5] {
    ON.each_ref().map(|on| on.word)
}

pub(super) const IMAGE: Nearest = nothing("libvirt makes no call for them");
pub(super) const UNKNOWN: Nearest = nothing(
    "OpenNebula says it when it can't reach the VM any more, and libvirt makes no call then",
);

const BEFORE: Nearest = near("before_vm_prepare", "before that libvirt knows nothing of the guest");
const STOPPED: Nearest =
    near("after_vm_stop", "the guest's process has ended, for whatever reason");
const SAVED: Nearest =
    near("after_vm_hibernate", "the guest was saved to a file, libvirt 10.5 or later");
const INSIDE: Nearest = nothing(
    "libvirt makes no call for what is done to a running or stopped guest's devices, disks and backups",
);

/// Returns what is nearest to a VM's state and LCM state.
pub(super) fn of_vm(state: &str, lcm_state: &str) -> Nearest {
    match state {
        "INIT" | "PENDING" | "HOLD" | "CLONING" | "CLONING_FAILURE" => BEFORE,
        "STOPPED" | "SUSPENDED" => SAVED,
        "POWEROFF" | "UNDEPLOYED" => STOPPED,
        "DONE" => near(
            "after_vm_destroy",
            "what the guest had is released, also after a save or a migration; ON = DONE leaves these out",
        ),
        "FAILED" => near(
            "after_vm_destroy",
            "what the guest had is released, also after a save or a migration",
        ),
        "ACTIVE" => of_active(lcm_state),
        _ => nothing("OpenNebula has no such state of a VM"),
    }
}

fn of_active(lcm_state: &str) -> Nearest {
    let has = |words: &[&str]| words.iter().any(|word| lcm_state.starts_with(word));
    match lcm_state {
        "RUNNING" => near("after_vm_launch", "the guest's process runs"),
        "UNKNOWN" => UNKNOWN,
        "MIGRATE" | "SAVE_MIGRATE" | "PROLOG_MIGRATE" | "BOOT_MIGRATE" => near(
            "before_vm_migrate_destination",
            "on the host that the guest comes to; after_vm_migrate_source on the one that it leaves",
        ),
        "HOTPLUG_NIC" => near(
            "before_network_port_create",
            "interfaces of type network only, at every start too",
        ),
        _ if has(&["LCM_INIT", "PROLOG"]) => near("before_vm_prepare", "before the host is set up"),
        _ if has(&["BOOT"]) => near("before_vm_launch", "right before the guest's process begins"),
        _ if has(&["SAVE_"]) => SAVED,
        _ if has(&["EPILOG", "SHUTDOWN"]) => STOPPED,
        _ if has(&["CLEANUP"]) => near("after_vm_destroy", "what the guest had is released"),
        _ if has(&["HOTPLUG", "DISK_", "BACKUP", "RESTORE"]) => INSIDE,
        _ => nothing("no call of libvirt's stands for it"),
    }
}

/// Returns what is nearest to a host's state.
pub(super) fn of_host(state: &str) -> Nearest {
    match state {
        "INIT" | "MONITORING_INIT" | "MONITORED" | "MONITORING_MONITORED" => near(
            "before_daemon_start",
            "libvirt's daemon starts on this host; it says nothing of the host's state",
        ),
        "ERROR" | "MONITORING_ERROR" | "DISABLED" | "MONITORING_DISABLED" | "OFFLINE" => nothing(
            "a host that fails makes no call. No event is near: before_daemon_stop is every stop of libvirt's daemon, also at an update",
        ),
        _ => nothing("OpenNebula has no such state of a host"),
    }
}

/// Returns what is nearest to a call of OpenNebula's API.
pub(super) fn of_api_call(call: &str) -> Nearest {
    match call {
        "one.vm.allocate" | "one.vm.deploy" => BEFORE,
        "one.vm.action" | "one.vm.recover" => {
            nothing("which event stands for it depends on the action: `hookmux events` shows them")
        }
        "one.vm.migrate" => near(
            "before_vm_migrate_destination",
            "on the host that the guest comes to; after_vm_migrate_source on the one that it leaves",
        ),
        "one.vm.attachnic" => near(
            "before_network_port_create",
            "interfaces of type network only, at every start too",
        ),
        "one.vm.detachnic" => {
            near("after_network_port_delete", "interfaces of type network only, at every stop too")
        }
        "one.vn.allocate" => near("before_network_start", "a virtual network of libvirt's starts"),
        "one.vn.delete" => near("after_network_stop", "a virtual network of libvirt's has ended"),
        _ => nothing("libvirt has no part in it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event;

    #[test]
    fn what_is_nearest_is_an_event() {
        let vm = |state, lcm_state| of_vm(state, lcm_state).event;
        for (found, expected) in [
            (vm("PENDING", "LCM_INIT"), Some("before_vm_prepare")),
            (vm("POWEROFF", "LCM_INIT"), Some("after_vm_stop")),
            (vm("SUSPENDED", "LCM_INIT"), Some("after_vm_hibernate")),
            (vm("DONE", "LCM_INIT"), Some("after_vm_destroy")),
            (vm("ACTIVE", "RUNNING"), Some("after_vm_launch")),
            (vm("ACTIVE", "PROLOG_RESUME"), Some("before_vm_prepare")),
            (vm("ACTIVE", "BOOT_POWEROFF"), Some("before_vm_launch")),
            (vm("ACTIVE", "SAVE_STOP"), Some("after_vm_hibernate")),
            (vm("ACTIVE", "SHUTDOWN_POWEROFF"), Some("after_vm_stop")),
            (vm("ACTIVE", "MIGRATE"), Some("before_vm_migrate_destination")),
            (vm("ACTIVE", "CLEANUP_DELETE"), Some("after_vm_destroy")),
            (vm("ACTIVE", "HOTPLUG_SNAPSHOT"), None),
            (vm("ACTIVE", "UNKNOWN"), None),
            (vm("ODD", "LCM_INIT"), None),
            (of_host("MONITORED").event, Some("before_daemon_start")),
            (of_host("ERROR").event, None),
            (of_host("OFFLINE").event, None),
            (of_host("DISABLED").event, None),
            (of_host("ODD").event, None),
            (of_api_call("one.vm.allocate").event, Some("before_vm_prepare")),
            (of_api_call("one.vn.delete").event, Some("after_network_stop")),
            (of_api_call("one.user.allocate").event, None),
        ] {
            assert_eq!(found, expected);
            assert!(found.is_none_or(event::is_known), "{found:?}");
        }
        assert!(ON.iter().all(|on| event::is_known(on.event)));
        // where a state has a word of its own in ON, both mean the same
        for (word, state, lcm_state) in [
            ("PROLOG", "ACTIVE", "PROLOG"),
            ("RUNNING", "ACTIVE", "RUNNING"),
            ("SHUTDOWN", "ACTIVE", "EPILOG"),
            ("STOP", "STOPPED", "LCM_INIT"),
            ("DONE", "DONE", "LCM_INIT"),
        ] {
            let event = ON.iter().find(|on| on.word == word).map(|on| on.event);
            assert_eq!(vm(state, lcm_state), event, "{word}");
        }
    }
}
