//! `plan GUEST [ACTION]`: which guest is meant, and its life.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::actions::{Action, Course};
use super::failing::FailingHooks;
use super::known::{self, Unknown};
use super::life::{LifePlanner, PlannedAction, PlannedLife, Source, Subject};
use super::planned_call::PlanHost;
use super::{guest_json, guest_text};
use crate::cli::args::{Format, PlanArgs};
use crate::cli::guests::{Guests, KnownGuest};
use crate::cli::install::installed;
use crate::cli::output::Output;
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace, rights, usage};
use crate::command::Fix;
use crate::config::suggest::did_you_mean;
use crate::config::{LoadedSettings, Settings};
use crate::document::facts::DocumentFacts;
use crate::document::input;
use crate::libvirt::{Call, Document, Driver};
use crate::plan::Decision;

pub(super) fn run(
    place: &CommandPlace,
    arguments: &PlanArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let mut loaded = place.load(output);
    let action = action(place, arguments)?;
    let guests = Guests::new(&place.surroundings);
    let name = &arguments.first;
    let asked = Asked {
        before: &["plan"],
        behind: arguments.second.as_ref(),
        way_out: Some("--unknown plans for it anyway"),
    };
    let found = find(place, &loaded.settings, &guests, arguments, &asked)?;
    let driver = found.as_ref().map_or(arguments.driver.unwrap_or(Driver::Qemu), |it| it.driver);
    if let Some(action) = action.filter(|it| matches!(it.course(driver), Course::Unknown)) {
        let all = Action::life(driver);
        let all: Vec<&str> = all.into_iter().map(Action::name).collect();
        let words = format!("{driver} has no {}: {}", action.name(), all.join(", "));
        return Err(usage::wrong(words));
    }
    // a user's own guest belongs to the user's own daemon
    let session = CommandPlace::new(Some(place.surroundings.hooks_dir.clone()), false);
    let is_session = found.as_ref().is_some_and(|found| found.is_session);
    let place = if is_session { &session } else { place };
    if is_session {
        loaded = place.load(output);
    }
    loaded.restrict_to_user(&place.surroundings);
    let subject = subject(place, &loaded.settings, (driver, name), found.as_ref(), arguments)?;
    let (subject, source) = subject;
    let host = PlanHost::new(place, &loaded, FailingHooks::new(&arguments.fail));
    let actions = action.map_or_else(|| Action::life(driver), |action| vec![action]);
    let parts = LifePlanner::new(&host, &subject, &guests, &arguments.root).plan(&actions)?;
    let mut notes = host.failing.finish()?;
    notes.extend(life_notes(place, &subject, &parts));
    let has_failure = parts.iter().any(PlannedAction::has_own_failure);
    let end = match has_failure || loaded.problem.is_some() {
        true => CommandEnd::Problem,
        false => CommandEnd::Good,
    };
    let facts = DocumentFacts::of(subject.document.clone());
    let fail = host.failing.words().to_vec();
    let life = PlannedLife { subject, facts, source, fail, parts, notes };
    match arguments.output.format {
        Format::Json => output.json(&guest_json::of(&life, &loaded.settings)),
        Format::Text => guest_text::show(&life, action.is_some(), output),
    }
    Ok(end)
}

/// Returns the hooks that would run at a call of a guest's life.
///
/// # Errors
/// The guest isn't known, or not unique; this user may not see something.
pub(crate) fn hooks_of(
    place: &CommandPlace,
    loaded: &LoadedSettings,
    (name, driver): (&str, Option<Driver>),
) -> anyhow::Result<BTreeSet<String>> {
    let arguments = PlanArgs {
        first: name.into(),
        second: None,
        operation: None,
        sub_operation: None,
        extra: OsString::new(),
        driver,
        xml: None,
        origin: None,
        fail: Vec::new(),
        unknown: false,
        root: "/".into(),
        output: crate::cli::args::OutputArgs { format: Format::Text },
    };
    let guests = Guests::new(&place.surroundings);
    let asked = Asked { before: &["list", "--guest"], behind: None, way_out: None };
    let found = find(place, &loaded.settings, &guests, &arguments, &asked)?;
    let driver = found.as_ref().map_or(driver.unwrap_or(Driver::Qemu), |it| it.driver);
    let name: &OsStr = name.as_ref();
    let (subject, _) =
        subject(place, &loaded.settings, (driver, name), found.as_ref(), &arguments)?;
    let host = PlanHost::new(place, loaded, FailingHooks::default());
    let actions = Action::life(driver);
    // a managed save must not hide what a fresh start runs
    let subject = Subject { is_saved: false, ..subject };
    let parts = LifePlanner::new(&host, &subject, &guests, Path::new("/")).plan(&actions)?;
    let steps = parts.iter().flat_map(|part| &part.calls).flat_map(|call| &call.planned.steps);
    let runs = steps.filter(|step| matches!(step.decision, Decision::Run | Decision::Fails { .. }));
    Ok(runs.map(|step| step.hook.label.clone()).collect())
}

