//! What the host is: files, processes, clocks, the kernel. Nothing here knows of libvirt or of hooks.

pub mod boot;
pub mod cut;
pub mod files;
pub mod own_binary;
pub mod privileges;
pub mod proc;
pub mod sanitize;
pub mod sys;
pub mod ulid;
pub mod watchdog;
