//! Prepares everything that a hook is started with: program, arguments, environment, input, privileges.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::stat::{SFlag, fstat};

use super::arguments::HookInput;
use super::environment::{self, BareNames, Environment};
use super::python_modules;
use crate::config::Registration;
use crate::config::registration::StdinKind;
use crate::config::values::is_own_variable;
use crate::document::exchange::{DocumentFile, Exchange};
use crate::event;
use crate::hook::{HookSource, Style};
use crate::libvirt::document::MAX_DOCUMENT_BYTES;
use crate::machine::privileges::{Privileges, UserIdentity};
use crate::machine::{files, sys};
use crate::observer::{CommandLine, Notice, Observer};
use crate::occasion::{Occasion, RemoteCall};
use crate::plan::Step;
use crate::process::feed::{self, StdinFeed};
use crate::process::job::{Job, Part, c_string};
use crate::process::members;
use crate::process::supervise::Supervisor;
use crate::process::users;
use crate::run::nesting::{DEPTH_VARIABLE, HOOK_VARIABLE};
use crate::trust::{self, Refusal, Trust};

/// The file in which a hook gets the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentFileUse {
    /// The file that all hooks of the event share; under `run_as` a file of its own.
    Shared,
    /// A file of its own, because it runs in parallel with others.
    Own,
    /// No file, because the job is only stored.
    None,
}

/// A job, with its own document file if it has one.
pub(crate) struct Launch {
    pub job: Job,
    pub own_file: Option<DocumentFile>,
}

/// Why a hook can't be started: its exit status, and a message.
pub(crate) type LaunchError = (i32, String);

/// Prepares the jobs of a call's hooks, and has the supervisor that runs them.
pub(crate) struct Launcher<'a> {
    pub occasion: &'a Occasion<'a>,
    pub supervisor: &'a mut Supervisor,
    pub exchange: &'a mut Exchange,
    pub observer: &'a mut dyn Observer,
    /// The file with the document of `started`.
    pub started: Option<PathBuf>,
    /// The nesting depth of the call.
    depth: u32,
    /// The environment that all hooks get, except for adopted scripts; with hookmux's own variables.
    base: Environment,
    /// hookmux's own variables, which all hooks get.
    own: Environment,
    /// The directory with Python modules, if there is one; unknown until a hook in vdsm's style is started.
    python_modules: Option<Option<PathBuf>>,
}

impl<'a> Launcher<'a> {
    /// Makes a launcher. Also returns the error of the environment file in the settings, if it has one.
    pub(crate) fn new(
        occasion: &'a Occasion<'a>,
        depth: u32,
        supervisor: &'a mut Supervisor,
        exchange: &'a mut Exchange,
        observer: &'a mut dyn Observer,
    ) -> (Launcher<'a>, Option<String>) {
        let (base, error) = base(occasion);
        let mut launcher = Launcher {
            occasion,
            supervisor,
            exchange,
            observer,
            started: occasion.started.clone(),
            depth,
            base,
            own: Environment::default(),
            python_modules: None,
        };
        launcher.own = launcher.make_own();
        launcher.base.extend(&launcher.own);
        if let Some(uuid) = &occasion.execution.uuid {
            launcher.base.set("vmId", uuid);
        }
        (launcher, error)
    }

    pub(crate) fn notify(&mut self, notice: &Notice<'_>) {
        self.observer.observe(&self.occasion.execution, notice);
    }

    pub(crate) fn device_label(&self, step: &Step) -> Option<String> {
        let device = self.occasion.facts.metadata.devices.get(step.device?)?;
        Some(device.label.clone())
    }

