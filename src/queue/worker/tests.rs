use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::*;
use crate::bypass::BypassEntry;
use crate::config::TrustPolicy;
use crate::occasion::Execution;
use crate::process::capture::Capture;
use crate::process::job::{FinishedJob, ProcessOutcome};
use crate::queue::caller::Caller;
use crate::queue::item::{Bytes, Item};
use crate::state::Dir;

/// What the worker tells of troubles and tries.
#[derive(Default)]
struct Told(Vec<String>);

impl Observer for Told {
    fn observe(&mut self, _: &Execution, fact: &Notice<'_>) {
        if let Notice::OwnError(words) | Notice::Warning { words, .. } = fact {
            self.0.push((*words).to_owned());
        }
    }
}

/// A job of the hook `h` for the guest `g`, but for what `more` says.
fn item(id: &str, more: &Value) -> Item {
    let mut head = json!({
        "id": id, "driver": "qemu", "object": "g", "operation": "started", "hook": "e/h",
        "registration": "h", "retries": 3,
    });
    for (key, value) in more.as_object().unwrap() {
        head[key] = value.clone();
    }
    let mut head = ItemHead::parse(&serde_json::to_vec(&head).unwrap(), id).unwrap();
    head.call_arguments = vec![Bytes(head.object.clone().into_bytes())];
    // `/bin/true`
    let body = json!({"path": "L2Jpbi90cnVl", "arguments": ["L2Jpbi90cnVl"]});
    Item { head, body: ItemBody::parse(&serde_json::to_vec(&body).unwrap()).unwrap() }
}

/// Gives a test a worker for these jobs, whose ids are `1`, `2` and so on; returns what is told.
fn with_worker(
    max_parallel: usize,
    jobs: &[Value],
    test: impl FnOnce(&mut WorkerState<'_>),
) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let surroundings = Surroundings::here(&root);
    let mut settings = Settings::defaults(&surroundings);
    settings.state_dir = Dir::of_test(&root.join("state"));
    settings.runtime_dir = Dir::of_test(&root.join("run"));
    settings.max_parallel = max_parallel;
    // of a host, whose programs are not this test's subject
    settings.trust = TrustPolicy::Warn;
    let queue = Queue::new(&settings.state_dir);
    for (index, more) in jobs.iter().enumerate() {
        queue.add(&mut item(&(index + 1).to_string(), more), settings.queue).unwrap();
    }
    let mut told = Told::default();
    let mut state = WorkerState {
        settings: &settings,
        surroundings: &surroundings,
        queue: &queue,
        clock: BootClock::here(),
        waiting: Waiting::default(),
        ignored: HashSet::new(),
        watch: Watch::new(queue.directory().path().unwrap()),
        active: Vec::new(),
        started: 0,
        observer: &mut told,
        bypass: Bypass::default(),
        backoff: None,
        records: 0,
        asked: Instant::now(),
        looked: Instant::now(),
    };
    state.scan();
    test(&mut state);
    drop(state);
    told.0
}

fn null() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
}

/// Starts what may start; returns the ids.
fn start_all(state: &mut WorkerState<'_>) -> String {
    let mut started = Vec::new();
    while let Next::Start(_) = state.next(&null) {
        started.push(state.active.last().unwrap().head.id.clone());
    }
    started.join(" ")
}

/// Ends the job that was started as this one.
fn end(state: &mut WorkerState<'_>, number: usize, outcome: ProcessOutcome) {
    let ended = FinishedJob {
        outcome,
        duration: Duration::from_millis(230),
        result: Default::default(),
        stdout: Capture::default(),
        stderr: Capture::default(),
        leftovers: Vec::new(),
        unkillable: false,
    };
    state.finish(number, ended);
}

/// Switches hooks off for a guest, or for all; `false` switches them on again.
fn bypass(state: &WorkerState<'_>, is_on: bool, guest: Option<&str>) {
    let guest = guest.map(str::to_owned);
    let entry = BypassEntry { guest, until: None, boot: None, since: 0, user: None, reason: None };
    let entries = if is_on { vec![entry] } else { Vec::new() };
    bypass::keep(&state.settings.hooks_dir, &Bypass { entries }).unwrap();
}

