//! Starts hookmux commands in the background: a call doesn't wait for them.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::DEFAULT_PATH;
use super::job::c_string;
use crate::libvirt::program;
use crate::machine::privileges::Privileges;
use crate::machine::{own_binary, sys};

const OWN_PROGRAM: &CStr = c"/proc/self/exe";

/// Returns the program that all drivers share if this process runs a copy of it: the copy must not
/// stay in use after the call, or it could not be written to.
fn shared_program() -> Option<CString> {
    let own = fs::read_link("/proc/self/exe").ok()?;
    let shared = Path::new(program::PROGRAM_PATH);
    (program::is_copy(&own) && own_binary::is_hookmux(shared))
        .then(|| c_string(program::PROGRAM_PATH.as_bytes()))
}

/// Starts `hookmux --hooks-dir DIR WORDS…` in a session of its own, with none of libvirt's
/// descriptors.
///
/// # Errors
/// The process could not be started.
pub(crate) fn start(hooks_dir: &Path, words: &[&CStr]) -> io::Result<()> {
    let null = fs::File::options().read(true).write(true).open("/dev/null")?;
    let hooks_dir = c_string(hooks_dir.as_os_str().as_encoded_bytes());
    let arguments: Vec<CString> = [c"hookmux", c"--hooks-dir", &hooks_dir]
        .into_iter()
        .chain(words.iter().copied())
        .map(CString::from)
        .collect();
    let path = c_string(format!("PATH={DEFAULT_PATH}").as_bytes());
    let home = std::env::var_os("HOME")
        .map(|home| c_string(&[b"HOME=", home.as_encoded_bytes()].concat()));
    let environment: Vec<CString> = std::iter::once(path).chain(home).collect();
    let privileges = Privileges::default();
    let spawn =
        |program| sys::spawn(program, &arguments, &environment, [null.as_fd(); 3], &privileges);
    let pid = match shared_program() {
        Some(program) => spawn(&program).or_else(|_| spawn(OWN_PROGRAM))?,
        None => spawn(OWN_PROGRAM)?,
    };
    // it isn't a hook: it runs on after this call, however that ends
    sys::process_ended(pid);
    Ok(())
}
