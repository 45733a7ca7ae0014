//! `hookmux status`, and `hookmux` without arguments: the state of the host on one page.
//!
//! Nothing here grows with the number of records: the newest are read, and counters say the rest.

pub(super) mod entries;
mod text;

use anyhow::Context;

use super::args::{Format, StatusArgs};
use super::history::executions;
use super::history::seen::{Aftermath, Seen};
use super::install::libvirt_version::{self, LibvirtVersion};
use super::inventory::Inventory;
use super::inventory::listed::{self, HookState, Listed};
use super::json::execution::Execution;
use super::json::message::Message;
use super::json::status::{
    Status, StatusDay, StatusHook, StatusHooks, StatusHour, StatusLibvirt, StatusQueue, StatusUndos,
};
use super::json::undo::UndoState;
use super::json::value::{Time, Word};
use super::outbox::OutboxCounts;
use super::output::Output;
use super::queue::QueueState;
use super::remark::Remark;
use super::undo::LedgerState;
use super::{CommandEnd, CommandPlace, digest, rights};
use crate::bypass::{self, Bypass};
use crate::command::Fix;
use crate::event;
use crate::machine::clock;
use crate::record::counters::SpanCounters;
use crate::record::form::{RecordHead, RecordState};
use crate::record::history::History;
use crate::record::last_day::{self, LastDay};
use crate::trust::Trust;
use crate::undo::ledger::Ledger;
use entries::{EntryStatus, LookedDaemon};

/// How many calls that run, and how many jobs, are looked at.
const MAX_RUNNING: usize = 1000;
const MAX_JOBS: usize = 1000;
/// How many hooks that don't run, and how many failing jobs, are named.
const MAX_NAMED_HOOKS: usize = 20;
const MAX_NAMED_JOBS: usize = 10;

/// What is known about the host.
struct HostStatus<'a> {
    place: &'a CommandPlace,
    libvirt: Option<LibvirtVersion>,
    daemons: Vec<LookedDaemon>,
    entries: Vec<EntryStatus>,
    hooks: Vec<Listed>,
    /// The calls that run, the oldest first.
    running: Vec<RecordHead>,
    queue: QueueState,
    undos: LedgerState,
    outbox: OutboxCounts,
    day: LastDay,
    bypass: Bypass,
    digest: String,
}

/// The page for a command line without a command.
pub(super) fn run_bare(place: &CommandPlace, output: &mut Output) -> anyhow::Result<CommandEnd> {
    show(place, Format::Text, output)
}

pub(super) fn run(
    place: &CommandPlace,
    arguments: &StatusArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    show(place, arguments.output.format, output)
}

fn show(place: &CommandPlace, format: Format, output: &mut Output) -> anyhow::Result<CommandEnd> {
    let computed_us = clock::unix_microseconds();
    let loaded = place.load(output);
    let settings = &loaded.settings;
    // all of it before the first line is printed: half an answer would be a wrong one
    rights::must_read_hooks(settings)?;
    let history = executions::history(settings, output)?;
    let ledger = Ledger::new(&settings.runtime_dir);
    let queue = crate::queue::Queue::new(&settings.state_dir);
    rights::must_list(&[queue.directory().unchecked_path(), ledger.directory().unchecked_path()])?;
    let hooks = listed::all(Inventory::look(settings, place.surroundings.user))?;
    let digest = digest::compute(place, &loaded, &hooks)?;
    digest::keep(&loaded, &digest, computed_us);
    let day = last_day::look(&history);
    let daemons = entries::daemons(place, settings);
    let mut trust = Trust::new(place.surroundings.user);
    let status = HostStatus {
        place,
        libvirt: libvirt_version::of_host(),
        entries: entries::look(&settings.hooks_dir, &daemons, &day.last_calls),
        daemons,
        hooks,
        running: running(&history),
        queue: QueueState::read(place, settings, MAX_JOBS)?,
        undos: LedgerState::read(&ledger, None).context("the undos can't be read")?,
        outbox: OutboxCounts::read(settings),
        day,
        // the warning of every command says what is wrong with it
        bypass: bypass::load(&settings.hooks_dir, &mut trust).unwrap_or_default(),
        digest: digest.value,
    };
    match format {
        Format::Json => output.json(&status.json()),
        Format::Text => text::show(&status, output),
    }
    // what it has shown is of a copy, or of the defaults
    Ok(if loaded.problem.is_some() { CommandEnd::Problem } else { CommandEnd::Good })
}

/// Returns the calls that run now, the oldest first.
pub(super) fn running(history: &History) -> Vec<RecordHead> {
    let ids = history.spool().running_ids();
    let heads = ids.iter().take(MAX_RUNNING).filter_map(|id| history.head(id).ok());
    heads.filter(|head| head.state == RecordState::Running).collect()
}

