//! `hookmux edit`: lets the user change a copy of a registration, a script or the settings, checks it as a call
//! would read it, and puts it in place as a whole. visudo and `virsh edit` work this way.

mod editor;
mod target;

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use nix::unistd::{AccessFlags, access};

use super::args::{EditArgs, FileKind, Format};
use super::check::files::{self as new_files, MAX_BYTES, NewFile, PrivateCopy};
use super::check::finding::{Finding, Severity, counted};
use super::json::change::ChangeSummary;
use super::json::edit::{EditAction, Edited};
use super::output::{Output, Tone};
use super::register::registry;
use super::{CommandEnd, CommandPlace, json, unified_diff};
use crate::config::{self, Settings};
use crate::machine::files::{self, Rights};
use crate::trust::Trust;
use editor::{Editor, has_terminal};
use target::Target;

/// The mode of a new settings file.
const SETTINGS_MODE: u32 = 0o644;

pub(super) fn run(
    place: &CommandPlace,
    arguments: &EditArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let (settings, target) = match &arguments.name {
        Some(name) => {
            let settings = registry::settings(place, output)?;
            let target = target::hook(&settings, place.surroundings.user, name)?;
            (settings, target)
        }
        None => {
            let mut trust = Trust::new(place.surroundings.user);
            let loaded = config::load(&place.surroundings, &mut trust, false);
            (loaded.settings, target::settings(&place.surroundings.hooks_dir)?)
        }
    };
    let session = Session {
        place,
        settings: &settings,
        target: &target,
        format: arguments.output.format,
        has_diff: arguments.diff,
    };
    session.run(output)
}

/// What the user wants after a mistake.
enum Answer {
    Again,
    Quit,
    Save,
}

struct Session<'a> {
    place: &'a CommandPlace,
    settings: &'a Settings,
    target: &'a Target,
    format: Format,
    has_diff: bool,
}

