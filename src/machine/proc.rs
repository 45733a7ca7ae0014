//! What a hook started: found in `/proc`, ended as a whole.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use super::sys;

/// The variable by which a process is known as a run's, whoever its parent is by now.
pub(crate) const RUN_VARIABLE: &str = "HOOKMUX_RUN";

/// How often a search is repeated where every process found may start another.
const MAX_ROUNDS: usize = 20;
/// How long searches for new ones are repeated: with thousands of processes each takes its time.
const SIGNAL_TIME: Duration = Duration::from_millis(500);
/// How long what carries a run's id is looked for until none is left.
const CARRIERS_TIME: Duration = Duration::from_secs(2);
/// How many processes of a run are asked whether they use libvirt.
const MOST_ASKED: usize = 100;

/// A process, by a name that no other process gets in this boot: its number and when it began, in
/// ticks since the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Member {
    pub pid: i32,
    start: u64,
    pub is_uninterruptible: bool,
}

/// All processes that belong to a run: descendants of its process, members of its session or
/// group, and what came to us as the adopter of orphans and carries the run's id. One look at
/// every process of the host, however many are the run's.
pub(crate) fn of_run(root: i32, run: &str, adopter: i32) -> Vec<Member> {
    let table = Table::read();
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, row) in &table.rows {
        children.entry(row.parent).or_default().push(*pid);
    }
    let is_first = |pid: i32, row: &Stat| {
        pid == root
            || row.session == root
            || row.group == root
            || (row.parent == adopter && carries(pid, run))
    };
    let first = table.rows.iter().filter(|(pid, row)| is_first(**pid, row));
    let mut found: Vec<i32> = first.map(|(pid, _)| *pid).collect();
    let mut known: HashSet<i32> = found.iter().copied().collect();
    while let Some(parent) = found.pop() {
        let theirs = children.get(&parent).into_iter().flatten();
        found.extend(theirs.filter(|child| known.insert(**child)));
    }
    let member = |pid: i32| {
        let row = table.rows.get(&pid).filter(|row| pid != adopter && !row.is_dead())?;
        Some(Member { pid, start: row.start, is_uninterruptible: row.state == 'D' })
    };
    let mut members: Vec<Member> = known.into_iter().filter_map(member).collect();
    members.sort_unstable();
    members
}

/// Sends a signal to all processes of a run, and to those that appear meanwhile, until a search
/// finds none that hasn't had it, or until there is no more time for it.
pub(crate) fn signal_run(root: i32, run: &str, adopter: i32, signal: i32) {
    let ends = Instant::now() + SIGNAL_TIME;
    let mut done: HashSet<(i32, u64)> = HashSet::new();
    for round in 0..MAX_ROUNDS {
        let members = of_run(root, run, adopter);
        let mut is_any = false;
        for member in members {
            if !done.contains(&(member.pid, member.start)) && send(member, signal).is_ok() {
                done.insert((member.pid, member.start));
                is_any = true;
            }
        }
        if !is_any || (round > 0 && Instant::now() >= ends) {
            return;
        }
    }
}

/// Sends a signal to the process that was found, and to no other that has its number by now.
fn send(member: Member, signal: i32) -> io::Result<()> {
    match sys::pidfd_open(member.pid) {
        // asked once more, now that it can't become another's
        Ok(handle) if start_time(member.pid) == Some(member.start) => {
            sys::pidfd_signal(handle.as_fd(), signal)
        }
        Ok(_) => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        // kernels before 5.3 have no handles, and where no descriptor is free there is none
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EMFILE | libc::ENFILE)) =>
        {
            if start_time(member.pid) == Some(member.start) {
                sys::signal(member.pid, signal)
            } else {
                Err(io::Error::from_raw_os_error(libc::ESRCH))
            }
        }
        Err(error) => Err(error),
    }
}

