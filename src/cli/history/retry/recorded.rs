//! The hooks of an execution as they were registered then, from the texts that its record refers to.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::cli::json::run::{RegistrationNow, RegistrationUsed, RetriedRegistration};
use crate::cli::question;
use crate::cli::remark::Remark;
use crate::config::Settings;
use crate::config::registration::{DIRECTORY, Registration, When};
use crate::event;
use crate::hook::HookSource;
use crate::hook::candidates::{self, Candidate, CandidateGroup, Candidates};
use crate::libvirt::Call;
use crate::record::form::{HookRegistration, Record, RecordOutcome};
use crate::record::history::History;
use crate::registry::{self, RegistrationFile};
use crate::trust::Trust;

/// The registered hooks to run, and what is to be said about them.
#[derive(Default)]
pub(super) struct RecordedHooks {
    /// Each with the event at which it ran, or `hooks.d`.
    candidates: Vec<(String, Candidate)>,
    pub registrations: Vec<RetriedRegistration>,
    pub remarks: Vec<Remark>,
    /// Why hooks would not run today.
    pub gone: Vec<String>,
}

/// A registration of today.
enum Today {
    Same,
    Changed,
    Disabled(String),
    Gone,
    Unusable(String),
}

/// Finds the registrations of these hooks. Those whose text isn't kept are left to today's.
pub(super) fn find(
    record: &Record,
    wanted: &[String],
    settings: &Settings,
    trust: &mut Trust,
) -> RecordedHooks {
    let mut found = RecordedHooks::default();
    let Some(recorded) = &record.head.registrations else { return found };
    let of_wanted = recorded.iter().filter(|it| wanted.contains(&it.hook));
    let of_wanted: Vec<&HookRegistration> = of_wanted.collect();
    if of_wanted.is_empty() {
        return found;
    }
    let history = History::new(&settings.runtime_dir, &settings.state_dir);
    let today = registry::scan(settings, trust)
        .map_err(|unreadable| format!("{}: {}", unreadable.path.display(), unreadable.error));
    for registered in of_wanted {
        match read(&history, registered) {
            Ok(registration) => found.add(registered, registration, record, &today, settings),
            Err(why) => found
                .remarks
                .push(format!("{}: {why}: today's registration is used", registered.hook).into()),
        }
    }
    found
}

/// Reads the registration as it was then.
fn read(history: &History, registered: &HookRegistration) -> Result<Registration, String> {
    let text = history
        .registration_text(&registered.sha256)
        .map_err(|error| format!("the text of its registration isn't kept any more ({error})"))?;
    let path = Path::new(OsStr::from_bytes(&registered.path.0));
    let root = registry::root_of(path);
    Registration::parse(path, &root, &text).map_err(|diagnostic| {
        format!("this version can't read its registration of then ({})", diagnostic.one_line())
    })
}

impl RecordedHooks {
    fn add(
        &mut self,
        registered: &HookRegistration,
        mut registration: Registration,
        record: &Record,
        today: &Result<Vec<RegistrationFile>, String>,
        settings: &Settings,
    ) {
        let HookRegistration { hook, sha256, .. } = registered;
        let Some((place, _)) = hook.rsplit_once('/') else { return };
        let path = registration.source.display().to_string();
        let today = match today {
            Ok(files) => look(files, &registration.name, sha256),
            Err(error) => Today::Unusable(error.clone()),
        };
        let now = match today {
            Today::Same => RegistrationNow::Same,
            Today::Changed => {
                let today = question::command_with("--today");
                let words = format!(
                    "{hook} runs as it was registered then; {path} has been changed since. `{today}` takes today's"
                );
                self.remarks.push(Remark::with_fix(words, today));
                RegistrationNow::Changed
            }
            Today::Unusable(why) => {
                let words =
                    format!("{hook} runs as it was registered then; today's can't be used: {why}");
                self.remarks.push(words.into());
                RegistrationNow::Unusable
            }
            Today::Disabled(why) => {
                self.gone.push(format!("{hook} is {why}"));
                RegistrationNow::Disabled
            }
            Today::Gone => {
                self.gone.push(format!("{hook} isn't registered any more: {path} is gone"));
                RegistrationNow::Gone
            }
        };
        self.registrations.push(RetriedRegistration {
            hook: hook.clone(),
            registration: Some(path),
            used: RegistrationUsed::Recorded,
            now,
        });
        as_decided(&mut registration, hook, record);
        let candidate = candidates::registered_hook(&Arc::new(registration), place, settings);
        self.candidates.push((place.to_owned(), candidate));
    }

