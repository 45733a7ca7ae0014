//! `hookmux undo`: shows what hooks have set up and still have to take back, and takes it back.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::args::{Format, UndoArgs};
use super::json::change::ChangeSummary;
use super::json::message::Message;
use super::json::undo::{Undo, UndoOutcome, UndoState, Undone, Undos, UnreadUndo};
use super::json::value::Time;
use super::output::{Cell, Output, Tone};
use super::{CommandEnd, CommandPlace, question, rights};
use crate::call::door;
use crate::config::Settings;
use crate::machine::clock;
use crate::observer::{Notice, Observer, Tee};
use crate::occasion::Execution;
use crate::record::journal::Journal;
use crate::record::mover;
use crate::state::locks::{LockError, LockHolder};
use crate::undo::entry::Entry;
use crate::undo::ledger::Ledger;
use crate::undo::owed::{Owed, UnreadableEntry};
use crate::undo::owner_ledger::OwnerLedger;
use crate::undo::worker::{self, Workshop};

/// How long a guest's call is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes back what had to wait; waits for another worker that is active.
pub(super) fn work(
    place: &CommandPlace,
    started: Option<&str>,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let (settings, surroundings) = (&loaded.settings, &place.surroundings);
    if !surroundings.is_root() && !settings.session {
        return Ok(CommandEnd::Good);
    }
    door::prepare_process();
    if let Some(daemon) = started {
        worker::note_start(settings, daemon);
    }
    let mut journal = Journal::default();
    let worked = worker::work(&mut Workshop { settings, surroundings, observer: &mut journal });
    journal.finish();
    mover::start(&settings.hooks_dir, settings);
    worked.context("the ledger of undos can't be worked on")?;
    Ok(CommandEnd::Good)
}

pub(super) fn run(
    place: &CommandPlace,
    arguments: &UndoArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let settings = &loaded.settings;
    let ledger = Ledger::new(&settings.runtime_dir);
    rights::must_list(&[
        settings.runtime_dir.unchecked_path(),
        ledger.directory().unchecked_path(),
    ])?;
    let state = LedgerState::read(&ledger, arguments.guest.as_deref())?;
    if arguments.list {
        match arguments.output.format {
            Format::Json => output.json(&state.json()),
            Format::Text => state.show(output),
        }
        return Ok(CommandEnd::Good);
    }
    let is_over = |owed: &Owed| !matches!(state_of(owed), UndoState::SetUp | UndoState::Waits);
    let of_living: usize = match &arguments.guest {
        None => 0,
        Some(_) => state.all().filter(|owed| !is_over(owed)).count(),
    };
    if let Some(guest) = &arguments.guest {
        ensure!(
            !state.is_empty(),
            "nothing is owed for {guest}; `hookmux undo --list` shows what is"
        );
        let question =
            format!("{guest} may be running, and {of_living} of its hooks will be undone anyway.");
        let is_answered = arguments.yes || of_living == 0 || arguments.dry_run;
        if let Some(end) = question::ask(&question, is_answered, arguments.output.format, output) {
            return Ok(end);
        }
    }
    // what an earlier life owes is not taken from a guest that lives, but where somebody names it
    let is_meant =
        |owed: &Owed, lives: bool| arguments.guest.is_some() || (is_over(owed) && !lives);
    if arguments.dry_run {
        return Ok(preview(&state, &is_meant, arguments.output.format, output));
    }
    work_off(place, settings, state, &is_meant, arguments.output.format, output)
}

/// Shows what would be taken back.
fn preview(
    state: &LedgerState,
    is_meant: &dyn Fn(&Owed, bool) -> bool,
    format: Format,
    output: &mut Output,
) -> CommandEnd {
    let meant = |(own, entries): &'_ (OwnerLedger, Vec<Owed>)| {
        let lives = lives(own, entries);
        entries.iter().map(move |owed| is_meant(owed, lives)).collect::<Vec<bool>>()
    };
    let flags = state.owners.iter().flat_map(meant);
    let undos: Vec<&Owed> =
        state.all().zip(flags).filter(|(_, is_meant)| *is_meant).map(|(owed, _)| owed).collect();
    match format {
        Format::Json => output.json(&Undone {
            undone: 0,
            failed: 0,
            left: undos.len(),
            failures: Vec::new(),
            summary: ChangeSummary::new(!undos.is_empty(), true),
            undos: undos.into_iter().map(json_undo).collect(),
        }),
        Format::Text if undos.is_empty() => output.line("Nothing is owed."),
        Format::Text => {
            let rows: Vec<Vec<Cell>> = undos.iter().map(|owed| row(owed)).collect();
            output.table(&["OBJECT", "HOOK", "DEVICE", "STATE"], &rows);
            output.line(&format!("{} would be undone: --dry-run", undos.len()));
        }
    }
    CommandEnd::Idle
}

