//! Directories and files that exist and can't be read.

use std::fs;
use std::io;
use std::path::Path;

use super::finding::{Code, Findings, Fix, words};
use crate::config::Settings;
use crate::search::directory::UnreadablePath;

/// What to do about everything that this user can't read.
const ROOT_CHECKS: &str = "run `hookmux check` as root";

/// Whether a directory of hookmux's own is there, and this user can't read it.
pub(super) fn is_shut(directory: &Path, user: u32) -> bool {
    let is_denied = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    user != 0 && fs::read_dir(directory).is_err_and(is_denied)
}

/// Reports what nobody but root can know of: calls, jobs, undos, the state of guests.
pub(super) fn report_state(settings: &Settings, user: u32, findings: &mut Findings) {
    let Settings { state_dir, runtime_dir, .. } = settings;
    for (directory, what) in [
        (state_dir, "whether a call or a detached hook failed"),
        (
            runtime_dir,
            "whether an undo is owed, and whether libvirt's daemon has seen its hook programs",
        ),
    ] {
        let directory = directory.unchecked_path();
        if is_shut(directory, user) {
            let words = format!(
                "{} can't be read by this user: {what}, isn't checked",
                directory.display()
            );
            findings.add(Code::Unseen, directory, words, ROOT_CHECKS);
        }
    }
}

/// Adds a finding where this user, who isn't the one who calls, may not read a registration. Returns whether that
/// is so.
pub(super) fn report_shut_file(settings: &Settings, file: &Path, findings: &mut Findings) -> bool {
    let is_denied = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    let is_daemons = nix::unistd::geteuid().is_root() || settings.session;
    if is_daemons || !fs::File::open(file).is_err_and(is_denied) {
        return false;
    }
    let words = format!(
        "{} can't be read by this user: whether it is right, isn't checked",
        file.display()
    );
    findings.add(Code::Unseen, file, words, ROOT_CHECKS);
    true
}

/// Adds a finding, and returns an empty value in place of the directory's contents.
pub(super) fn report_unreadable<T: Default>(
    settings: &Settings,
    unreadable: &UnreadablePath,
    findings: &mut Findings,
) -> T {
    let path = &unreadable.path;
    let is_link = path.is_symlink() && !path.exists();
    // the directory that can't be entered stands for everything in it
    let shut = path
        .ancestors()
        .find(|part| fs::metadata(part).is_ok())
        .filter(|_| unreadable.error.kind() == io::ErrorKind::PermissionDenied)
        .unwrap_or(path);
    let shown = shut.display();
    // a user who runs `check` has fewer rights than the daemon, except for a session daemon
    let is_daemons = nix::unistd::geteuid().is_root() || settings.session;
    if !is_daemons && !is_link {
        let words = format!(
            "{shown} can't be read by this user: its contents aren't checked ({})",
            unreadable.error
        );
        findings.add(Code::Unseen, shut, words, ROOT_CHECKS);
        return T::default();
    }
    let words = format!(
        "{shown} can't be read: its hooks are unknown, and gates fail: {}",
        unreadable.error
    );
    let fix = match is_link {
        true => Fix::run(&words!["rm", shut]),
        false => Fix::run(&words!["ls", "-la", shut]),
    };
    findings.add(Code::Unreadable, shut, words, fix);
    T::default()
}
