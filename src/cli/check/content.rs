//! One executable: whether it can be started, and whether it may call libvirt.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::finding::{Code, Findings, Fix};
use super::survey::Survey;
use crate::cli::script_text;
use crate::cli::way_out::{self, Meant};
use crate::config::Registration;
use crate::machine::files;
use crate::process::startable::executing_user::ExecutingUser;
use crate::process::startable::head::{ExecutableHead, head};
use crate::process::startable::shell_text;
use crate::process::startable::{self, ObstacleCause, Program, StartObstacle};
use crate::repair::RepairTarget;
use crate::trust::{Trust, TrustFault};

/// How much of a script is looked at, in bytes.
const LOOK_AT: u64 = 256 * 1024;

/// The beginning of a file; `None` where it can't be read.
pub(super) fn beginning(path: &Path) -> Option<Vec<u8>> {
    // reading what the kernel makes up could wait for ever
    let is_made_up = fs::metadata(path).ok()?.len() == 0;
    if is_made_up { None } else { files::read_beginning(path, LOOK_AT).ok() }
}

/// A program, and what `check` calls it.
pub(super) struct Looked<'a> {
    pub path: &'a Path,
    pub label: &'a str,
    /// The registration that names it.
    pub registration: Option<&'a Registration>,
    pub executor: ExecutingUser<'a>,
    /// Whether it is a script of the per-guest tree.
    pub is_of_tree: bool,
}

impl<'a> Looked<'a> {
    /// What lies where hooks do.
    pub(super) fn at(survey: &Survey<'_>, path: &'a Path, label: &'a str) -> Looked<'a> {
        let executor = ExecutingUser::of(startable::daemons_user(survey.settings, survey.user));
        Looked { path, label, registration: None, executor, is_of_tree: false }
    }

    fn search<'s>(&'s self, survey: &'s Survey<'_>) -> Option<&'s OsStr> {
        startable::path_variable(survey.settings, self.registration)
    }
}

/// Whether it can be started, and by whom it is read.
pub(super) fn startable(survey: &Survey<'_>, looked: &Looked<'_>, findings: &mut Findings) {
    let Looked { path, label, .. } = *looked;
    let search = looked.search(survey);
    let is_text_run = looked.is_of_tree;
    let program = Program { path, executor: looked.executor, is_text_run, search };
    let beginning = beginning(path).unwrap_or_default();
    match program.obstacle() {
        Some(obstacle) => hindered(survey, looked, &obstacle, findings),
        None => match head(&beginning) {
            ExecutableHead::None if is_text_run && shell_text::is_text(&beginning) => {
                let fix = way_out::with_line("#!/bin/bash", path);
                by_shell(looked, "has no #! line", fix, findings);
            }
            ExecutableHead::ByteOrderMark if is_text_run => {
                let how =
                    "has a byte order mark before its #! line, which the shell takes for a command";
                by_shell(looked, how, way_out::without_mark(path), findings);
            }
            ExecutableHead::Script(line) if line.is_crlf() => {
                let words = format!(
                    "{label} has Windows line ends: a carriage return is part of what its interpreter is told"
                );
                findings.add(Code::Crlf, path, words, way_out::without_returns(path));
            }
            _ => {}
        },
    }
    for interpreter in startable::interpreters(path, search) {
        untrusted(survey, path, label, &interpreter, findings);
    }
}

fn by_shell(looked: &Looked<'_>, how: &str, fix: Fix, findings: &mut Findings) {
    let words = format!("{} {how}: bash runs it, or sh where there is no bash", looked.label);
    findings.add(Code::ShellText, looked.path, words, fix);
}

/// By which code an obstacle is told; `is_named` is whether a registration names the program.
fn code(obstacle: &StartObstacle, is_named: bool) -> Code {
    match &obstacle.cause {
        _ if way_out::is_crlf(obstacle) => Code::Crlf,
        _ if obstacle.of.is_some() => Code::InterpreterMissing,
        ObstacleCause::NotInPath { .. } | ObstacleCause::OneWord(_) => Code::InterpreterMissing,
        ObstacleCause::NotProgram | ObstacleCause::ByteOrderMark => Code::NoInterpreterLine,
        ObstacleCause::Noexec => Code::Noexec,
        ObstacleCause::NoAccess(_) | ObstacleCause::Unreadable => Code::UnreachableCommand,
        ObstacleCause::Missing | ObstacleCause::Dangling if is_named => Code::CommandMissing,
        ObstacleCause::Dangling => Code::DanglingLink,
        ObstacleCause::NoXBit if !is_named => Code::NotExecutable,
        _ => Code::CommandNotExecutable,
    }
}

