//! `hookmux demo`: a guest's whole life through hookmux, in its own directory, which it removes at the end.
//! It needs neither root nor libvirt, and changes nothing else. It makes calls as libvirt does, by executing
//! this program under the driver's name.
//!
//! The documents beside this file are what libvirt 11.3.0 gave its hook for a real guest, byte for byte.

mod directory;
mod scripts;

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};

use super::CommandEnd;
use super::args::DemoArgs;
use super::output::{Output, Tone};
use crate::command;
use crate::machine::sys;
use crate::process::DEFAULT_PATH;
use crate::process::internal;
use crate::record::mover;
use crate::state::Dir;
use directory::DemoDirectory;

/// The guest of the documents.
const GUEST: &str = "vm";

/// A libvirt call: operation, sub-operation, and the document on standard input.
type DemoCall = (&'static str, &'static str, &'static [u8]);

const PREPARE: DemoCall = ("prepare", "begin", include_bytes!("qemu.prepare.begin.xml"));
const START: DemoCall = ("start", "begin", include_bytes!("qemu.start.begin.xml"));
const STARTED: DemoCall = ("started", "begin", include_bytes!("qemu.started.begin.xml"));
const STOPPED: DemoCall = ("stopped", "end", include_bytes!("qemu.stopped.end.xml"));
const RELEASE: DemoCall = ("release", "end", include_bytes!("qemu.release.end.xml"));

/// The signals that end the demo after it has cleaned up.
const ENDING_SIGNALS: [Signal; 4] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

pub(super) fn run(arguments: &DemoArgs, output: &mut Output) -> anyhow::Result<CommandEnd> {
    // also if the output is closed or the demo is ended, nothing must be left
    output.ignore_closed_output();
    SigSet::from_iter(ENDING_SIGNALS).thread_block()?;
    let place = DemoDirectory::make()?;
    let mut demo = Demo { place: &place, output, unexpected_results: 0 };
    let played = demo.play();
    let unexpected_results = demo.unexpected_results;
    if arguments.keep {
        output.line(&format!("It is all kept in {}:", place.path().display()));
        for word in ["list", "log"] {
            output
                .line(&format!("  {}", command::text(&command::hookmux(&place.hooks(), &[word]))));
        }
    } else {
        place.remove()?;
    }
    if let Some(signal) = pending() {
        std::process::exit(128 + signal as i32);
    }
    played?;
    if unexpected_results > 0 {
        output.print_error("something went wrong: see the lines marked !! above");
        return Ok(CommandEnd::Problem);
    }
    let left = if arguments.keep { "" } else { " Nothing is left behind." };
    output
        .line(&format!("That is all of it: one binary as the hook, scripts in directories.{left}"));
    Ok(CommandEnd::Good)
}

fn pending() -> Option<Signal> {
    ENDING_SIGNALS.into_iter().find(|signal| sys::is_pending(*signal as i32))
}

struct Demo<'a> {
    place: &'a DemoDirectory,
    output: &'a mut Output,
    unexpected_results: usize,
}

impl Demo<'_> {
    fn play(&mut self) -> anyhow::Result<()> {
        let place = self.place;
        place.prepare()?;
        // calls must start no process that outlives them to move their records
        let runtime_dir = Dir::new(place.runtime_dir(), nix::unistd::geteuid().as_raw());
        let _mover = mover::hold(&runtime_dir)?;
        for (path, text) in scripts::FIRST {
            place.script(path, text)?;
        }
        self.title(&format!("A private hooks directory: {}", place.hooks().display()));
        for path in place.files() {
            self.output.line(&format!("   {path}"));
        }

        self.title("What is there, and what one call would run");
        self.show(&["list"])?;
        fs::write(place.document(), PREPARE.2)?;
        let document = place.document();
        let words = ["plan", "qemu", GUEST, PREPARE.0, PREPARE.1, "--xml"];
        self.show(&[&words[..], &[&document.to_string_lossy()]].concat())?;

        self.title("A guest's life");
        for call in [PREPARE, START, STARTED, STOPPED] {
            self.call(0, call, "-")?;
        }
        self.call(0, RELEASE, "shutdown")?;

        self.title("A hook says no before the guest runs: libvirt is told who, and why");
        let (path, text) = scripts::REFUSAL;
        place.script(path, text)?;
        self.call(0, PREPARE, "-")?;
        self.call(3, START, "-")?;
        self.call(0, STOPPED, "-")?;
        self.call(0, RELEASE, "failed")?;
        place.remove_script(path)?;

        self.title("A hook fails when the guest runs already: the guest lives");
        let (path, text) = scripts::FAILURE;
        place.script(path, text)?;
        for call in [PREPARE, START, STARTED] {
            self.call(0, call, "-")?;
        }

        self.title("What hookmux has kept of all this");
        self.show(&["log"])?;
        self.show(&["show", "last"])?;
        self.output.line("");
        Ok(())
    }

    fn title(&mut self, text: &str) {
        self.output.line("");
        self.output.toned(Tone::Bold, &format!("== {text}"));
    }

    fn unexpected(&mut self, text: &str) {
        self.unexpected_results += 1;
        self.output.toned(Tone::Bad, &format!("   !! {text}"));
    }

    /// Runs a command as a user would.
    fn show(&mut self, words: &[&str]) -> anyhow::Result<()> {
        check_not_ended()?;
        self.output.line("");
        self.output
            .toned(Tone::Bold, &format!("$ hookmux --hooks-dir HOOKS {}", command::text(words)));
        let mut command = Command::new(self.place.program());
        command.arg("--hooks-dir").arg(self.place.hooks()).args(words).stdin(Stdio::null());
        let status = command.status().context("hookmux can't be run")?;
        if !status.success() {
            self.unexpected(&format!("hookmux {} ended with {status}", words[0]));
        }
        Ok(())
    }

    /// Calls hookmux as libvirt does. `wanted` is the exit status that libvirt should get.
    fn call(&mut self, wanted: i32, call: DemoCall, extra: &str) -> anyhow::Result<()> {
        check_not_ended()?;
        let (operation, sub_operation, document) = call;
        self.output.line("");
        self.output
            .line(&format!("libvirt calls: qemu {GUEST} {operation} {sub_operation} {extra}"));
        let mut command = Command::new(self.place.program());
        command.arg0(self.place.entry()).args([GUEST, operation, sub_operation, extra]);
        command.env_clear().env("LC_ALL", "C").env(internal::NO_JOURNAL, "1");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("hookmux can't be called")?;
        if let Some(mut stdin) = child.stdin.take() {
            // a reader that doesn't need it closes the pipe
            let _ = stdin.write_all(document);
        }
        let answer = child.wait_with_output()?;
        for (name, text) in [("hook", self.place.written()), ("stderr", answer.stderr)] {
            for line in String::from_utf8_lossy(&text).lines() {
                self.output.line(&format!("   {name:<7} {line}"));
            }
        }
        self.output.line(&format!("   status  {}", status_text(answer.status)));
        if answer.status.code() != Some(wanted) {
            self.unexpected(&format!("expected was status {wanted}"));
        }
        if !answer.stdout.is_empty() {
            self.unexpected("hookmux wrote to standard output");
        }
        Ok(())
    }
}

/// Checks whether a signal has asked the demo to end.
///
/// # Errors
/// One has.
fn check_not_ended() -> anyhow::Result<()> {
    match pending() {
        Some(signal) => anyhow::bail!("ended by {signal}"),
        None => Ok(()),
    }
}

fn status_text(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| code.to_string())
}
