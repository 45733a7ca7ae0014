//! Random inputs for all that hookmux reads and others write: what libvirt and guests' owners send,
//! what stands in files, what scripts print. See `make fuzz` in CONTRIBUTING.md.
//!
//! Every input is made from the seed, the target and its number alone, so that the same command
//! finds the same again. There is no guidance by coverage: targets know what their inputs are made
//! of.

mod bytes;
mod coordinator;
mod finding;
mod growth;
mod json;
mod random;
mod seeds;
mod targets;
mod worker;
mod xml;
mod yaml;

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, exit};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};

use crate::coordinator::Plan;
use crate::growth::Shape;
use crate::targets::Surroundings;
use crate::worker::{Input, Task};

const USAGE: &str =
    "usage: hookmux-fuzz [--time TIME | --inputs NUMBER] [--target NAME]... [--seed NUMBER]
                    [--first NUMBER] [--jobs NUMBER] [--limit TIME] [--findings DIRECTORY] [--tree DIRECTORY]
       hookmux-fuzz --replay FILE
TIME is for each target: 500ms, 10s, 5m, 1h (10s where nothing is said); that of --limit is the
processor time after which an input is ended from outside";

/// The time for each target where nothing else is said.
const DEFAULT_TIME: Duration = Duration::from_secs(10);
/// The processor time after which an input is ended from outside: shapes are run several times.
const DEFAULT_LIMIT: Duration = Duration::from_secs(20);
/// The processor time after which the kernel ends a replay, in seconds.
const MAX_REPLAY_SECONDS: u64 = 60;
const DEFAULT_SEED: u64 = 1;

/// The command line.
#[derive(Default)]
struct Options {
    time: Option<Duration>,
    inputs: Option<u64>,
    targets: Vec<String>,
    seed: Option<u64>,
    first: u64,
    jobs: Option<usize>,
    limit: Option<Duration>,
    findings: Option<PathBuf>,
    tree: Option<PathBuf>,
    replay: Option<PathBuf>,
    // for workers
    worker: Option<String>,
    end: Option<u64>,
    scratch: Option<PathBuf>,
    progress: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match read_options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(words) => {
            eprintln!("hookmux-fuzz: {words}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = match (&options.worker, &options.replay) {
        (Some(target), _) => work(target, &options).map(|()| true),
        (None, Some(file)) => replay(file, &options),
        (None, None) => plan(&options).and_then(|plan| coordinator::run(&plan)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hookmux-fuzz: {error}");
            ExitCode::from(2)
        }
    }
}

fn read_options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(name) = arguments.next() {
        let value =
            arguments.next().ok_or_else(|| format!("{name}: unknown, or its value is missing"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name}: `{value}` is no number"));
        match name.as_str() {
            // as make passes what isn't set
            _ if value.is_empty() => {}
            "--time" => options.time = Some(read_time(&value)?),
            "--inputs" => options.inputs = Some(number()?),
            "--target" => options.targets.extend(value.split_whitespace().map(str::to_owned)),
            "--seed" => options.seed = Some(number()?),
            "--first" => options.first = number()?,
            "--jobs" => options.jobs = Some(usize::try_from(number()?).unwrap_or(usize::MAX)),
            "--limit" => options.limit = Some(read_time(&value)?),
            "--findings" => options.findings = Some(value.into()),
            "--tree" => options.tree = Some(value.into()),
            "--replay" => options.replay = Some(value.into()),
            "--worker" => options.worker = Some(value),
            "--end" => options.end = Some(number()?),
            "--scratch" => options.scratch = Some(value.into()),
            "--progress" => options.progress = Some(value.into()),
            _ => return Err(format!("there is no {name}")),
        }
    }
    for target in &options.targets {
        if !targets::is_known(target) {
            return Err(format!(
                "there is no target {target}; there are {}",
                targets::NAMES.join(", ")
            ));
        }
    }
    Ok(options)
}

fn read_time(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let milliseconds = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(milliseconds)) {
        Some(time) if milliseconds > 0 => Ok(Duration::from_millis(time)),
        _ => Err(format!("`{text}` is no time: write 500ms, 10s, 5m or 1h")),
    }
}

