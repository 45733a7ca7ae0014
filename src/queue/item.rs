//! One job of the queue: everything that its hook is started with.

use std::ffi::CString;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::Registration;
use crate::config::registration::Limits;
use crate::record::{Execution, ulid};
use crate::run::document_file::{self, Place};
use crate::run::job::{Job, c_string};
use crate::run::privileges::{Identity, Privileges};
use crate::run::processes;
use crate::state::Dir;

/// How long a job may wait, in seconds: what it would tell is history by then.
pub const EXPIRES: u64 = 3600;
/// Between tries: the first pause, doubled each time up to the longest.
const FIRST_PAUSE: u64 = 1;
const LONGEST_PAUSE: u64 = 60;

/// Bytes that need not be text, in base 64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes).map_err(serde::de::Error::custom)
    }
}

/// A process, by what can't come to mean another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub pid: i32,
    pub start: u64,
}

impl Caller {
    /// This process.
    pub fn here() -> Caller {
        let pid = std::process::id().cast_signed();
        Caller { pid, start: processes::start_time(pid).unwrap_or_default() }
    }

    /// Whether it still runs, so that libvirt has no answer yet.
    pub fn is_there(self) -> bool {
        processes::start_time(self.pid) == Some(self.start)
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// A ULID: sorts by age.
    pub id: String,
    pub execution: String,
    /// `before_vm_start/notify`
    pub hook: String,
    pub event: Option<String>,
    pub driver: String,
    pub object: String,
    pub operation: String,
    pub uuid: Option<String>,
    /// libvirt's, of the call.
    #[serde(default)]
    pub call_arguments: Vec<Bytes>,
    /// The name of its registration: what `max_parallel` of one counts by.
    pub registration: String,
    /// The call that queued it; it runs when that is over.
    pub caller: Caller,
    path: Bytes,
    arguments: Vec<Bytes>,
    environment: Vec<Bytes>,
    /// `None`: `/dev/null`.
    stdin: Option<Bytes>,
    /// What the hook finds in the file that `_hook_domxml` names.
    pub document: Option<Bytes>,
    /// What it finds in the file that `HOOKMUX_STARTED_XML` names.
    #[serde(default)]
    pub started_document: Option<Bytes>,
    identity: Option<(u32, u32, Vec<u32>)>,
    limits: Limits,
    nice: Option<i32>,
    timeout: Option<Duration>,
    kill_leftovers: bool,
    pub lock: Option<String>,
    pub max_parallel: Option<u32>,
    pub retries: u32,
    /// Seconds since 1970.
    pub queued_at: u64,
    /// Not tried before that.
    pub not_before: u64,
    /// Tries that have begun.
    pub attempts: u32,
    /// The id of the run that is under way, or was when its worker died.
    pub run: Option<String>,
    /// How the last try ended.
    pub last: Option<String>,
}

impl Item {
    /// From what a hook would have been started with in the call.
    ///
    /// # Errors
    /// Its standard input could not be read back.
    pub fn new(
        execution: &Execution,
        hook: &str,
        event: Option<&str>,
        registration: &Registration,
        job: Job,
        document: Option<&[u8]>,
    ) -> io::Result<Item> {
        let mut stdin = Vec::new();
        File::from(job.stdin).read_to_end(&mut stdin)?;
        let bytes = |string: &CString| Bytes(string.as_bytes().to_vec());
        let Privileges { identity, limits, nice } = job.privileges;
        Ok(Item {
            id: ulid::new(),
            execution: execution.id.clone(),
            hook: hook.to_owned(),
            event: event.map(str::to_owned),
            driver: execution.driver.to_owned(),
            object: execution.object.clone(),
            operation: execution.operation.clone(),
            uuid: execution.uuid.clone(),
            call_arguments: Vec::new(),
            registration: registration.name.clone(),
            caller: Caller::here(),
            path: bytes(&job.path),
            arguments: job.arguments.iter().map(bytes).collect(),
            // the worker sets these two anew for each try
            environment: job
                .environment
                .iter()
                .filter(|variable| !is_of_a_try(variable.as_bytes()))
                .map(bytes)
                .collect(),
            stdin: (!stdin.is_empty()).then_some(Bytes(stdin)),
            document: document.map(|document| Bytes(document.to_vec())),
            started_document: None,
            identity: identity.map(|identity| (identity.user, identity.group, identity.groups)),
            limits,
            nice,
            timeout: job.timeout,
            kill_leftovers: job.kill_leftovers,
            lock: registration.lock.clone(),
            max_parallel: registration.max_parallel,
            retries: registration.retries,
            queued_at: now(),
            not_before: 0,
            attempts: 0,
            run: None,
            last: None,
        })
    }

