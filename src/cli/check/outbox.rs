//! Whether the events of the outbox are sent, and whether registrations for events of other hosts are read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::finding::{Code, Findings, Fix, counted, words};
use super::survey::Survey;
use crate::cli::hooks::remote_places::{HOOKS_DIR, ROOTS};
use crate::cli::outbox::OutboxCounts;
use crate::config::Registration;
use crate::config::registration::{DIRECTORY, EXTENSION, MAX_REGISTRATION_BYTES};
use crate::machine::files;
use crate::record::outbox::cursor;
use crate::record::outbox::sequence::{self, Sequence};
use crate::record::spool::Spool;

/// The units of hookmux-relay: the one that sends events, and the one that takes those of other hosts.
const PUBLISHER: &str = "hookmux-relay.service";
const CONSUMER: &str = "hookmux-consume.service";
/// From which part of its limits on the outbox is nearly full, in percent.
const NEARLY_FULL_PERCENT: u64 = 90;

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    let settings = survey.settings;
    let path = sequence::path(&settings.state_dir);
    if let Some(newer) = sequence::newer(&settings.state_dir) {
        let words = format!("{}: {newer}; no event gets a number", path.display());
        findings.add(Code::NewerFile, &path, words, Fix::from("use the newer version"));
    }
    if settings.outbox {
        examine_outbox(survey, findings);
    }
    examine_remote(survey, findings);
}

fn examine_outbox(survey: &Survey<'_>, findings: &mut Findings) {
    let settings = survey.settings;
    let counts = OutboxCounts::read(settings);
    let directory = settings.state_dir.child("outbox");
    let directory = directory.unchecked_path();
    let limits = settings.outbox_max;
    if counts.sinks == 0 && !is_enabled(survey, PUBLISHER) {
        let words = format!(
            "`outbox: true`, and nothing sends the events: at most {} are kept in {}, then the oldest go",
            limits.events,
            directory.display()
        );
        let fix = Fix::run(&["systemctl", "enable", "--now", PUBLISHER]);
        findings.add(Code::OutboxNotSent, directory, words, fix);
    }
    let is_near = |have: u64, most: u64| have >= most / 100 * NEARLY_FULL_PERCENT.max(1);
    let nearly = |have: u64, most: u64| most >= 100 && is_near(have, most);
    if nearly(counts.events, limits.events) || nearly(counts.bytes, limits.size) {
        let words = format!(
            "{} wait in {}, of at most {}: then the oldest go, and one event says which",
            counted(usize::try_from(counts.events).unwrap_or(usize::MAX), "event"),
            directory.display(),
            limits.events
        );
        let fix = Fix::run(&["systemctl", "status", PUBLISHER]);
        findings.add(Code::OutboxNearlyFull, directory, words, fix);
    }
    let dropped = Spool::new(&settings.runtime_dir).dropped().events;
    if dropped > 0 {
        let runtime_dir = settings.runtime_dir.unchecked_path();
        let words = format!(
            "{} could not be kept since the host was started: {} was full, or no file could be made there",
            counted(usize::try_from(dropped).unwrap_or(usize::MAX), "event"),
            runtime_dir.display()
        );
        findings.add(
            Code::RecordsDropped,
            directory,
            words,
            Fix::run(&words!["df", "-h", runtime_dir]),
        );
    }
    let known = Sequence::load(&settings.state_dir).ok().flatten().unwrap_or_default();
    let Sequence { epoch, last, .. } = &known;
    for odd in cursor::read(&settings.state_dir, epoch, *last).odd {
        let words = format!(
            "{} is no number up to {last}, the last that an event got: so no event counts as sent",
            odd.display()
        );
        let fix = Fix::run(&["systemctl", "restart", PUBLISHER]);
        findings.add(Code::OddCursor, &odd, words, fix);
    }
}

/// Reports registrations for events of other hosts that nobody reads.
fn examine_remote(survey: &Survey<'_>, findings: &mut Findings) {
    let is_consumed = is_enabled(survey, CONSUMER);
    for registration in survey.registrations.iter().filter(|one| one.enabled && one.remote) {
        let (source, label) = (&registration.source, survey.label(&registration.source));
        let is_read = ROOTS.iter().any(|root| source.starts_with(root));
        let (words, fix) = if !is_read {
            let words = format!(
                "{label} has `remote: true` and never runs: registrations for events of other hosts are read in {} only",
                ROOTS.join(" and ")
            );
            let name = source.file_name().unwrap_or_default();
            let target = Path::new(HOOKS_DIR).join("hooks.d").join(name);
            (words, Fix::run(&words!["mv", "-n", source, target]))
        } else if !is_consumed {
            let words = format!(
                "{label} has `remote: true` and never runs: nothing on this host takes events of other hosts"
            );
            (words, Fix::run(&["systemctl", "enable", "--now", CONSUMER]))
        } else {
            continue;
        };
        findings.add(Code::NotConsumed, source, words, fix);
    }
    let root = Path::new(HOOKS_DIR);
    let below = survey.root.join(root.strip_prefix("/").unwrap_or(root));
    let is_shut = below.metadata().is_ok_and(|found| found.mode() & 0o005 != 0o005);
    if is_consumed && is_shut {
        let words = format!(
            "{} can't be read by the user hookmux-consume: no hook runs for events of other hosts",
            below.display()
        );
        findings.add(
            Code::Unreadable,
            &below,
            words,
            Fix::from("everybody has to be able to read it, as it is root's: mode 755"),
        );
    }
    for path in registrations_in(&below.join(DIRECTORY)) {
        let text = files::read_regular(&path, MAX_REGISTRATION_BYTES).and_then(files::into_text);
        let Ok(text) = text else { continue };
        if let Err(problem) = Registration::parse(&path, &below, &text) {
            let words = format!("{} (no event of another host runs anything)", problem.one_line());
            let edit = Fix::edit(&path, problem.place.map(|(line, _)| line));
            findings.add_mistake(Code::BrokenRegistration, &problem, words, edit);
        }
    }
}

/// Returns the files of registrations in a directory.
fn registrations_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == EXTENSION));
    paths.sort_unstable();
    paths
}

/// Tells whether systemd starts a unit at boot.
fn is_enabled(survey: &Survey<'_>, unit: &str) -> bool {
    let wants = survey.root.join("etc/systemd/system/multi-user.target.wants");
    wants.join(unit).symlink_metadata().is_ok()
}
