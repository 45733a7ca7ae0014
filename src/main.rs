//! `argv[0]` decides: a call of libvirt's, or the command line.

use std::env;

use hookmux::libvirt::driver::{self, Front};

/// musl's own allocator maps and unmaps pages for every few allocations; each costs a page fault,
/// and those are what a short life consists of.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() {
    let mut arguments = env::args_os();
    let argv0 = arguments.next().unwrap_or_default();
    match Front::from_argv0(&argv0) {
        Some(front) => hookmux::driver_main(&front, arguments.collect()),
        None if driver::is_adopted_name(&argv0) => {}
        None => hookmux::cli::main(),
    }
}
