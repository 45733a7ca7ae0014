//! The format of a record: two lines of JSON. The first line is the head, which is enough for a list;
//! the second has the details. Unknown keys of a newer version are ignored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use super::cause::RecordCause;
use super::text::RecordText;
use crate::observer::{CommandLine, PlanEntry, UndoneSetup};
use crate::state::format::{self, NewerFormat};

/// The version of the format. It is raised when older versions would misread a record.
pub(crate) const FORMAT: u32 = 1;

/// The progress of an execution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordState {
    Running,
    Done,
    /// The process died before it was done.
    Lost,
    /// A word that only another version knows.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How an execution, or one of its hooks, ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordOutcome {
    Success,
    /// A hook failed; whether libvirt was told depends on the call's class.
    Failure,
    Timeout,
    /// The hook was put into the queue.
    Queued,
    /// No hook was run, because the emergency switch was on.
    Bypassed,
    /// Not known: not finished yet, or lost, or a word that only another version knows.
    #[default]
    #[serde(other)]
    Unknown,
}

impl RecordOutcome {
    pub fn name(self) -> &'static str {
        match self {
            RecordOutcome::Success => "success",
            RecordOutcome::Failure => "failure",
            RecordOutcome::Timeout => "timeout",
            RecordOutcome::Queued => "queued",
            RecordOutcome::Bypassed => "bypassed",
            RecordOutcome::Unknown => "unknown",
        }
    }

    pub fn is_failure(self) -> bool {
        matches!(self, RecordOutcome::Failure | RecordOutcome::Timeout)
    }
}

impl RecordState {
    pub fn name(self) -> &'static str {
        match self {
            RecordState::Running => "running",
            RecordState::Done => "done",
            RecordState::Lost => "lost",
            RecordState::Unknown => "unknown",
        }
    }

    /// Tells whether the execution is over, with its hooks known.
    pub fn is_over(self) -> bool {
        matches!(self, RecordState::Done | RecordState::Unknown)
    }
}

/// The identity of a process. Unlike a pid, it never means another process later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordProcess {
    pub boot: String,
    pub pid: i32,
    /// The start time of the process, in clock ticks since the boot.
    pub start: u64,
}

/// The first line of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordHead {
    pub format: u32,
    /// A ULID: ids sort by the time of the call.
    pub id: String,
    pub state: RecordState,
    pub outcome: RecordOutcome,
    pub cause: RecordCause,
    pub driver: String,
    pub object: String,
    pub operation: String,
    pub sub_operation: String,
    pub extra: String,
    pub uuid: Option<String>,
    pub class: String,
    /// `None` for networks and the daemon, and where it wasn't looked up.
    pub origin: Option<String>,
    /// The time of the call, in microseconds since 1970.
    pub began_us: u64,
    /// The time from the call to its answer, in microseconds.
    pub duration_us: Option<u64>,
    /// The exit status that libvirt got.
    pub status: Option<i32>,
    /// The message of the first failure.
    pub failure: Option<String>,
    pub hooks: Vec<HookSummary>,
    /// The process that handled the call.
    pub process: RecordProcess,
    /// The version of hookmux.
    pub version: String,
    /// Several hooks directories may share a `state_dir`. `None` in records of 0.1.0.
    pub hooks_dir: Option<String>,
    /// The registrations of the hooks that were planned to run. `None` in records of 0.1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registrations: Option<Vec<HookRegistration>>,
    /// The digest of all hooks, the settings and the version, where it was known and still held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Where libvirt made the call, if it was another host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<RecordRemote>,
    /// Whether another user than root could have written the record. It isn't written into it.
    #[serde(skip)]
    pub is_untrusted: bool,
}

/// The host where libvirt made the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordRemote {
    pub host: String,
    /// Whether hooks were started for it before.
    pub is_again: bool,
}

/// The registration by which a hook was run. Its text is kept once for all records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookRegistration {
    pub hook: String,
    /// The file.
    pub path: RecordText,
    /// The SHA-256 of its text.
    pub sha256: String,
}

/// A hook's run in short, for the head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookSummary {
    pub hook: String,
    pub event: Option<String>,
    pub outcome: RecordOutcome,
    pub duration_us: Option<u64>,
    /// As in its run. `None` in records of 0.1.0 and 0.2.0, and where it hasn't been started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_us: Option<u64>,
    /// As in its run. `None` in records of 0.1.0, and where it hasn't ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
}

