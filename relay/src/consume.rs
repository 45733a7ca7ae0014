//! `consume`: runs hooks that are marked `remote: true` for events of other hosts.
//!
//! A message gives data, never a command or a path: what runs is the one program of the configuration, always with
//! the same arguments, and the event on its standard input. That program decides by its own registrations.

use crate::configuration::{Configuration, Consume, From, Nats};
use crate::dead::{self, Letter};
use crate::event::{EXECUTION, Event};
use crate::filter::Filter;
use crate::nats::{Connection, Trouble, connect_for_long, connect_once, whole};
use crate::say::{Level, log};
use anyhow::{Context, Result, anyhow};
use async_nats::jetstream::{self, AckKind, consumer};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

/// `hookmux run --remote -`: done, or nothing to do.
const DONE: i32 = 0;
/// This isn't an event; trying again is of no use.
const NO_EVENT: i32 = 2;
/// How much of a program's output is kept.
const OUTPUT: usize = 16 << 10;
/// How long running hooks may go on when the service is to end; systemd ends what is left.
const LAST_RUNS: Duration = Duration::from_secs(60);

type Puller = consumer::Consumer<consumer::pull::Config>;

pub(crate) async fn run(config: Option<&Path>) -> Result<u8> {
    let configuration = Configuration::read_if_there(config)?;
    let Some(settings) = configuration.consume.clone() else {
        anyhow::bail!("there is no section `consume` in the configuration: it names the consumer");
    };
    let nats = settings.connection(configuration.nats()?);
    let directory = dead::directory(&settings);
    std::fs::create_dir_all(&directory).with_context(|| format!("{}", directory.display()))?;
    std::fs::create_dir_all(begun(&settings))
        .with_context(|| format!("{}", begun(&settings).display()))?;
    remove_old_marks(&settings);
    if let Err(trouble) = connect_once(&nats, "hookmux-relay consume").await {
        log(Level::Warning, &format!("consume: {trouble}"));
    }
    let mut end = std::pin::pin!(crate::asked_to_end());
    let slots = Arc::new(Semaphore::new(settings.max_parallel.0));
    let settings = Arc::new(settings);
    let serve = serve(&nats, &settings, &slots);
    tokio::select! {
        result = serve => { result?; }
        ended = &mut end => ended?,
    }
    // what runs may end; its acknowledgement goes with it
    let all = u32::try_from(settings.max_parallel.0).unwrap_or(1);
    if tokio::time::timeout(LAST_RUNS, slots.acquire_many(all)).await.is_err() {
        log(Level::Warning, "consume: some hooks still run; their events come again");
    }
    Ok(0)
}

/// Takes messages for as long as the service runs.
async fn serve(nats: &Nats, settings: &Arc<Consume>, slots: &Arc<Semaphore>) -> Result<()> {
    let mut failures = 0;
    let mut said = String::new();
    // told when it changes, and not each time
    let mut tell = move |text: String| {
        if said != text {
            log(Level::Warning, &format!("consume: {text}"));
            said = text;
        }
    };
    loop {
        let connection = match connect_for_long(nats, "hookmux-relay consume").await {
            Ok(connection) => connection,
            Err(trouble) => {
                tell(trouble.to_string());
                failures += 1;
                tokio::time::sleep(crate::hold_off(failures)).await;
                continue;
            }
        };
        let puller = loop {
            let trouble = if connection.is_up() {
                match durable(&connection, nats, settings).await {
                    Ok(puller) => break puller,
                    Err(trouble) => Some(trouble),
                }
            } else if failures % 10 == 9 {
                connect_once(nats, "hookmux-relay consume").await.err()
            } else {
                None
            };
            if let Some(trouble) = trouble {
                tell(trouble.to_string());
            }
            failures += 1;
            tokio::time::sleep(crate::hold_off(failures)).await;
        };
        log(
            Level::Info,
            &format!("consume: takes events of {} as {}", nats.stream.0, settings.name.0),
        );
        failures = 0;
        loop {
            // no more than can run: a message that waits here would use up its time to be acknowledged
            let first = slots.clone().acquire_owned().await?;
            let mut free = vec![first];
            while let Ok(more) = slots.clone().try_acquire_owned() {
                free.push(more);
            }
            match puller
                .fetch()
                .max_messages(free.len())
                .expires(Duration::from_secs(5))
                .messages()
                .await
            {
                Ok(mut batch) => {
                    while let Some(message) = batch.next().await {
                        match message {
                            Ok(message) => {
                                failures = 0;
                                let Some(slot) = free.pop() else { break };
                                let settings = settings.clone();
                                tokio::spawn(async move {
                                    handle(message, &settings).await;
                                    drop(slot);
                                });
                            }
                            Err(error) => {
                                tell(format!("stream {}: {error}", nats.stream.0));
                                failures += 1;
                                break;
                            }
                        }
                    }
                }
                Err(error) => {
                    tell(format!("stream {}: {}", nats.stream.0, whole(&error)));
                    failures += 1;
                }
            }
            drop(free);
            if failures > 0 {
                tokio::time::sleep(crate::hold_off(failures)).await;
            }
            // a consumer that was removed is made again, and says what is wrong
            if failures > 3 && connection.is_up() {
                break;
            }
        }
    }
}

