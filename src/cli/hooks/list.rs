//! `hookmux list`: every hook, its order and its state.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::events;
use super::judged::{Judge, Judged};
use crate::cli::args::{Format, ListArgs};
use crate::cli::check::finding::Code;
use crate::cli::json::hook::{List, ListedHook};
use crate::cli::json::message::Message;
use crate::cli::json::value::Word;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::register::{hooks_d, module, registered};
use crate::cli::{End, Place, rights, way_out};
use crate::command::Fix;
use crate::config::registration::DIRECTORY;
use crate::config::{Registration, Settings, diagnostic};
use crate::event;
use crate::hook::candidates::{self, Candidate, VDSM_ROOT};
use crate::hook::{Source, State, Style, adopted, tree};
use crate::libvirt::{Call, Driver, Operation, operation};
use crate::machine::files;
use crate::registry::{self, cache};
use crate::search::directory;
use crate::trust::Trust;

/// Whether a listed hook runs: what its directory says, what trust says, what its file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookState {
    Active,
    Masked,
    Disabled,
    NotExecutable,
    Dangling,
    Skipped,
    /// Others could change it.
    Refused,
    /// It can't be started, or not as its registration says.
    Fails,
    /// A registration that can't be read.
    Broken,
    /// A place in the per-guest tree that libvirt has no call for.
    NeverCalled,
}

impl HookState {
    fn of(state: &State) -> HookState {
        match state {
            State::Active => HookState::Active,
            State::Masked(_) => HookState::Masked,
            State::Disabled(_) => HookState::Disabled,
            State::NotExecutable => HookState::NotExecutable,
            State::Dangling => HookState::Dangling,
            State::Skipped(_) => HookState::Skipped,
        }
    }

    /// As `hookmux list` and its JSON say it.
    pub fn name(self) -> &'static str {
        match self {
            HookState::Active => "active",
            HookState::Masked => "masked",
            HookState::Disabled => "disabled",
            HookState::NotExecutable => "not executable",
            HookState::Dangling => "a link to nothing",
            HookState::Skipped => "skipped",
            HookState::Refused => "refused",
            HookState::Fails => "fails",
            HookState::Broken => "broken",
            HookState::NeverCalled => "never called",
        }
    }

    /// How it looks on a terminal.
    pub fn tone(self) -> Tone {
        match self {
            HookState::Active => Tone::Good,
            HookState::Refused | HookState::Fails | HookState::Broken => Tone::Bad,
            HookState::NotExecutable | HookState::Dangling | HookState::NeverCalled => {
                Tone::Careful
            }
            HookState::Masked | HookState::Disabled | HookState::Skipped => Tone::Dim,
        }
    }

    /// Whether it doesn't run, though it looks as if it were meant to.
    pub fn is_odd(self) -> bool {
        matches!(
            self,
            HookState::Refused
                | HookState::Fails
                | HookState::Broken
                | HookState::NotExecutable
                | HookState::Dangling
        )
    }
}

/// Files up to this size are told by their SHA-256, in bytes: the largest programs are smaller.
const MAX_HASHED_BYTES: u64 = 64 << 20;

/// A hook as it is listed.
pub struct Listed {
    /// Where it belongs: an event, `qemu.d/win10/prepare/begin`, or calls of libvirt's.
    pub place: String,
    /// What people call it: `before_vm_start/10-hugepages`.
    pub label: String,
    pub name: String,
    /// What is executed; of a registration that can't be read, its file.
    pub path: PathBuf,
    pub source: Source,
    pub style: Option<Style>,
    pub weight: Option<i64>,
    pub state: HookState,
    pub reason: Option<String>,
    /// The way out of a refusal.
    pub fix: Option<Fix>,
    /// Its turn among those of its place that run, from 1.
    pub order: Option<usize>,
    /// The file that registers it.
    pub registration: Option<PathBuf>,
    /// What the file says.
    pub registered: Option<Arc<Registration>>,
}

