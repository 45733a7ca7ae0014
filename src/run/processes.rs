//! What a hook started: found in `/proc`, ended as a whole.

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use super::sys;

/// The variable by which a process is known as a run's, whoever its parent is by now.
pub const RUN_VARIABLE: &str = "HOOKMUX_RUN";

/// How often a search is repeated where every process found may start another.
const MAX_ROUNDS: usize = 20;

/// All processes that belong to a run: descendants of its process, members of its session or
/// group, and what came to us as the adopter of orphans and carries the run's id.
pub fn of_run(root: i32, run: &str, adopter: i32) -> Vec<i32> {
    let table = Table::read();
    let mut members: Vec<i32> = table
        .rows
        .iter()
        .filter(|(pid, row)| {
            **pid == root
                || row.session == root
                || row.group == root
                || (row.parent == adopter && carries(**pid, run))
        })
        .map(|(pid, _)| *pid)
        .collect();
    let mut next = 0;
    while let Some(&parent) = members.get(next) {
        for (pid, row) in &table.rows {
            if row.parent == parent && !members.contains(pid) {
                members.push(*pid);
            }
        }
        next += 1;
    }
    members.retain(|pid| *pid != adopter && table.rows.get(pid).is_some_and(|row| !row.is_dead));
    members.sort_unstable();
    members
}

/// Sends a signal to all processes of a run, and to those that appear meanwhile, until a search
/// finds none that hasn't had it. Returns how many had it.
pub fn signal_run(root: i32, run: &str, adopter: i32, signal: i32) -> usize {
    let mut done: Vec<i32> = Vec::new();
    for _ in 0..MAX_ROUNDS {
        // the handles first, the question once more after: a pid may be another's by now
        let handles: Vec<_> = of_run(root, run, adopter)
            .into_iter()
            .filter(|pid| !done.contains(pid))
            .map(|pid| (pid, sys::pidfd_open(pid)))
            .collect();
        if handles.is_empty() {
            break;
        }
        let still = of_run(root, run, adopter);
        for (pid, handle) in handles.into_iter().filter(|(pid, _)| still.contains(pid)) {
            let sent = match handle {
                Ok(handle) => sys::pidfd_signal(handle.as_fd(), signal),
                // kernels before 5.3 have no handles
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                    sys::signal(pid, signal)
                }
                Err(error) => Err(error),
            };
            if sent.is_ok() {
                done.push(pid);
            }
        }
    }
    done.len()
}

/// Ends, at once, whatever still carries a run's id, wherever it is by now: the run is to be
/// repeated, and must not go on beside itself.
pub fn end_carriers(run: &str) {
    for _ in 0..MAX_ROUNDS {
        let carriers: Vec<i32> =
            Table::read().rows.into_keys().filter(|pid| carries(*pid, run)).collect();
        if carriers.is_empty() {
            return;
        }
        for pid in carriers {
            if let Ok(handle) = sys::pidfd_open(pid)
                && carries(pid, run)
            {
                let _ = sys::pidfd_signal(handle.as_fd(), libc::SIGKILL);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// A process's children, its own and those that it adopted; `None` where the kernel doesn't tell.
pub fn children(parent: i32) -> Option<Vec<i32>> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Some(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// When a process began, in ticks since the boot: with its number, a name for it alone.
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    // field 22 of proc(5); the state, field 3, is the first here
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Whether the process that was started then is still there, and isn't just waiting to be reaped.
pub fn is_running(pid: i32, start: u64) -> bool {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let end = stat.iter().rposition(|byte| *byte == b')').unwrap_or(stat.len());
    let is_dead = matches!(stat.get(end + 2), None | Some(b'Z' | b'X'));
    !is_dead && start_time(pid) == Some(start)
}

/// Whether any process of a run has libvirt's client library mapped.
pub fn uses_libvirt(pids: &[i32]) -> bool {
    pids.iter().any(|pid| {
        fs::read(format!("/proc/{pid}/maps"))
            .is_ok_and(|maps| maps.windows(11).any(|window| window == b"/libvirt.so"))
    })
}

/// What a process is called, for people.
pub fn name(pid: i32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// The value of a variable in the environment that a process was started with.
pub fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment.split(|byte| *byte == 0).find_map(|variable| {
        variable.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
    })?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn carries(pid: i32, run: &str) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    environment.split(|byte| *byte == 0).any(|variable| {
        variable
            .strip_prefix(RUN_VARIABLE.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
            .is_some_and(|value| value == run.as_bytes())
    })
}

struct Row {
    parent: i32,
    group: i32,
    session: i32,
    is_dead: bool,
}

struct Table {
    rows: HashMap<i32, Row>,
}

impl Table {
    fn read() -> Table {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let rows = entries
            .filter_map(|entry| {
                let pid = std::str::from_utf8(entry.file_name().as_bytes()).ok()?.parse().ok()?;
                Some((pid, row(&fs::read(entry.path().join("stat")).ok()?)?))
            })
            .collect();
        Table { rows }
    }
}

/// Reads proc(5)'s `stat`; the name in parentheses may hold anything, so what follows its end.
fn row(stat: &[u8]) -> Option<Row> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    let mut number = || fields.next()?.parse().ok();
    Some(Row { parent: number()?, group: number()?, session: number()?, is_dead })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_be_called_anything() {
        let row = row(b"77 (a) R 1 2 (x) S 5 6 7 0 -1 4194560 ...").unwrap();
        assert_eq!((row.parent, row.group, row.session, row.is_dead), (5, 6, 7, false));
        assert!(super::row(b"77 (a) Z 5 6 7 0").unwrap().is_dead);
        assert!(super::row(b"").is_none());
    }

    #[test]
    fn the_own_process_is_found_by_its_parent() {
        let me = std::process::id().cast_signed();
        let parent = nix::unistd::getppid().as_raw();
        assert!(of_run(parent, "none", 0).contains(&me));
        assert!(!of_run(parent, "none", me).contains(&me), "never ourselves");
    }
}
