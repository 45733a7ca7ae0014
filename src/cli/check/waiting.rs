//! What waits for somebody: managed saves under their second name, and jobs of the queue.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::finding::{Code, Findings, quoted};
use super::survey::Survey;
use crate::queue::Queue;
use crate::queue::item::now;
use crate::saves;
use crate::state::Shut;

/// A job that has waited for so long has nobody to work on it, or a hook that always fails.
const OLD: u64 = 600;

pub fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    for path in names_that_end(&survey.settings.save_dir, saves::SUFFIX) {
        save(&path, findings);
    }
    jobs(survey, findings);
}

/// The files of a directory whose names end so, in byte order.
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
    let Some(first) = name.strip_suffix(saves::SUFFIX.as_bytes()) else { return };
    let first = Path::new(OsStr::from_bytes(first));
    let (quoted_second, quoted_first) = (quoted(second), quoted(first));
    let shown = second.display();
    let Ok(held) = fs::symlink_metadata(second) else { return };
    match fs::symlink_metadata(first) {
        Err(_) => findings.add(
            Code::DanglingSave,
            second,
            format!("{shown} is the only name left of a guest's managed save, which libvirt deleted: bring it back while the guest is off and its disks are as they were, else remove it"),
            format!("mv {quoted_second} {quoted_first}"),
        ),
        Ok(saved) if (saved.dev(), saved.ino()) == (held.dev(), held.ino()) => findings.add(
            Code::SpareSave,
            second,
            format!("{shown} is a second name of a managed save that is still there: a restore is under way or has failed, and it goes when the guest has started"),
            format!("rm {quoted_second}"),
        ),
        Ok(_) => findings.add(
            Code::DanglingSave,
            second,
            format!("{shown} is an earlier managed save, which libvirt deleted, and the guest has a later one: while both are there, no changed document is answered at its restore"),
            format!("rm {quoted_second}"),
        ),
    }
}

fn jobs(survey: &Survey<'_>, findings: &mut Findings) {
    let directory = survey.settings.state_dir.named().join("queue");
    let queue = Queue::new(&survey.settings.state_dir);
    let ids = match queue.ids() {
        Ok(ids) => ids,
        // told with all that isn't trusted
        Err(error) if Shut::of(&error).is_some() => return,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && survey.user != 0 => {
            let words = format!("{} can't be looked into by this user", directory.display());
            return findings.add(Code::Unseen, &directory, words, "run `hookmux check` as root");
        }
        Err(error) => {
            let words = format!("the queue in {} can't be read: {error}", directory.display());
            let fix = format!("ls -la {}", quoted(&directory));
            return findings.add(Code::Unreadable, &directory, words, fix);
        }
    };
    for id in ids {
        let path = directory.join(format!("{id}.json"));
        match queue.get(&id) {
            Ok(item) => {
                let age = now().saturating_sub(item.queued_at);
                if age > OLD {
                    let last = item.last.map(|last| format!(" (last: {last})")).unwrap_or_default();
                    let words = format!(
                        "{} for {} {} has been waiting in the queue for {} min{last}",
                        item.hook,
                        item.driver,
                        item.object,
                        age / 60
                    );
                    findings.add(Code::OldJob, &path, words, survey.command("queue --work"));
                }
            }
            // it may have been done a moment ago
            Err(_) if path.exists() => broken(&path, findings),
            Err(_) => {}
        }
    }
    for path in names_that_end(&directory, ".broken") {
        broken(&path, findings);
    }
}

fn broken(path: &Path, findings: &mut Findings) {
    let words = format!("{} is no job that can be read: its hook never runs", path.display());
    findings.add(Code::BrokenJob, path, words, format!("rm {}", quoted(path)));
}
