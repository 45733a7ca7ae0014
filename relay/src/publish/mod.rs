//! `publish`: the service that sends the outbox to every sink, each with a cursor of its own.

pub(crate) mod nats;
mod otlp;
pub(crate) mod rejected;
pub(crate) mod report;
mod wake;

use crate::args::PublishArgs;
use crate::configuration::Configuration;
use crate::cursor::{self, Cursor};
use crate::outbox::Outbox;
use crate::say::{Level, log};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

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
        Ok(Self { sink, outbox, cursor, todo: BTreeMap::new(), handed, readable: true })
    }

    /// Looks into the outbox.
    fn refresh(&mut self) {
        if self.todo.is_empty()
            && self.cursor.open_count() == 0
            && let Some((value, written)) = self.cursor.on_disk()
            && let Some(number) = self.outbox.begun_anew(value, written)
        {
            log(
                Level::Warning,
                &format!(
                    "hookmux counts its events anew, from {number}: the cursor of {} goes back from {value}",
                    self.sink
                ),
            );
            self.cursor.go_back(number - 1);
            self.outbox.go_back(number - 1);
            self.handed = number - 1;
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

    /// The oldest that is to be sent, with its bytes. What has gone since is passed over: a gap event tells.
    fn next(&mut self) -> Option<(u64, String, std::io::Result<Vec<u8>>)> {
        while let Some((number, name)) = self.todo.pop_first() {
            match self.outbox.read(&name) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.cursor.done(number)
                }
                bytes => return Some((number, name, bytes)),
            }
        }
        None
    }

    fn again(&mut self, number: u64, name: String) {
        self.todo.insert(number, name);
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
