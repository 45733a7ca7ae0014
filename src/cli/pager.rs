//! Shows output that is longer than the screen with a pager, as journalctl and git do.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

/// Output that is kept until it is longer than the screen.
pub(crate) struct Pager {
    /// How many lines the screen has room for.
    room: usize,
    kept: Vec<u8>,
    lines: usize,
    state: PagerState,
}

enum PagerState {
    /// It may still fit on the screen.
    Waiting,
    Running(Child),
    /// There is no pager, or it can't be started.
    None,
}

impl Pager {
    /// `lines` is the height of the screen. The prompt needs a line of it.
    pub(crate) fn new(lines: usize) -> Pager {
        let state = PagerState::Waiting;
        Pager { room: lines.saturating_sub(1).max(1), kept: Vec::new(), lines: 0, state }
    }

    /// Takes output.
    ///
    /// # Errors
    /// Nobody reads it any more.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let PagerState::Waiting = self.state {
            self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
            self.kept.extend_from_slice(bytes);
            if self.lines <= self.room {
                return Ok(());
            }
            self.state = start();
            let kept = std::mem::take(&mut self.kept);
            return self.pass_on(&kept);
        }
        self.pass_on(bytes)
    }

    fn pass_on(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.state {
            PagerState::Running(pager) => match &mut pager.stdin {
                Some(stdin) => stdin.write_all(bytes),
                None => Ok(()),
            },
            PagerState::Waiting | PagerState::None => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
        }
    }

    /// Prints what is kept, and waits until the user leaves the pager.
    pub(crate) fn finish(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        // nobody may be there to read it
        let _ = self.pass_on(&kept);
        if let PagerState::Running(pager) = &mut self.state {
            pager.stdin = None;
            let _ = pager.wait();
        }
        self.state = PagerState::None;
    }
}

/// Starts the user's pager, else less, else more.
fn start() -> PagerState {
    let wanted = env::var_os("PAGER");
    let is_none = |pager: &OsString| pager.is_empty() || pager == "cat";
    if wanted.as_ref().is_some_and(is_none) {
        return PagerState::None;
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
    for command in &mut candidates {
        // colours; not for one screen; ^C ends it
        if env::var_os("LESS").is_none() {
            command.env("LESS", "FRXK");
        }
        // a user who may only run hookmux with sudo gets no shell by less
        if env::var_os("SUDO_UID").is_some() {
            command.env("LESSSECURE", "1");
        }
        if let Ok(pager) = command.stdin(Stdio::piped()).spawn() {
            return PagerState::Running(pager);
        }
    }
    PagerState::None
}