impl Listed {
    fn root(&self, settings: &Settings) -> String {
        let file = self.registration.as_ref().unwrap_or(&self.path);
        let roots = settings.roots.iter().map(|root| root.as_path());
        let roots = roots.chain([settings.hooks_dir.as_path(), Path::new(VDSM_ROOT)]);
        let root =
            roots.filter(|root| file.starts_with(root)).max_by_key(|root| root.as_os_str().len());
        root.unwrap_or(&settings.hooks_dir).display().to_string()
    }

    fn sha256(&self) -> Option<String> {
        Some(files::sha256(&files::read_regular(&self.path, MAX_HASHED_BYTES).ok()?))
    }

    fn json(&self, settings: &Settings) -> ListedHook {
        ListedHook {
            hook: self.label.clone(),
            event: event::is_known(&self.place).then(|| self.place.clone()),
            place: self.place.clone(),
            name: self.name.clone(),
            order: self.order,
            state: Word(self.state),
            reason: self.reason.clone(),
            weight: self.weight,
            style: self.style.map(Word),
            source: Word(self.source),
            path: self.path.as_path().into(),
            root: Path::new(&self.root(settings)).into(),
            sha256: self.sha256(),
            registration: self.registration.as_deref().map(Into::into),
            registered: self.registered.as_deref().map(Into::into),
            way_out: self.fix.as_ref().into(),
        }
    }
}

/// The arguments that a registered hook has, and what else isn't as usual of it.
fn more(registration: &Registration) -> String {
    let arguments = registration.args.iter().map(|argument| argument.as_str().to_owned());
    let arguments: Vec<String> =
        registration.command.iter().skip(1).cloned().chain(arguments).collect();
    let words = [module::shown(&arguments), registered::more(registration)];
    words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("; ")
}

/// What stands in for the registrations that can't be read.
pub fn stand_ins(settings: &Settings, trust: &Trust) -> Vec<Registration> {
    let registry = cache::look(settings, trust, &|_| true);
    let is_broken = |registration: &Registration| {
        registry.broken.iter().any(|broken| broken.diagnostic.path == registration.source)
    };
    registry.registrations.iter().filter(|one| is_broken(one)).cloned().collect()
}

/// Puts hooks on the list, with their turns and what trust says of them.
struct Lister<'a> {
    settings: &'a Settings,
    judge: Judge<'a>,
    listed: Vec<Listed>,
}

