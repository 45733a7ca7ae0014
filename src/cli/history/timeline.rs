//! The time of an execution from left to right: when each hook waited, when it ran, and where its limit was. For the
//! bars of `show` and of its HTML.

use super::seen::Seen;
use crate::cli::time;
use crate::machine::clock;
use crate::record::form::{Record, RecordOutcome, RecordState, RunRecord, WaitRecord};
use crate::record::running::{EndedHook, StartedHook};
use crate::run::left_rollback;
use crate::undo;

/// A piece of the time, in microseconds from the left end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub start_us: u64,
    pub end_us: u64,
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowKind {
    /// The call itself, which had to wait.
    Call,
    Hook,
    Rollback,
    Undo,
}

/// How a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowEnd {
    Good,
    Failed,
    TimedOut,
    Queued,
    Running,
    /// It only waited.
    NotRun,
    /// It isn't known.
    Unknown,
}

impl RowEnd {
    pub(crate) fn word(self) -> &'static str {
        match self {
            RowEnd::Good | RowEnd::NotRun => "",
            RowEnd::Failed => "failed",
            RowEnd::TimedOut => "timed out",
            RowEnd::Queued => "queued",
            RowEnd::Running => "running",
            RowEnd::Unknown => "unknown",
        }
    }

    fn of(outcome: RecordOutcome) -> RowEnd {
        match outcome {
            RecordOutcome::Success => RowEnd::Good,
            RecordOutcome::Failure => RowEnd::Failed,
            RecordOutcome::Timeout => RowEnd::TimedOut,
            RecordOutcome::Queued => RowEnd::Queued,
            RecordOutcome::Bypassed | RecordOutcome::Unknown => RowEnd::Unknown,
        }
    }
}

/// A wait, and what it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowWait {
    pub span: Span,
    pub reason: String,
}

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub name: String,
    pub kind: RowKind,
    pub end: RowEnd,
    pub waits: Vec<RowWait>,
    /// `None` where it wasn't started.
    pub run: Option<Span>,
    /// When its time was over, if it came near that or beyond it.
    pub limit_us: Option<u64>,
    pub changed_document: bool,
    pub job: Option<String>,
    /// Why it failed, where nothing else tells that yet.
    pub failure: Option<String>,
}

/// What a limit is not shown for: a run that took less than this share of it, in percent.
const NEAR_PERCENT: u64 = 80;
/// The name of the row of the call itself.
const CALL: &str = "(the call)";
/// What an attempt of a detached hook waited for.
const QUEUE: &str = "its turn in the queue";

/// The rows, and the time that they span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timeline {
    pub rows: Vec<Row>,
    /// The time at the right end; at least 1.
    pub total_us: u64,
    /// How much of it was spent in the queue, before the execution began.
    pub queue_us: u64,
}

impl Timeline {
    pub(crate) fn new(record: &Record, seen: &Seen, queue_us: Option<u64>) -> Timeline {
        let now_us = clock::unix_microseconds();
        Timeline::at(record, seen, queue_us, now_us)
    }

