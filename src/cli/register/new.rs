//! `hookmux new`: makes the skeleton of a hook. It is a script in an event's directory, or with --registered a script
//! and a registration. The skeleton does nothing but print a line, so that it is harmless as it is.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Map, Value};

use super::add::draft_checks::DraftChecker;
use super::add::options::conditions;
use super::draft::{self, Draft, DraftContext};
use super::{hooks_d, registry, translate};
use crate::cli::args::{Format, NewArgs};
use crate::cli::hooks::{events, vdsm};
use crate::cli::install::libvirt_version;
use crate::cli::json::change::ChangeSummary;
use crate::cli::json::message::Message;
use crate::cli::json::new::{New, NewFile, NewFileKind};
use crate::cli::output::{Output, Tone};
use crate::cli::parse_error;
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace, pattern, usage};
use crate::command::Fix;
use crate::config::{Registration, Settings, TrustPolicy};
use crate::registry::RegistrationFile;
use crate::repair::{OwnPaths, RepairTarget};
use crate::search::directory::{self, leftover_reason};
use crate::trust::Trust;
use moment::{HookMoment, Subject};
use registration::UndoKey;
use script::ScriptTask;

mod moment;
mod registration;
mod script;

/// Where the scripts of registered hooks lie, in the hooks directory.
const SCRIPTS: &str = "bin";
const MODE: u32 = 0o755;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &NewArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    check_event(&arguments.event)?;
    check_name(&arguments.name)?;
    let settings = registry::settings(place, output)?;
    let user = place.surroundings.user;
    let command = NewCommand {
        settings: &settings,
        user,
        arguments,
        moment: HookMoment::of(&arguments.event),
        is_registered: arguments.registered || arguments.undo || !arguments.when.is_empty(),
        when: conditions(&arguments.when).map_err(usage::wrong)?,
    };
    if arguments.undo {
        command.check_undo()?;
    }
    // from here on no other process changes the registry
    let lock = match command.is_registered && !arguments.dry_run {
        true => Some(registry::lock(&settings, user)?),
        false => None,
    };
    let script = command.script();
    let draft = match command.is_registered {
        true => Some(command.draft(&registry::scan(&settings, user)?)?),
        false => None,
    };
    command.check_free(&script.path)?;
    if !arguments.dry_run {
        make_script(&script)?;
        if let (Some(lock), Some(draft)) = (&lock, &draft) {
            if let Err(error) = hooks_d::write_all(lock, &[draft]) {
                // a script that nothing runs is of no use
                let _ = fs::remove_file(&script.path);
                return Err(error);
            }
        }
    }
    let notes = command.notes(&script.path, draft.as_ref());
    command.report(script, draft, &notes, output);
    Ok(CommandEnd::Good)
}

/// Checks that there is such an event, and that its name is that of a directory.
fn check_event(event: &str) -> anyhow::Result<()> {
    if let Some((_, nearest)) = vdsm::WITHOUT_SOURCE.iter().find(|(name, _)| *name == event) {
        let nearest = nearest.map(|near| format!("; nearest is {near}")).unwrap_or_default();
        return Err(usage::wrong(format!(
            "libvirt makes no call for vdsm's {event}: a hook there never runs{nearest}"
        )));
    }
    pattern::event(event)?;
    translate::check_name(event).map_err(usage::wrong)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    translate::check_name(name).map_err(usage::wrong)?;
    match leftover_reason(name.as_ref()) {
        Some(why) => Err(usage::wrong(format!(
            "`{name}` is not a valid name: such a file is taken for {why}"
        ))),
        None => Ok(()),
    }
}

/// A script to be made.
struct NewScript {
    path: PathBuf,
    text: String,
}

struct NewCommand<'a> {
    settings: &'a Settings,
    user: u32,
    arguments: &'a NewArgs,
    moment: HookMoment,
    is_registered: bool,
    /// `when` of its registration.
    when: Map<String, Value>,
}