/// The second line of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordBody {
    /// libvirt's arguments, unchanged.
    pub arguments: Vec<RecordText>,
    pub hooks_dir: RecordText,
    /// The name of the calling process.
    pub daemon: String,
    /// `PATH` of the daemon, which hooks get too; `home` is its `HOME`.
    pub path: Option<RecordText>,
    pub home: Option<RecordText>,
    /// libvirt's document.
    pub document: Option<RecordText>,
    /// Whether passwords in it were replaced. `None` in records of 0.1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_masked: Option<bool>,
    /// The changed document that libvirt got.
    pub document_after: Option<RecordText>,
    /// The document of `started`, if the call's hooks got it.
    pub started_document: Option<RecordText>,
    pub plan: Vec<PlanEntry>,
    pub runs: Vec<RunRecord>,
    /// What hooks, or the call itself, had to wait for. Empty in records of 0.1.0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitRecord>,
    /// Messages of hookmux itself.
    pub notes: Vec<String>,
    /// The text that libvirt got on standard error.
    pub stderr: RecordText,
    /// Why parts are left out, where there was no room for them.
    pub left_out: Option<String>,
    /// The event of an execution whose process dies before its end, for the outbox. `None` where there is no outbox,
    /// and once the execution is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owed_event: Option<String>,
}

/// A wait for something that others held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WaitRecord {
    /// `None` for the call itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What it waited for, in words.
    pub reason: String,
    /// The time from the beginning of the call to that of the wait, in microseconds.
    pub start_us: u64,
    pub duration_us: u64,
}

/// One hook's run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRecord {
    pub hook: String,
    pub event: Option<String>,
    pub device: Option<String>,
    /// The program.
    pub path: RecordText,
    /// What it was started with. `None` in records of 0.1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandLine>,
    /// The checksum of the program, if it has at most 256 KiB.
    pub sha256: Option<String>,
    pub outcome: RecordOutcome,
    /// The time from the beginning of the call to the start of the hook, in microseconds.
    pub start_us: Option<u64>,
    pub duration_us: Option<u64>,
    /// After how long it would have been ended, in microseconds: what its waits had left of its limit, and what was
    /// left of the call's. `None` where it has no limit, and in records of 0.1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_us: Option<u64>,
    /// 0, the exit status, 128 plus the number of a signal, 124 for a timeout, 125 to 127 as in `verdict`.
    pub status: i32,
    /// The reason of a failure, in words.
    pub failure: Option<String>,
    pub stdout: RecordText,
    pub stderr: RecordText,
    pub changed_document: bool,
    /// Processes that the hook left running.
    pub leftovers: Vec<LeftRunning>,
    /// The id of the job in the queue, for a detached hook.
    pub job: Option<String>,
    /// What it takes back. `None` for hooks, and in records of 0.1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoneSetup>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftRunning {
    pub pid: i32,
    pub name: String,
}

/// A complete record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub head: RecordHead,
    pub body: RecordBody,
}

/// The size of a record without its documents and output, in bytes: mostly it is less.
const ENCODED_BYTES: usize = 4096;

impl Record {
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        // with room for all, as documents are most of it: otherwise it is copied again and again while it grows
        let document = self.body.document.as_ref().map_or(0, |document| document.0.len());
        let mut bytes = Vec::with_capacity(ENCODED_BYTES + document + document / 8);
        serde_json::to_writer(&mut bytes, &self.head)?;
        bytes.push(b'\n');
        serde_json::to_writer(&mut bytes, &self.body)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads it; returns `None` where it is not a record, or has an unknown format.
    pub fn decode(bytes: &[u8]) -> Option<Record> {
        Record::read(bytes).ok()
    }

    /// Reads both lines.
    ///
    /// # Errors
    /// The bytes are not a record of this version.
    pub fn read(bytes: &[u8]) -> Result<Record, RecordError> {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let (first, second) = bytes.split_at(end);
        let head = RecordHead::read(first)?;
        let body = format::read_object(second).map_err(|_| RecordError::NotARecord)?;
        Ok(Record { head, body })
    }

    /// Removes documents and output, so that at least the rest can be kept.
    pub fn strip(&mut self, why: &str) {
        let body = &mut self.body;
        (body.document, body.document_after, body.started_document) = (None, None, None);
        for run in &mut body.runs {
            (run.stdout, run.stderr) = (RecordText::default(), RecordText::default());
        }
        body.left_out = Some(why.to_owned());
    }
}

impl RecordHead {
    /// Returns the registration of a hook.
    pub fn registration_of(&self, hook: &str) -> Option<&HookRegistration> {
        self.registrations.iter().flatten().find(|registration| registration.hook == hook)
    }

    /// Reads it; returns `None` where it is not a record, or has an unknown format.
    pub fn decode(line: &[u8]) -> Option<RecordHead> {
        RecordHead::read(line).ok()
    }

    /// Reads the first line.
    ///
    /// # Errors
    /// The line is not a head of this version.
    pub fn read(line: &[u8]) -> Result<RecordHead, RecordError> {
        match format::read_object::<RecordHead>(line) {
            Ok(head) if head.format == FORMAT => Ok(head),
            _ => Err(format::check(line, FORMAT)
                .map_or_else(RecordError::Newer, |()| RecordError::NotARecord)),
        }
    }
}

