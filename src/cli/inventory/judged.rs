//! Whether a hook can run at all, whatever the call is: what `list` can know of it.

use crate::command::Fix;
use crate::config::{Registration, Settings, TrustPolicy};
use crate::hook::{Hook, HookSource};
use crate::machine::privileges::UserIdentity;
use crate::process::startable::executing_user::ExecutingUser;
use crate::process::startable::{self, Program};
use crate::process::supervise::Supervisor;
use crate::process::users;
use crate::registry::{matched_calls, matching};
use crate::repair::{OwnPaths, RepairTarget};
use crate::run::launch;
use crate::trust::Trust;

use crate::cli::way_out::{self, Meant};

/// What becomes of a hook at every call.
pub(super) enum Judged {
    Runs,
    /// Others could change it: how, and the way out.
    Refused(String, Option<Fix>),
    /// It fails at every call: why, and the way out.
    Fails(String, Fix),
    /// No call can ever meet what its registration asks for.
    Never(String, Fix),
}

/// Judges hooks.
pub(super) struct Judge<'a> {
    settings: &'a Settings,
    pub trust: Trust,
    /// Asks for users that no file names.
    supervisor: Option<Supervisor>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(settings: &'a Settings, user: u32) -> Judge<'a> {
        Judge { settings, trust: Trust::new(user), supervisor: None }
    }

    pub(super) fn ground(&self) -> OwnPaths<'a> {
        OwnPaths::of(self.settings, self.trust.user())
    }

    /// Judges a hook that its place and its file let run.
    pub(super) fn of(&mut self, hook: &Hook) -> Judged {
        let registration = hook.registration.as_deref();
        let refusal = hook.refusal(&mut self.trust);
        let refusal = refusal.filter(|_| self.settings.trust == TrustPolicy::Refuse);
        if let Some((path, refusal)) = refusal {
            let subject = match registration {
                Some(one) => RepairTarget::named(path, &one.source),
                None => RepairTarget::at(path),
            };
            let fix = self.ground().fix(&[subject]);
            // what isn't there is named by mistake
            let edit = || registration.map(|registration| Fix::edit(&registration.source, None));
            return Judged::Refused(refusal.to_string(), fix.or_else(edit));
        }
        if let Some(never) = registration.and_then(never) {
            return never;
        }
        let identity = match registration.map(|registration| self.identity(registration)) {
            None => None,
            Some(Ok(identity)) => identity,
            Some(Err(fails)) => return fails,
        };
        if let Some(fails) = registration.and_then(|one| self.variables(one)) {
            return fails;
        }
        self.programs(hook, identity.as_ref()).unwrap_or(Judged::Runs)
    }

    /// Whose rights its programs have.
    fn identity(&mut self, registration: &Registration) -> Result<Option<UserIdentity>, Judged> {
        let Some(run_as) = &registration.run_as else { return Ok(None) };
        if self.supervisor.is_none() {
            self.supervisor = Supervisor::new(&[]).ok();
        }
        let Some(supervisor) = &mut self.supervisor else { return Ok(None) };
        users::resolve(run_as, self.trust.user(), supervisor).map(Some).map_err(|why| {
            let fix = way_out::of_user(&why, &registration.source);
            Judged::Fails(format!("refused: {why}"), fix)
        })
    }

    /// Its file of variables.
    fn variables(&self, registration: &Registration) -> Option<Judged> {
        let file = registration.environment_file.as_ref()?;
        let why = launch::read_environment_file(file, self.trust.user()).err()?;
        Some(Judged::Fails(why.to_string(), Fix::edit(file, None)))
    }

    /// Whether its programs can be started; nobody waits for a rollback to see whether a hook runs.
    fn programs(&self, hook: &Hook, identity: Option<&UserIdentity>) -> Option<Judged> {
        let registration = hook.registration.as_deref();
        let executor = match identity {
            Some(identity) => ExecutingUser { user: identity.user, groups: &identity.groups },
            None => ExecutingUser::of(startable::daemons_user(self.settings, self.trust.user())),
        };
        let search = match hook.source.is_drop_in() {
            true => None,
            false => startable::path_variable(self.settings, registration),
        };
        let check = registration.and_then(|registration| registration.check.as_ref()?.first());
        let check = check.map(|path| (path.as_ref(), "its check "));
        check.into_iter().chain([(hook.path.as_path(), "")]).find_map(|(path, whose)| {
            let is_text_run = hook.source == HookSource::Tree;
            let obstacle = Program { path, executor, is_text_run, search }.obstacle()?;
            let named_in = registration.map(|registration| registration.source.as_path());
            let fix = self.ground().guard(Meant { path, named_in }.fix(&obstacle, &self.ground()));
            Some(Judged::Fails(format!("{whose}{obstacle}"), fix))
        })
    }
}

/// Why no call can meet a registration.
fn never(registration: &Registration) -> Option<Judged> {
    let triggers = &registration.triggers;
    let uncalled = || {
        let mut why = triggers.calls.iter().map(matched_calls::unmatched);
        let all: Option<Vec<String>> = why.by_ref().collect();
        all.filter(|all| triggers.events.is_empty() && !all.is_empty()).map(|all| all.join("; "))
    };
    let why = matching::impossibility(registration).or_else(uncalled)?;
    Some(Judged::Never(why, Fix::edit(&registration.source, None)))
}
