//! What runs in an execution at this moment. Its process writes that into a file in memory, which readers find
//! among its open files by the execution's id. So nothing is left behind, however the process ends.
//!
//! The file has a line of JSON for each start and each end of a hook, in their order. A hook that has run for a
//! while has one more line, of a fixed length, which is written again for each new last line of its output.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::form::{RecordBody, RecordHead, RecordOutcome, RunRecord, WaitRecord};
use crate::machine::{files, truncate};

/// How the name of such a file begins; the id of its execution follows.
const NAME: &str = "hookmux-running-";
/// The length of the line for the last line of output, in bytes, with the line end.
const LAST_LINE_BYTES: usize = 1024;
/// How much of a last line is kept, in bytes: it may need six times as many in JSON.
const MAX_KEPT_BYTES: usize = 150;
/// The read limit, in bytes: some ten thousand hooks.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// A limit that is longer than this is none, in microseconds: ten years.
const UNLIMITED_US: u128 = 10 * 365 * 24 * 3600 * 1_000_000;
/// How often the file is read until it has stayed the same, as it may be written meanwhile.
const MAX_READS: u32 = 5;

/// How the label of a hook's check ends, behind that of the hook.
const CHECK_SUFFIX: &str = " (check)";

/// Returns the label of a hook's check.
pub(super) fn check_label(hook: &str) -> String {
    format!("{hook}{CHECK_SUFFIX}")
}

/// Returns a time limit in microseconds; `None` where it is none.
pub(super) fn limit_us(limit: Duration) -> Option<u64> {
    u64::try_from(limit.as_micros()).ok().filter(|_| limit.as_micros() < UNLIMITED_US)
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Started(StartedHook),
    Ended(EndedHook),
    Waited(WaitRecord),
    Said { hook: String, device: Option<String>, line: String },
}

/// A hook that has been started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StartedHook {
    pub hook: String,
    pub device: Option<String>,
    pub pid: i32,
    /// The time from the beginning of the call to its start, in microseconds.
    pub start_us: u64,
    /// `None` where it has no time limit.
    pub limit_us: Option<u64>,
    /// The last line of its output so far, if it has run for more than a second.
    pub last_line: Option<String>,
}

/// A hook that has ended, or failed without a start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EndedHook {
    pub hook: String,
    pub event: Option<String>,
    pub device: Option<String>,
    pub start_us: Option<u64>,
    pub duration_us: Option<u64>,
    pub outcome: RecordOutcome,
    pub status: i32,
    pub failure: Option<String>,
}

impl StartedHook {
    /// Tells whether it is only the check of a hook.
    fn is_check(&self) -> bool {
        self.hook.ends_with(CHECK_SUFFIX)
    }
}

/// What a running execution has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// In the order of their starts, also those that have ended.
    pub started: Vec<StartedHook>,
    /// In the order of their ends.
    pub ended: Vec<EndedHook>,
    /// What hooks, or the call itself, had to wait for.
    pub waits: Vec<WaitRecord>,
}

impl From<&RunRecord> for EndedHook {
    fn from(run: &RunRecord) -> EndedHook {
        EndedHook {
            hook: run.hook.clone(),
            event: run.event.clone(),
            device: run.device.clone(),
            start_us: run.start_us,
            duration_us: run.duration_us,
            outcome: run.outcome,
            status: run.status,
            failure: run.failure.clone(),
        }
    }
}

/// The file of a running execution. Where it can't be made or written, nobody sees what runs.
#[derive(Debug, Default)]
pub(super) struct RunningFile {
    file: Option<File>,
    is_made: bool,
    length: u64,
    /// Where the last lines of hooks are, by hook and device.
    last_lines: Vec<(String, Option<String>, u64)>,
}

impl RunningFile {
    /// Notes that a hook was started. The first start makes the file, which also gets what was before.
    pub(super) fn start(
        &mut self,
        id: &str,
        hook: StartedHook,
        limit: Duration,
        before: &RecordBody,
    ) {
        if !self.is_made {
            self.is_made = true;
            let name = CString::new(format!("{NAME}{id}")).unwrap_or_default();
            self.file = files::memory_file(&name, b"").ok();
            before.runs.iter().for_each(|run| self.end(run));
            before.waits.iter().for_each(|wait| self.wait(wait));
        }
        let limit_us = limit_us(limit);
        // one that runs again has a new last line
        self.last_lines.retain(|(label, device, _)| *label != hook.hook || *device != hook.device);
        self.add(&Line::Started(StartedHook { limit_us, ..hook }));
    }

