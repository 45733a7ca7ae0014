//! Hooks that run at this moment.

use super::shape::object;
use super::value::{Seconds, Time};
use crate::machine::clock;
use crate::record::form::RecordHead;
use crate::record::running::StartedHook;

object! {
    /// A hook that runs at this moment.
    pub struct RunningHook {
        /// The hook
        hook: String,
        /// The event; null where it runs at a call, and for rollbacks and undos
        event: Option<String>,
        /// The device, for an event of a device
        device: Option<String>,
        /// Its process
        pid: i32,
        /// When it was started
        began: Time,
        /// How long it has been running
        running_s: Seconds,
        /// After how long it is ended; null where it has no limit
        limit_s: Option<Seconds>,
        /// The last line of its output so far; null in its first second, and while it has printed nothing
        last_line: Option<String>,
    }
}

impl RunningHook {
    pub(crate) fn of(hook: &StartedHook, head: &RecordHead) -> RunningHook {
        let began_us = head.began_us.saturating_add(hook.start_us);
        let planned = head.hooks.iter().find(|planned| planned.hook == hook.hook);
        RunningHook {
            hook: hook.hook.clone(),
            event: planned.and_then(|planned| planned.event.clone()),
            device: hook.device.clone(),
            pid: hook.pid,
            began: Time::of_micros(began_us),
            running_s: Seconds::of_micros(clock::unix_microseconds().saturating_sub(began_us)),
            limit_s: hook.limit_us.map(Seconds::of_micros),
            last_line: hook.last_line.clone(),
        }
    }
}
