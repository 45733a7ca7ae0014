//! Checks one executable: whether it can be started, and whether it may call libvirt.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::finding::{Code, Findings, Fix};
use super::survey::Survey;
use crate::cli::fixes::{self, IntendedProgram};
use crate::cli::script_text;
use crate::config::Registration;
use crate::machine::files;
use crate::process::startable::executing_user::ExecutingUser;
use crate::process::startable::head::{ExecutableHead, head};
use crate::process::startable::shell_text;
use crate::process::startable::{self, ObstacleCause, Program, StartObstacle};
use crate::repair::RepairTarget;
use crate::trust::{Trust, TrustFault};

/// How much of a script is read.
const MAX_CHECKED_BYTES: u64 = 256 * 1024;

/// Returns the beginning of a file; `None` if it can't be read.
pub(super) fn beginning(path: &Path) -> Option<Vec<u8>> {
    // reading a file that the kernel generates could block forever
    let is_made_up = fs::metadata(path).ok()?.len() == 0;
    if is_made_up { None } else { files::read_beginning(path, MAX_CHECKED_BYTES).ok() }
}

/// A program, and its name in messages.
pub(super) struct CheckedProgram<'a> {
    pub path: &'a Path,
    pub label: &'a str,
    /// The registration that names it.
    pub registration: Option<&'a Registration>,
    pub executor: ExecutingUser<'a>,
    /// Whether it is a script of the per-guest tree.
    pub is_of_tree: bool,
    /// Whether it is in its place; else only its content counts.
    pub is_installed: bool,
}

impl<'a> CheckedProgram<'a> {
    /// Describes a program in a place for hooks.
    pub(super) fn at(survey: &Survey<'_>, path: &'a Path, label: &'a str) -> CheckedProgram<'a> {
        let executor = ExecutingUser::of(startable::daemons_user(survey.settings, survey.user));
        CheckedProgram {
            path,
            label,
            registration: None,
            executor,
            is_of_tree: false,
            is_installed: true,
        }
    }

    fn search<'s>(&'s self, survey: &'s Survey<'_>) -> Option<&'s OsStr> {
        startable::path_variable(survey.settings, self.registration)
    }
}

/// Checks whether it can be started, and by which interpreter.
pub(super) fn startable(
    survey: &Survey<'_>,
    checked: &CheckedProgram<'_>,
    findings: &mut Findings,
) {
    let CheckedProgram { path, label, .. } = *checked;
    let search = checked.search(survey);
    let is_text_run = checked.is_of_tree;
    let program = Program { path, executor: checked.executor, is_text_run, search };
    let beginning = beginning(path).unwrap_or_default();
    let obstacle = match checked.is_installed {
        true => program.obstacle(),
        false => program.obstacle_of_content(),
    };
    match obstacle {
        Some(obstacle) => report_obstacle(survey, checked, &obstacle, findings),
        None => match head(&beginning) {
            ExecutableHead::None if is_text_run && shell_text::is_text(&beginning) => {
                let fix = fixes::add_first_line("#!/bin/bash", path);
                report_shell_text(checked, "has no #! line", fix, findings);
            }
            ExecutableHead::ByteOrderMark if is_text_run => {
                let how =
                    "has a byte order mark before its #! line, which the shell takes for a command";
                report_shell_text(checked, how, fixes::remove_byte_order_mark(path), findings);
            }
            ExecutableHead::Script(line) if line.is_crlf() => {
                let words = "has Windows line ends: a carriage return is part of its interpreter's arguments";
                let fix = fixes::remove_carriage_returns(path);
                findings.add_alike(Code::Crlf, path, label, words, fix);
            }
            _ => {}
        },
    }
    for interpreter in startable::interpreters(path, search) {
        untrusted(survey, path, label, &interpreter, findings);
    }
}

fn report_shell_text(checked: &CheckedProgram<'_>, how: &str, fix: Fix, findings: &mut Findings) {
    let words = format!("{how}: bash runs it, or sh where there is no bash");
    findings.add_alike(Code::ShellText, checked.path, checked.label, &words, fix);
}

/// Returns the code for an obstacle; `is_named` tells whether a registration names the program.
fn code(obstacle: &StartObstacle, is_named: bool) -> Code {
    match &obstacle.cause {
        _ if fixes::is_crlf(obstacle) => Code::Crlf,
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

/// Reports what keeps a program from starting.
fn report_obstacle(
    survey: &Survey<'_>,
    checked: &CheckedProgram<'_>,
    obstacle: &StartObstacle,
    findings: &mut Findings,
) {
    let CheckedProgram { path, label, .. } = *checked;
    let named_in = checked.registration.map(|one| one.source.as_path());
    let intended = IntendedProgram { path, named_in };
    let code = code(obstacle, named_in.is_some());
    let shown = path.display();
    let name = |name: &Path| name.display().to_string();
    let of = obstacle.of.as_ref().map(|of| name(of)).unwrap_or_default();
    let hint = checked.registration.and_then(|registration| registration.list_hint(path));
    let message = match (code, &obstacle.cause) {
        (Code::NoInterpreterLine, ObstacleCause::ByteOrderMark) => {
            format!("{label} has a byte order mark before its #! line: {shown} can't be executed")
        }
        (Code::NoInterpreterLine, _) => {
            format!("{label} has no #! line: {shown} can't be executed (status 126)")
        }
        (Code::Crlf, _) => format!(
            "{label} has Windows line ends: a carriage return becomes part of its interpreter's name"
        ),
        (Code::InterpreterMissing, ObstacleCause::OneWord(words)) => format!(
            "{label} gives env `{}`, which Linux passes as one word: there is no program with this name",
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
            "{label} is {shown}, and user {} has no right to execute it: {} is shut to it",
            user(checked),
            by.display()
        ),
        (Code::UnreachableCommand, _) => format!(
            "{label} is {shown}, and user {} can't read it, which its interpreter has to: {shown} is shut to it",
            user(checked)
        ),
        (Code::CommandMissing, _) => {
            let hint = hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default();
            format!("{label} is {shown}, which is not there{hint}")
        }
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
    let is_list = code == Code::CommandMissing && hint.is_some();
    let fix = match named_in.filter(|_| is_list) {
        Some(file) => fixes::edit(survey.settings, file, None),
        None => intended.fix(obstacle, &survey.ground()),
    };
    match message.strip_prefix(label).and_then(|rest| rest.strip_prefix(' ')) {
        Some(words) if code == Code::Crlf => findings.add_alike(code, at, label, words, fix),
        _ => findings.add(code, at, message, fix),
    }
}

fn user<'a>(checked: &CheckedProgram<'a>) -> &'a str {
    let run_as = checked.registration.and_then(|registration| registration.run_as.as_ref());
    run_as.map_or("", |run_as| run_as.user.as_str())
}

/// Reports an interpreter that others could change: it is as dangerous as such a script.
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
    let message = format!("the interpreter of {label} is not trusted: {refusal}");
    let fix = survey.ground().fix(&[RepairTarget::at(program)]);
    let fix = fix.unwrap_or_else(|| format!("look at {}", program.display()).into());
    findings.add(Code::UntrustedInterpreter, path, message, fix);
}

/// Reports a script that calls libvirt while libvirt waits for it.
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
