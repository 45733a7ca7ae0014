//! The definition of the command line. Its texts are the help, the man pages and the completions.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser as NotEmpty, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};

use super::json::message;
use super::json::outputs::OutputName;
use super::output::Output;
use crate::config::choice::{CallStyle, FailurePolicy, Mode, ResultKind};
use crate::config::keys::HookmuxVersion;
use crate::event::{self, Origin};
use crate::libvirt::Driver;
use crate::process::internal;

/// The hook program for libvirt
///
/// libvirt runs one program per driver on every change of a guest or network. hookmux is that
/// program: it runs any number of hooks for each call, supervises each of them, and gives libvirt
/// the answer that it expects.
///
/// Exit status: 0 success, 1 a problem, 2 wrong usage. `hookmux help --all` shows the
/// help of every command.
#[derive(Debug, Parser)]
#[command(name = "hookmux", version, disable_help_subcommand = false, max_term_width = 100)]
pub(super) struct Arguments {
    /// The hooks directory [default: $HOOKMUX_HOOKS_DIR, else /etc/libvirt/hooks]
    #[arg(long, global = true, value_name = "DIR")]
    pub hooks_dir: Option<PathBuf>,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the hooks: their order, and why some don't run
    List(ListArgs),
    /// Show the events, and which libvirt call fires each
    Events(EventsArgs),
    /// Show what a libvirt call would run, and why not the rest; runs nothing
    Plan(CallArgs),
    /// Do what a libvirt call does, outside of libvirt, and show it
    ///
    /// Hooks run for real. Nothing is remembered for later calls of the guest.
    Run(CallArgs),
    /// Show everything that is wrong, each with what to do
    ///
    /// Scripts and registrations that wouldn't run, links that libvirt hasn't seen, files that others
    /// could change, directories that can't be written to, and more. Nothing is run or changed; to see
    /// whether a directory can be written to, a file is made in it and removed. Exit status 1 if there
    /// is an error, 0 if there are only warnings and notes.
    Check(CheckArgs),
    /// Make hookmux libvirt's hook program
    ///
    /// Makes links in the hooks directory, never over somebody else's file. In /etc/libvirt/hooks each
    /// driver's link leads to its own copy of the program, /usr/sbin/hookmux-DRIVER, so that writing
    /// through a link changes nothing for the other drivers.
    Install(InstallArgs),
    /// Remove hookmux from libvirt's hooks, and restore what was there before
    Uninstall(UninstallArgs),
    /// Make the skeleton of a hook: a script, or with --registered a script and its registration
    ///
    /// The script lies in the event's directory, is executable, and does nothing but print a line. Its head says what a
    /// hook at this event is given, and what its exit status means. Nothing is ever replaced.
    ///
    /// With --registered the script lies in `bin`, and `hooks.d` gets a registration with the most used keys as
    /// comments. With --undo the registration says that the script takes back what it has set up.
    #[command(after_help = "Examples:
  hookmux new before_vm_start 10-hello
  hookmux new after_vm_stop 50-report --language python
  hookmux new before_vm_prepare hugepages --undo
  hookmux new after_network_start dns --registered --dry-run")]
    New(NewArgs),
    /// Register a hook: a script, a function of a module, or a registration from a file
    ///
    /// With options (--event and more) the options describe the hook, and nothing is run.
    /// `--manual 0` asks all the same, and the options count only if there is no description.
    ///
    /// Without options, `add script PATH` asks the script to describe itself if its text contains
    /// `--describe`, or if --describe is given: it runs `PATH --describe`, which prints a JSON
    /// array of registrations, or one of them, in the keys of a registration file (and `name`) or in cPanel's
    /// (category, event, stage, hook, exectype, weight, check, rollback, escalateprivs, blocking).
    /// Any other script is never run for that. `add module NAME` loads a Python module (pkg.mod) or
    /// a Perl module (Pkg::Mod), which runs its code, and calls its `describe()`. Modules are found
    /// where their language looks for them, or in `modules` of the hooks directory. `add FILE.yaml`
    /// takes a registration as it is, `add - --name NAME` one from standard input. `add contrib/NAME` takes a
    /// ready-made hook, which `list --available` shows. With --dry-run nothing is run at all.
    ///
    /// The result is a file for each registration in `hooks.d`, which may be edited. A registration
    /// without a weight gets 100 more than the highest of its event.
    ///
    /// libvirt and its hooks run as root, so there are no privileges to escalate. A description with
    /// `escalateprivs: 0` gets `run_as: nobody`. `blocking: 1` is
    /// `on_failure: stop`, `blocking: 0` is `on_failure: warn`. A script that is registered with
    /// category and stage answers as cPanel's do (`result: status-line`): `1`, or `0` and a
    /// message, on its last line.
    Add(Box<AddArgs>),
    /// Register the hooks of another hook system's files
    ///
    /// `import opennebula FILE` reads the templates that `onehook create` takes, one or several in a file,
    /// `-` from standard input, and makes a registration of each: PROLOG is before_vm_prepare, RUNNING
    /// after_vm_launch, SHUTDOWN after_vm_stop, STOP after_vm_hibernate, DONE after_vm_destroy. What has no
    /// call of libvirt behind it is refused, with the nearest event; --event takes that one.
    ///
    /// `import saschpe FILE` reads the hooks.json of saschpe/libvirt-hook-qemu, and registers the ready-made
    /// hook port-forward for each guest in it.
    ///
    /// What is changed or left out is told line by line. Nothing is run.
    Import(ImportArgs),
    /// Remove the registrations of a script or a module, or one by its name
    ///
    /// With options only those are removed that are as the options say: the same words as for `add`.
    /// Nothing is run.
    Delete(Box<DeleteArgs>),
    /// Let a registered hook run again
    Enable(SwitchArgs),
    /// Keep a registered hook from running, but keep its registration
    ///
    /// A file in the hooks directory gets a line `enabled: false`; a file in another root is masked by a
    /// link to /dev/null.
    Disable(SwitchArgs),
    /// Print the JSON Schema of a registration file, for editors, or of a command's output
    ///
    /// The schema of an output has all keys that `--output json` of the command has.
    Schema(SchemaArgs),
    /// Show the waiting detached hooks, remove them, or run them now
    Queue(QueueArgs),
    /// Take back what hooks have set up and still owe, or show it
    Undo(UndoArgs),
    /// Work on the queue until it is empty; started by calls and the path unit
    #[command(name = internal::text(internal::WORKER), hide = true)]
    Worker,
    /// Take back what had to wait; started by calls
    #[command(name = internal::text(internal::UNDO_WORKER), hide = true)]
    UndoWorker {
        /// A daemon has started: look whose guests are gone
        #[arg(long = internal::STARTED, value_name = "DAEMON")]
        started: Option<String>,
    },
    /// Show the executions: which calls had hooks, and how they ended
    Log(LogArgs),
    /// Show one execution: every hook's time, output and changes; or one hook: its registration and its
    /// executions
    ///
    /// A hook is named as in `list`: event/name, or its name. If a word is a hook's name and a part of an
    /// execution's id, it means the hook; a complete id always means the execution.
    Show(ShowArgs),
    /// Run the hooks of an execution again, with the same input
    ///
    /// The document, the arguments and the guest's state are those of the record. A registered hook runs as
    /// it was registered when it ran, or with --today as it is registered now; scripts and settings are the
    /// current ones. If a registration is gone or disabled, the command asks. Nothing is remembered for
    /// later calls of the guest. The retry has its own record. Calls that are gates or may change the document are refused without --force,
    /// because libvirt doesn't wait for the answer any more.
    Retry(RetryArgs),
    /// Show executions as they end, until the command is stopped
    Watch(WatchArgs),
    /// Move records to the state directory, and remove those that are too old
    #[command(name = internal::text(internal::PRUNE))]
    Prune(PruneArgs),
    /// The emergency switch: run no hooks, for a time
    ///
    /// While it is on, calls run nothing and succeed, each is recorded, and every command warns about it.
    /// Without `on` or `off` the switch is shown.
    Bypass(BypassArgs),
    /// Read values from a hook's XML document
    #[command(subcommand)]
    Xml(XmlCommand),
    /// Show a guest's whole life with hookmux, without root and without libvirt
    ///
    /// Hooks are made in a temporary directory, called as libvirt calls them, and removed. Nothing else is
    /// changed, and nothing is left behind.
    Demo(DemoArgs),
    /// Print counters for Prometheus, in the text format of node_exporter's textfile collector
    Metrics,
    /// Show the help of every command, as `help --all`
    Fullhelp,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory, or print hookmux(8)
    Man {
        /// The directory; without one, hookmux(8) goes to standard output
        directory: Option<PathBuf>,
    },
}

