//! Checks what waits: managed saves with a second name, broken guest state, jobs of the queue, and files
//! that hooks left.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::finding::{Code, Findings, Fix, counted, quoted, words};
use super::survey::Survey;
use crate::config::Surroundings;
use crate::machine::clock::BootClock;
use crate::memory::{guest, saves};
use crate::queue::{ItemHead, JobReadError, Queue, QueueUsage};
use crate::state::DirRefusal;
use crate::state::trash::Trash;
use crate::undo::entry::Entry;
use crate::undo::ledger::Ledger;
use crate::undo::living;
use crate::undo::owed::Owed;

/// A job that has waited longer has no worker, or a hook that always fails.
const OLD_JOB_SECONDS: u64 = 600;
/// How full the queue must be to be reported.
const NEARLY_FULL_PERCENT: u64 = 80;

pub(super) fn examine(survey: &Survey<'_>, surroundings: &Surroundings, findings: &mut Findings) {
    for path in names_that_end(&survey.settings.save_dir, saves::SECOND_NAME_SUFFIX) {
        save(&path, findings);
    }
    for unreadable in guest::unreadable(&survey.settings.runtime_dir) {
        guest_state(&unreadable, findings);
    }
    jobs(survey, findings);
    undos(survey, surroundings, findings);
    trash(survey, findings);
}

/// Reports undos that failed, or that nobody runs any more.
fn undos(survey: &Survey<'_>, surroundings: &Surroundings, findings: &mut Findings) {
    let mut registrations = survey.registrations.iter();
    let has_undo = registrations.any(|one| one.enabled && one.undo.is_some());
    if has_undo && living::virsh(surroundings).is_none() {
        let words = "there is no virsh on PATH: what hooks have set up stays where a daemon dies together with their guest, because libvirt can't be asked whether it still lives";
        let fix = "install virsh (libvirt-clients, libvirt-client)";
        findings.add(Code::NoVirsh, &survey.settings.hooks_dir, words, fix);
    }
    let ledger = Ledger::new(&survey.settings.runtime_dir);
    // reported as not trusted, or not to be read by this user
    for owner in ledger.owners().unwrap_or_default() {
        let (entries, unreadable) = ledger.of(&owner).entries();
        for one in unreadable {
            let words = format!("{}: its undo never runs", one.words());
            findings.add(Code::BrokenUndo, &one.path, words, Fix::run(&words!["rm", &one.path]));
        }
        let is_told = |owed: &Owed| owed.is_over() || owed.entry.last.is_some();
        for owed in entries.iter().filter(|owed| is_told(owed)) {
            let Entry { hook, driver, object, last, .. } = &owed.entry;
            let last = last.as_ref().map(|last| format!(" ({last})")).unwrap_or_default();
            let words = format!("what {hook} has set up for {driver} {object} is not undone{last}");
            let fix = Fix::about_guest(&survey.settings.hooks_dir, "undo", object);
            findings.add(Code::UndoOwed, ledger.directory().unchecked_path(), words, fix);
        }
    }
}

/// How many files that hooks left are counted.
const MAX_COUNTED: usize = 10_000;

fn trash(survey: &Survey<'_>, findings: &mut Findings) {
    let trash = Trash::new(&survey.settings.runtime_dir);
    let count = trash.count(MAX_COUNTED);
    if count > 0 {
        let at_least = if count == MAX_COUNTED { "at least " } else { "" };
        let words = format!(
            "{at_least}{} that hooks left with their documents, deeper ones not counted, wait in {}",
            counted(count, "file or directory"),
            trash.unchecked_path().display()
        );
        findings.add(Code::TrashLeft, &trash.unchecked_path(), words, survey.command("prune"));
    }
}

fn guest_state(unreadable: &guest::UnreadableMemory, findings: &mut Findings) {
    let (path, why) = (&unreadable.path, &unreadable.why);
    let consequence = match unreadable.refuses_for {
        Some(left) => format!("the guest isn't started for another {} s", left.as_secs() + 1),
        None => "the guest's next start drops it".to_owned(),
    };
    let words = format!("{} can't be read: {why}; {consequence}", path.display());
    findings.add(Code::BrokenGuestState, path, words, unreadable.way_out());
}

/// Returns the files of a directory with this suffix, in byte order.
fn names_that_end(directory: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().as_bytes().ends_with(end.as_bytes()))
        .map(|entry| entry.path())
        .collect();
    paths.sort_unstable();
    paths
}

