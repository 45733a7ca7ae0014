//! The event that tells of lost events: which ones, and why.

use serde::{Deserialize, Serialize};

use super::event;
use crate::machine::{boot, clock, host_name, ulid};

/// The type of the event.
pub(crate) const GAP: &str = "hookmux.gap.v1";

/// Why events are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GapReason {
    /// The outbox had as many as it may have: the oldest went.
    Full,
    /// The runtime directory had no room for them.
    NoRoom,
    /// They weren't events, or of another execution.
    Unreadable,
}

/// A run of lost events, with its own number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gap {
    pub number: u64,
    pub id: String,
    /// The first and the last lost number; `None` where they never had one.
    pub lost: Option<(u64, u64)>,
    /// How many executions.
    pub events: u64,
    pub why: GapReason,
}

#[derive(Serialize, Deserialize)]
struct Data {
    first: Option<String>,
    last: Option<String>,
    events: u64,
    why: GapReason,
}

#[derive(Serialize)]
struct Event<'a> {
    sequence: String,
    specversion: &'static str,
    id: &'a str,
    source: String,
    r#type: &'static str,
    subject: &'static str,
    time: String,
    datacontenttype: &'static str,
    bootid: String,
    data: Data,
}

impl Gap {
    pub(crate) fn new(number: u64, lost: Option<(u64, u64)>, events: u64, why: GapReason) -> Gap {
        Gap { number, id: ulid::new(), lost, events, why }
    }

    /// Returns the event.
    ///
    /// # Errors
    /// It can't be written as JSON.
    pub(crate) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let written = |number: u64| format!("{number:020}");
        let mut bytes = serde_json::to_vec(&Event {
            sequence: written(self.number),
            specversion: "1.0",
            id: &self.id,
            source: format!("hookmux/{}", host_name::get()),
            r#type: GAP,
            subject: "daemon/gap/-",
            time: event::time(clock::unix_microseconds()),
            datacontenttype: "application/json",
            bootid: boot::id(),
            data: Data {
                first: self.lost.map(|(first, _)| written(first)),
                last: self.lost.map(|(_, last)| written(last)),
                events: self.events,
                why: self.why,
            },
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// What an event of the outbox says of lost events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EarlierGap {
    pub lost: Option<(u64, u64)>,
    pub events: u64,
}

/// Reads such an event; `None` for every other.
pub(crate) fn read(bytes: &[u8]) -> Option<EarlierGap> {
    #[derive(Deserialize)]
    struct Read {
        r#type: String,
        data: Data,
    }
    let event: Read = serde_json::from_slice(bytes).ok()?;
    if event.r#type != GAP {
        return None;
    }
    let number = |text: &Option<String>| text.as_ref()?.parse().ok();
    let lost = number(&event.data.first).zip(number(&event.data.last));
    Some(EarlierGap { lost, events: event.data.events })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_lost() {
        for lost in [Some((3, 7)), None] {
            let gap = Gap::new(8, lost, 5, GapReason::Full);
            let bytes = gap.encode().unwrap();
            assert_eq!(read(&bytes), Some(EarlierGap { lost, events: 5 }));
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains("\"sequence\":\"00000000000000000008\""), "{text}");
        }
        for other in ["", "{}", "{\"type\":\"hookmux.gap.v1\"}", "{\"type\":7,\"data\":{}}"] {
            assert_eq!(read(other.as_bytes()), None);
        }
    }
}
