//! The definition of the command line. Its texts are the help, the man pages and the completions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli::json::outputs::OutputName;
use crate::process::internal;

mod history;
mod hooks;
mod install;
mod plan;
mod register;
mod values;
mod work;
mod xml;

pub(crate) use history::{
    ConditionArgs, LogArgs, MetricsArgs, PruneArgs, RetryArgs, SearchArgs, ShowArgs, StopArgs,
    WatchArgs,
};
pub(crate) use hooks::{CheckArgs, EventsArgs, FileKind, ListArgs, StatusArgs};
pub(crate) use install::{InstallArgs, UninstallArgs};
pub(crate) use plan::{CallArgs, PlanArgs, RunArgs};
pub(crate) use register::{
    AddArgs, DeleteArgs, EXECTYPES, EditArgs, ExportArgs, ForeignSystem, HookOptions, ImportArgs,
    NewArgs, RegisterArgs, ScriptLanguage, Selectors, SwitchArgs,
};
use values::ViewArgs;
pub(crate) use values::{Format, OutputArgs, ReloadArgs, truth};
pub(crate) use work::{BypassArgs, BypassSwitch, QueueArgs, UndoArgs};
pub(crate) use xml::{XmlCommand, XmlGetArgs};

/// The hook program for libvirt
///
/// libvirt runs one program per driver on every change of a guest or network. hookmux is that
/// program: it runs any number of hooks for each call, supervises each of them, and gives libvirt
/// the answer that it expects.
///
/// Exit status: 0 done, or nothing to do; 1 a problem was found, or it could not be done: something
/// isn't there on this host, a right is missing; 2 wrong usage: an unknown command, option, event,
/// driver, operation or value. `hookmux help --all` shows the help of every command.
#[derive(Debug, Parser)]
#[command(name = "hookmux", version, disable_help_subcommand = false, max_term_width = 100)]
pub(super) struct Arguments {
    /// The hooks directory [default: $HOOKMUX_HOOKS_DIR, else /etc/libvirt/hooks]
    #[arg(long, global = true, value_name = "DIR")]
    pub hooks_dir: Option<PathBuf>,

    #[command(flatten)]
    pub view: ViewArgs,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the state of the host on one page: entries, hooks, running calls, queue, last failure, bypass
    ///
    /// `hookmux` without a command shows the same. Exit status 0 if it could be read, whatever it says.
    Status(StatusArgs),
    /// Show the hooks: their order, and why some don't run
    List(ListArgs),
    /// Show the events, and which libvirt call fires each
    Events(EventsArgs),
    /// Show what would run at each of libvirt's calls for a guest, and why not the rest; runs nothing
    ///
    /// With one word it is the guest's whole life, with two what is done with it: start (create), reboot, reconnect
    /// (libvirt is restarted), snapshot-revert, save (managedsave), restore, migrate (away), migrate-in, shutdown,
    /// destroy (stop), crash. The calls come in libvirt's order, those of the networks that the guest is connected to among
    /// them. With three words or more it is a single call.
    ///
    /// With --fail it shows what a failure leads to: which hooks are rolled back and undone, what libvirt is told,
    /// and what becomes of the guest. Exit status 1 if a call would fail without that, 2 for a guest, an
    /// operation or an action that isn't known.
    Plan(Box<PlanArgs>),
    /// Do what a libvirt call does, outside of libvirt, and show it
    ///
    /// Hooks run for real. Nothing is remembered for later calls of the guest. If the guest isn't known, the
    /// command asks first.
    ///
    /// With --remote it is a call of another host, as its event tells of it: only registrations with `remote: true`
    /// run, after the fact. Exit status 0 if they succeeded or there is nothing to run, 1 if a hook failed, 2 if it is
    /// no event, 75 if something can't be used now and the event should come again.
    Run(RunArgs),
    /// Show everything that is wrong, each with what to do
    ///
    /// Scripts and registrations that wouldn't run, links that libvirt hasn't seen, files that others
    /// could change, directories that can't be written to, and more. Nothing is run or changed; to see
    /// whether a directory can be written to, a file is made in it and removed. Exit status 1 if there
    /// is an error, 0 if there are only warnings and notes.
    ///
    /// With FILE only these files are checked, as they would be once they are installed: keys and values,
    /// programs and users that a registration names, its place among the other hooks, a script's first line.
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
    New(NewArgs),
    /// Register a hook: a script, a function of a module, or a registration from a file
    ///
    /// With options (--event and more) the options describe the hook, and nothing is run.
    /// `--manual 0` asks anyway, and the options count only if there is no description.
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
    /// Change a registration, a script or the settings in an editor; mistakes are told before anything is saved
    ///
    /// $VISUAL, $EDITOR or vi gets a copy. What was written is checked as a call would read it: keys, values,
    /// programs, users. If there is an error, the command asks: edit again, quit without saving, save
    /// anyway. A text that is saved replaces the file as a whole, with its mode and owner. sudo doesn't
    /// pass EDITOR on: `sudo EDITOR=nano hookmux edit NAME`.
    ///
    /// A hook of another root is copied into the hooks directory, where it masks the original. If
    /// the file was changed by somebody else in the meantime, nothing is saved, and the copy stays.
    Edit(EditArgs),
    /// Write the registrations into a directory, for another host or a repository
    ///
    /// Each is a file NAME.yaml, as it is in hooks.d of the hooks directory. `hookmux add DIR` registers them on
    /// another host, `hookmux add DIR --replace --dry-run --diff` shows what differs there. Registrations of
    /// other roots belong to packages, and are written only if they are named.
    Export(ExportArgs),
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
    /// Show what happens in calls while it happens, until the command is stopped: a call begins, a hook is
    /// started, a hook has ended, the call is over
    Watch(WatchArgs),
    /// End a call that is running, as SIGTERM does
    ///
    /// The hook that runs is ended, no other hook is started, hooks that succeeded are rolled back, and
    /// libvirt gets its answer: a failure (143) at a gate, success at a call that can't be refused. Of a
    /// detached hook the try is ended, and counts as failed. The command waits for the end.
    Stop(StopArgs),
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
    ///
    /// With --write they go into a file that the collector reads, replaced as a whole; `hookmux-metrics.timer`
    /// does that every five minutes. What can't be read is an error, and the file stays as it is.
    Metrics(MetricsArgs),
    /// Show the help of every command, as `help --all`
    Fullhelp,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum, ignore_case = true)]
        shell: CompletionShell,
    },
    /// Write the man pages into a directory, or print hookmux(8)
    Man {
        /// The directory; without one, hookmux(8) goes to standard output
        directory: Option<PathBuf>,
    },
}

