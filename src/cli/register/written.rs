//! What is written to `hooks.d`: which drafts differ from what is there, and the report of what was or would
//! be done.

use std::path::Path;

use super::draft::Draft;
use super::hooks_d::{self, RegistryLock};
use super::registry;
use crate::cli::CommandEnd;
use crate::cli::args::{Format, RegisterArgs};
use crate::cli::json::change::ChangeSummary;
use crate::cli::json::message::Message;
use crate::cli::json::registration::{Added, ChangedRegistration, RegistrationAction};
use crate::cli::output::{Output, Tone};
use crate::cli::remark::Remark;
use crate::cli::unified_diff;
use crate::config::registration::MAX_REGISTRATION_BYTES;
use crate::machine::files;
use crate::registry::RegistrationFile;

/// How the comment begins that hookmux writes above a registration.
pub(crate) const HEADER_START: &str = "# Registered by: ";
/// How its further lines begin, in all versions.
const HEADER_LINES: [&str; 7] = [
    "# You may edit this file; ",
    "# `hookmux schema` shows ",
    "# PORT_FORWARD has the words ",
    "# Made from OpenNebula's template ",
    "#   ",
    "# This file may be edited; ",
    "# What may be in it is told ",
];

/// What writing a draft changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DraftChange {
    New,
    Replaced,
    Unchanged,
}

/// How a command that writes registrations was asked to do it.
#[derive(Clone, Copy)]
pub(crate) struct WriteOptions {
    pub is_dry_run: bool,
    pub has_diff: bool,
    pub format: Format,
}

impl WriteOptions {
    pub(crate) fn of(arguments: &RegisterArgs) -> WriteOptions {
        WriteOptions {
            is_dry_run: arguments.dry_run,
            has_diff: arguments.diff.is_wanted,
            format: arguments.output.format,
        }
    }
}

/// Returns a registration's text without the comment that says how it was made.
pub(crate) fn without_header(text: &str) -> &str {
    let Some(first) = text.split_inclusive('\n').next().filter(|it| it.starts_with(HEADER_START))
    else {
        return text;
    };
    let rest = text.get(first.len()..).unwrap_or_default();
    let is_header = |line: &&str| HEADER_LINES.iter().any(|beginning| line.starts_with(beginning));
    let length: usize = rest.split_inclusive('\n').take_while(is_header).map(str::len).sum();
    rest.get(length..).unwrap_or_default()
}

/// Tells whether the file of a draft is there, and the same: a text that somebody wrote is compared as it is,
/// without hookmux's own comment; a text of hookmux by what it means.
pub(crate) fn is_unchanged(draft: &Draft, sources: &[RegistrationFile]) -> bool {
    let is_file = draft.path.symlink_metadata().is_ok_and(|file| file.is_file());
    let mut same = sources.iter().filter(|source| source.path == draft.path);
    let Some(known) = same.find_map(registry::read).filter(|_| is_file) else { return false };
    let Some(given) = &draft.given else { return *known == draft.registration };
    before(&draft.path).is_some_and(|text| {
        let there = without_header(&text);
        there == without_header(&draft.text) || there == without_header(given)
    })
}

fn change(draft: &Draft, sources: &[RegistrationFile]) -> DraftChange {
    match draft.path.symlink_metadata() {
        Err(_) => DraftChange::New,
        Ok(_) if is_unchanged(draft, sources) => DraftChange::Unchanged,
        Ok(_) => DraftChange::Replaced,
    }
}

/// Returns the text of a file of the registry; `None` if there is none that can be read.
pub(crate) fn before(path: &Path) -> Option<String> {
    files::read_regular(path, MAX_REGISTRATION_BYTES).and_then(files::into_text).ok()
}

