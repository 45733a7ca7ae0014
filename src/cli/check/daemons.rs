//! The daemons of libvirt's that run on this host: who they are and since when.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::confinement::MAX_KERNEL_BYTES;
use crate::cli::reload;
use crate::files;
use crate::libvirt::Driver;

/// Clock ticks per second in `/proc/PID/stat`: USER_HZ, which Linux has at 100 on all of libvirt's
/// architectures.
const TICKS: u64 = 100;

/// A daemon.
#[derive(Clone, Debug)]
pub struct Daemon {
    pub name: String,
    pub user: u32,
    pub groups: Vec<u32>,
    pub started: Option<SystemTime>,
    /// What makes it look for hook programs again.
    pub reload: String,
}

impl Daemon {
    /// Whether it calls a driver's hook.
    pub fn serves(&self, driver: Driver) -> bool {
        let own = match driver {
            Driver::Daemon => return true,
            Driver::Qemu => "virtqemud",
            Driver::Lxc => "virtlxcd",
            Driver::Libxl => "virtxend",
            Driver::Network => "virtnetworkd",
            Driver::Bhyve => "virtbhyved",
        };
        self.name == "libvirtd" || self.name == own
    }
}

/// Looks through `proc` below a root.
pub fn running(root: &Path, hooks_dir: &Path) -> Vec<Daemon> {
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
            let name = daemon_name(&process)?;
            if !is_of_this_host(&process, hooks_dir) {
                return None;
            }
            let (user, groups) = rights(&process);
            Some(Daemon {
                user,
                groups,
                started: uptime.and_then(|uptime| started(&process, uptime)),
                reload: reload::command(&name, pid, has_systemd),
                name,
            })
        })
        .collect()
}

fn daemon_name(process: &Path) -> Option<String> {
    let is_one = |name: &String| reload::DAEMONS.contains(&name.as_str());
    let comm = read_text(&process.join("comm"))?;
    let comm = Some(comm.trim_end().to_owned()).filter(is_one);
    comm.or_else(|| {
        // one that has named its main thread otherwise
        let program = fs::read_link(process.join("exe")).ok()?;
        Some(program.file_name()?.to_str()?.to_owned()).filter(is_one)
    })
}

/// A daemon in a container shows in the host's `/proc`, and has hooks of its own.
fn is_of_this_host(process: &Path, hooks_dir: &Path) -> bool {
    let Ok(below) = hooks_dir.strip_prefix("/") else { return true };
    // only root may look through somebody else's root; who can't takes all for the host's
    let Ok(its_root) = fs::metadata(process.join("root")) else { return true };
    let Ok(own) = fs::metadata(hooks_dir) else { return true };
    match fs::metadata(process.join("root").join(below)) {
        Ok(its) => is_same(&its, &own),
        Err(_) => fs::metadata("/").is_ok_and(|root| is_same(&root, &its_root)),
    }
}

fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Effective uid, and all groups, of `status`.
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

/// A text of the kernel's. Its files say that they have no size.
fn read_text(path: &Path) -> Option<String> {
    files::read_regular(path, MAX_KERNEL_BYTES).and_then(files::into_text).ok()
}

/// Since the host's start; to hundredths, where `btime` has whole seconds only.
fn uptime(proc: &Path) -> Option<Duration> {
    let text = read_text(&proc.join("uptime"))?;
    let seconds = text.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn started(process: &Path, uptime: Duration) -> Option<SystemTime> {
    let stat = read_text(&process.join("stat"))?;
    // field 22; the name before may have blanks and brackets in it
    let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let start = Duration::from_millis(ticks.saturating_mul(1000 / TICKS));
    SystemTime::now().checked_sub(uptime.saturating_sub(start))
}
