//! The steps of a plan, run one after another.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::environment::Environment;
use super::exchange::{Change, Exchange};
use super::job::{Ended, Job, Outcome, c_string};
use super::supervise::{Progress, Supervisor};
use crate::config::{Settings, Surroundings};
use crate::event::{self, Origin};
use crate::facts::Facts;
use crate::hook::{Hook, OnFailure, Style};
use crate::libvirt::document::MAX_BYTES;
use crate::libvirt::{Call, Class};
use crate::plan::{Decision, Step};
use crate::record::{Execution, Fact, Run, Witness};
use crate::trust::Trust;
use crate::verdict::{self, Failure, OWN_TROUBLE, TIMED_OUT};

/// How much of a failed hook's standard error is kept for libvirt, in bytes.
const STDERR_END: usize = verdict::MAX_STDERR;
/// The exit status by which a hook in vdsm's style stops the call.
const STOP: i32 = 2;

/// What the steps of a call have in common.
pub struct Course<'a> {
    pub call: &'a Call,
    pub settings: &'a Settings,
    pub surroundings: &'a Surroundings,
    pub facts: &'a Facts,
    pub execution: &'a Execution,
    pub origin: Origin,
    pub started_document: Option<PathBuf>,
    pub supervisor: &'a mut Supervisor,
    pub exchange: &'a mut Exchange,
    pub witness: &'a mut dyn Witness,
}

