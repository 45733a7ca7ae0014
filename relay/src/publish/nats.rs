//! The sink NATS JetStream.

use super::report::Reporter;
use super::{Common, Work, rejected};
use crate::configuration::Nats;
use crate::event::{Event, GAP, HEARTBEAT};
use crate::nats::{Connection, Trouble, connect_for_long, connect_once, whole};
use crate::outbox;
use crate::say::{Level, log};
use anyhow::Result;
use async_nats::jetstream::{self, context::PublishErrorKind, message::PublishMessage};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// How many events are on their way at once.
const IN_FLIGHT: usize = 256;
/// How often the outbox is looked at, whatever was seen of it.
const SWEEP: Duration = Duration::from_secs(2);
/// How often it is asked why a connection can't be made, while it can't.
const DIAGNOSIS: Duration = Duration::from_secs(30);
/// How long a connection may be away before somebody is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the server made of an event.
enum Answer {
    Taken,
    Again(Trouble),
    Never(String),
}

/// What is on its way.
enum Flight {
    Event { number: u64, name: String, gap: bool },
    Heartbeat,
}

type Flights = FuturesUnordered<BoxFuture<'static, (Flight, Answer)>>;

pub(super) async fn run(common: Common, settings: Nats, heartbeat: Duration) -> Result<()> {
    let mut work = Work::new(&common, super::NATS)?;
    let mut report = Reporter::new(&common.state_dir, super::NATS);
    work.refresh();
    // only a connection that is made once says exactly what is wrong
    if let Err(trouble) = connect_once(&settings, "hookmux-relay").await {
        report.trouble(&trouble, work.todo.len());
        report.save(true);
        if common.once {
            return Err(trouble.into());
        }
    }
    let Some(connection) = connect(&common, &settings, &mut report, work.todo.len()).await else {
        return Ok(());
    };
    let context = jetstream::ContextBuilder::new()
        // an answer is waited for by the first, a place for another message by the second
        .timeout(settings.ack_timeout.0)
        .ack_timeout(settings.ack_timeout.0)
        .build(connection.client.clone());
    let mut sink = Sink {
        common,
        settings,
        heartbeat,
        work,
        report,
        connection,
        context,
        flights: FuturesUnordered::new(),
        hold: Instant::now(),
        failures: 0,
    };
    sink.serve().await
}

/// The connection of the service. It fails only where a file can't be read: then that is tried again.
async fn connect(
    common: &Common,
    settings: &Nats,
    report: &mut Reporter,
    waiting: usize,
) -> Option<Connection> {
    let mut stop = common.stop.clone();
    let mut failures = 0;
    loop {
        match connect_for_long(settings, "hookmux-relay").await {
            Ok(connection) => return Some(connection),
            Err(trouble) => report.trouble(&trouble, waiting),
        }
        report.save(false);
        failures += 1;
        tokio::select! {
            () = tokio::time::sleep(crate::hold_off(failures)) => {}
            () = super::stopped(&mut stop) => return None,
        }
    }
}

struct Sink {
    common: Common,
    settings: Nats,
    heartbeat: Duration,
    work: Work,
    report: Reporter,
    connection: Connection,
    context: jetstream::Context,
    flights: Flights,
    /// nothing is sent before
    hold: Instant,
    failures: u32,
}

