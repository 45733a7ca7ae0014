//! What `list`, `events`, `plan`, `run` and `check` are asked.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::values::{OutputArgs, driver, origin};
use crate::config::keys::HookmuxVersion;
use crate::event::Origin;
use crate::libvirt::Driver;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
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
pub(crate) struct EventsArgs {
    /// Only this event, with all about it
    #[arg(conflicts_with = "vdsm")]
    pub event: Option<String>,
    /// Show also vdsm's hook points for which libvirt makes no call
    #[arg(long)]
    pub vdsm: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileKind {
    /// hooks.d/NAME.yaml
    Registration,
    /// hookmux.yaml
    Settings,
    /// A hook that is executed
    Script,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Check only these files, which need not lie where hookmux reads them: registrations, settings, scripts; `-` is
    /// standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["version", "entries"])]
    pub files: Vec<PathBuf>,
    /// What the files are [default: what their content tells]
    #[arg(long = "as", value_enum, ignore_case = true, value_name = "KIND", requires = "files")]
    pub kind: Option<FileKind>,
    /// The name that the file will have: that of a registration, or event/name of a script [default: where it
    /// lies]
    #[arg(long, value_name = "NAME", requires = "files")]
    pub name: Option<String>,
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
pub(crate) struct CallArgs {
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