/// Ends, at once, whatever still carries a run's id, wherever it is by now: the run is to be
/// repeated, and must not go on beside itself. What is left after two seconds can't be ended.
pub(crate) fn end_carriers(run: &str) {
    let ends = Instant::now() + CARRIERS_TIME;
    loop {
        let carriers: Vec<Member> = Table::read()
            .rows
            .into_iter()
            .filter(|(pid, row)| !row.is_dead() && carries(*pid, run))
            .map(|(pid, row)| Member { pid, start: row.start, is_uninterruptible: false })
            .collect();
        if carriers.is_empty() {
            return;
        }
        for carrier in carriers {
            let _ = send(carrier, libc::SIGKILL);
        }
        if Instant::now() >= ends {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process's children, its own and those that it adopted; `None` where the kernel doesn't tell.
pub(crate) fn children(parent: i32) -> Option<Vec<i32>> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Some(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// When a process began, in ticks since the boot: with its number, a name for it alone.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    Some(Stat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)?.start)
}

/// The process that a process is a child of.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    Some(Stat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)?.parent)
}

/// Whether the process that was started then is still there, and isn't just waiting to be reaped.
pub(crate) fn is_running(pid: i32, start: u64) -> bool {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    Stat::parse(&stat).is_some_and(|row| !row.is_dead() && row.start == start)
}

/// Whether any process of a run has libvirt's client library mapped.
pub(crate) fn uses_libvirt(members: &[Member]) -> bool {
    // only for the words of a message: so many are asked
    members.iter().take(MOST_ASKED).any(|member| {
        fs::read(format!("/proc/{}/maps", member.pid))
            .is_ok_and(|maps| memchr::memmem::find(&maps, b"/libvirt.so").is_some())
    })
}

/// What a process is called, for people.
pub(crate) fn name(pid: i32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// The value of a variable in the environment that a process was started with.
pub(crate) fn variable(pid: i32, name: &str) -> Option<String> {
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

/// What proc(5)'s `stat` says of a process.
pub(crate) struct Stat {
    pub parent: i32,
    group: i32,
    session: i32,
    state: char,
    /// In ticks since the boot.
    pub start: u64,
}

impl Stat {
    /// Reads `stat`; the name in parentheses may hold anything, so what follows its end.
    pub(crate) fn parse(stat: &[u8]) -> Option<Stat> {
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        // the state is field 3 of proc(5), when it began is field 22
        let state = fields.next()?.chars().next()?;
        let mut number = || fields.next()?.parse().ok();
        let (parent, group, session) = (number()?, number()?, number()?);
        let start = fields.nth(15)?.parse().ok()?;
        Some(Stat { parent, group, session, state, start })
    }

    /// Whether it only waits to be reaped.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

struct Table {
    rows: HashMap<i32, Stat>,
}

impl Table {
    fn read() -> Table {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let rows = entries
            .filter_map(|entry| {
                let pid = std::str::from_utf8(entry.file_name().as_bytes()).ok()?.parse().ok()?;
                Some((pid, Stat::parse(&fs::read(entry.path().join("stat")).ok()?)?))
            })
            .collect();
        Table { rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_be_called_anything() {
        let rest = "5 6 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 5 6";
        let row = Stat::parse(format!("77 (a) R 1 2 (x) S {rest}").as_bytes()).unwrap();
        assert_eq!((row.parent, row.group, row.session, row.state), (5, 6, 7, 'S'));
        assert_eq!((row.start, row.is_dead()), (4711, false));
        assert!(Stat::parse(format!("77 (a) Z {rest}").as_bytes()).unwrap().is_dead());
        assert!(Stat::parse(b"").is_none());
        let me = nix::unistd::getpid().as_raw();
        assert!(is_running(me, start_time(me).unwrap()));
        assert!(!is_running(me, start_time(me).unwrap() + 1));
    }

    #[test]
    fn the_own_process_is_found_by_its_parent() {
        let me = nix::unistd::getpid().as_raw();
        let parent = nix::unistd::getppid().as_raw();
        let is_found =
            |adopter| of_run(parent, "none", adopter).iter().any(|member| member.pid == me);
        assert!(is_found(0));
        assert!(!is_found(me), "never ourselves");
    }
}
