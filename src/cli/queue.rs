//! `hookmux queue`: shows the waiting detached hooks and why they wait, and works on them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use super::args::{Format, QueueArgs};
use super::inventory::Inventory;
use super::inventory::listed::{self, Listed};
use super::json;
use super::json::change::ChangeSummary;
use super::json::queue::{AsideJob, Flushed, Job, JobState, QueueLimits, Requeued, UnreadJob};
use super::json::shape::Object;
use super::output::{Cell, Output, Tone};
use super::{CommandEnd, CommandPlace, question, rights, usage};
use crate::bypass::{self, Bypass};
use crate::call::door;
use crate::config::Settings;
use crate::config::suggest::suggest_or;
use crate::machine::clock::BootClock;
use crate::queue::{self, AsideFile, ItemHead, JobReadError, Queue, worker};
use crate::record::journal::Journal;
use crate::record::mover;
use crate::trust::Trust;

pub(super) fn run(
    place: &CommandPlace,
    arguments: &QueueArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    if arguments.work {
        work(place, output)?;
    }
    let is_act = arguments.flush.is_some() || arguments.requeue.is_some();
    usage::ensure(
        is_act || arguments.reason.is_none(),
        "--reason belongs to `queue --flush` and `--requeue`",
    )?;
    usage::ensure(
        is_act || !arguments.dry_run,
        "--dry-run belongs to `queue --flush` and `--requeue`",
    )?;
    let loaded = place.load(output);
    let settings = &loaded.settings;
    let queue = Queue::new(&settings.state_dir);
    rights::must_list(&[settings.state_dir.unchecked_path(), queue.directory().unchecked_path()])?;
    if let Some(word) = &arguments.flush {
        let question =
            "All jobs that wait or were put aside will be removed, and their hooks never run.";
        let is_answered = arguments.yes || !word.is_empty() || arguments.dry_run;
        if let Some(end) = question::ask(question, is_answered, arguments.output.format, output) {
            return Ok(end);
        }
        return flush(place, settings, word, arguments, output);
    }
    if let Some(word) = &arguments.requeue {
        return requeue(place, settings, word, arguments, output);
    }
    let state = QueueState::read(place, settings)?;
    match arguments.output.format {
        Format::Json => output.json(&state.json()),
        Format::Text => state.show(output),
    }
    Ok(CommandEnd::Good)
}

fn flush(
    place: &CommandPlace,
    settings: &Settings,
    word: &str,
    arguments: &QueueArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let is_selected = |head: &ItemHead| word.is_empty() || names_job(word, head);
    let is_selected_aside = |aside: &AsideFile| word.is_empty() || names_file(word, aside);
    let queue = Queue::new(&settings.state_dir);
    let heads = queue.heads().context("the queue can't be read")?;
    let aside = queue.aside().context("the queue can't be read")?;
    let running = |head: &&ItemHead| head.run.is_some() && worker::is_at_work(&queue);
    let ids = match arguments.dry_run {
        true => {
            let waiting = heads.iter().filter(|head| is_selected(head) && !running(head));
            let aside = aside.iter().filter(|aside| is_selected_aside(aside));
            waiting.map(|head| head.id.clone()).chain(aside.map(AsideFile::id)).collect()
        }
        false => worker::flush(settings, &is_selected, &is_selected_aside)
            .context("the queue can't be flushed")?,
    };
    if ids.is_empty() && !word.is_empty() {
        if let Some(head) = heads.iter().find(|head| is_selected(head) && running(head)) {
            bail!("{} runs, and isn't removed: `hookmux queue` shows how long", head.id);
        }
        let known = heads.iter().flat_map(words_of).chain(aside.iter().flat_map(words_of_aside));
        must_be_hook(place, settings, word, "waits or was put aside", known)?;
    }
    let json = Flushed {
        flushed: ids.len(),
        summary: ChangeSummary::new(!ids.is_empty(), arguments.dry_run),
        ids: ids.clone(),
    };
    Ok(report(&ids, "removed", &json, arguments, output))
}

