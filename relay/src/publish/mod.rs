//! `publish`: the service that sends the outbox to every sink, each with a cursor of its own.

pub(crate) mod nats;
mod otlp;
pub(crate) mod rejected;
pub(crate) mod report;
mod wake;

use crate::args::PublishArgs;
use crate::configuration::Configuration;
use crate::cursor::{self, Cursor};
use crate::nats::Trouble;
use crate::outbox::Outbox;
use crate::say::{Level, log};
use anyhow::{Context, Result};
use report::Reporter;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// When it is tried again to keep a copy of what can't be sent.
const ASIDE: Duration = Duration::from_secs(5);

pub(crate) const NATS: &str = "nats";
pub(crate) const OTLP: &str = "otlp";

/// What all sinks share.
struct Common {
    outbox: PathBuf,
    state_dir: PathBuf,
    once: bool,
    woken: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
}

pub(crate) async fn run(config: Option<&Path>, args: &PublishArgs) -> Result<u8> {
    let configuration = Configuration::read_if_there(config)?;
    let mut sinks: Vec<&str> = Vec::new();
    if configuration.nats.is_some() {
        sinks.push(NATS);
    }
    if configuration.otlp.is_some() {
        sinks.push(OTLP);
    }
    if sinks.is_empty() {
        let file = config.unwrap_or(Path::new(crate::configuration::FILE)).display();
        if config.is_none() && !Path::new(crate::configuration::FILE).exists() {
            anyhow::bail!(
                "there is no {file}: /usr/share/doc/hookmux-relay/examples/relay.yaml is a beginning"
            );
        }
        anyhow::bail!("{file} names no sink: a section `nats` or `otlp` is needed");
    }
    let state_dir = configuration.state_dir.clone();
    std::fs::create_dir_all(&state_dir).with_context(|| format!("{}", state_dir.display()))?;
    let lock = std::fs::File::create(state_dir.join("lock"))
        .with_context(|| format!("{}/lock", state_dir.display()))?;
    // `status` holds it for a moment, too
    let mut tries = 0;
    while lock.try_lock().is_err() && tries < 5 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        tries += 1;
    }
    if tries == 5 {
        anyhow::bail!("another hookmux-relay publishes from {}", state_dir.display());
    }
    remove_other_cursors(&state_dir, &sinks)?;

    let (stop, stopped) = watch::channel(false);
    let woken = wake::watch(configuration.outbox.clone())?;
    let common = || Common {
        outbox: configuration.outbox.clone(),
        state_dir: state_dir.clone(),
        once: args.once,
        woken: woken.clone(),
        stop: stopped.clone(),
    };
    let mut tasks = tokio::task::JoinSet::new();
    if let Some(settings) = &configuration.nats {
        let mut settings = settings.clone();
        // so that no host can read another's answers, where the server's permissions say so
        settings.inbox_prefix.get_or_insert_with(default_inbox_prefix);
        tasks.spawn(nats::run(common(), settings, configuration.heartbeat.0));
    }
    if let Some(settings) = &configuration.otlp {
        tasks.spawn(otlp::run(common(), settings.clone()));
    }
    let mut end = std::pin::pin!(crate::asked_to_end());
    let mut asked = false;
    loop {
        tokio::select! {
            result = &mut end, if !asked => {
                result?;
                asked = true;
                let _ = stop.send(true);
            }
            ended = tasks.join_next() => match ended {
                Some(ended) => {
                    if let Err(error) = ended.context("a sink ended")? {
                        let _ = stop.send(true);
                        return Err(error);
                    }
                }
                None => return Ok(0),
            },
        }
    }
}

/// Comes back where the service is to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The default of `inbox_prefix`.
pub(crate) fn default_inbox_prefix() -> String {
    format!("_INBOX_{}", crate::subject::token(&crate::configuration::host_name()))
}

