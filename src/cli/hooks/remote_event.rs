//! The event of another host, as `run --remote` reads it. Whoever can write to the stream can send anything: every
//! value has its form and its limit, and only what is read here is used. An event gives data; which programs run,
//! and where they lie, is this host's decision alone.

use std::collections::BTreeMap;
use std::ffi::OsString;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::document::facts::DocumentFacts;
use crate::event::Origin;
use crate::libvirt::document::DocumentIdentity;
use crate::libvirt::metadata::{Metadata, Property};
use crate::libvirt::{Call, Document, Driver};
use crate::machine::ulid;
use crate::occasion::RemoteCall;
use crate::state::format;

/// The size limit of an event, in bytes.
pub const MAX_EVENT_BYTES: usize = 1 << 20;
const MAX_HOST_BYTES: usize = 255;
const MAX_NAME_BYTES: usize = 1024;
const MAX_WORD_BYTES: usize = 256;
const MAX_TITLE_BYTES: usize = 4096;
const MAX_PROPERTIES: usize = 256;
const MAX_VALUE_BYTES: usize = 4096;

/// The types of events that are no execution's: nothing is run for them.
const OTHER_TYPES: [&str; 2] = ["hookmux.gap.v1", "hookmux.heartbeat.v1"];
const EXECUTION: &str = "hookmux.execution.v1";
/// How `source` begins; the name of the host follows.
const SOURCE: &str = "hookmux/";

/// What an event means.
#[derive(Debug)]
pub enum Meaning {
    /// A call of another host, with what is known of its guest.
    Call(Box<RemoteEvent>),
    /// Nothing is to be run: why.
    Nothing(String),
}