/// The durable consumer: made, or brought to these settings. Where it began stays as it was.
async fn durable(
    connection: &Connection,
    nats: &Nats,
    settings: &Consume,
) -> Result<Puller, Trouble> {
    let context = jetstream::ContextBuilder::new()
        .timeout(Duration::from_secs(5))
        .build(connection.client.clone());
    let (stream, name) = (&nats.stream.0, &settings.name.0);
    let mut filters = Vec::new();
    for words in &settings.filter {
        let filter = Filter::parse(words.split_whitespace()).map_err(Trouble::new)?;
        if filter.is_for_readers() {
            return Err(Trouble::new(format!(
                "consume: filter `{words}`: a whole driver and operation are needed here"
            )));
        }
        filters.push(filter.subject());
    }
    let version = connection.client.server_info().version;
    if filters.len() > 1 && crate::status::older_than(&version, [2, 10, 0]) {
        // it would pass over the key, and give everything
        return Err(Trouble::with(
            format!("nats-server {version} knows one filter of a consumer only"),
            "2.10 or later knows more; or give one entry in `filter`",
        ));
    }
    let mut wanted = consumer::pull::Config {
        durable_name: Some(name.clone()),
        description: Some("hookmux-relay consume".to_owned()),
        ack_policy: consumer::AckPolicy::Explicit,
        ack_wait: settings.ack_wait.0,
        // how often an event is tried is counted here: so none goes without a dead letter
        max_deliver: -1,
        max_ack_pending: 1000,
        ..consumer::pull::Config::default()
    };
    match filters.as_slice() {
        [] => {}
        [one] => wanted.filter_subject.clone_from(one),
        _ => wanted.filter_subjects = filters,
    }
    let explain = |error: String| match connection.last_word.within(Duration::from_secs(6)) {
        Some(word) if word.contains("Permissions Violation") => Trouble::with(
            format!("the server forbids it: {word}"),
            "docs/fleet.md has the rights of a consumer",
        ),
        _ => Trouble::new(format!("consumer {name} of stream {stream}: {error}")),
    };
    let there: Result<Puller, _> = context.get_consumer_from_stream(name, stream).await;
    match there {
        Ok(there) => {
            let config = &there.cached_info().config;
            wanted.deliver_policy = config.deliver_policy;
            let same = config.filter_subject == wanted.filter_subject
                && config.filter_subjects == wanted.filter_subjects;
            if !same && crate::status::older_than(&version, [2, 10, 0]) {
                return Err(Trouble::with(
                    format!("nats-server {version} can't change the filter of consumer {name}"),
                    "2.10 or later can; or give the consumer another name, which begins anew",
                ));
            }
        }
        Err(error) => {
            if !is_missing(&error) {
                return Err(explain(whole(&error)));
            }
            wanted.deliver_policy = match settings.from {
                From::Now => consumer::DeliverPolicy::New,
                From::Beginning => consumer::DeliverPolicy::All,
                From::Time(time) => consumer::DeliverPolicy::ByStartTime {
                    start_time: time::OffsetDateTime::from(time),
                },
            };
        }
    }
    context.create_consumer_on_stream(wanted, stream).await.map_err(|error| explain(whole(&error)))
}

/// Whether there is no such consumer.
fn is_missing(error: &jetstream::stream::ConsumerError) -> bool {
    use jetstream::stream::ConsumerErrorKind as Kind;
    matches!(error.kind(), Kind::JetStream(error) if error.error_code() == jetstream::ErrorCode::CONSUMER_NOT_FOUND)
}

