//! The event of an execution: a JSON object as CloudEvents 1.0 has it. It has no document, no output and no
//! argument of a hook.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::libvirt::metadata::Property;
use crate::machine::{host_name, truncate};
use crate::occasion::Occasion;
use crate::record::form::{
    RecordCause, RecordHead, RecordOutcome, RecordProcess, RecordState, RunRecord,
};
use crate::record::mask::Secrets;
use crate::record::selection;
use crate::state::format;

/// The type of the event of an execution.
pub(crate) const EXECUTION: &str = "hookmux.execution.v1";
/// The size limit of an event, in bytes: a server of NATS takes 256 KiB with the stream that `docs/fleet.md` has.
pub(crate) const MAX_EVENT_BYTES: usize = 200 << 10;
/// The size limit of a name, and of any other text, in bytes.
const MAX_NAME_BYTES: usize = 256;
const MAX_TEXT_BYTES: usize = 1024;
/// How many runs and properties an event has at most.
const MAX_RUNS: usize = 200;
const MAX_PROPERTIES: usize = 64;
/// How many runs it has where it would be too large.
const FEW_RUNS: usize = 20;

/// The outcome of an execution whose process died before its end, as `show` has it; and what is said of it.
const LOST: &str = "lost";
const DIED: &str = "hookmux was killed before this call was over";

/// How the label of a rollback ends.
const ROLLBACK_SUFFIX: &str = " (rollback)";

/// What an event has of a call's document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EventFacts {
    pub title: Option<String>,
    pub properties: BTreeMap<String, String>,
}

impl EventFacts {
    /// Returns them for a call; `None` where there is no outbox. Of the properties only those that the settings
    /// name are for other hosts.
    pub(crate) fn of(occasion: &Occasion<'_>) -> Option<EventFacts> {
        if !occasion.settings.outbox {
            return None;
        }
        let metadata = &occasion.facts.metadata;
        let rules = occasion.settings.custom_properties.as_ref();
        let named = metadata.properties.iter().filter(|property| {
            let (name, value) = (&property.name, &property.value);
            rules.is_some_and(|it| it.is_listed(name) && it.violated_rule(name, value).is_none())
        });
        let pair = |property: &Property| (property.name.clone(), property.value.clone());
        Some(EventFacts {
            title: metadata.title.clone(),
            properties: named.take(MAX_PROPERTIES).map(pair).collect(),
        })
    }
}

/// The event, without its number, which it gets when it is moved.
#[derive(Debug, Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    r#type: &'static str,
    subject: String,
    time: String,
    datacontenttype: &'static str,
    bootid: &'a str,
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    driver: &'a str,
    operation: String,
    sub_operation: String,
    extra: String,
    object: String,
    uuid: Option<&'a str>,
    class: &'a str,
    events: Vec<String>,
    title: Option<String>,
    reason: Option<String>,
    origin: Option<&'a str>,
    cause: &'a str,
    parent: Option<&'a str>,
    began: String,
    duration_ms: Option<u64>,
    outcome: &'static str,
    exit_status: Option<i32>,
    failure: Option<String>,
    properties: BTreeMap<String, String>,
    runs: Vec<Run>,
    left_out: usize,
    hookmux: Version<'a>,
}

#[derive(Debug, Serialize)]
struct Run {
    hook: String,
    event: Option<String>,
    device: Option<String>,
    kind: &'static str,
    outcome: &'static str,
    start_ms: Option<u64>,
    duration_ms: Option<u64>,
    status: i32,
    failure: Option<String>,
}

#[derive(Debug, Serialize)]
struct Version<'a> {
    version: &'a str,
    digest: Option<&'a str>,
}

/// What an event is made of.
pub(crate) struct EventSource<'a> {
    pub head: &'a RecordHead,
    pub runs: &'a [RunRecord],
    /// What happened in each run that failed, without its output.
    pub failures: &'a [Option<String>],
    pub facts: &'a EventFacts,
    /// The passwords of the call's documents.
    pub secrets: &'a Secrets,
}

/// Makes the event of an execution that is over; of one that isn't, the event that it is if its process dies.
///
/// # Errors
/// It can't be written as JSON.
pub(crate) fn encode(source: &EventSource<'_>) -> serde_json::Result<Vec<u8>> {
    let bytes = encode_with(source, MAX_RUNS)?;
    if bytes.len() <= MAX_EVENT_BYTES { Ok(bytes) } else { encode_with(source, FEW_RUNS) }
}