fn requeue(
    place: &CommandPlace,
    settings: &Settings,
    word: &str,
    arguments: &QueueArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let queue = Queue::new(&settings.state_dir);
    let aside = queue.aside().context("the queue can't be read")?;
    let is_selected = |aside: &&AsideFile| match word {
        // a file that isn't a job can't be queued again
        "" => aside.job.is_ok(),
        word => names_file(word, aside),
    };
    let selected: Vec<&AsideFile> = aside.iter().filter(is_selected).collect();
    if selected.is_empty() && !word.is_empty() {
        must_be_hook(
            place,
            settings,
            word,
            "was put aside",
            aside.iter().flat_map(words_of_aside),
        )?;
    }
    let ids: Vec<String> = selected.iter().map(|aside| aside.id()).collect();
    if !arguments.dry_run {
        for aside in selected {
            queue.requeue(aside, settings.queue).with_context(|| {
                format!("{} can't be brought back", aside.name.to_string_lossy())
            })?;
        }
        if !ids.is_empty() {
            queue::start_worker(&settings.hooks_dir, &settings.state_dir)
                .context("the jobs wait: no worker can be started")?;
        }
    }
    let json = Requeued {
        requeued: ids.len(),
        summary: ChangeSummary::new(!ids.is_empty(), arguments.dry_run),
        ids: ids.clone(),
    };
    Ok(report(&ids, "brought back", &json, arguments, output))
}

/// Checks that a word for which there is no job is a hook at least: then there may be none now.
///
/// # Errors
/// It is the id of no job, and no hook; the message has a similar one.
fn must_be_hook(
    place: &CommandPlace,
    settings: &Settings,
    word: &str,
    does: &str,
    known: impl Iterator<Item = String>,
) -> anyhow::Result<()> {
    let hooks = listed::all(Inventory::look(settings, place.surroundings.user))?;
    let is_hook = |hook: &Listed| {
        let registration = hook.registration.as_ref().and_then(|file| file.file_stem());
        hook.label == word || registration.is_some_and(|name| name == word)
    };
    if hooks.iter().any(is_hook) {
        return Ok(());
    }
    let of_hooks = hooks.iter().flat_map(|hook| [hook.label.clone(), hook.name.clone()]);
    let known: Vec<String> = known.chain(of_hooks).collect();
    let known = known.iter().map(String::as_str);
    let hint = suggest_or(word, known, "`hookmux queue` shows the jobs");
    bail!("no job `{word}` {does}, and there is no hook of this name; {hint}")
}

/// Returns the words that name a job.
fn words_of(head: &ItemHead) -> [String; 3] {
    [head.id.clone(), head.registration.clone(), head.hook.clone()]
}

fn words_of_aside(aside: &AsideFile) -> Vec<String> {
    match &aside.job {
        Ok(head) => words_of(head).to_vec(),
        Err(_) => vec![aside.id()],
    }
}

/// Prints how many jobs were removed or brought back.
fn report<T: Serialize + Object>(
    ids: &[String],
    done: &str,
    json: &T,
    arguments: &QueueArgs,
    output: &mut Output,
) -> CommandEnd {
    let count = ids.len();
    let jobs = if count == 1 { "job" } else { "jobs" };
    match arguments.output.format {
        Format::Json => output.json(json),
        Format::Text if arguments.dry_run => {
            ids.iter().for_each(|id| output.line(id));
            output.line(&format!("{count} {jobs} would be {done}: --dry-run"));
        }
        Format::Text => output.line(&format!("{count} {jobs} {done}.")),
    }
    CommandEnd::of_change(count > 0, false)
}

/// Tells whether a word is a job's id, its registration or its hook.
fn names_job(word: &str, head: &ItemHead) -> bool {
    head.id.eq_ignore_ascii_case(word) || head.registration == word || head.hook == word
}

fn names_file(word: &str, aside: &AsideFile) -> bool {
    let name = aside.name.to_string_lossy();
    let is_name = name == word || name.strip_suffix(".broken") == Some(word);
    is_name || aside.job.as_ref().is_ok_and(|head| names_job(word, head))
}

/// Works until the queue is empty; waits for another worker that is active.
pub(super) fn work(place: &CommandPlace, output: &mut Output) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    // calls of session daemons queue nothing either
    if !place.surroundings.is_root() && !loaded.settings.session {
        return Ok(CommandEnd::Good);
    }
    door::prepare_process();
    let mut journal = Journal::default();
    let waiting = &mut || output.print_error("another worker is active; waiting for its end");
    let worked = worker::work(&loaded.settings, &place.surroundings, &mut journal, waiting);
    journal.finish();
    mover::start(&loaded.settings.hooks_dir, &loaded.settings);
    worked.context("the queue can't be worked on")?;
    Ok(CommandEnd::Good)
}

