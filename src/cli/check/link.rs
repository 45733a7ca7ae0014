//! Checks the link under a driver's name: whether the daemon can follow it, and has seen it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::confinement;
use super::content::{self, CheckedProgram};
use super::finding::{Code, Findings, Fix, words};
use super::proof::{DriverActivity, Proof, proof};
use super::survey::Survey;
use super::unreadable::is_shut;
use crate::cli::install::daemons::Daemon;
use crate::config::Settings;
use crate::libvirt::Driver;
use crate::machine::files;
use crate::memory::daemon_reload;
use crate::process::startable::executing_user::{EXECUTE, ExecutingUser};

/// Checks whether the daemon can reach and execute the target of a link.
pub(super) fn check_reachable(
    survey: &Survey<'_>,
    driver: Driver,
    link: &Path,
    findings: &mut Findings,
) {
    let Ok(end) = fs::canonicalize(link) else { return };
    if !files::is_executable(&end) {
        let words = format!(
            "{} leads to {}, which has no x bit: libvirt runs nothing for {driver}",
            link.display(),
            end.display()
        );
        // the binary belongs to hookmux, its directory may belong to others
        findings.add(Code::UnreachableBinary, link, words, Fix::run(&words!["chmod", "755", &end]));
        return;
    }
    let label = format!("hookmux for {driver}");
    let checked = CheckedProgram::at(survey, &end, &label);
    content::startable(survey, &checked, findings);
    // root can reach everything
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

/// Returns what is known about a driver's calls, and about its daemon's reloads.
fn driver_activity(survey: &Survey<'_>, driver: Driver, daemon: &Daemon) -> DriverActivity {
    DriverActivity {
        call: survey.last_day.last_calls.get(driver.name()).copied(),
        reload: daemon_reload::last_reload(&survey.settings.runtime_dir, &daemon.comm),
    }
}

/// A link that was made after the start of these daemons, which may not have seen it.
pub(super) struct UnprovenLink<'a> {
    link: &'a Path,
    daemons: Vec<&'a Daemon>,
}

/// Checks whether the daemons have looked for hook programs since the link was made.
pub(super) fn unproven<'a>(
    survey: &'a Survey<'_>,
    driver: Driver,
    link: &'a Path,
) -> Option<UnprovenLink<'a>> {
    let Settings { state_dir, runtime_dir, .. } = survey.settings;
    // calls and reloads are noted there
    if [state_dir, runtime_dir].iter().any(|it| is_shut(it.unchecked_path(), survey.user)) {
        return None;
    }
    let linked = changed(link)?;
    let is_unproven = |daemon: &&Daemon| {
        let Some(started) = daemon.started else { return false };
        let activity = driver_activity(survey, driver, daemon);
        proof(linked, started, activity.call, activity.reload) == Proof::Unknown
    };
    let is_asked = |daemon: &&Daemon| daemon.serves(driver) && daemon.is_for(survey.user);
    let daemons: Vec<&Daemon> =
        survey.daemons.iter().filter(is_asked).filter(is_unproven).collect();
    (!daemons.is_empty()).then_some(UnprovenLink { link, daemons })
}

/// Reports links that daemons may not have seen: one finding for all of them, and one command.
pub(super) fn report_unproven(links: &[UnprovenLink<'_>], findings: &mut Findings) {
    const LOOKS: &str = "which looks for hook programs only at its start and at a reload, and no call was recorded since";
    let mut daemons: Vec<&Daemon> = Vec::new();
    for daemon in links.iter().flat_map(|one| &one.daemons) {
        if !daemons.iter().any(|known| known.pid == daemon.pid) {
            daemons.push(daemon);
        }
    }
    let words = match daemons.as_slice() {
        [one] => format!(
            "is newer than the start of {}, {LOOKS}: it may not have seen the link, reload it to be sure",
            one.name
        ),
        _ => format!(
            "is newer than the start of its daemon, {LOOKS}: it may not have seen the link, reload it to be sure"
        ),
    };
    let reload = reload(&daemons);
    for UnprovenLink { link, daemons: of_link } in links {
        let link_shown = link.display().to_string();
        let names: Vec<&str> = of_link.iter().map(|daemon| daemon.name.as_str()).collect();
        let subject = match daemons.len() {
            1 => link_shown,
            _ => format!("{link_shown} ({})", names.join(", ")),
        };
        findings.add_alike(Code::UnprovenLink, link, &subject, &words, reload.clone());
    }
}

/// Returns one command that reloads all of them, where one can.
fn reload(daemons: &[&Daemon]) -> Fix {
    let commands: Vec<Vec<OsString>> =
        daemons.iter().flat_map(|daemon| daemon.reload().parts).collect();
    let Some((first, rest)) = commands.split_first() else { return String::new().into() };
    let split = |words: &[OsString]| words.split_last().map(|(_, before)| before.to_vec());
    if rest.iter().any(|words| split(words) != split(first)) {
        return Fix::all(&commands);
    }
    let mut one = first.clone();
    one.extend(rest.iter().filter_map(|words| words.last().cloned()));
    Fix::run(&one)
}

/// Returns when a link was last changed, as far as the file system knows.
pub(crate) fn changed(link: &Path) -> Option<SystemTime> {
    let metadata = fs::symlink_metadata(link).ok()?;
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
    Some(UNIX_EPOCH + Duration::new(seconds, nanoseconds))
}