fn encode_with(source: &EventSource<'_>, max_runs: usize) -> serde_json::Result<Vec<u8>> {
    let EventSource { head, runs, failures, facts, secrets } = source;
    let cut = |text: &str, limit: usize| {
        // whole, before anything is cut: a part of a password isn't found
        truncate::keep_start(&secrets.mask_text(text), limit).to_owned()
    };
    let name = |text: &str| cut(text, MAX_NAME_BYTES);
    let text = |text: &str| cut(text, MAX_TEXT_BYTES);
    let optional = |value: &Option<String>| value.as_deref().map(name);
    let run = |(index, run): (usize, &RunRecord)| Run {
        hook: name(&run.hook),
        event: optional(&run.event),
        device: optional(&run.device),
        kind: kind(head, run),
        outcome: word(run.outcome),
        start_ms: run.start_us.map(|micros| micros / 1000),
        duration_ms: run.duration_us.map(|micros| micros / 1000),
        status: run.status,
        failure: failures.get(index).and_then(Option::as_deref).map(name),
    };
    let reason = Some(head.extra.as_str());
    let reason = reason.filter(|it| head.operation == "release" && !matches!(*it, "" | "-"));
    let properties = facts.properties.iter().map(|(key, value)| (name(key), text(value)));
    let is_lost = head.state == RecordState::Running;
    // when a lost one ended isn't known
    let ended_us = head.began_us.saturating_add(head.duration_us.unwrap_or_default());
    let RecordProcess { boot, .. } = &head.process;
    let failed = failures
        .iter()
        .zip(runs.iter())
        .find_map(|(what, run)| Some(format!("{}: {}", run.hook, what.as_deref()?)));
    // the words that libvirt got may have a line that a hook of an earlier call wrote, or the value of a property
    let is_own = head.failure.is_some() && !runs.iter().any(|run| run.outcome.is_failure());
    let own = is_own.then(|| {
        format!(
            "no hook of this call failed; on the host `hookmux show {}` has the reason",
            head.id
        )
    });
    serde_json::to_vec(&Event {
        specversion: "1.0",
        id: &head.id,
        source: format!("hookmux/{}", host_name::get()),
        r#type: EXECUTION,
        subject: subject(head),
        time: time(ended_us),
        datacontenttype: "application/json",
        bootid: boot,
        data: Data {
            driver: &head.driver,
            operation: name(&head.operation),
            sub_operation: name(&head.sub_operation),
            extra: name(&head.extra),
            object: text(&head.object),
            uuid: head.uuid.as_deref(),
            class: &head.class,
            events: selection::events(head),
            title: facts.title.as_deref().map(text),
            reason: reason.map(name),
            origin: head.origin.as_deref(),
            cause: head.cause.name(),
            parent: head.cause.parent(),
            began: time(head.began_us),
            duration_ms: head.duration_us.map(|micros| micros / 1000),
            outcome: if is_lost { LOST } else { word(head.outcome) },
            exit_status: head.status,
            failure: failed.or(own).or(is_lost.then(|| DIED.to_owned())).as_deref().map(text),
            properties: properties.collect(),
            runs: runs.iter().enumerate().take(max_runs).map(run).collect(),
            left_out: runs.len().saturating_sub(max_runs),
            hookmux: Version { version: &head.version, digest: head.digest.as_deref() },
        },
    })
}

/// Returns driver, operation and uuid, as servers of messages can filter by them.
fn subject(head: &RecordHead) -> String {
    let is_plain = |word: &str| {
        !word.is_empty()
            && word.len() <= 64
            && word.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
    };
    let operation = Some(head.operation.as_str()).filter(|word| is_plain(word)).unwrap_or("-");
    format!("{}/{operation}/{}", head.driver, head.uuid.as_deref().unwrap_or("-"))
}

/// Returns the word for an outcome, as `show` has it.
fn word(outcome: RecordOutcome) -> &'static str {
    match outcome {
        RecordOutcome::Success => "good",
        RecordOutcome::Failure | RecordOutcome::Timeout => "failed",
        RecordOutcome::Queued => "queued",
        RecordOutcome::Bypassed => "bypassed",
        RecordOutcome::Unknown => "unknown",
    }
}

