//! Which process queued a job: its hook may run once libvirt has that call's answer.

use serde::{Deserialize, Serialize};

use crate::machine::proc;

/// The identity of a process. Unlike a pid, it never means another process later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Caller {
    pub pid: i32,
    pub start: u64,
}

impl Caller {
    /// Returns the identity of this process.
    pub fn here() -> Caller {
        let pid = nix::unistd::getpid().as_raw();
        Caller { pid, start: proc::start_time(pid).unwrap_or_default() }
    }

    /// Tells whether the call still runs, so that libvirt has no answer yet. A zombie has answered.
    pub fn is_there(self) -> bool {
        proc::is_running(self.pid, self.start)
    }
}