/// Tells whether a guest, or what else entries belong to, still needs what they set up.
fn lives(own: &OwnerLedger, entries: &[Owed]) -> bool {
    own.is_alive() || entries.iter().any(|owed| state_of(owed) == UndoState::SetUp)
}

fn work_off(
    place: &CommandPlace,
    settings: &Settings,
    state: LedgerState,
    is_meant: &dyn Fn(&Owed, bool) -> bool,
    format: Format,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    door::prepare_process();
    let is_text = format == Format::Text;
    let mut journal = Journal::default();
    let summary = ChangeSummary::new(false, false);
    let mut done =
        Undone { undone: 0, failed: 0, left: 0, failures: Vec::new(), undos: Vec::new(), summary };
    let mut has_tried = false;
    for (own, entries) in &state.owners {
        let now_lives = lives(own, entries);
        if !entries.iter().any(|owed| is_meant(owed, now_lives)) {
            continue;
        }
        has_tried = true;
        let holder = LockHolder::new("`hookmux undo`", "-");
        let failed = |error: std::io::Error| {
            let path = own.directory().unchecked_path().display();
            format!("{path} can't be dealt with: {error}; the others are undone all the same")
        };
        let count =
            |entries: &[Owed]| entries.iter().filter(|owed| is_meant(owed, now_lives)).count();
        let lock = match own.lock(&holder, Instant::now() + LOCK_TIMEOUT, &mut || false) {
            Ok(lock) => lock,
            Err(LockError::TimedOut(holder)) => {
                let who = holder.map(|holder| holder.description()).unwrap_or_default();
                let object = entries.first().map(|owed| owed.entry.object.as_str());
                let words = format!("a call of {} is under way: {who}", object.unwrap_or("-"));
                done.failures.push((&words).into());
                done.left += count(entries);
                continue;
            }
            Err(LockError::Terminated) => continue,
            Err(LockError::Failed(error)) => {
                done.failures.push((&failed(error)).into());
                done.left += count(entries);
                continue;
            }
        };
        // a call may have come meanwhile
        if let Err(error) = own.settle() {
            done.failures.push((&failed(error)).into());
            done.left += count(entries);
            continue;
        }
        let entries = own.entries().0;
        let now_lives = lives(own, &entries);
        let entries = entries.into_iter().filter(|owed| is_meant(owed, now_lives)).collect();
        let mut view = View { output, is_text };
        let mut observer = Tee(&mut journal, &mut view);
        let surroundings = &place.surroundings;
        let mut workshop = Workshop { settings, surroundings, observer: &mut observer };
        let result = workshop.undo(own, entries);
        own.release(lock);
        done.undone += result.done;
        done.left += result.left;
        done.failed += result.failed;
        done.failures.extend(result.failures.iter().map(|failure| {
            let line = failure.line();
            // every error of the command line begins with it
            Message::from(&line.strip_prefix("hookmux: ").unwrap_or(&line).to_owned())
        }));
    }
    journal.finish();
    done.summary = ChangeSummary::new(done.undone > 0, false);
    let is_bad = done.left > 0 || !done.failures.is_empty();
    match format {
        Format::Json => output.json(&done),
        Format::Text if !has_tried && state.is_empty() => output.line("Nothing is owed."),
        Format::Text if !has_tried => {
            let count = state.all().count();
            let undos = if count == 1 { "undo waits" } else { "undos wait" };
            output.line(&format!(
                "Nothing is owed now: {count} {undos} for the end of their guest or network."
            ));
        }
        Format::Text => {
            for failure in &done.failures {
                output.print_error(&failure.message);
            }
            let failed = match done.failed {
                0 => String::new(),
                failed => format!("{failed} failed and still owed, "),
            };
            output.line(&format!("{} undone, {failed}{} left.", done.undone, done.left));
        }
    }
    Ok(match (is_bad, done.undone) {
        (true, _) => CommandEnd::Problem,
        (false, 0) => CommandEnd::Idle,
        (false, _) => CommandEnd::Good,
    })
}

/// Shows each undo as it ends.
struct View<'a> {
    output: &'a mut Output,
    is_text: bool,
}