/// Why bytes are not a record that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    Newer(NewerFormat),
    NotARecord,
}

/// Changes the state to `lost`, and keeps everything else, also keys that only another version knows.
/// Returns `None` where it isn't a record.
pub(crate) fn mark_lost(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (first, second) = bytes.split_at(end);
    let mut head: Value = serde_json::from_slice(first).ok()?;
    *head.as_object_mut()?.get_mut("state")? = RecordState::Lost.name().into();
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
        let head = RecordHead {
            format: FORMAT,
            id: ulid::new(),
            state: RecordState::Done,
            outcome: RecordOutcome::Success,
            cause: RecordCause::Libvirt,
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
            hooks: vec![HookSummary {
                hook: "before_vm_start/10-x".into(),
                event: Some("before_vm_start".into()),
                outcome: RecordOutcome::Success,
                duration_us: Some(3000),
                start_us: Some(1000),
                status: Some(0),
            }],
            process: RecordProcess { boot: "b".into(), pid: 4_194_304, start: 7 },
            version: "0.1.0".into(),
            hooks_dir: Some("/etc/libvirt/hooks".to_owned()),
            registrations: Some(vec![HookRegistration {
                hook: "before_vm_start/10-x".into(),
                path: RecordText(b"/etc/libvirt/hooks/hooks.d/\xff.yaml".to_vec()),
                sha256: "0".repeat(64),
            }]),
            digest: Some("1".repeat(64)),
            remote: Some(RecordRemote { host: "node".into(), is_again: true }),
            is_untrusted: false,
        };
        let body = RecordBody {
            arguments: vec![RecordText(b"web".to_vec()), RecordText(b"\xff".to_vec())],
            document: Some(RecordText(b"<domain/>\n".to_vec())),
            ..RecordBody::default()
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
        assert_eq!(
            (record.head.state, record.head.outcome),
            (RecordState::Unknown, RecordOutcome::Unknown)
        );
        assert_eq!(record.head.hooks[0].outcome, RecordOutcome::Unknown);
        assert_eq!(record.head.hooks[0].hook, "before_vm_start/10-x");
        assert_eq!(record.body.plan[0].decision, PlanDecision::Unknown);
        assert_eq!(record.body.runs[0].outcome, RecordOutcome::Unknown);
        assert_eq!(record.head.object, "web");
    }

    #[test]
    fn a_cause_of_another_version_has_its_word_and_its_id() {
        for (cause, name, parent) in [
            (serde_json::json!("relay"), "relay", None),
            (serde_json::json!({ "later": "01ABC" }), "later", Some("01ABC")),
            (serde_json::json!({ "remote": { "host": "x" } }), "remote", None),
            (serde_json::json!({ "retry": 5 }), "retry", None),
            (serde_json::json!({ "libvirt": {} }), "unknown", None),
            (serde_json::json!({}), "unknown", None),
            (serde_json::json!(7), "unknown", None),
        ] {
            let (mut head, body) = written();
            head["cause"] = cause.clone();
            let record = read_back(&head, &body);
            assert!(matches!(record.head.cause, RecordCause::Other { .. }), "{cause}");
            assert_eq!((record.head.cause.name(), record.head.cause.parent()), (name, parent));
            assert_eq!(Record::decode(&record.encode().unwrap()), Some(record), "{cause}");
        }
        for (cause, written) in [
            (RecordCause::Libvirt, r#""libvirt""#),
            (RecordCause::Person, r#""person""#),
            (RecordCause::Retry("A".into()), r#"{"retry":"A"}"#),
            (RecordCause::Queue("B".into()), r#"{"queue":"B"}"#),
            (RecordCause::Undo("C".into()), r#"{"undo":"C"}"#),
            (RecordCause::Remote("D".into()), r#"{"remote":"D"}"#),
        ] {
            assert_eq!(serde_json::to_string(&cause).unwrap(), written);
            assert_eq!(serde_json::from_str::<RecordCause>(written).unwrap(), cause);
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
        assert_eq!(record.head, RecordHead { format: 1, ..RecordHead::default() });
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
        let newer = RecordError::Newer(NewerFormat { found: 2, known: FORMAT });
        assert_eq!(RecordHead::read(head.to_string().as_bytes()), Err(newer));
        // its further lines and its keys may be of any form
        head["hooks"] = 7.into();
        let text = format!("{head}\n\x00");
        assert_eq!(Record::read(text.as_bytes()), Err(newer));
        for text in ["", "{}", "{", "[1]", "{\"format\":0}", "{\"format\":-1}"] {
            assert_eq!(RecordHead::read(text.as_bytes()), Err(RecordError::NotARecord), "{text}");
        }
        head["format"] = 1.into();
        assert_eq!(RecordHead::read(head.to_string().as_bytes()), Err(RecordError::NotARecord));
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
