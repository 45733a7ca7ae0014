//! Shows output that is longer than the screen with a pager, as journalctl and git do.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Output that is kept until the command is over: only then it is known whether the screen has room for it.
pub(crate) struct Pager {
    /// How many lines the screen has room for.
    room: usize,
    kept: Vec<u8>,
    /// The errors that come after some output.
    errors: String,
}

/// The exit statuses of a shell that can't run a program.
const NOT_RUN: [i32; 2] = [126, 127];

impl Pager {
    /// `lines` is the height of the screen. The prompt needs a line of it.
    pub(crate) fn new(lines: usize) -> Pager {
        Pager { room: lines.saturating_sub(1).max(1), kept: Vec::new(), errors: String::new() }
    }

    /// Takes output.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }

    /// Takes a line for standard error. It comes in its turn.
    pub(crate) fn error(&mut self, line: String) {
        match self.kept.is_empty() {
            // nobody may be there to read it
            true => drop(io::stderr().lock().write_all(line.as_bytes())),
            false => self.errors.push_str(&line),
        }
    }

    /// Shows what was taken, and waits until the user leaves the pager.
    pub(crate) fn finish(self) {
        let lines = self.kept.iter().filter(|byte| **byte == b'\n').count();
        if lines <= self.room || !show(&self.kept) {
            let _ = io::stdout().lock().write_all(&self.kept);
        }
        let _ = io::stderr().lock().write_all(self.errors.as_bytes());
    }
}

/// Shows a text with the user's pager, else with less, else with more. Returns whether one could be run.
fn show(text: &[u8]) -> bool {
    let wanted = env::var_os("PAGER");
    let is_none = |pager: &OsString| pager.is_empty() || pager == "cat";
    if wanted.as_ref().is_some_and(is_none) {
        return false;
    }
    let shell = |pager: &OsString| {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(pager);
        command
    };
    let mut candidates: Vec<Command> = match &wanted {
        Some(pager) => vec![shell(pager)],
        None => ["less", "more"].into_iter().map(Command::new).collect(),
    };
    candidates.iter_mut().any(|command| run(command, text))
}

fn run(command: &mut Command, text: &[u8]) -> bool {
    // colours; not for one screen; ^C ends it
    if env::var_os("LESS").is_none() {
        command.env("LESS", "FRXK");
    }
    // a user who may only run hookmux with sudo gets no shell by less
    if env::var_os("SUDO_UID").is_some() {
        command.env("LESSSECURE", "1");
    }
    let Ok(mut pager) = command.stdin(Stdio::piped()).spawn() else { return false };
    if let Some(mut stdin) = pager.stdin.take() {
        // who has seen enough leaves it
        let _ = stdin.write_all(text);
    }
    let status = pager.wait().ok().and_then(|status| status.code());
    !status.is_some_and(|status| NOT_RUN.contains(&status))
}
