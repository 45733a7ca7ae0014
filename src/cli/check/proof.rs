//! Finds out whether a daemon has looked at a link since the link was made.
//!
//! libvirt looks for hook programs when it starts and when it is reloaded (SIGHUP), and remembers
//! for each driver whether there was one (`virHookCall` in libvirt's `src/util/virhook.c`).

use std::time::SystemTime;

/// What is known about a driver besides the start of its daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DriverActivity {
    /// The last call that hookmux got.
    pub call: Option<SystemTime>,
    /// The last reload of the daemon that hookmux saw.
    pub reload: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The daemon has looked for the link, or has called it.
    LoadedSettings,
    /// It may not have looked.
    Unknown,
}

/// Compares the time of a link with what the daemon has done since it started.
pub(crate) fn proof(
    linked: SystemTime,
    started: SystemTime,
    last_call: Option<SystemTime>,
    last_reload: Option<SystemTime>,
) -> Proof {
    // a call came through the link if the link and the daemon existed before it
    let has_called = last_call.is_some_and(|call| call >= linked && call >= started);
    let checked = last_reload.map_or(started, |reload| reload.max(started));
    if has_called || linked < checked { Proof::LoadedSettings } else { Proof::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_last_look_decides() {
        let at = |second: u64| UNIX_EPOCH + Duration::from_secs(second);
        for (linked, started, call, reload, expected) in [
            (5, 10, None, None, Proof::LoadedSettings),
            (15, 10, None, None, Proof::Unknown),
            (15, 10, None, Some(20), Proof::LoadedSettings),
            (15, 10, None, Some(12), Proof::Unknown),
            // of the daemon before this one
            (15, 10, None, Some(5), Proof::Unknown),
            (15, 10, Some(16), None, Proof::LoadedSettings),
            (15, 10, Some(14), None, Proof::Unknown),
            (15, 20, Some(16), None, Proof::LoadedSettings),
            (10, 10, None, None, Proof::Unknown),
        ] {
            let seen = proof(at(linked), at(started), call.map(at), reload.map(at));
            assert_eq!(seen, expected, "{linked} {started} {call:?} {reload:?}");
        }
    }
}