impl NewCommand<'_> {
    /// Refuses an undo where it would never run, or not for every guest.
    fn check_undo(&self) -> anyhow::Result<()> {
        let (event, name) = (&self.arguments.event, &self.arguments.name);
        if !self.moment.is_before_an_end() {
            parse_error::wrong_usage(
                "new",
                &format!(
                    "nothing comes after {event} at which a hook could be undone: leave out --undo"
                ),
            );
        }
        let Some(other) = self.moment.for_every_guest() else { return Ok(()) };
        let fix = Fix::hookmux(&self.settings.hooks_dir, &["new", other, name, "--undo"]);
        Err(usage::wrong(Remark::with_fix(
            format!(
                "a guest that comes by migration or from a save has no {event}, so what it needs wouldn't be set up; \
                 {other} comes for every guest: `{fix}`"
            ),
            fix,
        )))
    }

    fn undo_key(&self) -> UndoKey {
        let has_undo = self.moment.is_before_an_end() && self.moment.for_every_guest().is_none();
        match has_undo {
            true if self.arguments.undo => UndoKey::Active,
            true => UndoKey::Comment,
            false => UndoKey::None,
        }
    }

    fn script(&self) -> NewScript {
        let NewArgs { event, name, language, .. } = self.arguments;
        let (directory, task) = match self.is_registered {
            true if self.undo_key() == UndoKey::None => (SCRIPTS, ScriptTask::Work),
            true => (SCRIPTS, ScriptTask::StartAndUndo),
            false => (event.as_str(), ScriptTask::Work),
        };
        let language = language.unwrap_or_default();
        NewScript {
            path: self.settings.hooks_dir.join(directory).join(name),
            text: script::text(name, &self.moment, language, task),
        }
    }

    /// Prepares the registration.
    ///
    /// # Errors
    /// There is one of this name.
    fn draft(&self, sources: &[RegistrationFile]) -> anyhow::Result<Draft> {
        let name = &self.arguments.name;
        let registered: Vec<&Registration> = sources.iter().filter_map(registry::read).collect();
        let context = DraftContext {
            hooks_dir: &self.settings.hooks_dir,
            registered: &registered,
            header: draft::header(&[]),
        };
        let path = context.place(name);
        if let Some(known) = registry::find(sources, name).first() {
            let words = format!("`{name}` is a registration already ({})", known.path.display());
            bail!(taken(&words, self.edit(name)));
        }
        if path.symlink_metadata().is_ok() {
            let words = format!("there is {} already", path.display());
            bail!(taken(&words, Fix::edit(&path, None)));
        }
        let script = format!("{SCRIPTS}/{name}");
        let text = registration::text(&script, &self.moment, self.undo_key(), &self.when);
        let draft = context.draft_file(&path, &text, name, true, &[]);
        draft.map_err(|diagnostic| anyhow::anyhow!("{diagnostic}"))
    }

    /// Checks that no script is replaced, and none of a lower root is kept from running.
    fn check_free(&self, script: &Path) -> anyhow::Result<()> {
        let name = &self.arguments.name;
        if script.symlink_metadata().is_ok() {
            let words = format!("there is {} already", script.display());
            bail!(taken(&words, self.edit_script(script)));
        }
        if self.is_registered {
            return Ok(());
        }
        let entries = directory::entries(self.settings.all_roots(), &self.arguments.event);
        let entries = entries.map_err(|unreadable| {
            anyhow::anyhow!("{} can't be read: {}", unreadable.path.display(), unreadable.error)
        })?;
        if let Some(masked) = entries.iter().find(|entry| entry.name == *name.as_str()) {
            bail!(
                "{} would not run any more, because a script of the same name in the hooks directory takes its place: \
                 choose another name",
                masked.path.display()
            );
        }
        Ok(())
    }

    /// Returns what there is to say: that it never runs on this host, or would be refused.
    fn notes(&self, script: &Path, draft: Option<&Draft>) -> Vec<Remark> {
        let libvirt = libvirt_version::of_host();
        let mut trust = Trust::new(self.user);
        if let (Some(draft), false) = (draft, self.arguments.dry_run) {
            let (settings, user) = (self.settings, self.user);
            let checker =
                DraftChecker { settings, user, replaces: false, is_nameable: false, libvirt };
            return checker.warnings(std::slice::from_ref(draft), &mut trust);
        }
        let event = &self.arguments.event;
        let never = libvirt.and_then(|libvirt| events::never(event, libvirt));
        let mut notes: Vec<Remark> = never
            .map(|why| format!("it never runs at {event} on this host: {why}").into())
            .into_iter()
            .collect();
        if !self.arguments.dry_run {
            if let Err(refusal) = trust.file(script) {
                let ground = OwnPaths::of(self.settings, self.user);
                let words = match self.settings.trust {
                    TrustPolicy::Refuse => {
                        format!("it will be refused, and count as failed: {refusal}")
                    }
                    TrustPolicy::Warn => refusal.to_string(),
                };
                notes.push(Remark::followed_by(&words, ground.fix(&[RepairTarget::at(script)])));
            }
        }
        notes
    }

    /// Returns what to do next.
    fn next(&self, script: &Path, draft: Option<&Draft>) -> Vec<(&'static str, Fix)> {
        let mut next = match draft {
            None => vec![("edit it", self.edit_script(script))],
            Some(draft) => vec![
                ("edit it", self.edit_script(script)),
                ("and when it runs", self.edit(&draft.name)),
            ],
        };
        next.extend([("would it run?", self.call("plan")), ("run it", self.call("run"))]);
        next
    }

    /// Returns the command that edits a hook.
    fn edit(&self, name: &str) -> Fix {
        Fix::hookmux(&self.settings.hooks_dir, &["edit", name])
    }

    /// Returns the command that edits a script. One that a registration names isn't known to `hookmux edit`.
    fn edit_script(&self, script: &Path) -> Fix {
        let NewArgs { event, name, .. } = self.arguments;
        match self.is_registered {
            true => Fix::edit(script, None),
            false => self.edit(&format!("{event}/{name}")),
        }
    }

    /// Returns a command that makes a call of this event. A person has to put a name into it, but not for the daemon.
    fn call(&self, action: &str) -> Fix {
        let mut words: Vec<String> =
            std::iter::once(action.to_owned()).chain(self.moment.call_words()).collect();
        let is_named = self.name_it(&mut words);
        // of an operation that this version doesn't know, it is asked on purpose
        if action == "plan" && self.arguments.event.starts_with("on_") {
            words.push("--unknown".to_owned());
        }
        let fix = Fix::hookmux(&self.settings.hooks_dir, &words);
        match self.moment.subject {
            Subject::Daemon => fix,
            _ if is_named => fix,
            _ => Fix::from(fix.text),
        }
    }

    /// Writes the name that `--when` gives into a call, if it is one and no pattern.
    fn name_it(&self, words: &mut [String]) -> bool {
        let Some([Value::String(name)]) =
            self.when.get("name").and_then(Value::as_array).map(Vec::as_slice)
        else {
            return false;
        };
        let place = words.iter_mut().find(|word| ["GUEST", "NETWORK"].contains(&word.as_str()));
        match place {
            Some(place) if !name.contains(['*', '?', '[', '!']) => {
                place.clone_from(name);
                true
            }
            _ => false,
        }
    }

    fn report(
        &self,
        script: NewScript,
        draft: Option<Draft>,
        notes: &[Remark],
        output: &mut Output,
    ) {
        let next = self.next(&script.path, draft.as_ref());
        let is_dry = self.arguments.dry_run;
        let registration = draft.map(|draft| (NewFileKind::Registration, draft.path, draft.text));
        let files = std::iter::once((NewFileKind::Script, script.path, script.text));
        let files: Vec<_> = files.chain(registration).collect();
        if self.arguments.output.format == Format::Json {
            let next = next.iter().map(|(words, fix)| Message {
                message: (*words).to_owned(),
                code: None,
                fix_keys: Some(fix).into(),
            });
            output.json(&New {
                event: self.arguments.event.clone(),
                name: self.arguments.name.clone(),
                made: !is_dry,
                files: files
                    .into_iter()
                    .map(|(kind, path, text)| NewFile { kind, path: path.as_path().into(), text })
                    .collect(),
                next: next.collect(),
                notes: Message::all(notes),
                summary: ChangeSummary::new(true, is_dry),
            });
            return;
        }
        for note in notes {
            output.print_error(&note.words);
        }
        for (_, path, text) in &files {
            match is_dry {
                true => {
                    output.toned(Tone::Bold, &format!("{}:", path.display()));
                    output.write(text);
                    output.line("");
                }
                false => output.toned(Tone::Good, &format!("made {}", path.display())),
            }
        }
        if is_dry {
            output.line("nothing was made: --dry-run");
            return;
        }
        let width = next.iter().map(|(words, _)| words.len()).max().unwrap_or_default();
        for (words, fix) in &next {
            output.line(&format!("  {words:width$}  {fix}"));
        }
    }
}

/// Says that something is there already, and how to edit it.
fn taken(words: &str, fix: Fix) -> Remark {
    Remark::with_fix(
        format!("{words}, and isn't replaced: choose another name, or edit it: {fix}"),
        fix,
    )
}

/// Makes a script, and its directory where there is none. It has its rights whatever the umask is.
fn make_script(script: &NewScript) -> anyhow::Result<()> {
    let NewScript { path, text } = script;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let made = match DirBuilder::new().mode(MODE).create(directory) {
        Ok(()) => fs::set_permissions(directory, Permissions::from_mode(MODE)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    made.with_context(|| format!("{} can't be made", directory.display()))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(MODE);
    let write = || {
        let mut file = options.open(path)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(MODE))
    };
    write().with_context(|| format!("{} can't be made", path.display()))
}
