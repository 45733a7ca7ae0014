//! What can be completed: the names of the host's hooks, guests, executions and jobs, and hookmux's own words.
//!
//! Nothing is printed but the candidates: what can't be read has none. A name that a shell would not take as one plain
//! word is left out, as the shells insert names unquoted: a guest called `$(reboot)` must never get into a command line
//! so.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};

use clap_complete::CompletionCandidate;

use crate::cli::inventory;
use crate::cli::plan::actions::Action;
use crate::cli::{CommandPlace, guests, time};
use crate::config::registration::EXTENSION;
use crate::config::{self, Settings};
use crate::event::{self, Origin};
use crate::libvirt::Driver;
use crate::libvirt::operation;
use crate::queue::Queue;
use crate::record::form::{RecordHead, RecordState};
use crate::record::history::History;
use crate::registry;
use crate::trust::Trust;

/// How many of the newest executions are offered.
const MAX_EXECUTIONS: usize = 50;

/// What an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Event,
    Driver,
    Operation,
    /// What is done with a guest, for `plan`.
    Action,
    Hook,
    Registration,
    Guest,
    Last,
    Execution,
    Running,
    Job,
    Origin,
    AddWord,
    DeleteWord,
}

/// Returns the candidates that begin with a text.
pub(super) fn of(kinds: &[Kind], current: &str) -> Vec<CompletionCandidate> {
    let mut all = Vec::new();
    let place = OnceCell::new();
    for kind in kinds {
        all.extend(of_kind(*kind, &place));
    }
    all.retain(|(name, _)| name.starts_with(current) && is_plain(name));
    let candidate = |(name, help): (String, String)| {
        CompletionCandidate::new(name).help((!help.is_empty()).then(|| help.into()))
    };
    all.into_iter().map(candidate).collect()
}

/// Tells whether every shell takes a name as one word, whatever is in it.
fn is_plain(name: &str) -> bool {
    let is_safe = |c: char| c.is_alphanumeric() || "-_./:@+,%".contains(c);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(is_safe)
}

/// Returns names, each with what it is.
fn of_kind(kind: Kind, place: &OnceCell<Place>) -> Vec<(String, String)> {
    let settings = || &place.get_or_init(Place::new).settings;
    let words = |words: &[(&str, &str)]| {
        words.iter().map(|(word, help)| ((*word).to_owned(), (*help).to_owned())).collect()
    };
    match kind {
        Kind::Event => {
            let event = |row: &event::EventRow| (row.name.to_owned(), String::new());
            event::TABLE.iter().map(event).collect()
        }
        Kind::Driver => {
            Driver::ALL.iter().map(|it| (it.name().to_owned(), String::new())).collect()
        }
        Kind::Operation => operations(),
        Kind::Action => {
            Action::ALL.iter().map(|action| (action.name().to_owned(), String::new())).collect()
        }
        Kind::Hook => hooks(settings()),
        Kind::Registration => registrations(settings()),
        Kind::Guest => guest_names(settings()),
        Kind::Last => words(&[("last", "the newest one")]),
        Kind::Execution => executions(settings(), |_| true),
        Kind::Running => executions(settings(), |head| head.state == RecordState::Running),
        Kind::Job => jobs(settings()),
        Kind::Origin => {
            let known = Origin::ALL.iter().filter(|origin| **origin != Origin::Unknown);
            known.map(|origin| (origin.name().to_owned(), String::new())).collect()
        }
        Kind::AddWord => words(&[
            ("script", "a script"),
            ("module", "a Python or Perl module"),
            ("contrib/", "a ready-made hook; `hookmux list --available` shows them"),
        ]),
        Kind::DeleteWord => words(&[("script", "of a script"), ("module", "of a module")]),
    }
}

/// The hooks directory that the command line names, and its settings.
struct Place {
    settings: Settings,
}

impl Place {
    fn new() -> Place {
        let place = CommandPlace::new(named_hooks_dir(), true);
        let mut trust = Trust::new(place.surroundings.user);
        Place { settings: config::load(&place.surroundings, &mut trust, false).settings }
    }
}

/// Returns the value of `--hooks-dir` in the command line that is being completed.
fn named_hooks_dir() -> Option<PathBuf> {
    let mut words = env::args_os().skip_while(|word| word != "--").skip(1);
    let mut named = None;
    while let Some(word) = words.next() {
        if word == "--hooks-dir" {
            named = words.next().map(PathBuf::from);
        }
        if let Some(value) = word.to_str().and_then(|word| word.strip_prefix("--hooks-dir=")) {
            named = Some(value.into());
        }
    }
    named
}

/// Returns libvirt's operations: of the driver, if the command line names one.
fn operations() -> Vec<(String, String)> {
    let driver = env::args_os().skip_while(|word| word != "--").find_map(Driver::from_name);
    let rows = operation::TABLE
        .iter()
        .filter(|row| driver.is_none_or(|driver| row.drivers.contains(&driver)));
    let names: BTreeSet<&str> = rows.map(|row| row.name).collect();
    names.into_iter().map(|name| (name.to_owned(), String::new())).collect()
}

fn hooks(settings: &Settings) -> Vec<(String, String)> {
    let labels = inventory::labels(settings, nix::unistd::geteuid().as_raw());
    labels.into_iter().map(|label| (label, String::new())).collect()
}

fn registrations(settings: &Settings) -> Vec<(String, String)> {
    let entries = registry::entries(settings).unwrap_or_default();
    let is_one = |path: &Path| path.extension().is_some_and(|end| end == EXTENSION);
    let names: BTreeSet<String> = entries
        .iter()
        .map(|entry| entry.path.as_path())
        .filter(|path| is_one(path))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.into_iter().map(|name| (name, String::new())).collect()
}

/// Returns the guests and networks that are defined or were called about.
fn guest_names(settings: &Settings) -> Vec<(String, String)> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for driver in Driver::ALL {
        names.extend(guests::defined(&settings.hooks_dir, driver).unwrap_or_default());
    }
    let history = History::new(&settings.runtime_dir, &settings.state_dir);
    let heads = history.newest().take(MAX_EXECUTIONS).filter_map(|id| history.head(&id).ok());
    names.extend(heads.map(|head| head.object).filter(|object| object != "-"));
    names.into_iter().map(|name| (name, String::new())).collect()
}

fn executions(settings: &Settings, is_meant: fn(&RecordHead) -> bool) -> Vec<(String, String)> {
    let history = History::new(&settings.runtime_dir, &settings.state_dir);
    let heads = history.newest().take(MAX_EXECUTIONS).filter_map(|id| history.head(&id).ok());
    heads
        .filter(is_meant)
        .map(|head| {
            let when = time::local(head.began_us / 1_000_000);
            let help = format!("{when} {} {} {}", head.driver, head.operation, head.object);
            (head.id, crate::machine::sanitize::line(help.as_bytes()))
        })
        .collect()
}

fn jobs(settings: &Settings) -> Vec<(String, String)> {
    let queue = Queue::new(&settings.state_dir);
    let ids = queue.ids().unwrap_or_default();
    ids.into_iter().map(|id| (id, String::new())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_are_offered() {
        for (name, is) in [
            ("web1", true),
            ("before_vm_start/10-x", true),
            ("生產", true),
            ("", false),
            ("a b", false),
            ("$(reboot)", false),
            ("`id`", false),
            ("a;b", false),
            ("-rf", false),
            ("a'b", false),
            ("~root", false),
            ("a*", false),
            ("x\ny", false),
        ] {
            assert_eq!(is_plain(name), is, "{name:?}");
        }
    }
}
