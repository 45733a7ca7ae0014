//! The document for a retry. Passwords aren't recorded: where some were replaced, it is that of the living
//! guest.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::cli::question;
use crate::cli::remark::Remark;
use crate::config::Surroundings;
use crate::document::facts::DocumentFacts;
use crate::libvirt::document::MAX_DOCUMENT_BYTES;
use crate::libvirt::{Document, Driver};
use crate::machine::{sanitize, ulid};
use crate::process::DEFAULT_PATH;
use crate::process::job::{Job, ProcessOutcome, c_string};
use crate::process::members;
use crate::process::supervise::Supervisor;
use crate::record::form::{Record, RecordBody, RecordHead};
use crate::run::environment::Environment;

/// How long libvirt may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of its error is shown, from the end.
const MAX_STDERR_BYTES: usize = 1024;

/// Returns the document that the hooks get, and what is to be said about it.
///
/// # Errors
/// Passwords are missing, and neither does the guest live nor did anybody agree.
pub(super) fn of_retry(
    record: &Record,
    accepts_masked: bool,
    surroundings: &Surroundings,
) -> anyhow::Result<(Document, Option<Remark>)> {
    let Record { head, body } = record;
    let recorded =
        || body.document.as_ref().map_or(Document::Absent, |it| Document::Whole(it.0.clone()));
    if body.left_out.is_some() {
        let words = "the document of this execution wasn't kept: hooks get none";
        return Ok((recorded(), Some(words.into())));
    }
    if !is_masked(body) {
        return Ok((recorded(), None));
    }
    if accepts_masked {
        let words = "passwords in the document were not kept: hooks get `***` instead";
        return Ok((recorded(), Some(words.into())));
    }
    match living(head, surroundings) {
        Ok(document) => {
            let words = "passwords in the document were not kept: hooks get the document that the guest has now";
            Ok((Document::Whole(document), Some(words.into())))
        }
        Err(why) => {
            let fix = question::command_with("--masked");
            let words = format!(
                "passwords in the document of {} were not kept, and there is no guest to ask for them: {why}; `{fix}` gives hooks `***` instead",
                head.id
            );
            bail!(Remark::with_fix(words, fix))
        }
    }
}

/// Tells whether passwords were replaced. Records of 0.1.0 don't say it.
fn is_masked(body: &RecordBody) -> bool {
    let names_one = || {
        let document = body.document.as_ref();
        document.is_some_and(|text| memchr::memmem::find(&text.0, b"passwd=").is_some())
    };
    body.is_masked.unwrap_or_else(names_one)
}

/// Asks libvirt for the document of the guest, with its passwords.
fn living(head: &RecordHead, surroundings: &Surroundings) -> Result<Vec<u8>, String> {
    let Some(uuid) = &head.uuid else { return Err("its uuid isn't recorded".to_owned()) };
    let Some(uri) = uri(&head.driver, surroundings) else {
        return Err(format!("{} has no guests", head.driver));
    };
    let words = ["virsh", "-q", "-c", &uri, "dumpxml", "--security-info", uuid];
    let document = ask(&words, surroundings)?;
    let facts = DocumentFacts::of(Document::Whole(document));
    if facts.identity.plain_uuid().as_deref() != Some(uuid) {
        return Err(format!("virsh gave the document of another guest than {uuid}"));
    }
    let Some(document) = facts.document.bytes() else {
        return Err(format!("virsh gave no document of {uuid}"));
    };
    if !lives(document) {
        return Err(format!("{} ({uuid}) is shut off", head.object));
    }
    Ok(document.to_vec())
}

/// Tells whether a document is that of a guest that runs: only then it has a number.
fn lives(document: &[u8]) -> bool {
    let text = String::from_utf8_lossy(document);
    let Ok(tree) = roxmltree::Document::parse(&text) else { return false };
    tree.root_element().has_attribute("id")
}

fn uri(driver: &str, surroundings: &Surroundings) -> Option<String> {
    let place = if surroundings.is_root() { "system" } else { "session" };
    match Driver::from_name(driver)? {
        Driver::Qemu => Some(format!("qemu:///{place}")),
        Driver::Lxc => Some("lxc:///system".to_owned()),
        Driver::Libxl => Some("xen:///system".to_owned()),
        Driver::Bhyve => Some("bhyve:///system".to_owned()),
        Driver::Daemon | Driver::Network => None,
    }
}

/// Runs virsh, and returns what it printed.
fn ask(words: &[&str], surroundings: &Surroundings) -> Result<Vec<u8>, String> {
    let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let Some(program) = words.first().and_then(|name| search(name, &path)) else {
        return Err("virsh isn't installed".to_owned());
    };
    let prepared = Supervisor::new(&[]).and_then(|it| it.null().map(|null| (it, null)));
    let (mut supervisor, null) = prepared.map_err(|error| error.to_string())?;
    let run = ulid::new();
    let mut environment = Environment::default();
    environment.set("PATH", &path);
    environment.set("LC_ALL", "C.UTF-8");
    for name in ["HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
        if let Some(value) = env::var_os(name) {
            environment.set(name, value);
        }
    }
    environment.set("HOOKMUX_HOOKS_DIR", &surroundings.hooks_dir);
    environment.set(members::RUN_VARIABLE, &run);
    let mut job = Job::new(program.as_os_str(), null, run, Instant::now() + TIMEOUT);
    job.arguments = words.iter().map(|word| c_string(word.as_bytes())).collect();
    job.environment = environment.block();
    job.timeout = Some(TIMEOUT);
    job.kill_leftovers = true;
    job.stdout_head = MAX_DOCUMENT_BYTES;
    let ended = supervisor.run(vec![job], &mut |_| {}).pop();
    let _ = supervisor.release_leftovers();
    let Some(ended) = ended else { return Err("virsh never ran".to_owned()) };
    let why = match &ended.outcome {
        ProcessOutcome::Exited(0) => {
            return ended.stdout.whole().ok_or_else(|| "its document is too large".to_owned());
        }
        ProcessOutcome::Exited(status) => format!("virsh ended with exit status {status}"),
        ProcessOutcome::Signaled(signal) => format!("virsh was ended by signal {signal}"),
        ProcessOutcome::TimedOut { .. } => {
            format!("virsh didn't end within {} s", TIMEOUT.as_secs())
        }
        ProcessOutcome::Terminated => "virsh was ended".to_owned(),
        ProcessOutcome::NotStarted(obstacle) => format!("virsh {obstacle}"),
    };
    let stderr = sanitize::text(&ended.stderr.end(MAX_STDERR_BYTES));
    let stderr: Vec<&str> = stderr.split_ascii_whitespace().collect();
    Err(if stderr.is_empty() { why } else { format!("{why}: {}", stderr.join(" ")) })
}

/// Finds a program.
fn search(name: &str, path: &OsStr) -> Option<PathBuf> {
    let mut programs = env::split_paths(path).map(|directory| directory.join(name));
    programs.find(|program| program.is_absolute() && program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_runs_has_a_number() {
        assert!(lives(b"<domain type='kvm' id='7'><name>x</name></domain>"));
        for other in [&b"<domain type='kvm'><name>id='7'</name></domain>"[..], b"<domain", b""] {
            assert!(!lives(other));
        }
    }
}