/// Reads the second word.
fn action(place: &CommandPlace, arguments: &PlanArgs) -> anyhow::Result<Option<Action>> {
    let Some(word) = &arguments.second else { return Ok(None) };
    let word = word.to_string_lossy();
    if let Some(action) = Action::of(&word) {
        return Ok(Some(action));
    }
    let hookmux = |words: &[&OsStr]| Fix::hookmux(&place.surroundings.hooks_dir, words);
    let first = arguments.first.as_os_str();
    // the words of a call without its operation
    if let Some(driver) = Driver::from_name(first) {
        let words: [&OsStr; 4] =
            ["plan".as_ref(), word.as_ref().as_ref(), "--driver".as_ref(), driver.name().as_ref()];
        let fix = hookmux(&words);
        let text = format!(
            "a call has three words: `plan {driver} {word} OPERATION`; for the life of {word}: `{fix}`"
        );
        return Err(usage::wrong(Remark::with_fix(text, fix)));
    }
    if crate::libvirt::operation::TABLE.iter().any(|row| row.name == word) {
        let driver = arguments.driver.unwrap_or(Driver::Qemu);
        let words: [&OsStr; 4] =
            ["plan".as_ref(), driver.name().as_ref(), first, word.as_ref().as_ref()];
        let fix = hookmux(&words);
        let text = format!("{word} is a single call of libvirt's: `{fix}`");
        return Err(usage::wrong(Remark::with_fix(text, fix)));
    }
    let similar = did_you_mean(&word.to_lowercase(), Action::all_words());
    Err(usage::wrong(match similar {
        Some(similar) => {
            let fix = hookmux(&["plan".as_ref(), first, similar.as_ref()]);
            let text = format!(
                "nothing is called {word} that is done with a guest; did you mean: `{fix}`"
            );
            Remark::with_fix(text, fix)
        }
        None => {
            let all: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
            let all = all.join(", ");
            Remark::from(format!("nothing is called {word} that is done with a guest: {all}"))
        }
    }))
}

/// How a command names a guest: its words before the name, and behind it.
struct Asked<'a> {
    before: &'a [&'a str],
    behind: Option<&'a OsString>,
    /// How to go on with a guest that isn't known.
    way_out: Option<&'a str>,
}

