//! The form of a record: two lines of JSON. The first is the head, which is all that a list needs;
//! the second what there is to show. A newer version's further keys are passed over.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::text::Text;
use crate::observer::PlanEntry;
use crate::state::format::{self, NewerFormat};

/// Raised when what an older version reads from it would be wrong.
pub(crate) const FORMAT: u32 = 1;

/// How far an execution has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Running,
    Done,
    /// Its process died before it was done.
    Lost,
    /// A word of another version's.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How an execution, or one hook in it, ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Success,
    /// A hook failed; whether libvirt was told depends on the call's class.
    Failure,
    Timeout,
    /// Left to the queue.
    Queued,
    /// Nothing was run, for the emergency switch was on.
    Bypassed,
    /// It isn't known: not over yet, or lost, or a word of another version's.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Timeout => "timeout",
            Outcome::Queued => "queued",
            Outcome::Bypassed => "bypassed",
            Outcome::Unknown => "unknown",
        }
    }

    pub fn is_failure(self) -> bool {
        matches!(self, Outcome::Failure | Outcome::Timeout)
    }
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Done => "done",
            State::Lost => "lost",
            State::Unknown => "unknown",
        }
    }

    /// Whether it is over, and its hooks are known.
    pub fn is_over(self) -> bool {
        matches!(self, State::Done | State::Unknown)
    }
}

/// Who asked for an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    Libvirt,
    /// `hookmux run`
    Person,
    /// `hookmux retry` of the execution with this id.
    Retry(String),
    /// The worker, for a job that the execution with this id left in the queue.
    Queue(String),
    /// Somebody that only another version knows: the word, and the id that belongs to it.
    Other {
        word: String,
        parent: Option<String>,
    },
}

impl Default for Cause {
    fn default() -> Cause {
        Cause::Other { word: UNKNOWN.to_owned(), parent: None }
    }
}

const UNKNOWN: &str = "unknown";

/// A word, or a word and the id that belongs to it.
impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pair = |word: &str, id: &str| {
            Value::Object([(word.to_owned(), id.into())].into_iter().collect())
        };
        match self {
            Cause::Libvirt => serializer.serialize_str("libvirt"),
            Cause::Person => serializer.serialize_str("person"),
            Cause::Retry(id) => pair("retry", id).serialize(serializer),
            Cause::Queue(id) => pair("queue", id).serialize(serializer),
            Cause::Other { word, parent: None } => serializer.serialize_str(word),
            Cause::Other { word, parent: Some(id) } => pair(word, id).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cause, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let first = value.as_object().and_then(|object| object.iter().next());
        let id = first.and_then(|(_, id)| id.as_str()).map(str::to_owned);
        let word = value.as_str().or(first.map(|(word, _)| word.as_str()));
        Ok(match (word, id) {
            (Some("libvirt"), None) if value.is_string() => Cause::Libvirt,
            (Some("person"), None) if value.is_string() => Cause::Person,
            (Some("retry"), Some(id)) => Cause::Retry(id),
            (Some("queue"), Some(id)) => Cause::Queue(id),
            (Some("libvirt" | "person") | None, None) => Cause::default(),
            (word, parent) => Cause::Other { word: word.unwrap_or(UNKNOWN).to_owned(), parent },
        })
    }
}

impl Cause {
    pub fn name(&self) -> &str {
        match self {
            Cause::Libvirt => "libvirt",
            Cause::Person => "run",
            Cause::Retry(_) => "retry",
            Cause::Queue(_) => "queue",
            Cause::Other { word, .. } => word,
        }
    }

    /// The execution that this one comes from.
    pub fn parent(&self) -> Option<&str> {
        match self {
            Cause::Libvirt | Cause::Person => None,
            Cause::Retry(id) | Cause::Queue(id) => Some(id),
            Cause::Other { parent, .. } => parent.as_deref(),
        }
    }
}

/// A process, by what can't come to mean another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    pub boot: String,
    pub pid: i32,
    /// Clock ticks from the boot to its start.
    pub start: u64,
}

