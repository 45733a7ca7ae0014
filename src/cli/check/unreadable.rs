//! Directories that are there and can't be read.

use std::fs;
use std::io;

use super::finding::{Code, Findings, Fix, words};
use crate::config::Settings;
use crate::search::directory::UnreadablePath;

/// Nothing is what is known of it.
pub(super) fn complain<T: Default>(
    settings: &Settings,
    unreadable: &UnreadablePath,
    findings: &mut Findings,
) -> T {
    let path = &unreadable.path;
    let is_link = path.is_symlink() && !path.exists();
    // the directory that is shut stands for all that lies in it
    let shut = path
        .ancestors()
        .find(|part| fs::metadata(part).is_ok())
        .filter(|_| unreadable.error.kind() == io::ErrorKind::PermissionDenied)
        .unwrap_or(path);
    let shown = shut.display();
    // who only looks has less right than the daemon, but for a session's
    let is_daemons = nix::unistd::geteuid().is_root() || settings.session;
    if !is_daemons && !is_link {
        let words = format!(
            "{shown} can't be looked into by this user: what lies there isn't checked ({})",
            unreadable.error
        );
        findings.add(Code::Unseen, shut, words, "run `hookmux check` as root");
        return T::default();
    }
    let words = format!(
        "{shown} can't be read, so that its hooks are unknown and gates fail: {}",
        unreadable.error
    );
    let fix = match is_link {
        true => Fix::run(&words!["rm", shut]),
        false => Fix::run(&words!["ls", "-la", shut]),
    };
    findings.add(Code::Unreadable, shut, words, fix);
    T::default()
}
