//! Why a program could not be started that the kernel says isn't there: it may be the interpreter
//! in its first line that isn't.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::job::{Ended, Outcome};
use crate::files;
use crate::sanitize;
use crate::verdict::{self, NOT_FOUND};

/// How much of a script the kernel looks at for its interpreter, in bytes (`BINPRM_BUF_SIZE`).
const LOOK_AT_BYTES: u64 = 256;

/// What went wrong with a program that ended, or never started; `None` where nothing did.
pub fn fault(ended: &Ended, program: &Path) -> Option<(i32, String)> {
    let general = verdict::fault(ended)?;
    match &ended.outcome {
        Outcome::NotStarted(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            let missing = missing(program).map(|what| format!(": {what}")).unwrap_or_default();
            Some((NOT_FOUND, format!("{}{missing}", general.1)))
        }
        _ => Some(general),
    }
}

/// What isn't there; `None` where nobody knows, as with a program's loader.
fn missing(program: &Path) -> Option<String> {
    if program.symlink_metadata().is_err() {
        return Some(format!("there is no {}", shown(program.as_os_str().as_bytes())));
    }
    if !program.exists() {
        return Some("it is a link to nothing".to_owned());
    }
    let (file, _) = files::open_regular(program).ok()?;
    let mut beginning = Vec::new();
    file.take(LOOK_AT_BYTES).read_to_end(&mut beginning).ok()?;
    let interpreter = interpreter(&beginning)?;
    // one that is there may itself need something that isn't
    if Path::new(OsStr::from_bytes(interpreter)).exists() {
        return None;
    }
    let line_end = match interpreter.ends_with(b"\r") {
        true => " (its first line ends in a carriage return, as on Windows)",
        false => "",
    };
    Some(format!("there is no {}{line_end}", shown(interpreter)))
}

fn shown(path: &[u8]) -> String {
    format!("`{}`", sanitize::line(path))
}

/// The program in a `#!` line, as the kernel reads it.
fn interpreter(beginning: &[u8]) -> Option<&[u8]> {
    let rest = beginning.strip_prefix(b"#!")?;
    let line = rest.split(|byte| *byte == b'\n').next()?;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | 0);
    line.split(is_blank).find(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;
    use crate::run::capture::Capture;

    fn told(program: &Path) -> String {
        let ended = Ended {
            outcome: Outcome::NotStarted(io::Error::from_raw_os_error(libc::ENOENT)),
            duration: Duration::ZERO,
            stdout: Capture::default(),
            stderr: Capture::default(),
            leftovers: Vec::new(),
            unkillable: false,
        };
        let (status, words) = fault(&ended, program).unwrap();
        assert_eq!(status, NOT_FOUND);
        let general = verdict::fault(&ended).unwrap().1;
        words.strip_prefix(&general).unwrap().to_owned()
    }

    #[test]
    fn what_isnt_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        assert_eq!(told(&path), format!(": there is no `{}`", path.display()));
        for (text, words) in [
            ("#!/nowhere/sh\n", ": there is no `/nowhere/sh`"),
            ("#! \t/nowhere/sh -e x\n", ": there is no `/nowhere/sh`"),
            ("#!nowhere", ": there is no `nowhere`"),
            ("#!/bin/sh\r\n", ": there is no `/bin/sh\\u{d}` (its first line ends in"),
            ("#!/no\u{1b}where\n", ": there is no `/no\\u{1b}where`"),
        ] {
            fs::write(&path, text).unwrap();
            assert!(told(&path).starts_with(words), "{text:?}: {}", told(&path));
        }
        // the interpreter is there, and something of its own isn't; a program in machine code
        for text in ["#!/bin/sh\n", "\x7fELF", "#!", ""] {
            fs::write(&path, text).unwrap();
            assert_eq!(told(&path), "", "{text:?}");
        }
        fs::remove_file(&path).unwrap();
        symlink("/nowhere", &path).unwrap();
        assert_eq!(told(&path), ": it is a link to nothing");
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(told(&path), "");
        assert_eq!(told(Path::new("/dev/zero")), "");
    }
}