    fn at(record: &Record, seen: &Seen, queue_us: Option<u64>, now_us: u64) -> Timeline {
        let is_running = record.head.state == RecordState::Running;
        let passed_us = is_running.then(|| now_us.saturating_sub(record.head.began_us));
        let mut waits: Vec<&WaitRecord> =
            record.body.waits.iter().chain(&seen.progress.waits).collect();
        let mut rows: Vec<Row> = Vec::new();
        for run in &record.body.runs {
            let own = take_waits(&mut waits, &run.hook, run.device.as_deref());
            rows.push(Row::of_run(run, own));
        }
        let (started, ended) = seen.progress.runs();
        for hook in ended {
            let own = take_waits(&mut waits, &hook.hook, hook.device.as_deref());
            rows.push(Row::of_ended(hook, &started, own));
        }
        for hook in seen.progress.running() {
            let own = take_waits(&mut waits, &hook.hook, hook.device.as_deref());
            rows.push(Row::of_running(&hook, passed_us.unwrap_or_default(), own));
        }
        // of the call, and of hooks that never ran
        let mut alone: Vec<Row> = Vec::new();
        while let Some(first) = waits.first() {
            let (hook, device) = (first.hook.clone(), first.device.clone());
            let own: Vec<&WaitRecord>;
            (own, waits) = waits.into_iter().partition(|it| it.hook == hook && it.device == device);
            alone.push(Row::of_waits(own));
        }
        let (call, hooks): (Vec<Row>, Vec<Row>) =
            alone.into_iter().partition(|row| row.kind == RowKind::Call);
        rows.splice(0..0, call);
        rows.extend(hooks);
        let queue_us = queue_us.unwrap_or_default();
        if queue_us > 0 {
            rows.iter_mut().for_each(|row| row.shift(queue_us));
            let span = Span { start_us: 0, end_us: queue_us };
            if let Some(row) = rows.first_mut() {
                row.waits.insert(0, RowWait { span, reason: QUEUE.to_owned() });
            }
        }
        let took = record.head.duration_us.or(passed_us).map(|it| it.saturating_add(queue_us));
        let ends = rows.iter().flat_map(Row::ends).max().unwrap_or_default();
        // what ran beyond the answer of the call is drawn too
        let total_us = took.unwrap_or_default().max(ends).max(1);
        Timeline { rows, total_us, queue_us }
    }
}

impl Row {
    fn new(name: String, kind: RowKind, end: RowEnd) -> Row {
        Row {
            name,
            kind,
            end,
            waits: Vec::new(),
            run: None,
            limit_us: None,
            changed_document: false,
            job: None,
            failure: None,
        }
    }

    fn of_run(run: &RunRecord, waits: Vec<&WaitRecord>) -> Row {
        let kind = if run.undo.is_some() { RowKind::Undo } else { kind_of(&run.hook) };
        let mut row =
            Row::new(name(&run.hook, run.device.as_deref()), kind, RowEnd::of(run.outcome));
        row.waits = waits.into_iter().map(RowWait::of).collect();
        row.changed_document = run.changed_document;
        row.job.clone_from(&run.job);
        row.set_run(run.start_us, run.duration_us, run.limit_us);
        row
    }

    fn of_ended(ended: &EndedHook, started: &[&StartedHook], waits: Vec<&WaitRecord>) -> Row {
        let is_it = |it: &&&StartedHook| {
            it.hook == ended.hook
                && it.device == ended.device
                && Some(it.start_us) == ended.start_us
        };
        let limit_us = started.iter().find(is_it).and_then(|it| it.limit_us);
        let name = name(&ended.hook, ended.device.as_deref());
        let mut row = Row::new(name, kind_of(&ended.hook), RowEnd::of(ended.outcome));
        row.waits = waits.into_iter().map(RowWait::of).collect();
        row.failure.clone_from(&ended.failure);
        row.set_run(ended.start_us, ended.duration_us, limit_us);
        row
    }

    fn of_running(hook: &StartedHook, passed_us: u64, waits: Vec<&WaitRecord>) -> Row {
        let name = name(&hook.hook, hook.device.as_deref());
        let mut row = Row::new(name, kind_of(&hook.hook), RowEnd::Running);
        row.waits = waits.into_iter().map(RowWait::of).collect();
        let took = passed_us.saturating_sub(hook.start_us);
        row.set_run(Some(hook.start_us), Some(took), hook.limit_us);
        row
    }

    fn of_waits(waits: Vec<&WaitRecord>) -> Row {
        let first = waits.first().and_then(|wait| Some((wait.hook.as_ref()?, &wait.device)));
        let mut row = match first {
            None => Row::new(CALL.to_owned(), RowKind::Call, RowEnd::NotRun),
            Some((hook, device)) => {
                Row::new(name(hook, device.as_deref()), kind_of(hook), RowEnd::NotRun)
            }
        };
        row.waits = waits.into_iter().map(RowWait::of).collect();
        row
    }