impl Arguments {
    /// Returns the output format, which is also used for errors.
    pub(super) fn format(&self) -> Format {
        match &self.command {
            Some(Command::List(list)) => list.output.format,
            Some(Command::Events(events)) => events.output.format,
            Some(Command::Plan(call) | Command::Run(call)) => call.output.format,
            Some(Command::Check(check)) => check.output.format,
            Some(Command::Install(install)) => install.output.format,
            Some(Command::Uninstall(uninstall)) => uninstall.output.format,
            Some(Command::New(new)) => new.output.format,
            Some(Command::Add(add)) => add.register.output.format,
            Some(Command::Import(import)) => import.register.output.format,
            Some(Command::Delete(delete)) => delete.output.format,
            Some(Command::Enable(switch) | Command::Disable(switch)) => switch.output.format,
            Some(Command::Queue(queue)) => queue.output.format,
            Some(Command::Undo(undo)) => undo.output.format,
            Some(Command::Log(log)) => log.output.format,
            Some(Command::Show(show)) => show.output.format,
            Some(Command::Retry(retry)) => retry.output.format,
            Some(Command::Watch(watch)) => watch.output,
            Some(Command::Prune(prune)) => prune.output.format,
            Some(Command::Bypass(bypass)) => bypass.output.format,
            Some(Command::Xml(XmlCommand::Get(get))) => get.output.format,
            Some(
                Command::Schema(_)
                | Command::Worker
                | Command::Fullhelp
                | Command::UndoWorker { .. }
                | Command::Metrics
                | Command::Demo(_)
                | Command::Completions { .. }
                | Command::Man { .. },
            )
            | None => Format::Text,
        }
    }