/// What became of an event.
enum End {
    Done,
    /// it comes again after a while
    Again(String),
    /// it never comes again
    Dead(String),
}

async fn handle(message: jetstream::Message, settings: &Consume) {
    let (deliveries, sequence) =
        message.info().map_or((1, 0), |info| (info.delivered, info.stream_sequence));
    let deliveries = u64::try_from(deliveries).unwrap_or(1).max(1);
    let event = match check(&message) {
        Ok(Some(event)) => event,
        Ok(None) => {
            // a heartbeat, or a gap: nothing to run
            acknowledge(&message, AckKind::Ack).await;
            return;
        }
        Err(why) => {
            let id = dead::id_of_no_event(sequence);
            let why = format!("not an event of hookmux: {why}");
            // on disk before the server is told
            let kind = if bury(settings, &id, &message, deliveries, sequence, &why) {
                AckKind::Term
            } else {
                AckKind::Nak(Some(settings.retry_delay.0))
            };
            acknowledge(&message, kind).await;
            return;
        }
    };
    let most = settings.max_deliver.0 as u64;
    let name = dead::name_of_event(&event.id, event.host().unwrap_or_default());
    let mark = begun(settings).join(&name);
    if std::fs::read(&mark).is_ok_and(|text| text == b"done\n") {
        // its hooks had run when this program was killed, before the server knew
        if acknowledge(&message, AckKind::Ack).await {
            let _ = std::fs::remove_file(&mark);
        }
        return;
    }
    let end = if deliveries > most {
        End::Dead(format!(
            "it was delivered {} times, and each time this program ended before its hooks did",
            deliveries - 1
        ))
    } else {
        let _ = std::fs::write(&mark, b"begun\n");
        if deliveries == most {
            // the last try: if this program dies in it, the letter is there
            bury(
                settings,
                &event.id,
                &message,
                deliveries,
                sequence,
                "this program ended during the last try",
            );
        }
        supervise(&message, settings, deliveries).await
    };
    match end {
        End::Done => {
            let _ = std::fs::write(&mark, b"done\n");
            if deliveries == most {
                dead::forget(settings, &name);
            }
            if acknowledge(&message, AckKind::Ack).await {
                let _ = std::fs::remove_file(&mark);
            }
        }
        End::Again(why) if deliveries < most => {
            log(
                Level::Warning,
                &format!(
                    "consume: {} of {}: {why}; try {deliveries} of {most}",
                    event.id, event.source
                ),
            );
            let delay = settings.retry_delay.0 * u32::try_from(deliveries).unwrap_or(1);
            acknowledge(&message, AckKind::Nak(Some(delay))).await;
        }
        End::Again(why) | End::Dead(why) => {
            log(
                Level::Error,
                &format!(
                    "consume: {} of {}: {why}; given up after {deliveries}: `hookmux-relay dead` has it",
                    event.id, event.source
                ),
            );
            // on disk before the server is told
            if bury(settings, &event.id, &message, deliveries, sequence, &why) {
                acknowledge(&message, AckKind::Term).await;
                let _ = std::fs::remove_file(&mark);
            } else {
                acknowledge(&message, AckKind::Nak(Some(settings.retry_delay.0))).await;
            }
        }
    }
}

/// Says to the server what became of a message, and waits until the server has it.
async fn acknowledge(message: &jetstream::Message, kind: AckKind) -> bool {
    for failures in 0..4 {
        match tokio::time::timeout(Duration::from_secs(5), message.double_ack_with(kind)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) if failures == 3 => log(
                Level::Warning,
                &format!("consume: the server wasn't told of a message: {error}"),
            ),
            Err(_) if failures == 3 => log(
                Level::Warning,
                "consume: the server didn't answer an acknowledgement; the event comes again",
            ),
            _ => {}
        }
        tokio::time::sleep(crate::hold_off(failures)).await;
    }
    false
}

