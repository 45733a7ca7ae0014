//! hookmux under a real libvirtd: QEMU guests, LXC containers, networks and the daemon itself.
//!
//! Every test has a libvirt host of its own (`host.rs`), in namespaces of its own, so nothing here
//! touches the machine's libvirt, and tests run side by side. They need root and libvirt's
//! programs, and fail, never skip, where these are missing: `make test` installs them.
//!
//! `HOOKMUX_BIN` names another binary than the one cargo has just built.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod documents;
#[path = "../support/events.rs"]
mod events;
mod guest;
mod host;
mod hostile;
mod reply;
#[path = "../support/schema.rs"]
mod schema;
mod scripts;

use host::binary_under_test;

mod adopt;
mod check;
mod daemon;
mod entries;
mod filter;
mod gate;
mod leash;
mod lifecycle;
mod live;
mod lxc;
mod managed_save;
mod migration;
mod modular;
mod names;
mod network;
mod opennebula;
mod plan;
mod python;
mod records;
mod registered;
mod tree;
mod trust;
mod undo;
