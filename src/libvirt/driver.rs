//! The names under which libvirt runs a hook program.

use std::ffi::OsStr;
use std::fmt;

/// The hooks directory of libvirt's distribution packages. A build with another `sysconfdir` passes its own
/// directory in `argv[0]`.
pub(crate) const DEFAULT_HOOKS_DIR: &str = "/etc/libvirt/hooks";

/// One of libvirt's hook drivers (`virHookDriverType` in libvirt's `src/util/virhook.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Driver {
    Daemon,
    Qemu,
    Lxc,
    Libxl,
    Network,
    Bhyve,
}

impl Driver {
    pub const ALL: [Driver; 6] =
        [Driver::Daemon, Driver::Qemu, Driver::Lxc, Driver::Libxl, Driver::Network, Driver::Bhyve];

    /// The drivers of guests.
    pub const GUESTS: &'static [Driver] =
        &[Driver::Qemu, Driver::Lxc, Driver::Libxl, Driver::Bhyve];

    pub const fn name(self) -> &'static str {
        match self {
            Driver::Daemon => "daemon",
            Driver::Qemu => "qemu",
            Driver::Lxc => "lxc",
            Driver::Libxl => "libxl",
            Driver::Network => "network",
            Driver::Bhyve => "bhyve",
        }
    }

    pub fn from_name(name: impl AsRef<OsStr>) -> Option<Driver> {
        let name = name.as_ref();
        Driver::ALL.into_iter().find(|driver| name == driver.name())
    }

    pub fn is_guest(self) -> bool {
        Driver::GUESTS.contains(&self)
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