fn save(second: &Path, findings: &mut Findings) {
    let name = second.as_os_str().as_bytes();
    let Some(first) = name.strip_suffix(saves::SECOND_NAME_SUFFIX.as_bytes()) else { return };
    let first = Path::new(OsStr::from_bytes(first));
    let shown = second.display();
    let Ok(held) = fs::symlink_metadata(second) else { return };
    match fs::symlink_metadata(first) {
        Err(_) => findings.add(
            Code::DanglingSave,
            second,
            format!("{shown} is the only name left of a guest's managed save, which libvirt deleted: bring it back while the guest is off and its disks are as they were, else remove it"),
            Fix::run(&words!["mv", "-n", second, first]),
        ),
        Ok(saved) if (saved.dev(), saved.ino()) == (held.dev(), held.ino()) => findings.add(
            Code::SpareSave,
            second,
            format!("{shown} is a second name of a managed save that is still there: a restore is under way or has failed, and it goes when the guest has started"),
            Fix::run(&words!["rm", second]),
        ),
        Ok(_) => findings.add(
            Code::DanglingSave,
            second,
            format!("{shown} is an earlier managed save, which libvirt deleted, and the guest has a later one: while both are there, no changed document is answered at its restore"),
            Fix::run(&words!["rm", second]),
        ),
    }
}

fn jobs(survey: &Survey<'_>, findings: &mut Findings) {
    let queue = Queue::new(&survey.settings.state_dir);
    let directory = queue.directory().unchecked_path();
    let names = match queue.names() {
        Ok(names) => names,
        // reported as not trusted
        Err(error) if DirRefusal::of(&error).is_some() => return,
        // the whole directory of the state is reported
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && survey.user != 0 => return,
        Err(error) => {
            let words = format!("the queue in {} can't be read: {error}", directory.display());
            let fix = Fix::run(&words!["ls", "-la", directory]);
            return findings.add(Code::Unreadable, directory, words, fix);
        }
    };
    let clock = BootClock::here();
    for id in &names.ids {
        let path = directory.join(format!("{id}.json"));
        match queue.head(id) {
            Ok(head) => old(survey, &path, &head, head.age(&clock).as_secs(), findings),
            Err(JobReadError::Gone) => {}
            Err(unread @ JobReadError::Newer(_)) => {
                let words = format!(
                    "{}: {unread}, so its hook runs only once hookmux is as new as that",
                    path.display()
                );
                let fix = format!("update hookmux, or rm {}", quoted(&path));
                findings.add(Code::NewerJob, &path, words, fix);
            }
            Err(unread) => broken(&path, &unread.to_string(), findings),
        }
    }
    for name in &names.not_jobs {
        broken(&directory.join(name), "its name is not that of a job", findings);
    }
    for aside in queue.aside().unwrap_or_default() {
        let path = directory.join(&aside.name);
        match &aside.job {
            Ok(head) => {
                let words = format!(
                    "{} for {} {} was put aside: {}",
                    head.hook,
                    head.driver,
                    head.object,
                    aside.why()
                );
                let fix = survey.command(&format!("queue --requeue {}", head.id));
                findings.add(Code::JobPutAside, &path, words, fix);
            }
            Err(unread) => broken(&path, &unread.to_string(), findings),
        }
    }
    if let Ok(usage) = queue.usage() {
        nearly_full(survey, directory, usage, findings);
    }
}

fn old(survey: &Survey<'_>, path: &Path, head: &ItemHead, age_s: u64, findings: &mut Findings) {
    if age_s <= OLD_JOB_SECONDS {
        return;
    }
    let last = head.last.as_ref().map(|last| format!(" (last: {last})")).unwrap_or_default();
    let words = format!(
        "{} for {} {} has been waiting in the queue for {} min{last}",
        head.hook,
        head.driver,
        head.object,
        age_s / 60
    );
    findings.add(Code::OldJob, path, words, survey.command("queue --work"));
}

fn nearly_full(survey: &Survey<'_>, directory: &Path, usage: QueueUsage, findings: &mut Findings) {
    let limits = survey.settings.queue;
    let is_near = |used: u64, most: u64| {
        u128::from(used) * 100 >= u128::from(most) * u128::from(NEARLY_FULL_PERCENT)
    };
    let words = if is_near(usage.jobs, limits.jobs) {
        format!("{} of the {} jobs that the queue takes wait", usage.jobs, limits.jobs)
    } else if is_near(usage.bytes, limits.size) {
        format!(
            "the waiting jobs have {} of the {} bytes that the queue takes",
            usage.bytes, limits.size
        )
    } else {
        return;
    };
    let words = format!("{words}: beyond that, detached hooks fail");
    findings.add(Code::QueueNearlyFull, directory, words, survey.command("queue"));
}

fn broken(path: &Path, why: &str, findings: &mut Findings) {
    let words = format!("{} can't be read as a job: its hook never runs ({why})", path.display());
    let is_directory = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let fix = match is_directory {
        true => Fix::run(&words!["rm", "-r", path]),
        false => Fix::run(&words!["rm", path]),
    };
    findings.add(Code::BrokenJob, path, words, fix);
}
