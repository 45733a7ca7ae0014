//! Finds libvirt's daemons that run on this host and look for hook programs in a hooks directory, with
//! their start time and the command that makes each look again.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use memchr::memmem;

use crate::command::{Fix, words};
use crate::libvirt::Driver;
use crate::machine::files;
use crate::machine::proc::Stat;

/// The daemons that run the hooks of one driver.
const DRIVER_DAEMONS: [(&str, Driver); 5] = [
    ("virtqemud", Driver::Qemu),
    ("virtlxcd", Driver::Lxc),
    ("virtxend", Driver::Libxl),
    ("virtnetworkd", Driver::Network),
    ("virtbhyved", Driver::Bhyve),
];
/// The daemons that run only the hook `daemon`: all are built from libvirt's `src/remote/remote_daemon.c`,
/// which calls it.
const OTHER_DAEMONS: [&str; 9] = [
    "virtproxyd",
    "virtsecretd",
    "virtstoraged",
    "virtnodedevd",
    "virtinterfaced",
    "virtnwfilterd",
    "virtchd",
    "virtvboxd",
    "virtvzd",
];
/// The daemon that serves all drivers.
const MONOLITHIC: &str = "libvirtd";

/// Clock ticks per second in `/proc/PID/stat`: USER_HZ, which is 100 on all architectures of libvirt.
const TICKS_PER_SECOND: u64 = 100;
/// The largest library that is read: libvirt.so of 11.3 has some 6 MB.
const MAX_LIBRARY_BYTES: u64 = 64 << 20;

/// A running daemon.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pub name: String,
    /// The name of its process, under which hookmux keeps notes of it.
    pub comm: String,
    pub pid: u32,
    pub user: u32,
    pub groups: Vec<u32>,
    pub started: Option<SystemTime>,
    /// Its systemd service.
    pub unit: Option<String>,
}

impl Daemon {
    /// Tells whether it calls a driver's hook.
    pub(crate) fn serves(&self, driver: Driver) -> bool {
        driver == Driver::Daemon
            || self.name == MONOLITHIC
            || DRIVER_DAEMONS.iter().any(|(name, its)| self.name == *name && *its == driver)
    }

    /// Tells whether it is the system's daemon or this user's own, and not a session daemon of another user.
    pub(crate) fn is_for(&self, user: u32) -> bool {
        self.user == 0 || self.user == user
    }

    /// Returns the command that makes it look for hook programs. It is never a restart, which fires
    /// `reconnect` for every running guest.
    pub(crate) fn reload(&self) -> Fix {
        match &self.unit {
            Some(unit) => Fix::run(&words!["systemctl", "reload", unit]),
            None => Fix::run(&words!["kill", "-HUP", self.pid.to_string()]),
        }
    }
}

/// Finds the daemons in `proc` below a root directory.
pub(crate) fn running(root: &Path, hooks_dir: &Path) -> Vec<Daemon> {
    let proc = root.join("proc");
    let has_systemd = root.join("run/systemd/system").is_dir();
    let uptime = uptime(&proc);
    let mut pids: Vec<u32> = fs::read_dir(&proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids.into_iter()
        .filter_map(|pid| {
            let process = proc.join(pid.to_string());
            let (name, comm) =
                names(&process).filter(|(_, comm)| !is_not_a_daemon(&process, comm))?;
            if !is_of_this_host(&process, hooks_dir) || !looks_in(&process, hooks_dir) {
                return None;
            }
            let (user, groups) = rights(&process);
            Some(Daemon {
                user,
                groups,
                started: uptime.and_then(|uptime| started(&process, uptime)),
                unit: has_systemd.then(|| unit(&process, &name)).flatten(),
                pid,
                name,
                comm,
            })
        })
        .collect()
}

/// Returns a daemon's name, and the name of its process.
fn names(process: &Path) -> Option<(String, String)> {
    let is_daemon = |name: &str| {
        name == MONOLITHIC
            || OTHER_DAEMONS.contains(&name)
            || DRIVER_DAEMONS.iter().any(|(daemon, _)| *daemon == name)
    };
    let comm = read_text(&process.join("comm"))?.trim_end().to_owned();
    if is_daemon(&comm) {
        return Some((comm.clone(), comm));
    }
    // one that has renamed its main thread, or that is started by a wrapper of NixOS
    let program = fs::read_link(process.join("exe")).ok()?;
    let program = program.file_name()?.to_str()?;
    let bare = program.strip_prefix('.').and_then(|name| name.strip_suffix("-wrapped"));
    let name = bare.unwrap_or(program);
    is_daemon(name).then(|| (name.to_owned(), comm))
}

/// Returns the service that a process belongs to. If the kernel doesn't say, it is the daemon's own.
fn unit(process: &Path, name: &str) -> Option<String> {
    let Some(groups) = read_text(&process.join("cgroup")) else { return Some(name.to_owned()) };
    groups.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let service = path.rsplit('/').next()?.strip_suffix(".service")?;
        // services of a user's systemd are not the system's
        (!path.split('/').any(|part| part == "user.slice")).then(|| service.to_owned())
    })
}