/// A shell for which there is a completion script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CompletionShell {
    Bash,
    Zsh,
    Fish,
}

impl Arguments {
    /// Returns the output format, which is also used for errors.
    pub(super) fn format(&self) -> Format {
        match &self.command {
            Some(Command::Status(status)) => status.output.format,
            Some(Command::List(list)) => list.output.format,
            Some(Command::Events(events)) => events.output.format,
            Some(Command::Plan(plan)) => plan.output.format,
            Some(Command::Run(run)) => run.output.format,
            Some(Command::Check(check)) => check.output.format,
            Some(Command::Install(install)) => install.output.format,
            Some(Command::Uninstall(uninstall)) => uninstall.output.format,
            Some(Command::New(new)) => new.output.format,
            Some(Command::Add(add)) => add.register.output.format,
            Some(Command::Import(import)) => import.register.output.format,
            Some(Command::Delete(delete)) => delete.output.format,
            Some(Command::Edit(edit)) => edit.output.format,
            Some(Command::Export(export)) => export.output.format,
            Some(Command::Enable(switch) | Command::Disable(switch)) => switch.output.format,
            Some(Command::Queue(queue)) => queue.output.format,
            Some(Command::Undo(undo)) => undo.output.format,
            Some(Command::Log(log)) => log.output.format,
            Some(Command::Show(show)) => show.output.format,
            Some(Command::Retry(retry)) => retry.output.format,
            Some(Command::Watch(watch)) => watch.output,
            Some(Command::Stop(stop)) => stop.output.format,
            Some(Command::Prune(prune)) => prune.output.format,
            Some(Command::Bypass(bypass)) => bypass.output.format,
            Some(Command::Metrics(metrics)) => metrics.output.format,
            Some(Command::Xml(XmlCommand::Get(get))) => get.output.format,
            Some(
                Command::Schema(_)
                | Command::Worker
                | Command::Fullhelp
                | Command::UndoWorker { .. }
                | Command::Demo(_)
                | Command::Completions { .. }
                | Command::Man { .. },
            )
            | None => Format::Text,
        }
    }

    /// Tells whether the command's text may be longer than a screen, and comes all at once.
    pub(super) fn may_be_long(&self) -> bool {
        match &self.command {
            Some(
                Command::List(_)
                | Command::Events(_)
                | Command::Plan(_)
                | Command::Check(_)
                | Command::Schema(_),
            ) => true,
            Some(Command::Show(show)) => !show.html,
            Some(Command::Log(log)) => !log.follow,
            Some(Command::Undo(undo)) => undo.list,
            _ => false,
        }
    }

    /// Tells whether the command is about what lies in the hooks directory. `install` makes it, and what calls
    /// start ends by itself.
    pub(super) fn needs_hooks_dir(&self) -> bool {
        match &self.command {
            Some(Command::Prune(prune)) => !prune.linger,
            Some(Command::Queue(queue)) => !queue.work,
            Some(
                Command::Install(_)
                | Command::Uninstall(_)
                | Command::Worker
                | Command::UndoWorker { .. }
                | Command::Events(_)
                | Command::Schema(_)
                | Command::Fullhelp
                | Command::Demo(_)
                | Command::Xml(_)
                | Command::Completions { .. }
                | Command::Man { .. },
            ) => false,
            _ => true,
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

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Which schema [default: registration]
    #[arg(value_enum, value_name = "OUTPUT")]
    pub output: Option<OutputName>,
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Keep the directory
    #[arg(long)]
    pub keep: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
        assert_eq!(plan.call().map(|words| words[1].clone()), Some("--help".into()));
        assert_eq!(plan.extra, "-");
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
            (
                include_str!("../../../packaging/systemd/hookmux-queue.service"),
                internal::START_WORKER,
            ),
            (
                include_str!("../../../packaging/systemd/hookmux-prune.service"),
                internal::START_MOVER,
            ),
        ] {
            let words: Vec<&str> = words.iter().map(|word| internal::text(word)).collect();
            let line = format!("ExecStart=/usr/sbin/hookmux {}\n", words.join(" "));
            assert!(unit.contains(&line), "{line}{unit}");
        }
    }
}
