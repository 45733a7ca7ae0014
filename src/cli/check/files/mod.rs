//! `hookmux check FILE…`: checks registrations, settings and scripts before they are installed. Nothing is run.

mod judge;
mod kind;
mod name;
mod private_copy;
mod turn;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::finding::{Code, Finding, Findings};
use super::report;
use super::survey::Survey;
use crate::cli::args::{CheckArgs, FileKind, Format};
use crate::cli::json::check::{CheckFiles, CheckedFile};
use crate::cli::output::{Output, Tone};
use crate::cli::{CommandEnd, CommandPlace, json, usage};
use crate::config::registration::{DIRECTORY, EXTENSION};
use crate::config::settings::FILE_NAME;
use crate::config::{LoadedSettings, Settings};
pub(crate) use judge::NewFile;
use judge::judge;
pub(crate) use private_copy::PrivateCopy;

/// The largest file that is checked.
pub(crate) const MAX_BYTES: u64 = 1024 * 1024;

pub(super) fn run(
    place: &CommandPlace,
    loaded: &LoadedSettings,
    arguments: &CheckArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let (files, name) = (&arguments.files, arguments.name.as_deref());
    if name.is_some() && files.len() > 1 {
        bail!(usage::wrong(format!(
            "--name is the name of one file, and there are {}",
            files.len()
        )));
    }
    if let Some(name) = name {
        name::must_be_below(name)?;
    }
    if files.iter().filter(|file| file.as_os_str() == "-").count() > 1 {
        bail!(usage::wrong("standard input (-) can be read once"));
    }
    let settings = &loaded.settings;
    let user = place.surroundings.user;
    // what is wrong elsewhere is not asked for
    let survey = Survey::new(settings, user, &arguments.root, &mut Findings::default());
    let (mut findings, mut checked) = (Findings::default(), Vec::new());
    for path in files {
        let shown = shown(path);
        let bytes = match judge::read(path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) => {
                let words = format!("{} can't be read: {error}", shown.display());
                let fix = match error.kind() {
                    ErrorKind::PermissionDenied => "read it as its owner, or with sudo",
                    ErrorKind::NotFound => "name a file that is there",
                    _ => "name a regular file that can be read",
                };
                findings.add(Code::Unreadable, &shown, words, fix);
                continue;
            }
        };
        let place_of_name = installed_at(settings, path, name, None);
        let kind =
            arguments.kind.or_else(|| kind::of(place_of_name.as_deref().unwrap_or(&shown), &bytes));
        let Some(kind) = kind else {
            let words = format!(
                "{} is neither a registration nor settings nor a script, as far as its content tells",
                shown.display()
            );
            let fix = "say what it is by --as registration, --as settings or --as script";
            findings.add(Code::UnknownKind, &shown, words, fix);
            continue;
        };
        let copy = match path.as_os_str() == "-" {
            true => Some(PrivateCopy::new("stdin", &bytes)?),
            false => None,
        };
        let content = copy.as_ref().map_or(path.as_path(), PrivateCopy::path);
        let file = NewFile {
            shown: &shown,
            place: installed_at(settings, path, name, Some(kind)),
            kind,
            content,
            bytes: &bytes,
        };
        let mut own = Findings::default();
        let registration = judge(&survey, &place.surroundings, &file, &mut own);
        let is_found = name::examine(&survey, &file, &mut own);
        own.guard(&survey.ground());
        if copy.is_some() {
            own.rename(content, &shown);
        }
        let turns = match is_found {
            true => turn::turns(settings, user, &file, registration.as_ref()),
            false => Vec::new(),
        };
        checked.push(CheckedFile {
            path: shown.display().to_string(),
            kind: kind.name(),
            name: file.label(settings),
            turns,
        });
        findings.extend(own);
    }
    let findings = findings.sorted();
    let is_bad = findings.iter().any(|finding| report::is_bad(finding, arguments.strict));
    show(checked, &findings, arguments.output.format, output);
    Ok(if is_bad { CommandEnd::Problem } else { CommandEnd::Good })
}

