//! What `list`, `events` and `check` are asked.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::values::{OutputArgs, guest_driver};
use crate::config::keys::HookmuxVersion;
use crate::libvirt::Driver;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub output: OutputArgs,
}

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
    /// Only what would run for this guest, at any call of its life
    #[arg(long, value_name = "GUEST")]
    pub guest: Option<String>,
    /// The guest's driver, where several have a guest of this name
    #[arg(long, value_parser = guest_driver, value_name = "DRIVER", requires = "guest")]
    pub driver: Option<Driver>,
    /// Show the guests and networks instead, each with its last execution
    #[arg(long, conflicts_with_all = ["event", "hook", "registered", "guest", "available", "digest"])]
    pub guests: bool,
    /// Show the ready-made hooks instead: what each is for, and whether it is registered
    #[arg(long, conflicts_with_all = ["event", "guest"])]
    pub available: bool,
    /// Print only the digest: one hash over hooks, settings and version. Two hosts with the same digest do the
    /// same
    #[arg(long, conflicts_with_all = ["event", "hook", "registered", "available"])]
    pub digest: bool,
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
    /// Exit status 1 for warnings too
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}
