//! `hookmux list`: every hook, its order and its state.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::args::{Format, ListArgs};
use super::output::{Cell, Output, Tone};
use super::{End, Place};
use crate::config::{Settings, TrustPolicy, diagnostic};
use crate::event;
use crate::files;
use crate::hook::candidates::{self, Candidate, VDSM_ROOT};
use crate::hook::{Source, State, adopted, directory, tree};
use crate::libvirt::{Call, Driver};
use crate::trust::{Refusal, Trust};

/// A hook as it is listed.
pub struct Listed {
    /// Where it belongs: an event, `qemu.d/win10/prepare/begin`, or a driver's every call.
    pub place: String,
    pub candidate: Candidate,
    pub refusal: Option<Refusal>,
    /// Its turn among those of its place that run, from 1.
    pub order: Option<usize>,
}

impl Listed {
    pub fn state(&self) -> &'static str {
        match (&self.candidate.state, &self.refusal) {
            (State::Active, Some(_)) => "refused",
            (state, _) => state.name(),
        }
    }

    pub fn reason(&self) -> Option<String> {
        match (&self.candidate.state, &self.refusal) {
            (State::Active, Some(refusal)) => {
                let fix = refusal.fix().map(|fix| format!("; {fix}")).unwrap_or_default();
                Some(format!("refused: {refusal}{fix}"))
            }
            (state, _) => state.reason(),
        }
    }

    fn root(&self, settings: &Settings) -> String {
        let roots = settings.roots.iter().map(|root| root.as_path());
        let roots = roots.chain([settings.hooks_dir.as_path(), Path::new(VDSM_ROOT)]);
        let root = roots
            .filter(|root| self.candidate.hook.path.starts_with(root))
            .max_by_key(|root| root.as_os_str().len());
        root.unwrap_or(&settings.hooks_dir).display().to_string()
    }

    fn sha256(&self) -> Option<String> {
        Some(files::sha256(&fs::read(&self.candidate.hook.path).ok()?))
    }

    fn json(&self, settings: &Settings) -> Value {
        let hook = &self.candidate.hook;
        json!({
            "event": self.place,
            "order": self.order,
            "hook": hook.name.to_string_lossy(),
            "path": hook.path.to_string_lossy(),
            "root": self.root(settings),
            "source": hook.source.name(),
            "style": hook.style.name(),
            "sha256": self.sha256(),
            "state": self.state(),
            "reason": self.reason(),
        })
    }
}

/// All hooks below the hooks directory and the roots.
///
/// # Errors
/// A directory is there and can't be read.
pub fn all(settings: &Settings, user: u32) -> anyhow::Result<Vec<Listed>> {
    let mut trust = Trust::new(user);
    let mut listed = Vec::new();
    let mut add = |place: &str, candidates: Vec<Candidate>| {
        let mut turn = 0;
        for candidate in candidates {
            let is_active = candidate.state == State::Active;
            let refusal = is_active.then(|| trust.file(&candidate.hook.path).err()).flatten();
            let runs = is_active && (refusal.is_none() || settings.trust == TrustPolicy::Warn);
            turn += usize::from(runs);
            let order = runs.then_some(turn);
            let refusal = refusal.filter(|_| settings.trust == TrustPolicy::Refuse);
            listed.push(Listed { place: place.to_owned(), candidate, refusal, order });
        }
    };
    for event in events(settings) {
        let candidates = candidates::event_hooks(&event, settings).map_err(unreadable)?;
        add(&event, candidates);
    }
    for driver in Driver::ALL {
        let script = adopted::place(&settings.hooks_dir, driver);
        if script.symlink_metadata().is_ok() {
            let call = Call::new(driver, vec!["-".into(), "any".into()]);
            let found = candidates::find(&call, settings, false);
            let scripts = found
                .all()
                .filter(|candidate| candidate.hook.source == Source::Adopted)
                .cloned()
                .collect();
            add(&format!("every {driver} call"), scripts);
        }
        for call in tree_calls(settings, driver)? {
            let found = candidates::find(&call, settings, false);
            let scripts: Vec<Candidate> = found
                .all()
                .filter(|candidate| candidate.hook.source == Source::Tree)
                .cloned()
                .collect();
            let Some(place) = tree::place(&settings.hooks_dir, &call) else { continue };
            let place = place
                .strip_prefix(&settings.hooks_dir)
                .unwrap_or(&place)
                .to_string_lossy()
                .into_owned();
            add(&place, scripts);
        }
    }
    Ok(listed)
}

fn unreadable(directory: directory::Unreadable) -> anyhow::Error {
    anyhow::Error::new(directory.error)
        .context(format!("{} can't be read", directory.path.display()))
}

/// The table's events, and unknown operations' where a directory is there.
fn events(settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in event::TABLE {
        if !names.iter().any(|name| name == row.name) {
            names.push(row.name.to_owned());
        }
    }
    names.extend(
        directories(settings)
            .into_iter()
            .filter(|name| name.starts_with("on_") && event::is_known(name)),
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
    let base = settings.hooks_dir.join(format!("{driver}.d"));
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
    if let Some(event) = &arguments.event
        && !event::is_known(event)
    {
        let known = event::TABLE.iter().map(|row| row.name);
        let hint = diagnostic::did_you_mean(event, known)
            .map(|meant| format!("; did you mean {meant}?"))
            .unwrap_or_default();
        anyhow::bail!("there is no event {event}{hint} See `hookmux events`");
    }
    let mut hooks = all(settings, place.surroundings.user)?;
    if let Some(event) = &arguments.event {
        hooks.retain(|hook| hook.place == *event);
    }
    let strangers = if arguments.event.is_none() { strangers(settings) } else { Vec::new() };
    if arguments.output == Format::Json {
        let hooks: Vec<Value> = hooks.iter().map(|hook| hook.json(settings)).collect();
        output.json(&json!({ "hooks": hooks, "notes": strangers }));
        return Ok(End::Good);
    }
    if hooks.is_empty() {
        explain_empty(settings, arguments.event.as_deref(), output);
    } else {
        let rows: Vec<Vec<Cell>> = hooks.iter().map(|hook| row(hook, settings)).collect();
        output.table(&["EVENT", "ORDER", "HOOK", "STATE", "STYLE", "SHA256", "ROOT"], &rows);
        for hook in &hooks {
            if let Some(reason) = hook.reason() {
                output.line(&format!("{}: {reason}", hook.candidate.hook.path.display()));
            }
        }
    }
    for stranger in &strangers {
        output.complain(stranger);
    }
    Ok(End::Good)
}

fn row(hook: &Listed, settings: &Settings) -> Vec<Cell> {
    let tone = match hook.state() {
        "active" => Tone::Good,
        "refused" => Tone::Bad,
        "not executable" => Tone::Careful,
        _ => Tone::Dim,
    };
    let sha256 = hook.sha256().map(|digest| digest[..12].to_owned());
    vec![
        hook.place.clone().into(),
        hook.order.map_or_else(|| "-".to_owned(), |turn| turn.to_string()).into(),
        hook.candidate.hook.name.to_string_lossy().into_owned().into(),
        Cell(hook.state().to_owned(), tone),
        hook.candidate.hook.style.name().into(),
        Cell(sha256.unwrap_or_else(|| "-".to_owned()), Tone::Dim),
        Cell(hook.root(settings), Tone::Dim),
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