    /// Prepares the job of a step.
    pub(crate) fn launch(
        &mut self,
        step: &Step,
        number: usize,
        part: Part,
        ends: Instant,
        file: DocumentFileUse,
    ) -> Result<Launch, LaunchError> {
        let own_error = |words: String| (crate::process::exit_status::OWN_ERROR, words);
        if step.device.is_some() {
            self.exchange.find_devices();
        }
        let registered = step.hook.registration.clone();
        let registration = registered.as_deref();
        let mut privileges = self.privileges(registration)?;
        let is_drop_in = step.hook.source.is_drop_in();
        privileges.is_drop_in = is_drop_in;
        let run = self.run_id(number, part);
        let own_file = self.own_file(step, number, file, &privileges).map_err(own_error)?;
        let (stdin, feed) = if is_drop_in {
            self.pipe().map_err(own_error)?
        } else {
            (self.stdin(step, &run, registration).map_err(own_error)?, None)
        };
        let path = self.program(step, part);
        let mut job = Job::new(path.as_os_str(), stdin, run, ends);
        self.add_arguments(&mut job, step, part, registration);
        if step.hook.style == Style::Libvirt && self.occasion.call.is_filter() {
            job.stdout_head = MAX_DOCUMENT_BYTES;
        }
        job.registered = registered.clone().map(|registration| (registration, part));
        job.timeout = step.hook.timeout;
        job.kill_leftovers = step.hook.kill_leftovers;
        job.result = registration.map(|registration| registration.result).unwrap_or_default();
        job.privileges = privileges;
        job.feed = feed;
        job.is_text_run = step.hook.source == HookSource::Tree;
        if is_drop_in {
            let own =
                self.environment(self.own.clone(), step, &job.run, None).map_err(own_error)?;
            job.environment = if self.occasion.is_real() {
                environment::of_libvirt()
            } else {
                environment::as_of_libvirt()
            };
            job.environment.extend(own.block());
            return Ok(Launch { job, own_file });
        }
        let mut environment = self.base.clone();
        if let Some(identity) = &job.privileges.identity {
            add_user(&mut environment, identity);
        }
        let mut environment =
            self.environment(environment, step, &job.run, registration).map_err(own_error)?;
        if step.hook.style == Style::Vdsm {
            self.add_python_modules(&mut environment, &step.hook.label);
            if file != DocumentFileUse::None {
                self.add_document(&mut environment, step, own_file.as_ref());
            }
        }
        job.environment = environment.block();
        Ok(Launch { job, own_file })
    }

    /// Returns the run id, which identifies all processes of a run. People see that of a hook.
    pub(crate) fn run_id(&self, number: usize, part: Part) -> String {
        let suffix = match part {
            Part::Hook => "",
            Part::Check => "-check",
            Part::Rollback => "-rollback",
            Part::Undo => "-undo",
        };
        format!("{}-{number}{suffix}", self.occasion.execution.id)
    }

    fn privileges(
        &mut self,
        registration: Option<&Registration>,
    ) -> Result<Privileges, LaunchError> {
        let Some(registration) = registration else { return Ok(Privileges::default()) };
        let identity = match &registration.run_as {
            None => None,
            Some(run_as) => {
                let found =
                    users::resolve(run_as, self.occasion.surroundings.user, self.supervisor);
                Some(found.map_err(|why| {
                    (crate::process::exit_status::NOT_EXECUTABLE, format!("refused: {why}"))
                })?)
            }
        };
        Ok(Privileges {
            identity,
            limits: registration.limits,
            nice: registration.nice,
            is_drop_in: false,
        })
    }

    fn own_file(
        &mut self,
        step: &Step,
        number: usize,
        file: DocumentFileUse,
        privileges: &Privileges,
    ) -> Result<Option<DocumentFile>, String> {
        let is_own = match file {
            DocumentFileUse::Shared => privileges.identity.is_some(),
            DocumentFileUse::Own => true,
            DocumentFileUse::None => false,
        };
        if step.hook.style != Style::Vdsm || !is_own {
            return Ok(None);
        }
        let device = self.device_place(step);
        let owner = privileges.identity.as_ref().map(|identity| (identity.user, identity.group));
        self.exchange.own_file(step.event.as_ref(), device, number, owner)
    }

    pub(crate) fn program(&self, step: &Step, part: Part) -> PathBuf {
        let registration = step.hook.registration.as_deref();
        let words = registration.and_then(|registration| part.words(registration));
        words.and_then(|words| words.first()).map_or_else(|| step.hook.path.clone(), PathBuf::from)
    }

    fn add_arguments(
        &self,
        job: &mut Job,
        step: &Step,
        part: Part,
        registration: Option<&Registration>,
    ) {
        if let Some(registration) = registration {
            let words = part.words(registration);
            job.arguments
                .extend(words.into_iter().flatten().skip(1).map(|word| c_string(word.as_bytes())));
            if part == Part::Hook && !registration.args_stdin {
                let filled = self.input(step, &job.run).arguments(registration);
                job.arguments.extend(filled.iter().map(|argument| c_string(argument)));
            }
        }
        if step.hook.style == Style::Libvirt {
            job.arguments.extend(
                self.occasion.call.arguments.iter().map(|argument| c_string(argument.as_bytes())),
            );
        }
    }