/// A job with its state, and the reason of it.
struct ShownJob {
    head: ItemHead,
    state: JobState,
    why: Option<String>,
    age_s: u64,
    pause_s: u64,
}

/// The content of the queue.
struct QueueState {
    jobs: Vec<ShownJob>,
    aside: Vec<AsideFile>,
    /// Jobs that this version can't run, and why.
    unread: Vec<(String, JobReadError)>,
    settings: Settings,
}

impl QueueState {
    fn read(place: &CommandPlace, settings: &Settings) -> anyhow::Result<QueueState> {
        let queue = Queue::new(&settings.state_dir);
        let names = queue.names().context("the queue can't be read")?;
        let clock = BootClock::here();
        let (mut heads, mut unread) = (Vec::new(), Vec::new());
        for id in names.ids {
            match queue.head(&id) {
                Ok(head) => heads.push(head),
                Err(JobReadError::Gone) => {}
                Err(why) => unread.push((id, why)),
            }
        }
        heads.sort_by_cached_key(|head| head.order(&clock));
        let is_at_work = worker::is_at_work(&queue);
        let mut trust = Trust::new(place.surroundings.user);
        let bypass = bypass::load(&settings.hooks_dir, &mut trust).unwrap_or_default();
        let running = heads.iter().filter(|head| head.run.is_some() && is_at_work);
        let mut running_of_hook: HashMap<String, u32> = HashMap::new();
        for head in running.clone() {
            *running_of_hook.entry(head.registration.clone()).or_default() += 1;
        }
        let reasons = WaitReasons {
            settings,
            clock: &clock,
            bypass: &bypass,
            is_at_work,
            running: running.count(),
            running_of_hook,
        };
        let mut owners = HashSet::new();
        let jobs = heads
            .into_iter()
            .map(|head| {
                let (driver, object) = head.queue_of();
                let is_first = owners.insert((driver.to_owned(), object.to_owned()));
                reasons.shown_job(head, is_first)
            })
            .collect();
        let aside = queue.aside().context("the queue can't be read")?;
        Ok(QueueState { jobs, aside, unread, settings: settings.clone() })
    }

    fn show(&self, output: &mut Output) {
        if self.jobs.is_empty() {
            output.line("No detached hook waits.");
        } else {
            let rows: Vec<Vec<Cell>> = self.jobs.iter().map(row).collect();
            output.table(&["JOB", "HOOK", "OBJECT", "AGE", "TRIES", "STATE"], &rows);
        }
        if !self.aside.is_empty() {
            output.line("");
            output.toned(
                Tone::Bad,
                "Put aside, and not run (`--requeue JOB` brings one back, `--flush JOB` removes it):",
            );
            let rows: Vec<Vec<Cell>> = self.aside.iter().map(aside_row).collect();
            output.table(&["JOB", "HOOK", "OBJECT", "TRIES", "WHY"], &rows);
        }
        if !self.unread.is_empty() {
            output.line("");
            output.toned(Tone::Bad, "Not run by this version:");
            let row = |(id, why): &(String, JobReadError)| {
                vec![id.clone().into(), Cell(why.to_string(), Tone::Bad)]
            };
            let rows: Vec<Vec<Cell>> = self.unread.iter().map(row).collect();
            output.table(&["JOB", "WHY"], &rows);
        }
    }

    fn json(&self) -> json::queue::Queue {
        let unread = self.unread.iter().map(|(id, why)| UnreadJob {
            id: id.clone(),
            newer: matches!(why, JobReadError::Newer(_)),
            reason: why.to_string(),
        });
        let limits = self.settings.queue;
        json::queue::Queue {
            jobs: self.jobs.iter().map(json_job).collect(),
            put_aside: self.aside.iter().map(json_aside).collect(),
            unread: unread.collect(),
            limits: QueueLimits { jobs: limits.jobs, bytes: limits.size },
        }
    }
}

/// What may keep a job waiting.
struct WaitReasons<'a> {
    settings: &'a Settings,
    clock: &'a BootClock,
    bypass: &'a Bypass,
    is_at_work: bool,
    running: usize,
    /// The number of running jobs of each registration.
    running_of_hook: HashMap<String, u32>,
}

