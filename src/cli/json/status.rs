//! The state of the host, for `status` and `hookmux` alone.

use super::bypass::BypassEntry;
use super::execution::Execution;
use super::message::{FixKeys, Message};
use super::queue::Job;
use super::shape::{object, words};
use super::value::{PathText, Seconds, Time, Word};
use crate::cli::inventory::listed::HookState;
use crate::libvirt::Driver;

words! {
    /// What libvirt finds under a driver's name:
    pub enum EntryState {
        /// hookmux
        Installed = "installed",
        /// somebody else's script, and hookmux is called beside it
        Beside = "beside",
        /// a program that somebody wrote over hookmux: libvirt runs that
        Overwritten = "overwritten",
        /// a link to a hookmux that is gone: libvirt runs nothing
        Dangling = "dangling",
        /// somebody else's script: libvirt runs that
        Foreign = "foreign",
        /// neither a file nor a link: libvirt runs nothing
        Odd = "odd",
        /// nothing
        Missing = "missing",
    }
}

object! {
    /// A libvirt daemon that runs and looks for its hook programs here.
    pub struct StatusDaemon {
        /// Its name
        name: String,
        /// Its process
        pid: u32,
        /// Its systemd service
        unit: Option<String>,
        /// When it was started
        started: Option<Time>,
        /// When it last looked for its hook programs: at its start, or at a reload that hookmux has seen
        looked: Option<Time>,
    }

    /// libvirt on this host.
    pub struct StatusLibvirt {
        /// The version of the installed daemon; null where there is none
        version: Option<String>,
        /// The daemons that run
        daemons: Vec<StatusDaemon>,
    }

    /// What libvirt finds under a driver's name.
    pub struct StatusEntry {
        /// The driver
        driver: Word<Driver>,
        /// The entry in the hooks directory
        path: PathText,
        /// What it is
        state: EntryState,
        /// Whether the running daemons of the driver have looked for it since it was made; null where none runs, or hookmux isn't called
        seen: Option<bool>,
        /// Whether hookmux runs a script that was adopted
        adopted: bool,
        /// The same for people
        message: String,
        ..=fix_keys: FixKeys,
    }

    /// A hook that doesn't run, though it looks as if it should.
    pub struct StatusHook {
        /// The hook
        hook: String,
        /// The event; null where it belongs to none
        event: Option<String>,
        /// Whether it runs
        state: Word<HookState>,
        /// Why it doesn't run
        reason: Option<String>,
        ..=fix_keys: FixKeys,
    }

    /// The hooks.
    pub struct StatusHooks {
        /// How many run
        active: usize,
        /// How many don't, though they look as if they should
        not_run: usize,
        /// These, at most 20 of them
        problems: Vec<StatusHook>,
    }

    /// The detached hooks that wait.
    pub struct StatusQueue {
        /// How many jobs there are
        jobs: usize,
        /// How many of them run; of more than 1,000 jobs the oldest are looked at
        running: usize,
        /// How many neither run nor have failed
        waiting: usize,
        /// How many have failed, and are tried again, at this moment or later; likewise
        failing: usize,
        /// How many were put aside, and don't run until they are brought back
        put_aside: usize,
        /// How many this version doesn't run
        unread: usize,
        /// How long the oldest has been in the queue
        oldest_s: Option<Seconds>,
        /// Those that have failed, the oldest first; at most 10 of them
        failures: Vec<Job>,
    }

    /// What hooks have set up.
    pub struct StatusUndos {
        /// How many are to be undone when their guest, network or port ends
        set_up: usize,
        /// How many the process in the background runs
        due: usize,
        /// How many are owed: their guest, network or port is over
        owed: usize,
        /// How many files can't be read
        unread: usize,
    }

    /// The events that wait to be sent to other hosts.
    pub struct StatusOutbox {
        /// Whether the settings say `outbox: true`
        on: bool,
        /// How many wait in the state directory
        events: u64,
        /// How much they take, in bytes
        bytes: u64,
        /// How many wait in the runtime directory for their number
        waiting: u64,
        /// When the execution of the oldest of them began
        oldest: Option<Time>,
        /// How often events were lost
        gaps: u64,
        /// How many were lost
        lost: u64,
        /// How many places they are sent to, as far as hookmux-relay says so
        sinks: usize,
    }

    /// The calls of an hour.
    pub struct StatusHour {
        /// When the hour begins
        began: Time,
        /// libvirt's calls that had hooks
        calls: u64,
        /// Those of them in which something failed
        failed: u64,
        /// Those that hookmux died in
        lost: u64,
        /// Attempts of detached hooks that failed
        detached_failed: u64,
    }

    /// The calls of the last 24 hours.
    pub struct StatusDay {
        /// libvirt's calls that had hooks
        calls: u64,
        /// Those of them in which something failed
        failed: u64,
        /// Those that hookmux died in
        lost: u64,
        /// Attempts of detached hooks that failed
        detached_failed: u64,
        /// Whether the numbers are exact; else they are of whole spans of ten minutes, the newest calls among them
        exact: bool,
        /// The same for each of the 24 hours, the oldest first; the last one ends now
        hours: Vec<StatusHour>,
        /// The last execution in which something failed; null where there is none
        last_failure: Option<Execution>,
    }

    /// The state of the host.
    pub struct Status {
        /// The version of hookmux
        hookmux_version: &'static str,
        /// The hooks directory
        hooks_dir: PathText,
        /// libvirt on this host
        libvirt: StatusLibvirt,
        /// What libvirt finds under each driver's name
        entries: Vec<StatusEntry>,
        /// The hooks
        hooks: StatusHooks,
        /// The calls that run now, the oldest first
        running: Vec<Execution>,
        /// The detached hooks that wait
        queue: StatusQueue,
        /// What hooks have set up
        undos: StatusUndos,
        /// The events that wait to be sent to other hosts
        outbox: StatusOutbox,
        /// The calls of the last 24 hours; null where a newer version counted them
        last_day: Option<StatusDay>,
        /// What is switched off; none where hooks run
        bypasses: Vec<BypassEntry>,
        /// The digest of all hooks, the settings and the version: two hosts with the same do the same
        digest: String,
        /// What to do next
        next: Vec<Message>,
    }
}
