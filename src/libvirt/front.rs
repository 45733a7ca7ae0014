//! How hookmux was called, by `argv[0]`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::driver::{DEFAULT_HOOKS_DIR, Driver};
use super::program;

/// Whether `argv[0]` is a name under which an adopted script is called: a hookmux there is one too
/// many, and has nothing to say.
pub fn is_adopted_name(argv0: &OsStr) -> bool {
    let base = argv0.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    base.strip_suffix(b".adopted")
        .is_some_and(|name| Driver::from_name(OsStr::from_bytes(name)).is_some())
}

/// How hookmux was called: by libvirt, as one driver's hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    pub driver: Driver,
    /// The hooks directory as libvirt named it; links are not resolved.
    pub hooks_dir: PathBuf,
    /// Called from `<driver>.d/`, beside somebody else's main script (libvirt 6.5 and later).
    pub beside: bool,
}

impl Front {
    /// Reads `argv[0]`; `None` where it names no driver, that is, on the command line.
    pub fn from_argv0(argv0: &OsStr) -> Option<Front> {
        let path = Path::new(argv0);
        // `file_name` would forgive a trailing slash, which no caller of a hook uses.
        let base = argv0.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(driver) = Driver::from_name(OsStr::from_bytes(base)) {
            let hooks_dir = match parent {
                Some(parent) => parent.to_path_buf(),
                None if argv0.as_bytes().contains(&b'/') => PathBuf::from("/"),
                None => PathBuf::from(DEFAULT_HOOKS_DIR),
            };
            return Some(Front { driver, hooks_dir, beside: false });
        }
        let copy = || {
            let driver = program::driver_of_copy(base)?;
            Some(Front { driver, hooks_dir: PathBuf::from(DEFAULT_HOOKS_DIR), beside: false })
        };
        Front::beside(parent).or_else(copy)
    }

    /// Whatever its name is, a link in a driver's directory was put there to be called by libvirt.
    fn beside(parent: Option<&Path>) -> Option<Front> {
        let parent = parent?;
        let directory = parent.file_name()?.as_bytes().strip_suffix(b".d")?;
        let driver = Driver::from_name(OsStr::from_bytes(directory))?;
        let up = match parent.parent() {
            Some(up) if up.as_os_str().is_empty() => PathBuf::from("."),
            Some(up) => up.to_path_buf(),
            None => PathBuf::from("/"),
        };
        Some(Front { driver, hooks_dir: up, beside: true })
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
            let front = Front::from_argv0(OsStr::new(argv0));
            let seen = front.as_ref().map(|f| (f.driver, f.hooks_dir.as_path(), f.beside));
            assert_eq!(seen, expected.map(|(d, p, b)| (d, Path::new(p), b)), "argv[0] {argv0:?}");
        }
    }
}
