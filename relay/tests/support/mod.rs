pub mod nats;
pub mod outbox;
pub mod pki;
pub mod relay;

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const LONG: Duration = Duration::from_secs(120);

/// Waits until something holds; says what was waited for where it never does.
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(what, LONG, holds);
}

pub fn until_within(what: &str, time: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + time;
    while !holds() {
        assert!(Instant::now() < end, "this never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A program by its variable, or by its name in PATH and where administrators' programs are.
pub fn program(variable: &str, name: &str) -> Option<std::path::PathBuf> {
    if let Some(file) = std::env::var_os(variable) {
        return Some(file.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}
