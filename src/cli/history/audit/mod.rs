//! The audit log: which commands changed something, who ran them, when, how they ended and why. Each is
//! stored in a file and written to the journal after the command has done its work. `hookmux log --audit`
//! shows it.

mod file;
mod journal;
mod secrets;
mod show;

use std::env;
use std::io;
use std::path::Path;

use crate::cli::args::{Arguments, BypassSwitch, Command};
use crate::cli::output::Output;
use crate::cli::{CommandEnd, CommandPlace, login_name, usage};
use crate::config;
use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::machine::{clock, truncate, ulid};
use crate::state::DirPresence;
use crate::trust::Trust;
use file::FAILED;
pub(crate) use file::{AuditEntry, prune};
pub(crate) use show::show;

/// The longest `--reason`, in bytes.
const MAX_REASON_BYTES: usize = 500;
/// The longest text of a failure, in bytes.
const MAX_MESSAGE_BYTES: usize = 500;
/// How much of a command's words is kept.
const MAX_COMMAND_BYTES: usize = 8 * 1024;

/// A command that changes something, while it runs.
pub(crate) struct AuditedAct {
    action: &'static str,
    reason: Option<String>,
    /// Whether it removes the directory in which it would be stored.
    is_purge: bool,
}

impl AuditedAct {
    /// Returns the act of a command; `None` if the command changes nothing.
    ///
    /// # Errors
    /// The reason is empty or too long.
    pub(crate) fn of(arguments: &Arguments) -> anyhow::Result<Option<AuditedAct>> {
        let Some((action, reason)) = action(arguments) else { return Ok(None) };
        if let Some(reason) = reason {
            usage::ensure(
                !reason.trim().is_empty() && reason.len() <= MAX_REASON_BYTES,
                format!("--reason needs a text of at most {MAX_REASON_BYTES} bytes"),
            )?;
        }
        let is_purge = matches!(&arguments.command, Some(Command::Uninstall(it)) if it.purge);
        Ok(Some(AuditedAct { action, reason: reason.cloned(), is_purge }))
    }

    /// Stores the act when it has ended. If that fails, only a message is printed.
    pub(crate) fn finish(
        self,
        place: &CommandPlace,
        ended: &anyhow::Result<CommandEnd>,
        output: &mut Output,
    ) {
        let (outcome, message) = match ended {
            Ok(
                CommandEnd::Idle
                | CommandEnd::Declined
                | CommandEnd::Unanswered
                | CommandEnd::WrongUsage
                | CommandEnd::Differs
                | CommandEnd::TryAgain,
            ) => return,
            Ok(CommandEnd::Good) => (file::DONE, None),
            Ok(CommandEnd::Problem) => (FAILED, output.last_error()),
            Err(error) if usage::is_wrong(error) => return,
            Err(error) => (FAILED, Some(format!("{error:#}"))),
        };
        let user = &place.surroundings.user;
        let hidden = |text: &str, max_bytes| {
            truncate::keep_start(&secrets::hide(text), max_bytes).to_owned()
        };
        let entry = AuditEntry {
            format: file::AUDIT_FORMAT,
            id: ulid::new(),
            at_us: clock::unix_microseconds(),
            user: login_name::get(),
            uid: *user,
            action: self.action.to_owned(),
            command: words(),
            hooks_dir: place.surroundings.hooks_dir.to_string_lossy().into_owned(),
            outcome: outcome.to_owned(),
            message: message.map(|text| hidden(&text, MAX_MESSAGE_BYTES)),
            reason: self.reason.map(|text| hidden(&text, MAX_REASON_BYTES)),
        };
        journal::write_entry(&entry);
        // storing it would make the directory again that was just removed
        if self.is_purge && outcome == file::DONE {
            return;
        }
        if let Err(error) = store(place, &entry) {
            output.print_error(&format!(
                "this command can't be stored for `hookmux log --audit`: {error}"
            ));
        }
    }
}

