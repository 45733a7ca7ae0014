//! One executable: whether the kernel can start it, and whether it may call libvirt.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::finding::{Code, Findings, Fix, words};
use super::script_text::{self, Head, Interpreter};
use super::survey::Survey;
use crate::files;
use crate::mend::Subject;
use crate::run::environment::DEFAULT_PATH;
use crate::run::shell;
use crate::trust::{Fault, Trust};

/// How much of a script is looked at, in bytes.
const LOOK_AT: u64 = 256 * 1024;

/// The beginning of a file; `None` where it can't be read.
pub fn beginning(path: &Path) -> Option<Vec<u8>> {
    let (file, metadata) = files::open_regular(path).ok()?;
    // reading what the kernel makes up could wait for ever
    if metadata.len() == 0 {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LOOK_AT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Whether a path is a file with an x bit.
pub fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Whether the kernel can start it.
pub fn startable(survey: &Survey<'_>, path: &Path, label: &str, findings: &mut Findings) {
    noexec(path, label, findings);
    let Some(bytes) = beginning(path) else { return };
    read_by_kernel(survey, path, label, &bytes, findings);
}

/// The same for a script of the per-guest tree: a text that the kernel can't start is given to a shell.
pub fn startable_in_tree(survey: &Survey<'_>, path: &Path, label: &str, findings: &mut Findings) {
    let Some(bytes) = beginning(path) else { return noexec(path, label, findings) };
    let (how, fix) = match script_text::head(&bytes) {
        Head::None => ("has no #! line", Fix::run(&words!["sed", "-i", "1i #!/bin/bash", path])),
        Head::Marked => (
            "has a byte order mark before its #! line, which the shell takes for a command",
            without_mark(path),
        ),
        _ => return startable(survey, path, label, findings),
    };
    if !shell::is_text(&bytes) {
        return startable(survey, path, label, findings);
    }
    noexec(path, label, findings);
    let words = format!("{label} {how}: bash runs it, or sh where there is no bash");
    findings.add(Code::ShellText, path, words, fix);
}

fn without_mark(path: &Path) -> Fix {
    Fix::run(&words!["sed", "-i", "1s/^\\xEF\\xBB\\xBF//", path])
}

fn read_by_kernel(
    survey: &Survey<'_>,
    path: &Path,
    label: &str,
    bytes: &[u8],
    findings: &mut Findings,
) {
    let shown = path.display();
    match script_text::head(bytes) {
        Head::Program => {}
        Head::None => findings.add(
            Code::NoInterpreterLine,
            path,
            format!("{label} begins with no #! line: {shown} can't be executed (status 126)"),
            Fix::run(&words!["sed", "-i", "1i #!/bin/sh", path]),
        ),
        Head::Marked => findings.add(
            Code::NoInterpreterLine,
            path,
            format!("{label} has a byte order mark before its #! line: {shown} can't be executed"),
            without_mark(path),
        ),
        Head::Crlf => findings.add(
            Code::Crlf,
            path,
            format!("{label} has Windows line ends: its interpreter is looked for with a carriage return at the end of the name"),
            Fix::run(&words!["sed", "-i", "s/\\r$//", path]),
        ),
        Head::Script(interpreter) => interpreted(survey, path, label, &interpreter, findings),
    }
}

fn interpreted(
    survey: &Survey<'_>,
    path: &Path,
    label: &str,
    interpreter: &Interpreter,
    findings: &mut Findings,
) {
    if let Some(words) = &interpreter.one_word {
        let message = format!(
            "{label} gives env `{words}`, which Linux hands over as one word: no program is called that"
        );
        let fix = Fix::run(&words!["sed", "-i", "1s,env ,env -S ,", path]);
        return findings.add(Code::InterpreterMissing, path, message, fix);
    }
    let program = PathBuf::from(&interpreter.path);
    if !program.is_absolute() || !is_executable(&program) {
        let message = format!("{label} needs {}, which is not there", interpreter.path);
        return findings.add(Code::InterpreterMissing, path, message, install(&interpreter.path));
    }
    untrusted(survey, path, label, &program, findings);
    let Some(name) = &interpreter.by_env else { return };
    let settings = survey.settings;
    let search = settings.environment.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let mut found = search.split(':').map(|directory| Path::new(directory).join(name));
    match found.find(|program| is_executable(program)) {
        Some(program) => untrusted(survey, path, label, &program, findings),
        None => {
            let message = format!("{label} needs {name}, and there is none in {search}");
            findings.add(Code::InterpreterMissing, path, message, install(name));
        }
    }
}

fn install(program: &str) -> String {
    format!("install {program}, or name one that is there in the first line")
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
    if refusal.fault == Fault::NotRegular {
        return;
    }
    let message = format!("the interpreter of {label} isn't to be trusted: {refusal}");
    let fix = survey.ground().fix(&[Subject::at(program)]);
    let fix = fix.unwrap_or_else(|| format!("look at {}", program.display()).into());
    findings.add(Code::UntrustedInterpreter, path, message, fix);
}

/// Whether a file lies where nothing may be executed.
pub fn noexec(path: &Path, label: &str, findings: &mut Findings) {
    if statvfs(path).is_ok_and(|system| system.flags().contains(FsFlags::ST_NOEXEC)) {
        let message = format!(
            "{label} lies on a file system that is mounted noexec: {} can't be executed",
            path.display()
        );
        // a mount point is somebody else's, and was made so for a reason
        let fix = format!("let {} lie on a file system that isn't mounted noexec", path.display());
        findings.add(Code::Noexec, path, message, fix);
    }
}

/// Whether a script that libvirt waits for calls libvirt.
pub fn calls_libvirt(path: &Path, label: &str, fix: &str, findings: &mut Findings) {
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