    /// Tells whether a user's command is about the system's directories. What calls and units start, and what
    /// a user runs, uses the user's own.
    pub(super) fn is_about_system(&self) -> bool {
        match &self.command {
            Some(Command::Worker | Command::UndoWorker { .. }) => false,
            Some(Command::Queue(queue)) => !queue.work,
            Some(Command::Prune(prune)) => !prune.linger,
            Some(Command::Run(_) | Command::Xml(_)) => false,
            _ => true,
        }
    }
}

/// The format of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one object
    Json,
}

/// In which form a command prints.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OutputArgs {
    /// How to print
    #[arg(
        id = "output",
        long,
        value_enum,
        ignore_case = true,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub format: Format,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only the hooks of these events: a name, its beginning (before_vm_) or a pattern; or of a place in the
    /// per-guest tree (qemu.d/win10/)
    pub event: Option<String>,
    /// Only these hooks: event/name, or a name, or a pattern
    #[arg(long)]
    pub hook: Option<String>,
    /// Only registered hooks, in cPanel's words: category, event, stage, weight, id, exectype, hook
    #[arg(long)]
    pub registered: bool,
    /// Show the ready-made hooks instead: what each is for, and whether it is registered
    #[arg(long, conflicts_with = "event")]
    pub available: bool,
    /// Where the ready-made hooks lie [default: share/hookmux/contrib/hooks of the installation]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "available")]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Which executions to show.
#[derive(Debug, Args)]
pub(super) struct FilterArgs {
    /// At which one of these events fired, with or without hooks, or which are one of these calls: the
    /// name of an event or its beginning (after_vm_), a call (qemu/prepare), a driver, a pattern
    #[arg(value_name = "EVENT|CALL", value_parser = NotEmpty::new())]
    pub occasions: Vec<String>,
    /// Of this guest or network: its name or uuid, or a pattern (web-*)
    #[arg(long, visible_alias = "object", value_name = "NAME|UUID", value_parser = NotEmpty::new())]
    pub guest: Option<String>,
    /// In which a hook of this event ran: its name, its beginning or a pattern
    #[arg(long, value_parser = NotEmpty::new())]
    pub event: Option<String>,
    /// In which this hook ran: event/name, or its name, or a pattern
    #[arg(long, alias = "hook-id", value_parser = NotEmpty::new())]
    pub hook: Option<String>,
    /// Of this driver
    #[arg(long, value_parser = driver, value_name = "DRIVER")]
    pub driver: Option<Driver>,
    /// Of this libvirt operation
    #[arg(long, value_parser = NotEmpty::new())]
    pub operation: Option<String>,
    /// In which something failed; with --hook or --event, that
    #[arg(long, alias = "error")]
    pub failed: bool,
    /// In which nothing failed; with --hook or --event, in which that succeeded
    #[arg(long, conflicts_with_all = ["failed", "lost"])]
    pub success: bool,
    /// In which hookmux died before the end
    #[arg(long)]
    pub lost: bool,
    /// That began at or after a time: 2h (ago), yesterday, 14:03, 2026-11-25 14:03
    #[arg(long, value_parser = super::time::parse, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<u64>,
    /// That began at or before a time
    #[arg(long, value_parser = super::time::parse, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<u64>,
}

impl FilterArgs {
    pub(super) fn is_any(&self) -> bool {
        let named = [&self.guest, &self.event, &self.hook, &self.operation];
        named.iter().any(|value| value.is_some())
            || !self.occasions.is_empty()
            || self.driver.is_some()
            || self.failed
            || self.success
            || self.lost
            || self.since.is_some()
            || self.until.is_some()
    }
}

