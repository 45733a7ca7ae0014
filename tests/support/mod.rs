//! A private host for one test: `Host`, what it is asked: `Call`, and what it answers: `Answer`.

pub mod answer;
pub mod call;
mod command;
pub mod cost;
pub mod documents;
pub mod events;
pub mod finding;
pub mod host;
pub mod record;
pub mod schema;

pub use documents::{GUEST, capture};
pub use host::Host;

use std::time::{Duration, Instant};

/// What no step of a test may take, however loaded the machine is.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds; a test that waits in vain fails.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain waited until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether this is root, who can give files away and make mounts.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Says that a test shows nothing here.
pub fn skip(why: &str) {
    eprintln!("skipped: {why}");
    finding::skipped();
}

/// Whether a process is there and isn't just a zombie.
pub fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with(['Z', 'X']))
}