    /// Returns what the program of a part is started with, for the record.
    pub(crate) fn command_line(&self, step: &Step, part: Part) -> CommandLine {
        let has_libvirts = step.hook.style == Style::Libvirt;
        let mut line = CommandLine { has_libvirts, ..CommandLine::default() };
        let Some(registration) = step.hook.registration.as_deref() else { return line };
        line.fixed = part.words(registration).into_iter().flatten().skip(1).cloned().collect();
        if part == Part::Hook && !registration.args.is_empty() {
            line.args = registration.args.iter().map(|arg| arg.as_str().to_owned()).collect();
            line.args_stdin = registration.args_stdin;
            (line.values, line.document_bytes) = self.input(step, "").values(registration);
        }
        line
    }

    fn input<'b>(&'b self, step: &'b Step, run: &'b str) -> HookInput<'b> {
        HookInput {
            occasion: self.occasion,
            event: self.event(step),
            document: self.document(step),
            device: step.device,
            run,
            hook: &step.hook.label,
            started: self.started.as_deref(),
        }
    }

    /// Returns where the device of a step is in libvirt's document.
    fn device_place(&self, step: &Step) -> Option<&'a Range<usize>> {
        self.occasion.facts.device_place(step.device?)
    }

    /// Returns the document for a step: the whole one, or its device's part.
    pub(crate) fn document(&self, step: &Step) -> Option<&[u8]> {
        let of_device = self.device_place(step).and_then(|device| self.exchange.device(device));
        of_device.or_else(|| self.exchange.whole())
    }

    /// Returns the event of a step, else the event of the call.
    fn event(&self, step: &Step) -> Option<Cow<'static, str>> {
        let Occasion { call, origin, .. } = self.occasion;
        step.event.clone().or_else(|| event::of_call(call, *origin))
    }

    /// Returns the standard input of an adopted script: a pipe, as from libvirt. If libvirt gave no
    /// document and no pipe, it is `/dev/null`.
    fn pipe(&self) -> Result<(OwnedFd, Option<StdinFeed>), String> {
        let document = self.exchange.whole();
        if document.is_none() && !is_pipe(sys::standard_input()) {
            let null = self.supervisor.null().map_err(|error| format!("/dev/null: {error}"))?;
            return Ok((null, None));
        }
        feed::pipe(document.unwrap_or_default())
            .map_err(|error| format!("libvirt's document can't be passed on: {error}"))
    }

    fn stdin(
        &mut self,
        step: &Step,
        run: &str,
        registration: Option<&Registration>,
    ) -> Result<OwnedFd, String> {
        let null = || self.supervisor.null().map_err(|error| format!("/dev/null: {error}"));
        if step.hook.style == Style::Libvirt {
            let document = self
                .exchange
                .stdin()
                .map_err(|error| format!("libvirt's document can't be passed on: {error}"))?;
            return document.map_or_else(null, Ok);
        }
        let Some(registration) = registration else { return null() };
        let content = if registration.args_stdin {
            let lines = self.input(step, run).arguments(registration).into_iter();
            lines.flat_map(|argument| argument.into_iter().chain([b'\n'])).collect()
        } else {
            match registration.stdin {
                StdinKind::None => return null(),
                StdinKind::Xml => self.input(step, run).document.unwrap_or_default().to_vec(),
                StdinKind::Json => self.input(step, run).json(),
            }
        };
        let file = files::memory_file(c"hookmux-stdin", &content);
        file.map(OwnedFd::from).map_err(|error| format!("standard input can't be made: {error}"))
    }

    fn environment(
        &mut self,
        mut environment: Environment,
        step: &Step,
        run: &str,
        registration: Option<&Registration>,
    ) -> Result<Environment, String> {
        if let Some(registration) = registration {
            add_own(&mut environment, registration, self.occasion.surroundings.user)?;
        }
        environment.set(members::RUN_VARIABLE, run);
        environment.set(HOOK_VARIABLE, &step.hook.label);
        if let Some(path) = &self.started {
            environment.set("HOOKMUX_STARTED_XML", path);
        }
        if let Some(event) = self.event(step) {
            environment.set("HOOKMUX_EVENT", &*event);
        }
        let bare = BareNames::of(step.hook.source, self.occasion.settings);
        let devices = &self.occasion.facts.metadata.devices;
        let own = step
            .device
            .and_then(|device| devices.get(device))
            .map(|device| device.properties.as_slice());
        let mut left_out =
            environment.add_properties(&self.occasion.facts.metadata.properties, bare);
        left_out.extend(environment.add_properties(own.unwrap_or_default(), bare));
        for words in left_out {
            self.notify(&Notice::Warning { label: &step.hook.label, words: &words });
        }
        Ok(environment)
    }

    fn add_python_modules(&mut self, environment: &mut Environment, label: &str) {
        if self.python_modules.is_none() {
            self.python_modules = Some(self.find_python_modules(label));
        }
        if let Some(Some(directory)) = &self.python_modules {
            python_modules::add(environment, directory);
        }
    }

    fn find_python_modules(&mut self, label: &str) -> Option<PathBuf> {
        match python_modules::find(self.occasion.surroundings.user)? {
            Ok(directory) => Some(directory),
            Err(refusal) => {
                let words = format!("it gets no Python modules: not trusted: {refusal}");
                self.notify(&Notice::Warning { label, words: &words });
                None
            }
        }
    }

    fn add_document(
        &mut self,
        environment: &mut Environment,
        step: &Step,
        own_file: Option<&DocumentFile>,
    ) {
        let event = step.event.as_deref().unwrap_or_default();
        let shared = match own_file {
            Some(own_file) => Ok(Some(own_file.path.clone())),
            None => {
                let device = self.device_place(step);
                self.exchange.file(&step.hook, step.event.as_ref(), device)
            }
        };
        match shared {
            Ok(Some(path)) => environment.set("_hook_domxml", path),
            Ok(None) => {}
            Err(error) => self.notify(&Notice::OwnError(&error)),
        }
        if event.ends_with("_vm_dehibernate") {
            // libvirt calls no hook when it reverts to a snapshot
            environment.set("FROM_SNAPSHOT", "False");
        }
    }

    /// Returns hookmux's own variables that all hooks of the call share.
    fn make_own(&self) -> Environment {
        let mut environment = Environment::default();
        let call = self.occasion.call;
        environment.set("HOOKMUX_DRIVER", call.driver.name());
        environment.set("HOOKMUX_OBJECT", call.object());
        environment.set("HOOKMUX_OPERATION", call.operation_name());
        environment.set("HOOKMUX_SUB_OPERATION", call.sub_operation());
        environment.set("HOOKMUX_EXTRA", call.extra());
        if let Some(reason) = call.reason() {
            environment.set("HOOKMUX_REASON", reason);
        }
        if let Some(uuid) = &self.occasion.execution.uuid {
            environment.set("HOOKMUX_UUID", uuid);
        }
        if call.driver.is_guest() {
            environment.set("HOOKMUX_ORIGIN", self.occasion.origin.name());
        }
        environment.set("HOOKMUX_EXECUTION", &self.occasion.execution.id);
        environment.set("HOOKMUX_HOOKS_DIR", &self.occasion.settings.hooks_dir);
        environment.set("HOOKMUX_DAEMON", self.occasion.surroundings.daemon());
        environment.set(DEPTH_VARIABLE, (self.depth + 1).to_string());
        if let Some(remote) = self.occasion.mode.remote() {
            add_remote(&mut environment, remote);
        }
        environment
    }
}

