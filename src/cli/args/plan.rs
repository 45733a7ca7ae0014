//! What `plan` and `run` are asked.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::values::{OutputArgs, driver, guest_driver, origin};
use crate::event::Origin;
use crate::libvirt::Driver;

/// A call of libvirt's.
#[derive(Clone, Debug)]
pub(crate) struct CallArgs {
    pub driver: Driver,
    pub object: OsString,
    pub operation: OsString,
    pub sub_operation: Option<OsString>,
    pub extra: OsString,
    pub xml: Option<PathBuf>,
    pub origin: Option<Origin>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The driver: daemon, qemu, lxc, libxl, network or bhyve
    #[arg(value_parser = driver, required_unless_present = "remote")]
    pub driver: Option<Driver>,
    /// The guest's or network's name (after `--` if it begins with a dash)
    #[arg(required_unless_present = "remote")]
    pub object: Option<OsString>,
    /// libvirt's operation: prepare, start, started, stopped, release, migrate, restore, …
    #[arg(required_unless_present = "remote")]
    pub operation: Option<OsString>,
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
    /// Run what is registered with `remote: true` for the event of another host in a file; `-` is standard input.
    /// Started by hookmux-relay; the hooks lie in /etc/hookmux/remote and /usr/lib/hookmux/hooks
    #[arg(long, value_name = "FILE", conflicts_with_all = ["driver", "xml", "origin", "yes"])]
    pub remote: Option<PathBuf>,
    /// With --remote, the root directory of all places
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
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

impl RunArgs {
    /// Returns the call; `None` with `--remote`.
    pub(crate) fn call(&self) -> Option<CallArgs> {
        Some(CallArgs {
            driver: self.driver?,
            object: self.object.clone()?,
            operation: self.operation.clone()?,
            sub_operation: self.sub_operation.clone(),
            extra: self.extra.clone(),
            xml: self.xml.clone(),
            origin: self.origin,
        })
    }
}

impl PlanArgs {
    /// Returns the words of a call; `None` where a guest is meant.
    pub(crate) fn call(&self) -> Option<[&OsString; 3]> {
        Some([&self.first, self.second.as_ref()?, self.operation.as_ref()?])
    }
}