impl Session<'_> {
    fn run(&self, output: &mut Output) -> anyhow::Result<CommandEnd> {
        let target = self.target;
        must_be_writable(&target.path)?;
        let editor = Editor::find(output)?;
        let name = target.path.file_name().unwrap_or_default().to_string_lossy();
        let mut copy = PrivateCopy::new(&name, target.text())?;
        if target.masks() && self.format == Format::Text {
            output.line(&format!(
                "{} is in another root: the result will be {}, which masks it",
                target.source.display(),
                target.path.display()
            ));
        }
        if let (Some(link), Format::Text) = (&target.link, self.format) {
            output.line(&format!(
                "{} is a link: the result goes to {}",
                link.display(),
                target.path.display()
            ));
        }
        if let Some(remark) = &target.remark {
            output.print_error(remark);
        }
        let mut line = None;
        loop {
            if let Err(error) = editor.edit(copy.path(), line) {
                return Err(match self.kept(&mut copy) {
                    Some(kept) => anyhow!("{error:#}; your text is in {}", kept.display()),
                    None => error,
                });
            }
            let after = match files::read_regular(copy.path(), MAX_BYTES) {
                Ok(after) => after,
                Err(error) => return Err(self.unread(error, &mut copy)),
            };
            if after == target.text() {
                self.report(EditAction::None, &[], None, output);
                return Ok(CommandEnd::Idle);
            }
            let findings = self.judge(&after, copy.path());
            let errors = findings.iter().filter(|one| one.severity() == Severity::Error).count();
            if self.format == Format::Text {
                new_files::show_findings(&findings, output);
            }
            if errors > 0 {
                match ask(errors) {
                    None => {
                        let kept = self.kept(&mut copy);
                        self.report(EditAction::None, &findings, kept.as_deref(), output);
                        return Ok(CommandEnd::Problem);
                    }
                    Some(Answer::Quit) => {
                        self.report(EditAction::None, &findings, None, output);
                        return Ok(CommandEnd::Declined);
                    }
                    Some(Answer::Again) => {
                        line = findings.iter().find_map(Finding::place).map(|(line, _)| line);
                        continue;
                    }
                    Some(Answer::Save) => {}
                }
            }
            self.save(&after).inspect_err(|_| copy.keep()).with_context(|| {
                format!("nothing was changed; your text is in {}", copy.path().display())
            })?;
            let diff = self.diff(&after);
            self.report_with(EditAction::Saved, &findings, diff, None, output);
            return Ok(CommandEnd::Good);
        }
    }

    /// Keeps a copy that has something of the user's in it. Returns where it is then.
    fn kept(&self, copy: &mut PrivateCopy) -> Option<PathBuf> {
        let is_same = files::read_regular(copy.path(), MAX_BYTES)
            .is_ok_and(|text| text == self.target.text());
        if is_same || copy.path().symlink_metadata().is_err() {
            return None;
        }
        copy.keep();
        Some(copy.path().to_path_buf())
    }

    /// Returns the error of a copy that can't be read any more. It is kept if it is there.
    fn unread(&self, error: io::Error, copy: &mut PrivateCopy) -> anyhow::Error {
        if copy.path().symlink_metadata().is_ok() {
            copy.keep();
            let words = format!("{} can't be read: nothing was changed", copy.path().display());
            return anyhow::Error::new(error).context(words);
        }
        anyhow!(
            "the editor removed {}, the copy that it was given: nothing was changed",
            copy.path().display()
        )
    }

    /// Checks the text as a call would read it.
    fn judge(&self, bytes: &[u8], copy: &Path) -> Vec<Finding> {
        let file = NewFile {
            shown: &self.target.path,
            place: Some(self.target.path.clone()),
            kind: self.target.kind,
            content: copy,
            bytes,
        };
        new_files::findings(self.place, self.settings, &file)
    }

    /// Puts a text in place, with the mode and the owner of what was there.
    fn save(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let target = self.target;
        let is_registration = target.kind == FileKind::Registration;
        let lock = is_registration
            .then(|| registry::lock(self.settings, self.place.surroundings.user))
            .transpose()?;
        let path = &target.path;
        let shown = path.display();
        if !target.is_unchanged().with_context(|| format!("{shown} can't be read"))? {
            return Err(anyhow!("{shown} was changed by somebody else in the meantime"));
        }
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(directory);
            made.with_context(|| format!("{} can't be made", directory.display()))?;
        }
        let rights = match &target.before {
            Some((_, metadata)) => Rights {
                mode: metadata.permissions().mode() & 0o7777,
                // a copy from another root is root's own
                ..if target.masks() {
                    Rights { owner: None, mode: 0 }
                } else {
                    Rights::of(metadata)
                }
            },
            None => Rights { owner: None, mode: SETTINGS_MODE },
        };
        // nobody takes a name that begins with a dot for a hook
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        let temporary = files::temporary(&path.with_file_name(name));
        files::replace_durably(&temporary, path, bytes, rights)
            .with_context(|| format!("{shown} can't be written"))?;
        drop(lock);
        Ok(())
    }

    /// Returns what is changed, if that is asked for.
    fn diff(&self, after: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy;
        let (before, after) = (text(self.target.text()), text(after));
        self.has_diff.then(|| unified_diff::of_file(&self.target.path, Some(&before), Some(&after)))
    }

    fn report(
        &self,
        action: EditAction,
        findings: &[Finding],
        kept: Option<&Path>,
        output: &mut Output,
    ) {
        self.report_with(action, findings, self.has_diff.then(String::new), kept, output);
    }

    fn report_with(
        &self,
        action: EditAction,
        findings: &[Finding],
        diff: Option<String>,
        kept: Option<&Path>,
        output: &mut Output,
    ) {
        let (path, kind) = (&self.target.path, self.target.kind);
        match (self.format, action) {
            (Format::Json, _) => output.json(&Edited {
                path: path.as_path().into(),
                kind: kind.name(),
                action,
                findings: findings.iter().map(json::check::Finding::from).collect(),
                diff,
                kept: kept.map(Into::into),
                summary: ChangeSummary::new(action == EditAction::Saved, false),
            }),
            (Format::Text, EditAction::None) => {
                let kept = kept
                    .map(|kept| format!("; your text is in {}", kept.display()))
                    .unwrap_or_default();
                output.line(&format!("{}: nothing was changed{kept}", path.display()));
            }
            (Format::Text, EditAction::Saved) => {
                diff.iter().for_each(|diff| unified_diff::show(diff, "", output));
                let calls = match kind {
                    FileKind::Script => "the next call runs it",
                    _ => "the next call reads it",
                };
                output.toned(Tone::Good, &format!("{}: saved; {calls}", path.display()));
            }
        }
    }
}

/// Checks that a file can be put in its place, before the user has written anything.
///
/// # Errors
/// Rights are missing.
fn must_be_writable(path: &Path) -> anyhow::Result<()> {
    let there = path.ancestors().skip(1).find(|part| part.is_dir()).unwrap_or(path);
    access(there, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(io::Error::from)
        .with_context(|| format!("{} can't be written to", there.display()))
}

/// Asks what to do about mistakes; `None` if there is no terminal, or not any more.
fn ask(errors: usize) -> Option<Answer> {
    if !has_terminal() {
        return None;
    }
    let what = counted(errors, "error");
    loop {
        // the question is for people, also where the answer is for programs
        let _ =
            write!(io::stderr(), "{what}: [e]dit again, [q]uit without saving, [s]ave anyway? ");
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        match answer.trim().to_ascii_lowercase().as_str() {
            _ if !matches!(read, Ok(1..)) => return None,
            "e" | "edit" | "" => return Some(Answer::Again),
            "q" | "quit" => return Some(Answer::Quit),
            "s" | "save" => return Some(Answer::Save),
            _ => {}
        }
    }
}
