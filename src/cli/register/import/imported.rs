//! The end of each import: what was read from the files becomes registrations, all of it or nothing.

use serde_json::{Map, Value};

use super::super::add::draft_checks::DraftChecker;
use super::super::written::{self, WriteOptions};
use super::super::{add, registry};
use crate::cli::args::{Format, RegisterArgs};
use crate::cli::install::libvirt_version;
use crate::cli::json::change::ChangeSummary;
use crate::cli::json::message::{EntryProblem, Message};
use crate::cli::json::registration::Added;
use crate::cli::output::Output;
use crate::cli::register::draft::{Draft, DraftContext};
use crate::cli::register::translate::DescriptionEntry;
use crate::cli::remark::{NamedRemarks, Remark};
use crate::cli::{CommandEnd, CommandPlace};
use crate::command::Fix;
use crate::config::{Registration, Settings};
use crate::registry::RegistrationFile;
use crate::trust::Trust;

/// Where a hook stands in the files that are imported.
#[derive(Clone, Debug)]
pub(super) struct ImportOrigin {
    /// For people.
    pub place: String,
    /// Its number among the entries of its file, from 1.
    pub entry: Option<usize>,
}

impl ImportOrigin {
    pub(super) fn problem(
        &self,
        key: Option<&str>,
        message: &str,
        fix: Option<&Fix>,
    ) -> EntryProblem {
        let named = key.map(|key| format!("{key}: ")).unwrap_or_default();
        let proposed = fix.map(|fix| format!("; `{fix}` takes that")).unwrap_or_default();
        let message = format!("{}: {named}{message}{proposed}", self.place);
        EntryProblem {
            message: Message { message, code: None, fix_keys: fix.into() },
            entry: self.entry,
            key: key.map(str::to_owned),
        }
    }
}

/// A hook to be registered.
pub(super) struct ImportedHook {
    pub origin: ImportOrigin,
    pub name: String,
    pub keys: Map<String, Value>,
    /// The comment at the beginning of its file.
    pub header: String,
}

/// What was read from all files.
#[derive(Default)]
pub(super) struct Imported {
    pub hooks: Vec<ImportedHook>,
    /// What was changed or left out of hooks, with their names.
    pub notes_of_hooks: NamedRemarks,
    /// What else there is to say.
    pub notes: Vec<Remark>,
    /// Why something can't be imported.
    pub problems: Vec<EntryProblem>,
}

impl Imported {
    /// Registers the hooks, or shows them for a dry run. If there is a problem, nothing is registered.
    ///
    /// # Errors
    /// The registry can't be read, locked or written.
    pub(super) fn register(
        self,
        place: &CommandPlace,
        settings: &Settings,
        arguments: &RegisterArgs,
        output: &mut Output,
    ) -> anyhow::Result<CommandEnd> {
        let Imported { hooks, notes_of_hooks, mut notes, mut problems } = self;
        notes.extend(notes_of_hooks.into_remarks());
        let user = place.surroundings.user;
        // from here on no other process changes the registry
        let lock = match arguments.dry_run || !problems.is_empty() {
            true => None,
            false => Some(registry::lock(settings, user)?),
        };
        let sources = registry::scan(settings, user)?;
        let checker = DraftChecker {
            settings,
            user,
            replaces: arguments.replace,
            is_nameable: false,
            libvirt: libvirt_version::of_host(),
        };
        let mut drafts: Vec<Draft> = Vec::new();
        for hook in hooks {
            let origin = hook.origin.clone();
            match draft(hook, settings, &checker, &sources, &drafts) {
                Ok(draft) => drafts.push(draft),
                Err(message) => problems.push(origin.problem(None, &message, None)),
            }
        }
        if !problems.is_empty() {
            return Ok(refuse(problems, &notes, arguments, output));
        }
        if arguments.output.format == Format::Text {
            add::show(&drafts, output);
        }
        notes.extend(checker.warnings(&drafts, &mut Trust::new(user)));
        written::write(
            lock.as_ref(),
            &drafts,
            &sources,
            &notes,
            WriteOptions::of(arguments),
            output,
        )
    }
}

/// Prepares the file of a hook.
///
/// # Errors
/// Why it can't be registered.
fn draft(
    hook: ImportedHook,
    settings: &Settings,
    checker: &DraftChecker<'_>,
    sources: &[RegistrationFile],
    earlier: &[Draft],
) -> Result<Draft, String> {
    let ImportedHook { name, keys, header, .. } = hook;
    if earlier.iter().any(|draft| draft.name == name) {
        return Err(format!("{name} is the name of an earlier one too"));
    }
    let own = earlier.iter().map(|draft| &draft.registration);
    let registered: Vec<&Registration> =
        sources.iter().filter_map(registry::read).chain(own).collect();
    let context = DraftContext { hooks_dir: &settings.hooks_dir, registered: &registered, header };
    let entry =
        DescriptionEntry { number: 1, name: Some(name.clone()), keys, is_unescalated: false };
    let drafts = context
        .draft(vec![entry], &name)
        .map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let draft = drafts.into_iter().next().ok_or("nothing comes of it")?;
    match checker.obstacle(&draft, sources) {
        Some(obstacle) => Err(obstacle),
        None => Ok(draft),
    }
}

fn refuse(
    problems: Vec<EntryProblem>,
    notes: &[Remark],
    arguments: &RegisterArgs,
    output: &mut Output,
) -> CommandEnd {
    if arguments.output.format == Format::Json {
        output.json(&Added {
            registrations: Vec::new(),
            notes: Message::all(notes),
            problems,
            summary: ChangeSummary::new(false, arguments.dry_run),
        });
        return CommandEnd::Problem;
    }
    for problem in &problems {
        output.print_error(&problem.message.message);
    }
    output.print_error("nothing was registered");
    CommandEnd::Problem
}
