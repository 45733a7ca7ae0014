//! Reads `/proc` about processes.

use std::fs;
use std::os::unix::ffi::OsStrExt;

/// Returns the children of a process, adopted ones too; `None` where the kernel doesn't tell.
pub(crate) fn children(parent: i32) -> Option<Vec<i32>> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Some(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// Returns the start time of a process, in ticks since the boot. Together with the pid it names one process of
/// this boot.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    Some(Stat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)?.start)
}

/// Returns the parent of a process.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    Some(Stat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)?.parent)
}

/// Tells whether a process with this start time still runs, and isn't a zombie.
pub(crate) fn is_running(pid: i32, start: u64) -> bool {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    Stat::parse(&stat).is_some_and(|stat| !stat.is_dead() && stat.start == start)
}

/// Returns the name of a process, for messages.
pub(crate) fn name(pid: i32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// Returns the arguments of a process, each with a NUL byte behind it.
pub(crate) fn command_line(pid: i32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// Returns a variable of the environment with which a process was started.
pub(crate) fn environment_variable(pid: i32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment.split(|byte| *byte == 0).find_map(|variable| {
        variable.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
    })?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Returns all processes of the host that can be seen.
pub(crate) fn all() -> impl Iterator<Item = (i32, Stat)> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = std::str::from_utf8(entry.file_name().as_bytes()).ok()?.parse().ok()?;
        Some((pid, Stat::parse(&fs::read(entry.path().join("stat")).ok()?)?))
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
}
