//! Checks drafts: what keeps one from being written, and warnings about one that will hardly do what is
//! expected.

use std::fs;
use std::path::Path;

use super::collect::own;
use super::given::MAX_FILE_BYTES;
use crate::cli::fixes;
use crate::cli::hooks::events;
use crate::cli::install::libvirt_version::LibvirtVersion;
use crate::cli::register::draft::Draft;
use crate::cli::register::{registry, written};
use crate::cli::remark::{NamedRemarks, Remark};
use crate::command::Fix;
use crate::config::registration::RunAs;
use crate::config::{Registration, Settings, TrustPolicy};
use crate::event;
use crate::process::supervise::Supervisor;
use crate::process::users::{self, Unresolved};
use crate::registry::{RegistrationFile, matched_calls, matching};
use crate::repair::{self, OwnPaths};
use crate::search::EntryState;
use crate::trust::{Trust, TrustFault};

/// Checks drafts.
pub(crate) struct DraftChecker<'a> {
    pub settings: &'a Settings,
    pub user: u32,
    /// Whether registrations of the same name may be replaced.
    pub replaces: bool,
    /// Whether --name can give a registration another name.
    pub is_nameable: bool,
    /// The libvirt of this host, where it is known.
    pub libvirt: Option<LibvirtVersion>,
}