    fn set_run(&mut self, start: Option<u64>, took: Option<u64>, limit: Option<u64>) {
        let took = took.unwrap_or_default();
        if let Some(start_us) = start {
            self.run = Some(Span { start_us, end_us: start_us.saturating_add(took) });
        }
        let is_near = |limit: &u64| {
            self.end == RowEnd::TimedOut
                || u128::from(took) * 100 >= u128::from(*limit) * u128::from(NEAR_PERCENT)
        };
        let limit = limit.filter(is_near).zip(start);
        self.limit_us = limit.map(|(limit, start)| start.saturating_add(limit));
        // one that waited in vain until its time was over
        let waited = self.waits.iter().map(|wait| wait.span.end_us).max();
        if self.end == RowEnd::TimedOut && start.is_none() {
            self.limit_us = waited;
        }
    }

    fn shift(&mut self, by_us: u64) {
        let spans = self.waits.iter_mut().map(|wait| &mut wait.span).chain(&mut self.run);
        for span in spans {
            span.start_us = span.start_us.saturating_add(by_us);
            span.end_us = span.end_us.saturating_add(by_us);
        }
        self.limit_us = self.limit_us.map(|limit| limit.saturating_add(by_us));
    }

    fn ends(&self) -> impl Iterator<Item = u64> {
        let waits = self.waits.iter().map(|wait| wait.span.end_us);
        waits.chain(self.run.map(|run| run.end_us)).chain(self.limit_us)
    }

    /// Returns how long it ran.
    pub(crate) fn took_us(&self) -> Option<u64> {
        self.run.map(|run| run.length_us())
    }

    /// Returns what its bar alone doesn't say.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        for wait in &self.waits {
            let time = time::short_duration(wait.span.length_us());
            notes.push(format!("waited {time} for {}", wait.reason));
        }
        // of one that was ended its failure says it
        if let Some(limit) = self.own_limit_us().filter(|_| self.end != RowEnd::TimedOut) {
            notes.push(format!("its limit is {}", time::short_duration(limit)));
        }
        notes.extend(self.failure.clone());
        if let Some(job) = self.job.as_ref().filter(|_| self.end == RowEnd::Queued) {
            notes.push(format!("queued as {job}"));
        }
        notes
    }

    /// Returns after how long its time was over, if it came near that.
    fn own_limit_us(&self) -> Option<u64> {
        let (run, limit) = (self.run?, self.limit_us?);
        Some(limit.saturating_sub(run.start_us))
    }
}

impl RowWait {
    fn of(wait: &WaitRecord) -> RowWait {
        let end_us = wait.start_us.saturating_add(wait.duration_us);
        RowWait { span: Span { start_us: wait.start_us, end_us }, reason: wait.reason.clone() }
    }
}

impl Span {
    pub(crate) fn length_us(self) -> u64 {
        self.end_us.saturating_sub(self.start_us)
    }
}

/// Takes the waits of a hook out of those that are left.
fn take_waits<'a>(
    left: &mut Vec<&'a WaitRecord>,
    hook: &str,
    device: Option<&str>,
) -> Vec<&'a WaitRecord> {
    let is_its =
        |wait: &&WaitRecord| wait.hook.as_deref() == Some(hook) && wait.device.as_deref() == device;
    let (own, others) = std::mem::take(left).into_iter().partition(is_its);
    *left = others;
    own
}

fn kind_of(label: &str) -> RowKind {
    match label {
        _ if left_rollback::is_label(label) => RowKind::Rollback,
        _ if undo::is_label(label) => RowKind::Undo,
        _ => RowKind::Hook,
    }
}