fn ago(seconds: u64) -> u64 {
    crate::machine::clock::unix_seconds() - seconds
}

fn ahead(seconds: u64) -> u64 {
    crate::machine::clock::unix_seconds() + seconds
}

#[test]
fn each_job_starts_unless_its_own_row_says_what_it_waits_for() {
    let other = || json!({"object": "other"});
    let of = |object: &str, more: Value| {
        let mut job = more;
        job["object"] = json!(object);
        job
    };
    let lock = |object: &str, name: &str| of(object, json!({"lock": name}));
    let one_of =
        |object: &str, hook: &str| of(object, json!({"registration": hook, "max_parallel": 1}));
    let died = |object: &str, deaths: u32| of(object, json!({"deaths": deaths}));
    // the most at a time, the jobs, which of them start, and what the others wait for
    #[rustfmt::skip]
    let table = [
        // a guest's one after the other, of several guests side by side
        (9, vec![json!({})],                                         "1",   vec![]),
        (9, vec![json!({}), json!({})],                              "1",   vec![]),
        (9, vec![json!({}), other(), json!({})],                     "1 2", vec![]),
        // names count only where there is no uuid
        (9, vec![json!({"uuid": "a"}), json!({"uuid": "b"})],        "1 2", vec![]),
        (9, vec![json!({"uuid": "a"}), of("new name", json!({"uuid": "a"}))], "1", vec![]),
        (9, vec![json!({}), json!({"driver": "lxc"})],               "1 2", vec![]),
        // no more than the settings allow
        (1, vec![json!({}), other()],                                "1",   vec![]),
        (2, vec![json!({}), other(), of("third", json!({}))],        "1 2", vec![]),
        // no more of a hook than it allows
        (9, vec![one_of("a", "x"), one_of("b", "x")],                "1",   vec![WaitReason::Hook("x".into())]),
        (9, vec![one_of("a", "x"), one_of("b", "y")],                "1 2", vec![]),
        (9, vec![one_of("a", "h"), other()],                         "1 2", vec![]),
        (9, vec![json!({}), one_of("b", "h")],                       "1",   vec![WaitReason::Hook("h".into())]),
        // one lock, one holder
        (9, vec![lock("a", "gpu"), lock("b", "gpu")],                "1",   vec![WaitReason::Lock("gpu".into())]),
        (9, vec![lock("a", "gpu"), lock("b", "nic"), other()],       "1 2 3", vec![]),
        // a pause holds back the guest, and nobody else
        (9, vec![json!({"not_before": ahead(30)}), json!({}), other()], "3", vec![]),
        (9, vec![json!({"not_before": ago(1)})],                     "1",   vec![]),
        // too old: given up, and the next has its turn
        (9, vec![json!({"queued_at": ago(3700)}), json!({})],        "2",   vec![]),
        (9, vec![json!({"queued_at": ago(3500)}), json!({})],        "1",   vec![]),
        // the call that queued it has no answer yet
        (9, vec![json!({"caller": Caller::here()}), json!({}), other()], "3", vec![WaitReason::Caller(Caller::here())]),
        (9, vec![json!({"caller": {"pid": i32::MAX, "start": 1}})],  "1",   vec![]),
        // those that may have killed their workers run one at a time, beside all others
        (9, vec![died("a", 2), died("b", 2), other()],               "1 3", vec![WaitReason::Suspect]),
        (9, vec![died("a", 1), died("b", 1)],                        "1 2", vec![]),
    ];
    for (max_parallel, jobs, started, obstacles) in table {
        let told = with_worker(max_parallel, &jobs, |state| {
            assert_eq!(start_all(state), started, "{jobs:?}");
            let seen: Vec<WaitReason> = state.waiting.reasons().cloned().collect();
            assert_eq!(seen, obstacles, "{jobs:?}");
        });
        let is_given_up = jobs[0]["queued_at"].as_u64().is_some_and(|at| at <= ago(3600));
        assert_eq!(told.len(), usize::from(is_given_up), "{told:?}");
        assert!(told.iter().all(|words| words.contains("given up: it expired")), "{told:?}");
    }
}