/// Adds what is known of a call of another host.
fn add_remote(environment: &mut Environment, remote: &RemoteCall) {
    environment.set("HOOKMUX_REMOTE_HOST", &remote.host);
    environment.set("HOOKMUX_REMOTE_EXECUTION", &remote.execution);
    if !remote.outcome.is_empty() {
        environment.set("HOOKMUX_REMOTE_OUTCOME", &remote.outcome);
    }
    if let Some(status) = remote.exit_status {
        environment.set("HOOKMUX_REMOTE_STATUS", status.to_string());
    }
    if let Some(time) = &remote.time {
        environment.set("HOOKMUX_REMOTE_TIME", time);
    }
    if let Some(boot) = &remote.boot {
        environment.set("HOOKMUX_REMOTE_BOOT", boot);
    }
    if let Some(number) = remote.sequence {
        environment.set("HOOKMUX_REMOTE_SEQUENCE", number.to_string());
    }
    if remote.is_again {
        environment.set("HOOKMUX_REMOTE_AGAIN", "1");
    }
}

/// Returns the environment that all hooks of a call share, and the error of the environment file in the
/// settings.
fn base(occasion: &Occasion<'_>) -> (Environment, Option<String>) {
    let Occasion { settings, surroundings, .. } = occasion;
    let mut environment = Environment::base(surroundings);
    for (name, value) in settings.environment.iter().filter(|(name, _)| !is_ours(OsStr::new(name)))
    {
        environment.set(name, value);
    }
    let mut file_error = None;
    if let Some(file) = &settings.environment_file {
        match read_environment_file(file, surroundings.user) {
            Ok(variables) => {
                variables.into_iter().for_each(|(name, value)| environment.set(name, value))
            }
            Err(error) => file_error = Some(error.to_string()),
        }
    }
    (environment, file_error)
}

