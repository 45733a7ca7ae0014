//! What `plan` and `run` are asked.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::values::{OutputArgs, driver, guest_driver, origin};
use crate::event::Origin;
use crate::libvirt::Driver;

/// A call of libvirt's.
#[derive(Clone, Debug, Args)]
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
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub call: CallArgs,
    /// Don't ask before hooks run for a guest, a network or an operation that isn't known
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// A guest: its name or uuid; or a call's driver: daemon, qemu, lxc, libxl, network or bhyve
    #[arg(value_name = "GUEST|DRIVER")]
    pub first: OsString,
    /// What is done with the guest: start, shutdown, destroy, reboot, save, restore, migrate, migrate-in, … [default:
    /// its whole life]; or a call's guest or network (after `--` if it begins with a dash)
    #[arg(value_name = "ACTION|NAME")]
    pub second: Option<OsString>,
    /// Of a call, libvirt's operation: prepare, start, started, stopped, release, migrate, restore, …
    pub operation: Option<OsString>,
    /// libvirt's sub-operation [default: the one that belongs to the operation]
    pub sub_operation: Option<OsString>,
    /// libvirt's extra argument: the reason of a release
    #[arg(default_value = "-")]
    pub extra: OsString,
    /// The guest's driver: qemu, lxc, libxl or bhyve; or network, for a network [default: the one that has it]
    #[arg(id = "of_driver", long = "driver", value_parser = guest_driver, value_name = "DRIVER")]
    pub driver: Option<Driver>,
    /// The document that libvirt would send; `-` is standard input [default: libvirt's definition]
    #[arg(long, value_name = "FILE")]
    pub xml: Option<PathBuf>,
    /// How the guest was started [default: what hookmux remembers of it]
    #[arg(long, value_parser = origin, value_name = "fresh|restore|migration")]
    pub origin: Option<Origin>,
    /// What if this hook failed, with exit status 1: event/name, or its name; may be repeated
    #[arg(long, value_name = "HOOK")]
    pub fail: Vec<String>,
    /// Also for a guest, a network or an operation that isn't known
    #[arg(long)]
    pub unknown: bool,
    /// The root directory for libvirt's programs, whose version decides which calls it makes
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    #[command(flatten)]
    pub output: OutputArgs,
}

impl PlanArgs {
    /// Returns the words of a call; `None` where a guest is meant.
    pub(crate) fn call(&self) -> Option<[&OsString; 3]> {
        Some([&self.first, self.second.as_ref()?, self.operation.as_ref()?])
    }
}