impl Course<'_> {
    /// Runs the steps, and returns what became of those that had a part.
    pub fn run(mut self, steps: Vec<Step>, base: &Environment) -> Vec<Run> {
        let total = self.settings.total_timeout(self.call);
        let ends = Instant::now() + total;
        let mut runs: Vec<Run> = Vec::new();
        let mut stopped: Option<String> = None;
        for (number, mut step) in steps.into_iter().enumerate() {
            if let Decision::Out(why) = &step.decision {
                self.tell(&Fact::Out { label: &step.hook.label, why });
                continue;
            }
            if let Some(by) = &stopped {
                let why = format!("not run: {by} stopped the call");
                self.tell(&Fact::Out { label: &step.hook.label, why: &why });
                continue;
            }
            if self.supervisor.is_terminated() {
                let why = "not run: hookmux got SIGTERM";
                self.tell(&Fact::Out { label: &step.hook.label, why });
                continue;
            }
            if Instant::now() >= ends {
                let why = format!("not run: the call's {} were over", verdict::seconds(total));
                if self.call.class() == Class::Gate {
                    runs.push(self.failed(&step, TIMED_OUT, why));
                } else {
                    self.tell(&Fact::Warning { label: &step.hook.label, words: &why });
                }
                continue;
            }
            let mut trust = Trust::new(self.surroundings.user);
            if let Some(warning) = step.judge(&mut trust, self.settings.trust) {
                self.tell(&Fact::Warning { label: &step.hook.label, words: &warning });
            }
            let run = match &step.decision {
                Decision::Fails { status, why } => self.failed(&step, *status, why.clone()),
                _ => self.execute(&step, number, ends, base),
            };
            if stops(&step.hook, &run) {
                stopped = Some(step.hook.label.clone());
            }
            runs.push(run);
        }
        runs
    }

    fn tell(&mut self, fact: &Fact<'_>) {
        self.witness.see(self.execution, fact);
    }

    fn device_label(&self, step: &Step) -> Option<String> {
        let device = self.facts.metadata.devices.get(step.device?)?;
        Some(device.label.clone())
    }

    /// One that counts as failed without having been run.
    fn failed(&mut self, step: &Step, status: i32, what: String) -> Run {
        let run = Run {
            label: step.hook.label.clone(),
            event: step.event.as_deref().map(str::to_owned),
            device: self.device_label(step),
            ended: None,
            change: Change::None,
            failure: Some(failure(&step.hook, status, what, Vec::new())),
        };
        self.tell(&Fact::Over(&run));
        run
    }

    fn execute(&mut self, step: &Step, number: usize, ends: Instant, base: &Environment) -> Run {
        let job = match self.job(step, number, ends, base) {
            Ok(job) => job,
            Err(trouble) => return self.failed(step, OWN_TROUBLE, trouble),
        };
        let ended = self.supervise(step, job);
        let mut fault = verdict::fault(&ended);
        let hook = &step.hook;
        let change = match hook.style {
            Style::Vdsm => self.exchange.take_back(hook, fault.is_none()),
            Style::Libvirt => {
                let output = ended.stdout.whole();
                self.exchange.take_output(hook, output.as_deref(), fault.is_none())
            }
        };
        let change = change.unwrap_or_else(|error| {
            fault.get_or_insert((1, error));
            Change::None
        });
        if let Change::Ignored(why) = &change {
            self.tell(&Fact::Warning { label: &hook.label, words: why });
        }
        let failure =
            fault.map(|(status, what)| failure(hook, status, what, ended.stderr.end(STDERR_END)));
        let run = Run {
            label: hook.label.clone(),
            event: step.event.as_deref().map(str::to_owned),
            device: self.device_label(step),
            ended: Some(ended),
            change,
            failure,
        };
        self.tell(&Fact::Over(&run));
        run
    }

    fn supervise(&mut self, step: &Step, job: Job) -> Ended {
        let label = &step.hook.label;
        let device = self.device_label(step);
        let (witness, execution) = (&mut *self.witness, self.execution);
        let mut progress = |progress: Progress<'_>| match progress {
            Progress::Started { .. } => {
                witness.see(execution, &Fact::Started { label, device: device.as_deref() });
            }
            Progress::Slow { limit, .. } => witness.see(execution, &Fact::Slow { label, limit }),
            Progress::Ended { .. } => {}
        };
        let ended = self.supervisor.run(vec![job], &mut progress).pop();
        ended.unwrap_or_else(|| Ended::never(std::io::Error::other("it was never started")))
    }

    /// Everything that a hook is started with.
    fn job(
        &mut self,
        step: &Step,
        number: usize,
        ends: Instant,
        base: &Environment,
    ) -> Result<Job, String> {
        let hook = &step.hook;
        let stdin = match hook.style {
            Style::Vdsm => None,
            Style::Libvirt => self
                .exchange
                .stdin()
                .map_err(|error| format!("libvirt's document can't be passed on: {error}"))?,
        };
        let stdin = match stdin {
            Some(stdin) => stdin,
            None => self.supervisor.null().map_err(|error| format!("/dev/null: {error}"))?,
        };
        let run = format!("{}-{number}", self.execution.id);
        let mut job = Job::new(hook.path.as_os_str(), stdin, run, ends);
        if hook.style == Style::Libvirt {
            job.arguments.extend(
                self.call.arguments.iter().map(|argument| c_string(argument.as_encoded_bytes())),
            );
            if self.call.is_filter() {
                job.stdout_head = MAX_BYTES;
            }
        }
        job.timeout = hook.timeout;
        job.kill_leftovers = hook.kill_leftovers;
        job.environment = self.environment(step, &job.run, base).block();
        Ok(job)
    }

    fn environment(&mut self, step: &Step, run: &str, base: &Environment) -> Environment {
        let mut environment = base.clone();
        environment.set("HOOKMUX_RUN", run);
        let event = step.event.clone().or_else(|| event::of_call(self.call, self.origin));
        if let Some(event) = event {
            environment.set("HOOKMUX_EVENT", &*event);
        }
        if step.hook.style == Style::Vdsm {
            let device = step.device.and_then(|index| Some((index, self.facts.device_xml(index)?)));
            match self.exchange.file(step.event.as_ref(), device) {
                Ok(Some(path)) => environment.set("_hook_domxml", path),
                // vdsm gives its own start and end an empty file
                Ok(None) if step.event.as_deref().is_some_and(|event| event.contains("_vdsm_")) => {
                    environment.set("_hook_domxml", "/dev/null");
                }
                Ok(None) => {}
                Err(trouble) => self.tell(&Fact::Trouble(&trouble)),
            }
            if step.event.as_deref().is_some_and(|event| event.ends_with("_vm_dehibernate")) {
                // libvirt calls no hook when it goes back to a snapshot
                environment.set("FROM_SNAPSHOT", "False");
            }
        }
        let bare = self.settings.custom_properties.as_deref();
        let devices = &self.facts.metadata.devices;
        let own = step
            .device
            .and_then(|device| devices.get(device))
            .map(|device| device.properties.as_slice());
        let mut left_out = environment.add_properties(&self.facts.metadata.properties, bare);
        left_out.extend(environment.add_properties(own.unwrap_or_default(), bare));
        for words in left_out {
            self.tell(&Fact::Warning { label: &step.hook.label, words: &words });
        }
        environment
    }

    /// What all hooks of the call find in their environment.
    ///
    /// # Errors
    /// The environment file of the settings can't be used: in words.
    pub fn base_environment(&self) -> (Environment, Option<String>) {
        let home = self.surroundings.home.clone().unwrap_or_else(|| PathBuf::from("/"));
        let mut environment = Environment::base(home.as_os_str());
        for (name, value) in &self.settings.environment {
            environment.set(name, value);
        }
        let mut trouble = None;
        if let Some(file) = &self.settings.environment_file {
            match read_environment_file(file, self.surroundings.user) {
                Ok(variables) => {
                    variables.into_iter().for_each(|(name, value)| environment.set(name, value))
                }
                Err(error) => trouble = Some(error),
            }
        }
        let call = self.call;
        environment.set("HOOKMUX_DRIVER", call.driver.name());
        environment.set("HOOKMUX_OBJECT", call.object());
        environment.set("HOOKMUX_OPERATION", call.operation_name());
        environment.set("HOOKMUX_SUB_OPERATION", call.sub_operation());
        environment.set("HOOKMUX_EXTRA", call.extra());
        if let Some(reason) = call.reason() {
            environment.set("HOOKMUX_REASON", reason);
        }
        if let Some(uuid) = &self.execution.uuid {
            environment.set("HOOKMUX_UUID", uuid);
            environment.set("vmId", uuid);
        }
        if call.driver.is_guest() {
            environment.set("HOOKMUX_ORIGIN", self.origin.name());
        }
        if let Some(path) = &self.started_document {
            environment.set("HOOKMUX_STARTED_XML", path);
        }
        environment.set("HOOKMUX_EXECUTION", &self.execution.id);
        environment.set("HOOKMUX_HOOKS_DIR", &self.settings.hooks_dir);
        environment.set("HOOKMUX_DAEMON", calling_process());
        (environment, trouble)
    }
}

