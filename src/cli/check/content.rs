//! One executable: whether the kernel can start it, and whether it may call libvirt.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::finding::{Code, Findings, quoted};
use super::script_text::{self, Head, Interpreter};
use super::survey::Survey;
use crate::files;
use crate::run::environment::DEFAULT_PATH;
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
    let shown = path.display();
    match script_text::head(&bytes) {
        Head::Program => {}
        Head::None => findings.add(
            Code::NoInterpreterLine,
            path,
            format!("{label} begins with no #! line: {shown} can't be executed (status 126)"),
            format!("sed -i '1i #!/bin/sh' {}", quoted(path)),
        ),
        Head::Marked => findings.add(
            Code::NoInterpreterLine,
            path,
            format!("{label} has a byte order mark before its #! line: {shown} can't be executed"),
            format!("sed -i '1s/^\\xEF\\xBB\\xBF//' {}", quoted(path)),
        ),
        Head::Crlf => findings.add(
            Code::Crlf,
            path,
            format!("{label} has Windows line ends: its interpreter is looked for with a carriage return at the end of the name"),
            format!("sed -i 's/\\r$//' {}", quoted(path)),
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
        let fix = format!("sed -i '1s,env ,env -S ,' {}", quoted(path));
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
    if let Err(refusal) = Trust::new(survey.user).file(program)
        && refusal.fault != Fault::NotRegular
    {
        let message = format!("the interpreter of {label} isn't to be trusted: {refusal}");
        let fix = refusal.fix().unwrap_or_else(|| format!("look at {}", program.display()));
        findings.add(Code::UntrustedInterpreter, path, message, fix);
    }
}

/// Whether a file lies where nothing may be executed.
pub fn noexec(path: &Path, label: &str, findings: &mut Findings) {
    if statvfs(path).is_ok_and(|system| system.flags().contains(FsFlags::ST_NOEXEC)) {
        let message = format!(
            "{label} lies on a file system that is mounted noexec: {} can't be executed",
            path.display()
        );
        let fix = format!("mount -o remount,exec \"$(findmnt -no TARGET -T {})\"", quoted(path));
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