/// How many undos there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UndoCounts {
    pub set_up: usize,
    pub due: usize,
    pub owed: usize,
    pub unread: usize,
}

impl UndoCounts {
    pub(super) fn of(ledger: &LedgerState) -> UndoCounts {
        let mut counts = UndoCounts { unread: ledger.unread(), ..UndoCounts::default() };
        for state in ledger.states() {
            match state {
                UndoState::SetUp | UndoState::Waits => counts.set_up += 1,
                UndoState::Due => counts.due += 1,
                UndoState::Owed => counts.owed += 1,
            }
        }
        counts
    }
}

impl HostStatus<'_> {
    fn active(&self) -> usize {
        self.hooks.iter().filter(|hook| hook.state == HookState::Active).count()
    }

    /// Returns the hooks that don't run, though they look as if they should.
    fn not_run(&self) -> impl Iterator<Item = &Listed> {
        self.hooks.iter().filter(|hook| hook.state.should_run())
    }

    /// Returns what to do next on a host where hookmux does nothing yet.
    fn next(&self) -> Vec<Remark> {
        let hooks_dir = &self.place.surroundings.hooks_dir;
        let command = |what: &str, words: &[&str]| {
            let fix = Fix::hookmux(hooks_dir, words);
            Remark::with_fix(format!("`{fix}` {what}"), fix)
        };
        let mut next = Vec::new();
        if !self.entries.iter().any(EntryStatus::is_called) {
            let is_taken = self.entries.iter().any(EntryStatus::is_foreign);
            next.push(match is_taken {
                false => command("makes hookmux libvirt's hook program", &["install"]),
                true => command(
                    "makes hookmux libvirt's hook program, and keeps the scripts that are there as hooks",
                    &["install", "--adopt"],
                ),
            });
        }
        if self.active() == 0 {
            let directory = hooks_dir.join("before_vm_start");
            next.push(Remark::from(format!(
                "an executable in {} runs before a guest starts",
                directory.display()
            )));
            next.push(command("shows all events", &["events"]));
        }
        next
    }

    /// Returns the calls of each of the last 24 hours.
    fn hours(&self) -> Vec<StatusHour> {
        let since = self.day.since.as_secs();
        let begins = (since..).step_by(3600).map(Time::of_seconds);
        let hour = |(began, counted): (Time, &SpanCounters)| StatusHour {
            began,
            calls: counted.calls,
            failed: counted.failed,
            lost: counted.lost,
            detached_failed: counted.detached_failed,
        };
        begins.zip(&self.day.hours).map(hour).collect()
    }

    fn json(&self) -> Status {
        let problems = self.not_run().take(MAX_NAMED_HOOKS).map(|hook| StatusHook {
            hook: hook.label.clone(),
            event: event::is_known(&hook.place).then(|| hook.place.clone()),
            state: Word(hook.state),
            reason: hook.reason.clone(),
            fix_keys: hook.fix.as_ref().into(),
        });
        let queue = self.queue.counts();
        let undos = UndoCounts::of(&self.undos);
        let hooks_dir = &self.place.surroundings.hooks_dir;
        Status {
            hookmux_version: env!("CARGO_PKG_VERSION"),
            hooks_dir: hooks_dir.as_path().into(),
            libvirt: StatusLibvirt {
                version: self.libvirt.map(|version| version.to_string()),
                daemons: self.daemons.iter().map(LookedDaemon::json).collect(),
            },
            entries: self.entries.iter().map(|entry| entry.json(hooks_dir)).collect(),
            hooks: StatusHooks {
                active: self.active(),
                not_run: self.not_run().count(),
                problems: problems.collect(),
            },
            running: self
                .running
                .iter()
                .map(|head| Execution::from(&Seen::new(head.clone(), Aftermath::default())))
                .collect(),
            queue: StatusQueue {
                jobs: queue.jobs,
                running: queue.running,
                waiting: queue.waiting,
                failing: queue.failing,
                put_aside: queue.put_aside,
                unread: queue.unread,
                oldest_s: queue.oldest.map(Into::into),
                failures: self.queue.failing().take(MAX_NAMED_JOBS).collect(),
            },
            undos: StatusUndos {
                set_up: undos.set_up,
                due: undos.due,
                owed: undos.owed,
                unread: undos.unread,
            },
            outbox: self.outbox.json(),
            last_day: self.day.counted.map(|counted| StatusDay {
                calls: counted.calls,
                failed: counted.failed,
                lost: counted.lost,
                detached_failed: counted.detached_failed,
                exact: self.day.is_exact,
                hours: self.hours(),
                last_failure: self.day.last_failed.as_ref().map(Execution::from),
            }),
            bypasses: super::bypass::json_entries(&self.bypass, hooks_dir),
            digest: self.digest.clone(),
            next: Message::all(&self.next()),
        }
    }
}