/// Returns what is wrong with a file, the most severe first.
pub(crate) fn findings(
    place: &CommandPlace,
    settings: &Settings,
    file: &NewFile<'_>,
) -> Vec<Finding> {
    let user = place.surroundings.user;
    let survey = Survey::new(settings, user, Path::new("/"), &mut Findings::default());
    let mut findings = Findings::default();
    judge(&survey, &place.surroundings, file, &mut findings);
    name::examine(&survey, file, &mut findings);
    findings.guard(&survey.ground());
    findings.rename(file.content, file.shown);
    findings.correct_by_hand();
    findings.sorted()
}

/// Shows findings to people, if there are any.
pub(crate) fn show_findings(findings: &[Finding], output: &mut Output) {
    if !findings.is_empty() {
        report::table(findings, output);
    }
}

/// Returns a file's name in messages: its whole path, or `-`.
fn shown(path: &Path) -> PathBuf {
    match path.as_os_str() == "-" {
        true => path.to_path_buf(),
        false => std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()),
    }
}

/// Returns where a file will lie, as far as its own place or the given name tells.
fn installed_at(
    settings: &Settings,
    path: &Path,
    name: Option<&str>,
    kind: Option<FileKind>,
) -> Option<PathBuf> {
    let hooks_dir = &settings.hooks_dir;
    let registrations = hooks_dir.join(DIRECTORY);
    match (name, kind) {
        (Some(name), Some(FileKind::Script)) => Some(hooks_dir.join(name)),
        (Some(name), Some(FileKind::Registration)) => {
            let end = format!(".{EXTENSION}");
            let bare = name.strip_suffix(&end).unwrap_or(name);
            // as `list` and `edit` have it
            let bare = Path::new(bare).strip_prefix(DIRECTORY).unwrap_or(Path::new(bare));
            Some(registrations.join(format!("{}{end}", bare.display())))
        }
        (_, Some(FileKind::Settings)) => Some(hooks_dir.join(FILE_NAME)),
        _ => {
            let path = shown(path);
            let in_root = name::below_root(settings, &path);
            let is_named = path.extension().is_some_and(|end| end == EXTENSION)
                && kind == Some(FileKind::Registration);
            match path.file_name() {
                // as the root is named, which others compare it with
                _ if in_root.is_some() => in_root.map(|(root, below)| root.join(below)),
                // a temporary file of a tool's has no name that tells
                Some(name) if is_named && !name.as_encoded_bytes().starts_with(b".") => {
                    Some(registrations.join(name))
                }
                _ => None,
            }
        }
    }
}

fn show(files: Vec<CheckedFile>, findings: &[Finding], format: Format, output: &mut Output) {
    if format == Format::Json {
        let findings = findings.iter().map(json::check::Finding::from).collect();
        output.json(&CheckFiles { files, findings });
        return;
    }
    for file in &files {
        let kind = match file.kind {
            "settings" => "settings".to_owned(),
            kind => format!("a {kind}"),
        };
        let is_of = |finding: &&Finding| finding.path == Path::new(&file.path);
        let is_good = findings.is_empty() || !findings.iter().any(|finding| is_of(&finding));
        let tone = if is_good { Tone::Good } else { Tone::Plain };
        let end = if findings.is_empty() { ", nothing to complain about" } else { "" };
        output.toned(tone, &format!("{}: {kind}{end}", file.path));
        for turn in &file.turns {
            let between = match (&turn.after, &turn.before) {
                (Some(after), Some(before)) => format!("after {after}, before {before}"),
                (Some(after), None) => format!("last, after {after}"),
                (None, Some(before)) => format!("first, before {before}"),
                (None, None) => "the only hook".to_owned(),
            };
            output.line(&format!("  {}: {between}", turn.event));
        }
    }
    if !findings.is_empty() {
        output.line("");
        let counts = report::table(findings, output);
        output.line(&format!("{counts}."));
    }
}