impl Lister<'_> {
    fn add(&mut self, place: &str, candidates: Vec<Candidate>) {
        let mut turn = 0;
        for candidate in candidates {
            let hook = &candidate.hook;
            let path = &hook.path;
            let with = |words: String, fix: &Option<Fix>| match fix {
                Some(fix) => Some(format!("{words}; {}", fix.text)),
                None => Some(words),
            };
            let (state, reason, fix) = match candidate.state == State::Active {
                true => match self.judge.of(hook) {
                    Judged::Runs => (HookState::Active, None, None),
                    Judged::Refused(why, fix) => {
                        (HookState::Refused, with(format!("refused: {why}"), &fix), fix)
                    }
                    Judged::Fails(why, fix) => {
                        let fix = Some(fix);
                        (HookState::Fails, with(why, &fix), fix)
                    }
                    Judged::Never(why, fix) => (HookState::NeverCalled, Some(why), Some(fix)),
                },
                false => {
                    let fix = way_out::of_state(&candidate.state, path, self.settings);
                    let fix = fix.map(|fix| self.judge.ground().guard(fix));
                    (HookState::of(&candidate.state), candidate.state.reason(), fix)
                }
            };
            let runs = state == HookState::Active;
            turn += usize::from(runs);
            self.listed.push(Listed {
                place: place.to_owned(),
                label: hook.label.clone(),
                name: hook.name.to_string_lossy().into_owned(),
                path: hook.path.clone(),
                source: hook.source,
                style: Some(hook.style),
                weight: Some(hook.weight),
                state,
                reason,
                fix,
                order: runs.then_some(turn),
                registration: hook
                    .registration
                    .as_ref()
                    .map(|registration| registration.source.clone()),
                registered: hook.registration.clone(),
            });
        }
    }

    /// Scripts of the per-guest tree at a moment that libvirt doesn't have.
    fn add_uncalled(&mut self, place: &str, call: &Call, candidates: Vec<Candidate>) {
        let before = self.listed.len();
        self.add(place, candidates);
        let operations = operation::TABLE.iter().filter(|row| row.drivers.contains(&call.driver));
        let moments: Vec<String> =
            operations.map(|row| format!("{}/{}", row.name, row.sub.unwrap_or("begin"))).collect();
        let moment = format!(
            "{}/{}",
            call.operation_name().to_string_lossy(),
            call.sub_operation().to_string_lossy()
        );
        let meant = diagnostic::did_you_mean(&moment, moments.iter().map(String::as_str));
        let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        for listed in &mut self.listed[before..] {
            listed.state = HookState::NeverCalled;
            listed.reason = Some(format!("libvirt has no {moment} for {}{hint}", call.driver));
            listed.order = None;
        }
    }

    /// A registration that is none of any event's: masked, disabled by a link, or broken.
    fn add_silent(&mut self, source: &registry::Source, has_stand_in: bool) {
        let path = &source.path;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let fix = match &source.content {
            Some(Err(diagnostic)) => Some(Fix::edit(path, diagnostic.place.map(|(line, _)| line))),
            _ => way_out::of_state(&source.state, path, self.settings)
                .map(|fix| self.judge.ground().guard(fix)),
        };
        let (state, reason) = match &source.content {
            Some(Err(diagnostic)) if has_stand_in => {
                let words = format!("{}; its last good form runs", diagnostic.one_line());
                (HookState::Broken, Some(words))
            }
            Some(Err(diagnostic)) => {
                let consequence = diagnostic.meaning().consequence();
                let words = format!("{}; {consequence}", diagnostic.one_line());
                (HookState::Broken, Some(words))
            }
            _ => (HookState::of(&source.state), source.state.reason()),
        };
        self.listed.push(Listed {
            place: DIRECTORY.to_owned(),
            label: format!("{DIRECTORY}/{name}"),
            name,
            path: source.path.clone(),
            source: Source::Registered,
            style: None,
            weight: None,
            state,
            reason,
            fix,
            order: None,
            registration: Some(source.path.clone()),
            registered: None,
        });
    }
}