impl Sink {
    async fn serve(&mut self) -> Result<()> {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut next_heartbeat = Instant::now();
        let mut down_since: Option<Instant> = None;
        let mut next_diagnosis = Instant::now();
        let mut diagnosis: Option<tokio::task::JoinHandle<Option<Trouble>>> = None;
        let mut woken = self.common.woken.clone();
        let mut stop = self.common.stop.clone();
        loop {
            let up = self.connection.is_up();
            let may_send = up && Instant::now() >= self.hold;
            if may_send {
                self.send().await;
            }
            if self.common.once && self.work.is_done() && self.flights.is_empty() {
                self.work.refresh();
                if self.work.is_done() {
                    break;
                }
                continue;
            }
            if self.common.once && self.work.is_held_up() {
                self.finish().await;
                return Err(self.work.held_up().into());
            }
            tokio::select! {
                Some((flight, answer)) = self.flights.next(), if !self.flights.is_empty() => {
                    self.landed(flight, answer).await;
                    // those that have come meanwhile, before the files are looked at again
                    continue;
                }
                changed = woken.changed(), if self.work.todo.len() < IN_FLIGHT => {
                    if changed.is_err() {
                        // nobody watches: the sweep does
                        tokio::time::sleep(SWEEP).await;
                    }
                    self.work.refresh();
                }
                _ = sweep.tick() => {
                    if self.work.todo.len() < IN_FLIGHT {
                        self.work.refresh();
                    }
                    if up {
                        down_since = None;
                        if !self.heartbeat.is_zero() && Instant::now() >= next_heartbeat && !self.common.once {
                            next_heartbeat = Instant::now() + self.heartbeat;
                            self.beat().await;
                        }
                    } else if down_since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                        // a connection that comes back by itself doesn't say why it can't: one that is made once does
                        if diagnosis.is_none() && (Instant::now() >= next_diagnosis || self.common.once) {
                            next_diagnosis = Instant::now() + DIAGNOSIS;
                            let settings = self.settings.clone();
                            diagnosis = Some(tokio::spawn(async move { connect_once(&settings, "hookmux-relay").await.err() }));
                        }
                        if self.common.once {
                            self.work.save();
                            let trouble = match diagnosis.take() { Some(task) => task.await.ok().flatten(), None => None };
                            return Err(trouble.unwrap_or_else(|| Trouble::new("the connection is lost")).into());
                        }
                    }
                    if let Some(task) = diagnosis.take_if(|task| task.is_finished())
                        && let Ok(Some(trouble)) = task.await
                        && !self.connection.is_up()
                    {
                        self.report.trouble(&trouble, self.waiting());
                    }
                    if self.work.aside.is_empty() {
                        self.report.none_aside();
                    }
                    self.work.save();
                    self.report.save(false);
                }
                () = tokio::time::sleep_until(self.hold), if !self.work.todo.is_empty() && Instant::now() < self.hold => {}
                () = tokio::time::sleep(Duration::from_millis(250)), if !up => {}
                () = super::stopped(&mut stop) => break,
            }
        }
        self.finish().await;
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.work.waiting() + self.flights.len()
    }

    /// Sends as many as may be on their way.
    async fn send(&mut self) {
        while self.flights.len() < IN_FLIGHT {
            let Some((number, name, bytes)) = self.work.next() else {
                // what was just moved there; also where the sweep is far away
                return;
            };
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error) => {
                    if error.kind() == std::io::ErrorKind::InvalidData {
                        if !self.reject(number, name, &[], &error.to_string(), "unreadable").await {
                            return;
                        }
                    } else {
                        let trouble = Trouble::new(format!("{name}: {error}"));
                        self.again(number, name, &trouble);
                        return;
                    }
                    continue;
                }
            };
            match prepare(number, &name, &bytes) {
                Err(why) => {
                    if !self.reject(number, name, &bytes, &why, "unreadable").await {
                        return;
                    }
                }
                Ok((event, subject)) => {
                    if let Err(trouble) = self
                        .publish(
                            Flight::Event { number, name: name.clone(), gap: false },
                            subject,
                            &event.id,
                            bytes,
                        )
                        .await
                    {
                        match trouble {
                            Answer::Never(why) => {
                                let bytes = self.work.outbox.read(&name).unwrap_or_default();
                                if !self.reject(number, name, &bytes, &why, "rejected").await {
                                    return;
                                }
                            }
                            Answer::Again(trouble) => {
                                self.again(number, name, &trouble);
                                return;
                            }
                            Answer::Taken => {}
                        }
                    }
                }
            }
        }
    }

    /// Gives a message to the client; its answer comes with the flights.
    async fn publish(
        &mut self,
        flight: Flight,
        subject: String,
        id: &str,
        bytes: Vec<u8>,
    ) -> Result<(), Answer> {
        let message = PublishMessage::build()
            .message_id(id)
            .expected_stream(&self.settings.stream.0)
            .payload(bytes.into());
        let shown = subject.clone();
        match self.context.send_publish(subject, message).await {
            Ok(ack) => {
                let last_word = self.connection.last_word.clone();
                let timeout = self.settings.ack_timeout.0;
                let stream = self.settings.stream.0.clone();
                self.flights.push(Box::pin(async move {
                    let answer = match ack.await {
                        Ok(_) => Answer::Taken,
                        Err(error) => judge(
                            &error,
                            &shown,
                            &stream,
                            last_word.within(timeout + Duration::from_secs(1)),
                        ),
                    };
                    (flight, answer)
                }));
                Ok(())
            }
            Err(error) => Err(judge(&error, &shown, &self.settings.stream.0, None)),
        }
    }

    async fn landed(&mut self, flight: Flight, answer: Answer) {
        match (flight, answer) {
            (Flight::Event { number, .. }, Answer::Taken) => {
                self.failures = 0;
                self.hold = Instant::now();
                self.work.done(number);
                self.report.sent(1);
            }
            (Flight::Event { number, name, .. }, Answer::Again(trouble)) => {
                self.again(number, name, &trouble)
            }
            (Flight::Event { number, name, gap: false }, Answer::Never(why)) => {
                let bytes = self.work.outbox.read(&name).unwrap_or_default();
                self.reject(number, name, &bytes, &why, "rejected").await;
            }
            (Flight::Event { number, name, gap: true }, Answer::Never(why)) => {
                self.give_up(number, &name, &why)
            }
            (Flight::Heartbeat, Answer::Taken) => self.report.sent(0),
            // what events meet is told of them: it is said once, and they matter more
            (Flight::Heartbeat, Answer::Again(_)) if self.waiting() > 0 => {}
            (Flight::Heartbeat, Answer::Again(trouble)) => {
                self.report.trouble(&trouble, self.waiting())
            }
            (Flight::Heartbeat, Answer::Never(why)) => {
                log(Level::Warning, &format!("nats: the heartbeat can't be sent: {why}"))
            }
        }
    }

    /// It stays in the outbox, and is tried again after a while.
    fn again(&mut self, number: u64, name: String, trouble: &Trouble) {
        self.work.again(number, name);
        if Instant::now() >= self.hold {
            self.hold = Instant::now() + crate::hold_off(self.failures);
            self.failures += 1;
        }
        self.report.trouble(trouble, self.waiting());
    }

    /// Keeps a copy of what can never be taken; a gap event goes in its place, with its number. Where no copy can be
    /// kept, it waits for one. `false` where the gap event can't be sent now: then nothing is to be sent before the
    /// pause is over.
    async fn reject(
        &mut self,
        number: u64,
        name: String,
        bytes: &[u8],
        why: &str,
        word: &str,
    ) -> bool {
        let refused =
            self.work.refuse(&mut self.report, &self.common.state_dir, number, &name, bytes, why);
        if !refused {
            return true;
        }
        let event = Event::parse(bytes).ok();
        let host = event
            .as_ref()
            .and_then(Event::host)
            .map_or_else(crate::configuration::host_name, str::to_owned);
        let digits = format!("{number:020}");
        let id = crate::ulid::derived(outbox::id(&name), "gap").unwrap_or_else(crate::ulid::fresh);
        let gap = json!({
            "specversion": "1.0", "id": id, "source": format!("{}{host}", crate::event::SOURCE), "type": GAP,
            "subject": "daemon/gap/-", "time": crate::event::now(), "datacontenttype": "application/json",
            "sequence": digits, "bootid": event.and_then(|event| event.bootid),
            "data": {"first": digits, "last": digits, "events": 1, "why": word},
        });
        let subject = crate::subject::subject(&host, "daemon", "gap", "-");
        let flight = Flight::Event { number, name: name.clone(), gap: true };
        match self.publish(flight, subject, &id, gap.to_string().into_bytes()).await {
            Ok(()) | Err(Answer::Taken) => {}
            Err(Answer::Again(trouble)) => {
                self.again(number, name, &trouble);
                return false;
            }
            Err(Answer::Never(why)) => self.give_up(number, &name, &why),
        }
        true
    }

    /// An event without even a gap event: only the log tells of it.
    fn give_up(&mut self, number: u64, name: &str, why: &str) {
        log(Level::Error, &format!("nats: the gap event for {name} can't be sent: {why}"));
        self.work.done(number);
    }

    /// What the mover last told of the host, and what the relay has to add.
    async fn beat(&mut self) {
        let status = outbox::read(&self.common.outbox.join(outbox::STATUS))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let host = status
            .as_ref()
            .and_then(|status| status.get("host")?.as_str().map(str::to_owned))
            .filter(|host| !host.is_empty())
            .unwrap_or_else(crate::configuration::host_name);
        let id = crate::ulid::fresh();
        let beat = json!({
            "specversion": "1.0", "id": id, "source": format!("{}{host}", crate::event::SOURCE), "type": HEARTBEAT,
            "subject": "daemon/heartbeat/-", "time": crate::event::now(), "datacontenttype": "application/json",
            "data": {
                "hookmux": status,
                "relay": {"version": env!("CARGO_PKG_VERSION"), "waiting": self.waiting(),
                    "rejected": rejected::list(&rejected::directory(&self.common.state_dir)).map_or(0, |all| all.len())},
            },
        });
        let subject = crate::subject::subject(&host, "daemon", "heartbeat", "-");
        if let Err(Answer::Again(trouble)) =
            self.publish(Flight::Heartbeat, subject, &id, beat.to_string().into_bytes()).await
        {
            self.report.trouble(&trouble, self.waiting());
        }
    }

    /// What is on its way may arrive, for a while.
    async fn finish(&mut self) {
        let end = Instant::now() + Duration::from_secs(5);
        while let Ok(Some((flight, answer))) =
            tokio::time::timeout_at(end, self.flights.next()).await
        {
            if let (Flight::Event { number, .. }, Answer::Taken) = (flight, answer) {
                self.work.done(number);
                self.report.sent(1);
            }
        }
        self.work.save();
        self.report.save(true);
    }
}

