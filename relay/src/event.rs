//! An event: one object of CloudEvents 1.0, as hookmux writes it.

use serde::Deserialize;
use serde_json::Value;

pub(crate) const EXECUTION: &str = "hookmux.execution.v1";
pub(crate) const GAP: &str = "hookmux.gap.v1";
pub(crate) const HEARTBEAT: &str = "hookmux.heartbeat.v1";
/// What `source` begins with; the host's name follows.
pub(crate) const SOURCE: &str = "hookmux/";

#[derive(Deserialize)]
pub(crate) struct Event {
    specversion: String,
    pub(crate) id: String,
    pub(crate) source: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) subject: String,
    pub(crate) time: String,
    #[serde(default)]
    pub(crate) sequence: Option<String>,
    #[serde(default)]
    pub(crate) bootid: Option<String>,
    #[serde(default)]
    pub(crate) data: Value,
}

impl Event {
    /// Reads an event; the error says what is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let event: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("not an event: {error}"))?;
        if event.specversion != "1.0" {
            return Err(format!("not CloudEvents 1.0, but {}", event.specversion));
        }
        if crate::ulid::bits(&event.id).is_none() {
            return Err(format!("its id {} is no ULID", event.id));
        }
        if event.host().is_none() {
            return Err(format!("its source {} is no hookmux", event.source));
        }
        Ok(event)
    }

    /// The host that it comes from.
    pub(crate) fn host(&self) -> Option<&str> {
        self.source.strip_prefix(SOURCE).filter(|host| !host.is_empty())
    }

    /// Driver, operation and uuid of the call.
    pub(crate) fn call(&self) -> Option<[&str; 3]> {
        let mut parts = self.subject.splitn(3, '/');
        let call = [parts.next()?, parts.next()?, parts.next()?];
        call.iter().all(|part| !part.is_empty()).then_some(call)
    }

    /// The subject of NATS that it goes to.
    pub(crate) fn nats_subject(&self) -> Option<String> {
        let host = self.host()?;
        let [driver, operation, object] = match self.call() {
            Some(call) => call,
            None if self.kind == GAP => ["daemon", "gap", "-"],
            None => return None,
        };
        Some(crate::subject::subject(host, driver, operation, object))
    }

    /// A text in its data.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key)?.as_str()
    }
}

/// A time as CloudEvents wants it: RFC 3339, UTC, microseconds.
pub(crate) fn now() -> String {
    time_text(std::time::SystemTime::now())
}

pub(crate) fn time_text(time: std::time::SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

/// Nanoseconds since 1970 of such a time.
pub(crate) fn nanoseconds(text: &str) -> Option<u128> {
    let time =
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    u128::try_from(time.unix_timestamp_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::{Event, nanoseconds};

    fn text(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let mut event = serde_json::json!({
            "specversion": "1.0", "id": "01JDZ3M8X5Q2K7R9T4V6W8Y0AB", "source": "hookmux/node.example",
            "type": "hookmux.execution.v1", "subject": "qemu/started/4dea22b3-1d52-d8f3-2516-782e98ab3fa0",
            "time": "2026-11-30T18:00:00.000001Z", "data": {},
        });
        change(&mut event);
        event.to_string().into_bytes()
    }

    #[test]
    fn an_event_knows_its_subject() {
        let event = Event::parse(&text(|_| ())).ok().and_then(|event| event.nats_subject());
        assert_eq!(
            event.as_deref(),
            Some("hookmux.v1.node%2Eexample.qemu.started.4dea22b3-1d52-d8f3-2516-782e98ab3fa0")
        );
    }

    #[test]
    fn what_is_no_event_is_said() {
        type Change = fn(&mut serde_json::Value);
        let table: [(Change, &str); 5] = [
            (|event| event["specversion"] = "0.3".into(), "not CloudEvents 1.0"),
            (|event| event["id"] = "../../etc".into(), "no ULID"),
            (|event| event["source"] = "elsewhere".into(), "no hookmux"),
            (|event| event["source"] = "hookmux/".into(), "no hookmux"),
            (|event| event["type"] = 3.into(), "not an event"),
        ];
        for (change, said) in table {
            let error = Event::parse(&text(change)).err().unwrap_or_default();
            assert!(error.contains(said), "{error}");
        }
        assert!(Event::parse(b"{").is_err());
    }

    #[test]
    fn times_are_nanoseconds() {
        assert_eq!(nanoseconds("1970-01-01T00:00:01.000002Z"), Some(1_000_002_000));
        assert_eq!(nanoseconds("1970-01-01T01:00:01+01:00"), Some(1_000_000_000));
        assert_eq!(nanoseconds("yesterday"), None);
    }
}