#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Show what was changed instead: bypass, install, add, import, delete, disable … with user and reason
    #[arg(long, conflicts_with_all = ["occasions", "guest", "event", "hook", "driver", "operation", "success", "lost", "follow"])]
    pub audit: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How many of the newest to show
    #[arg(
        short = 'n',
        long,
        default_value_t = 20,
        value_name = "NUMBER",
        overrides_with = "lines"
    )]
    pub lines: usize,
    /// Continue with those that end from now on; as JSON, each on one line
    #[arg(short, long)]
    pub follow: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How to print; as JSON, each execution on one line
    #[arg(long, value_enum, ignore_case = true, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The execution: its id, the beginning or the end of one that is unique, or `last`; or a hook
    #[arg(value_name = "ID|HOOK", value_parser = NotEmpty::new())]
    pub id: String,
    /// After a hook: the execution of it to show
    #[arg(value_name = "ID", value_parser = NotEmpty::new())]
    pub execution: Option<String>,
    /// Show all lines of all output, long lines whole, and all executions of a hook
    #[arg(long)]
    pub full: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// The execution: its id, the beginning or the end of one that is unique, or `last`; or a hook, for its
    /// last execution
    #[arg(value_name = "ID|HOOK", value_parser = NotEmpty::new())]
    pub id: String,
    /// After a hook: the execution of it to run again
    #[arg(value_name = "ID", value_parser = NotEmpty::new(), conflicts_with = "hook")]
    pub execution: Option<String>,
    /// Only this hook: event/name, or its name; may be repeated
    #[arg(long, value_parser = NotEmpty::new())]
    pub hook: Vec<String>,
    /// Also if the answer has no effect (a gate, a call that may change the document), or if a registration is gone or disabled
    #[arg(long)]
    pub force: bool,
    /// Run the hooks as they are registered today, not as they were then
    #[arg(long)]
    pub today: bool,
    /// Give hooks a document with *** in place of its passwords, which aren't recorded, instead of asking libvirt for that of the running guest
    #[arg(long)]
    pub masked: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Wait for more records, and end after a while without any; started by calls
    #[arg(long = internal::LINGER, hide = true)]
    pub linger: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Which schema [default: registration]
    #[arg(value_enum, value_name = "OUTPUT")]
    pub output: Option<OutputName>,
}

#[derive(Debug, Subcommand)]
pub(super) enum XmlCommand {
    /// Print the values at a path of the document, one per line
    ///
    /// The document is that of the hook ($_hook_domxml), else standard input; --file and --started name another
    /// one. The value of an attribute is printed as it is, that of an element is its text without the blanks around
    /// it; a line end in a value is printed as a blank.
    ///
    /// A path is a part of XPath: steps from the root element on, parted by `/` (children) or `//` (at any depth).
    /// A step is a name, a name with its prefix, or `*`, and may have conditions in brackets: `[2]` (counted from 1),
    /// `[@a]`, `[@a="v"]`, `[child]`, `[child="v"]`. `@a` at the end is an attribute. A path that begins with `/`
    /// has the root element as its first step.
    ///
    /// Exit status: 0 if each path has a value, 1 if one has none, 2 if a path or the document can't be read.
    #[command(after_help = "Examples:
  hookmux xml get name uuid
  hookmux xml get 'devices/interface/mac/@address'
  hookmux xml get 'devices/disk[@device=\"disk\"]/source/@file'
  hookmux xml get --quiet '//hostdev' && echo 'it has a passed-through device'
  virsh dumpxml web1 | hookmux xml get '//graphics[@type=\"vnc\"]/@port'")]
    Get(XmlGetArgs),
}

#[derive(Debug, Args)]
pub(super) struct XmlGetArgs {
    /// What to print: `devices/disk/source/@file`
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// Read this file, or standard input (-), instead of $_hook_domxml
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "started")]
    pub file: Option<PathBuf>,
    /// Read the document with which the guest was started ($HOOKMUX_STARTED_XML), at `stopped` and `release`
    #[arg(long)]
    pub started: bool,
    /// End each value with a NUL byte and change nothing in it
    #[arg(long, short = '0', conflicts_with = "output")]
    pub null: bool,
    /// Print nothing; the exit status is the answer
    #[arg(long, short)]
    pub quiet: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Keep the directory
    #[arg(long)]
    pub keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BypassSwitch {
    /// Run no hooks
    On,
    /// Run hooks again
    Off,
}