/// The first line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    pub format: u32,
    /// A ULID: sorts by the time of the call.
    pub id: String,
    pub state: State,
    pub outcome: Outcome,
    pub cause: Cause,
    pub driver: String,
    pub object: String,
    pub operation: String,
    pub sub_operation: String,
    pub extra: String,
    pub uuid: Option<String>,
    pub class: String,
    /// `None` for networks and the daemon, and where it wasn't asked.
    pub origin: Option<String>,
    /// When the call came, in microseconds since 1970.
    pub began_us: u64,
    /// How long it took until its answer, in microseconds.
    pub duration_us: Option<u64>,
    /// The exit status that libvirt got.
    pub status: Option<i32>,
    /// The first line about what failed.
    pub failure: Option<String>,
    pub hooks: Vec<HookHead>,
    /// Who handled it.
    pub process: Process,
    /// hookmux's.
    pub version: String,
    /// Several hooks directories may share a `state_dir`. `None` in records of 0.1.0.
    pub hooks_dir: Option<String>,
}

/// A hook's run, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookHead {
    pub hook: String,
    pub event: Option<String>,
    pub outcome: Outcome,
    pub duration_us: Option<u64>,
}

/// The second line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Body {
    /// libvirt's, as they came.
    pub arguments: Vec<Text>,
    pub hooks_dir: Text,
    /// The name of the process that called.
    pub daemon: String,
    /// The daemon's, of which hooks are given these.
    pub path: Option<Text>,
    pub home: Option<Text>,
    /// libvirt's document.
    pub document: Option<Text>,
    /// What libvirt was given in its place.
    pub document_after: Option<Text>,
    /// The document of `started`, where the call's hooks were given it.
    pub started_document: Option<Text>,
    pub plan: Vec<PlanEntry>,
    pub runs: Vec<RunRecord>,
    /// What hookmux itself had to say.
    pub notes: Vec<String>,
    /// What libvirt got on standard error.
    pub stderr: Text,
    /// What there was no room for.
    pub left_out: Option<String>,
}

/// One hook's run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRecord {
    pub hook: String,
    pub event: Option<String>,
    pub device: Option<String>,
    /// What was executed.
    pub path: Text,
    /// Of what was executed, where it is at most 256 KiB.
    pub sha256: Option<String>,
    pub outcome: Outcome,
    /// From the call's beginning to its start, in microseconds.
    pub start_us: Option<u64>,
    pub duration_us: Option<u64>,
    /// 0, its exit status, 128 and a signal's number, 124 for a timeout, 125 to 127 as of the verdict.
    pub status: i32,
    /// What happened, in words, where it failed.
    pub failure: Option<String>,
    pub stdout: Text,
    pub stderr: Text,
    pub changed_document: bool,
    /// Processes that it left running.
    pub leftovers: Vec<LeftRunning>,
    /// The queue's job, of a detached one.
    pub job: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftRunning {
    pub pid: i32,
    pub name: String,
}

/// A record as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub head: Head,
    pub body: Body,
}

impl Record {
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(&self.head)?;
        bytes.push(b'\n');
        serde_json::to_writer(&mut bytes, &self.body)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// `None` where it is none, or of a format that isn't known.
    pub fn decode(bytes: &[u8]) -> Option<Record> {
        Record::read(bytes).ok()
    }

    /// Reads both lines.
    ///
    /// # Errors
    /// Why they are no record of this version's.
    pub fn read(bytes: &[u8]) -> Result<Record, Unread> {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let (first, second) = bytes.split_at(end);
        let head = Head::read(first)?;
        let body = format::read_object(second).map_err(|_| Unread::NoRecord)?;
        Ok(Record { head, body })
    }

    /// Leaves out what is large: that it happened is kept last.
    pub fn strip(&mut self, why: &str) {
        let body = &mut self.body;
        (body.document, body.document_after, body.started_document) = (None, None, None);
        for run in &mut body.runs {
            (run.stdout, run.stderr) = (Text::default(), Text::default());
        }
        body.left_out = Some(why.to_owned());
    }
}

