//! Starts a worker for each target, watches them, and sums up.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::finding::{self, Finding, Kind};
use crate::targets::{self, Surroundings};
use crate::worker::{Input, Progress};

/// How long an input may wait for something without using the processor.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How many workers of one target may die before the target is given up.
const MAX_DEATHS: usize = 3;
const GLANCE: Duration = Duration::from_millis(50);

/// What is to be run.
pub struct Plan {
    pub targets: Vec<String>,
    pub seed: u64,
    /// For each target.
    pub time: Option<Duration>,
    /// For each target.
    pub inputs: Option<u64>,
    pub first: u64,
    /// Workers at a time.
    pub jobs: usize,
    /// The processor time after which an input is ended from outside.
    pub limit: Duration,
    pub tree: PathBuf,
    pub findings: PathBuf,
}

/// One target's work, over all its workers.
struct Course {
    target: String,
    begun: Instant,
    ended: Option<Duration>,
    /// Of the workers that are gone.
    sum: Progress,
    deaths: usize,
    /// The next input.
    next: u64,
}

struct Worker {
    course: usize,
    child: Child,
    progress: File,
    scratch: tempfile::TempDir,
    /// The input that was seen last, since when, and what the worker had used by then.
    seen: (u64, Instant, Duration),
}

/// Runs all targets. Whether nothing was found.
///
/// # Errors
/// A worker could not be started or watched.
pub fn run(plan: &Plan) -> io::Result<bool> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;

    let mut courses: Vec<Course> = Vec::new();
    let mut waiting = plan.targets.iter().cloned();
    let mut workers: Vec<Worker> = Vec::new();
    println!("seed {}", plan.seed);
    loop {
        while workers.len() < plan.jobs.max(1) {
            let Some(target) = waiting.next() else { break };
            courses.push(Course {
                target,
                begun: Instant::now(),
                ended: None,
                sum: Progress::default(),
                deaths: 0,
                next: plan.first,
            });
            workers.push(start(plan, &courses, courses.len() - 1)?);
        }
        if workers.is_empty() {
            break;
        }
        thread::sleep(GLANCE);
        if signals.read_signal()?.is_some() {
            // their directories go with them
            for mut worker in workers {
                worker.child.kill()?;
                worker.child.wait()?;
                follow(plan, &mut courses, worker, None)?;
            }
            sum_up(plan, &courses);
            println!("ended by a signal");
            return Ok(false);
        }
        let mut kept = Vec::new();
        for mut worker in workers {
            match worker.child.try_wait()? {
                None => {
                    if let Some(finding) = overdue(&mut worker, plan.limit)? {
                        worker.child.kill()?;
                        worker.child.wait()?;
                        kept.extend(follow(plan, &mut courses, worker, Some(finding))?);
                    } else {
                        kept.push(worker);
                    }
                }
                Some(status) => {
                    let finding = death(&worker, status);
                    kept.extend(follow(plan, &mut courses, worker, finding)?);
                }
            }
        }
        workers = kept;
    }
    Ok(sum_up(plan, &courses))
}

fn start(plan: &Plan, courses: &[Course], course: usize) -> io::Result<Worker> {
    let Course { target, next, begun, .. } = &courses[course];
    let scratch = scratch_directory()?;
    let path = scratch.path().join("progress");
    let progress = File::options().read(true).write(true).create_new(true).open(&path)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--worker").arg(target).arg("--seed").arg(plan.seed.to_string());
    command.arg("--first").arg(next.to_string());
    if let Some(inputs) = plan.inputs {
        command.arg("--end").arg((plan.first + inputs).to_string());
    }
    if let Some(time) = plan.time {
        let left = time.saturating_sub(begun.elapsed());
        command.arg("--time").arg(format!("{}ms", left.as_millis()));
    }
    command.arg("--tree").arg(&plan.tree).arg("--findings").arg(&plan.findings);
    command.arg("--scratch").arg(scratch.path()).arg("--progress").arg(&path);
    // what a target does must not depend on who runs it
    command.env_clear().current_dir(&plan.tree);
    let child = command.spawn()?;
    let seen = (u64::MAX, Instant::now(), Duration::ZERO);
    Ok(Worker { course, child, progress, scratch, seen })
}

/// A directory for the files of a target, in memory where that can be.
///
/// # Errors
/// As of `mkdir(2)`.
pub fn scratch_directory() -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("hookmux-fuzz-");
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir())
}

