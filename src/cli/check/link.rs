//! A link under a driver's name: whether the daemon can follow it, and has seen it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::content::{self, Looked};
use super::finding::{Code, Findings, Fix, words};
use super::proof::{Proof, Seen, proof};
use super::survey::Survey;
use super::{confinement, records};
use crate::cli::install::daemons::Daemon;
use crate::libvirt::Driver;
use crate::machine::files;
use crate::memory::daemon_reload;
use crate::process::startable::executing_user::{EXECUTE, ExecutingUser};

/// Whether the daemon gets to what a link leads to, and may execute it.
pub(super) fn reachable(survey: &Survey<'_>, driver: Driver, link: &Path, findings: &mut Findings) {
    let Ok(end) = fs::canonicalize(link) else { return };
    if !files::is_executable(&end) {
        let words = format!(
            "{} leads to {}, which has no x bit: libvirt runs nothing for {driver}",
            link.display(),
            end.display()
        );
        // the binary is hookmux's own; where it lies may be anybody's
        findings.add(Code::UnreachableBinary, link, words, Fix::run(&words!["chmod", "755", &end]));
        return;
    }
    let label = format!("hookmux for {driver}");
    let looked = Looked::at(survey, &end, &label);
    content::startable(survey, &looked, findings);
    // root goes everywhere
    for daemon in survey.daemons.iter().filter(|one| one.user != 0 && one.serves(driver)) {
        let executor = ExecutingUser { user: daemon.user, groups: &daemon.groups };
        let shut = executor.first_blocked_directory(link);
        let shut = shut.or_else(|| (!executor.may(&end, EXECUTE)).then(|| end.clone()));
        if let Some(shut) = shut {
            let words = format!(
                "{} of user {} can't follow {} to {}: {} is shut to it, and libvirt runs nothing",
                daemon.name,
                daemon.user,
                link.display(),
                end.display(),
                shut.display()
            );
            let fix = match survey.ground().has(&shut) {
                true => Fix::run(&words!["chmod", "a+x", &shut]),
                false => Fix::all(&confinement::move_there(link, &end)),
            };
            findings.add(Code::UnreachableBinary, link, words, fix);
        }
    }
}

/// What is kept of a driver's calls, and of a daemon's starts and reloads.
fn seen_of(survey: &Survey<'_>, driver: Driver, daemon: &Daemon) -> Seen {
    Seen {
        call: records::last_call(survey, driver),
        reload: daemon_reload::last_reload(&survey.settings.runtime_dir, &daemon.comm),
    }
}

/// Whether the daemon has looked for hook programs since the link was made.
pub(super) fn seen(survey: &Survey<'_>, driver: Driver, link: &Path, findings: &mut Findings) {
    let Some(linked) = changed(link) else { return };
    let is_asked = |daemon: &&Daemon| daemon.serves(driver) && daemon.is_for(survey.user);
    for daemon in survey.daemons.iter().filter(is_asked) {
        let Some(started) = daemon.started else { continue };
        let seen = seen_of(survey, driver, daemon);
        if proof(linked, started, seen.call, seen.reload) == Proof::Unknown {
            let words = format!(
                "{} is newer than the start of {}, which looks for hook programs only then and when it is reloaded, and no call is recorded since: unknown whether it has seen it, reload it to be sure",
                link.display(),
                daemon.name
            );
            findings.add(Code::UnprovenLink, link, words, daemon.reload());
        }
    }
}

/// When a name came to be what it is, to the best of the file system's knowledge.
fn changed(link: &Path) -> Option<SystemTime> {
    let metadata = fs::symlink_metadata(link).ok()?;
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
    Some(UNIX_EPOCH + Duration::new(seconds, nanoseconds))
}