/// A call of another host.
#[derive(Debug)]
pub struct RemoteEvent {
    pub call: Call,
    pub uuid: Option<String>,
    pub remote: RemoteCall,
    title: Option<String>,
    properties: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Head {
    specversion: String,
    id: String,
    source: String,
    r#type: String,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    sequence: Option<String>,
    #[serde(default)]
    bootid: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    driver: String,
    operation: String,
    #[serde(default)]
    sub_operation: Option<String>,
    #[serde(default)]
    extra: Option<String>,
    object: String,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    origin: Option<String>,
    cause: String,
    #[serde(default)]
    outcome: Option<String>,
    #[serde(default)]
    exit_status: Option<i32>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

/// Reads an event.
///
/// # Errors
/// It isn't one: trying again is of no use.
pub fn read(bytes: &[u8]) -> anyhow::Result<Meaning> {
    ensure!(bytes.len() <= MAX_EVENT_BYTES, "it has more than {MAX_EVENT_BYTES} bytes");
    let head: Head = format::read_object(bytes).context("it isn't a JSON object of an event")?;
    ensure!(head.specversion == "1.0", "its `specversion` isn't 1.0");
    ensure!(ulid::is_valid(&head.id), "its `id` isn't a ULID");
    let host = head.source.strip_prefix(SOURCE).filter(|host| is_host(host));
    let Some(host) = host else { bail!("its `source` names no host") };
    if OTHER_TYPES.contains(&head.r#type.as_str()) {
        return Ok(Meaning::Nothing(format!("{} runs nothing", head.r#type)));
    }
    ensure!(head.r#type == EXECUTION, "its `type` isn't {EXECUTION}");
    let Body { data } = format::read_object(bytes).context("its `data` isn't as it should be")?;
    let Some(driver) = Driver::from_name(&data.driver) else {
        bail!("its `driver` isn't one of libvirt's")
    };
    ensure!(is_operation(&data.operation), "its `operation` isn't a word");
    let sub = data.sub_operation.unwrap_or_else(|| "-".to_owned());
    ensure!(
        matches!(sub.as_str(), "" | "-") || is_operation(&sub),
        "its `sub_operation` isn't a word"
    );
    let extra = data.extra.unwrap_or_else(|| "-".to_owned());
    ensure!(is_text(&extra, MAX_WORD_BYTES), "its `extra` isn't a short text");
    ensure!(
        !data.object.is_empty() && is_text(&data.object, MAX_NAME_BYTES),
        "its `object` isn't a name"
    );
    ensure!(!data.object.contains('/'), "its `object` isn't a name: it has a slash");
    let uuid = data.uuid;
    ensure!(uuid.as_deref().is_none_or(is_uuid), "its `uuid` isn't one");
    let title = data.title;
    ensure!(
        title.as_deref().is_none_or(|it| is_text(it, MAX_TITLE_BYTES)),
        "its `title` isn't a short text"
    );
    ensure!(
        data.properties.len() <= MAX_PROPERTIES,
        "it has more than {MAX_PROPERTIES} `properties`"
    );
    for (name, value) in &data.properties {
        ensure!(is_variable(name), "the name of one of its `properties` isn't a word");
        ensure!(
            is_text(value, MAX_VALUE_BYTES),
            "the value of one of its `properties` isn't a short text"
        );
    }
    let origin = match &data.origin {
        None => None,
        Some(word) => Some(Origin::from_name(word).context("its `origin` isn't known")?),
    };
    let time = match &head.time {
        None => None,
        Some(time) => {
            ensure!(time.len() <= MAX_WORD_BYTES, "its `time` isn't one");
            let parsed = humantime::parse_rfc3339(time).context("its `time` isn't one")?;
            Some(humantime::format_rfc3339_micros(parsed).to_string())
        }
    };
    let sequence = match head.sequence.as_deref() {
        None => None,
        Some(text) => {
            let is_number = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
            let number: Option<u64> = text.parse().ok().filter(|_| is_number);
            Some(number.context("its `sequence` isn't a number")?)
        }
    };
    let is_boot = |text: &str| {
        text.len() <= 64 && text.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-')
    };
    ensure!(head.bootid.as_deref().is_none_or(is_boot), "its `bootid` isn't one");
    let outcome = data.outcome.unwrap_or_default();
    let is_word = outcome.len() <= 64 && outcome.bytes().all(|byte| byte.is_ascii_lowercase());
    ensure!(is_word, "its `outcome` isn't a word");
    let exit_status = data.exit_status;
    ensure!(
        exit_status.is_none_or(|status| (0..=255).contains(&status)),
        "its `exit_status` isn't one"
    );
    ensure!(data.cause.len() <= 64, "its `cause` isn't a word");
    if data.cause != "libvirt" {
        return Ok(Meaning::Nothing("it tells of no call of libvirt's".to_owned()));
    }
    let words = [data.object, data.operation, sub, extra].map(OsString::from);
    Ok(Meaning::Call(Box::new(RemoteEvent {
        call: Call::new(driver, words.into()),
        uuid,
        remote: RemoteCall {
            host: host.to_owned(),
            execution: head.id,
            boot: head.bootid,
            sequence,
            time,
            outcome,
            exit_status,
            origin,
            is_again: false,
        },
        title,
        properties: data.properties,
    })))
}

impl RemoteEvent {
    /// Returns what is known of the guest: there is no document.
    pub fn facts(&self) -> DocumentFacts {
        let property = |(name, value): (&String, &String)| Property {
            name: name.clone(),
            value: value.clone(),
        };
        DocumentFacts {
            document: Document::Absent,
            identity: DocumentIdentity::default(),
            metadata: Metadata {
                properties: self.properties.iter().map(property).collect(),
                title: self.title.clone(),
                ..Metadata::default()
            },
        }
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= MAX_HOST_BYTES
        && !host.starts_with(['.', '-'])
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_operation(word: &str) -> bool {
    word.len() <= 64
        && word.starts_with(|first: char| first.is_ascii_lowercase())
        && word.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

/// Tells whether it is a text of one line.
fn is_text(text: &str, limit: usize) -> bool {
    text.len() <= limit && !text.chars().any(char::is_control)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Tells whether it can be a part of a variable's name.
fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_WORD_BYTES
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event() -> Value {
        json!({
            "specversion": "1.0",
            "id": "01ARYZ6S410000000000000000",
            "source": "hookmux/node-1.example.org",
            "type": "hookmux.execution.v1",
            "time": "2026-11-30T12:00:00.000001Z",
            "sequence": "00000000000000000007",
            "bootid": "4d7c5c1e-6f0a-4c57-9d5e-2f6f1b6c8a10",
            "later": [1],
            "data": {
                "driver": "qemu", "operation": "started", "sub_operation": "begin", "extra": "-",
                "object": "web", "uuid": "4d7c5c1e-6f0a-4c57-9d5e-2f6f1b6c8a10", "title": "A title",
                "origin": "restore", "cause": "libvirt", "outcome": "good", "exit_status": 0,
                "properties": {"vlan": "7"}, "class": "gate", "later": {},
            },
        })
    }

    fn read_value(value: &Value) -> anyhow::Result<Meaning> {
        read(value.to_string().as_bytes())
    }

    #[test]
    fn a_call_is_read() {
        let Meaning::Call(event) = read_value(&event()).unwrap() else { panic!("a call") };
        assert_eq!(event.call.object(), "web");
        assert_eq!(event.remote.host, "node-1.example.org");
        assert_eq!((event.remote.sequence, event.remote.origin), (Some(7), Some(Origin::Restore)));
        let facts = event.facts();
        assert_eq!(facts.metadata.title.as_deref(), Some("A title"));
        assert_eq!(facts.metadata.properties[0].value, "7");
    }

    #[test]
    fn what_is_no_call_of_libvirts_runs_nothing() {
        for (key, value) in
            [("type", json!("hookmux.gap.v1")), ("type", json!("hookmux.heartbeat.v1"))]
        {
            let mut event = event();
            event[key] = value;
            assert!(matches!(read_value(&event).unwrap(), Meaning::Nothing(_)));
        }
        for cause in ["run", "retry", "queue", "undo", "other"] {
            let mut event = event();
            event["data"]["cause"] = cause.into();
            assert!(matches!(read_value(&event).unwrap(), Meaning::Nothing(_)), "{cause}");
        }
    }

    #[test]
    fn what_has_another_form_is_refused() {
        let long = "x".repeat(5000);
        let many: Value = (0..300).map(|number| (format!("p{number}"), json!("x"))).collect();
        for (pointer, values) in [
            ("/specversion", vec![json!("0.3"), json!(1), Value::Null]),
            (
                "/id",
                vec![
                    json!(""),
                    json!("../../etc/passwd"),
                    json!(7),
                    json!("01aryz6s410000000000000000"),
                ],
            ),
            (
                "/source",
                vec![
                    json!("node"),
                    json!("hookmux/"),
                    json!("hookmux/a/b"),
                    json!("hookmux/.."),
                    json!("hookmux/a\nb"),
                    json!(format!("hookmux/{long}")),
                ],
            ),
            ("/type", vec![json!("other"), json!("hookmux.execution.v2"), Value::Null]),
            ("/time", vec![json!("yesterday"), json!(long), json!(7)]),
            (
                "/sequence",
                vec![
                    json!("7"),
                    json!(7),
                    json!("99999999999999999999"),
                    json!("-0000000000000000007"),
                ],
            ),
            ("/bootid", vec![json!("x"), json!(long)]),
            ("/data", vec![json!([]), json!("x"), Value::Null]),
            ("/data/driver", vec![json!("vbox"), json!("../qemu"), json!(""), json!(["qemu"])]),
            (
                "/data/operation",
                vec![
                    json!(""),
                    json!("../x"),
                    json!("a b"),
                    json!("Started"),
                    json!("-x"),
                    json!(long),
                ],
            ),
            ("/data/sub_operation", vec![json!("a/b"), json!("$(id)"), json!(long)]),
            ("/data/extra", vec![json!("a\u{0}b"), json!("a\nb"), json!(long)]),
            (
                "/data/object",
                vec![
                    json!(""),
                    json!("a/b"),
                    json!("a\u{0}"),
                    json!("a\nb"),
                    json!(long),
                    json!({}),
                ],
            ),
            (
                "/data/uuid",
                vec![json!("x"), json!(""), json!("4d7c5c1e-6f0a-4c57-9d5e-2f6f1b6c8a1/")],
            ),
            ("/data/title", vec![json!("a\u{1b}[31m"), json!(long), json!(7)]),
            ("/data/origin", vec![json!("x"), json!("")]),
            ("/data/outcome", vec![json!("a b"), json!("X")]),
            ("/data/exit_status", vec![json!(-1), json!(256), json!(1e9), json!("0")]),
            ("/data/cause", vec![Value::Null, json!(7), json!(long)]),
            (
                "/data/properties",
                vec![
                    json!({"a b": "x"}),
                    json!({"": "x"}),
                    json!({"a=b": "x"}),
                    json!({"a": "x\u{0}"}),
                    json!({"a": long}),
                    json!({"a": 7}),
                    json!([]),
                    many,
                ],
            ),
        ] {
            for value in values {
                let mut event = event();
                *event.pointer_mut(pointer).unwrap() = value.clone();
                assert!(read_value(&event).is_err(), "{pointer}: {value}");
            }
        }
        for bytes in [&b""[..], b"[]", b"{", b"null", b"\xff\xfe", b"{\"id\":1,\"id\":2}"] {
            assert!(read(bytes).is_err());
        }
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
        let mut large = event();
        large["later"] = "x".repeat(MAX_EVENT_BYTES).into();
        assert!(read_value(&large).is_err());
        let mut twice = event().to_string();
        twice.insert_str(1, "\"id\":\"01ARYZ6S410000000000000000\",");
        assert!(read(twice.as_bytes()).is_err());
    }
}
