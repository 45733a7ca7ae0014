//! `hookmux demo`: a guest's whole life through hookmux, in a directory of its own that it removes at the
//! end. It needs neither root nor libvirt, and touches nothing else: calls are made as libvirt makes them,
//! by executing this program under the driver's name.
//!
//! The documents beside this file are what libvirt 11.3.0 gave its hook for a real guest, byte for byte.

mod place;
mod scripts;

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};

use super::End;
use super::args::DemoArgs;
use super::output::{Output, Tone};
use crate::command;
use crate::machine::sys;
use crate::process::DEFAULT_PATH;
use crate::process::internal;
use crate::record::mover;
use crate::state::Dir;
use place::Place;

/// The guest of the documents.
const GUEST: &str = "vm";

/// A call of libvirt's: operation, sub-operation, and the document on standard input.
type Moment = (&'static str, &'static str, &'static [u8]);

const PREPARE: Moment = ("prepare", "begin", include_bytes!("qemu.prepare.begin.xml"));
const START: Moment = ("start", "begin", include_bytes!("qemu.start.begin.xml"));
const STARTED: Moment = ("started", "begin", include_bytes!("qemu.started.begin.xml"));
const STOPPED: Moment = ("stopped", "end", include_bytes!("qemu.stopped.end.xml"));
const RELEASE: Moment = ("release", "end", include_bytes!("qemu.release.end.xml"));

/// Signals that end it, after it has cleaned up.
const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

pub(super) fn run(arguments: &DemoArgs, output: &mut Output) -> anyhow::Result<End> {
    // whoever stops reading, or it, must find nothing left
    output.go_on();
    SigSet::from_iter(ENDING).thread_block()?;
    let place = Place::make()?;
    let mut demo = Demo { place: &place, output, surprises: 0 };
    let played = demo.play();
    let surprises = demo.surprises;
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
    if surprises > 0 {
        output.complain("not all went as it should: see the lines marked !! above");
        return Ok(End::Problem);
    }
    let left = if arguments.keep { "" } else { " Nothing is left behind." };
    output
        .line(&format!("That is all of it: one binary as the hook, scripts in directories.{left}"));
    Ok(End::Good)
}

fn pending() -> Option<Signal> {
    ENDING.into_iter().find(|signal| sys::is_pending(*signal as i32))
}

struct Demo<'a> {
    place: &'a Place,
    output: &'a mut Output,
    surprises: usize,
}

impl Demo<'_> {
    fn play(&mut self) -> anyhow::Result<()> {
        let place = self.place;
        place.settle()?;
        // calls start no process that would outlive them and move their records
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
        for moment in [PREPARE, START, STARTED, STOPPED] {
            self.call(0, moment, "-")?;
        }
        self.call(0, RELEASE, "shutdown")?;

        self.title("A hook says no before the guest runs: libvirt is told who, and why");
        let (path, text) = scripts::REFUSAL;
        place.script(path, text)?;
        self.call(0, PREPARE, "-")?;
        self.call(3, START, "-")?;
        self.call(0, STOPPED, "-")?;
        self.call(0, RELEASE, "failed")?;
        place.forget(path)?;

        self.title("A hook fails when the guest runs already: the guest lives");
        let (path, text) = scripts::FAILURE;
        place.script(path, text)?;
        for moment in [PREPARE, START, STARTED] {
            self.call(0, moment, "-")?;
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

    fn surprise(&mut self, text: &str) {
        self.surprises += 1;
        self.output.toned(Tone::Bad, &format!("   !! {text}"));
    }

    /// Runs a command as a person would.
    fn show(&mut self, words: &[&str]) -> anyhow::Result<()> {
        go_on()?;
        self.output.line("");
        self.output
            .toned(Tone::Bold, &format!("$ hookmux --hooks-dir HOOKS {}", command::text(words)));
        let mut command = Command::new(self.place.program());
        command.arg("--hooks-dir").arg(self.place.hooks()).args(words).stdin(Stdio::null());
        let status = command.status().context("hookmux can't be run")?;
        if !status.success() {
            self.surprise(&format!("hookmux {} ended with {status}", words[0]));
        }
        Ok(())
    }

    /// Calls hookmux as libvirt does. `wanted` is the exit status that libvirt should get.
    fn call(&mut self, wanted: i32, moment: Moment, extra: &str) -> anyhow::Result<()> {
        go_on()?;
        let (operation, sub_operation, document) = moment;
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
            // who doesn't need it closes the pipe
            let _ = stdin.write_all(document);
        }
        let answer = child.wait_with_output()?;
        for (name, text) in [("hook", self.place.said()), ("stderr", answer.stderr)] {
            for line in String::from_utf8_lossy(&text).lines() {
                self.output.line(&format!("   {name:<7} {line}"));
            }
        }
        self.output.line(&format!("   status  {}", said(answer.status)));
        if answer.status.code() != Some(wanted) {
            self.surprise(&format!("expected was status {wanted}"));
        }
        if !answer.stdout.is_empty() {
            self.surprise("hookmux wrote to standard output");
        }
        Ok(())
    }
}

/// # Errors
/// It has been told to end.
fn go_on() -> anyhow::Result<()> {
    match pending() {
        Some(signal) => anyhow::bail!("ended by {signal}"),
        None => Ok(()),
    }
}

fn said(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| code.to_string())
}
