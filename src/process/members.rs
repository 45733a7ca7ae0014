//! The processes of a run: found in `/proc`, and ended as a whole.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::machine::proc::{self, Stat};
use crate::machine::sys;

/// The variable that marks the processes of a run. It is there whatever their parent is.
pub(crate) const RUN_VARIABLE: &str = "HOOKMUX_RUN";

/// The limit of searches: each process that is found may start another one.
const MAX_ROUNDS: usize = 20;
/// The time limit of repeated searches: with thousands of processes each search takes long.
const SIGNAL_TIMEOUT: Duration = Duration::from_millis(500);
/// The time limit for the end of all processes that carry the id of a run.
const KILL_ALL_TIMEOUT: Duration = Duration::from_secs(2);
/// The number of processes of a run that are checked for libvirt's library.
const MAX_CHECKED_PROCESSES: usize = 100;

/// A process, identified for this boot: its number and its start time in ticks since the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Member {
    pub pid: i32,
    start: u64,
    pub is_uninterruptible: bool,
}

/// Returns all processes of a run: descendants of its process, members of its session or group, and
/// orphans that this process has adopted and that carry the run's id. It reads every process of the
/// host once.
pub(crate) fn of_run(root: i32, run: &str, adopter: i32) -> Vec<Member> {
    let processes: HashMap<i32, Stat> = proc::all().collect();
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, stat) in &processes {
        children.entry(stat.parent).or_default().push(*pid);
    }
    let is_first = |pid: i32, stat: &Stat| {
        pid == root
            || stat.session == root
            || stat.group == root
            || (stat.parent == adopter && carries(pid, run))
    };
    let first = processes.iter().filter(|(pid, stat)| is_first(**pid, stat));
    let mut found: Vec<i32> = first.map(|(pid, _)| *pid).collect();
    let mut known: HashSet<i32> = found.iter().copied().collect();
    while let Some(parent) = found.pop() {
        let theirs = children.get(&parent).into_iter().flatten();
        found.extend(theirs.filter(|child| known.insert(**child)));
    }
    let member = |pid: i32| {
        let stat = processes.get(&pid).filter(|stat| pid != adopter && !stat.is_dead())?;
        Some(Member { pid, start: stat.start, is_uninterruptible: stat.state == 'D' })
    };
    let mut members: Vec<Member> = known.into_iter().filter_map(member).collect();
    members.sort_unstable();
    members
}

/// Sends a signal to all processes of a run, and to those that appear meanwhile, until a search
/// finds none that hasn't had it, or until there is no more time for it.
pub(crate) fn signal_run(root: i32, run: &str, adopter: i32, signal: i32) {
    let ends = Instant::now() + SIGNAL_TIMEOUT;
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
        Ok(handle) if proc::start_time(member.pid) == Some(member.start) => {
            sys::pidfd_signal(handle.as_fd(), signal)
        }
        Ok(_) => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        // kernels before 5.3 have no handles, and where no descriptor is free there is none
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EMFILE | libc::ENFILE)) =>
        {
            if proc::start_time(member.pid) == Some(member.start) {
                sys::signal(member.pid, signal)
            } else {
                Err(io::Error::from_raw_os_error(libc::ESRCH))
            }
        }
        Err(error) => Err(error),
    }
}

/// Kills all processes that carry the id of a run, because the run will be repeated and must not run
/// twice at the same time. A process that is still there after two seconds can't be killed.
pub(crate) fn kill_all_of_run(run: &str) {
    let ends = Instant::now() + KILL_ALL_TIMEOUT;
    loop {
        let carriers: Vec<Member> = proc::all()
            .filter(|(pid, stat)| !stat.is_dead() && carries(*pid, run))
            .map(|(pid, stat)| Member { pid, start: stat.start, is_uninterruptible: false })
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

/// Tells whether any process of a run has mapped libvirt's client library.
pub(crate) fn uses_libvirt(members: &[Member]) -> bool {
    // only for the text of a message: a limited number is enough
    members.iter().take(MAX_CHECKED_PROCESSES).any(|member| {
        fs::read(format!("/proc/{}/maps", member.pid))
            .is_ok_and(|maps| memchr::memmem::find(&maps, b"/libvirt.so").is_some())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

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
