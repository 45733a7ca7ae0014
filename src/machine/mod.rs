//! What the host is: files, processes, clocks, the kernel. Nothing here knows libvirt or hooks.

pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod files;
pub(crate) mod host_name;
pub(crate) mod locks;
pub(crate) mod own_binary;
pub(crate) mod privileges;
pub(crate) mod proc;
pub(crate) mod sanitize;
pub(crate) mod sys;
pub(crate) mod truncate;
pub(crate) mod ulid;
pub(crate) mod watchdog;
