//! Where libvirt's call comes in, and its answer goes out.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};

use crate::answer::Answer;
use crate::call::{self, fault};
use crate::libvirt::Call;
use crate::libvirt::invocation::Invocation;
use crate::machine::{sys, watchdog};
use crate::observer::{Notice, Observer, Tee};
use crate::process::exit_status::OWN_ERROR;
use crate::record::form::RecordCause;
use crate::record::journal::Journal;
use crate::record::mover;
use crate::record::recorder::Recorder;
use crate::record::spool::Dropped;

/// Answers one call of libvirt's. Arguments are never options.
pub fn driver_main(invocation: &Invocation, arguments: Vec<OsString>) -> ! {
    let call = Call::new(invocation.driver, arguments);
    fault::guard(&call);
    sys::remember_start_context();
    let invocation = absolute(invocation);
    settle();
    fault::inject("start");
    let mut recorder = Recorder::new(RecordCause::Libvirt);
    let mut journal = Journal::default();
    let answer = call::handle(&invocation, &call, &mut Tee(&mut recorder, &mut journal));
    watchdog::progress();
    let status = give(&answer);
    sys::set_final_status(status);
    watchdog::progress();
    keep(recorder, journal, &answer, &invocation.hooks_dir);
    sys::exit_now(status)
}

/// Writes down what became of the call, and sees to it that what is written is moved to its place.
/// Nothing of it has an effect on the answer, which is given by then.
pub(crate) fn keep(recorder: Recorder, mut journal: Journal, answer: &Answer, hooks_dir: &Path) {
    let kept = recorder.finish(answer);
    if let Some((execution, trouble)) = kept.execution.zip(kept.error) {
        journal.observe(&execution, &Notice::OwnError(&trouble));
    }
    let lost = journal.finish();
    if let Some(place) = kept.place {
        place.spool.count(Dropped { records: 0, journal: lost });
        mover::start_if_needed(hooks_dir, &place);
    }
}

/// libvirt's own words for the hooks directory, made independent of the current directory.
fn absolute(invocation: &Invocation) -> Invocation {
    let hooks_dir =
        std::path::absolute(&invocation.hooks_dir).unwrap_or_else(|_| invocation.hooks_dir.clone());
    Invocation { hooks_dir, ..invocation.clone() }
}

/// Makes the process what every hook finds: `/` as its directory, the usual umask, no stray
/// descriptors, and no signal but SIGTERM to end it half-way.
pub(crate) fn settle() {
    let mut blocked = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTERM] {
        blocked.add(signal);
    }
    // none of these can fail in a way that would matter to the call
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None);
    let _ = std::env::set_current_dir("/");
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    sys::close_on_exec_from(3);
}

/// Writes an answer; returns the status that it has then. Where libvirt can't be given all of a
/// document it must not take the part.
fn give(answer: &Answer) -> i32 {
    if answer.stdout.as_ref().is_some_and(|document| print(document).is_err()) {
        return OWN_ERROR;
    }
    if !answer.stderr.is_empty() {
        // that nobody listens changes nothing
        let _ = write(io::stderr().lock(), answer.stderr.as_bytes());
    }
    answer.status
}

/// Gives libvirt a document.
///
/// # Errors
/// It did not get all of it.
pub(crate) fn print(document: &[u8]) -> io::Result<()> {
    write(io::stdout().lock(), document)
}

fn write(mut stream: impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}
