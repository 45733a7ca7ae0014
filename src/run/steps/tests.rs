use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::{self, Signal};

use super::*;
use crate::config::Registration;
use crate::document::facts::DocumentFacts;
use crate::event::Origin;
use crate::libvirt::{Call, Document, Driver};
use crate::observer::{CommandLine, Observer};
use crate::occasion::{self, Execution};
use crate::process::capture::Capture;
use crate::process::supervise::Supervisor;

fn step(label: &str) -> Step {
    Step {
        event: Some("before_vm_start".into()),
        device: None,
        hook: Hook::for_tests(label),
        decision: Decision::Run,
    }
}

/// A step of a registered hook with these keys.
fn registered(keys: &str) -> Step {
    let text = format!("command: /x\nevents: before_vm_start\n{keys}\n");
    let (path, root) = (Path::new("/h/hooks.d/x.yaml"), Path::new("/h"));
    let registration = Registration::parse(path, root, &text).unwrap();
    let mut step = step("before_vm_start/x");
    (step.hook.source, step.hook.weight) = (HookSource::Registered, registration.weight);
    step.hook.registration = Some(Arc::new(registration));
    step
}

fn fails(status: i32) -> Decision {
    Decision::Fails { status, why: "refused".to_owned(), is_its_own: false }
}

fn failure_of(label: &str) -> HookFailure {
    HookFailure {
        label: label.to_owned(),
        status: 1,
        what: "it failed".to_owned(),
        stderr: Vec::new(),
        kill: false,
        is_tolerated: false,
    }
}

/// What became of a hook; `None` where it could not be tried.
fn run_of(outcome: Option<ProcessOutcome>, failure: Option<HookFailure>) -> HookRun {
    let ended = outcome.map(|outcome| FinishedJob {
        outcome,
        duration: Duration::ZERO,
        result: Default::default(),
        stdout: Capture::default(),
        stderr: Capture::default(),
        leftovers: Vec::new(),
        unkillable: false,
    });
    HookRun {
        label: "x".to_owned(),
        event: None,
        device: None,
        path: "x".into(),
        command: CommandLine::default(),
        ended,
        change: Change::None,
        failure,
        job: None,
        undo: None,
    }
}

#[test]
fn neighbours_run_side_by_side_where_all_of_them_say_so_and_nothing_parts_them() {
    let parallel = || registered("parallel: true");
    let lock = |name: &str| registered(&format!("parallel: true\nlock: {name}"));
    let weight = |weight: i64| registered(&format!("parallel: true\nweight: {weight}"));
    let at = |event: Option<&'static str>, device| Step {
        event: event.map(Into::into),
        device,
        ..parallel()
    };
    let decided = |decision| Step { decision, ..parallel() };
    #[rustfmt::skip]
    let table = [
        ("both say so",                     vec![parallel()],               parallel(),           true),
        ("the next doesn't",                vec![parallel()],               registered(""),       false),
        ("the first doesn't",               vec![registered("")],           parallel(),           false),
        ("one of the group doesn't",        vec![parallel(), registered("")], parallel(),         false),
        ("a script says nothing",           vec![parallel()],               step("a"),            false),
        ("beside a script",                 vec![step("a")],                parallel(),           false),
        ("two scripts",                     vec![step("a")],                step("b"),            false),
        ("of equal weight",                 vec![weight(7)],                weight(7),            true),
        ("of another weight",               vec![weight(7)],                weight(8),            false),
        ("of another weight than one",      vec![weight(7), weight(8)],     weight(8),            false),
        ("at another event",                vec![parallel()],               at(Some("e"), None),  false),
        ("at any call",                     vec![at(None, None)],           at(None, None),       true),
        ("at an event and at any call",     vec![parallel()],               at(None, None),       false),
        ("of one device",                   vec![at(Some("e"), Some(1))],   at(Some("e"), Some(1)), true),
        ("of another device",               vec![at(Some("e"), Some(1))],   at(Some("e"), Some(2)), false),
        ("of a device and of none",         vec![at(Some("e"), Some(1))],   at(Some("e"), None),  false),
        ("the next fails",                  vec![parallel()],               decided(fails(126)),  false),
        ("the first fails",                 vec![decided(fails(126))],      parallel(),           false),
        ("one lock",                        vec![lock("gpu")],              parallel(),           true),
        ("the other's lock",                vec![parallel()],               lock("gpu"),          true),
        ("two locks",                       vec![lock("gpu")],              lock("nic"),          true),
        ("the same lock",                   vec![lock("gpu")],              lock("gpu"),          false),
        ("the same lock as one of them",    vec![lock("gpu"), parallel()],  lock("gpu"),          false),
        ("the same lock as the last",       vec![parallel(), lock("gpu")],  lock("gpu"),          false),
    ];
    for (why, group, next, expected) in table {
        let group: Vec<(usize, Step)> = group.into_iter().enumerate().collect();
        assert_eq!(is_parallel_with(&group, &(group.len(), next)), expected, "{why}");
    }
}

