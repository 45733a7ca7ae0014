//! Reads `/proc` about processes.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use crate::machine::files::{self, read_proc};

/// The longest pid with the blank behind it, in bytes.
const MAX_PID_BYTES: usize = 16;

/// The children of a process, adopted ones too. The file stays open, so that they are asked for by one system call.
pub(crate) struct ChildList(File);

impl ChildList {
    /// # Errors
    /// The kernel doesn't tell, or as of `open(2)`.
    pub(crate) fn open(parent: i32) -> io::Result<ChildList> {
        files::open_proc(format!("/proc/{parent}/task/{parent}/children")).map(ChildList)
    }

    /// Returns their pids as they are now; `None` where they can't be read.
    pub(crate) fn read(&self) -> Option<Vec<i32>> {
        let mut list = Vec::new();
        let mut part = [0; 4096];
        loop {
            let got = self.0.read_at(&mut part, list.len() as u64).ok()?;
            list.extend_from_slice(&part[..got]);
            // the kernel fills a page while it has more
            if got == 0 || part.len() - got > MAX_PID_BYTES {
                break;
            }
        }
        let list = std::str::from_utf8(&list).ok()?;
        Some(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }
}

/// Returns the start time of a process, in ticks since the boot. Together with the pid it names one process of
/// this boot.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    Some(Stat::parse(&read_proc(format!("/proc/{pid}/stat")).ok()?)?.start)
}

/// Returns the parent of a process.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    Some(Stat::parse(&read_proc(format!("/proc/{pid}/stat")).ok()?)?.parent)
}

/// Tells whether a process with this start time still runs, and isn't a zombie.
pub(crate) fn is_running(pid: i32, start: u64) -> bool {
    let stat = read_proc(format!("/proc/{pid}/stat")).unwrap_or_default();
    Stat::parse(&stat).is_some_and(|stat| !stat.is_dead() && stat.start == start)
}

/// Returns the name of a process, for messages.
pub(crate) fn name(pid: i32) -> String {
    let name = read_proc(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// Returns the name of the process that started this one. It is read once.
pub(crate) fn name_of_parent() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| name(nix::unistd::getppid().as_raw()))
}

/// Returns the arguments of a process, each with a NUL byte behind it.
pub(crate) fn command_line(pid: i32) -> Vec<u8> {
    read_proc(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// Returns a variable of the environment with which a process was started.
pub(crate) fn environment_variable(pid: i32, name: &str) -> Option<String> {
    let environment = read_proc(format!("/proc/{pid}/environ")).ok()?;
    let value = environment.split(|byte| *byte == 0).find_map(|variable| {
        variable.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
    })?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Returns all processes of the host that can be seen.
pub(crate) fn all() -> impl Iterator<Item = (i32, Stat)> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = std::str::from_utf8(entry.file_name().as_bytes()).ok()?.parse().ok()?;
        Some((pid, Stat::parse(&read_proc(entry.path().join("stat")).ok()?)?))
    })
}

/// Some fields of `/proc/PID/stat`, see proc(5).
pub(crate) struct Stat {
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    pub state: char,
    /// In ticks since the boot.
    pub start: u64,
}

impl Stat {
    /// Parses `stat`. The name in parentheses may contain anything, so parsing begins behind its end.
    pub(crate) fn parse(stat: &[u8]) -> Option<Stat> {
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        // the state is field 3 of proc(5), the start time is field 22
        let state = fields.next()?.chars().next()?;
        let mut number = || fields.next()?.parse().ok();
        let (parent, group, session) = (number()?, number()?, number()?);
        let start = fields.nth(15)?.parse().ok()?;
        Some(Stat { parent, group, session, state, start })
    }

    /// Tells whether the process is a zombie, or about to go.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_be_called_anything() {
        let rest = "5 6 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 5 6";
        let stat = Stat::parse(format!("77 (a) R 1 2 (x) S {rest}").as_bytes()).unwrap();
        assert_eq!((stat.parent, stat.group, stat.session, stat.state), (5, 6, 7, 'S'));
        assert_eq!((stat.start, stat.is_dead()), (4711, false));
        assert!(Stat::parse(format!("77 (a) Z {rest}").as_bytes()).unwrap().is_dead());
        assert!(Stat::parse(b"").is_none());
        let me = nix::unistd::getpid().as_raw();
        assert!(is_running(me, start_time(me).unwrap()));
        assert!(!is_running(me, start_time(me).unwrap() + 1));
    }

    #[test]
    fn the_children_of_now_are_told() {
        let me = nix::unistd::gettid().as_raw();
        let list = ChildList::open(me).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert_eq!(list.read(), Some(vec![pid]));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(list.read(), Some(vec![]));
    }
}
