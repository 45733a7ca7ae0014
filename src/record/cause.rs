//! Why an execution was begun, and how a record says it: as a word, or as a word with the id of another execution.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The cause of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordCause {
    Libvirt,
    /// `hookmux run`
    Person,
    /// `hookmux retry` of the execution with this id.
    Retry(String),
    /// The worker, for a job that the execution with this id put into the queue.
    Queue(String),
    /// Undos outside of a call; the first one's hook ran in the execution with this id. 0.1.0 has no word for it,
    /// and shows it as it is written.
    Undo(String),
    /// The event of another host, about the execution with this id there.
    Remote(String),
    /// A cause that only another version knows: the word, and the id with it.
    Other {
        word: String,
        parent: Option<String>,
    },
}

impl Default for RecordCause {
    fn default() -> RecordCause {
        RecordCause::Other { word: UNKNOWN.to_owned(), parent: None }
    }
}

const UNKNOWN: &str = "unknown";

/// Written as a word, or as a word with an id.
impl Serialize for RecordCause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pair = |word: &str, id: &str| {
            Value::Object([(word.to_owned(), id.into())].into_iter().collect())
        };
        match self {
            RecordCause::Libvirt => serializer.serialize_str("libvirt"),
            RecordCause::Person => serializer.serialize_str("person"),
            RecordCause::Retry(id) => pair("retry", id).serialize(serializer),
            RecordCause::Queue(id) => pair("queue", id).serialize(serializer),
            RecordCause::Undo(id) => pair("undo", id).serialize(serializer),
            RecordCause::Remote(id) => pair("remote", id).serialize(serializer),
            RecordCause::Other { word, parent: None } => serializer.serialize_str(word),
            RecordCause::Other { word, parent: Some(id) } => pair(word, id).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RecordCause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RecordCause, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let first = value.as_object().and_then(|object| object.iter().next());
        let id = first.and_then(|(_, id)| id.as_str()).map(str::to_owned);
        let word = value.as_str().or(first.map(|(word, _)| word.as_str()));
        Ok(match (word, id) {
            (Some("libvirt"), None) if value.is_string() => RecordCause::Libvirt,
            (Some("person"), None) if value.is_string() => RecordCause::Person,
            (Some("retry"), Some(id)) => RecordCause::Retry(id),
            (Some("queue"), Some(id)) => RecordCause::Queue(id),
            (Some("undo"), Some(id)) => RecordCause::Undo(id),
            (Some("remote"), Some(id)) => RecordCause::Remote(id),
            (Some("libvirt" | "person") | None, None) => RecordCause::default(),
            (word, parent) => {
                RecordCause::Other { word: word.unwrap_or(UNKNOWN).to_owned(), parent }
            }
        })
    }
}

impl RecordCause {
    pub fn name(&self) -> &str {
        match self {
            RecordCause::Libvirt => "libvirt",
            RecordCause::Person => "run",
            RecordCause::Retry(_) => "retry",
            RecordCause::Queue(_) => "queue",
            RecordCause::Undo(_) => "undo",
            RecordCause::Remote(_) => "remote",
            RecordCause::Other { word, .. } => word,
        }
    }

    /// Returns the id of the execution that led to this one.
    pub fn parent(&self) -> Option<&str> {
        match self {
            RecordCause::Libvirt | RecordCause::Person => None,
            RecordCause::Retry(id)
            | RecordCause::Queue(id)
            | RecordCause::Undo(id)
            | RecordCause::Remote(id) => Some(id),
            RecordCause::Other { parent, .. } => parent.as_deref(),
        }
    }
}