impl DraftChecker<'_> {
    /// Returns why a draft can't be written.
    pub(crate) fn obstacle(&self, draft: &Draft, sources: &[RegistrationFile]) -> Option<String> {
        if written::is_unchanged(draft, sources) {
            return None;
        }
        let name = &draft.name;
        let or_name = |words: &str| {
            if self.is_nameable { format!(", {words}") } else { String::new() }
        };
        if !self.replaces {
            if let Some(top) = registry::find(sources, name).first() {
                let path = top.path.display();
                return Some(match (registry::read(top), &top.state) {
                    (_, EntryState::Disabled(_)) => format!(
                        "{path} disables `{name}`: `{}` first, or give --replace",
                        own(self.settings, &["enable", name])
                    ),
                    _ if !registry::is_own(top, self.settings) => format!(
                        "`{name}` is registered in {path}, which would be masked: give --replace{}",
                        or_name("or another --name")
                    ),
                    (Some(known), _)
                        if known.command.first() == draft.registration.command.first() =>
                    {
                        format!(
                            "this is registered already, as `{name}` in {path}: --replace writes it again, --replace --dry-run --diff shows the difference{}",
                            or_name("--name registers it once more")
                        )
                    }
                    _ => format!(
                        "`{name}` is the name of another registration, {path}: give --replace (with --dry-run --diff it shows the difference){}",
                        or_name("or another --name")
                    ),
                });
            }
            if draft.path.symlink_metadata().is_ok() {
                return Some(format!(
                    "{} exists already, and is not a registration: move it away, or give --replace",
                    draft.path.display()
                ));
            }
        }
        match fs::symlink_metadata(&draft.path) {
            Ok(file) if file.is_dir() => {
                return Some(format!("{} is a directory: move it away", draft.path.display()));
            }
            Ok(file) if file.is_symlink() => {}
            // a file that is replaced has to be restored if a later one can't be written
            Ok(file) if !file.is_file() || file.len() > MAX_FILE_BYTES => {
                return Some(format!(
                    "{} is not a registration (a regular file of at most 1 MiB): move it away",
                    draft.path.display()
                ));
            }
            _ => {}
        }
        if let Some(words) = self.missing_user(draft) {
            return Some(words);
        }
        let is_again = |source: &&RegistrationFile| {
            source.path != draft.path
                && registry::read(source).is_some_and(|known| {
                    // everything but its name and its order
                    let new = Registration {
                        name: known.name.clone(),
                        source: known.source.clone(),
                        root: known.root.clone(),
                        weight: known.weight,
                        enabled: known.enabled,
                        ..draft.registration.clone()
                    };
                    *known == new
                })
        };
        let again = sources.iter().find(is_again).filter(|_| !draft.is_named)?;
        Some(format!(
            "this is registered already, as `{}` in {}: `{}` first{}",
            registry::name_of(again),
            again.path.display(),
            own(self.settings, &["delete", &registry::name_of(again)]),
            or_name("or --name registers it once more")
        ))
    }

    /// Says that the user or group that a draft names doesn't exist: its hook would fail at every call.
    fn missing_user(&self, draft: &Draft) -> Option<String> {
        let why = self.find_user(draft.registration.run_as.as_ref()?).err()?;
        match &why {
            Unresolved::NoUser(_) | Unresolved::NoGroup(_) | Unresolved::NoEntry(_) => {
                let fix = fixes::for_user(&why, &draft.path);
                let fix = fix.command().map(|_| format!("; `{fix}` makes it")).unwrap_or_default();
                Some(format!("{why}{fix}"))
            }
            // it may be found when the hook runs
            Unresolved::NoRight(_) | Unresolved::LookUp { .. } => None,
        }
    }

    /// Returns warnings: what is allowed, but will hardly do what is expected.
    pub(crate) fn warnings(&self, drafts: &[Draft], trust: &mut Trust) -> Vec<Remark> {
        let mut warnings = NamedRemarks::default();
        for draft in drafts {
            for remark in self.warnings_of(draft, trust) {
                warnings.add(&draft.name, remark);
            }
        }
        warnings.into_remarks().collect()
    }

    fn warnings_of(&self, draft: &Draft, trust: &mut Trust) -> Vec<Remark> {
        let mut refusals = Vec::new();
        let registration = &draft.registration;
        let mut found: Vec<String> = registration.warnings();
        found.extend(
            matching::impossibility(registration).map(|why| format!("it never runs: {why}")),
        );
        found.extend(registration.triggers.calls.iter().filter_map(matched_calls::unmatched));
        if let Some(libvirt) = self.libvirt {
            let never = events::never_here(&registration.triggers, libvirt);
            let words = |(moment, why)| format!("it never runs at {moment} on this host: {why}");
            found.extend(never.into_iter().map(words));
        }
        let programs = [
            Some(&registration.command),
            registration.check.as_ref(),
            registration.rollback.as_ref(),
            registration.undo.as_ref(),
        ];
        for program in programs.into_iter().flatten().filter_map(|words| words.first()) {
            if let Err(refusal) = trust.file(Path::new(program)) {
                let is_missing = refusal.fault == TrustFault::Missing;
                let hint = Some(Path::new(program)).filter(|_| is_missing);
                let hint = hint.and_then(|program| registration.list_hint(program));
                let (refusal, fix) = match hint {
                    Some(hint) => (format!("{program} does not exist: {hint}"), None),
                    None => (refusal.to_string(), self.fix_of(program, draft, is_missing)),
                };
                let words = match self.settings.trust {
                    TrustPolicy::Refuse => {
                        format!("it will be refused, and count as failed: {refusal}")
                    }
                    TrustPolicy::Warn => refusal,
                };
                refusals.push(Remark::followed_by(&words, fix));
            }
        }
        let refused = registration.run_as.as_ref().and_then(|run_as| self.find_user(run_as).err());
        found.extend(refused.map(|why| format!("it will be refused, and count as failed: {why}")));
        if let Some(program) = registration.command.first() {
            found.extend(self.event_of(Path::new(program)).map(|event| {
                format!("{program} lies in an event's directory: it runs at {event} without being registered too")
            }));
        }
        refusals.into_iter().chain(found.into_iter().map(Remark::from)).collect()
    }

    /// Returns what to do about a program that isn't trusted, or isn't there.
    fn fix_of(&self, program: &str, draft: &Draft, is_missing: bool) -> Option<Fix> {
        let program = Path::new(program);
        let ground = OwnPaths::of(self.settings, self.user);
        let fix = ground.fix(&[repair::RepairTarget::named(program, &draft.path)]);
        fix.or_else(|| is_missing.then(|| fixes::create(program, &draft.path)))
    }

    /// Returns the event if a program is in an event's directory.
    fn event_of<'a>(&self, program: &'a Path) -> Option<&'a str> {
        let directory = program.parent()?;
        let root = directory.parent()?;
        let event = directory.file_name()?.to_str()?;
        (self.settings.all_roots().any(|known| known == root) && event::is_known(event))
            .then_some(event)
    }

    fn find_user(&self, run_as: &RunAs) -> Result<(), Unresolved> {
        let Ok(mut supervisor) = Supervisor::new(&[]) else { return Ok(()) };
        users::resolve(run_as, self.user, &mut supervisor).map(drop)
    }
}
