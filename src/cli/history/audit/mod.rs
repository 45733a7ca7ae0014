//! What people changed: which commands, by whom, when, how it went and why. Kept in a file each and
//! told to the journal, after the command has done its work. `hookmux log --audit` shows it.

mod file;
mod journal;
mod secrets;
mod show;

use std::env;
use std::io;
use std::path::Path;

use anyhow::ensure;

use crate::cli::args::{Arguments, Command, Turn};
use crate::cli::output::Output;
use crate::cli::{End, Place, person};
use crate::config;
use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::machine::{clock, truncate, ulid};
use crate::state::DirPresence;
use crate::trust::Trust;
use file::FAILED;
pub(crate) use file::{Entry, prune};
pub(crate) use show::show;

/// The longest `--reason`, in bytes.
const MAX_REASON_BYTES: usize = 500;
/// The longest text of a failure, in bytes.
const MAX_MESSAGE_BYTES: usize = 500;
/// What is kept of a command's words, in bytes.
const MAX_COMMAND_BYTES: usize = 8 * 1024;

/// An act of a person's that is under way.
pub(crate) struct Act {
    action: &'static str,
    reason: Option<String>,
    /// Whether it takes away the place where it would be kept.
    is_purge: bool,
}

impl Act {
    /// The act that these words ask for; `None` where they change nothing.
    ///
    /// # Errors
    /// A reason that is none.
    pub(crate) fn of(arguments: &Arguments) -> anyhow::Result<Option<Act>> {
        let Some((action, reason)) = action(arguments) else { return Ok(None) };
        if let Some(reason) = reason {
            ensure!(
                !reason.trim().is_empty() && reason.len() <= MAX_REASON_BYTES,
                "--reason is a text of at most {MAX_REASON_BYTES} bytes"
            );
        }
        let is_purge = matches!(&arguments.command, Some(Command::Uninstall(it)) if it.purge);
        Ok(Some(Act { action, reason: reason.cloned(), is_purge }))
    }

    /// Keeps it, when it is over. Where it can't be kept, that is said, and nothing more.
    pub(crate) fn over(self, place: &Place, ended: &anyhow::Result<End>, output: &mut Output) {
        let (outcome, message) = match ended {
            Ok(End::Idle | End::Declined | End::Unanswered) => return,
            Ok(End::Good) => (file::DONE, None),
            Ok(End::Problem) => (FAILED, output.last_complaint()),
            Err(error) => (FAILED, Some(format!("{error:#}"))),
        };
        let user = &place.surroundings.user;
        let hidden = |text: &str, most| truncate::keep_start(&secrets::hide(text), most).to_owned();
        let entry = Entry {
            format: file::FORMAT,
            id: ulid::new(),
            at_us: clock::unix_microseconds(),
            user: person::name(),
            uid: *user,
            action: self.action.to_owned(),
            command: words(),
            hooks_dir: place.surroundings.hooks_dir.to_string_lossy().into_owned(),
            outcome: outcome.to_owned(),
            message: message.map(|text| hidden(&text, MAX_MESSAGE_BYTES)),
            reason: self.reason.map(|text| hidden(&text, MAX_REASON_BYTES)),
        };
        journal::tell(&entry);
        // it would make anew what was just removed
        if self.is_purge && outcome == file::DONE {
            return;
        }
        if let Err(error) = keep(place, &entry) {
            output.complain(&format!("it isn't kept for `hookmux log --audit`: {error}"));
        }
    }
}

/// # Errors
/// In words: it can't be kept, or nobody knows where.
fn keep(place: &Place, entry: &Entry) -> Result<(), String> {
    let surroundings = &place.surroundings;
    let loaded = config::load(surroundings, &mut Trust::new(surroundings.user), false);
    let state_dir = &loaded.settings.state_dir;
    let usual = surroundings.state_dir();
    // another directory's acts don't belong among the system's
    if loaded.is_lost()
        && state_dir.unchecked_path() == usual
        && surroundings.hooks_dir != Path::new(DEFAULT_HOOKS_DIR)
    {
        return Err("hookmux.yaml can't be read, and would say where".to_owned());
    }
    // who may do nothing here gets no directories for having tried
    let is_there = matches!(state_dir.judge(), Ok(DirPresence::Present));
    if entry.outcome == FAILED && surroundings.user != 0 && !is_there {
        return Ok(());
    }
    file::keep(state_dir, entry, &loaded.settings.retention).map_err(|error| {
        format!("{}: {error}", file::directory(state_dir).unchecked_path().display())
    })
}

/// A word for what is done, and the reason that was given.
fn action(arguments: &Arguments) -> Option<(&'static str, Option<&String>)> {
    Some(match arguments.command.as_ref()? {
        Command::Install(it) if !it.dry_run => ("install", it.reason.reason.as_ref()),
        Command::Uninstall(it) => ("uninstall", it.reason.reason.as_ref()),
        Command::Add(it) if !it.dry_run => ("add", it.reason.reason.as_ref()),
        Command::Delete(it) => ("delete", it.reason.reason.as_ref()),
        Command::Enable(it) => ("enable", it.reason.reason.as_ref()),
        Command::Disable(it) => ("disable", it.reason.reason.as_ref()),
        Command::Queue(it) if it.flush.is_some() => ("queue-flush", it.reason.as_ref()),
        Command::Queue(it) if it.requeue.is_some() => ("queue-requeue", it.reason.as_ref()),
        Command::Bypass(it) => match it.turn? {
            Turn::On => ("bypass-on", it.reason.as_ref()),
            Turn::Off => ("bypass-off", it.reason.as_ref()),
        },
        _ => return None,
    })
}

/// The words of this command, without secrets.
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

/// What is wrong with a file that is no act.
fn no_act() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is no act of hookmux's")
}
