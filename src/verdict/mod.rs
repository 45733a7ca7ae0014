//! Turns the results of hooks into what libvirt gets: exit status and standard error. Pure.

use std::time::Duration;

use crate::config::choice::ResultKind;
use crate::libvirt::Class;
use crate::machine::{sanitize, truncate};
use crate::process::exit_status::{TERMINATED, TIMED_OUT};
use crate::process::job::{FinishedJob, ProcessOutcome};

/// The longest standard error for libvirt. With 4 MiB its client would lose the connection.
pub(crate) const MAX_STDERR_BYTES: usize = 4096;
/// How many characters of a hook's last line are quoted in the line about it.
const MAX_LAST_LINE_CHARS: usize = 300;

pub(crate) mod status_line;

/// The exit status with which a hook in vdsm's style stops the call.
const STOP_STATUS: i32 = 2;

/// A hook that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookFailure {
    /// The hook, as people call it.
    pub label: String,
    pub status: i32,
    /// What happened: `exit status 3 after 0.2 s`.
    pub what: String,
    /// The end of its standard error.
    pub stderr: Vec<u8>,
    /// Whether libvirt gets it even at calls where libvirt then kills the guest.
    pub kill: bool,
    /// Whether it is only reported and changes nothing: `on_failure: warn`, a rollback.
    pub is_tolerated: bool,
}

/// Returns status and description of a hook's failure; `None` where it succeeded.
pub(crate) fn failure_of(ended: &FinishedJob) -> Option<(i32, String)> {
    let after = |what: String| format!("{what} after {}", took(ended.duration));
    match &ended.outcome {
        ProcessOutcome::Exited(code) if ended.result == ResultKind::StatusLine => {
            let answer = status_line::read(&ended.stdout);
            let status = match *code {
                0 if answer.bails_out => STOP_STATUS,
                0 if answer.is_failure => 1,
                0 => return None,
                code => code,
            };
            let what = match (*code, answer.bails_out) {
                (0, true) => "answer BAILOUT (failed)".to_owned(),
                (0, false) => "answer 0 (failed)".to_owned(),
                (code, _) => format!("exit status {code}"),
            };
            let message = answer.message.map(|message| format!(": {message}")).unwrap_or_default();
            Some((status, after(what) + &message))
        }
        ProcessOutcome::Exited(0) => None,
        ProcessOutcome::Exited(code) => Some((*code, after(format!("exit status {code}")))),
        ProcessOutcome::Signaled(signal) => {
            let name = signal_name(*signal).map(|name| format!(" ({name})")).unwrap_or_default();
            Some((128 + signal, after(format!("killed by signal {signal}{name}"))))
        }
        ProcessOutcome::TimedOut { limit, calls_libvirt } => {
            let mut what = format!("timed out after {}", seconds(*limit));
            if *calls_libvirt {
                what.push_str(": it called libvirt, which is waiting for this hook");
            }
            if ended.unkillable {
                what.push_str(" (and can't be killed)");
            }
            Some((TIMED_OUT, what))
        }
        ProcessOutcome::Terminated => {
            Some((TERMINATED, after("ended with hookmux, which got SIGTERM,".to_owned())))
        }
        ProcessOutcome::NotStarted(obstacle) => Some((obstacle.status(), obstacle.to_string())),
    }
}

/// Tells whether a hook in vdsm's style that failed asks to stop the call.
pub(crate) fn asks_to_stop(ended: &FinishedJob) -> bool {
    match &ended.outcome {
        ProcessOutcome::Exited(STOP_STATUS) => true,
        ProcessOutcome::Exited(_) if ended.result == ResultKind::StatusLine => {
            status_line::read(&ended.stdout).bails_out
        }
        _ => false,
    }
}

/// Tells whether a start failed because of this process or the host: out of memory, too many processes,
/// or a failed step before the start.
pub(crate) fn is_start_error_of_host(ended: &FinishedJob) -> bool {
    matches!(&ended.outcome, ProcessOutcome::NotStarted(obstacle) if !obstacle.is_its_own())
}

