//! Takes over a call whose process crashed: ends running hooks, and rolls back those that succeeded. The
//! crashed process executes hookmux again, with this data in memory. libvirt still waits for the process,
//! and gets the same status.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Instant;

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::call::{door, fault};
use crate::document::file;
use crate::document::input_file::InputFile;
use crate::libvirt::Driver;
use crate::machine::sys;
use crate::observer::{HookIdentity, HookRun, Notice, Observer, Tee};
use crate::occasion::{Execution, Occasion};
use crate::process::exit_status::TIMED_OUT;
use crate::process::supervise::{Progress, Supervisor};
use crate::record::form::RecordCause;
use crate::record::journal::Journal;
use crate::record::outbox::event::EventFacts;
use crate::record::recorder::{RecordPlace, Recorder};
use crate::record::spool::Spool;
use crate::run::left_rollback::LeftRollback;
use crate::run::steps::ROLLBACK_TIMEOUT;
use crate::state::Dir;
use crate::undo::ending::Ending;
use crate::undo::{ledger, worker};
use crate::verdict;

/// The first argument of the program that takes over. Not for people.
pub const WORD: &str = "--take-over";

/// The size limit of the data that is handed over, in bytes.
const MAX_HANDOVER_BYTES: u64 = 256 << 20;

/// The call, as it is handed over.
#[derive(Debug, Serialize, Deserialize)]
struct HandedOverCall {
    id: String,
    driver: String,
    object: String,
    operation: String,
    uuid: Option<String>,
    hooks_dir: PathBuf,
    runtime_dir: PathBuf,
    event: Option<EventFacts>,
    /// Whose lives are over with this call.
    #[serde(default)]
    ends: Ending,
}

/// Prepares the data for the program that takes over, before the first hook of a call starts.
pub(crate) fn prepare(occasion: &Occasion<'_>, ends: Ending) {
    let (execution, settings) = (&occasion.execution, occasion.settings);
    let call = HandedOverCall {
        id: execution.id.clone(),
        driver: execution.driver.to_owned(),
        object: execution.object.clone(),
        operation: execution.operation.clone(),
        uuid: execution.uuid.clone(),
        hooks_dir: settings.hooks_dir.clone(),
        runtime_dir: settings.runtime_dir.unchecked_path().to_path_buf(),
        event: EventFacts::of(occasion),
        ends,
    };
    let call = serde_json::to_vec(&call).unwrap_or_default();
    sys::prepare_take_over(&[b"hookmux", WORD.as_bytes()], &[], call);
}

/// All data that was handed over.
struct Handover {
    call: HandedOverCall,
    status: i32,
    is_terminated: bool,
    /// The processes of running hooks.
    active: Vec<i32>,
    /// The rollbacks, in the order in which they are run.
    rollbacks: Vec<LeftRollback>,
}

/// Takes over, and answers libvirt. `descriptor` is the number of the descriptor with the data.
pub fn main(descriptor: Option<OsString>) -> ! {
    let descriptor = descriptor.and_then(|word| word.to_str()?.parse().ok()).unwrap_or(-1);
    let Ok(left) = read(descriptor) else { sys::exit_now(crate::process::exit_status::OWN_ERROR) };
    let status = left.status;
    fault::guard_with(status);
    door::prepare_process();
    finish(left);
    sys::exit_now(status)
}

fn read(descriptor: i32) -> io::Result<Handover> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut file = File::from(sys::take_over_descriptor(descriptor)?);
    if !file.metadata()?.is_file() {
        return Err(invalid());
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(MAX_HANDOVER_BYTES).read_to_end(&mut bytes)?;
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let call = serde_json::from_slice(lines.next().unwrap_or_default())?;
    let numbers = std::str::from_utf8(lines.next().unwrap_or_default()).map_err(|_| invalid())?;
    let mut numbers = numbers.split_ascii_whitespace().map_while(|number| number.parse().ok());
    let status = numbers.next().ok_or_else(invalid)?;
    let is_terminated = numbers.next().ok_or_else(invalid)? != 0;
    sys::inherit_oom_score(numbers.next().ok_or_else(invalid)?);
    let active = numbers.collect();
    let rollbacks = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    Ok(Handover { call, status, is_terminated, active, rollbacks })
}