/// The event in a file, and the subject that it goes to.
fn prepare(number: u64, name: &str, bytes: &[u8]) -> Result<(Event, String), String> {
    let event = Event::parse(bytes)?;
    if event.id != outbox::id(name) {
        return Err(format!("its id {} is not that of its name", event.id));
    }
    if event.sequence.as_deref().is_some_and(|sequence| sequence.parse() != Ok(number)) {
        return Err("its number is not that of its name".to_owned());
    }
    let subject = event
        .nats_subject()
        .ok_or_else(|| format!("its subject `{}` names no call", event.subject))?;
    Ok((event, subject))
}

fn judge(
    error: &jetstream::context::PublishError,
    subject: &str,
    stream: &str,
    last_word: Option<String>,
) -> Answer {
    use std::error::Error;
    let code = error
        .source()
        .and_then(|source| source.downcast_ref::<jetstream::Error>())
        .map(jetstream::Error::error_code);
    match (error.kind(), code) {
        (PublishErrorKind::MaxPayloadExceeded, _) => {
            Answer::Never(format!("it is larger than the server takes ({})", whole(error)))
        }
        (_, Some(jetstream::ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)) => {
            Answer::Never(format!("it is larger than the stream {stream} takes (max_msg_size)"))
        }
        (PublishErrorKind::StreamNotFound, _) => Answer::Again(Trouble::with(
            format!("no stream takes {subject}"),
            "an administrator makes it with `hookmux-relay ensure-stream`; in a cluster it may be choosing a new leader",
        )),
        (PublishErrorKind::TimedOut, _) => Answer::Again(match last_word {
            Some(word) if word.contains("Permissions Violation") => Trouble::with(
                format!("the server forbids what this host does: {word}"),
                format!(
                    "its user needs the right to publish to {subject} and to subscribe to its inbox"
                ),
            ),
            Some(word) => Trouble::new(format!("no answer from the server, which says: {word}")),
            None => Trouble::new("no answer from the server in time"),
        }),
        (_, Some(jetstream::ErrorCode::STREAM_NOT_MATCH)) => Answer::Again(Trouble::with(
            format!("another stream than {stream} takes {subject}"),
            "`stream` must be its name, or that stream must give the subject up",
        )),
        (
            _,
            Some(
                jetstream::ErrorCode::STREAM_STORE_FAILED
                | jetstream::ErrorCode::STORAGE_RESOURCES_EXCEEDED,
            ),
        ) => Answer::Again(Trouble::with(
            format!("the stream {stream} takes no more: {}", whole(error)),
            "make room, or let the oldest go (discard: old)",
        )),
        _ => Answer::Again(Trouble::new(whole(error))),
    }
}

/// Asks the stream, and stores nothing: an event that expects a number that no stream reaches is refused for that
/// alone, if nothing else is wrong.
pub(crate) async fn probe(
    connection: &Connection,
    settings: &Nats,
    host: &str,
) -> Result<(), Trouble> {
    let context = jetstream::ContextBuilder::new()
        .timeout(settings.ack_timeout.0)
        .ack_timeout(settings.ack_timeout.0)
        .build(connection.client.clone());
    let subject = crate::subject::subject(host, "daemon", "heartbeat", "-");
    let message = PublishMessage::build()
        .expected_stream(&settings.stream.0)
        .expected_last_sequence(u64::from(u32::MAX) << 20)
        .payload("{}".into());
    let result = match context.send_publish(subject.clone(), message).await {
        Ok(ack) => ack.await.map(|_| ()),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(()),
        Err(error) => {
            let word = connection.last_word.within(settings.ack_timeout.0 + Duration::from_secs(1));
            match judge(&error, &subject, &settings.stream.0, word) {
                Answer::Again(trouble) => Err(trouble),
                Answer::Never(why) => Err(Trouble::new(why)),
                Answer::Taken => Ok(()),
            }
        }
    }
}