#[test]
fn the_emergency_switch_holds_back_whom_it_names_until_it_is_off() {
    for (guest, started, later) in
        [(None, "", "1 2"), (Some("g"), "2", "1"), (Some("else"), "1 2", "")]
    {
        let told = with_worker(9, &[json!({}), json!({"object": "other"})], |state| {
            bypass(state, true, guest);
            assert_eq!(start_all(state), started, "{guest:?}");
            let is_blocked = state.waiting.reasons().any(|one| *one == WaitReason::Bypass);
            assert_eq!(is_blocked, !later.is_empty(), "{guest:?}");
            bypass(state, false, guest);
            assert_eq!(start_all(state), later, "{guest:?}");
        });
        assert!(told.is_empty(), "{told:?}");
    }
}

#[test]
fn a_job_waits_for_the_end_of_the_call_that_queued_it() {
    // it ends with this test, whatever comes of it
    let mut call = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let pid = i32::try_from(call.id()).unwrap();
    let start = crate::machine::proc::start_time(pid).unwrap();
    let jobs = [json!({"caller": Caller { pid, start }})];
    with_worker(9, &jobs, |state| {
        assert_eq!(start_all(state), "");
        call.kill().unwrap();
        call.wait().unwrap();
        state.asked -= POLL_INTERVAL;
        assert_eq!(start_all(state), "1");
    });
}

#[test]
fn the_end_of_a_job_gives_its_turn_its_lock_and_its_place_to_the_next() {
    #[rustfmt::skip]
    let table = [
        (9, vec![json!({}), json!({})]),
        (1, vec![json!({}), json!({"object": "b"})]),
        (9, vec![json!({"lock": "gpu"}), json!({"object": "b", "lock": "gpu"})]),
        (9, vec![json!({"max_parallel": 1}), json!({"object": "b", "max_parallel": 1})]),
        (9, vec![json!({"deaths": 2}), json!({"object": "b", "deaths": 2})]),
    ];
    for (max_parallel, jobs) in table {
        with_worker(max_parallel, &jobs, |state| {
            assert_eq!(start_all(state), "1", "{jobs:?}");
            end(state, 0, ProcessOutcome::Exited(0));
            // at once: not only when it is asked again
            state.asked = Instant::now();
            assert_eq!(start_all(state), "2", "{jobs:?}");
            end(state, 1, ProcessOutcome::Exited(0));
            assert!(matches!(state.next(&null), Next::Done), "{jobs:?}");
            assert!(state.queue.is_empty(), "{jobs:?}");
        });
    }
}

