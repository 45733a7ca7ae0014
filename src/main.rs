//! Decides by `argv[0]`: a call by libvirt, or the command line.

use std::env;

use hookmux::invocation::{self, Invocation};
use hookmux::take_over;

/// musl's own allocator maps and unmaps pages for every few allocations. Each costs a page fault, and page faults
/// are most of the time of a short process.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// The C library runs this before `main` and the runtime: a signal that comes with the first instruction must not
/// end a call.
#[allow(unsafe_code)]
#[used]
#[unsafe(link_section = ".init_array")]
static BLOCK_SIGNALS: extern "C" fn() = hookmux::block_at_start;

fn main() {
    let mut arguments = env::args_os();
    let argv0 = arguments.next().unwrap_or_default();
    match Invocation::from_argv0(&argv0) {
        Some(invocation) => hookmux::driver_main(&invocation, arguments.collect()),
        None if invocation::is_adopted_name(&argv0) => {}
        None if arguments.next().is_some_and(|word| word == take_over::WORD) => {
            take_over::main(arguments.next())
        }
        None => {
            hookmux::restore_inherited();
            hookmux::command_line()
        }
    }
}