fn plan(options: &Options) -> io::Result<Plan> {
    let mut targets = options.targets.clone();
    if targets.is_empty() {
        targets.extend(targets::NAMES.iter().map(|name| (*name).to_owned()));
    }
    let time = options.time.or(options.inputs.is_none().then_some(DEFAULT_TIME));
    Ok(Plan {
        targets,
        seed: options.seed.unwrap_or(DEFAULT_SEED),
        time,
        inputs: options.inputs,
        first: options.first,
        jobs: options.jobs.unwrap_or(thread::available_parallelism()?.get()),
        limit: options.limit.unwrap_or(DEFAULT_LIMIT),
        tree: tree(options)?,
        findings: std::path::absolute(
            options.findings.as_deref().unwrap_or(Path::new("target/fuzz/findings")),
        )?,
    })
}

/// hookmux's source tree.
fn tree(options: &Options) -> io::Result<PathBuf> {
    std::path::absolute(options.tree.as_deref().unwrap_or(Path::new(".")))
}

fn no_target(name: &str) -> io::Error {
    io::Error::other(format!("there is no target {name}; there are {}", targets::NAMES.join(", ")))
}

fn work(name: &str, options: &Options) -> io::Result<()> {
    let missing = || io::Error::other("a worker is started by hookmux-fuzz itself");
    let scratch = options.scratch.as_deref().ok_or_else(missing)?;
    let tree = tree(options)?;
    let mut target = targets::find(name, &Surroundings { tree: &tree, scratch })
        .ok_or_else(|| no_target(name))?;
    let progress = options.progress.as_deref().ok_or_else(missing)?;
    let task = Task {
        seed: options.seed.unwrap_or(DEFAULT_SEED),
        first: options.first,
        end: options.end.unwrap_or(u64::MAX),
        time: options.time,
        findings: options.findings.clone().ok_or_else(missing)?,
        progress: File::options().write(true).open(progress)?,
    };
    worker::work(target.as_mut(), &task)
}

/// Runs one input of a file, in a process of its own, for it may end that. Whether nothing is wrong
/// with it.
fn replay(file: &Path, options: &Options) -> io::Result<bool> {
    if let Some(scratch) = &options.scratch {
        return replay_here(file, options, scratch);
    }
    let scratch = coordinator::scratch_directory()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).arg("--scratch").arg(scratch.path());
    let status = command.status()?;
    if let Some(signal) = status.signal() {
        println!("death: signal {signal} ended the process");
    }
    match status.code() {
        // it has told why
        Some(2) => {
            drop(scratch);
            exit(2)
        }
        code => Ok(code == Some(0)),
    }
}

fn replay_here(file: &Path, options: &Options, scratch: &Path) -> io::Result<bool> {
    let bytes = fs::read(file)?;
    let named = finding::target_of(file).filter(|name| targets::is_known(name));
    let name = options.targets.first().map(String::as_str).or(named).ok_or_else(|| {
        io::Error::other(format!(
            "{}: its name doesn't begin with a target's; say ONLY=NAME, one of {}",
            file.display(),
            targets::NAMES.join(", ")
        ))
    })?;
    let tree = tree(options)?;
    let mut target = targets::find(name, &Surroundings { tree: &tree, scratch })
        .ok_or_else(|| no_target(name))?;
    let is_shape = file.to_string_lossy().ends_with(finding::SHAPE_END);
    let input = match Shape::from_json(&bytes) {
        Some(shape) if is_shape => Input::Shape(shape),
        _ => Input::Bytes(bytes),
    };
    worker::fence()?;
    setrlimit(Resource::RLIMIT_CPU, MAX_REPLAY_SECONDS, MAX_REPLAY_SECONDS)?;
    let (shown, time) = worker::run(target.as_mut(), &input);
    match shown {
        Ok(is_accepted) => {
            let words = if is_accepted { "accepted" } else { "refused" };
            println!("{name}: nothing wrong: {words} after {time:?}");
            Ok(true)
        }
        Err((finding, _)) => {
            println!("{name}: {finding}\n    after {time:?}");
            Ok(false)
        }
    }
}