    pub(super) fn end(&mut self, run: &RunRecord) {
        if self.file.is_some() {
            self.add(&Line::Ended(run.into()));
        }
    }

    pub(super) fn wait(&mut self, wait: &WaitRecord) {
        if self.file.is_some() {
            self.add(&Line::Waited(wait.clone()));
        }
    }

    /// Notes that the check of a hook has ended, which isn't a run of the hook.
    pub(super) fn end_check(&mut self, label: String, device: Option<&str>) {
        if self.file.is_some() {
            let device = device.map(str::to_owned);
            let ended =
                EndedHook { hook: label, device, start_us: Some(0), ..EndedHook::default() };
            self.add(&Line::Ended(ended));
        }
    }

    pub(super) fn say(&mut self, hook: &str, device: Option<&str>, line: &str) {
        let Some(file) = &self.file else { return };
        let line = truncate::keep_start(line, MAX_KEPT_BYTES).to_owned();
        let place =
            self.last_lines.iter().find(|(label, of, _)| label == hook && of.as_deref() == device);
        let place = place.map(|(.., place)| *place);
        let (hook, device) = (hook.to_owned(), device.map(str::to_owned));
        let said = Line::Said { hook: hook.clone(), device: device.clone(), line };
        let mut text = serde_json::to_vec(&said).unwrap_or_default();
        if text.len() >= LAST_LINE_BYTES {
            return;
        }
        text.resize(LAST_LINE_BYTES - 1, b' ');
        text.push(b'\n');
        let at = place.unwrap_or(self.length);
        if file.write_all_at(&text, at).is_ok() && place.is_none() {
            self.length += text.len() as u64;
            self.last_lines.push((hook, device, at));
        }
    }

    fn add(&mut self, line: &Line) {
        let Some(file) = &self.file else { return };
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        match file.write_all_at(&text, self.length) {
            Ok(()) => self.length += text.len() as u64,
            // half of it would make a second line unreadable
            Err(_) => self.file = None,
        }
    }
}

/// Reads what a running execution has done so far. Nothing is known where its process has ended, belongs to
/// another user, or has started no hook yet.
pub(crate) fn read(head: &RecordHead) -> Progress {
    if !head.process.is_alive() {
        return Progress::default();
    }
    let wanted = format!("/memfd:{NAME}{} (deleted)", head.id);
    let wanted = Path::new(&wanted);
    let descriptors = Path::new("/proc").join(head.process.pid.to_string()).join("fd");
    let mut open = fs::read_dir(descriptors).into_iter().flatten().flatten();
    let is_it = |entry: &fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|link| link == wanted);
    let Some(found) = open.find(is_it) else { return Progress::default() };
    let read = || files::read_open(&File::open(found.path())?, MAX_FILE_BYTES);
    let mut text = Vec::new();
    for _ in 0..MAX_READS {
        let again = read().unwrap_or_default();
        if again == text {
            break;
        }
        text = again;
    }
    Progress::parse(&text)
}

impl Progress {
    /// Reads the lines; what isn't one is passed over.
    fn parse(text: &[u8]) -> Progress {
        let mut progress = Progress::default();
        for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"))
        {
            match serde_json::from_slice(line) {
                Ok(Line::Started(hook)) => progress.started.push(hook),
                Ok(Line::Ended(hook)) => progress.ended.push(hook),
                Ok(Line::Waited(wait)) => progress.waits.push(wait),
                Ok(Line::Said { hook, device, line }) => {
                    let is_it = |started: &&mut StartedHook| {
                        started.hook == hook && started.device == device
                    };
                    if let Some(started) = progress.started.iter_mut().rev().find(is_it) {
                        started.last_line = Some(line);
                    }
                }
                // of another version
                Err(_) => {}
            }
        }
        progress
    }

    /// Returns the starts and ends of hooks, without those of their checks.
    pub(crate) fn runs(&self) -> (Vec<&StartedHook>, Vec<&EndedHook>) {
        let started = self.started.iter().filter(|hook| !hook.is_check());
        let ended = self.ended.iter().filter(|hook| !hook.hook.ends_with(CHECK_SUFFIX));
        (started.collect(), ended.collect())
    }

