//! Finds every hook that a call could run, from the call's arguments alone.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Hook, HookSource, OnFailure, Style, adopted, tree};
use crate::config::registration::{CallStyle, DIRECTORY, FailurePolicy, OwnTimeout};
use crate::config::triggers::Triggers;
use crate::config::{HookScope, Registration, Settings};
use crate::event::{self, Event};
use crate::libvirt::{Call, Class, Driver, Operation};
use crate::registry::{Broken, cache};
use crate::search::EntryState;
use crate::search::directory::{self, UnreadablePath};
use crate::trust::Trust;

/// A hook, and the state of its file.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub hook: Hook,
    pub state: EntryState,
}

/// The hooks of one event of a call; without an event, the hooks that run at the call itself.
#[derive(Clone, Debug)]
pub(crate) struct CandidateGroup {
    pub event: Option<Event>,
    pub candidates: Vec<Candidate>,
}

/// The groups of a call, in order.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    pub groups: Vec<CandidateGroup>,
    /// Directories that exist and can't be read: their hooks are unknown.
    pub unreadable: Vec<UnreadablePath>,
    /// Registrations that can't be used, and may concern this call.
    pub broken: Vec<Broken>,
    /// Whether only scripts that libvirt itself would call are looked for: the caller is a user's daemon.
    pub is_drop_ins_only: bool,
    /// Why hookmux doesn't run the per-guest tree, if that has scripts for this call.
    pub tree_left_to: Option<String>,
}

impl Candidates {
    /// Tells whether nothing could run.
    pub(crate) fn is_empty(&self) -> bool {
        self.unreadable.is_empty()
            && self.broken.is_empty()
            && !self.all().any(|candidate| candidate.state == EntryState::Active)
    }

    /// Tells whether a hook that could run says how it is undone.
    pub(crate) fn have_undo(&self) -> bool {
        self.all().any(|candidate| {
            let registration = candidate.hook.registration.as_ref();
            registration.is_some_and(|registration| registration.undo.is_some())
        })
    }