/// Names a hook, with the device.
pub(crate) fn name(hook: &str, device: Option<&str>) -> String {
    let device = device.map(|device| format!(" [{device}]")).unwrap_or_default();
    format!("{hook}{device}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cli::history::seen::Aftermath;
    use crate::record::form::{RecordBody, RecordHead};

    const MS: u64 = 1000;

    pub(crate) fn run(hook: &str, start: u64, took: u64) -> RunRecord {
        RunRecord {
            hook: hook.to_owned(),
            outcome: RecordOutcome::Success,
            start_us: Some(start * MS),
            duration_us: Some(took * MS),
            ..RunRecord::default()
        }
    }

    fn wait(hook: Option<&str>, start: u64, took: u64) -> WaitRecord {
        WaitRecord {
            hook: hook.map(str::to_owned),
            reason: "the lock `gpu`".to_owned(),
            start_us: start * MS,
            duration_us: took * MS,
            ..WaitRecord::default()
        }
    }

    pub(crate) fn timeline(
        runs: Vec<RunRecord>,
        waits: Vec<WaitRecord>,
        queue: Option<u64>,
    ) -> Timeline {
        let head = RecordHead {
            state: RecordState::Done,
            duration_us: Some(1000 * MS),
            ..RecordHead::default()
        };
        let record = Record {
            head: head.clone(),
            body: RecordBody { runs, waits, ..RecordBody::default() },
        };
        let seen = Seen::new(head, Aftermath::default());
        Timeline::at(&record, &seen, queue.map(|it| it * MS), 0)
    }

    fn span(start: u64, end: u64) -> Span {
        Span { start_us: start * MS, end_us: end * MS }
    }

    #[test]
    fn waits_belong_to_their_hooks_and_to_the_call() {
        let waits = vec![
            wait(None, 0, 100),
            wait(Some("a/2"), 200, 300),
            wait(Some("a/9"), 700, 100),
            wait(Some("a/2 (rollback)"), 900, 10),
        ];
        let runs = vec![run("a/1", 100, 100), run("a/2", 500, 200), run("a/2 (rollback)", 910, 50)];
        let all = timeline(runs, waits, None);
        let names: Vec<&str> = all.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["(the call)", "a/1", "a/2", "a/2 (rollback)", "a/9"]);
        let kinds: Vec<RowKind> = all.rows.iter().map(|row| row.kind).collect();
        use RowKind::{Call, Hook, Rollback};
        assert_eq!(kinds, [Call, Hook, Hook, Rollback, Hook]);
        assert_eq!(all.rows[2].waits[0].span, span(200, 500));
        assert_eq!(all.rows[2].run, Some(span(500, 700)));
        assert_eq!((all.rows[4].end, all.rows[4].run), (RowEnd::NotRun, None));
        assert_eq!(all.total_us, 1000 * MS);
    }

    #[test]
    fn a_limit_is_there_where_a_hook_came_near_it() {
        let limited = |took, outcome, limit| RunRecord {
            outcome,
            limit_us: Some(limit * MS),
            ..run("a/1", 200, took)
        };
        use RecordOutcome::{Success, Timeout};
        for (run, limit, total) in [
            (limited(790, Success, 1000), None, 1000),
            (limited(800, Success, 1000), Some(1200), 1200),
            (limited(1000, Timeout, 1000), Some(1200), 1200),
            (limited(1900, Timeout, 1000), Some(1200), 2100),
        ] {
            let all = timeline(vec![run], Vec::new(), None);
            assert_eq!(all.rows[0].limit_us, limit.map(|it| it * MS));
            assert_eq!(all.total_us, total * MS);
        }
        // its lock came too late
        let mut late = run("a/1", 0, 0);
        (late.start_us, late.duration_us, late.outcome) = (None, None, Timeout);
        let all = timeline(vec![late], vec![wait(Some("a/1"), 100, 600)], None);
        assert_eq!((all.rows[0].limit_us, all.rows[0].run), (Some(700 * MS), None));
    }

    #[test]
    fn the_time_in_the_queue_is_at_the_left() {
        let all = timeline(vec![run("a/1", 100, 900)], Vec::new(), Some(3000));
        assert_eq!(all.rows[0].waits[0].span, span(0, 3000));
        assert_eq!((all.rows[0].run, all.total_us), (Some(span(3100, 4000)), 4000 * MS));
    }

    #[test]
    fn any_times_are_a_timeline() {
        let max = u64::MAX;
        let mut odd = run("a/1", 0, 0);
        (odd.start_us, odd.duration_us, odd.limit_us) = (Some(max), Some(max), Some(max));
        let mut wait = wait(Some("a/1"), 0, 0);
        (wait.start_us, wait.duration_us) = (max, max);
        let all = timeline(vec![odd, run("a/1", 0, 0)], vec![wait], Some(max / 1000));
        assert_eq!(all.total_us, max);
        assert_eq!(timeline(Vec::new(), Vec::new(), None).rows, []);
    }
}