/// Finds the guest that is meant; `None` where libvirt's definitions can't be seen, or don't matter.
///
/// # Errors
/// It isn't known, or not unique.
fn find(
    place: &CommandPlace,
    settings: &Settings,
    guests: &Guests,
    arguments: &PlanArgs,
    asked: &Asked<'_>,
) -> anyhow::Result<Option<KnownGuest>> {
    let (name, driver) = (arguments.first.to_string_lossy(), arguments.driver);
    let again = |name: &OsStr, more: &[&str]| {
        let mut words: Vec<OsString> = asked.before.iter().map(OsString::from).collect();
        words.push(name.to_owned());
        words.extend(asked.behind.cloned());
        words.extend(more.iter().map(OsString::from));
        Fix::hookmux(&settings.hooks_dir, &words)
    };
    let mut found = guests.find(&name, driver)?;
    if found.is_empty() {
        found = guests.with_uuid(&name, driver)?;
    }
    if let [first, _, ..] = found.as_slice() {
        let drivers: Vec<&str> = found.iter().map(|one| one.driver.name()).collect();
        let fix = again(&arguments.first, &["--driver", first.driver.name()]);
        let drivers = drivers.join(" and ");
        let text = format!("{drivers} have a guest {name}: say which, as in `{fix}`");
        return Err(usage::wrong(Remark::with_fix(text, fix)));
    }
    if let Some(found) = found.pop() {
        return Ok(Some(found));
    }
    if arguments.unknown || arguments.xml.is_some() {
        return Ok(None);
    }
    let call = |driver: Driver| {
        Call::new(driver, vec![arguments.first.clone(), "stopped".into(), "end".into(), "-".into()])
    };
    // one without a definition, whose files this user can't see
    let drivers = Driver::GUESTS.iter().filter(|one| driver.is_none_or(|it| it == **one));
    for driver in drivers.copied() {
        if let Some(guest) = known::remembered(place, settings, &call(driver)) {
            let definition = guest.started_document();
            let (name, is_session) = (name.into_owned(), false);
            return Ok(Some(KnownGuest { driver, name, definition, status: None, is_session }));
        }
    }
    let call = call(driver.unwrap_or(Driver::Qemu));
    let unknown: Option<Unknown> =
        known::guest(place, settings, (&call, driver), &|name| again(name.as_ref(), &[]))?;
    match unknown {
        Some(unknown) => Err(usage::wrong(match asked.way_out {
            Some(way_out) => unknown.with_way_out(way_out),
            None => unknown.remark(),
        })),
        None => Ok(None),
    }
}

fn subject(
    place: &CommandPlace,
    settings: &Settings,
    (driver, name): (Driver, &OsStr),
    found: Option<&KnownGuest>,
    arguments: &PlanArgs,
) -> anyhow::Result<(Subject, Source)> {
    let (document, running_document, source) = match (&arguments.xml, found) {
        (Some(file), _) => {
            let bytes = match file.as_os_str() == "-" {
                true => input::read(),
                false => Document::Whole(
                    input::read_file(file).map_err(|error| rights::explained(file, error))?,
                ),
            };
            let file = Some(file.display().to_string());
            (bytes.clone(), bytes, Source { file, why_none: String::new() })
        }
        (None, Some(found)) => {
            let (document, words) = found.document(false);
            let source = match document {
                Document::Absent => Source { file: None, why_none: words },
                _ => Source { file: Some(words), why_none: String::new() },
            };
            (document, found.document(true).0, source)
        }
        (None, None) => {
            let why_none = "libvirt has no file about it".to_owned();
            (Document::Absent, Document::Absent, Source { file: None, why_none })
        }
    };
    // the guest may have been found by its uuid
    let name = found.map_or_else(|| name.to_owned(), |found| found.name.clone().into());
    let call = Call::new(driver, vec![name.clone(), "stopped".into(), "end".into(), "-".into()]);
    let has_status = found.is_some_and(|found| found.status.is_some());
    let is_running = match has_status || known::remembered(place, settings, &call).is_some() {
        true => Some(true),
        false => Guests::new(&place.surroundings).sees_running(driver).then_some(false),
    };
    let save = settings.save_dir.join(format!("{}.save", name.to_string_lossy()));
    let is_saved = driver == Driver::Qemu && is_running != Some(true) && save.is_file();
    let origin = arguments.origin;
    let subject =
        Subject { driver, name, document, running_document, is_running, is_saved, origin };
    Ok((subject, source))
}

/// Returns what else there is to say.
fn life_notes(place: &CommandPlace, subject: &Subject, parts: &[PlannedAction]) -> Vec<String> {
    let mut notes = Vec::new();
    if subject.is_saved {
        notes.push("There is a managed save: its next start is a restore.".to_owned());
    }
    let calls = parts.iter().flat_map(|part| &part.calls).map(|call| call.planned.call.driver);
    let drivers: BTreeSet<Driver> = calls.chain([subject.driver]).collect();
    let hooks_dir = &place.surroundings.hooks_dir;
    for driver in drivers {
        if installed::own(hooks_dir, driver).called_at().is_none() {
            let fix = Fix::hookmux(hooks_dir, &["install", "--driver", driver.name()]);
            notes.push(format!(
                "hookmux isn't installed for {driver}: libvirt doesn't call it; `{fix}`"
            ));
        }
    }
    notes
}
