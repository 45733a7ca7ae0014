//! What a call costs, and how that grows.

use std::fs;
use std::time::Duration;

use super::call::Call;
use super::host::Host;

/// Costs below this say nothing: clocks of processes tick a hundred times a second.
const FLOOR: Duration = Duration::from_millis(80);
/// How often something is measured that seems to have grown too much.
const TRIES: usize = 4;
/// What four times as much may cost: between the 4 of what grows in proportion and the 16 of what grows with the
/// square. A machine with other things to do makes a call up to twice as dear, no more.
const MOST_GROWTH: f64 = 9.0;

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

/// Sees to it that four times as much costs no more than about four times the time: the best of several of each, in
/// one run on one machine. `size` lies in the middle: half of it is held against twice of it.
#[track_caller]
pub fn grows_no_faster_than(what: &str, size: usize, mut cost: impl FnMut(usize) -> Duration) {
    let (small, large) = (size / 2, 2 * size);
    let (mut little, mut much) = (Duration::MAX, Duration::MAX);
    for _ in 0..TRIES {
        little = little.min(cost(small));
        much = much.min(cost(large));
        if much.as_secs_f64() <= MOST_GROWTH * little.max(FLOOR).as_secs_f64() {
            return;
        }
    }
    panic!("{what}: {small} cost {little:?}, {large} cost {much:?}");
}