/// All hooks below the hooks directory and the roots.
///
/// # Errors
/// A directory is there and can't be read.
pub fn all(settings: &Settings, user: u32) -> anyhow::Result<Vec<Listed>> {
    let mut lister = Lister { settings, judge: Judge::new(settings, user), listed: Vec::new() };
    let sources = registry::scan(settings, &mut lister.judge.trust).map_err(unreadable)?;
    let is_broken = |source: &&registry::Source| matches!(source.content, Some(Err(_)));
    let stand_ins = match sources.iter().any(|source| is_broken(&source)) {
        true => stand_ins(settings, &lister.judge.trust),
        false => Vec::new(),
    };
    let registered: Vec<Arc<Registration>> = sources
        .iter()
        .filter_map(|source| source.content.as_ref()?.as_ref().ok())
        .chain(&stand_ins)
        .map(|registration| Arc::new(registration.clone()))
        .collect();
    for event in events(settings, &registered) {
        let mut candidates = candidates::event_hooks(&event, settings).map_err(unreadable)?;
        let own = registered.iter().filter(|registration| registration.triggers.has_event(&event));
        candidates.extend(
            own.map(|registration| candidates::registered_hook(registration, &event, settings)),
        );
        candidates::in_order(&mut candidates);
        lister.add(&event, candidates);
    }
    for registration in
        registered.iter().filter(|registration| !registration.triggers.calls.is_empty())
    {
        let calls: Vec<String> =
            registration.triggers.calls.iter().map(ToString::to_string).collect();
        lister.add(
            &format!("calls {}", calls.join(", ")),
            vec![candidates::registered_hook(registration, DIRECTORY, settings)],
        );
    }
    for driver in Driver::ALL {
        let script = adopted::place(&settings.hooks_dir, driver);
        if script.symlink_metadata().is_ok() {
            let call = Call::new(driver, vec!["-".into(), "any".into()]);
            lister.add(
                &format!("every {driver} call"),
                of_source(&call, settings, user, Source::Adopted),
            );
        }
        for call in tree_calls(settings, driver)? {
            let Some(place) = tree::place(settings, &call) else { continue };
            let place = place
                .strip_prefix(&settings.hooks_dir)
                .unwrap_or(&place)
                .to_string_lossy()
                .into_owned();
            let scripts = of_source(&call, settings, user, Source::Tree);
            if call.operation() == Operation::Unknown {
                lister.add_uncalled(&place, &call, scripts);
            } else {
                lister.add(&place, scripts);
            }
        }
    }
    let is_ours = |source: &&registry::Source| {
        source.path.file_name().is_some_and(|name| name == hooks_d::LOCK)
    };
    for source in
        sources.iter().filter(|source| !matches!(source.content, Some(Ok(_))) && !is_ours(source))
    {
        let has_stand_in = stand_ins.iter().any(|one| one.source == source.path);
        lister.add_silent(source, has_stand_in);
    }
    Ok(lister.listed)
}

fn of_source(call: &Call, settings: &Settings, user: u32, source: Source) -> Vec<Candidate> {
    let found = candidates::find(call, settings, &Trust::new(user), false);
    found.all().filter(|candidate| candidate.hook.source == source).cloned().collect()
}

fn unreadable(directory: directory::Unreadable) -> anyhow::Error {
    rights::explained(&directory.path, directory.error)
}