/// Reads a message: an execution, `None` for what is none, or what is wrong with it.
fn check(message: &jetstream::Message) -> Result<Option<Event>, String> {
    let event = Event::parse(&message.payload)?;
    let Some([host, driver, operation, object]) = crate::subject::parts(&message.subject) else {
        return Err(format!("its subject {} is none of hookmux's", message.subject));
    };
    // the server lets a host publish under its own name only: so the name in the subject is the true one
    if event.host() != Some(host.as_str()) {
        return Err(format!("it came from {host}, and says that it is of {}", event.source));
    }
    if event.kind != EXECUTION {
        return Ok(None);
    }
    if event.call() != Some([driver.as_str(), operation.as_str(), object.as_str()]) {
        return Err(format!(
            "it came as {driver}/{operation}/{object}, and says {}",
            event.subject
        ));
    }
    let id = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get("Nats-Msg-Id"))
        .map(|id| id.as_str());
    if id.is_some_and(|id| id != event.id) {
        return Err("its id is not that of its header".to_owned());
    }
    for (key, value) in [("driver", &driver), ("operation", &operation)] {
        if event.text(key) != Some(value) {
            return Err(format!("its data says another {key}"));
        }
    }
    if event.text("uuid").unwrap_or("-") != object {
        return Err("its data says another uuid".to_owned());
    }
    Ok(Some(event))
}

/// Runs the hooks, and keeps the server waiting.
async fn supervise(message: &jetstream::Message, settings: &Consume, deliveries: u64) -> End {
    let run = run_hookmux(settings, &message.payload, deliveries, None);
    tokio::pin!(run);
    let mut progress = tokio::time::interval(settings.ack_wait.0 / 3);
    progress.tick().await;
    loop {
        tokio::select! {
            end = &mut run => return judge(end),
            _ = progress.tick() => {
                // what is lost here is said again; at worst the event comes twice
                let _ = message.ack_with(AckKind::Progress).await;
            }
        }
    }
}

fn judge(end: Result<(Option<i32>, String)>) -> End {
    match end {
        Ok((Some(DONE), _)) => End::Done,
        Ok((Some(NO_EVENT), said)) => {
            End::Dead(format!("hookmux doesn't take it as an event: {said}"))
        }
        Ok((Some(75), said)) => End::Again(format!("it can't be run now: {said}")),
        Ok((Some(status), said)) => End::Again(format!("exit status {status}: {said}")),
        Ok((None, said)) => End::Again(format!("it was ended: {said}")),
        Err(error) => End::Again(format!("{error:#}")),
    }
}