#[derive(Debug, Args)]
pub(super) struct BypassArgs {
    /// Switch it on or off
    #[arg(value_enum)]
    pub turn: Option<BypassSwitch>,
    /// How long: 1h, 30m, at most 30d [default: 30d, after a question]
    #[arg(long = "for", value_parser = crate::config::values::parse_duration, value_name = "TIME", requires = "turn")]
    pub duration: Option<std::time::Duration>,
    /// Until the host restarts, for whatever reason
    #[arg(long, requires = "turn", conflicts_with = "duration")]
    pub this_boot: bool,
    /// Only for calls about this guest or network
    #[arg(long, value_name = "NAME")]
    pub guest: Option<String>,
    /// Why; stored with the user's name, and shown while it is on
    #[arg(long, value_name = "TEXT", requires = "turn")]
    pub reason: Option<String>,
    /// Continue without a question
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The root directory for proc, sys and libvirt's programs
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Only list the keys of settings and registrations that this version of hookmux would refuse: for a
    /// downgrade
    #[arg(long = "for", value_name = "VERSION", value_parser = HookmuxVersion::parse, conflicts_with = "entries")]
    pub version: Option<HookmuxVersion>,
    /// Only check whether libvirt still calls hookmux where it was installed; prints nothing if it does
    #[arg(long)]
    pub entries: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct QueueArgs {
    /// Remove jobs that wait or were put aside: one by its id, those of a hook by its name, or all, after
    /// a question; running jobs are not removed
    #[arg(long, conflicts_with = "work", value_name = "JOB|HOOK", num_args = 0..=1, default_missing_value = "")]
    pub flush: Option<String>,
    /// Queue jobs again that were put aside, as if they were new: one by its id, those of a hook by its
    /// name, or all
    #[arg(long, conflicts_with_all = ["work", "flush"], value_name = "JOB|HOOK", num_args = 0..=1, default_missing_value = "")]
    pub requeue: Option<String>,
    /// Continue without a question
    #[arg(long)]
    pub yes: bool,
    /// Work on the queue now
    #[arg(long)]
    pub work: bool,
    /// Why; stored with the user's name, for `log --audit`
    #[arg(long, value_name = "TEXT", conflicts_with = "work")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct UndoArgs {
    /// Show what is owed, and take nothing back
    #[arg(long)]
    pub list: bool,
    /// Only what is owed for this guest or network, by its name or uuid; after a question also what it still
    /// needs
    #[arg(long, value_name = "NAME")]
    pub guest: Option<String>,
    /// Continue without a question
    #[arg(long, conflicts_with = "list")]
    pub yes: bool,
    /// Why; stored with the user's name, for `log --audit`
    #[arg(long, value_name = "TEXT", conflicts_with = "list")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct CallArgs {
    /// The driver: daemon, qemu, lxc, libxl, network or bhyve
    #[arg(value_parser = driver)]
    pub driver: Driver,
    /// The guest's or network's name (after `--` if it begins with a dash)
    pub object: OsString,
    /// libvirt's operation: prepare, start, started, stopped, release, migrate, restore, …
    pub operation: OsString,
    /// libvirt's sub-operation [default: the one that belongs to the operation]
    pub sub_operation: Option<OsString>,
    /// libvirt's extra argument: the reason of a release
    #[arg(default_value = "-")]
    pub extra: OsString,
    /// The document that libvirt would send; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub xml: Option<PathBuf>,
    /// How the guest was started [default: what hookmux remembers of it]
    #[arg(long, value_parser = origin, value_name = "fresh|restore|migration")]
    pub origin: Option<Origin>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The language of a new script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScriptLanguage {
    /// The POSIX shell
    #[default]
    Sh,
    /// Bash
    Bash,
    /// Python 3
    Python,
}

#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The event at which it runs: `hookmux events` shows all of them
    #[arg(value_parser = EventNames, hide_possible_values = true)]
    pub event: String,
    /// The hook's name: hooks of an event run in the order of their names, so scripts often begin with a number
    pub name: String,
    /// The script's language [default: sh]
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub language: Option<ScriptLanguage>,
    /// Also make a registration: with it a hook can have conditions, a time limit, an undo and more
    #[arg(long)]
    pub registered: bool,
    /// Make a registered hook that takes back what it has set up
    #[arg(long)]
    pub undo: bool,
    /// Only show what would be made
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Takes any word for an event. Completions know the names.
#[derive(Clone)]
struct EventNames;

impl TypedValueParser for EventNames {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        NotEmpty::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(event::TABLE.iter().map(|row| PossibleValue::new(row.name))))
    }
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// `script`, `module`, a ready-made hook, or the file of a registration; `-` is standard input, and needs
    /// --name
    #[arg(value_name = "script|module|contrib/NAME|FILE.yaml|-", value_hint = ValueHint::FilePath)]
    pub what: PathBuf,
    /// The script's path, or the module's name
    #[arg(value_name = "PATH|MODULE", value_hint = ValueHint::FilePath)]
    pub reference: Option<PathBuf>,
    /// 1: the options describe the hook, and nothing is asked; the default if any is given. 0: the script or
    /// module is asked, and options count only if it has no description
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub manual: Option<bool>,
    /// Run the script to describe itself, even if its text doesn't contain --describe
    #[arg(long)]
    pub describe: bool,
    /// cPanel's word for what is registered; has to be the same as the first word
    #[arg(long, value_parser = EXECTYPES, ignore_case = true)]
    pub exectype: Option<String>,
    #[command(flatten)]
    pub register: RegisterArgs,
    #[command(flatten)]
    pub options: HookOptions,
}