/// Tells what is in its way.
fn hindered(
    survey: &Survey<'_>,
    looked: &Looked<'_>,
    obstacle: &StartObstacle,
    findings: &mut Findings,
) {
    let Looked { path, label, .. } = *looked;
    let named_in = looked.registration.map(|one| one.source.as_path());
    let meant = Meant { path, named_in };
    let code = code(obstacle, named_in.is_some());
    let shown = path.display();
    let name = |name: &Path| name.display().to_string();
    let of = obstacle.of.as_ref().map(|of| name(of)).unwrap_or_default();
    let message = match (code, &obstacle.cause) {
        (Code::NoInterpreterLine, ObstacleCause::ByteOrderMark) => {
            format!("{label} has a byte order mark before its #! line: {shown} can't be executed")
        }
        (Code::NoInterpreterLine, _) => {
            format!("{label} begins with no #! line: {shown} can't be executed (status 126)")
        }
        (Code::Crlf, _) => format!(
            "{label} has Windows line ends: its interpreter is looked for with a carriage return at the end of the name"
        ),
        (Code::InterpreterMissing, ObstacleCause::OneWord(words)) => format!(
            "{label} gives env `{}`, which Linux hands over as one word: no program is called that",
            words.to_string_lossy()
        ),
        (Code::InterpreterMissing, ObstacleCause::NotInPath { name, search }) => {
            let (name, search) = (name.to_string_lossy(), search.to_string_lossy());
            format!("{label} needs {name}, and there is none in {search}")
        }
        (Code::InterpreterMissing, ObstacleCause::Missing) => {
            format!("{label} needs {of}, which is not there")
        }
        (Code::Noexec, _) => format!(
            "{label} lies on a file system that is mounted noexec: {shown} can't be executed"
        ),
        (Code::UnreachableCommand, ObstacleCause::NoAccess(by)) => format!(
            "{label} is {shown}, and user {} can't execute it: {} is shut to it",
            user(looked),
            by.display()
        ),
        (Code::UnreachableCommand, _) => format!(
            "{label} is {shown}, and user {} can't read it, which its interpreter has to: {shown} is shut to it",
            user(looked)
        ),
        (Code::CommandMissing, _) => format!("{label} is {shown}, which is not there"),
        (Code::CommandNotExecutable, ObstacleCause::NoXBit) => {
            format!("{label} is {shown}, which has no x bit")
        }
        (Code::CommandNotExecutable, ObstacleCause::NotRegular) => {
            format!("{label} is {shown}, which is not a regular file")
        }
        _ => format!("{label}: {shown} {obstacle}"),
    };
    let at = match code {
        Code::CommandMissing | Code::CommandNotExecutable | Code::UnreachableCommand => {
            named_in.unwrap_or(path)
        }
        _ => path,
    };
    findings.add(code, at, message, meant.fix(obstacle, &survey.ground()));
}

fn user<'a>(looked: &Looked<'a>) -> &'a str {
    let run_as = looked.registration.and_then(|registration| registration.run_as.as_ref());
    run_as.map_or("", |run_as| run_as.user.as_str())
}

/// An interpreter that others could change is as good as a script that others could change.
fn untrusted(
    survey: &Survey<'_>,
    path: &Path,
    label: &str,
    program: &Path,
    findings: &mut Findings,
) {
    let Err(refusal) = Trust::new(survey.user).file(program) else { return };
    if matches!(
        refusal.fault,
        TrustFault::NotRegular | TrustFault::Missing | TrustFault::Unreadable(_)
    ) {
        return;
    }
    let message = format!("the interpreter of {label} isn't to be trusted: {refusal}");
    let fix = survey.ground().fix(&[RepairTarget::at(program)]);
    let fix = fix.unwrap_or_else(|| format!("look at {}", program.display()).into());
    findings.add(Code::UntrustedInterpreter, path, message, fix);
}

/// Whether a script that libvirt waits for calls libvirt.
pub(super) fn calls_libvirt(path: &Path, label: &str, fix: &str, findings: &mut Findings) {
    let Some(bytes) = beginning(path).filter(|bytes| !bytes.starts_with(b"\x7fELF")) else {
        return;
    };
    if let Some((line, word)) = script_text::libvirt_call(&String::from_utf8_lossy(&bytes)) {
        let message = format!(
            "{label} calls libvirt, which waits for it ({word} in line {line} of {}): a call about the same guest or network waits until the time limit",
            path.display()
        );
        findings.add(Code::LibvirtCall, path, message, fix);
    }
}