    /// Tells whether a hook is run by its recorded registration.
    pub(super) fn has(&self, hook: &str) -> bool {
        self.candidates.iter().any(|(_, candidate)| candidate.hook.label == hook)
    }

    /// Puts the hooks among today's, each at its event and in its order.
    pub(super) fn put_into(mut self, found: &mut Candidates, call: &Call) {
        if self.candidates.is_empty() {
            return;
        }
        let mut todays = std::mem::take(&mut found.groups);
        for moment in &mut todays {
            moment.candidates.retain(|candidate| !self.has(&candidate.hook.label));
        }
        let mut groups = Vec::new();
        for event in event::candidates(call) {
            let is_its = |group: &CandidateGroup| group.event.as_ref() == Some(&event);
            let mut all = take(&mut todays, is_its);
            all.extend(self.take_of(&event.name));
            candidates::in_order(&mut all);
            groups.push(CandidateGroup { event: Some(event), candidates: all });
        }
        let is_of_call = |group: &CandidateGroup| {
            let mut sources = group.candidates.iter().map(|candidate| candidate.hook.source);
            group.event.is_none() && sources.all(|source| source == HookSource::Registered)
        };
        let mut all = take(&mut todays, is_of_call);
        all.extend(self.take_of(DIRECTORY));
        candidates::in_order(&mut all);
        groups.push(CandidateGroup { event: None, candidates: all });
        groups.append(&mut todays);
        groups.retain(|group| !group.candidates.is_empty());
        found.groups = groups;
    }

    fn take_of(&mut self, wanted: &str) -> Vec<Candidate> {
        let (its, others) = std::mem::take(&mut self.candidates)
            .into_iter()
            .partition(|(place, _)| place == wanted);
        self.candidates = others;
        let its: Vec<(String, Candidate)> = its;
        its.into_iter().map(|(_, candidate)| candidate).collect()
    }
}

/// Takes the candidates of some groups out.
fn take(
    groups: &mut Vec<CandidateGroup>,
    is_its: impl Fn(&CandidateGroup) -> bool,
) -> Vec<Candidate> {
    let (its, others) = std::mem::take(groups).into_iter().partition(is_its);
    *groups = others;
    let its: Vec<CandidateGroup> = its;
    its.into_iter().flat_map(|group| group.candidates).collect()
}

/// Looks for the registration of this name that counts today.
fn look(files: &[RegistrationFile], name: &str, sha256: &str) -> Today {
    let is_it = |file: &&RegistrationFile| file.path.file_stem() == Some(OsStr::new(name));
    let Some(file) = files.iter().find(is_it) else { return Today::Gone };
    match &file.content {
        Some(Ok(registration)) if !registration.enabled => {
            Today::Disabled(format!("disabled in {}", file.path.display()))
        }
        Some(Ok(registration)) if registration.written.sha256 == sha256 => Today::Same,
        Some(Ok(_)) => Today::Changed,
        Some(Err(diagnostic)) => Today::Unusable(diagnostic.one_line()),
        None => {
            let why = file.state.reason().unwrap_or_default();
            Today::Disabled(format!("not used from {}: {why}", file.path.display()))
        }
    }
}

/// Returns the name of a hook's registration if it is disabled today, and how.
pub(super) fn disabled(
    label: &str,
    settings: &Settings,
    trust: &mut Trust,
) -> Option<(String, String)> {
    let (_, name) = label.rsplit_once('/')?;
    let files = registry::scan(settings, trust).ok()?;
    match look(&files, name, "") {
        Today::Disabled(why) => Some((name.to_owned(), why)),
        _ => None,
    }
}

/// Leaves out the conditions: the call has met them. Whether a hook's check said yes is known only where the
/// hook was started then.
fn as_decided(registration: &mut Registration, hook: &str, record: &Record) {
    registration.when = When::default();
    registration.enabled = true;
    let was_started = record.body.runs.iter().any(|run| {
        run.hook == hook && (run.start_us.is_some() || run.outcome == RecordOutcome::Queued)
    });
    if was_started {
        registration.check = None;
    }
}