impl Head {
    /// `None` where it is none, or of a format that isn't known.
    pub fn decode(line: &[u8]) -> Option<Head> {
        Head::read(line).ok()
    }

    /// Reads the first line.
    ///
    /// # Errors
    /// Why it is no head of this version's.
    pub fn read(line: &[u8]) -> Result<Head, Unread> {
        match format::read_object::<Head>(line) {
            Ok(head) if head.format == FORMAT => Ok(head),
            _ => Err(format::check(line, FORMAT).map_or_else(Unread::Newer, |()| Unread::NoRecord)),
        }
    }
}

/// Why something is no record that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    Newer(NewerFormat),
    NoRecord,
}

/// Changes the state to `lost` and leaves all else as it is written, also what only another version
/// knows. `None` where it isn't a record.
pub(crate) fn mark_lost(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (first, second) = bytes.split_at(end);
    let mut head: Value = serde_json::from_slice(first).ok()?;
    *head.as_object_mut()?.get_mut("state")? = State::Lost.name().into();
    let mut marked = serde_json::to_vec(&head).ok()?;
    marked.extend_from_slice(second);
    Some(marked)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::machine::ulid;
    use crate::observer::PlanDecision;

    /// One that is done.
    pub(crate) fn record() -> Record {
        let head = Head {
            format: FORMAT,
            id: ulid::new(),
            state: State::Done,
            outcome: Outcome::Success,
            cause: Cause::Libvirt,
            driver: "qemu".into(),
            object: "web".into(),
            operation: "prepare".into(),
            sub_operation: "begin".into(),
            extra: "-".into(),
            uuid: Some("4d7c5c1e-6f0a-4c57-9d5e-2f6f1b6c8a10".into()),
            class: "gate".into(),
            origin: Some("fresh".into()),
            began_us: 1_700_000_000_000_000,
            duration_us: Some(12_000),
            status: Some(0),
            failure: None,
            hooks: vec![HookHead {
                hook: "before_vm_start/10-x".into(),
                event: Some("before_vm_start".into()),
                outcome: Outcome::Success,
                duration_us: Some(3000),
            }],
            process: Process { boot: "b".into(), pid: 4_194_304, start: 7 },
            version: "0.1.0".into(),
            hooks_dir: Some("/etc/libvirt/hooks".to_owned()),
        };
        let body = Body {
            arguments: vec![Text(b"web".to_vec()), Text(b"\xff".to_vec())],
            document: Some(Text(b"<domain/>\n".to_vec())),
            ..Body::default()
        };
        Record { head, body }
    }

    #[test]
    fn what_is_written_is_read() {
        let record = record();
        let bytes = record.encode().unwrap();
        assert_eq!(Record::decode(&bytes), Some(record.clone()));
        // half of it is none
        for end in [0, 10, bytes.len() / 2] {
            assert_eq!(Record::decode(&bytes[..end]), None);
        }
        let mut newer = record;
        newer.head.format = FORMAT + 1;
        assert_eq!(Record::decode(&newer.encode().unwrap()), None);
    }

    /// A record in JSON, to be changed.
    fn written() -> (Value, Value) {
        let bytes = record().encode().unwrap();
        let mut lines = bytes.split(|byte| *byte == b'\n').map(serde_json::from_slice);
        (lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap())
    }

    fn read_back(head: &Value, body: &Value) -> Record {
        Record::decode(format!("{head}\n{body}\n").as_bytes()).unwrap()
    }

    #[test]
    fn words_of_another_version_are_read_as_unknown() {
        let (mut head, mut body) = written();
        head["state"] = "paused".into();
        head["outcome"] = "postponed".into();
        head["hooks"][0]["outcome"] = "skipped".into();
        head["priority"] = serde_json::json!({ "high": true });
        body["plan"] = serde_json::json!([{ "hook": "a/b", "decision": "later", "turn": 3 }]);
        body["runs"] = serde_json::json!([{ "hook": "a/b", "outcome": "later" }]);
        let record = read_back(&head, &body);
        assert_eq!((record.head.state, record.head.outcome), (State::Unknown, Outcome::Unknown));
        assert_eq!(record.head.hooks[0].outcome, Outcome::Unknown);
        assert_eq!(record.head.hooks[0].hook, "before_vm_start/10-x");
        assert_eq!(record.body.plan[0].decision, PlanDecision::Unknown);
        assert_eq!(record.body.runs[0].outcome, Outcome::Unknown);
        assert_eq!(record.head.object, "web");
    }

    #[test]
    fn a_cause_of_another_version_has_its_word_and_its_id() {
        for (cause, name, parent) in [
            (serde_json::json!("relay"), "relay", None),
            (serde_json::json!({ "remote": "01ABC" }), "remote", Some("01ABC")),
            (serde_json::json!({ "remote": { "host": "x" } }), "remote", None),
            (serde_json::json!({ "retry": 5 }), "retry", None),
            (serde_json::json!({ "libvirt": {} }), "unknown", None),
            (serde_json::json!({}), "unknown", None),
            (serde_json::json!(7), "unknown", None),
        ] {
            let (mut head, body) = written();
            head["cause"] = cause.clone();
            let record = read_back(&head, &body);
            assert!(matches!(record.head.cause, Cause::Other { .. }), "{cause}");
            assert_eq!((record.head.cause.name(), record.head.cause.parent()), (name, parent));
            assert_eq!(Record::decode(&record.encode().unwrap()), Some(record), "{cause}");
        }
        for (cause, written) in [
            (Cause::Libvirt, r#""libvirt""#),
            (Cause::Person, r#""person""#),
            (Cause::Retry("A".into()), r#"{"retry":"A"}"#),
            (Cause::Queue("B".into()), r#"{"queue":"B"}"#),
        ] {
            assert_eq!(serde_json::to_string(&cause).unwrap(), written);
            assert_eq!(serde_json::from_str::<Cause>(written).unwrap(), cause);
        }
    }

    #[test]
    fn missing_keys_have_defaults() {
        let (head, body) = written();
        for key in head.as_object().unwrap().keys().filter(|key| *key != "format") {
            let mut less = head.clone();
            less.as_object_mut().unwrap().shift_remove(key);
            read_back(&less, &body);
        }
        let record = read_back(&serde_json::json!({ "format": 1 }), &serde_json::json!({}));
        assert_eq!(record.head, Head { format: 1, ..Head::default() });
        for part in [
            serde_json::json!({ "plan": [{}] }),
            serde_json::json!({ "runs": [{ "leftovers": [{}] }] }),
        ] {
            read_back(&head, &part);
        }
    }

    #[test]
    fn a_newer_record_is_told_from_what_is_none() {
        let (mut head, body) = written();
        head["format"] = 2.into();
        let newer = Unread::Newer(NewerFormat { found: 2, known: FORMAT });
        assert_eq!(Head::read(head.to_string().as_bytes()), Err(newer));
        // its further lines and its keys may be of any form
        head["hooks"] = 7.into();
        let text = format!("{head}\n\x00");
        assert_eq!(Record::read(text.as_bytes()), Err(newer));
        for text in ["", "{}", "{", "[1]", "{\"format\":0}", "{\"format\":-1}"] {
            assert_eq!(Head::read(text.as_bytes()), Err(Unread::NoRecord), "{text}");
        }
        head["format"] = 1.into();
        assert_eq!(Head::read(head.to_string().as_bytes()), Err(Unread::NoRecord));
        let _ = body;
    }

    #[test]
    fn what_is_marked_as_lost_loses_nothing() {
        let (mut head, body) = written();
        head["state"] = "running".into();
        head["more"] = serde_json::json!([1, { "a": "b" }]);
        let marked = mark_lost(format!("{head}\n{body}\n").as_bytes()).unwrap();
        head["state"] = "lost".into();
        assert_eq!(String::from_utf8(marked).unwrap(), format!("{head}\n{body}\n"));
        for bytes in [&b""[..], b"{}", b"{}\n{}", b"7\n{}"] {
            assert_eq!(mark_lost(bytes), None);
        }
    }
}
