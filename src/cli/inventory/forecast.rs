//! Finds out whether a hook can run at all, whatever the call is.

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
use crate::trust::{Trust, TrustFault};

use crate::cli::fixes::{self, IntendedProgram};

/// What happens to a hook at every call.
pub(super) enum HookForecast {
    Runs,
    /// Others could change it: how, and what to do.
    Refused(String, Option<Fix>),
    /// It fails at every call: why, and what to do.
    Fails(String, Fix),
    /// No call can match its registration: why, and what to do.
    Never(String, Fix),
}

/// Finds out whether hooks can run.
pub(super) struct Forecaster<'a> {
    settings: &'a Settings,
    pub trust: Trust,
    /// Runs `getent` for users that `/etc/passwd` doesn't have.
    supervisor: Option<Supervisor>,
}

impl<'a> Forecaster<'a> {
    pub(super) fn new(settings: &'a Settings, user: u32) -> Forecaster<'a> {
        Forecaster { settings, trust: Trust::new(user), supervisor: None }
    }

    pub(super) fn ground(&self) -> OwnPaths<'a> {
        OwnPaths::of(self.settings, self.trust.user())
    }

    /// Checks a hook that is active by its place and its file.
    pub(super) fn of(&mut self, hook: &Hook) -> HookForecast {
        let registration = hook.registration.as_deref();
        let refusal = hook.refusal(&mut self.trust);
        let refusal = refusal.filter(|_| self.settings.trust == TrustPolicy::Refuse);
        if let Some((path, refusal)) = refusal {
            let subject = match registration {
                Some(one) => RepairTarget::named(path, &one.source),
                None => RepairTarget::at(path),
            };
            let fix = self.ground().fix(&[subject]);
            let edit = || match registration {
                Some(one)
                    if refusal.fault == TrustFault::Missing && one.list_hint(path).is_none() =>
                {
                    Some(fixes::create(path, &one.source))
                }
                Some(one) => Some(fixes::edit(self.settings, &one.source, None)),
                None => None,
            };
            let words = hook.refusal_words(path, &refusal);
            return HookForecast::Refused(words, fix.or_else(edit));
        }
        if let Some(never_runs) = registration.and_then(never_runs) {
            return never_runs;
        }
        let identity = match registration.map(|registration| self.identity(registration)) {
            None => None,
            Some(Ok(identity)) => identity,
            Some(Err(fails)) => return fails,
        };
        if let Some(fails) = registration.and_then(|one| self.variables(one)) {
            return fails;
        }
        self.programs(hook, identity.as_ref()).unwrap_or(HookForecast::Runs)
    }

    /// Resolves the user that its programs run as.
    fn identity(
        &mut self,
        registration: &Registration,
    ) -> Result<Option<UserIdentity>, HookForecast> {
        let Some(run_as) = &registration.run_as else { return Ok(None) };
        if self.supervisor.is_none() {
            self.supervisor = Supervisor::new(&[]).ok();
        }
        let Some(supervisor) = &mut self.supervisor else { return Ok(None) };
        users::resolve(run_as, self.trust.user(), supervisor).map(Some).map_err(|why| {
            let fix = fixes::for_user(&why, &registration.source);
            HookForecast::Fails(format!("refused: {why}"), fix)
        })
    }

    /// Checks its `environment_file`.
    fn variables(&self, registration: &Registration) -> Option<HookForecast> {
        let file = registration.environment_file.as_ref()?;
        let why = launch::read_environment_file(file, self.trust.user()).err()?;
        Some(HookForecast::Fails(why.to_string(), Fix::edit(file, None)))
    }

    /// Checks whether its programs can be started. The rollback doesn't decide whether a hook runs.
    fn programs(&self, hook: &Hook, identity: Option<&UserIdentity>) -> Option<HookForecast> {
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
        check.into_iter().chain([(hook.path.as_path(), "")]).find_map(|(path, owner)| {
            let is_text_run = hook.source == HookSource::Tree;
            let obstacle = Program { path, executor, is_text_run, search }.obstacle()?;
            let named_in = registration.map(|registration| registration.source.as_path());
            let fix = self
                .ground()
                .guard(IntendedProgram { path, named_in }.fix(&obstacle, &self.ground()));
            Some(HookForecast::Fails(format!("{owner}{obstacle}"), fix))
        })
    }
}

/// Returns why no call can match a registration.
fn never_runs(registration: &Registration) -> Option<HookForecast> {
    let triggers = &registration.triggers;
    let uncalled = || {
        let mut why = triggers.calls.iter().map(matched_calls::unmatched);
        let all: Option<Vec<String>> = why.by_ref().collect();
        all.filter(|all| triggers.events.is_empty() && !all.is_empty()).map(|all| all.join("; "))
    };
    let why = matching::impossibility(registration).or_else(uncalled)?;
    Some(HookForecast::Never(why, Fix::edit(&registration.source, None)))
}