/// Starts `hookmux run --remote -`; its exit status, and the last line that it said.
pub(crate) async fn run_hookmux(
    settings: &Consume,
    event: &[u8],
    deliveries: u64,
    user: Option<(u32, u32)>,
) -> Result<(Option<i32>, String)> {
    let program = &settings.hookmux;
    let mut command = tokio::process::Command::new(program);
    command
        .args(["run", "--remote", "-"])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .env("HOME", &settings.state_dir)
        .env("HOOKMUX_REMOTE_DELIVERY", deliveries.to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // so that a Ctrl-C on a terminal reaches this program alone
        .process_group(0)
        .kill_on_drop(true);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    let mut child = command.spawn().with_context(|| format!("{}", program.display()))?;
    let mut input = child.stdin.take().context("no standard input")?;
    let mut errors = child.stderr.take().context("no standard error")?;
    let event = event.to_vec();
    let feed = tokio::spawn(async move {
        // who doesn't read it gets none
        let _ = input.write_all(&event).await;
    });
    let mut said = Vec::new();
    let status = {
        let listen = async {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = errors.read(&mut buffer).await {
                said.extend_from_slice(&buffer[..count]);
                if said.len() > OUTPUT {
                    said.drain(..said.len() - OUTPUT / 2);
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            status = tokio::time::timeout(settings.timeout.0, child.wait()) => status,
            () = listen => return Err(anyhow!("not to be reached")),
        }
    };
    feed.abort();
    let status = match status {
        Ok(status) => status?,
        Err(_) => {
            end(&mut child).await;
            return Ok((
                None,
                format!("it took longer than {}", humantime::format_duration(settings.timeout.0)),
            ));
        }
    };
    // what is left in the pipe; who still holds it isn't waited for
    let mut rest = vec![0; OUTPUT];
    if let Ok(Ok(count)) =
        tokio::time::timeout(Duration::from_millis(100), errors.read(&mut rest)).await
    {
        said.extend_from_slice(&rest[..count]);
    }
    let text = String::from_utf8_lossy(&said);
    let last =
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim();
    let last: String = last.chars().take(500).collect();
    Ok((status.code(), last))
}

/// Ends a program that took too long: hookmux ends its hooks itself where it is asked.
async fn end(child: &mut tokio::process::Child) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(id),
            nix::sys::signal::Signal::SIGTERM,
        );
    }
    if tokio::time::timeout(Duration::from_secs(15), child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Where it is marked which events are being run.
fn begun(settings: &Consume) -> PathBuf {
    settings.state_dir.join("begun")
}

/// Marks of events that another consumer of this name has ended stay here, and are of no use once the stream has
/// forgotten the event.
fn remove_old_marks(settings: &Consume) {
    const AGE: Duration = Duration::from_secs(30 * 24 * 3600);
    for entry in std::fs::read_dir(begun(settings)).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|file| file.modified()).ok();
        let age = modified.and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > AGE) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn bury(
    settings: &Consume,
    id: &str,
    message: &jetstream::Message,
    deliveries: u64,
    sequence: u64,
    why: &str,
) -> bool {
    let letter = Letter {
        format: 1,
        id: id.to_owned(),
        time: crate::event::now(),
        subject: message.subject.to_string(),
        consumer: settings.name.0.clone(),
        stream_sequence: sequence,
        deliveries,
        reason: why.to_owned(),
        event: serde_json::from_slice(&message.payload).unwrap_or_else(|_| {
            json!(String::from_utf8_lossy(&message.payload[..message.payload.len().min(64 << 10)]))
        }),
    };
    match dead::keep(settings, &letter) {
        Ok(()) => true,
        Err(error) => {
            log(Level::Error, &format!("consume: no dead letter of {id} can be written: {error}"));
            false
        }
    }
}

/// What `status` has to say of it.
pub(crate) async fn status(
    settings: &Consume,
    nats: &Nats,
) -> Vec<(String, Result<String, Trouble>, Value)> {
    let mut parts = Vec::new();
    let name = format!("consumer {}", settings.name.0);
    let connection = settings.connection(nats);
    let (result, more) = match connect_once(&connection, "hookmux-relay status").await {
        Err(trouble) => (Err(trouble), json!({})),
        Ok(up) => {
            let context = jetstream::ContextBuilder::new()
                .timeout(Duration::from_secs(5))
                .build(up.client.clone());
            let there: Result<Puller, _> =
                context.get_consumer_from_stream(&settings.name.0, &nats.stream.0).await;
            match there {
                Ok(there) => {
                    let info = there.cached_info();
                    let more = json!({"waiting": info.num_pending, "running": info.num_ack_pending, "again": info.num_redelivered});
                    (
                        Ok(format!(
                            "{} events wait, {} are being run",
                            info.num_pending, info.num_ack_pending
                        )),
                        more,
                    )
                }
                Err(error) => {
                    let trouble = match up.last_word.within(Duration::from_secs(6)) {
                        Some(word) if word.contains("Permissions Violation") => Trouble::with(
                            format!("the server forbids it: {word}"),
                            "docs/fleet.md has the rights of a consumer",
                        ),
                        _ if is_missing(&error) => Trouble::with(
                            format!("there is no such consumer of stream {}", nats.stream.0),
                            "hookmux-consume.service makes it when it runs",
                        ),
                        _ => Trouble::new(whole(&error)),
                    };
                    (Err(trouble), json!({}))
                }
            }
        }
    };
    parts.push((name, result, more));
    let program = &settings.hookmux;
    if let Err(error) = std::fs::metadata(program) {
        parts.push((
            format!("program {}", program.display()),
            Err(Trouble::new(error.to_string())),
            json!({}),
        ));
    }
    for root in ["/etc/hookmux/remote", "/usr/lib/hookmux/hooks"] {
        let result = match std::fs::read_dir(root) {
            Ok(_) => Ok("it can be read".to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok("it isn't there".to_owned())
            }
            Err(error) => Err(Trouble::with(error.to_string(), format!("chmod 0755 {root}"))),
        };
        parts.push((format!("hooks {root}"), result, json!({})));
    }
    let letters = dead::all(settings).map_or(0, |all| all.len());
    let result = if letters == 0 {
        Ok("none".to_owned())
    } else {
        Err(Trouble::with(
            format!("the hooks of {letters} events failed for good"),
            "hookmux-relay dead list",
        ))
    };
    parts.push(("dead letters".to_owned(), result, json!({"dead_letters": letters})));
    parts
}