/// A sink that the configuration no longer has holds nothing back.
fn remove_other_cursors(state_dir: &Path, sinks: &[&str]) -> Result<()> {
    for entry in std::fs::read_dir(state_dir).with_context(|| format!("{}", state_dir.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(sink) = name.to_str().and_then(|name| name.strip_prefix(cursor::PREFIX)) else {
            continue;
        };
        if !sinks.contains(&sink) {
            std::fs::remove_file(entry.path())
                .with_context(|| format!("{}", entry.path().display()))?;
            log(
                Level::Notice,
                &format!("the sink {sink} is no longer configured: its cursor was removed"),
            );
        }
    }
    Ok(())
}

/// What is still to be sent, and what was sent: the same for all sinks.
struct Work {
    sink: &'static str,
    outbox: Outbox,
    cursor: Cursor,
    todo: BTreeMap<u64, String>,
    /// events of which no copy can be kept, and when that is tried again: those behind them don't wait
    aside: BTreeMap<u64, (String, Instant)>,
    /// events that can never be sent, and aren't done yet: each counts once
    refused: BTreeSet<u64>,
    /// another numbering, and the last number before it began
    next_epoch: Option<(String, u64)>,
    handed: u64,
    readable: bool,
}

impl Work {
    fn new(common: &Common, sink: &'static str) -> Result<Self> {
        let (cursor, odd) = Cursor::open(&common.state_dir, sink)?;
        if let Some(odd) = odd {
            log(Level::Warning, &odd);
        }
        let outbox = Outbox::new(&common.outbox, cursor.value());
        let handed = cursor.value();
        Ok(Self {
            sink,
            outbox,
            cursor,
            todo: BTreeMap::new(),
            aside: BTreeMap::new(),
            refused: BTreeSet::new(),
            next_epoch: None,
            handed,
            readable: true,
        })
    }

    /// Looks into the outbox.
    fn refresh(&mut self) {
        if let Some((epoch, after)) = self.outbox.epoch() {
            let is_same = self.cursor.epoch() == Some(epoch.as_str());
            // also back to this one, once what waited was taken back
            let is_other = !is_same || self.next_epoch.is_some();
            self.next_epoch = is_other.then_some((epoch, after));
        }
        if !self.settle_epoch() {
            return;
        }
        match self.outbox.more() {
            Ok(more) => {
                for (number, name) in more {
                    if number > self.handed + 1 && self.handed > 0 {
                        let (first, last) = (self.handed + 1, number - 1);
                        log(
                            Level::Notice,
                            &format!(
                                "events {first} to {last} are no longer in the outbox: a gap event says why"
                            ),
                        );
                    }
                    self.handed = number;
                    self.cursor.hand_out(number);
                    self.todo.insert(number, name);
                }
                self.readable = true;
            }
            Err(error) => {
                if self.readable {
                    log(
                        Level::Error,
                        &format!("{}: {}", self.outbox.directory().display(), explain(&error)),
                    );
                }
                self.readable = false;
            }
        }
    }

    /// Goes on in the numbering that hookmux tells of. `false` while the answers to what is on its way are waited for:
    /// their numbers may mean other events in it.
    fn settle_epoch(&mut self) -> bool {
        let Some((epoch, after)) = &self.next_epoch else { return true };
        self.cursor.take_back(self.todo.keys().chain(self.aside.keys()));
        self.todo.clear();
        self.aside.clear();
        if self.cursor.open_count() > 0 {
            return false;
        }
        let value = self.cursor.value();
        let from = if self.cursor.epoch().is_some() { value.min(*after) } else { value };
        if from < value {
            log(
                Level::Warning,
                &format!(
                    "hookmux numbers its events anew after {after}: {} goes back from {value}, and sends those after \
                     {from} again",
                    self.sink
                ),
            );
        }
        self.cursor.go_on_in(epoch, from);
        self.outbox.go_back(from);
        self.handed = from;
        self.refused.clear();
        self.next_epoch = None;
        self.save();
        true
    }

    /// The oldest that is to be sent, with its bytes. What has gone since is passed over: a gap event tells.
    fn next(&mut self) -> Option<(u64, String, std::io::Result<Vec<u8>>)> {
        if self.next_epoch.is_some() {
            return None;
        }
        let now = Instant::now();
        let due: Vec<u64> = self
            .aside
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in due {
            if let Some((name, _)) = self.aside.remove(&number) {
                self.todo.insert(number, name);
            }
        }
        while let Some((number, name)) = self.todo.pop_first() {
            match self.outbox.read(&name) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.done(number),
                bytes => return Some((number, name, bytes)),
            }
        }
        None
    }

    fn again(&mut self, number: u64, name: String) {
        self.todo.insert(number, name);
    }

    /// Puts one aside of which no copy can be kept.
    fn put_aside(&mut self, number: u64, name: String) {
        self.aside.insert(number, (name, Instant::now() + ASIDE));
    }

    /// Keeps a copy of what can never be sent, and says so, once for each. `false` where none can be kept: then it is
    /// put aside.
    fn refuse(
        &mut self,
        report: &mut Reporter,
        state_dir: &Path,
        number: u64,
        name: &str,
        bytes: &[u8],
        why: &str,
    ) -> bool {
        if self.refused.contains(&number) {
            return true;
        }
        if let Err(error) = rejected::keep(state_dir, name, bytes) {
            report.aside(format!(
                "{name} can never be sent ({why}), and no copy can be kept: {error}"
            ));
            self.put_aside(number, name.to_owned());
            return false;
        }
        let directory = rejected::directory(state_dir);
        log(
            Level::Error,
            &format!(
                "{}: {name} can never be sent: {why}; a copy is in {}",
                self.sink,
                directory.display()
            ),
        );
        report.rejected();
        self.refused.insert(number);
        true
    }

    fn done(&mut self, number: u64) {
        self.refused.remove(&number);
        self.cursor.done(number);
    }

    /// How many aren't sent yet.
    fn waiting(&self) -> usize {
        self.todo.len() + self.aside.len()
    }

    /// Tells whether nothing is left but what was put aside.
    fn is_held_up(&self) -> bool {
        !self.aside.is_empty() && self.aside.len() == self.cursor.open_count()
    }

    /// Why.
    fn held_up(&self) -> Trouble {
        let count = self.aside.len();
        Trouble::new(format!("{count} events can never be sent, and no copy of them can be kept"))
    }

    fn save(&mut self) {
        if let Err(error) = self.cursor.save() {
            log(Level::Error, &format!("the cursor of {} can't be written: {error}", self.sink));
        }
    }

    fn is_done(&self) -> bool {
        self.todo.is_empty() && self.cursor.open_count() == 0
    }
}

/// Why the outbox can't be read, and the way out.
pub(crate) fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!(
                "{error}: `outbox: true` in hookmux.yaml makes hookmux write events, the first of them makes the directory"
            )
        }
        std::io::ErrorKind::PermissionDenied => {
            format!(
                "{error}: it is readable by root and the group hookmux-relay; the service's user must be in it, and hookmux sets the group when it writes the next event"
            )
        }
        _ => error.to_string(),
    }
}