impl WaitReasons<'_> {
    fn shown_job(&self, head: ItemHead, is_first: bool) -> ShownJob {
        let state = match (&head.run, self.is_at_work) {
            (Some(_), true) => JobState::Runs,
            (Some(_), false) => JobState::Left,
            (None, _) => JobState::Waits,
        };
        let pause_s = head.pause(self.clock).as_millis().div_ceil(1000);
        let pause_s = u64::try_from(pause_s).unwrap_or_default();
        let why = match state {
            JobState::Waits => self.why(&head, is_first, pause_s),
            JobState::Left => {
                Some("left by a worker that died; the next one runs it again".to_owned())
            }
            JobState::Runs | JobState::PutAside => None,
        };
        let age_s = head.age(self.clock).as_secs();
        ShownJob { state, why, age_s, pause_s, head }
    }

    /// Returns why a job waits; `None` if the reason is unknown.
    fn why(&self, head: &ItemHead, is_first: bool, pause_s: u64) -> Option<String> {
        let running_of_hook =
            self.running_of_hook.get(&head.registration).copied().unwrap_or_default();
        if !is_first {
            return Some(format!("behind an earlier job of {}", head.object));
        }
        if pause_s > 0 {
            return Some(format!("again in {pause_s} s"));
        }
        if !self.bypass.is_off() && self.bypass.of(&head.call()).is_some() {
            return Some("hooks are switched off (`hookmux bypass`)".to_owned());
        }
        if head.caller.is_there() {
            return Some("until libvirt has its answer".to_owned());
        }
        if !self.is_at_work {
            return Some("no worker runs (`hookmux queue --work`)".to_owned());
        }
        if self.running >= self.settings.max_parallel {
            return Some(format!("{} others run (max_parallel)", self.running));
        }
        if head.max_parallel.is_some_and(|most| running_of_hook >= most) {
            return Some(format!("{running_of_hook} others of its hook run (max_parallel)"));
        }
        head.lock.as_ref().map(|lock| format!("for the lock `{lock}`"))
    }
}

fn state(shown: &ShownJob) -> Cell {
    let last = shown.head.last.as_ref().map(|last| format!(" (last: {last})")).unwrap_or_default();
    let why = shown.why.as_deref();
    match shown.state {
        JobState::Runs => Cell("runs".to_owned(), Tone::Good),
        JobState::Left => Cell(why.unwrap_or_default().to_owned(), Tone::Bad),
        JobState::Waits if shown.pause_s > 0 => {
            Cell(format!("{}{last}", why.unwrap_or_default()), Tone::Warning)
        }
        JobState::Waits | JobState::PutAside => {
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            Cell(format!("waits{why}{last}"), Tone::Plain)
        }
    }
}

fn row(shown: &ShownJob) -> Vec<Cell> {
    let head = &shown.head;
    vec![
        head.id.clone().into(),
        head.hook.clone().into(),
        format!("{} {}", head.driver, head.object).into(),
        format!("{} s", shown.age_s).into(),
        format!("{} of {}", head.attempts, head.max_attempts()).into(),
        state(shown),
    ]
}

fn aside_row(aside: &AsideFile) -> Vec<Cell> {
    let why = Cell(aside.why(), Tone::Bad);
    match &aside.job {
        Ok(head) => vec![
            head.id.clone().into(),
            head.hook.clone().into(),
            format!("{} {}", head.driver, head.object).into(),
            format!("{} of {}", head.attempts, head.max_attempts()).into(),
            why,
        ],
        Err(_) => vec![
            aside.name.to_string_lossy().into_owned().into(),
            "-".into(),
            "-".into(),
            "-".into(),
            why,
        ],
    }
}

fn json_job(shown: &ShownJob) -> Job {
    Job {
        head: (&shown.head).into(),
        state: shown.state,
        reason: shown.why.clone(),
        age_s: Duration::from_secs(shown.age_s).into(),
        wait_s: Duration::from_secs(shown.pause_s).into(),
    }
}

fn json_aside(aside: &AsideFile) -> AsideJob {
    AsideJob {
        id: aside.job.as_ref().ok().map(|head| head.id.clone()),
        file: aside.name.to_string_lossy().into_owned(),
        state: JobState::PutAside,
        reason: aside.why(),
        can_be_requeued: aside.job.is_ok(),
        job: aside.job.as_ref().ok().map(Into::into),
    }
}
