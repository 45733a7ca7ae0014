//! What `install` and `uninstall` are asked.

use clap::Args;

use super::values::{OutputArgs, ReasonArgs, ReloadArgs, driver};
use crate::libvirt::Driver;

#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
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
pub(crate) struct UninstallArgs {
    /// Only for this driver; may be repeated [default: all]
    #[arg(long, value_parser = driver, value_name = "DRIVER")]
    pub driver: Vec<Driver>,
    /// Also remove records, waiting jobs and all other state, and show what is kept
    #[arg(long, conflicts_with = "driver")]
    pub purge: bool,
    /// Don't ask before --purge removes what can't be restored
    #[arg(long, requires = "purge")]
    pub yes: bool,
    /// Only show what would be removed and restored
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub reload: ReloadArgs,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}