/// Writes what is new or different, unless it is a dry run, and reports it.
///
/// # Errors
/// Something can't be written; nothing was changed then.
pub(super) fn write(
    lock: Option<&RegistryLock>,
    drafts: &[Draft],
    sources: &[RegistrationFile],
    notes: &[Remark],
    options: WriteOptions,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let changes: Vec<DraftChange> = drafts.iter().map(|draft| change(draft, sources)).collect();
    let with_changes = || drafts.iter().zip(changes.iter().copied());
    let diffs: Vec<Option<String>> = with_changes()
        .map(|(draft, change)| options.has_diff.then(|| diff(draft, change)))
        .collect();
    let is_change = changes.iter().any(|change| *change != DraftChange::Unchanged);
    if let Some(lock) = lock {
        let changed: Vec<&Draft> = with_changes()
            .filter(|(_, change)| *change != DraftChange::Unchanged)
            .map(|(draft, _)| draft)
            .collect();
        hooks_d::write_all(lock, &changed)?;
    }
    if options.format == Format::Json {
        let rows = with_changes().zip(diffs);
        output.json(&Added {
            registrations: rows
                .map(|((draft, change), diff)| shown(draft, change, diff, options.is_dry_run))
                .collect(),
            notes: Message::all(notes),
            problems: Vec::new(),
            summary: ChangeSummary::new(is_change, options.is_dry_run),
        });
    } else {
        for diff in diffs.iter().flatten() {
            unified_diff::show(diff, "", output);
        }
        for note in notes {
            output.print_error(&note.words);
        }
        for (draft, change) in with_changes() {
            let tone = match change {
                DraftChange::Unchanged => Tone::Plain,
                _ if options.is_dry_run => Tone::Plain,
                _ => Tone::Good,
            };
            output.toned(tone, &words(draft, change, options.is_dry_run));
        }
        if options.is_dry_run {
            output.line(DRY_RUN);
        }
    }
    Ok(CommandEnd::of_change(is_change, options.is_dry_run && options.has_diff))
}

pub(crate) const DRY_RUN: &str = "nothing was registered: --dry-run";

fn diff(draft: &Draft, change: DraftChange) -> String {
    if change == DraftChange::Unchanged {
        return String::new();
    }
    // a link to /dev/null, say, is replaced by a file
    let is_file = draft.path.symlink_metadata().is_ok_and(|file| file.is_file());
    let old = before(&draft.path).filter(|_| is_file);
    unified_diff::of_file(
        &draft.path,
        old.as_deref().map(without_header),
        Some(without_header(&draft.text)),
    )
}

fn words(draft: &Draft, change: DraftChange, is_dry_run: bool) -> String {
    let path = draft.path.display();
    match (change, is_dry_run) {
        (DraftChange::Unchanged, _) => format!("unchanged: {path}"),
        (DraftChange::New, false) => format!("registered {path}"),
        (DraftChange::New, true) => format!("would register {path}"),
        (DraftChange::Replaced, false) => format!("replaced {path}"),
        (DraftChange::Replaced, true) => format!("would replace {path}"),
    }
}

fn shown(
    draft: &Draft,
    change: DraftChange,
    diff: Option<String>,
    is_dry_run: bool,
) -> ChangedRegistration {
    let action = match change {
        _ if is_dry_run => RegistrationAction::None,
        DraftChange::New => RegistrationAction::Registered,
        DraftChange::Replaced => RegistrationAction::Replaced,
        DraftChange::Unchanged => RegistrationAction::None,
    };
    ChangedRegistration {
        name: draft.name.clone(),
        registration: draft.path.as_path().into(),
        action,
        changed: change != DraftChange::Unchanged,
        diff,
        message: words(draft, change, is_dry_run),
        registered: Some((&draft.registration).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hookmuxs_own_comment_is_a_header() {
        for (text, expected) in [
            ("events: x\n", "events: x\n"),
            ("# Registered by: me\nevents: x\n", "events: x\n"),
            (
                "# Registered by: hookmux add x\n# You may edit this file; the next …\n# `hookmux schema` shows which\n# mine\nevents: x\n",
                "# mine\nevents: x\n",
            ),
            (
                "# Registered by: hookmux add x\n# This file may be edited; libvirt's …\n# What may be in it is told by\nevents: x\n",
                "events: x\n",
            ),
            ("# mine\n# Registered by: hookmux\n", "# mine\n# Registered by: hookmux\n"),
            ("# Registered by: x", ""),
            ("", ""),
        ] {
            assert_eq!(without_header(text), expected);
        }
    }
}