    /// Returns the hooks that run at this moment, and the checks of hooks.
    pub(crate) fn running(&self) -> Vec<StartedHook> {
        let ends = |hook: &StartedHook| {
            let is_it = |ended: &&EndedHook| ended.hook == hook.hook && ended.device == hook.device;
            self.ended.iter().filter(is_it).filter(|ended| ended.start_us.is_some()).count()
        };
        let mut seen: Vec<&StartedHook> = Vec::new();
        let mut running = Vec::new();
        for hook in &self.started {
            let before = seen.iter().filter(|it| it.hook == hook.hook && it.device == hook.device);
            if before.count() >= ends(hook) {
                running.push(hook.clone());
            }
            seen.push(hook);
        }
        running
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{boot, proc, ulid};
    use crate::record::form::RecordProcess;
    use crate::record::form::tests::record;

    fn head() -> RecordHead {
        let pid = nix::unistd::getpid().as_raw();
        let start = proc::start_time(pid).unwrap();
        let process = RecordProcess { boot: boot::id(), pid, start };
        RecordHead { id: ulid::new(), process, ..record().head }
    }

    fn hook(name: &str, start_us: u64) -> StartedHook {
        StartedHook { hook: name.to_owned(), pid: 7, start_us, ..StartedHook::default() }
    }

    fn run(name: &str, start_us: Option<u64>) -> RunRecord {
        let outcome = RecordOutcome::Success;
        RunRecord { hook: name.to_owned(), start_us, outcome, ..RunRecord::default() }
    }

    #[test]
    fn what_is_written_is_read_while_the_process_lives() {
        let head = head();
        assert_eq!(read(&head), Progress::default());
        let mut file = RunningFile::default();
        file.say("a/none", None, "nothing runs");
        file.end(&run("a/none", Some(1)));
        assert_eq!(read(&head), Progress::default());
        let wait = WaitRecord { reason: "x".to_owned(), duration_us: 7, ..WaitRecord::default() };
        let before = RecordBody {
            runs: vec![run("a/refused", None)],
            waits: vec![wait.clone()],
            ..RecordBody::default()
        };
        file.start(&head.id, hook("a/1", 5), Duration::from_secs(2), &before);
        file.start(&head.id, hook("a/2", 6), Duration::MAX, &before);
        let progress = read(&head);
        assert_eq!(progress.ended.len(), 1);
        assert_eq!(progress.waits, [wait]);
        assert_eq!(progress.running().len(), 2);
        assert_eq!(progress.running()[0].limit_us, Some(2_000_000));
        assert_eq!(progress.running()[1].limit_us, None);
        for line in ["one", &"\u{1}".repeat(500), "two"] {
            file.say("a/2", None, line);
            file.say("a/1", Some("vnet0"), "of no hook");
        }
        file.end(&run("a/1", Some(5)));
        let running = read(&head).running();
        assert_eq!(running.len(), 1);
        assert_eq!(running[0].last_line.as_deref(), Some("two"));
        // of another execution of the same process
        let other = RecordHead { id: ulid::new(), ..head.clone() };
        assert_eq!(read(&other), Progress::default());
        let mut gone = head.clone();
        gone.process.start += 1;
        assert_eq!(read(&gone), Progress::default());
        drop(file);
        assert_eq!(read(&head), Progress::default());
    }

    #[test]
    fn a_hook_that_runs_twice_is_told_apart() {
        let mut file = RunningFile::default();
        let head = head();
        let second = Duration::from_secs(1);
        file.start(&head.id, hook("a/1", 5), second, &RecordBody::default());
        file.say("a/1", None, "the first");
        file.end(&run("a/1", Some(5)));
        file.start(&head.id, hook("a/1", 9), second, &RecordBody::default());
        let running = read(&head).running();
        assert_eq!(running, [StartedHook { limit_us: Some(1_000_000), ..hook("a/1", 9) }]);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for text in
            [&b""[..], b"{", b"\n\n", b"{\"later\":{}}\n", b"\"later\"\n", b"{\"ended\":{}}"]
        {
            assert_eq!(Progress::parse(text), Progress::default());
        }
        assert_eq!(Progress::parse(b"{\"ended\":{}}\n").ended, [EndedHook::default()]);
    }
}