fn failure(hook: &Hook, status: i32, what: String, stderr: Vec<u8>) -> Failure {
    Failure { label: hook.label.clone(), status, what, stderr, kill: hook.kill }
}

/// Whether nothing more of the call may run.
fn stops(hook: &Hook, run: &Run) -> bool {
    let Some(_) = &run.failure else { return false };
    match hook.on_failure {
        OnFailure::Stop => true,
        OnFailure::Fail => {
            run.ended.as_ref().is_some_and(|ended| matches!(ended.outcome, Outcome::Exited(STOP)))
        }
    }
}

fn read_environment_file(
    path: &Path,
    user: u32,
) -> Result<Vec<(std::ffi::OsString, std::ffi::OsString)>, String> {
    let shown = path.display();
    Trust::new(user)
        .file(path)
        .map_err(|refusal| format!("environment_file {shown}: not trusted: {refusal}"))?;
    let bytes = fs::read(path).map_err(|error| format!("environment_file {shown}: {error}"))?;
    super::environment::parse_file(&bytes)
        .map_err(|(line, message)| format!("environment_file {shown}:{line}: {message}"))
}

/// The name of the process that called: which of the modular daemons it was.
fn calling_process() -> String {
    super::processes::name(nix::unistd::getppid().as_raw())
}