/// The table's events, and unknown operations' where a directory is there.
pub fn events(settings: &Settings, registered: &[Arc<Registration>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in event::TABLE {
        if !names.iter().any(|name| name == row.name) {
            names.push(row.name.to_owned());
        }
    }
    let mut unknown = directories(settings);
    unknown.extend(registered.iter().flat_map(|registration| registration.triggers.events.clone()));
    names.extend(
        unknown.into_iter().filter(|name| name.starts_with("on_") && event::is_known(name)),
    );
    names
}

/// The directories directly below the roots.
fn directories(settings: &Settings) -> BTreeSet<String> {
    std::iter::once(&settings.hooks_dir)
        .chain(&settings.roots)
        .filter_map(|root| fs::read_dir(root).ok())
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Directories that look as though they were meant for an event, and are none's.
pub fn strangers(settings: &Settings) -> Vec<String> {
    let known: Vec<&str> = event::TABLE.iter().map(|row| row.name).collect();
    directories(settings)
        .into_iter()
        .filter(|name| {
            ["before_", "after_", "on_"].iter().any(|start| name.starts_with(start))
                && !event::is_known(name)
        })
        .map(|name| match diagnostic::did_you_mean(&name, known.iter().copied()) {
            Some(meant) => format!("{name}/ is no event's: did you mean {meant}?"),
            None => format!("{name}/ is no event's: see `hookmux events`"),
        })
        .collect()
}

/// The calls that the per-guest tree of a driver has a place for.
fn tree_calls(settings: &Settings, driver: Driver) -> anyhow::Result<Vec<Call>> {
    let mut calls = Vec::new();
    let base = settings.tree_of(driver);
    let below = |path: &Path| -> anyhow::Result<Vec<std::ffi::OsString>> {
        let mut names = directory::names(path).map_err(unreadable)?.unwrap_or_default();
        names.sort_unstable();
        Ok(names)
    };
    for guest in below(&base)? {
        for operation in below(&base.join(&guest))? {
            for sub in below(&base.join(&guest).join(&operation))? {
                calls.push(Call::new(
                    driver,
                    vec![guest.clone(), operation.clone(), sub, "-".into()],
                ));
            }
        }
    }
    Ok(calls)
}

pub fn run(place: &Place, arguments: &ListArgs, output: &mut Output) -> anyhow::Result<End> {
    let loaded = place.load(output);
    let settings = &loaded.settings;
    rights::must_read_hooks(settings)?;
    if let Some(event) = &arguments.event {
        events::must_be_known(event)?;
    }
    let mut hooks = all(settings, place.surroundings.user)?;
    if let Some(event) = &arguments.event {
        hooks.retain(|hook| hook.place == *event);
    }
    let strangers = if arguments.event.is_none() { strangers(settings) } else { Vec::new() };
    if arguments.output == Format::Json {
        output.json(&List {
            hooks: hooks.iter().map(|hook| hook.json(settings)).collect(),
            notes: strangers
                .iter()
                .map(|words| Message::coded(Code::UnknownEvent, words))
                .collect(),
        });
        return Ok(End::Good);
    }
    if hooks.is_empty() {
        explain_empty(settings, arguments.event.as_deref(), output);
    } else {
        let rows: Vec<Vec<Cell>> = hooks.iter().map(|hook| row(hook, settings)).collect();
        output.table(
            &["EVENT", "ORDER", "WEIGHT", "HOOK", "STATE", "STYLE", "SHA256", "ROOT", "MORE"],
            &rows,
        );
        for hook in &hooks {
            if let Some(reason) = &hook.reason {
                output.line(&format!("{}: {reason}", hook.path.display()));
            }
        }
    }
    for stranger in &strangers {
        output.complain(stranger);
    }
    Ok(End::Good)
}

fn row(hook: &Listed, settings: &Settings) -> Vec<Cell> {
    let sha256 = hook.sha256().map(|digest| digest[..12].to_owned());
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        hook.place.clone().into(),
        or_dash(hook.order.map(|turn| turn.to_string())).into(),
        or_dash(hook.weight.map(|weight| weight.to_string())).into(),
        hook.name.clone().into(),
        Cell(hook.state.name().to_owned(), hook.state.tone()),
        hook.style.map_or("-", Style::name).into(),
        Cell(or_dash(sha256), Tone::Dim),
        Cell(hook.root(settings), Tone::Dim),
        hook.registered.as_deref().map(more).unwrap_or_default().into(),
    ]
}

fn explain_empty(settings: &Settings, event: Option<&str>, output: &mut Output) {
    let example = event.unwrap_or("before_vm_start");
    let directory = settings.hooks_dir.join(example);
    output.line(&match event {
        Some(event) => format!("No hook for {event}."),
        None => format!("No hook in {} yet.", settings.hooks_dir.display()),
    });
    output.line("A hook is an executable in a directory named after its event:");
    output.line("");
    output.line(&format!("  mkdir -p {}", directory.display()));
    output.line(&format!("  install -m 755 my-script {}/10-my-script", directory.display()));
    output.line("");
    output.line("`hookmux events` shows the events; nothing needs to be reloaded.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_said_as_ever() {
        let path = || PathBuf::from("/x");
        for state in [
            State::Active,
            State::Masked(path()),
            State::Disabled("x"),
            State::NotExecutable,
            State::Dangling,
            State::Skipped("x"),
        ] {
            assert_eq!(HookState::of(&state).name(), state.name());
            assert_eq!(HookState::of(&state).is_odd(), state.is_odd());
        }
        let names =
            [HookState::Refused, HookState::Fails, HookState::Broken, HookState::NeverCalled];
        assert_eq!(names.map(HookState::name), ["refused", "fails", "broken", "never called"]);
        assert_eq!(names.map(HookState::is_odd), [true, true, true, false]);
    }
}