/// How `add` and `import` register hooks.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Where the ready-made hooks lie, for contrib/NAME and for saschpe's files
    /// [default: share/hookmux/contrib/hooks of the installation]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub from: Option<PathBuf>,
    /// Replace registrations of the same name
    #[arg(long)]
    pub replace: bool,
    /// Only show what would be registered; runs nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What is registered, given by options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "What to register, without asking")]
pub(crate) struct HookOptions {
    /// The registration's name [default: made from the script's and the event's name]
    #[arg(long)]
    pub name: Option<String>,
    /// The event: before_vm_start, or (with category and stage) start; may be repeated
    #[arg(long)]
    pub event: Vec<String>,
    /// cPanel's category: vm, device, network, daemon or vdsm
    #[arg(long)]
    pub category: Option<String>,
    /// cPanel's stage: pre or post
    #[arg(long)]
    pub stage: Option<String>,
    /// Its order at the event, lower first [default: 100 more than the highest]
    #[arg(long, allow_negative_numbers = true, value_parser = weight)]
    pub weight: Option<i64>,
    /// A command to run before: if it fails, the hook is skipped
    #[arg(long, value_name = "COMMAND")]
    pub check: Option<String>,
    /// A command to run if a later hook makes the call fail
    #[arg(long, value_name = "COMMAND")]
    pub rollback: Option<String>,
    /// A command to run at the end of the guest, network or port: it takes back what the hook set up
    #[arg(long, value_name = "COMMAND")]
    pub undo: Option<String>,
    /// Guests share what it sets up: it runs for the first, and --undo for the last
    #[arg(long)]
    pub shared: bool,
    /// The script's arguments, split as in a shell; or the module's function
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub action: Option<String>,
    /// One more argument, in which $NAME, $UUID and the like are filled in; may be repeated
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// cPanel's option for root's rights, which hooks have anyway; 0 means --run-as nobody
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub escalateprivs: Option<bool>,
    /// cPanel's option for what a failure means: 1 is --on-failure stop, 0 is --on-failure warn
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub blocking: Option<bool>,
    /// The user and group whose rights it has
    #[arg(long, value_name = "USER[:GROUP]")]
    pub run_as: Option<String>,
    /// Its time limit: 30s, 2m; 0 means only the call's limit
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// What happens if it fails
    #[arg(long, value_parser = FailurePolicy::WORDS)]
    pub on_failure: Option<String>,
    /// How it says whether it succeeded [default: status-line with category and stage, else exit-status]
    #[arg(long, value_parser = ResultKind::WORDS)]
    pub result: Option<String>,
    /// Whether libvirt waits for it
    #[arg(long, value_parser = Mode::WORDS)]
    pub mode: Option<String>,
    /// How it is called
    #[arg(long, value_parser = CallStyle::WORDS)]
    pub style: Option<String>,
    /// A condition: driver, name, uuid, title, reason, origin, network or property.NAME, and a
    /// pattern; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub when: Vec<String>,
}