/// Formats how long a hook took: `0.003 s`, `0.2 s`.
pub(crate) fn took(duration: Duration) -> String {
    match duration.as_millis() {
        0..=99 => format!("{:.3} s", duration.as_secs_f64().max(0.001)),
        _ => seconds(duration),
    }
}

/// Formats a duration for people.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn signal_name(signal: i32) -> Option<&'static str> {
    nix::sys::signal::Signal::try_from(signal).ok().map(|signal| signal.as_str())
}

/// Returns the exit status of a call: the status of the first failure that counts.
pub(crate) fn status(class: Class, failures: &[HookFailure], is_terminated: bool) -> i32 {
    let mut counting = failures.iter().filter(|failure| !failure.is_tolerated);
    match class {
        Class::Live if is_terminated => 0,
        Class::Live => first(counting.find(|failure| failure.kill)),
        Class::Gate | Class::Notify if is_terminated => TERMINATED,
        Class::Gate | Class::Notify => first(counting.next()),
    }
}

fn first(failure: Option<&HookFailure>) -> i32 {
    failure.map_or(0, |failure| failure.status)
}

impl HookFailure {
    /// One that counts, in a call that kills nothing for it.
    pub(crate) fn new(label: &str, (status, what): (i32, String), stderr: Vec<u8>) -> HookFailure {
        let label = label.to_owned();
        HookFailure { label, status, what, stderr, kill: false, is_tolerated: false }
    }

    /// One that is only told: of a rollback, of a detached hook.
    pub(crate) fn tolerated(label: &str, fault: (i32, String), stderr: Vec<u8>) -> HookFailure {
        HookFailure { is_tolerated: true, ..HookFailure::new(label, fault, stderr) }
    }

    /// Returns the one line about it.
    pub(crate) fn line(&self) -> String {
        let (label, what) = (self.label.as_bytes(), self.what.as_bytes());
        let line = format!("hookmux: {}: {}", sanitize::line(label), sanitize::line(what));
        line + &self.said(&|last| last)
    }

    /// Returns what happened and, where its standard error has it, why, as the line about it has them. `mask` takes
    /// secrets out, before anything is cut.
    pub(crate) fn reason(&self, mask: &dyn Fn(String) -> String) -> String {
        mask(self.what.clone()) + &self.said(mask)
    }

    /// Returns the last line of its standard error behind a colon, or nothing.
    fn said(&self, mask: &dyn Fn(String) -> String) -> String {
        let last = self.last_line().map(mask).unwrap_or_default();
        let kept: String = last.chars().take(MAX_LAST_LINE_CHARS).collect();
        if kept.is_empty() { kept } else { format!(": {kept}") }
    }

    fn last_line(&self) -> Option<String> {
        let line =
            self.stderr.split(|byte| *byte == b'\n').rfind(|line| !line.trim_ascii().is_empty())?;
        Some(sanitize::line(line.trim_ascii()))
    }

    /// Tells whether its standard error has more than the line about it quotes.
    fn has_more(&self) -> bool {
        self.stderr.trim_ascii().contains(&b'\n')
            || self.last_line().is_some_and(|line| line.chars().count() > MAX_LAST_LINE_CHARS)
    }
}