/// What is wrong where a worker doesn't get on with an input.
fn overdue(worker: &mut Worker, limit: Duration) -> io::Result<Option<Finding>> {
    let Some(progress) = Progress::read(&worker.progress) else { return Ok(None) };
    let used = processor_time(worker.child.id());
    let (index, since, before) = worker.seen;
    if index != progress.index {
        worker.seen = (progress.index, Instant::now(), used);
        return Ok(None);
    }
    let used = used.saturating_sub(before);
    let finding = |what: String| {
        let detail = format!("{used:?} of processor time, {:?} in all", since.elapsed());
        Some(Finding { kind: Kind::Endless, what, detail })
    };
    if used > limit {
        return Ok(finding(format!("an input took more than {limit:?} of processor time")));
    }
    if since.elapsed() > MAX_WAIT && used < Duration::from_secs(1) {
        return Ok(finding(format!("an input waited for more than {MAX_WAIT:?}")));
    }
    Ok(None)
}

/// What a process has had of the processor.
fn processor_time(pid: u32) -> Duration {
    // nanoseconds on the processor, nanoseconds of waiting for it, time slices
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let first = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(first.unwrap_or_default())
}

/// What is wrong where a worker has ended before its work.
fn death(worker: &Worker, status: ExitStatus) -> Option<Finding> {
    let is_over = Progress::read(&worker.progress).is_some_and(|progress| progress.is_over == 1);
    if status.success() && is_over {
        return None;
    }
    let what = match status.signal() {
        Some(signal) => format!("signal {signal} ended the process"),
        None => format!("the process ended with {status}"),
    };
    Some(Finding { kind: Kind::Death, what, detail: String::new() })
}

/// Adds up what a worker has done, tells what ended it, and starts the next one behind that input.
fn follow(
    plan: &Plan,
    courses: &mut [Course],
    worker: Worker,
    finding: Option<Finding>,
) -> io::Result<Option<Worker>> {
    let index = worker.course;
    let course = &mut courses[index];
    let progress = Progress::read(&worker.progress);
    drop(worker.scratch);
    if let Some(progress) = progress {
        course.sum.done += progress.done;
        course.sum.accepted += progress.accepted;
        course.sum.findings += progress.findings;
        if progress.slowest_ns > course.sum.slowest_ns {
            course.sum.slowest_ns = progress.slowest_ns;
            course.sum.slowest_index = progress.slowest_index;
        }
    }
    course.ended = Some(course.begun.elapsed());
    let Some(finding) = finding else { return Ok(None) };
    course.sum.findings += 1;
    course.deaths += 1;
    let Some(progress) = progress else {
        println!("{}: {finding}\n    before its first input", course.target);
        return Ok(None);
    };
    course.next = progress.index + 1;
    let path = keep(plan, &course.target, progress.index, finding.kind)?;
    println!(
        "{}: {finding}\n    input {} of seed {}; alone: make fuzz REPLAY={}",
        course.target,
        progress.index,
        plan.seed,
        finding::shown(&path).display()
    );
    io::stdout().flush()?;
    if course.deaths == MAX_DEATHS {
        println!("{}: given up after {MAX_DEATHS} such inputs", course.target);
        return Ok(None);
    }
    start(plan, courses, index).map(Some)
}

/// Makes an input once more, and keeps it.
fn keep(plan: &Plan, target: &str, index: u64, kind: Kind) -> io::Result<PathBuf> {
    let scratch = scratch_directory()?;
    let surroundings = Surroundings { tree: &plan.tree, scratch: scratch.path() };
    let mut target = targets::find(target, &surroundings)
        .ok_or_else(|| io::Error::other("there is no such target"))?;
    match Input::make(target.as_mut(), plan.seed, index) {
        Input::Bytes(bytes) => finding::keep(&plan.findings, target.name(), kind, &bytes),
        Input::Shape(shape) => {
            let text = shape.to_json().to_string();
            finding::keep(&plan.findings, target.name(), Kind::Growth, text.as_bytes())
        }
    }
}

fn sum_up(plan: &Plan, courses: &[Course]) -> bool {
    println!(
        "\n{:<14}{:>10}{:>10}{:>11}{:>10}  slowest input",
        "target", "inputs", "seconds", "accepted", "findings"
    );
    for course in courses {
        let Progress { done, accepted, findings, slowest_ns, slowest_index, .. } = course.sum;
        let percent = (accepted * 100).checked_div(done).unwrap_or_default();
        println!(
            "{:<14}{done:>10}{:>10.1}{percent:>10}%{findings:>10}  {:.1} ms (number {slowest_index})",
            course.target,
            course.ended.unwrap_or_default().as_secs_f64(),
            Duration::from_nanos(slowest_ns).as_secs_f64() * 1000.0,
        );
    }
    let found: u64 = courses.iter().map(|course| course.sum.findings).sum();
    if found > 0 {
        println!(
            "\n{found} inputs show something wrong; they are in {}",
            finding::shown(&plan.findings).display()
        );
    }
    found == 0
}
