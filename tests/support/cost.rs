//! What a call costs, and how that grows.

use std::fs;
use std::time::Duration;

use super::call::Call;
use super::host::Host;

/// Costs below this say nothing: clocks of processes tick a hundred times a second.
const FLOOR: Duration = Duration::from_millis(120);
/// How often something is measured that seems to have grown too much.
const TRIES: usize = 3;
/// What twice as much may cost: more than twice, for a machine has other things to do.
const MOST_GROWTH: f64 = 2.5;

/// The CPU time of a call and of all that it waited for, hooks and what they started among them.
#[track_caller]
pub fn cost(host: &Host, call: Call<'_>) -> Duration {
    // one that would never end is ended, and has cost that much
    let script = format!("ulimit -t 30; \"$@\"; times > '{}'", host.path("times").display());
    let answer = call.through(["/bin/sh", "-c", script.as_str(), "sh"]).run();
    let text = fs::read_to_string(host.path("times")).unwrap_or_else(|_| panic!("{answer:?}"));
    // the shell's own, then its children's: user and system
    let children = text.lines().nth(1).unwrap();
    children.split_whitespace().map(seconds).sum()
}

/// `0m1.25s`
fn seconds(word: &str) -> Duration {
    let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
    let seconds: f64 = seconds.replace(',', ".").parse().unwrap();
    Duration::from_secs_f64(minutes.parse::<f64>().unwrap() * 60.0 + seconds)
}

/// Sees to it that twice as much costs no more than about twice the time: the better of three of
/// each, in one run on one machine.
#[track_caller]
pub fn grows_no_faster_than(what: &str, size: usize, mut cost: impl FnMut(usize) -> Duration) {
    let (mut once, mut twice) = (Duration::MAX, Duration::MAX);
    for _ in 0..TRIES {
        once = once.min(cost(size));
        twice = twice.min(cost(2 * size));
        if twice.as_secs_f64() <= MOST_GROWTH * once.max(FLOOR).as_secs_f64() {
            return;
        }
    }
    panic!("{what}: {size} cost {once:?}, twice as much {twice:?}");
}