    fn add(&mut self, event: Option<Event>, candidates: Vec<Candidate>) {
        if !candidates.is_empty() {
            self.groups.push(CandidateGroup { event, candidates });
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Candidate> {
        self.groups.iter().flat_map(|group| &group.candidates)
    }
}

/// Looks for the hooks of a call. `is_below_driver_d` tells whether hookmux was called from
/// `<driver>.d/`.
pub(crate) fn find(
    call: &Call,
    settings: &Settings,
    trust: &Trust,
    is_below_driver_d: bool,
) -> Candidates {
    let mut found = Candidates::default();
    match HookScope::of(settings, trust.user()) {
        HookScope::All => add_hooks(&mut found, call, settings, trust),
        HookScope::DropIns => found.is_drop_ins_only = true,
    }
    add_drop_ins(&mut found, call, settings, is_below_driver_d);
    found
}

/// Why a registration doesn't run at a call of this host.
const ONLY_REMOTE: &str = "`remote: true` in its registration: it runs for events of other hosts";

/// Looks for the hooks of a call of another host: registrations with `remote: true`, and nothing else.
pub(crate) fn find_remote(call: &Call, settings: &Settings, trust: &Trust) -> Candidates {
    let mut found = Candidates::default();
    // what was before something can't be answered any more
    if call.class() == Class::Gate {
        return found;
    }
    let events = event::candidates(call);
    let wants = |triggers: &Triggers| {
        triggers.has_call(call) || events.iter().any(|event| triggers.has_event(&event.name))
    };
    let registry = cache::load(settings, trust, &wants);
    found.unreadable.extend(registry.unreadable);
    found.broken = registry.broken;
    found.broken.retain(|broken| broken.diagnostic.recovered().concerns(call));
    let registered: Vec<Arc<Registration>> =
        registry.registrations.into_iter().filter(|one| one.remote).map(Arc::new).collect();
    let hook = |registration: &Arc<Registration>, place: &str| {
        let candidate = registered_hook(registration, place, settings);
        let state = if registration.enabled { EntryState::Active } else { candidate.state };
        Candidate { state, ..candidate }
    };
    for event in events.into_iter().filter(|event| !event.per_device) {
        let own = registered.iter().filter(|one| one.triggers.has_event(&event.name));
        let mut candidates: Vec<Candidate> = own.map(|one| hook(one, &event.name)).collect();
        in_order(&mut candidates);
        found.add(Some(event), candidates);
    }
    let of_call = registered.iter().filter(|one| one.triggers.has_call(call));
    let mut of_call: Vec<Candidate> = of_call.map(|one| hook(one, DIRECTORY)).collect();
    in_order(&mut of_call);
    found.add(None, of_call);
    found
}

/// Adds the hooks of events and of calls.
fn add_hooks(found: &mut Candidates, call: &Call, settings: &Settings, trust: &Trust) {
    let events = event::candidates(call);
    let wants = |triggers: &Triggers| {
        triggers.has_call(call) || events.iter().any(|event| triggers.has_event(&event.name))
    };
    let registry = cache::load(settings, trust, &wants);
    found.unreadable.extend(registry.unreadable);
    found.broken = registry.broken;
    // the use of a last good form is reported whatever calls the broken one may concern
    found
        .broken
        .retain(|broken| broken.has_last_good || broken.diagnostic.recovered().concerns(call));
    let registered: Vec<Arc<Registration>> =
        registry.registrations.into_iter().map(Arc::new).collect();
    for event in events {
        match event_hooks(&event.name, settings) {
            Ok(mut candidates) => {
                let own = registered
                    .iter()
                    .filter(|registration| registration.triggers.has_event(&event.name));
                candidates.extend(
                    own.map(|registration| registered_hook(registration, &event.name, settings)),
                );
                in_order(&mut candidates);
                found.add(Some(event), candidates);
            }
            Err(unreadable) => found.unreadable.push(unreadable),
        }
    }
    let of_call = registered.iter().filter(|registration| registration.triggers.has_call(call));
    let mut of_call: Vec<Candidate> =
        of_call.map(|registration| registered_hook(registration, DIRECTORY, settings)).collect();
    in_order(&mut of_call);
    found.add(None, of_call);
}

/// Adds the scripts that libvirt itself would call.
fn add_drop_ins(found: &mut Candidates, call: &Call, settings: &Settings, is_below_driver_d: bool) {
    match adopted_script(call, settings) {
        Ok(candidate) => found.add(None, candidate.into_iter().collect()),
        Err(unreadable) => found.unreadable.push(unreadable),
    }
    match tree_scripts(call, settings) {
        Ok(candidates) if candidates.is_empty() => {}
        Ok(candidates) => match tree_owner(call.driver, settings, is_below_driver_d) {
            Some(owner) => found.tree_left_to = Some(owner),
            None => found.add(None, candidates),
        },
        Err(unreadable) => found.unreadable.push(unreadable),
    }
}

/// Sorts by weight, then by name in byte order; equal ones stay in the order of the roots.
pub(crate) fn in_order(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| (a.hook.weight, &a.hook.name).cmp(&(b.hook.weight, &b.hook.name)));
}

/// Makes a registered hook for an event, or for `hooks.d` where it runs at calls.
pub(crate) fn registered_hook(
    registration: &Arc<Registration>,
    place: &str,
    settings: &Settings,
) -> Candidate {
    let state = match (registration.enabled, registration.remote) {
        (true, false) => EntryState::Active,
        (true, true) => EntryState::Disabled(ONLY_REMOTE),
        (false, _) => EntryState::Disabled("`enabled: false` in its registration"),
    };
    let path = registration.command.first().map(PathBuf::from).unwrap_or_default();
    let hook = Hook {
        label: format!("{place}/{}", registration.name),
        name: registration.name.clone().into(),
        path,
        source: HookSource::Registered,
        style: match registration.style {
            CallStyle::Vdsm => Style::Vdsm,
            CallStyle::Libvirt => Style::Libvirt,
        },
        on_failure: match registration.on_failure {
            FailurePolicy::Fail | FailurePolicy::Kill => OnFailure::Fail,
            FailurePolicy::Stop => OnFailure::Stop,
            FailurePolicy::Warn => OnFailure::Warn,
        },
        kill: registration.on_failure == FailurePolicy::Kill,
        filter: registration.filter,
        timeout: match registration.timeout {
            OwnTimeout::Usual => settings.timeout,
            OwnTimeout::None => None,
            OwnTimeout::After(limit) => Some(limit),
        },
        kill_leftovers: registration.kill_leftovers.unwrap_or(settings.kill_leftovers),
        weight: registration.weight,
        registration: Some(registration.clone()),
    };
    Candidate { hook, state }
}

/// Returns the hooks of one event directory over all roots, in the order in which they run.
///
/// # Errors
/// A directory exists and can't be read.
pub(crate) fn event_hooks(
    event: &str,
    settings: &Settings,
) -> Result<Vec<Candidate>, UnreadablePath> {
    let vdsm = settings.vdsm_hooks.then_some(Path::new(VDSM_ROOT));
    let own_count = settings.all_roots().count();
    let entries = directory::entries(settings.all_roots().chain(vdsm), event)?;
    Ok(entries
        .into_iter()
        .map(|entry| {
            let is_vdsm = entry.root >= own_count;
            let hook = Hook {
                label: format!("{event}/{}", entry.name.to_string_lossy()),
                name: entry.name,
                path: entry.path,
                source: if is_vdsm { HookSource::Vdsm } else { HookSource::EventDirectory },
                style: Style::Vdsm,
                on_failure: OnFailure::Fail,
                kill: false,
                // vdsm itself ignores the documents of its hooks where libvirt would take one
                filter: !is_vdsm,
                timeout: settings.timeout,
                kill_leftovers: settings.kill_leftovers,
                weight: 0,
                registration: None,
            };
            Candidate { hook, state: entry.state }
        })
        .collect())
}

/// The directory where vdsm's packages install hooks.
pub(crate) const VDSM_ROOT: &str = "/usr/libexec/vdsm/hooks";

/// Returns the scripts of the per-guest tree for a call, whoever runs them.
///
/// # Errors
/// A directory exists and can't be read, or a script can't be examined.
pub(crate) fn tree_scripts(
    call: &Call,
    settings: &Settings,
) -> Result<Vec<Candidate>, UnreadablePath> {
    let Some(place) = tree::place(settings, call) else { return Ok(Vec::new()) };
    let scripts = tree::scripts(&place)?;
    Ok(scripts
        .into_iter()
        .map(|(path, state)| {
            let relative = path.strip_prefix(&settings.hooks_dir).unwrap_or(&path);
            let hook = Hook {
                label: relative.to_string_lossy().into_owned(),
                name: path.file_name().unwrap_or_default().to_owned(),
                path: path.clone(),
                source: HookSource::Tree,
                style: Style::Libvirt,
                on_failure: OnFailure::Stop,
                kill: matches!(call.operation(), Operation::Started | Operation::NetworkStarted),
                filter: true,
                timeout: settings.timeout,
                kill_leftovers: settings.kill_leftovers,
                weight: 0,
                registration: None,
            };
            Candidate { hook, state }
        })
        .collect())
}

/// Returns the script that libvirt called before hookmux was installed.
///
/// # Errors
/// It may exist, and can't be examined.
pub(crate) fn adopted_script(
    call: &Call,
    settings: &Settings,
) -> Result<Option<Candidate>, UnreadablePath> {
    let path = adopted::place(&settings.hooks_dir, call.driver);
    match path.symlink_metadata() {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(UnreadablePath { path, error }),
    }
    let state = directory::try_state(&path)?;
    let name = path.file_name().unwrap_or_default().to_owned();
    let hook = Hook {
        label: name.to_string_lossy().into_owned(),
        name,
        path,
        source: HookSource::Adopted,
        style: Style::Libvirt,
        on_failure: OnFailure::Fail,
        // a failure has the same effect as without hookmux, except that no guest is killed when a daemon
        // restarts
        kill: matches!(
            call.operation(),
            Operation::Started | Operation::NetworkStarted | Operation::NetworkUpdated
        ),
        filter: true,
        timeout: None,
        kill_leftovers: settings.kill_leftovers,
        weight: 0,
        registration: None,
    };
    Ok(Some(Candidate { hook, state }))
}

/// Returns the script that runs the per-guest tree itself: no script may run twice.
pub(crate) fn tree_owner(
    driver: Driver,
    settings: &Settings,
    is_below_driver_d: bool,
) -> Option<String> {
    let mut scripts = vec![adopted::place(&settings.hooks_dir, driver)];
    if is_below_driver_d {
        scripts.push(settings.hooks_dir.join(driver.name()));
    }
    let word = settings.tree.mention(&settings.hooks_dir, driver);
    scripts
        .into_iter()
        .filter(|script| directory::state(script) == EntryState::Active)
        .find(|script| adopted::runs_tree(script, &word))
        .map(|script| format!("left to {}, which mentions {word}", script.display()))
}
