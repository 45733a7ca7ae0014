//! `watch`: shows events of all hosts.

use crate::args::{Format, WatchArgs};
use crate::configuration::{Configuration, From};
use crate::event::{EXECUTION, Event, GAP, HEARTBEAT};
use crate::filter::Filter;
use crate::nats::{connect_once, whole};
use crate::say;
use anyhow::{Result, anyhow};
use async_nats::jetstream::{self, consumer::DeliverPolicy, consumer::pull};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

pub(crate) async fn run(config: Option<&Path>, args: &WatchArgs) -> Result<u8> {
    let filter =
        Filter::parse(args.which.iter().map(String::as_str)).map_err(anyhow::Error::msg)?;
    let configuration = Configuration::read_if_there(config)?;
    let mut nats = crate::connection::settle(&configuration, &args.connection)?;
    nats.inbox_prefix.get_or_insert_with(crate::publish::default_inbox_prefix);
    // what is wrong at first is said exactly; what goes wrong later mends itself
    drop(connect_once(&nats, "hookmux-relay watch").await?);
    let connection = crate::nats::connect_for_long(&nats, "hookmux-relay watch").await?;
    let context = jetstream::ContextBuilder::new()
        .timeout(Duration::from_secs(10))
        .build(connection.client.clone());
    let name = &nats.stream.0;
    let said = |error: String| match connection.last_word.within(Duration::from_secs(12)) {
        Some(word) if word.contains("Permissions Violation") => {
            anyhow!("stream {name}: {word}: docs/fleet.md has the rights that watching needs")
        }
        _ => anyhow!("stream {name}: {error}"),
    };
    let stream = context.get_stream(name).await.map_err(|error| said(whole(&error)))?;
    let last = stream.cached_info().state.last_sequence;
    let follow = async |deliver_policy| {
        let settings = pull::OrderedConfig {
            filter_subject: filter.subject(),
            deliver_policy,
            ..pull::OrderedConfig::default()
        };
        let consumer =
            stream.create_consumer(settings).await.map_err(|error| said(whole(&error)))?;
        let pending = consumer.cached_info().num_pending;
        anyhow::Ok((consumer.messages().await.map_err(|error| said(whole(&error)))?, pending))
    };
    let (mut messages, pending) = follow(match args.since {
        From::Now => DeliverPolicy::New,
        From::Beginning => DeliverPolicy::All,
        From::Time(time) => {
            DeliverPolicy::ByStartTime { start_time: time::OffsetDateTime::from(time) }
        }
    })
    .await?;
    if args.no_follow && pending == 0 {
        return Ok(0);
    }
    // the number after the last that was seen; where none was, after those that were there at the beginning
    let mut next = last + 1;
    let mut seen = false;
    let mut look = tokio::time::interval(Duration::from_millis(500));
    let mut was_away = false;
    let mut shown = 0;
    let mut end = std::pin::pin!(crate::asked_to_end());
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            ended = &mut end => { ended?; return Ok(0) }
            _ = look.tick() => {
                // a server that has restarted knows nothing of this reader
                let is_up = connection.is_up();
                if is_up && was_away {
                    let policy = match args.since {
                        From::Now => DeliverPolicy::ByStartSequence { start_sequence: next },
                        _ if seen => DeliverPolicy::ByStartSequence { start_sequence: next },
                        From::Beginning => DeliverPolicy::All,
                        From::Time(time) => DeliverPolicy::ByStartTime { start_time: time::OffsetDateTime::from(time) },
                    };
                    match follow(policy).await {
                        Ok((again, _)) => {
                            messages = again;
                            was_away = false;
                        }
                        Err(error) => say::log(say::Level::Warning, &error.to_string()),
                    }
                } else if !is_up {
                    was_away = true;
                }
                continue;
            }
        };
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                say::log(say::Level::Warning, &format!("stream {name}: {}", whole(&error)));
                tokio::time::sleep(crate::hold_off(2)).await;
                continue;
            }
            None => return Ok(0),
        };
        let (sequence, pending) =
            message.info().map_or((0, 0), |info| (info.stream_sequence, info.pending));
        if sequence > 0 {
            next = sequence + 1;
            seen = true;
        }
        if let Some(text) = show(&message.subject, &message.payload, sequence, &filter, args) {
            if !say::line(&text) {
                return Ok(0);
            }
            shown += 1;
        }
        if args.count.is_some_and(|count| shown >= count)
            || (args.no_follow && (pending == 0 || sequence >= last))
        {
            return Ok(0);
        }
    }
}

