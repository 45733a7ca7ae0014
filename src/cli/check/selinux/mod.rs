//! Checks SELinux: whether the labels of what libvirt's daemons run are those of the policy, and whether the
//! policy lets these daemons run it.
//!
//! In Fedora's policy (read as of October 2024) `/etc/libvirt/hooks` has the type `virt_hook_t`. `virtnetworkd_t` may run
//! that, and nothing else of ours, where the boolean `virt_hooks_unconfined` is on, and hooks are unconfined then.
//! `virtqemud_t` has no such rule; it may run programs of `/usr/sbin`, which stay in its own domain. libvirtd
//! (`virtd_t`) and virtlxcd are unconfined themselves. `hookmux.cil` makes the rule hold for all of them.

mod contexts;
mod pattern;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use self::contexts::{FileContexts, type_of};
use super::commands::commands;
use super::finding::{Code, Findings, Fix, words};
use super::survey::Survey;
use crate::cli::install::daemons::Daemon;
use crate::cli::install::installed::Installed;
use crate::machine::{files, sys};
use crate::search::EntryState;

/// The type that policies have for hook programs: libvirt's daemons leave their own domain by it.
const HOOK_TYPES: [&str; 2] = ["virt_hook_t", "virt_script_exec_t"];
/// The boolean of Fedora's policy.
const BOOLEAN: &str = "virt_hooks_unconfined";
/// Daemons that the policy confines. Those that aren't named here are unconfined, or of a policy that isn't known.
const CONFINED: [&str; 2] = ["virtnetworkd_t", "virtqemud_t"];
/// What a package of hookmux has for such hosts.
const MODULE: &str = "/usr/share/hookmux/selinux/hookmux.cil";

pub(super) fn is_enforcing(root: &Path) -> bool {
    let text = files::read_kernel_text(&root.join("sys/fs/selinux/enforce"));
    text.is_ok_and(|text| text.trim() == "1")
}

/// To be asked where SELinux enforces its policy.
pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    labels(survey, findings);
    for installed in &survey.installed {
        let Some(link) = Installed::called_at(installed) else { continue };
        let Ok(program) = fs::canonicalize(link) else { continue };
        for daemon in survey.daemons.iter().filter(|one| one.serves(installed.driver)) {
            domain(survey, daemon, link, &program, findings);
        }
    }
}

/// Looks at what is run: the programs of entries, scripts, and programs of registrations.
fn labels(survey: &Survey<'_>, findings: &mut Findings) {
    let Some(contexts) = FileContexts::read(survey.root) else { return };
    let entries = survey.installed.iter().filter_map(Installed::called_at);
    let scripts = survey.scripts.iter().filter(|one| one.state == EntryState::Active);
    let programs = survey.registrations.iter().flat_map(|one| commands(one));
    let programs = programs.filter_map(|(_, words)| words.first()).map(Path::new);
    let all = entries.chain(scripts.map(|one| one.path.as_path()));
    let all = all.chain(programs.filter(|one| one.is_absolute()));
    let mut seen: Vec<PathBuf> = Vec::new();
    for path in all {
        let Ok(end) = fs::canonicalize(path) else { continue };
        if seen.contains(&end) {
            continue;
        }
        label(survey, &contexts, &end, findings);
        seen.push(end);
    }
}

fn label(survey: &Survey<'_>, contexts: &FileContexts, path: &Path, findings: &mut Findings) {
    let Some(expected) = contexts.expected(path) else { return };
    // a file system without labels has those of its mount
    let Ok(context) = sys::selinux_context(path) else { return };
    let shown = survey.label(path);
    let words = match context.as_deref().map(type_of) {
        Some(Some(actual)) if actual == expected || contexts.is_customizable(actual) => return,
        Some(Some(actual)) => format!(
            "{shown} has SELinux's type {actual}, as a file has that was moved here, and by the policy it is {expected}: libvirt's daemon may be denied to run it"
        ),
        _ => format!(
            "{shown} has no SELinux label, and by the policy its type is {expected}: libvirt's daemon may be denied to run it"
        ),
    };
    findings.add(Code::SelinuxLabel, path, words, Fix::run(&words!["restorecon", "-v", path]));
}

/// Looks at what a daemon's domain may do.
fn domain(
    survey: &Survey<'_>,
    daemon: &Daemon,
    link: &Path,
    program: &Path,
    findings: &mut Findings,
) {
    let path = survey.root.join(format!("proc/{}/attr/current", daemon.pid));
    let Ok(context) = files::read_kernel_text(&path) else { return };
    let context = context.trim_end_matches(['\0', '\n']);
    let Some(own) = type_of(context).filter(|own| CONFINED.contains(own)) else { return };
    let name = &daemon.name;
    let is_hook = match sys::selinux_context(program) {
        Ok(Some(context)) => type_of(&context).is_some_and(|kind| HOOK_TYPES.contains(&kind)),
        Ok(None) => false,
        Err(_) => return,
    };
    let is_off = is_off(survey.root);
    let switch = words!["setsebool", "-P", BOOLEAN, "on"];
    if is_hook {
        if is_off {
            let words = format!(
                "SELinux's boolean {BOOLEAN} is off, and {name} ({own}) may run no hook program of the type {} without it",
                HOOK_TYPES[0]
            );
            let path = Path::new("/sys/fs/selinux/booleans").join(BOOLEAN);
            findings.add(Code::SelinuxBoolean, &path, words, Fix::run(&switch));
        }
        return;
    }
    let words = format!(
        "SELinux keeps {name} in {own}, and {}, to which {} leads, has not the type {}: it is denied, or it and its hooks may do only what {own} may",
        program.display(),
        link.display(),
        HOOK_TYPES[0]
    );
    let mut commands: Vec<Vec<OsString>> =
        vec![words!["semodule", "-i", MODULE], words!["restorecon", "-v", program]];
    if is_off {
        commands.push(switch);
    }
    findings.add(Code::SelinuxDomain, link, words, Fix::all(&commands));
}

/// Tells whether the policy has the boolean, and it is off.
fn is_off(root: &Path) -> bool {
    let path = root.join("sys/fs/selinux/booleans").join(BOOLEAN);
    // the value in force, and the one that is pending
    files::read_kernel_text(&path).is_ok_and(|text| text.split_whitespace().next() == Some("0"))
}
