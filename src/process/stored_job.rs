//! A job in a form that can be stored: everything that its process is started with.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::job::{Job, c_string};
use super::members;
use crate::config::TrustPolicy;
use crate::config::choice::ResultKind;
use crate::machine::files;
use crate::machine::privileges::{Privileges, ResourceLimits, UserIdentity};
use crate::trust::Trust;

/// Bytes that may not be text; base64 in JSON.
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

/// Everything that a process is started with, except its run id, its document file and the end of its
/// call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredJob {
    path: Bytes,
    arguments: Vec<Bytes>,
    environment: Vec<Bytes>,
    /// `None`: `/dev/null`.
    stdin: Option<Bytes>,
    identity: Option<(u32, u32, Vec<u32>)>,
    limits: ResourceLimits,
    nice: Option<i32>,
    timeout: Option<Duration>,
    kill_leftovers: bool,
    #[serde(skip_serializing_if = "ResultKind::is_default")]
    result: ResultKind,
}

impl StoredJob {
    /// Makes one from a job that is ready to start.
    ///
    /// # Errors
    /// Its standard input could not be read back.
    pub fn new(job: Job) -> io::Result<StoredJob> {
        let mut stdin = Vec::new();
        File::from(job.stdin).read_to_end(&mut stdin)?;
        let bytes = |string: &CString| Bytes(string.as_bytes().to_vec());
        // drop-ins are never stored
        let Privileges { identity, limits, nice, is_drop_in: _ } = job.privileges;
        Ok(StoredJob {
            path: bytes(&job.path),
            arguments: job.arguments.iter().map(bytes).collect(),
            // these two are set for each start
            environment: job
                .environment
                .iter()
                .filter(|variable| !is_of_one_start(variable.as_bytes()))
                .map(bytes)
                .collect(),
            stdin: (!stdin.is_empty()).then_some(Bytes(stdin)),
            identity: identity.map(|identity| (identity.user, identity.group, identity.groups)),
            limits,
            nice,
            timeout: job.timeout,
            kill_leftovers: job.kill_leftovers,
            result: job.result,
        })
    }

    /// Lowers its own time limit to `longest`.
    pub fn limit_timeout(&mut self, longest: Duration) {
        self.timeout = self.timeout.map(|timeout| timeout.min(longest));
    }

    /// Returns its own time limit.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Returns the program that is executed.
    pub fn program(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path.0))
    }

    /// Checks whether others could change its program since it was stored. Returns a warning where it runs all the
    /// same. `user` is trusted besides root.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check_trust(&self, user: u32, policy: TrustPolicy) -> Result<Option<String>, String> {
        match (Trust::new(user).file(self.program()), policy) {
            (Ok(_), _) => Ok(None),
            (Err(refusal), TrustPolicy::Refuse) => Err(format!("refused: {refusal}")),
            (Err(refusal), TrustPolicy::Warn) => {
                Ok(Some(format!("not trusted, but run (`trust: warn`): {refusal}")))
            }
        }
    }

    /// Returns the user and the group that must own the document's file.
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.identity.as_ref().map(|(user, group, _)| (*user, *group))
    }

    /// Makes the job for one start. `document` is the file that was made for it.
    ///
    /// # Errors
    /// The kernel gave no memory or no descriptor.
    pub fn job(
        &self,
        run: &str,
        document: Option<&[u8]>,
        null: OwnedFd,
        ends: Instant,
    ) -> io::Result<Job> {
        let stdin = match &self.stdin {
            None => null,
            Some(Bytes(bytes)) => files::memory_file(c"hookmux-stdin", bytes)?.into(),
        };
        let strings =
            |all: &[Bytes]| all.iter().map(|bytes| c_string(&bytes.0)).collect::<Vec<_>>();
        let mut environment = strings(&self.environment);
        environment.push(c_string(format!("{}={run}", members::RUN_VARIABLE).as_bytes()));
        environment.extend(document.map(|path| c_string(&[b"_hook_domxml=", path].concat())));
        let mut job = Job::new(OsStr::new(""), stdin, run.to_owned(), ends);
        job.path = c_string(&self.path.0);
        job.arguments = strings(&self.arguments);
        job.environment = environment;
        job.timeout = self.timeout;
        job.kill_leftovers = self.kill_leftovers;
        job.result = self.result;
        job.privileges = Privileges {
            identity: self.identity.clone().map(|(user, group, groups)| UserIdentity {
                user,
                group,
                groups,
                // its environment has these values already
                passwd: None,
            }),
            limits: self.limits,
            nice: self.nice,
            is_drop_in: false,
        };
        Ok(job)
    }
}

fn is_of_one_start(variable: &[u8]) -> bool {
    variable.starts_with(b"HOOKMUX_RUN=") || variable.starts_with(b"_hook_domxml=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_answers_is_stored_only_where_it_is_not_as_usual() {
        let null = || OwnedFd::from(File::open("/dev/null").unwrap());
        for result in [ResultKind::ExitStatus, ResultKind::StatusLine] {
            let mut job = Job::new(OsStr::new("/x"), null(), "r".to_owned(), Instant::now());
            job.result = result;
            let text = serde_json::to_string(&StoredJob::new(job).unwrap()).unwrap();
            assert_eq!(text.contains("result"), !result.is_default(), "{text}");
            let stored: StoredJob = serde_json::from_str(&text).unwrap();
            assert_eq!(stored.job("r", None, null(), Instant::now()).unwrap().result, result);
        }
    }
}