/// Returns the text for standard error: a line for every failure, then the end of what each one
/// printed.
pub(crate) fn stderr_text(failures: &[HookFailure]) -> String {
    let mut text = String::new();
    for (index, failure) in failures.iter().enumerate() {
        let line = failure.line();
        if text.len() + line.len() + 64 > MAX_STDERR_BYTES {
            text.push_str(&format!("hookmux: and {} more\n", failures.len() - index));
            break;
        }
        text.push_str(&line);
        text.push('\n');
    }
    let with_more: Vec<&HookFailure> =
        failures.iter().filter(|failure| failure.has_more()).collect();
    for (index, failure) in with_more.iter().enumerate() {
        let head =
            format!("--- the end of what {} said:\n", sanitize::line(failure.label.as_bytes()));
        let left = MAX_STDERR_BYTES.saturating_sub(text.len() + 1);
        let share = left / (with_more.len() - index);
        let Some(room) = share.checked_sub(head.len()).filter(|room| *room >= 80) else { break };
        let said = sanitize::text(failure.stderr.trim_ascii_end());
        text.push_str(&head);
        text.push_str(truncate::keep_end(&said, room));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::capture::Capture;
    use std::io;

    fn ended(outcome: ProcessOutcome) -> FinishedJob {
        FinishedJob {
            outcome,
            duration: Duration::from_millis(230),
            result: ResultKind::default(),
            stdout: Capture::default(),
            stderr: Capture::default(),
            leftovers: Vec::new(),
            unkillable: false,
        }
    }

    fn failure(label: &str, status: i32, stderr: &str) -> HookFailure {
        let what = format!("exit status {status} after 0.2 s");
        HookFailure {
            label: label.into(),
            status,
            what,
            stderr: stderr.into(),
            kill: false,
            is_tolerated: false,
        }
    }

    #[test]
    fn ends_become_statuses_and_words() {
        let limit = Duration::from_secs(2);
        let table = [
            (ProcessOutcome::Exited(0), None),
            (ProcessOutcome::Exited(3), Some((3, "exit status 3 after 0.2 s"))),
            (ProcessOutcome::Exited(255), Some((255, "exit status 255 after 0.2 s"))),
            (
                ProcessOutcome::Signaled(11),
                Some((139, "killed by signal 11 (SIGSEGV) after 0.2 s")),
            ),
            (
                ProcessOutcome::TimedOut { limit, calls_libvirt: false },
                Some((124, "timed out after 2.0 s")),
            ),
            (
                ProcessOutcome::TimedOut { limit, calls_libvirt: true },
                Some((
                    124,
                    "timed out after 2.0 s: it called libvirt, which is waiting for this hook",
                )),
            ),
            (
                ProcessOutcome::Terminated,
                Some((143, "ended with hookmux, which got SIGTERM, after 0.2 s")),
            ),
        ];
        for (outcome, expected) in table {
            let shown = format!("{outcome:?}");
            let seen = failure_of(&ended(outcome));
            assert_eq!(seen.as_ref().map(|(s, w)| (*s, w.as_str())), expected, "{shown}");
        }
        for (error, status) in
            [(libc::ENOEXEC, 126), (libc::ENOENT, 127), (libc::EACCES, 126), (libc::E2BIG, 126)]
        {
            let outcome = ProcessOutcome::NotStarted(io::Error::from_raw_os_error(error).into());
            assert_eq!(failure_of(&ended(outcome)).map(|(status, _)| status), Some(status));
        }
    }

    fn answered(code: i32, said: &str) -> FinishedJob {
        let mut stdout = Capture::default();
        stdout.push(said.as_bytes());
        let result = ResultKind::StatusLine;
        FinishedJob { stdout, result, ..ended(ProcessOutcome::Exited(code)) }
    }

    #[test]
    fn an_answer_on_the_last_line_counts_beside_the_exit_status() {
        for (code, said, expected, stops) in [
            (0, "", None, false),
            (0, "working\n1 done", None, false),
            (0, "0 no licence\n", Some((1, "answer 0 (failed) after 0.2 s: no licence")), false),
            (0, "0", Some((1, "answer 0 (failed) after 0.2 s")), false),
            (0, "BAILOUT\n", Some((2, "answer BAILOUT (failed) after 0.2 s")), true),
            (
                0,
                "BAILOUT no more\n1 x",
                Some((2, "answer BAILOUT (failed) after 0.2 s: no more")),
                true,
            ),
            // an exit status that isn't 0 fails all the same
            (3, "1 done", Some((3, "exit status 3 after 0.2 s")), false),
            (3, "0 no switch", Some((3, "exit status 3 after 0.2 s: no switch")), false),
            (3, "BAILOUT", Some((3, "exit status 3 after 0.2 s")), true),
            (2, "1 done", Some((2, "exit status 2 after 0.2 s")), true),
        ] {
            let ended = answered(code, said);
            let seen = failure_of(&ended);
            assert_eq!(seen.as_ref().map(|(s, w)| (*s, w.as_str())), expected, "{said:?}");
            assert_eq!(asks_to_stop(&ended), stops, "{said:?}");
            // without the key only the exit status counts
            let plain = FinishedJob { result: ResultKind::ExitStatus, ..ended };
            let status = failure_of(&plain).map_or(0, |(status, _)| status);
            assert_eq!((status, asks_to_stop(&plain)), (code, code == 2), "{said:?}");
        }
        // a process that didn't end by itself said nothing that counts
        let mut killed = answered(0, "1 done");
        killed.outcome = ProcessOutcome::Signaled(9);
        assert_eq!(failure_of(&killed).unwrap().0, 137);
        assert!(!asks_to_stop(&killed));
    }

    #[test]
    fn what_kept_a_program_from_starting_is_its_own_or_not() {
        let not_started = |error: io::Error| ended(ProcessOutcome::NotStarted(error.into()));
        for number in [libc::ENOEXEC, libc::ENOENT, libc::EACCES] {
            assert!(!is_start_error_of_host(&not_started(io::Error::from_raw_os_error(number))));
        }
        for number in [libc::EAGAIN, libc::ENOMEM, libc::EMFILE, libc::E2BIG] {
            assert!(is_start_error_of_host(&not_started(io::Error::from_raw_os_error(number))));
        }
        assert!(is_start_error_of_host(&not_started(io::Error::other("setsid: x"))));
        assert!(!is_start_error_of_host(&ended(ProcessOutcome::Exited(126))));
    }

    #[test]
    fn the_class_decides_what_a_failure_means() {
        let plain = failure("a", 3, "");
        let later = failure("b", 4, "");
        let kill = HookFailure { kill: true, ..failure("c", 5, "") };
        let warned = HookFailure { is_tolerated: true, kill: true, ..failure("w", 6, "") };
        for (class, failures, terminated, expected) in [
            (Class::Gate, vec![], false, 0),
            (Class::Gate, vec![plain.clone(), later.clone()], false, 3),
            (Class::Notify, vec![later.clone()], false, 4),
            (Class::Gate, vec![warned.clone(), later.clone()], false, 4),
            (Class::Gate, vec![warned.clone()], false, 0),
            (Class::Live, vec![warned], false, 0),
            (Class::Live, vec![plain.clone(), later], false, 0),
            (Class::Live, vec![plain.clone(), kill.clone()], false, 5),
            (Class::Gate, vec![plain], true, 143),
            (Class::Notify, vec![], true, 143),
            (Class::Live, vec![kill], true, 0),
        ] {
            assert_eq!(status(class, &failures, terminated), expected, "{class:?} {failures:?}");
        }
    }

    #[test]
    fn every_failure_is_named_with_its_last_line() {
        let failures = [
            failure("before_vm_start/10-a", 3, "first\nno pages left\n\n"),
            failure("before_vm_start/20-b", 1, ""),
        ];
        assert_eq!(
            stderr_text(&failures),
            "hookmux: before_vm_start/10-a: exit status 3 after 0.2 s: no pages left\n\
             hookmux: before_vm_start/20-b: exit status 1 after 0.2 s\n\
             --- the end of what before_vm_start/10-a said:\nfirst\nno pages left\n"
        );
        assert_eq!(stderr_text(&[]), "");
    }

    #[test]
    fn what_libvirt_gets_is_bounded_and_clean() {
        let loud = "x\u{1b}[2J\r\n".repeat(100_000) + "\u{7}the end";
        let mut failures: Vec<HookFailure> =
            (0..3).map(|n| failure(&format!("e/{n}\n"), 1, &loud)).collect();
        let text = stderr_text(&failures);
        assert!(
            text.len() <= MAX_STDERR_BYTES && text.len() > MAX_STDERR_BYTES / 2,
            "{}",
            text.len()
        );
        assert!(!text.contains('\u{1b}') && !text.contains('\r'));
        assert_eq!(text.matches("the end\n").count(), 6);
        failures.extend((0..1000).map(|n| failure(&format!("more/{n}"), 1, "")));
        let text = stderr_text(&failures);
        assert!(text.len() <= MAX_STDERR_BYTES && text.contains(" more\n"));
    }
}
