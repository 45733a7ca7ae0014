//! Directories that exist and can't be read.

use std::fs;
use std::io;

use super::finding::{Code, Findings, Fix, words};
use crate::config::Settings;
use crate::search::directory::UnreadablePath;

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
        findings.add(Code::Unseen, shut, words, "run `hookmux check` as root");
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