impl Observer for View<'_> {
    fn observe(&mut self, execution: &Execution, notice: &Notice<'_>) {
        if !self.is_text {
            return;
        }
        match notice {
            Notice::Finished(run) if run.failure.is_none() => {
                self.output.line(&format!("{}: {}", execution.object, run.label));
            }
            Notice::Skipped { label, why } => {
                self.output.line(&format!("{}: {label}: {why}", execution.object));
            }
            _ => {}
        }
    }
}

/// All entries, or those of one guest.
pub(super) struct LedgerState {
    owners: Vec<(OwnerLedger, Vec<Owed>)>,
    unread: Vec<UnreadableEntry>,
}

impl LedgerState {
    pub(super) fn read(ledger: &Ledger, guest: Option<&str>) -> anyhow::Result<LedgerState> {
        let owners = ledger.owners().context("the ledger of undos can't be read")?;
        let mut state = LedgerState { owners: Vec::new(), unread: Vec::new() };
        for owner in owners {
            let own = ledger.of(&owner);
            let (mut entries, unread) = own.entries();
            entries.retain(|owed| guest.is_none_or(|word| is_of(&owed.entry, word)));
            state.unread.extend(unread);
            if !entries.is_empty() {
                state.owners.push((own, entries));
            }
        }
        Ok(state)
    }

    fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Owed> {
        self.owners.iter().flat_map(|(_, entries)| entries)
    }

    /// Returns what becomes of each entry.
    pub(super) fn states(&self) -> impl Iterator<Item = UndoState> {
        self.all().map(state_of)
    }

    /// Returns the number of files that can't be read.
    pub(super) fn unread(&self) -> usize {
        self.unread.len()
    }

    fn show(&self, output: &mut Output) {
        if self.is_empty() {
            output.line("Nothing is owed.");
        } else {
            let rows: Vec<Vec<Cell>> = self.all().map(row).collect();
            output.table(&["OBJECT", "HOOK", "DEVICE", "STATE"], &rows);
        }
        for unread in &self.unread {
            output.toned(Tone::Bad, &unread.words());
        }
    }

    fn json(&self) -> Undos {
        let unread = self
            .unread
            .iter()
            .map(|one| UnreadUndo { path: one.path.as_path().into(), reason: one.why.clone() });
        Undos { undos: self.all().map(json_undo).collect(), unread: unread.collect() }
    }
}

/// Tells whether a word is the name or the uuid of an entry's guest or network.
fn is_of(entry: &Entry, word: &str) -> bool {
    let is_uuid = entry.uuid.as_ref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(word));
    entry.object == word || is_uuid
}

pub(super) fn state_of(owed: &Owed) -> UndoState {
    match (owed.is_over(), owed.is_provisional()) {
        _ if owed.is_left_to_worker() => UndoState::Due,
        (true, _) => UndoState::Owed,
        (false, true) if owed.is_expired() => UndoState::Due,
        (false, true) => UndoState::Waits,
        (false, false) => UndoState::SetUp,
    }
}

fn row(owed: &Owed) -> Vec<Cell> {
    let entry = &owed.entry;
    let last = entry.last.as_ref().map(|last| format!(": {last}")).unwrap_or_default();
    let (words, tone) = match state_of(owed) {
        UndoState::SetUp => ("set up", Tone::Good),
        UndoState::Waits => ("waits for prepare", Tone::Plain),
        UndoState::Due => ("due", Tone::Warning),
        UndoState::Owed => ("owed", Tone::Bad),
    };
    vec![
        format!("{} {}", entry.driver, entry.object).into(),
        entry.hook.clone().into(),
        entry.device.clone().unwrap_or_else(|| "-".to_owned()).into(),
        Cell(format!("{words}{last}"), tone),
    ]
}

fn json_undo(owed: &Owed) -> Undo {
    let entry = &owed.entry;
    let age = clock::duration_until(clock::boottime_ns(), entry.current.began_ns);
    Undo {
        hook: entry.hook.clone(),
        registration: entry.registration.clone(),
        event: entry.event.clone(),
        device: entry.device.clone(),
        driver: entry.driver.clone(),
        object: entry.object.clone(),
        uuid: entry.uuid.clone(),
        parent: entry.current.execution.clone(),
        began: Time::of_seconds(clock::unix_seconds().saturating_sub(age.as_secs())),
        state: state_of(owed),
        outcome: UndoOutcome::of(entry.current.is_done),
        interrupted: owed.name.is_undoing,
        shared: entry.shared,
        last: entry.last.clone(),
    }
}
