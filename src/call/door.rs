//! Entry point of a call from libvirt.

use std::ffi::OsString;
use std::path::Path;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};

use crate::answer::{self, Answer};
use crate::call::{self, fault};
use crate::libvirt::Call;
use crate::libvirt::invocation::Invocation;
use crate::machine::{sys, watchdog};
use crate::observer::{Notice, Observer, Tee};
use crate::record::form::RecordCause;
use crate::record::journal::Journal;
use crate::record::mover;
use crate::record::recorder::Recorder;
use crate::record::spool::Dropped;

/// Answers one call of libvirt's. Its arguments are never options.
pub fn driver_main(invocation: &Invocation, arguments: Vec<OsString>) -> ! {
    let call = Call::new(invocation.driver, arguments);
    fault::guard(&call);
    sys::remember_start_context();
    let invocation = absolute(invocation);
    prepare_process();
    fault::inject("start");
    let mut recorder = Recorder::new(RecordCause::Libvirt);
    let mut journal = Journal::default();
    let answer = call::handle(&invocation, &call, &mut Tee(&mut recorder, &mut journal));
    watchdog::progress();
    let status = answer::write_answer(&answer);
    sys::set_final_status(status);
    watchdog::progress();
    keep(recorder, journal, &answer, &invocation.hooks_dir);
    sys::exit_now(status)
}

/// Writes the record of the call, and starts the mover if it is needed. This has no effect on the answer,
/// which has been given.
pub(crate) fn keep(recorder: Recorder, mut journal: Journal, answer: &Answer, hooks_dir: &Path) {
    let kept = recorder.finish(answer);
    if let Some((execution, error)) = kept.execution.zip(kept.error) {
        journal.observe(&execution, &Notice::OwnError(&error));
    }
    let lost = journal.finish();
    if let Some(place) = kept.place {
        place.spool.count(Dropped { journal: lost, ..Dropped::default() });
        mover::start_if_needed(hooks_dir, &place);
    }
}

/// Makes the path of the hooks directory independent of the current directory.
fn absolute(invocation: &Invocation) -> Invocation {
    let hooks_dir =
        std::path::absolute(&invocation.hooks_dir).unwrap_or_else(|_| invocation.hooks_dir.clone());
    Invocation { hooks_dir, ..invocation.clone() }
}

/// Prepares the process for hooks: `/` as its directory, the usual umask, no inherited descriptors, and
/// signals blocked so that only SIGTERM ends it.
pub(crate) fn prepare_process() {
    let mut blocked = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTERM] {
        blocked.add(signal);
    }
    // errors of these have no effect on the call
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None);
    let _ = std::env::set_current_dir("/");
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    sys::close_on_exec_from(3);
}
