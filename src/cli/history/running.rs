//! What runs at this moment: for `hookmux`, `log`, `show`, `watch` and `stop`.

use crate::cli::output::{Output, Tone};
use crate::machine::clock;
use crate::record::form::{RecordHead, RecordState};
use crate::record::history::History;
use crate::record::running::{self, StartedHook};

/// A call that isn't over.
pub(crate) struct RunningCall {
    pub head: RecordHead,
    /// The hooks that run at this moment; none between two of them.
    pub hooks: Vec<StartedHook>,
}

/// Returns all calls that aren't over, the oldest first.
pub(crate) fn all(history: &History) -> Vec<RunningCall> {
    let ids = history.spool().running_ids();
    let heads = ids.iter().filter_map(|id| history.head(id).ok());
    heads.filter_map(RunningCall::of).collect()
}

/// Returns the hooks of an execution that run at this moment.
pub(crate) fn hooks(head: &RecordHead) -> Vec<StartedHook> {
    match head.state {
        RecordState::Running => running::read(head).running(),
        _ => Vec::new(),
    }
}

impl RunningCall {
    /// Returns what runs in an execution; `None` if it is over.
    pub(crate) fn of(head: RecordHead) -> Option<RunningCall> {
        let is_running = head.state == RecordState::Running;
        is_running.then(|| RunningCall { hooks: hooks(&head), head })
    }

    /// Says in one line what runs: `web1 prepare, before_vm_start/70-loop for 0:03 of 2:00, pid 4711: step 2`.
    pub(crate) fn line(&self) -> String {
        let RecordHead { object, operation, .. } = &self.head;
        format!("{object} {operation}, {}", now(&self.hooks, &self.head))
    }
}

/// Says which hooks run.
pub(crate) fn now(hooks: &[StartedHook], head: &RecordHead) -> String {
    if hooks.is_empty() {
        return "no hook at this moment".to_owned();
    }
    let all = hooks.iter().map(|hook| {
        let last = hook.last_line.as_ref().map(|line| format!(": {line}")).unwrap_or_default();
        format!("{} {}{last}", name(hook), since(hook, head))
    });
    all.collect::<Vec<_>>().join("; ")
}

/// Prints the hooks that run, for `show`.
pub(crate) fn print(hooks: &[StartedHook], head: &RecordHead, output: &mut Output) {
    for hook in hooks {
        output.toned(Tone::Warning, &format!("  ▸ {}", words(hook, head)));
        if let Some(line) = &hook.last_line {
            output.line(&format!("      │ {line}"));
        }
    }
}

/// Says that a hook runs: `before_vm_start/70-loop runs for 0:03 of 2:00, pid 4711`.
pub(crate) fn words(hook: &StartedHook, head: &RecordHead) -> String {
    format!("{} runs {}", name(hook), since(hook, head))
}

fn name(hook: &StartedHook) -> String {
    let device = hook.device.as_ref().map(|device| format!(" [{device}]")).unwrap_or_default();
    format!("{}{device}", hook.hook)
}

/// Says since when a hook runs, of what limit, and as which process.
fn since(hook: &StartedHook, head: &RecordHead) -> String {
    let began_us = head.began_us.saturating_add(hook.start_us);
    let micros = clock::unix_microseconds().saturating_sub(began_us);
    let limit = hook.limit_us.map(|limit| format!(" of {}", minutes(limit))).unwrap_or_default();
    format!("for {}{limit}, pid {}", minutes(micros), hook.pid)
}

/// Writes a time as minutes and seconds, or with hours: `0:03`, `1:02:03`.
pub(crate) fn minutes(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_on_a_clock() {
        for (seconds, written) in [(0, "0:00"), (3, "0:03"), (120, "2:00"), (3723, "1:02:03")] {
            assert_eq!(minutes(seconds * 1_000_000 + 999_999), written);
        }
    }
}