/// A hook system whose files can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForeignSystem {
    /// Templates of OpenNebula's hooks
    #[value(name = "opennebula")]
    OpenNebula,
    /// The hooks.json of saschpe/libvirt-hook-qemu
    Saschpe,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Whose files they are
    #[arg(value_enum, ignore_case = true, value_name = "SYSTEM")]
    pub system: ForeignSystem,
    /// The files; `-` is standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// For opennebula: the event or call for templates for which no event stands; may be repeated
    #[arg(long)]
    pub event: Vec<String>,
    /// For opennebula: leave out what can't be imported, and import the others
    #[arg(long)]
    pub skip: bool,
    #[command(flatten)]
    pub register: RegisterArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// `script`, `module`, or the name or the id of a registration
    #[arg(value_name = "script|module|NAME")]
    pub what: PathBuf,
    /// The script's path, or the module's name
    #[arg(value_name = "PATH|MODULE", value_hint = ValueHint::FilePath)]
    pub reference: Option<PathBuf>,
    /// 1: only what the options select, as without it. 0: all that the script or module has; no options
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub manual: Option<bool>,
    /// cPanel's word for what is deleted; has to be the same as the first word
    #[arg(long, value_parser = EXECTYPES, ignore_case = true)]
    pub exectype: Option<String>,
    /// Only show what would be deleted
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub selectors: Selectors,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Which registrations of a script or a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Which of them")]
pub(crate) struct Selectors {
    /// At this event: before_vm_start, or (with category and stage) start; or at this call; may be repeated
    #[arg(long)]
    pub event: Vec<String>,
    /// Of this category: vm, device, network, daemon or vdsm
    #[arg(long)]
    pub category: Option<String>,
    /// Of this stage: pre or post
    #[arg(long)]
    pub stage: Option<String>,
    /// With these arguments of the script, split as in a shell; or of this function of the module
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub action: Option<String>,
    /// With this weight
    #[arg(long, allow_negative_numbers = true, value_parser = weight)]
    pub weight: Option<i64>,
    /// With this check
    #[arg(long, value_name = "COMMAND")]
    pub check: Option<String>,
    /// With this rollback
    #[arg(long, value_name = "COMMAND")]
    pub rollback: Option<String>,
    /// 1: with root's rights; 0: with those of nobody
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub escalateprivs: Option<bool>,
    /// 1: with on_failure stop; 0: with on_failure warn
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub blocking: Option<bool>,
}

/// cPanel's words for what is registered.
const EXECTYPES: [&str; 2] = ["script", "module"];

/// Reads a weight.
///
/// # Errors
/// The word is none.
fn weight(word: &str) -> Result<i64, String> {
    word.parse().map_err(|_| "it is a whole number, such as 100 or -5".to_owned())
}

/// Reads a truth value.
///
/// # Errors
/// The word is none.
pub(super) fn truth(word: &str) -> Result<bool, String> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err("it is 1 or 0".to_owned()),
    }
}

/// Ends the process as clap does if `--exectype` isn't what the command is about.
pub(super) fn check_exectype(command: &str, exectype: Option<&str>, what: &str) {
    let exectype = exectype.map(str::to_ascii_lowercase);
    if let Some(exectype) = exectype.filter(|exectype| exectype != what) {
        let message = match EXECTYPES.contains(&what) {
            true => format!(
                "`--exectype {exectype}` and `{command} {what}` say different things: leave --exectype out, or write `{command} {exectype}`"
            ),
            false => format!("--exectype belongs to `{command} script` and `{command} module`"),
        };
        wrong_usage(command, &message);
    }
}