fn kind(head: &RecordHead, run: &RunRecord) -> &'static str {
    if run.undo.is_some() {
        "undo"
    } else if run.hook.ends_with(ROLLBACK_SUFFIX) {
        "rollback"
    } else if run.outcome == RecordOutcome::Queued || matches!(head.cause, RecordCause::Queue(_)) {
        "detached"
    } else {
        "hook"
    }
}

/// Returns a time as RFC 3339 has it; the argument is in microseconds since 1970.
pub(crate) fn time(micros: u64) -> String {
    // later ones can't be written
    let time = Duration::from_micros(micros.min(MAX_MICROSECONDS));
    humantime::format_rfc3339_micros(UNIX_EPOCH + time).to_string()
}

/// The end of the year 9999.
const MAX_MICROSECONDS: u64 = 253_402_300_799_000_000;

/// The first keys of a waiting event, of this version or another.
#[derive(Deserialize)]
struct EventHead {
    specversion: String,
    id: String,
}

/// Puts the number into an event. Returns `None` where it isn't the event with this id.
pub(crate) fn with_number(bytes: &[u8], id: &str, number: u64) -> Option<Vec<u8>> {
    let head: EventHead = format::read_object(bytes).ok()?;
    if head.id != id || head.specversion != "1.0" {
        return None;
    }
    let rest = bytes.trim_ascii().strip_prefix(b"{")?;
    let mut event = format!("{{\"sequence\":\"{number:020}\",").into_bytes();
    event.extend_from_slice(rest);
    event.push(b'\n');
    Some(event)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::record::form::tests::record;

    fn event(change: impl FnOnce(&mut RecordHead, &mut Vec<RunRecord>)) -> Value {
        let mut record = record();
        change(&mut record.head, &mut record.body.runs);
        let mut secrets = Secrets::default();
        secrets.add(b"<graphics passwd='s3cret-word'/>");
        let facts = EventFacts { title: Some("has s3cret-word".into()), ..EventFacts::default() };
        let failures: Vec<Option<String>> = record.body.runs.iter().map(|_| None).collect();
        let source = EventSource {
            head: &record.head,
            runs: &record.body.runs,
            failures: &failures,
            facts: &facts,
            secrets: &secrets,
        };
        let bytes = encode(&source).unwrap();
        assert!(bytes.len() <= MAX_EVENT_BYTES);
        let numbered = with_number(&bytes, &record.head.id, 7).unwrap();
        assert!(with_number(&bytes, "01ARYZ6S410000000000000000", 7).is_none());
        serde_json::from_slice(&numbered).unwrap()
    }

    #[test]
    fn it_is_a_cloudevent_with_a_number_and_no_password() {
        let event = event(|head, _| head.extra = "s3cret-word".into());
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["type"], EXECUTION);
        assert_eq!(event["sequence"], "00000000000000000007");
        assert_eq!(event["subject"], "qemu/prepare/4d7c5c1e-6f0a-4c57-9d5e-2f6f1b6c8a10");
        assert!(!event.to_string().contains("s3cret"), "{event:#}");
        assert!(event["data"]["title"].as_str().unwrap().contains("***"));
    }

    #[test]
    fn however_much_ran_it_is_small() {
        for (runs, expected) in [(3, 3), (MAX_RUNS, FEW_RUNS), (5000, FEW_RUNS)] {
            let event = event(|_, all| {
                let long = RunRecord { hook: "\u{1}".repeat(3000), ..RunRecord::default() };
                *all = std::iter::repeat_n(long, runs).collect();
            });
            assert_eq!(event["data"]["runs"].as_array().unwrap().len(), expected);
            assert_eq!(event["data"]["left_out"], runs - expected);
        }
    }

    #[test]
    fn an_odd_operation_is_no_part_of_the_subject() {
        for odd in ["", "a/b", "a.b", "*", "a b", "\n"] {
            let event = event(|head, _| {
                head.operation = odd.into();
                head.uuid = None;
            });
            assert_eq!(event["subject"], "qemu/-/-", "{odd:?}");
        }
    }

    #[test]
    fn times_are_written_however_wrong_the_clock_is() {
        assert_eq!(time(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
        assert!(time(u64::MAX).starts_with("9999-12-31T"));
    }

    #[test]
    fn what_is_no_event_gets_no_number() {
        for bytes in [&b""[..], b"{}", b"[]", b"{\"id\":7}", b"{\"id\":\"x\"}", b"\xff"] {
            assert!(with_number(bytes, "x", 1).is_none());
        }
    }
}