#[test]
fn a_failure_stops_the_call_where_its_hook_says_so_or_by_vdsms_own_status() {
    use OnFailure::{Fail, Stop, Warn};
    use Style::{Libvirt, Vdsm};
    let timed_out = || ProcessOutcome::TimedOut { limit: Duration::ZERO, calls_libvirt: false };
    #[rustfmt::skip]
    let table = [
        // status 2 is vdsm's word for it, and nobody else's
        (Fail, Vdsm,    Some(ProcessOutcome::Exited(2)),   true),
        (Fail, Libvirt, Some(ProcessOutcome::Exited(2)),   false),
        (Fail, Vdsm,    Some(ProcessOutcome::Exited(1)),   false),
        (Fail, Vdsm,    Some(ProcessOutcome::Exited(3)),   false),
        (Fail, Vdsm,    Some(ProcessOutcome::Signaled(2)), false),
        (Fail, Vdsm,    Some(timed_out()),          false),
        // it succeeded, and its document can't be used
        (Fail, Vdsm,    Some(ProcessOutcome::Exited(0)),   false),
        (Fail, Vdsm,    None,                       false),
        (Stop, Vdsm,    Some(ProcessOutcome::Exited(1)),   true),
        (Stop, Libvirt, Some(ProcessOutcome::Exited(1)),   true),
        (Stop, Libvirt, Some(ProcessOutcome::Exited(2)),   true),
        (Stop, Libvirt, Some(ProcessOutcome::Signaled(9)), true),
        (Stop, Vdsm,    Some(timed_out()),          true),
        (Stop, Vdsm,    Some(ProcessOutcome::Exited(0)),   true),
        (Stop, Vdsm,    None,                       true),
        (Warn, Vdsm,    Some(ProcessOutcome::Exited(2)),   false),
        (Warn, Libvirt, Some(ProcessOutcome::Exited(1)),   false),
        (Warn, Vdsm,    None,                       false),
    ];
    for (on_failure, style, outcome, expected) in table {
        let hook = Hook { on_failure, style, ..Hook::for_tests("x") };
        let place = format!("{on_failure:?}, {style:?}, {outcome:?}");
        assert_eq!(stops(&hook, &run_of(outcome, Some(failure_of("x")))), expected, "{place}");
    }
    // what didn't fail stops nothing, whatever it says
    for on_failure in [Fail, Stop, Warn] {
        let hook = Hook { on_failure, ..Hook::for_tests("x") };
        for outcome in [Some(ProcessOutcome::Exited(0)), None] {
            assert!(!stops(&hook, &run_of(outcome, None)), "{on_failure:?}");
        }
    }
}

#[test]
fn only_a_registration_names_a_lock() {
    for (step, expected) in [
        (step("a"), None),
        (registered(""), None),
        (registered("parallel: true"), None),
        (registered("lock: gpu"), Some("gpu")),
    ] {
        assert_eq!(lock_name(&step), expected, "{step:?}");
    }
}

/// What became of each hook, in words.
#[derive(Default)]
struct Told(Vec<String>);

impl Observer for Told {
    fn observe(&mut self, _: &Execution, fact: &Notice<'_>) {
        match fact {
            Notice::Skipped { label, why } => self.0.push(format!("{label} out: {why}")),
            Notice::Warning { label, words } => self.0.push(format!("{label} warns: {words}")),
            Notice::Finished(run) => {
                let status = run.failure.as_ref().map_or(0, |failure| failure.status);
                self.0.push(format!("{} over: {status}", run.label));
            }
            _ => {}
        }
    }
}

