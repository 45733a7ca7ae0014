//! Tells whether a call would find a file under its name: where it will lie, and what it will be called.

use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::super::finding::{Code, Findings};
use super::super::survey::Survey;
use super::super::{misplaced, moments};
use super::judge::NewFile;
use crate::cli::args::FileKind;
use crate::cli::register::translate;
use crate::cli::usage;
use crate::config::registration::{DIRECTORY, EXTENSION};
use crate::config::{Settings, suggest};
use crate::event;
use crate::libvirt::Driver;
use crate::search::directory::leftover_reason;

const ANOTHER_NAME: &str = "give it another name";

/// Refuses a `--name` that is no name below the hooks directory.
///
/// # Errors
/// It is wrong usage.
pub(super) fn must_be_below(name: &str) -> anyhow::Result<()> {
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    let path = Path::new(name);
    usage::ensure(
        path.file_name().is_some() && path.components().all(is_plain),
        format!(
            "--name {}: it is the name of a registration, or EVENT/NAME of a script, without .. and without a / at the beginning",
            suggest::shortened(name)
        ),
    )
}

/// Reports that no call would find the file. Returns whether one would, as far as its place is known.
pub(super) fn examine(survey: &Survey<'_>, file: &NewFile<'_>, findings: &mut Findings) -> bool {
    let Some(place) = &file.place else { return true };
    match file.kind {
        FileKind::Settings => true,
        FileKind::Registration => registration(survey.settings, file, place, findings),
        FileKind::Script => script(survey, file, place, findings),
    }
}

fn registration(
    settings: &Settings,
    file: &NewFile<'_>,
    place: &Path,
    findings: &mut Findings,
) -> bool {
    let Some((_, below)) = below_root(settings, place) else { return true };
    // a draft may lie beside hooks.d
    let Ok(below) = below.strip_prefix(DIRECTORY) else { return true };
    let name = below.to_string_lossy();
    let bare = name.strip_suffix(&format!(".{EXTENSION}"));
    let why = match (bare, leftover_reason(place.file_name().unwrap_or_default())) {
        (_, Some(why)) => Some(format!("`{name}` is taken for {why}: no call reads it")),
        (None, None) => Some(format!("`{name}` doesn't end in .{EXTENSION}: no call reads it")),
        // calls read any other name that is there already
        (Some(bare), None) if bare.contains('/') || place.symlink_metadata().is_err() => {
            translate::check_name(bare).err()
        }
        (Some(_), None) => None,
    };
    let Some(why) = why else { return true };
    findings.add(Code::UnusableName, file.shown, why, ANOTHER_NAME);
    false
}

fn script(survey: &Survey<'_>, file: &NewFile<'_>, place: &Path, findings: &mut Findings) -> bool {
    let Some((root, below)) = below_root(survey.settings, place) else { return true };
    let in_tree =
        Driver::ALL.into_iter().any(|driver| place.starts_with(survey.settings.tree_of(driver)));
    if in_tree {
        // the per-guest tree takes any name
        return true;
    }
    let names: Vec<&OsStr> = below.iter().collect();
    if let Some((name, why)) =
        names.iter().find_map(|name| leftover_reason(name).map(|why| (name, why)))
    {
        // a directory that begins with a dot is no place of hooks either
        let words = format!(
            "{} would not run: `{}` is taken for {why}",
            below.display(),
            name.to_string_lossy()
        );
        findings.add(Code::UnusableName, file.shown, words, ANOTHER_NAME);
        return false;
    }
    let [first, rest @ ..] = names.as_slice() else { return true };
    if rest.is_empty() {
        if misplaced::has_use_in_root(survey, root, place) {
            return true;
        }
        let words = format!(
            "{} would not run: it lies directly in {}, and scripts run from the directory of an event",
            below.display(),
            root.display()
        );
        let fix = "put it into the directory of its event (EVENT/NAME), or register it with `hookmux add script`";
        findings.add(Code::MisplacedScript, file.shown, words, fix);
        return false;
    }
    let directory = root.join(first);
    if first.to_str().is_some_and(event::is_known) {
        if rest.len() == 1 {
            return true;
        }
        let words =
            format!("{} would not run: event directories are not recursive", below.display());
        let fix = "let it lie directly in the directory of its event";
        findings.add(Code::Subdirectory, file.shown, words, fix);
        return false;
    }
    if misplaced::is_for_helpers(survey, &directory, place) {
        return true;
    }
    moments::unknown(&directory, findings);
    false
}

/// Returns the root that a place is in, and its path below that.
pub(super) fn below_root<'a>(settings: &'a Settings, place: &Path) -> Option<(&'a Path, PathBuf)> {
    let below = |place: &Path, root: &Path| place.strip_prefix(root).ok().map(Path::to_path_buf);
    // a root may be named by way of another directory, or a link: `hooks/../more`
    let real = real_place(place);
    let real_below = |root: &Path| below(real.as_ref()?, &fs::canonicalize(root).ok()?);
    let found = settings
        .all_roots()
        .filter_map(|root| Some((root, below(place, root).or_else(|| real_below(root))?)));
    // one root may be in another
    found.min_by_key(|(_, below)| below.components().count())
}

/// Returns a place without links on the way to it; its own name may be a link.
fn real_place(place: &Path) -> Option<PathBuf> {
    Some(fs::canonicalize(place.parent()?).ok()?.join(place.file_name()?))
}
