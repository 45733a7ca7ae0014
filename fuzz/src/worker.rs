//! One process that works on one target: makes inputs, runs them, and tells what it finds.

use std::any::Any;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};

use crate::finding::{self, Finding, Kind};
use crate::growth::{MAX_RATIO, MIN_TIME_US, SIZES_BYTES, Shape};
use crate::random::Random;
use crate::targets::{Disagreement, Target};

/// The processor time that an input may take.
const MAX_INPUT_TIME: Duration = Duration::from_secs(1);
/// The same of an input of a shape, which is larger.
const MAX_SHAPE_TIME: Duration = Duration::from_secs(5);
/// The address space of a worker, in bytes: an input that makes it ask for more ends it.
const MAX_MEMORY_BYTES: u64 = 2 << 30;
/// Every so many inputs one is a shape in growing sizes.
const GROWTH_EVERY: u64 = 512;
/// How many inputs of one kind of finding are kept.
const MAX_KEPT: usize = 2;
/// How often an input is tried with a part less, to make it smaller.
const MAX_TRIES_TO_SHORTEN: usize = 2000;

thread_local! {
    static PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// What a worker has done, as it tells it to its coordinator: kept in a file, so that it is known
/// whatever becomes of the worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The input that is being run.
    pub index: u64,
    pub done: u64,
    /// Inputs that were taken for what they were meant to be.
    pub accepted: u64,
    pub findings: u64,
    /// The longest time of an input, in nanoseconds, and which one it was.
    pub slowest_ns: u64,
    pub slowest_index: u64,
    /// 1 when all is done.
    pub is_over: u64,
}

impl Progress {
    const BYTES: usize = 56;

    /// # Errors
    /// As of `pwrite(2)`.
    pub fn write(&self, file: &File) -> io::Result<()> {
        let numbers = [
            self.index,
            self.done,
            self.accepted,
            self.findings,
            self.slowest_ns,
            self.slowest_index,
            self.is_over,
        ];
        let mut bytes = [0; Self::BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        file.write_all_at(&bytes, 0)
    }

    /// `None` where nothing was written yet.
    pub fn read(file: &File) -> Option<Progress> {
        let mut bytes = [0; Self::BYTES];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let mut numbers = bytes
            .chunks_exact(8)
            .map(|bytes| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default());
        let mut next = || numbers.next().unwrap_or_default();
        Some(Progress {
            index: next(),
            done: next(),
            accepted: next(),
            findings: next(),
            slowest_ns: next(),
            slowest_index: next(),
            is_over: next(),
        })
    }
}

/// What a worker is to do.
pub struct Task {
    pub seed: u64,
    /// The first input, and the one that isn't run any more.
    pub first: u64,
    pub end: u64,
    pub time: Option<Duration>,
    pub findings: PathBuf,
    pub progress: File,
}

/// An input, or a shape of which inputs are made.
pub enum Input {
    Bytes(Vec<u8>),
    Shape(Shape),
}

impl Input {
    /// The input with a number: the same whenever it is made.
    pub fn make(target: &mut dyn Target, seed: u64, index: u64) -> Input {
        let mut random = Random::of_input(seed, target.name(), index);
        let words = target.words();
        if index % GROWTH_EVERY == GROWTH_EVERY / 2 && !words.is_empty() {
            return Input::Shape(Shape::random(&mut random, target.frames(), words));
        }
        Input::Bytes(target.make(&mut random))
    }
}

/// Runs inputs until the task is done.
///
/// # Errors
/// The progress can't be written.
pub fn work(target: &mut dyn Target, task: &Task) -> io::Result<()> {
    fence()?;
    let begun = Instant::now();
    let mut known: Vec<(Kind, String, usize)> = Vec::new();
    let mut progress = Progress { index: task.first, ..Progress::default() };
    for index in task.first..task.end {
        if task.time.is_some_and(|time| begun.elapsed() >= time) {
            break;
        }
        progress.index = index;
        progress.write(&task.progress)?;
        let input = Input::make(target, task.seed, index);
        let (result, time) = run(target, &input);
        progress.done += 1;
        let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if time_ns > progress.slowest_ns && matches!(input, Input::Bytes(_)) {
            (progress.slowest_ns, progress.slowest_index) = (time_ns, index);
        }
        match result {
            Ok(is_accepted) => progress.accepted += u64::from(is_accepted),
            Err((finding, bytes)) => {
                progress.findings += 1;
                tell(target, task, index, &mut known, finding, bytes)?;
            }
        }
    }
    progress.is_over = 1;
    progress.write(&task.progress)
}

/// Bounds the process, sees to it that it ends with its coordinator, and keeps what panics say.
///
/// # Errors
/// As of `setrlimit(2)`, `prctl(2)`.
pub fn fence() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_AS, MAX_MEMORY_BYTES, MAX_MEMORY_BYTES)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let words = words_of(info.payload()).unwrap_or("no words").to_owned();
        PANIC.with_borrow_mut(|kept| *kept = Some((place, words)));
    }));
    Ok(())
}

fn words_of(payload: &dyn Any) -> Option<&str> {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied())
}

/// What an input shows: whether it was accepted, or the finding and what to keep; and the time.
type Shown = Result<bool, (Finding, Vec<u8>)>;