    /// What is executed.
    pub fn program(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path.0))
    }

    /// Whose order it belongs to: a guest's or a network's.
    pub fn queue_of(&self) -> (&str, &str) {
        (&self.driver, self.uuid.as_deref().unwrap_or(&self.object))
    }

    pub fn is_expired(&self) -> bool {
        now() > self.queued_at + EXPIRES
    }

    /// Whether nothing but a free place is missing.
    pub fn is_due(&self) -> bool {
        now() >= self.not_before && !self.caller.is_there()
    }

    /// Begins a try: a new run id.
    pub fn begin(&mut self) -> String {
        self.attempts += 1;
        let run = format!("{}-{}", self.id, self.attempts);
        self.run = Some(run.clone());
        run
    }

    /// A try has failed; whether there will be another.
    pub fn fail(&mut self, words: String) -> bool {
        self.run = None;
        self.last = Some(words);
        let pause =
            FIRST_PAUSE.checked_shl(self.attempts.saturating_sub(1)).unwrap_or(LONGEST_PAUSE);
        self.not_before = now() + pause.min(LONGEST_PAUSE);
        self.attempts <= self.retries
    }

    /// The user whom a document's file has to belong to.
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.identity.as_ref().map(|(user, group, _)| (*user, *group))
    }

    /// The job of a try. `document` is the file that was made for it.
    ///
    /// # Errors
    /// The kernel gave no memory or no descriptor.
    pub fn job(
        &self,
        run: &str,
        document: Option<&[u8]>,
        null: OwnedFd,
        ends: std::time::Instant,
    ) -> io::Result<Job> {
        let stdin = match &self.stdin {
            None => null,
            Some(Bytes(bytes)) => {
                let mut file = File::from(memfd_create(c"hookmux-stdin", MFdFlags::MFD_CLOEXEC)?);
                file.write_all(bytes)?;
                file.seek(SeekFrom::Start(0))?;
                file.into()
            }
        };
        let strings =
            |all: &[Bytes]| all.iter().map(|bytes| c_string(&bytes.0)).collect::<Vec<_>>();
        let mut environment = strings(&self.environment);
        environment.push(c_string(format!("{}={run}", processes::RUN_VARIABLE).as_bytes()));
        environment.extend(document.map(|path| c_string(&[b"_hook_domxml=", path].concat())));
        let path = c_string(&self.path.0);
        let mut job = Job::new(OsStr::new(""), stdin, run.to_owned(), ends);
        job.path = path;
        job.arguments = strings(&self.arguments);
        job.environment = environment;
        job.timeout = self.timeout;
        job.kill_leftovers = self.kill_leftovers;
        job.privileges = Privileges {
            identity: self.identity.clone().map(|(user, group, groups)| Identity {
                user,
                group,
                groups,
                // its environment says it already
                entry: None,
            }),
            limits: self.limits,
            nice: self.nice,
        };
        Ok(job)
    }
}

/// Where a job finds the document of `started`: known before it runs, for its hook is told in the
/// environment and in JSON.
pub fn started_path(runtime_dir: &Dir, id: &str) -> PathBuf {
    started_place(runtime_dir, id).named().join(document_file::FILE_NAME)
}

/// The directory of that file.
pub fn started_place(runtime_dir: &Dir, id: &str) -> Place {
    Place::named_by(runtime_dir, format!("{id}.started"))
}

fn is_of_a_try(variable: &[u8]) -> bool {
    variable.starts_with(b"HOOKMUX_RUN=") || variable.starts_with(b"_hook_domxml=")
}

/// Seconds since 1970: a job outlives the boot that queued it.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
