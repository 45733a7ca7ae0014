//! Every hook that a call could run, before anything is known but its arguments.

use std::path::Path;

use super::directory::{self, Unreadable};
use super::{Hook, OnFailure, Source, State, Style, adopted, tree};
use crate::config::Settings;
use crate::event::{self, Event};
use crate::libvirt::{Call, Operation};

/// A hook, and what its file says.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub hook: Hook,
    pub state: State,
}

/// Hooks that run at one moment of a call: an event's, or (without an event) what a call of
/// libvirt's runs whatever it means.
#[derive(Clone, Debug)]
pub struct Moment {
    pub event: Option<Event>,
    pub candidates: Vec<Candidate>,
}

/// All moments of a call, in order.
#[derive(Debug, Default)]
pub struct Candidates {
    pub moments: Vec<Moment>,
    /// Directories that are there and can't be read: their hooks are unknown.
    pub unreadable: Vec<Unreadable>,
    /// Why the per-guest tree is left alone, where it has scripts for this call.
    pub tree_left_to: Option<String>,
}

impl Candidates {
    /// Whether anything could run.
    pub fn is_empty(&self) -> bool {
        self.unreadable.is_empty() && !self.all().any(|candidate| candidate.state == State::Active)
    }

    pub fn all(&self) -> impl Iterator<Item = &Candidate> {
        self.moments.iter().flat_map(|moment| &moment.candidates)
    }
}

/// Looks for the hooks of a call. `beside` is whether hookmux was called from `<driver>.d/`.
pub fn find(call: &Call, settings: &Settings, beside: bool) -> Candidates {
    let mut found = Candidates::default();
    for event in event::candidates(call) {
        match event_hooks(&event.name, settings) {
            Ok(candidates) if candidates.is_empty() => {}
            Ok(candidates) => found.moments.push(Moment { event: Some(event), candidates }),
            Err(unreadable) => found.unreadable.push(unreadable),
        }
    }
    if let Some(candidate) = adopted_script(call, settings) {
        found.moments.push(Moment { event: None, candidates: vec![candidate] });
    }
    match tree_scripts(call, settings) {
        Ok(candidates) if candidates.is_empty() => {}
        Ok(candidates) => match tree_owner(call, settings, beside) {
            Some(owner) => found.tree_left_to = Some(owner),
            None => found.moments.push(Moment { event: None, candidates }),
        },
        Err(unreadable) => found.unreadable.push(unreadable),
    }
    found
}

/// The hooks of one event directory over all roots, in the order in which they run.
///
/// # Errors
/// A directory is there and can't be read.
pub fn event_hooks(event: &str, settings: &Settings) -> Result<Vec<Candidate>, Unreadable> {
    let vdsm = settings.vdsm_hooks.then_some(Path::new(VDSM_ROOT));
    let own = std::iter::once(settings.hooks_dir.as_path())
        .chain(settings.roots.iter().map(|root| root.as_path()));
    let own_count = 1 + settings.roots.len();
    let entries = directory::entries(own.chain(vdsm), event)?;
    Ok(entries
        .into_iter()
        .map(|entry| {
            let is_vdsm = entry.root >= own_count;
            let hook = Hook {
                label: format!("{event}/{}", entry.name.to_string_lossy()),
                name: entry.name,
                path: entry.path,
                source: if is_vdsm { Source::Vdsm } else { Source::EventDirectory },
                style: Style::Vdsm,
                on_failure: OnFailure::Fail,
                kill: false,
                // vdsm itself ignores what they write where libvirt would take it
                filter: !is_vdsm,
                timeout: settings.timeout,
                kill_leftovers: settings.kill_leftovers,
            };
            Candidate { hook, state: entry.state }
        })
        .collect())
}

/// Where vdsm's packages put hooks.
pub const VDSM_ROOT: &str = "/usr/libexec/vdsm/hooks";

fn tree_scripts(call: &Call, settings: &Settings) -> Result<Vec<Candidate>, Unreadable> {
    let Some(place) = tree::place(&settings.hooks_dir, call) else { return Ok(Vec::new()) };
    let scripts = tree::scripts(&place)?;
    Ok(scripts
        .into_iter()
        .map(|(path, state)| {
            let relative = path.strip_prefix(&settings.hooks_dir).unwrap_or(&path);
            let hook = Hook {
                label: relative.to_string_lossy().into_owned(),
                name: path.file_name().unwrap_or_default().to_owned(),
                path: path.clone(),
                source: Source::Tree,
                style: Style::Libvirt,
                on_failure: OnFailure::Stop,
                kill: matches!(call.operation(), Operation::Started | Operation::NetworkStarted),
                filter: true,
                timeout: settings.timeout,
                kill_leftovers: settings.kill_leftovers,
            };
            Candidate { hook, state }
        })
        .collect())
}

fn adopted_script(call: &Call, settings: &Settings) -> Option<Candidate> {
    let path = adopted::place(&settings.hooks_dir, call.driver);
    path.symlink_metadata().ok()?;
    let state = directory::state(&path);
    let name = path.file_name().unwrap_or_default().to_owned();
    let hook = Hook {
        label: name.to_string_lossy().into_owned(),
        name,
        path,
        source: Source::Adopted,
        style: Style::Libvirt,
        on_failure: OnFailure::Fail,
        // libvirt's own meaning of a failure, except that no guest dies of a daemon's restart
        kill: matches!(
            call.operation(),
            Operation::Started | Operation::NetworkStarted | Operation::NetworkUpdated
        ),
        filter: true,
        timeout: None,
        kill_leftovers: settings.kill_leftovers,
    };
    Some(Candidate { hook, state })
}

/// Who else runs the per-guest tree: no script may run twice.
fn tree_owner(call: &Call, settings: &Settings, beside: bool) -> Option<String> {
    let mut scripts = vec![adopted::place(&settings.hooks_dir, call.driver)];
    if beside {
        scripts.push(settings.hooks_dir.join(call.driver.name()));
    }
    scripts
        .into_iter()
        .filter(|script| directory::state(script) == State::Active)
        .find(|script| adopted::serves_tree(script, call.driver))
        .map(|script| format!("left to {}, which mentions {}.d", script.display(), call.driver))
}