#[derive(Debug, Args)]
pub(crate) struct SwitchArgs {
    /// The registrations' names
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Ends the process as clap does for words that can't be combined.
pub(super) fn wrong_usage(command: &str, message: &str) -> ! {
    let mut found = command_named(command);
    end_by(found.error(ErrorKind::ArgumentConflict, message))
}

/// Ends the process for a first word of a command that isn't one of its words: with the command's help.
pub(super) fn wrong_action(command: &str, message: &str) -> ! {
    let mut found = command_named(command);
    if !is_json_wanted() {
        print_help(&mut found);
    }
    end_by(found.error(ErrorKind::InvalidValue, message))
}

fn command_named(name: &str) -> clap::Command {
    let mut arguments = Arguments::command();
    arguments.build();
    arguments.find_subcommand(name).cloned().unwrap_or(arguments)
}

/// Prints the short help to standard error, before an error.
fn print_help(command: &mut clap::Command) {
    let mut stderr = std::io::stderr().lock();
    // nobody may be there to read it
    let _ = writeln!(stderr, "{}", command.render_help());
}

fn is_json_wanted() -> bool {
    let words: Vec<OsString> =
        std::env::args_os().skip(1).take_while(|word| word != "--").collect();
    let is_json = |word: &OsString| word.eq_ignore_ascii_case("json");
    words.iter().any(|word| word.eq_ignore_ascii_case("--output=json"))
        || words.windows(2).any(|pair| pair[0] == "--output" && is_json(&pair[1]))
}

/// Ends the process with clap's help or error. With `--output json` the error is JSON. The help comes before
/// the error for a command that doesn't exist.
pub(super) fn end_by(error: clap::Error) -> ! {
    if !error.use_stderr() || !is_json_wanted() {
        if error.kind() == ErrorKind::InvalidSubcommand {
            print_help(&mut Arguments::command());
        }
        error.exit();
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words = first.strip_prefix("error: ").unwrap_or(first).split_whitespace();
    let message = words.collect::<Vec<_>>().join(" ");
    Output::new().json(&message::Error::new("usage", message, None));
    std::process::exit(error.exit_code())
}

/// The reason of a change.
#[derive(Debug, Args)]
pub(crate) struct ReasonArgs {
    /// Why; stored with the user's name, for `log --audit`
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Whether daemons are reloaded.
#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    /// Reload the daemons that use this hooks directory, and wait until each has looked for its hooks
    #[arg(long)]
    pub reload: bool,
    /// How long to wait for them
    #[arg(long, value_parser = crate::config::values::parse_duration, value_name = "TIME", default_value = "30s", requires = "reload")]
    pub reload_timeout: std::time::Duration,
}

impl ReloadArgs {
    /// Checks the options.
    ///
    /// # Errors
    /// The timeout is too short.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let is_enough = self.reload_timeout.as_secs() > 0;
        anyhow::ensure!(is_enough, "--reload-timeout needs at least a second");
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// Only for this driver; may be repeated [default: daemon, qemu, lxc and network]
    #[arg(long, value_parser = driver, value_name = "DRIVER")]
    pub driver: Vec<Driver>,
    /// Keep an existing script, or one that was written over hookmux, as a hook of hookmux: it is called
    /// as before
    #[arg(long, conflicts_with = "beside")]
    pub adopt: bool,
    /// Renew the drivers' copies of the program, and link entries of hookmux 0.1.0 to copies; change
    /// nothing else. For packages, after an upgrade
    #[arg(long, conflicts_with_all = ["adopt", "beside", "link", "reload"])]
    pub renew: bool,
    /// Link the entries to the program that all drivers share, and remove the copies: for a downgrade to
    /// a version below 0.2.0, which doesn't know copies
    #[arg(long, conflicts_with = "beside")]
    pub link: bool,
    /// Leave an existing script as it is, and be called after it, from `<driver>.d/` (libvirt 6.5)
    #[arg(long)]
    pub beside: bool,
    /// Also adopt a script that would be refused, or that looks at its own name
    #[arg(long, requires = "adopt")]
    pub force: bool,
    /// Only show what would be done, and what prevents it; change nothing and run nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub reload: ReloadArgs,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct UninstallArgs {
    /// Only for this driver; may be repeated [default: all]
    #[arg(long, value_parser = driver, value_name = "DRIVER")]
    pub driver: Vec<Driver>,
    /// Also remove records, waiting jobs and all other state, and show what is kept
    #[arg(long, conflicts_with = "driver")]
    pub purge: bool,
    /// Don't ask before --purge removes what can't be restored
    #[arg(long, requires = "purge")]
    pub yes: bool,
    #[command(flatten)]
    pub reload: ReloadArgs,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

fn driver(word: &str) -> Result<Driver, String> {
    Driver::from_name(word).ok_or_else(|| {
        let names = Driver::ALL.map(Driver::name).join(", ");
        format!("libvirt's hook drivers are {names}")
    })
}

fn origin(word: &str) -> Result<Origin, String> {
    [Origin::Fresh, Origin::Restore, Origin::Migration]
        .into_iter()
        .find(|origin| origin.name() == word)
        .ok_or_else(|| "an origin is fresh, restore or migration".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_guest_may_be_called_anything() {
        let arguments =
            Arguments::parse_from(["hookmux", "plan", "qemu", "--", "--help", "prepare"]);
        let Some(Command::Plan(plan)) = arguments.command else { panic!("not a plan") };
        assert_eq!((plan.object, plan.extra), ("--help".into(), "-".into()));
    }

    /// The command line must accept the words with which a call starts processes.
    #[test]
    fn what_calls_start_is_understood() {
        let parse = |words: &[&'static std::ffi::CStr]| {
            let hooks_dir = ["hookmux", "--hooks-dir", "/h"].into_iter();
            let words = hooks_dir.chain(words.iter().map(|word| internal::text(word)));
            Arguments::try_parse_from(words).unwrap().command.unwrap()
        };
        assert!(matches!(parse(internal::START_WORKER), Command::Worker));
        assert!(matches!(
            parse(internal::START_MOVER),
            Command::Prune(PruneArgs { linger: true, .. })
        ));
        assert!(matches!(
            parse(internal::START_UNDO_WORKER),
            Command::UndoWorker { started: None }
        ));
        assert_eq!(internal::text(internal::WORKER), "worker");
        assert_eq!(internal::text(internal::PRUNE), "prune");
        // the units of the package start the same
        for (unit, words) in [
            (include_str!("../../packaging/systemd/hookmux-queue.service"), internal::START_WORKER),
            (include_str!("../../packaging/systemd/hookmux-prune.service"), internal::START_MOVER),
        ] {
            let words: Vec<&str> = words.iter().map(|word| internal::text(word)).collect();
            let line = format!("ExecStart=/usr/sbin/hookmux {}\n", words.join(" "));
            assert!(unit.contains(&line), "{line}{unit}");
        }
    }
}
