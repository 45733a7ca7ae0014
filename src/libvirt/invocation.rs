//! Finds out from `argv[0]` how hookmux was called.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::driver::{DEFAULT_HOOKS_DIR, Driver};
use super::program;

/// Tells whether `argv[0]` is the name of an adopted script. A hookmux that is called by this name does nothing:
/// another one has called it.
pub fn is_adopted_name(argv0: &OsStr) -> bool {
    let base = argv0.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    base.strip_suffix(b".adopted")
        .is_some_and(|name| Driver::from_name(OsStr::from_bytes(name)).is_some())
}

/// A call by libvirt, as the hook program of one driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    pub driver: Driver,
    /// The hooks directory as libvirt names it; links are not resolved.
    pub hooks_dir: PathBuf,
    /// Called from `<driver>.d/`, beside somebody else's main script (libvirt 6.5 and later).
    pub is_beside: bool,
}

impl Invocation {
    /// Parses `argv[0]`. Returns `None` where it names no driver: then this is a command.
    pub fn from_argv0(argv0: &OsStr) -> Option<Invocation> {
        let path = Path::new(argv0);
        // `file_name` would accept a trailing slash, which no caller of a hook uses
        let base = argv0.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(driver) = Driver::from_name(OsStr::from_bytes(base)) {
            let hooks_dir = match parent {
                Some(parent) => parent.to_path_buf(),
                None if argv0.as_bytes().contains(&b'/') => PathBuf::from("/"),
                None => PathBuf::from(DEFAULT_HOOKS_DIR),
            };
            return Some(Invocation { driver, hooks_dir, is_beside: false });
        }
        let copy = || {
            let driver = program::driver_of_copy(base)?;
            Some(Invocation {
                driver,
                hooks_dir: PathBuf::from(DEFAULT_HOOKS_DIR),
                is_beside: false,
            })
        };
        Invocation::beside(parent).or_else(copy)
    }

    /// Recognises a link in a driver's directory, whatever its name: it is there to be called by libvirt.
    fn beside(parent: Option<&Path>) -> Option<Invocation> {
        let parent = parent?;
        let directory = parent.file_name()?.as_bytes().strip_suffix(b".d")?;
        let driver = Driver::from_name(OsStr::from_bytes(directory))?;
        let up = match parent.parent() {
            Some(up) if up.as_os_str().is_empty() => PathBuf::from("."),
            Some(up) => up.to_path_buf(),
            None => PathBuf::from("/"),
        };
        Some(Invocation { driver, hooks_dir: up, is_beside: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv0_decides_driver_and_hooks_directory() {
        type Row<'a> = (&'a str, Option<(Driver, &'a str, bool)>);
        let table: &[Row<'_>] = &[
            ("/etc/libvirt/hooks/qemu", Some((Driver::Qemu, "/etc/libvirt/hooks", false))),
            (
                "/var/lib/libvirt/hooks/network",
                Some((Driver::Network, "/var/lib/libvirt/hooks", false)),
            ),
            ("/etc/libvirt/hooks//lxc", Some((Driver::Lxc, "/etc/libvirt/hooks", false))),
            ("/qemu", Some((Driver::Qemu, "/", false))),
            ("qemu", Some((Driver::Qemu, "/etc/libvirt/hooks", false))),
            ("./daemon", Some((Driver::Daemon, ".", false))),
            (
                "/etc/libvirt/hooks/qemu.d/50-hookmux",
                Some((Driver::Qemu, "/etc/libvirt/hooks", true)),
            ),
            ("qemu.d/50-hookmux", Some((Driver::Qemu, ".", true))),
            // a link called hookmux in a driver's directory was put there to be called by libvirt
            ("/etc/libvirt/hooks/lxc.d/hookmux", Some((Driver::Lxc, "/etc/libvirt/hooks", true))),
            (
                "/etc/libvirt/hooks/qemu.d/libxl",
                Some((Driver::Libxl, "/etc/libvirt/hooks/qemu.d", false)),
            ),
            // a driver's copy of the program, executed by its own name
            ("/usr/sbin/hookmux-qemu", Some((Driver::Qemu, "/etc/libvirt/hooks", false))),
            ("hookmux-network", Some((Driver::Network, "/etc/libvirt/hooks", false))),
            ("./hookmux-daemon", Some((Driver::Daemon, "/etc/libvirt/hooks", false))),
            (
                "/var/lib/libvirt/hooks/qemu.d/hookmux-qemu",
                Some((Driver::Qemu, "/var/lib/libvirt/hooks", true)),
            ),
            ("/usr/sbin/hookmux-", None),
            ("/usr/sbin/hookmux-qemu2", None),
            ("/usr/sbin/hookmux-qemu/", None),
            ("/usr/sbin/xhookmux-qemu", None),
            ("/usr/sbin/hookmux", None),
            ("hookmux", None),
            ("/etc/libvirt/hooks/qemu.d/", None),
            ("/x/qemu2.d/a", None),
            ("/x/.d/a", None),
            ("", None),
            ("/", None),
        ];
        for (argv0, expected) in table {
            let invocation = Invocation::from_argv0(OsStr::new(argv0));
            let seen = invocation.as_ref().map(|f| (f.driver, f.hooks_dir.as_path(), f.is_beside));
            assert_eq!(seen, expected.map(|(d, p, b)| (d, Path::new(p), b)), "argv[0] {argv0:?}");
        }
    }
}