fn finish(left: Handover) {
    let Handover { call, status, is_terminated, active, rollbacks } = left;
    let execution = Execution {
        id: call.id,
        driver: Driver::from_name(&call.driver).map_or("", |driver| driver.name()),
        object: call.object,
        operation: call.operation,
        uuid: call.uuid,
    };
    let runtime_dir = Dir::new(call.runtime_dir, geteuid().as_raw());
    let place = RecordPlace { spool: Spool::new(&runtime_dir) };
    let mut recorder = Recorder::resume(RecordCause::Libvirt, &execution, &place, call.event);
    let mut journal = Journal::default();
    for document in rollbacks.iter().filter_map(|rollback| rollback.document.as_ref()) {
        recorder.add_secrets_of(&document.0);
        journal.add_secrets_of(&document.0);
    }
    let mut observers = Tee(&mut recorder, &mut journal);
    let why = if is_terminated {
        "ended by SIGTERM during its own work"
    } else {
        "a fault of hookmux's own ended this call"
    };
    observers.observe(&execution, &Notice::OwnError(why));
    // without a descriptor for signals no program can be run
    if let Ok(mut supervisor) = Supervisor::new(&[]) {
        supervisor.terminate_inherited(&active);
        let ends = Instant::now() + ROLLBACK_TIMEOUT;
        for rollback in &rollbacks {
            roll_back(rollback, &mut supervisor, &runtime_dir, ends, &execution, &mut observers);
        }
        let _ = supervisor.release_leftovers();
    }
    let stderr = format!("hookmux: {why}\n");
    let answer = if status == 0 { Answer::default() } else { Answer::error(status, stderr) };
    door::keep(recorder, journal, &answer, &call.hooks_dir);
    if ledger::Ledger::may_exist(&runtime_dir) {
        call.ends.mark_due(&runtime_dir, status != 0);
        // what has begun, and what is over, is the worker's now; without it, the next call's
        let _ = worker::start(&call.hooks_dir);
    }
    // leftovers of the crashed process
    file::remove_all_of(&runtime_dir, &execution.id);
}

/// Runs one rollback. A failure is reported, and changes nothing.
fn roll_back(
    rollback: &LeftRollback,
    supervisor: &mut Supervisor,
    runtime_dir: &Dir,
    ends: Instant,
    execution: &Execution,
    observer: &mut dyn Observer,
) {
    let program = rollback.job.program();
    // if the file can't be made, the rollback runs without it: most rollbacks don't read it
    let document = rollback.document.as_ref();
    let document = document.and_then(|document| {
        let place = file::place(runtime_dir, &rollback.run);
        InputFile::make(place, &document.0, rollback.job.owner()).ok()
    });
    let ended = if Instant::now() >= ends {
        Err((TIMED_OUT, "not run: the time for rollbacks was over".to_owned()))
    } else {
        start(rollback, supervisor, document.as_ref(), ends)
            .map_err(|error| {
                (crate::process::exit_status::OWN_ERROR, format!("can't be started: {error}"))
            })
            .map(|job| {
                let (label, device) = (&rollback.label, rollback.device.as_deref());
                let mut progress = |progress: Progress<'_>| {
                    let notice = Notice::of_progress(progress, label, device, program);
                    observer.observe(execution, &notice);
                };
                supervisor.run(vec![job], &mut progress).pop()
            })
    };
    drop(document);
    let (ended, fault) = match ended {
        Ok(ended) => {
            let fault = ended.as_ref().and_then(verdict::failure_of);
            (ended, fault)
        }
        Err(fault) => (None, Some(fault)),
    };
    let hook = HookIdentity {
        label: rollback.label.clone(),
        event: rollback.event.clone(),
        device: rollback.device.clone(),
        path: program.to_path_buf(),
        command: rollback.command.clone(),
    };
    let run = HookRun::tolerated(hook, ended, fault);
    match (&run.failure, &rollback.undo) {
        (Some(failure), _) => sys::write_stderr(format!("{}\n", failure.line()).as_bytes()),
        (None, Some((owner, file))) => ledger::strike_left(runtime_dir, owner, file),
        (None, None) => {}
    }
    observer.observe(execution, &Notice::Finished(&run));
}

fn start(
    rollback: &LeftRollback,
    supervisor: &Supervisor,
    document: Option<&InputFile>,
    ends: Instant,
) -> io::Result<crate::process::job::Job> {
    let path = document.map(InputFile::path);
    let path = path.as_ref().map(|path| path.as_os_str().as_encoded_bytes());
    rollback.job.job(&rollback.run, path, supervisor.null()?, ends)
}