/// The text of a message, if it is meant.
fn show(
    subject: &str,
    payload: &[u8],
    sequence: u64,
    filter: &Filter,
    args: &WatchArgs,
) -> Option<String> {
    let [host, driver, operation, object] = crate::subject::parts(subject)?;
    if !filter.takes(&driver, &operation) {
        return None;
    }
    let event = match Event::parse(payload) {
        // the server lets a host publish under its own name only; what it wrote may say another
        Ok(event) if event.host() != Some(&host) => {
            Err(format!("it says that it comes from {}", event.source))
        }
        Ok(event)
            if event.call().is_some_and(|call| {
                call != [driver.as_str(), operation.as_str(), object.as_str()]
            }) =>
        {
            Err(format!("it says that it is about {}", event.subject))
        }
        event => event,
    };
    if event.as_ref().is_ok_and(|event| event.kind == HEARTBEAT) && !args.heartbeats {
        return None;
    }
    if let Ok(event) = &event {
        let field = |key: &str| event.data.get(key).unwrap_or(&Value::Null);
        let is_other = args.guest.as_ref().is_some_and(|guest| {
            !field("object")
                .as_str()
                .is_some_and(|name| name == guest || crate::filter::matches(guest, name))
        });
        let has_failed = matches!(field("outcome").as_str(), Some("failed" | "lost"));
        let is_good = event.kind == HEARTBEAT || (event.kind == EXECUTION && !has_failed);
        if !filter.takes_events(field("events")) || is_other || (args.failed && is_good) {
            return None;
        }
    }
    Some(match args.output.output {
        Format::Json => match event {
            Ok(_) => json!({"format": 1, "host": host, "stream_sequence": sequence, "subject": subject,
                "event": serde_json::from_slice::<Value>(payload).unwrap_or_default()}),
            Err(error) => json!({"format": 1, "host": host, "stream_sequence": sequence, "subject": subject, "error": {"message": error}}),
        }
        .to_string(),
        Format::Text => match event {
            Ok(event) => text(&host, &event),
            Err(error) => say::printable(&format!("{subject}: not an event of hookmux: {error}")),
        },
    })
}

/// Lines for people: the call, then what failed in it.
fn text(host: &str, event: &Event) -> String {
    let time = event.time.get(..19).unwrap_or(&event.time);
    let word = |key: &str| event.text(key).unwrap_or("-").to_owned();
    let number = |key: &str| event.data.get(key).map(ToString::to_string).unwrap_or_default();
    let mut lines = Vec::new();
    match event.kind.as_str() {
        EXECUTION => {
            let call = event.call().unwrap_or_default();
            let runs =
                event.data.get("runs").and_then(Value::as_array).cloned().unwrap_or_default();
            let object = event.data.get("object").and_then(Value::as_str).unwrap_or(call[2]);
            // what isn't known isn't said: hookmux was killed
            let length = event.data.get("duration_ms").and_then(Value::as_f64).map(|length| {
                let (seconds, hooks) = (length / 1000.0, runs.len());
                format!("  {seconds:.3} s  {hooks} {}", if hooks == 1 { "hook" } else { "hooks" })
            });
            lines.push(format!(
                "{time}Z  {host}  {}/{}  {object}  {}{}",
                call[0],
                call[1],
                word("outcome"),
                length.unwrap_or_default(),
            ));
            if !runs.iter().any(|run| run.get("failure").is_some_and(Value::is_string))
                && let Some(failure) = event.text("failure")
            {
                lines.push(format!("    {failure}"));
            }
            for run in runs {
                if let Some(failure) = run.get("failure").and_then(Value::as_str) {
                    let hook = run.get("hook").and_then(Value::as_str).unwrap_or("-");
                    lines.push(format!("    {hook}: {failure}"));
                }
            }
        }
        GAP => lines.push(format!(
            "{time}Z  {host}  {} events are lost ({}): numbers {} to {}",
            number("events"),
            word("why"),
            word("first"),
            word("last"),
        )),
        HEARTBEAT => {
            let status = event.data.get("hookmux").unwrap_or(&Value::Null);
            let findings = |key: &str| {
                status
                    .get("findings")
                    .and_then(|all| all.get(key))
                    .map_or("-".to_owned(), ToString::to_string)
            };
            lines.push(format!(
                "{time}Z  {host}  heartbeat  hookmux {}  errors {}  warnings {}",
                status.get("version").and_then(Value::as_str).unwrap_or("-"),
                findings("error"),
                findings("warning"),
            ));
        }
        other => lines.push(format!("{time}Z  {host}  {other}  {}", event.subject)),
    }
    lines.iter().map(|line| say::printable(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::event::Event;
    use serde_json::{Value, json};

    #[test]
    fn a_call_is_a_line_and_what_failed_is_below_it() {
        let of = |data: Value| {
            let event = json!({
                "specversion": "1.0", "id": "01JDZ3M8X5Q2K7R9T4V6W8Y0AB", "source": "hookmux/a",
                "type": "hookmux.execution.v1", "subject": "qemu/stopped/-", "time": "2026-11-30T18:00:00.000001Z",
                "data": data,
            });
            let event = Event::parse(event.to_string().as_bytes()).ok();
            event.map(|event| text("a", &event)).unwrap_or_default()
        };
        let begin = "2026-11-30T18:00:00Z  a  qemu/stopped  web  ";
        let run = |failure: Value| json!({"hook": "after_vm_stop/10-a", "failure": failure});
        for (data, said) in [
            (
                json!({"object": "web", "outcome": "good", "duration_ms": 20, "failure": null, "runs": [run(Value::Null)]}),
                "good  0.020 s  1 hook",
            ),
            (
                json!({"object": "web", "outcome": "failed", "duration_ms": 20, "failure": "x", "runs": [run("status 3".into())]}),
                "failed  0.020 s  1 hook\n    after_vm_stop/10-a: status 3",
            ),
            (
                json!({"object": "web", "outcome": "lost", "duration_ms": null, "failure": "hookmux was killed", "runs": []}),
                "lost\n    hookmux was killed",
            ),
        ] {
            assert_eq!(of(data), format!("{begin}{said}"));
        }
    }
}