/// Runs one input.
pub fn run(target: &mut dyn Target, input: &Input) -> (Shown, Duration) {
    match input {
        Input::Bytes(bytes) => {
            let (result, time) = check(target, bytes, MAX_INPUT_TIME);
            (result.map_err(|finding| (finding, bytes.clone())), time)
        }
        Input::Shape(shape) => grow(target, shape),
    }
}

fn check(
    target: &mut dyn Target,
    bytes: &[u8],
    limit: Duration,
) -> (Result<bool, Finding>, Duration) {
    let before = processor_time();
    let result = panic::catch_unwind(AssertUnwindSafe(|| target.check(bytes)));
    let time = processor_time().saturating_sub(before);
    let result = match result {
        Ok(Ok(_)) if time > limit => Err(Finding {
            kind: Kind::Slow,
            what: format!("an input took more than {limit:?} of processor time"),
            detail: format!("{time:?} for {} bytes", bytes.len()),
        }),
        Ok(Ok(is_accepted)) => Ok(is_accepted),
        Ok(Err(Disagreement { what, detail })) => {
            Err(Finding { kind: Kind::Disagreement, what: what.to_owned(), detail })
        }
        Err(_) => {
            let (place, words) = PANIC.with_borrow_mut(Option::take).unwrap_or_default();
            Err(Finding { kind: Kind::Panic, what: format!("at {place}"), detail: words })
        }
    };
    (result, time)
}

/// Runs a shape in growing sizes, as long as it isn't too slow.
fn grow(target: &mut dyn Target, shape: &Shape) -> (Shown, Duration) {
    let mut former: Option<Duration> = None;
    let mut is_accepted = false;
    let mut whole = Duration::ZERO;
    for size in SIZES_BYTES {
        let bytes = shape.fill(size);
        let (result, mut time) = check(target, &bytes, MAX_SHAPE_TIME);
        match result {
            Ok(accepted) => is_accepted |= accepted,
            Err(finding) => return (Err((finding, bytes)), whole + time),
        }
        whole += time;
        let is_much = |time: Duration, former: Duration| {
            time > Duration::from_micros(MIN_TIME_US.into()) && time > former * MAX_RATIO
        };
        if let Some(mut before) = former.filter(|former| is_much(time, *former)) {
            // what disturbs a measurement makes it longer: the shortest of several counts
            let smaller = shape.fill(size / 4);
            for _ in 0..4 {
                time = time.min(check(target, &bytes, MAX_SHAPE_TIME).1);
                // the first one may have been short by chance, and so the longest counts here
                before = before.max(check(target, &smaller, MAX_SHAPE_TIME).1);
            }
            if is_much(time, before) {
                let finding = Finding {
                    kind: Kind::Growth,
                    what: "the time grows much faster than the input".to_owned(),
                    detail: format!(
                        "{before:?} for {} bytes, {time:?} for {}\n{:?} + {:?}… + {:?} + {:?}… + {:?}",
                        smaller.len(),
                        bytes.len(),
                        shape.before,
                        shape.repeated,
                        shape.between,
                        shape.closing,
                        shape.after,
                    ),
                };
                return (Err((finding, shape.to_json().to_string().into_bytes())), whole);
            }
        }
        former = Some(time);
    }
    (Ok(is_accepted), whole)
}

/// Tells a finding, unless it was told before, and keeps its input.
fn tell(
    target: &mut dyn Target,
    task: &Task,
    index: u64,
    known: &mut Vec<(Kind, String, usize)>,
    finding: Finding,
    bytes: Vec<u8>,
) -> io::Result<()> {
    let seen =
        known.iter_mut().find(|(kind, what, _)| *kind == finding.kind && *what == finding.what);
    match seen {
        Some((_, _, count)) if *count >= MAX_KEPT => return Ok(()),
        Some((_, _, count)) => *count += 1,
        None => known.push((finding.kind, finding.what.clone(), 1)),
    }
    let (finding, bytes) = match finding.kind {
        Kind::Panic | Kind::Disagreement => shorten(target, finding, bytes),
        _ => (finding, bytes),
    };
    let path = finding::keep(&task.findings, target.name(), finding.kind, &bytes)?;
    let text = format!(
        "{}: {finding}\n    input {index} of seed {}; alone: make fuzz REPLAY={}\n",
        target.name(),
        task.seed,
        finding::shown(&path).display()
    );
    io::stdout().lock().write_all(text.as_bytes())
}

/// Leaves out of an input what isn't needed to show its finding.
fn shorten(target: &mut dyn Target, finding: Finding, bytes: Vec<u8>) -> (Finding, Vec<u8>) {
    let (mut finding, mut bytes) = (finding, bytes);
    let mut tries = 0;
    let mut part = (bytes.len() / 2).max(1);
    loop {
        let mut at = 0;
        let mut is_shorter = false;
        while at < bytes.len() && tries < MAX_TRIES_TO_SHORTEN {
            tries += 1;
            let end = (at + part).min(bytes.len());
            let fewer = [&bytes[..at], &bytes[end..]].concat();
            match check(target, &fewer, MAX_SHAPE_TIME).0 {
                Err(same) if same.kind == finding.kind && same.what == finding.what => {
                    (finding, bytes, is_shorter) = (same, fewer, true);
                }
                _ => at = end,
            }
        }
        if tries >= MAX_TRIES_TO_SHORTEN || (part == 1 && !is_shorter) {
            return (finding, bytes);
        }
        part = (part / 2).max(1);
    }
}

/// What this thread has had of the processor.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
