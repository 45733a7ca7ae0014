//! The hook points of vdsm for which libvirt makes no call, and the nearest events.

use crate::config::suggest::did_you_mean;
use crate::event;

/// vdsm's name, and the nearest event of hookmux, if there is one.
#[rustfmt::skip]
pub(crate) static WITHOUT_SOURCE: &[(&str, Option<&str>)] = &[
    ("before_device_destroy", Some("after_vm_stop (too late to be a before)")),
    ("before_vm_destroy", Some("after_vm_stop (the guest is gone already)")),
    ("before_vm_cont", None),
    ("after_vm_cont", None),
    ("before_vm_pause", None),
    ("after_vm_pause", None),
    ("before_vm_migrate_source", None),
    ("after_vm_migrate_destination", Some("after_vm_launch with HOOKMUX_ORIGIN=migration (before the memory is there)")),
    ("before_device_migrate_source", None),
    ("after_device_migrate_destination", Some("after_vm_launch with HOOKMUX_ORIGIN=migration (before the memory is there)")),
    ("before_vm_hibernate", None),
    ("before_vm_set_ticket", None),
    ("after_vm_set_ticket", None),
    ("before_update_device", None),
    ("after_update_device", None),
    ("after_update_device_fail", None),
    ("before_nic_hotplug", Some("before_network_port_create (interfaces of type network only, at every start too)")),
    ("after_nic_hotplug", None),
    ("after_nic_hotplug_fail", None),
    ("before_nic_hotunplug", None),
    ("after_nic_hotunplug", Some("after_network_port_delete (interfaces of type network only, at every stop too)")),
    ("after_nic_hotunplug_fail", None),
    ("after_disk_prepare", Some("before_vm_prepare (its result can't be applied)")),
    ("before_disk_hotplug", None),
    ("after_disk_hotplug", None),
    ("before_disk_hotunplug", None),
    ("after_disk_hotunplug", None),
    ("before_set_num_of_cpus", None),
    ("after_set_num_of_cpus", None),
    ("before_memory_hotplug", None),
    ("after_memory_hotplug", None),
    ("before_network_setup", Some("before_network_start (a virtual network of libvirt's, not the host's set-up)")),
    ("after_network_setup", Some("after_network_start (a virtual network of libvirt's, not the host's set-up)")),
    ("after_network_setup_fail", None),
    ("before_get_vm_stats", None),
    ("after_get_vm_stats", None),
    ("before_get_all_vm_stats", None),
    ("after_get_all_vm_stats", None),
    ("before_get_caps", None),
    ("after_get_caps", None),
    ("before_get_stats", None),
    ("after_get_stats", None),
    ("after_hostdev_list_by_caps", None),
];

/// Returns why scripts in a directory of this name never run.
pub(crate) fn why_never_called(name: &str) -> String {
    if let Some((_, nearest)) = WITHOUT_SOURCE.iter().find(|(vdsms, _)| *vdsms == name) {
        let nearest = nearest.map(|near| format!("; nearest is {near}")).unwrap_or_default();
        return format!("libvirt makes no call for {name}, an event of vdsm's{nearest}");
    }
    if let Some(own_event) = event::known_events_of(name).first() {
        return format!("{name} is not an event: the operation is known, and fires {own_event}");
    }
    match did_you_mean(name, event::TABLE.iter().map(|row| row.name)) {
        Some(similar) => format!("{name} is not an event; did you mean {similar}?"),
        None => format!("{name} is not an event; `hookmux events` shows all events"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_those_that_have_a_source_they_are_vdsms_58() {
        let sourced = [
            "before_vm_start",
            "after_vm_start",
            "before_device_create",
            "after_device_create",
            "after_device_destroy",
            "after_vm_destroy",
            "after_vm_migrate_source",
            "before_vm_migrate_destination",
            "after_device_migrate_source",
            "before_device_migrate_destination",
            "after_vm_hibernate",
            "before_vm_dehibernate",
            "after_vm_dehibernate",
            "before_vdsm_start",
            "after_vdsm_stop",
        ];
        assert!(sourced.iter().all(|name| event::is_known(name)));
        assert_eq!(sourced.len() + WITHOUT_SOURCE.len(), 58);
        assert!(WITHOUT_SOURCE.iter().all(|(name, _)| !event::is_known(name)));
        for (_, nearest) in WITHOUT_SOURCE {
            let name = nearest.and_then(|nearest| nearest.split(' ').next());
            assert!(name.is_none_or(event::is_known), "{name:?}");
        }
    }
}
