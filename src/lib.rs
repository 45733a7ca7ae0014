//! hookmux: libvirt's hook program. See README.md; `call` is the way of one call.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)
)]

pub mod answer;
pub mod boot;
pub mod bypass;
pub mod call;
pub mod circle;
pub mod cli;
pub mod command;
pub mod condition;
pub mod config;
pub mod cut;
pub mod daemon_seen;
pub mod event;
pub mod facts;
pub mod fault;
pub mod files;
pub mod format;
pub mod front_door;
pub mod guest;
pub mod hook;
pub mod internal;
pub mod libvirt;
pub mod marker;
pub mod memory;
pub mod mend;
pub mod own_binary;
pub mod plan;
pub mod property_rules;
pub mod queue;
pub mod record;
pub mod registry_edit;
pub mod restore;
pub mod run;
pub mod sanitize;
pub mod saves;
pub mod startable;
pub mod state;
pub mod take_over;
pub mod trust;
pub mod verdict;
pub mod watchdog;

pub use front_door::driver_main;
