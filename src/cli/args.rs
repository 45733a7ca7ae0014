//! What the command line takes. The texts are the help, the man pages and the completions.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::event::Origin;
use crate::libvirt::Driver;

/// The hook program for libvirt
///
/// libvirt runs one program per driver on every change of a guest or network. hookmux is that
/// program: it runs any number of hooks for each call, keeps every one of them on a leash, and
/// gives libvirt the answer that it expects.
///
/// Exit status: 0 done, 1 a problem was found or met, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "hookmux", version, disable_help_subcommand = false, max_term_width = 100)]
pub struct Arguments {
    /// The hooks directory [default: $HOOKMUX_HOOKS_DIR, else /etc/libvirt/hooks]
    #[arg(long, global = true, value_name = "DIR")]
    pub hooks_dir: Option<PathBuf>,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the hooks: in which order they run, and why some don't
    List(ListArgs),
    /// Show the events, and which call of libvirt's fires each
    Events(EventsArgs),
    /// Show what a call of libvirt's would run, and why not the rest; runs nothing
    Plan(CallArgs),
    /// Do what a call of libvirt's does, outside of libvirt, and show it
    ///
    /// Hooks run for real. Nothing is remembered for later calls of the guest.
    Run(CallArgs),
    /// Make hookmux libvirt's hook program
    ///
    /// Links are made in the hooks directory, never over a file of somebody else's.
    Install(InstallArgs),
    /// Take hookmux out of libvirt's way, and put back what was there before
    Uninstall(UninstallArgs),
    /// Show the detached hooks that wait, remove them, or work on them now
    Queue(QueueArgs),
    /// Work on the queue until it is empty: what calls and the path unit start
    #[command(hide = true)]
    Worker,
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

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one object
    Json,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only the hooks of this event
    pub event: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct QueueArgs {
    /// Remove all jobs that wait; those that run are left alone
    #[arg(long, conflicts_with = "work")]
    pub flush: bool,
    /// Work on the queue here and now
    #[arg(long)]
    pub work: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct CallArgs {
    /// The driver: daemon, qemu, lxc, libxl, network or bhyve
    #[arg(value_parser = driver)]
    pub driver: Driver,
    /// The guest's or network's name (after `--` where it begins with a dash)
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
    /// How the guest came to run [default: what is remembered of it]
    #[arg(long, value_parser = origin, value_name = "fresh|restore|migration")]
    pub origin: Option<Origin>,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Only for this driver; may be repeated [default: daemon, qemu, lxc and network]
    #[arg(long, value_parser = driver, value_name = "DRIVER")]
    pub driver: Vec<Driver>,
    /// Keep a script that is there as a hook of hookmux's: it is called as before
    #[arg(long, conflicts_with = "beside")]
    pub adopt: bool,
    /// Leave what is there alone, and be called after it, from `<driver>.d/` (libvirt 6.5)
    #[arg(long)]
    pub beside: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// Only for this driver; may be repeated [default: all]
    #[arg(long, value_parser = driver, value_name = "DRIVER")]
    pub driver: Vec<Driver>,
    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
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
    use clap::CommandFactory;

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
}
