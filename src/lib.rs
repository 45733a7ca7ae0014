//! hookmux: libvirt's hook program. See README.md; `call` handles one call.

#![warn(unreachable_pub)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)
)]

mod answer;
mod bypass;
mod call;
mod cli;
mod command;
mod config;
mod document;
mod event;
#[doc(hidden)]
pub mod for_tests;
mod hook;
mod libvirt;
mod machine;
mod memory;
mod observer;
mod occasion;
mod plan;
mod process;
mod queue;
mod record;
mod registry;
mod repair;
mod run;
mod search;
mod state;
mod trust;
mod undo;
mod verdict;

pub use call::door::driver_main;
pub use call::take_over;
pub use cli::main as command_line;
pub use libvirt::invocation;
pub use machine::sys::{block_at_start, restore_inherited};