/// Stores an entry.
///
/// # Errors
/// Why it can't be stored: the directory is unknown, or can't be written to.
fn store(place: &CommandPlace, entry: &AuditEntry) -> Result<(), String> {
    let surroundings = &place.surroundings;
    let loaded = config::load(surroundings, &mut Trust::new(surroundings.user), false);
    let state_dir = &loaded.settings.state_dir;
    let usual = surroundings.state_dir();
    // acts about another hooks directory don't belong in the system's audit log
    if loaded.is_lost()
        && state_dir.unchecked_path() == usual
        && surroundings.hooks_dir != Path::new(DEFAULT_HOOKS_DIR)
    {
        return Err("hookmux.yaml can't be read, so the directory is unknown".to_owned());
    }
    // no directory is made for a user without rights whose command failed
    let is_there = matches!(state_dir.judge(), Ok(DirPresence::Present));
    if entry.outcome == FAILED && surroundings.user != 0 && !is_there {
        return Ok(());
    }
    match file::store(state_dir, entry, &loaded.settings.retention) {
        // the rights that the command hadn't either are told of once, by the command
        Err(error)
            if entry.outcome == FAILED
                && surroundings.user != 0
                && error.kind() == io::ErrorKind::PermissionDenied =>
        {
            Ok(())
        }
        stored => stored.map_err(|error| {
            format!("{}: {error}", file::directory(state_dir).unchecked_path().display())
        }),
    }
}

/// Returns a word for what is done, and the reason that was given.
fn action(arguments: &Arguments) -> Option<(&'static str, Option<&String>)> {
    Some(match arguments.command.as_ref()? {
        Command::Install(it) if !it.dry_run => ("install", it.reason.reason.as_ref()),
        Command::Uninstall(it) if !it.dry_run => ("uninstall", it.reason.reason.as_ref()),
        Command::New(it) if !it.dry_run => ("new", it.reason.reason.as_ref()),
        Command::Add(it) if !it.register.dry_run => ("add", it.register.reason.reason.as_ref()),
        Command::Import(it) if !it.register.dry_run => {
            ("import", it.register.reason.reason.as_ref())
        }
        Command::Delete(it) if !it.dry_run => ("delete", it.reason.reason.as_ref()),
        Command::Edit(it) => ("edit", it.reason.reason.as_ref()),
        Command::Enable(it) if !it.dry_run => ("enable", it.reason.reason.as_ref()),
        Command::Disable(it) if !it.dry_run => ("disable", it.reason.reason.as_ref()),
        Command::Queue(it) if it.dry_run => return None,
        Command::Queue(it) if it.flush.is_some() => ("queue-flush", it.reason.as_ref()),
        Command::Queue(it) if it.requeue.is_some() => ("queue-requeue", it.reason.as_ref()),
        Command::Undo(it) if !it.list && !it.dry_run => ("undo", it.reason.as_ref()),
        Command::Stop(it) if !it.dry_run => ("stop", it.reason.as_ref()),
        Command::Bypass(it) if it.dry_run => return None,
        Command::Bypass(it) => match it.turn? {
            BypassSwitch::On => ("bypass-on", it.reason.as_ref()),
            BypassSwitch::Off => ("bypass-off", it.reason.as_ref()),
        },
        _ => return None,
    })
}

/// Returns the words of this command, without secrets.
fn words() -> Vec<String> {
    let typed = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let mut left = MAX_COMMAND_BYTES;
    let all: Vec<String> = std::iter::once("hookmux".to_owned()).chain(typed).collect();
    secrets::hide_words(&all)
        .into_iter()
        .map_while(|word| {
            let word = truncate::keep_start(&word, left).to_owned();
            left = left.saturating_sub(word.len() + 1);
            (left > 0).then_some(word)
        })
        .collect()
}

/// Returns the error for a file that is not an act.
fn not_an_act() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not an entry of hookmux's audit log")
}
