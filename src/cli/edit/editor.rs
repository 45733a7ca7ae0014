//! The user's editor: `$VISUAL`, `$EDITOR` or vi, as visudo and git choose it.

use std::env;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use nix::sys::signal::{SigSet, Signal};

use crate::cli::output::Output;
use crate::machine::{files, sys};

/// The editors that are tried if the user has chosen none.
const USUAL: [&str; 3] = ["vi", "editor", "nano"];
/// The editors that take `+LINE` before a file.
const TAKE_LINE: [&str; 11] = [
    "vi",
    "vim",
    "nvim",
    "vim.tiny",
    "nano",
    "emacs",
    "emacsclient",
    "mcedit",
    "micro",
    "joe",
    "ed",
];
/// What the shell says if there is no such program.
const NOT_FOUND: i32 = 127;

/// A command for a shell: it may have arguments.
pub(super) struct Editor(String);

impl Editor {
    /// Finds the editor.
    ///
    /// # Errors
    /// There is none, or no terminal for it.
    pub(super) fn find(output: &mut Output) -> anyhow::Result<Editor> {
        let chosen = ["VISUAL", "EDITOR"]
            .into_iter()
            .find_map(|name| env::var(name).ok().filter(|command| !command.trim().is_empty()));
        if let Some(command) = chosen {
            return Ok(Editor(command));
        }
        if !has_terminal() {
            bail!(
                "there is no terminal for an editor, so nothing was changed: set EDITOR to a program that needs none, or prepare a file, `hookmux check FILE` it, and put it in place"
            );
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let is_there = |name: &&str| {
            env::split_paths(&path).any(|directory| files::is_executable(&directory.join(name)))
        };
        let Some(usual) = USUAL.into_iter().find(is_there) else {
            bail!("there is no editor ({}): set EDITOR", USUAL.join(", "));
        };
        if env::var_os("SUDO_USER").is_some() {
            output.print_error(&format!(
                "sudo doesn't pass EDITOR on, so this is {usual}: `sudo EDITOR=nano hookmux edit …` takes another editor"
            ));
        }
        Ok(Editor(usual.to_owned()))
    }

    /// Lets the user edit a file, at a line if the editor takes one.
    ///
    /// # Errors
    /// It can't be started, or fails.
    pub(super) fn edit(&self, path: &Path, line: Option<usize>) -> anyhow::Result<()> {
        let command = &self.0;
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("{command} \"$@\"")).arg(command);
        shell.args(line.filter(|_| self.takes_line()).map(|line| format!("+{line}")));
        shell.arg(path).stdin(Stdio::inherit());
        let interrupts = Interrupts::block();
        let ended = shell.status();
        drop(interrupts);
        let ended = ended.context("/bin/sh can't be started")?;
        match ended.code() {
            Some(0) => Ok(()),
            Some(NOT_FOUND) => {
                bail!("there is no editor `{command}`: set EDITOR; nothing was changed")
            }
            Some(status) => {
                bail!("`{command}` ended with exit status {status}: nothing was changed")
            }
            None => bail!("`{command}` was killed: nothing was changed"),
        }
    }

    fn takes_line(&self) -> bool {
        let program = self.0.split_whitespace().next().unwrap_or_default();
        let name = Path::new(program).file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| TAKE_LINE.contains(&name))
    }
}

/// Tells whether there is a terminal to ask on.
pub(super) fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Ctrl-C on the terminal is for the editor, and must not end this process.
struct Interrupts(SigSet);

impl Interrupts {
    fn block() -> Interrupts {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGQUIT);
        let _ = set.thread_block();
        Interrupts(set)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        for signal in [Signal::SIGINT, Signal::SIGQUIT] {
            if sys::is_pending(signal as i32) {
                let mut one = SigSet::empty();
                one.add(signal);
                let _ = one.wait();
            }
        }
        let _ = self.0.thread_unblock();
    }
}
