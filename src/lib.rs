//! hookmux: libvirt's hook program. See README.md; `call` is the way of one call.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)
)]

pub mod answer;
pub mod bypass;
pub mod call;
pub mod cli;
pub mod command;
pub mod config;
pub mod document;
pub mod event;
pub mod hook;
pub mod libvirt;
pub mod machine;
pub mod memory;
pub mod mend;
pub mod occasion;
pub mod plan;
pub mod process;
pub mod queue;
pub mod record;
pub mod registry;
pub mod run;
pub mod search;
pub mod state;
pub mod trust;
pub mod verdict;
pub mod witness;

pub use call::door::driver_main;
