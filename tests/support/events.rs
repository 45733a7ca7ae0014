//! The events that tests watch, for the tests with and without a real libvirt.

/// All events of a guest that don't fire for each device.
pub const GUEST_EVENTS: &[&str] = &[
    "before_vm_prepare",
    "before_vm_start",
    "before_vm_launch",
    "after_vm_launch",
    "after_vm_start",
    "after_vm_dehibernate",
    "after_vm_stop",
    "after_vm_migrate_source",
    "after_vm_hibernate",
    "after_vm_destroy",
    "before_vm_migrate_destination",
    "before_vm_dehibernate",
    "after_vm_reconnect",
    "after_vm_attach",
];

/// All events of a network.
pub const NETWORK_EVENTS: &[&str] = &[
    "before_network_start",
    "after_network_start",
    "after_network_stop",
    "after_network_update",
    "before_network_port_create",
    "after_network_port_delete",
];