/// Sets the variables that a login sets: a tool must not use files in the daemon's home.
fn add_user(environment: &mut Environment, identity: &UserIdentity) {
    environment.set("HOME", identity.passwd.as_ref().map_or("/", |entry| entry.home.as_str()));
    if let Some(entry) = &identity.passwd {
        environment.set("USER", &entry.name);
        environment.set("LOGNAME", &entry.name);
    }
}

/// Adds a registration's own variables, except for names of hookmux.
fn add_own(
    environment: &mut Environment,
    registration: &Registration,
    user: u32,
) -> Result<(), String> {
    let file = match &registration.environment_file {
        Some(file) => read_environment_file(file, user).map_err(|error| error.to_string())?,
        None => Vec::new(),
    };
    let written = registration.environment.iter().filter(|(name, _)| !is_ours(OsStr::new(name)));
    for (name, value) in written {
        environment.set(name, value);
    }
    for (name, value) in file {
        environment.set(name, value);
    }
    Ok(())
}

fn is_ours(name: &OsStr) -> bool {
    is_own_variable(name.as_bytes())
}

/// The read limit of an `environment_file`, in bytes: more than the kernel accepts.
const MAX_ENVIRONMENT_BYTES: u64 = 4 << 20;

/// Reads a file of variables, without names of hookmux.
///
/// # Errors
/// It doesn't exist, isn't trusted, or has an invalid line.
pub(crate) fn read_environment_file(
    path: &Path,
    user: u32,
) -> Result<Vec<(OsString, OsString)>, EnvironmentFileError> {
    let error = |fault| EnvironmentFileError { path: path.to_path_buf(), fault };
    Trust::new(user).file(path).map_err(|refusal| error(FileFault::NotTrusted(refusal)))?;
    let bytes = files::read_known_regular(path, MAX_ENVIRONMENT_BYTES)
        .map_err(|why| error(FileFault::Unreadable(why)))?;
    let variables = environment::parse_file(&bytes)
        .map_err(|(line, message)| error(FileFault::Syntax { line, message }))?;
    Ok(variables.into_iter().filter(|(name, _)| !is_ours(name)).collect())
}

/// Why a file of variables can't be used.
#[derive(Debug)]
pub(crate) struct EnvironmentFileError {
    path: PathBuf,
    fault: FileFault,
}

#[derive(Debug)]
enum FileFault {
    NotTrusted(Refusal),
    Unreadable(std::io::Error),
    Syntax { line: usize, message: String },
}

impl EnvironmentFileError {
    /// Tells whether others could have changed the file, so that it wasn't read.
    pub(crate) fn is_not_trusted(&self) -> bool {
        let FileFault::NotTrusted(refusal) = &self.fault else { return false };
        !matches!(refusal.fault, trust::TrustFault::NotRegular)
    }
}

impl fmt::Display for EnvironmentFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment_file {}", self.path.display())?;
        match &self.fault {
            FileFault::NotTrusted(refusal) => write!(f, ": {}", refusal.words()),
            FileFault::Unreadable(error) => write!(f, ": {error}"),
            FileFault::Syntax { line, message } => write!(f, ":{line}: {message}"),
        }
    }
}

fn is_pipe(descriptor: BorrowedFd<'_>) -> bool {
    let kind = |mode| SFlag::from_bits_truncate(mode) & SFlag::S_IFMT;
    fstat(descriptor).is_ok_and(|found| kind(found.st_mode) == SFlag::S_IFIFO)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn errors_of_an_environment_file_keep_their_words() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("env");
        let user = nix::unistd::geteuid().as_raw();
        let shown = path.display();
        let said = |mode: u32, text: &str| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_environment_file(&path, user).unwrap_err();
            (error.is_not_trusted(), error.to_string())
        };
        let (is_not_trusted, words) = said(0o622, "A=b\n");
        assert!(is_not_trusted, "{words}");
        assert_eq!(
            words,
            format!("environment_file {shown}: not trusted: {shown} is writable by group")
        );
        // a value may have these words, too
        let (is_not_trusted, words) = said(0o600, "A=b\n: not trusted: \n");
        assert!(
            !is_not_trusted && words.starts_with(&format!("environment_file {shown}:2: ")),
            "{words}"
        );
    }
}