/// Tells whether a daemon uses the hooks of this host. A daemon in a container, or with its own /etc, is
/// visible in the host's `/proc`, but has its own hooks.
fn is_of_this_host(process: &Path, hooks_dir: &Path) -> bool {
    let Ok(relative) = hooks_dir.strip_prefix("/") else { return true };
    // only root may look into another process's root; for others every daemon counts as the host's
    if fs::metadata(process.join("root")).is_err() {
        return true;
    }
    let Ok(own) = fs::metadata(hooks_dir) else { return true };
    fs::metadata(process.join("root").join(relative)).is_ok_and(|its| is_same(&its, &own))
}

/// Tells whether a daemon looks in this directory: the path is compiled into libvirt's library. Where that can't be
/// found out, it may, but not in a directory of another user.
fn looks_in(process: &Path, hooks_dir: &Path) -> bool {
    let Some(place) = compiled_hooks_dir(process) else {
        let maps = fs::File::open(process.join("maps"));
        let is_shut = maps.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        let owner = fs::metadata(hooks_dir).map_or(0, |found| found.uid());
        return !is_shut || owner == 0 || owner == rights(process).0;
    };
    let Ok(relative) = place.strip_prefix("/") else { return true };
    if place == hooks_dir {
        return true;
    }
    match (fs::metadata(process.join("root").join(relative)), fs::metadata(hooks_dir)) {
        (Ok(its), Ok(own)) => is_same(&its, &own),
        _ => false,
    }
}

/// Returns the hooks directory that is compiled into a process's libvirt (`LIBVIRT_HOOK_DIR` in
/// libvirt's `src/util/virhook.c`).
fn compiled_hooks_dir(process: &Path) -> Option<PathBuf> {
    const SUFFIX: &[u8] = b"/libvirt/hooks\0";
    let maps = read_text(&process.join("maps"))?;
    let library = maps.lines().find_map(|line| {
        let path = &line[line.find('/')?..];
        path.rsplit('/').next()?.starts_with("libvirt.so").then_some(path)
    })?;
    let path = process.join("root").join(library.strip_prefix('/')?);
    let bytes = files::read_regular(&path, MAX_LIBRARY_BYTES).ok()?;
    memmem::find_iter(&bytes, SUFFIX).find_map(|at| {
        let text = &bytes[..at + SUFFIX.len() - 1];
        let start = text.iter().rposition(|byte| *byte == 0)? + 1;
        let place = Path::new(OsStr::from_bytes(&text[start..]));
        place.is_absolute().then(|| place.to_path_buf())
    })
}

fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Reads the effective uid and all groups from `status`.
fn rights(process: &Path) -> (u32, Vec<u32>) {
    let status = read_text(&process.join("status")).unwrap_or_default();
    let numbers = |key: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let user = numbers("Uid:").get(1).copied().unwrap_or_default();
    let mut groups = numbers("Groups:");
    groups.extend(numbers("Gid:").get(1));
    (user, groups)
}

fn read_text(path: &Path) -> Option<String> {
    files::read_kernel_text(path).ok()
}

/// Returns the time since the host's start, in hundredths of a second; `btime` has only whole seconds.
fn uptime(proc: &Path) -> Option<Duration> {
    let text = read_text(&proc.join("uptime"))?;
    let seconds = text.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Tells whether a process is not a daemon in spite of its name: it only waits to be reaped, or a daemon has
/// just forked it to execute another program.
fn is_not_a_daemon(process: &Path, comm: &str) -> bool {
    let Some(stat) = stat(process) else { return false };
    let above = process.with_file_name(stat.parent.to_string()).join("comm");
    stat.is_dead() || read_text(&above).is_some_and(|name| name.trim_end() == comm)
}

fn stat(process: &Path) -> Option<Stat> {
    Stat::parse(read_text(&process.join("stat"))?.as_bytes())
}

fn started(process: &Path, uptime: Duration) -> Option<SystemTime> {
    let start = Duration::from_millis(stat(process)?.start.saturating_mul(1000 / TICKS_PER_SECOND));
    SystemTime::now().checked_sub(uptime.saturating_sub(start))
}
