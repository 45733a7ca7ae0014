//! What the host is: files, processes, clocks, the kernel. Nothing here knows of libvirt or of hooks.

pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod cut;
pub(crate) mod files;
pub(crate) mod locks;
pub(crate) mod own_binary;
pub(crate) mod privileges;
pub(crate) mod proc;
pub(crate) mod sanitize;
pub(crate) mod sys;
pub(crate) mod ulid;
pub(crate) mod watchdog;
