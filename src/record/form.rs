//! The form of a record: two lines of JSON. The first is the head, which is all that a list needs;
//! the second what there is to show. A newer version's further keys are passed over.

use serde::{Deserialize, Serialize};

use super::text::Text;

/// Raised when what an older version reads from it would be wrong.
pub const FORMAT: u32 = 1;

/// How far an execution has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Running,
    Done,
    /// Its process died before it was done.
    Lost,
}

/// How an execution, or one hook in it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// It isn't known: not over yet, or lost.
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
        }
    }
}

/// Who asked for an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    Libvirt,
    /// `hookmux run`
    Person,
    /// `hookmux retry` of the execution with this id.
    Retry(String),
    /// The worker, for a job that the execution with this id left in the queue.
    Queue(String),
}

impl Cause {
    pub fn name(&self) -> &'static str {
        match self {
            Cause::Libvirt => "libvirt",
            Cause::Person => "run",
            Cause::Retry(_) => "retry",
            Cause::Queue(_) => "queue",
        }
    }

    /// The execution that this one comes from.
    pub fn parent(&self) -> Option<&str> {
        match self {
            Cause::Libvirt | Cause::Person => None,
            Cause::Retry(id) | Cause::Queue(id) => Some(id),
        }
    }
}

/// A process, by what can't come to mean another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub boot: String,
    pub pid: i32,
    /// Clock ticks from the boot to its start.
    pub start: u64,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A hook's run, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookHead {
    pub hook: String,
    pub event: Option<String>,
    pub outcome: Outcome,
    pub duration_us: Option<u64>,
}

/// The second line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    pub plan: Vec<Planned>,
    pub runs: Vec<RunRecord>,
    /// What hookmux itself had to say.
    pub notes: Vec<String>,
    /// What libvirt got on standard error.
    pub stderr: Text,
    /// What there was no room for.
    pub left_out: Option<String>,
}

/// A hook that the call could have run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    pub hook: String,
    pub event: Option<String>,
    pub device: Option<String>,
    /// `run`, `fail`, `out`, or `stopped`: it would have run, and something before it ended the call.
    pub decision: String,
    pub reason: Option<String>,
}

/// One hook's run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head = Head::decode(bytes.get(..end)?)?;
        Some(Record { head, body: serde_json::from_slice(bytes.get(end..)?).ok()? })
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
        let head: Head = serde_json::from_slice(line).ok()?;
        (head.format == FORMAT).then_some(head)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::record::ulid;

    /// One that is done.
    pub fn record() -> Record {
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
}