/// Gives a test what runs the steps of such a call; returns what is told.
fn with_runner<T>(
    [operation, sub]: [&str; 2],
    test: impl FnOnce(&mut StepRunner<'_>) -> T,
) -> (T, Vec<String>) {
    let call = Call::new(Driver::Qemu, ["g", operation, sub, "-"].map(Into::into).into());
    let facts = DocumentFacts::of(Document::Absent);
    occasion::tests::with(&call, facts, Origin::Fresh, |occasion| {
        // not SIGTERM: this process has other tests
        let mut supervisor = Supervisor::new(&[Signal::SIGUSR2]).unwrap();
        let (mut exchange, mut told) = (occasion.exchange(), Told::default());
        let (launcher, trouble) =
            Launcher::new(occasion, 0, &mut supervisor, &mut exchange, &mut told);
        assert_eq!(trouble, None);
        let result = test(&mut StepRunner::new(launcher, None));
        (result, told.0)
    })
}

#[test]
fn no_further_step_starts_after_one_that_stopped_the_call_or_after_the_signal() {
    let words = |why: Option<NotRun<'_>>| why.map(|why| why.to_string());
    for (stopped, is_told_to_end, expected) in [
        (None, false, None),
        (Some("a"), false, Some(NotRun::StoppedBy("a").to_string())),
        (None, true, Some(NotRun::Terminated.to_string())),
        // the hook is the nearer reason
        (Some("a"), true, Some(NotRun::StoppedBy("a").to_string())),
    ] {
        let (seen, _) = with_runner(["prepare", "begin"], |runner| {
            if is_told_to_end {
                signal::raise(Signal::SIGUSR2).unwrap();
            }
            let seen = words(runner.reason_to_stop(stopped));
            // it is read before it would reach another one's eyes
            runner.launcher.supervisor.is_terminated();
            seen
        });
        assert_eq!(seen, expected, "{stopped:?} {is_told_to_end}");
    }
}

#[test]
fn steps_that_can_be_no_more_than_told_of_are_told_in_their_order() {
    let decided = |label: &str, decision| Step { decision, ..step(label) };
    let stopping = |label: &str| {
        let mut step = decided(label, fails(126));
        step.hook.on_failure = OnFailure::Stop;
        step
    };
    let stopped = |label: &str, by: &str| format!("{label} out: {}", NotRun::StoppedBy(by));
    for (steps, told, failed) in [
        (vec![], vec![], 0),
        (
            vec![
                decided("a", Decision::Skipped("no part".to_owned())),
                decided("b", fails(126)),
                decided("c", Decision::SkippedWithWarning("no permission".to_owned())),
                decided("d", fails(125)),
            ],
            // what has no part is told first of all
            vec![
                format!("a out: {}", NotRun::NotConcerned("no part")),
                "c warns: no permission".to_owned(),
                "b over: 126".to_owned(),
                "d over: 125".to_owned(),
            ],
            2,
        ),
        (
            vec![decided("a", fails(126)), stopping("b"), step("c"), stopping("d")],
            vec![
                "a over: 126".to_owned(),
                "b over: 126".to_owned(),
                stopped("c", "b"),
                stopped("d", "b"),
            ],
            2,
        ),
    ] {
        let (runs, seen) = with_runner(["prepare", "begin"], |runner| runner.run(steps));
        assert_eq!(seen, told);
        assert_eq!(runs.iter().filter(|run| run.failure.is_some()).count(), failed);
        assert_eq!(runs.len(), failed, "no other had a part");
    }
}

#[test]
fn what_is_foreseen_of_failing_steps_is_what_running_them_comes_to() {
    let failing = |label: &str, on_failure| {
        let mut step = Step { decision: fails(126), ..step(label) };
        step.hook.on_failure = on_failure;
        step
    };
    use OnFailure::{Fail, Stop, Warn};
    let plan = || {
        vec![
            failing("a", Fail),
            failing("b", Warn),
            failing("c", Stop),
            failing("d", Fail),
            failing("e", Stop),
        ]
    };
    let (runs, _) = with_runner(["prepare", "begin"], |runner| runner.run(plan()));
    let (steps, _) = with_runner(["prepare", "begin"], |runner| {
        let mut steps = plan();
        runner.preview(&mut steps);
        steps
    });
    let foreseen: Vec<&str> = steps
        .iter()
        .filter(|step| matches!(step.decision, Decision::Fails { .. }))
        .map(|step| step.hook.label.as_str())
        .collect();
    let ran: Vec<&str> = runs.iter().map(|run| run.label.as_str()).collect();
    assert_eq!((&foreseen, &ran), (&vec!["a", "b", "c"], &vec!["a", "b", "c"]));
    let expected = NotRun::StoppedBy("c").to_string();
    for step in &steps[3..] {
        assert_eq!(step.decision, Decision::Skipped(expected.clone()), "{}", step.hook.label);
    }
}

#[test]
fn what_hookmux_itself_refuses_never_kills_what_runs() {
    for (on_failure, is_tolerated) in
        [(OnFailure::Fail, false), (OnFailure::Stop, false), (OnFailure::Warn, true)]
    {
        let mut step = Step { decision: fails(126), ..step("a") };
        (step.hook.kill, step.hook.on_failure) = (true, on_failure);
        let (runs, _) = with_runner(["started", "begin"], |runner| runner.run(vec![step]));
        let failure = runs[0].failure.as_ref().unwrap();
        assert_eq!((failure.kill, failure.is_tolerated), (false, is_tolerated));
    }
}