#[test]
fn how_a_try_ends_decides_whether_there_is_another_and_when() {
    let timed_out =
        || ProcessOutcome::TimedOut { limit: Duration::from_secs(1), calls_libvirt: false };
    // retries, tries before, deaths of workers before; then tries, deaths and the pause in
    // seconds of what is left, and what is told
    #[rustfmt::skip]
    let table = [
        (3, 0, 0, ProcessOutcome::Exited(0),   None,            ""),
        (0, 0, 2, ProcessOutcome::Exited(0),   None,            ""),
        (3, 0, 0, ProcessOutcome::Exited(7),   Some((1, 0, 1)), "exit status 7 after 0.2 s; tried again, 1 of 3 times"),
        (3, 1, 0, ProcessOutcome::Exited(7),   Some((2, 0, 2)), "tried again, 2 of 3 times"),
        (3, 2, 0, ProcessOutcome::Exited(7),   Some((3, 0, 4)), "tried again, 3 of 3 times"),
        (3, 3, 0, ProcessOutcome::Exited(7),   None,            "given up after 4 tries: exit status 7"),
        (0, 0, 0, ProcessOutcome::Exited(7),   None,            "given up after 1 try: exit status 7"),
        (9, 8, 0, ProcessOutcome::Signaled(9), Some((9, 0, 60)), "tried again, 9 of 9 times"),
        (1, 0, 0, timed_out(),          Some((1, 0, 1)), "timed out after 1.0 s; tried again, 1 of 1 times"),
        (1, 1, 0, timed_out(),          None,            "given up after 2 tries: timed out"),
        // its worker lived: whatever died before was no fault of this one
        (3, 0, 2, ProcessOutcome::Exited(7),   Some((1, 0, 1)), "tried again"),
        // the worker was told to end: that was no try
        (3, 0, 0, ProcessOutcome::Terminated,  Some((0, 0, 0)), ""),
        (3, 2, 2, ProcessOutcome::Terminated,  Some((2, 2, 0)), ""),
        (0, 0, 0, ProcessOutcome::Terminated,  Some((0, 0, 0)), ""),
    ];
    for (retries, attempts, deaths, outcome, left, words) in table {
        let place = format!("{retries} {attempts} {deaths} {outcome:?}");
        let job = json!({"retries": retries, "attempts": attempts, "deaths": deaths});
        let told = with_worker(9, &[job], |state| {
            assert_eq!(start_all(state), "1", "{place}");
            let before_ns = state.clock.now_ns();
            end(state, 0, outcome);
            let after_ns = state.clock.now_ns();
            let head = state.queue.head("1").ok();
            let seen = head.as_ref().map(|head| (head.attempts, head.deaths));
            assert_eq!(seen, left.map(|(attempts, deaths, _)| (attempts, deaths)), "{place}");
            if let (Some(head), Some((.., pause_s))) = (head, left) {
                assert_eq!(head.run, None, "{place}: nothing runs any more");
                let due_ns = head.due.map_or(after_ns, |due| due.boottime_ns);
                let pause_ns = pause_s * 1_000_000_000;
                let expected = before_ns + pause_ns..=after_ns + pause_ns;
                assert!(expected.contains(&due_ns), "{place}: {due_ns} {expected:?}");
            }
            assert_eq!(state.waiting.contains("1"), left.is_some(), "{place}");
        });
        assert_eq!(told.len(), usize::from(!words.is_empty()), "{place}: {told:?}");
        assert!(told.iter().all(|told| told.contains(words)), "{place}: {told:?}");
    }
}

#[test]
fn a_job_is_suspected_when_one_more_death_would_put_it_aside() {
    for (deaths, expected) in [(0, false), (1, false), (2, true), (3, true)] {
        let head = item("1", &json!({"deaths": deaths})).head;
        assert_eq!(is_suspect(&head), expected, "{deaths} of {MAX_DEATHS}");
    }
}

#[test]
fn a_worker_sleeps_until_the_next_pause_is_over_and_asks_for_what_nobody_tells() {
    let second = Duration::from_secs(1);
    #[rustfmt::skip]
    let table = [
        (vec![json!({"not_before": ahead(50)})],                                 30 * second..=50 * second),
        (vec![json!({"not_before": ahead(50)}), json!({"object": "b", "not_before": ahead(25)})], second..=25 * second),
        // one that expires before that
        (vec![json!({"not_before": ahead(50), "queued_at": ago(3575)})],         second..=25 * second),
        (vec![json!({"lock": "x"}), json!({"object": "b", "lock": "x"})],        POLL_INTERVAL..=POLL_INTERVAL),
        (vec![json!({"max_parallel": 1}), json!({"object": "b", "max_parallel": 1})], POLL_INTERVAL..=POLL_INTERVAL),
        // all run: nothing to ask for
        (vec![json!({})],                                                        MAX_WAIT_INTERVAL..=MAX_WAIT_INTERVAL),
    ];
    for (jobs, expected) in table {
        with_worker(9, &jobs, |state| {
            start_all(state);
            let wait = state.wait();
            assert!(
                expected.contains(&wait) || state.watch.is_without_inotify(),
                "{jobs:?}: {wait:?}"
            );
        });
    }
    with_worker(9, &[json!({})], |state| {
        bypass(state, true, None);
        start_all(state);
        assert!(state.wait() == BYPASS_INTERVAL || state.watch.is_without_inotify());
    });
}

#[test]
fn a_worker_of_an_empty_queue_is_done() {
    with_worker(9, &[], |state| assert!(matches!(state.next(&null), Next::Done)));
}
