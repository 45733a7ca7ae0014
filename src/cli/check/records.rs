//! What became of records, and whether hooks are switched off.

use std::collections::BTreeSet;
use std::time::Duration;

use super::finding::{Code, Findings, Fix, counted, with_suffix, words};
use super::survey::Survey;
use crate::bypass;
use crate::cli::bypass as switch;
use crate::machine::{clock, ulid};
use crate::record::counters::{self, Counters};
use crate::record::form::{RecordCause, RecordOutcome};
use crate::record::history::{self, Filter, History};
use crate::record::mover;
use crate::trust::Trust;

/// A record that has waited longer to be moved is stuck.
const LATE_RECORD_MILLISECONDS: u64 = 600_000;

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    let settings = survey.settings;
    let history = History::new(&settings.runtime_dir, &settings.state_dir);
    let spool = history.spool();
    let now = clock::unix_time();
    let dropped = spool.dropped();
    if dropped.records > 0 {
        let words = format!(
            "{} could not be kept since the host was started: {} was full, or no file could be made there",
            counted(usize::try_from(dropped.records).unwrap_or(usize::MAX), "record"),
            settings.runtime_dir.unchecked_path().display()
        );
        let fix = Fix::run(&words!["df", "-h", settings.runtime_dir.unchecked_path()]);
        findings.add(Code::RecordsDropped, spool.base().unchecked_path(), words, fix);
    }
    if dropped.journal > 0 {
        let words = format!(
            "the journal had no room for {} since the host was started; the records have it all",
            counted(usize::try_from(dropped.journal).unwrap_or(usize::MAX), "message")
        );
        findings.add(
            Code::JournalDropped,
            spool.base().unchecked_path(),
            words,
            Fix::run(&["systemctl", "status", "systemd-journald"]),
        );
    }
    let waiting = spool.done_ids();
    let oldest = waiting.first().and_then(|id| ulid::unix_milliseconds(id));
    let is_old =
        oldest.is_some_and(|time| millis(now).saturating_sub(time) > LATE_RECORD_MILLISECONDS);
    let events = spool.event_ids().len();
    let is_stuck = mover::is_stuck(spool) && waiting.len() + events > 0;
    if is_stuck || is_old {
        let why = if is_stuck { "can't be moved" } else { "are not being moved" };
        let words = format!(
            "{} in {} {why} to {}, and would be lost when the host restarts",
            match waiting.len() {
                0 => counted(events, "event"),
                records => counted(records, "record"),
            },
            settings.runtime_dir.unchecked_path().display(),
            settings.state_dir.unchecked_path().display()
        );
        findings.add(
            Code::RecordsStuck,
            spool.base().unchecked_path(),
            words,
            survey.command("prune"),
        );
    }
    let counters = counters::path(history.store().base());
    if let Err(newer) = Counters::load(history.store().base()) {
        let words = format!("{}: {newer}; executions aren't counted", counters.display());
        let fix = Fix::run(&words!["mv", "-n", &counters, with_suffix(&counters, ".newer")]);
        findings.add(Code::NewerFile, &counters, words, fix);
    }
    let lost = match survey.last_day.counted.map_or(0, |counted| counted.lost) {
        0 => 0,
        // a retry that succeeded clears it
        _ => {
            let since = Some(millis(now.saturating_sub(LOST_EXECUTIONS_PERIOD)));
            let lost = Filter { is_lost: true, since, ..Filter::default() };
            let retried = retried(&history, now);
            history.find(&lost).filter(|head| !retried.contains(&head.id)).count()
        }
    };
    if lost > 0 {
        let words = format!(
            "hookmux died in {} of the last day: its process was killed, or had an error of its own",
            counted(lost, "call")
        );
        findings.add(
            Code::LostExecutions,
            history.store().base().unchecked_path(),
            words,
            survey.command("log --lost"),
        );
    }
}

/// Of which time executions that hookmux didn't survive are reported.
const LOST_EXECUTIONS_PERIOD: Duration = Duration::from_secs(24 * 3600);

/// Returns the executions that were retried since, with success.
fn retried(history: &History, now: Duration) -> BTreeSet<String> {
    let since = Some(millis(now.saturating_sub(LOST_EXECUTIONS_PERIOD)));
    let recent = Filter { since, ..Filter::default() };
    history
        .find(&recent)
        .filter(|head| head.outcome == RecordOutcome::Success && !history::is_failed(head))
        .filter_map(|head| match head.cause {
            RecordCause::Retry(id) => Some(id),
            _ => None,
        })
        .collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Reports that hooks are switched off, or that the file that should switch them off is broken.
pub(super) fn examine_bypass(survey: &Survey<'_>, findings: &mut Findings) {
    let hooks_dir = &survey.settings.hooks_dir;
    let path = bypass::path(hooks_dir);
    match bypass::load(hooks_dir, &mut Trust::new(survey.user)) {
        Ok(now) => {
            for entry in &now.entries {
                let words =
                    format!("the emergency switch is on: {}", switch::describe(entry, hooks_dir));
                findings.add(Code::Bypassed, &path, words, entry.way_out(hooks_dir));
            }
        }
        Err(words) => {
            let fix = survey.command("bypass off");
            findings.add(Code::BrokenBypass, &path, words, fix);
        }
    }
}
