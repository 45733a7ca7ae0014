//! One job of the queue, in two files. The head says when the job may run, and has its progress; the body
//! has everything that its hook is started with. Only the head is rewritten.
//!
//! Version 0.1.0 had both in one object, without a format. That is format 1, and is still read.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::caller::Caller;
use crate::config::Registration;
use crate::document::file::{self, DocumentPlace};
use crate::libvirt::{Call, Driver};
use crate::machine::clock::{self, BootClock, BootTime};
use crate::machine::ulid;
use crate::observer::CommandLine;
use crate::occasion::Execution;
use crate::process::job::Job;
pub(crate) use crate::process::stored_job::Bytes;
use crate::process::stored_job::StoredJob;
use crate::record::form::HookRegistration;
use crate::state::Dir;

/// The version of the format. It is raised when older versions would misread a job.
pub const FORMAT: u64 = 2;
/// The longest time that a job may wait: later its hook would be of no use.
pub(crate) const MAX_JOB_AGE: Duration = Duration::from_secs(3600);
/// The number of worker deaths after which a job is put aside.
pub(crate) const MAX_DEATHS: u32 = 3;
/// The limits of the pause between attempts. It doubles each time.
const MIN_PAUSE_S: u64 = 1;
pub(super) const MAX_PAUSE_S: u64 = 60;
/// The limit of the message about the last failure, in characters.
const MAX_LAST_CHARS: usize = 500;
const MAX_ID_BYTES: usize = 64;
const MAX_LOCK_BYTES: usize = 255;

/// Why a file is not a job for this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobFormatError {
    /// A later version wrote it, in this format.
    Newer(String),
    Broken(String),
}

/// The head of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemHead {
    #[serde(default)]
    pub format: u64,
    /// A ULID, and the name of its files.
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub execution: String,
    /// `before_vm_start/notify`
    #[serde(default)]
    pub hook: String,
    #[serde(default)]
    pub event: Option<String>,
    #[serde(default)]
    pub driver: String,
    #[serde(default)]
    pub object: String,
    #[serde(default)]
    pub operation: String,
    #[serde(default)]
    pub uuid: Option<String>,
    /// libvirt's arguments of the call.
    #[serde(default)]
    pub call_arguments: Vec<Bytes>,
    /// The name of its registration, for which `max_parallel` counts.
    #[serde(default)]
    pub registration: String,
    /// The registration as it was then; `None` in jobs of 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<HookRegistration>,
    /// What its program is started with, for its records.
    #[serde(default)]
    pub command: CommandLine,
    /// The call that queued it. The job runs when the call is over.
    #[serde(default)]
    pub caller: Caller,
    #[serde(default)]
    pub lock: Option<String>,
    #[serde(default)]
    pub max_parallel: Option<u32>,
    #[serde(default)]
    pub retries: u32,
    /// In seconds since 1970; used if the job was queued in another boot.
    #[serde(default = "clock::unix_seconds")]
    pub queued_at: u64,
    #[serde(default)]
    pub queued: Option<BootTime>,
    /// The earliest time of the next attempt, in seconds since 1970; used likewise.
    #[serde(default)]
    pub not_before: u64,
    #[serde(default)]
    pub due: Option<BootTime>,
    /// The number of attempts that have begun.
    #[serde(default)]
    pub attempts: u32,
    /// The id of the current attempt, or of the one during which the worker died.
    #[serde(default)]
    pub run: Option<String>,
    /// How the last attempt ended.
    #[serde(default)]
    pub last: Option<String>,
    /// The number of workers in a row that died while it ran.
    #[serde(default)]
    pub deaths: u32,
    /// Why it was put aside, if it was.
    #[serde(default)]
    pub put_aside: Option<String>,
    /// The size of its files, in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// Whether the file has the body too, as 0.1.0 wrote it.
    #[serde(skip)]
    pub has_body: bool,
}

/// The keys that show the format of a head, and whether the body is in the same file.
#[derive(Deserialize)]
struct Outline {
    format: Option<serde_json::Value>,
    path: Option<IgnoredAny>,
}

impl ItemHead {
    /// Reads the head of the job `id`.
    ///
    /// # Errors
    /// It is not a head, or a later version wrote it.
    pub fn parse(bytes: &[u8], id: &str) -> Result<ItemHead, JobFormatError> {
        let broken = |error: serde_json::Error| JobFormatError::Broken(error.to_string());
        let outline: Outline = serde_json::from_slice(bytes).map_err(broken)?;
        refuse_newer(outline.format.as_ref())?;
        let mut head: ItemHead = serde_json::from_slice(bytes).map_err(broken)?;
        if head.id != id {
            return Err(JobFormatError::Broken(format!(
                "it says that it is the job `{}`",
                head.id
            )));
        }
        if head.lock.as_deref().is_some_and(|name| !is_lock_name(name)) {
            return Err(JobFormatError::Broken("the name of its lock is not valid".to_owned()));
        }
        // processes with this id will be ended: it must be the job's own
        if head.run.as_deref().is_some_and(|run| !is_run_of(run, id)) {
            return Err(JobFormatError::Broken("its run id is that of another job".to_owned()));
        }
        head.has_body = outline.path.is_some();
        head.max_parallel = head.max_parallel.map(|most| most.max(1));
        Ok(head)
    }

    /// Returns the guest or network whose jobs run in their order.
    pub fn queue_of(&self) -> (&str, &str) {
        (&self.driver, self.uuid.as_deref().unwrap_or(&self.object))
    }

    /// Begins an attempt. Returns its run id.
    pub fn begin(&mut self) -> String {
        self.attempts = self.attempts.saturating_add(1);
        let run = format!("{}-{}", self.id, self.attempts);
        self.run = Some(run.clone());
        run
    }

    /// Undoes the count of an attempt that failed through no fault of the hook.
    pub fn take_back(&mut self) {
        self.run = None;
        self.attempts = self.attempts.saturating_sub(1);
    }

    /// Notes a failed attempt. Returns whether there will be another one.
    pub fn fail(&mut self, words: &str, clock: &BootClock) -> bool {
        self.run = None;
        self.last = Some(words.chars().take(MAX_LAST_CHARS).collect());
        let doubled = self.attempts.saturating_sub(1).min(16);
        let pause_s = (MIN_PAUSE_S << doubled).min(MAX_PAUSE_S);
        self.not_before = clock::unix_seconds().saturating_add(pause_s);
        self.due = clock.moment(Duration::from_secs(pause_s));
        self.attempts <= self.retries
    }

    /// Resets it to a job that has just been queued.
    pub fn renew(&mut self, clock: &BootClock) {
        self.queued_at = clock::unix_seconds();
        self.queued = clock.moment(Duration::ZERO);
        (self.not_before, self.due) = (0, None);
        (self.attempts, self.deaths) = (0, 0);
        (self.run, self.last, self.put_aside) = (None, None, None);
    }

    /// Returns the number of attempts that the job may have.
    pub fn max_attempts(&self) -> u64 {
        u64::from(self.retries) + 1
    }

    /// Returns the call that queued it.
    pub fn call(&self) -> Call {
        let driver = Driver::from_name(&self.driver).unwrap_or(Driver::Qemu);
        let argument = |bytes: &Bytes| OsString::from_vec(bytes.0.clone());
        Call::new(driver, self.call_arguments.iter().map(argument).collect())
    }

    /// Returns the execution that queued it.
    pub fn queued_by(&self) -> Execution {
        let driver = Driver::from_name(&self.driver).map_or("", |driver| driver.name());
        Execution {
            id: self.execution.clone(),
            driver,
            object: self.object.clone(),
            operation: self.operation.clone(),
            uuid: self.uuid.clone(),
        }
    }
}

fn refuse_newer(format: Option<&serde_json::Value>) -> Result<(), JobFormatError> {
    let Some(format) = format else { return Ok(()) };
    let is_newer = match format.as_u64() {
        Some(format) => format > FORMAT,
        None => format.as_f64().is_some_and(|format| format > FORMAT as f64),
    };
    if is_newer { Err(JobFormatError::Newer(format.to_string())) } else { Ok(()) }
}

/// Tells whether a word can be the id of a job.
pub(crate) fn is_id(word: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_run_of(run: &str, id: &str) -> bool {
    let number = run.strip_prefix(id).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

fn is_lock_name(name: &str) -> bool {
    (1..=MAX_LOCK_BYTES).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.contains(['/', '\0'])
}

/// The body of a job: everything that its hook is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ItemBody {
    pub format: u64,
    #[serde(flatten)]
    pub job: StoredJob,
    /// The document in the file that `_hook_domxml` names.
    pub document: Option<Bytes>,
    /// The document in the file that `HOOKMUX_STARTED_XML` names.
    pub started_document: Option<Bytes>,
}

impl ItemBody {
    /// Reads a body.
    ///
    /// # Errors
    /// It is not a body, or a later version wrote it.
    pub fn parse(bytes: &[u8]) -> Result<ItemBody, JobFormatError> {
        #[derive(Deserialize)]
        struct Format {
            format: Option<serde_json::Value>,
        }
        let broken = |error: serde_json::Error| JobFormatError::Broken(error.to_string());
        let format: Format = serde_json::from_slice(bytes).map_err(broken)?;
        refuse_newer(format.format.as_ref())?;
        let mut body: ItemBody = serde_json::from_slice(bytes).map_err(broken)?;
        if !body.job.program().is_absolute() {
            return Err(JobFormatError::Broken("it names no program".to_owned()));
        }
        // no attempt may take longer
        body.job.limit_timeout(MAX_JOB_AGE);
        Ok(body)
    }
}

/// A job with head and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub head: ItemHead,
    pub body: ItemBody,
}

impl Item {
    /// Makes a job from what the hook would have been started with in the call.
    ///
    /// # Errors
    /// Its standard input could not be read back.
    pub fn new(
        execution: &Execution,
        hook: &str,
        event: Option<&str>,
        registration: &Registration,
        job: Job,
        document: Option<&[u8]>,
    ) -> io::Result<Item> {
        let head = ItemHead {
            format: FORMAT,
            id: ulid::new(),
            execution: execution.id.clone(),
            hook: hook.to_owned(),
            event: event.map(str::to_owned),
            driver: execution.driver.to_owned(),
            object: execution.object.clone(),
            operation: execution.operation.clone(),
            uuid: execution.uuid.clone(),
            call_arguments: Vec::new(),
            registration: registration.name.clone(),
            registered: Some(HookRegistration {
                hook: hook.to_owned(),
                path: registration.source.as_os_str().into(),
                sha256: registration.written.sha256.clone(),
            }),
            command: CommandLine::default(),
            caller: Caller::here(),
            lock: registration.lock.clone(),
            max_parallel: registration.max_parallel,
            retries: registration.retries,
            queued_at: clock::unix_seconds(),
            queued: BootClock::here().moment(Duration::ZERO),
            not_before: 0,
            due: None,
            attempts: 0,
            run: None,
            last: None,
            deaths: 0,
            put_aside: None,
            bytes: 0,
            has_body: false,
        };
        let body = ItemBody {
            format: FORMAT,
            job: StoredJob::new(job)?,
            document: document.map(|document| Bytes(document.to_vec())),
            started_document: None,
        };
        Ok(Item { head, body })
    }
}

/// Returns the path of the document of `started` for a job. It is known before the job runs: the hook gets
/// it in the environment and in JSON.
pub(crate) fn started_path(runtime_dir: &Dir, id: &str) -> PathBuf {
    started_place(runtime_dir, id).named().join(file::FILE_NAME)
}

/// Returns the directory of that file.
pub(crate) fn started_place(runtime_dir: &Dir, id: &str) -> DocumentPlace {
    DocumentPlace::named_by(runtime_dir, format!("{id}{STARTED_SUFFIX}"))
}

/// The suffix of that directory.
pub(crate) const STARTED_SUFFIX: &str = ".started";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "01M8MJQS6FRJNYE9KZ1184NWCQ";

    /// A job as 0.1.0 wrote it.
    fn old(more: Value) -> Vec<u8> {
        let mut job = json!({
            "id": ID, "execution": "01M8MJQS5PY2RQCEVCDJ4JJ11K", "hook": "after_vm_launch/d",
            "event": "after_vm_launch", "driver": "qemu", "object": "vm", "operation": "started",
            "uuid": null, "call_arguments": ["dm0="], "registration": "d",
            "caller": {"pid": 27299, "start": 153687}, "path": "L2Jpbi90cnVl",
            "arguments": ["L2Jpbi90cnVl"], "environment": [], "stdin": null,
            "document": "PGRvbWFpbi8+", "started_document": null, "identity": null, "limits": {},
            "nice": null, "timeout": {"secs": 120, "nanos": 0}, "kill_leftovers": false,
            "lock": null, "max_parallel": null, "retries": 3, "queued_at": 1795987072u64,
            "not_before": 0, "attempts": 0, "run": null, "last": null,
        });
        for (key, value) in more.as_object().unwrap() {
            job[key] = value.clone();
        }
        serde_json::to_vec(&job).unwrap()
    }

    fn head(more: Value) -> ItemHead {
        ItemHead::parse(&old(more), ID).unwrap()
    }

    fn moment(clock: &BootClock, seconds: i64) -> Option<BootTime> {
        let mut moment = clock.moment(Duration::ZERO)?;
        moment.boottime_ns += seconds * 1_000_000_000;
        Some(moment)
    }

    #[test]
    fn what_the_first_version_wrote_is_read() {
        let head = head(json!({}));
        assert!(head.has_body && head.queue_of() == ("qemu", "vm") && head.max_attempts() == 4);
        assert_eq!(head.call().object(), "vm");
        let body = ItemBody::parse(&old(json!({}))).unwrap();
        assert_eq!(body.job.program(), Path::new("/bin/true"));
        assert_eq!(body.document, Some(Bytes(b"<domain/>".to_vec())));
        // and what this one writes
        let mut own = head;
        own.has_body = false;
        let written = serde_json::to_vec(&own).unwrap();
        assert_eq!(ItemHead::parse(&written, ID).unwrap(), own);
    }

    #[test]
    fn what_is_missing_has_a_default_and_what_is_not_known_is_passed_over() {
        let text = json!({"id": ID, "path": "L2Jpbi90cnVl", "colour": "red", "driver": "hyperv"});
        let text = serde_json::to_vec(&text).unwrap();
        let head = ItemHead::parse(&text, ID).unwrap();
        assert_eq!((head.attempts, head.queue_of()), (0, ("hyperv", "")));
        assert!(head.age(&BootClock::here()) < Duration::from_secs(1000), "it was queued just now");
        assert_eq!(ItemBody::parse(&text).unwrap().job.program(), Path::new("/bin/true"));
    }

    #[test]
    fn a_later_format_is_told_from_what_is_broken() {
        for format in [json!(3), json!(2.5), json!(1e40), json!(u64::MAX)] {
            let newer = old(json!({"format": format, "attempts": "many"}));
            assert!(
                matches!(ItemHead::parse(&newer, ID), Err(JobFormatError::Newer(_))),
                "{format}"
            );
            assert!(matches!(ItemBody::parse(&newer), Err(JobFormatError::Newer(_))), "{format}");
        }
        for more in [
            json!({"id": "another"}),
            json!({"format": 1, "attempts": -1}),
            json!({"queued_at": 1e30}),
            json!({"lock": "../../x"}),
            json!({"lock": ""}),
            json!({"run": ""}),
            json!({"run": "01M8MJQS6FRJNYE9KZ1184NWCR-1"}),
            json!({"caller": 7}),
        ] {
            assert!(
                matches!(ItemHead::parse(&old(more.clone()), ID), Err(JobFormatError::Broken(_))),
                "{more}"
            );
        }
        for text in ["", "{", "null", "[]", "7", "\u{0}", "{\"id\":1}"] {
            assert!(
                matches!(ItemHead::parse(text.as_bytes(), ID), Err(JobFormatError::Broken(_))),
                "{text}"
            );
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(ItemHead::parse(deep.as_bytes(), ID), Err(JobFormatError::Broken(_))));
        for more in [json!({"path": ""}), json!({"path": "YQ=="}), json!({"document": "?"})] {
            assert!(
                matches!(ItemBody::parse(&old(more.clone())), Err(JobFormatError::Broken(_))),
                "{more}"
            );
        }
    }

    #[test]
    fn no_number_is_too_large() {
        let clock = BootClock::here();
        let most = json!({
            "attempts": u32::MAX, "retries": u32::MAX, "deaths": u32::MAX, "queued_at": u64::MAX,
            "not_before": u64::MAX, "bytes": u64::MAX, "max_parallel": 0,
            "timeout": {"secs": u64::MAX, "nanos": 0},
            "queued": {"boot": clock.moment(Duration::ZERO).unwrap().boot, "boottime_ns": i64::MAX},
            "due": {"boot": clock.moment(Duration::ZERO).unwrap().boot, "boottime_ns": i64::MIN},
        });
        let mut head = head(most.clone());
        assert_eq!(head.max_parallel, Some(1));
        head.times(&clock);
        assert_eq!(head.begin(), format!("{ID}-{}", u32::MAX));
        assert!(head.fail("no", &clock));
        assert_eq!(head.max_attempts(), u64::from(u32::MAX) + 1);
        assert!(head.pause(&clock).as_secs() <= MAX_PAUSE_S);
        let body = ItemBody::parse(&old(most)).unwrap();
        assert_eq!(body.job.timeout(), Some(MAX_JOB_AGE));
        for extreme in [0, u64::MAX] {
            let old = json!({"queued_at": extreme, "not_before": extreme});
            let times = ItemHead::parse(&super::tests::old(old), ID).unwrap().times(&clock);
            assert!(times.due_ns <= clock.now_ns() + 60_000_000_000, "{extreme}");
        }
    }

    #[test]
    fn the_wall_clock_counts_only_across_boots() {
        let clock = BootClock::here();
        let hour = MAX_JOB_AGE.as_secs();
        let now = clock::unix_seconds();
        // the clock was set forward by a day, or back, since this boot queued it
        for queued_at in [now - 86400, now + 86400, 0, u64::MAX] {
            let mut head = head(json!({"queued_at": queued_at, "not_before": now + 86400}));
            (head.queued, head.due) = (moment(&clock, -10), moment(&clock, -1));
            assert_eq!(head.age(&clock).as_secs(), 10);
            let times = head.times(&clock);
            assert!(times.due_ns <= clock.now_ns() && times.expires_ns > clock.now_ns());
            head.queued = moment(&clock, -4000);
            assert!(head.times(&clock).expires_ns < clock.now_ns());
        }
        // another boot's clock says nothing
        let mut head = head(json!({"queued_at": now - hour - 10}));
        head.queued = moment(&clock, 0).map(|own| BootTime { boot: "another".to_owned(), ..own });
        assert!(head.times(&clock).expires_ns < clock.now_ns());
        head.queued_at = now + 86400;
        assert!(head.times(&clock).expires_ns > clock.now_ns(), "set back: it is new");
    }

    #[test]
    fn a_pause_is_never_longer_than_the_longest() {
        let clock = BootClock::here();
        let mut head = head(json!({"not_before": clock::unix_seconds() + 86400}));
        assert_eq!(head.pause(&clock).as_secs(), MAX_PAUSE_S);
        head.due = moment(&clock, 86400);
        assert_eq!(head.pause(&clock).as_secs(), MAX_PAUSE_S);
        let pauses: Vec<u64> = (0..9)
            .map(|_| {
                head.begin();
                head.fail("no", &clock);
                head.pause(&clock).as_millis().div_ceil(1000) as u64
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn jobs_are_in_the_order_in_which_they_were_queued_whatever_their_ids_say() {
        let clock = BootClock::here();
        let job = |id: &str, queued_at: u64, seconds: Option<i64>| {
            let mut head = head(json!({"queued_at": queued_at}));
            head.id = id.to_owned();
            head.queued = seconds.and_then(|seconds| moment(&clock, seconds));
            head.order(&clock)
        };
        let now = clock::unix_seconds();
        // the clock was set back by a day between the last two
        let mut orders = [
            job("A", now - 86400, Some(-1)),
            job("D", now, Some(-5)),
            job("C", now + 86400, None),
            job("B", now - 100, None),
        ];
        orders.sort();
        let ids: Vec<&str> = orders.iter().map(|order| order.id.as_str()).collect();
        assert_eq!(ids, ["B", "C", "D", "A"], "those of another boot come first");
    }

    #[test]
    fn no_file_makes_it_panic() {
        let clock = BootClock::here();
        let mut seed = 0x2545_f491_4f6c_dd1du64;
        let mut chance = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).unwrap()
        };
        let numbers =
            ["0", "-1", "4294967295", "4294967296", "18446744073709551615", "1e99", "\"\""];
        let whole = String::from_utf8(old(json!({"deaths": 1, "format": 1, "bytes": 7}))).unwrap();
        let mut read = 0;
        for _ in 0..3000 {
            let mut text = whole.clone();
            for key in ["attempts", "queued_at", "not_before", "retries", "deaths", "secs", "nice"]
            {
                if chance(3) == 0 {
                    let at = text.find(&format!("\"{key}\":")).unwrap() + key.len() + 3;
                    let end = at + text[at..].find([',', '}']).unwrap();
                    text.replace_range(at..end, numbers[chance(numbers.len())]);
                }
            }
            let mut bytes = text.into_bytes();
            for _ in 0..chance(3) {
                let at = chance(bytes.len());
                bytes[at] = u8::try_from(chance(256)).unwrap();
            }
            if let Ok(mut head) = ItemHead::parse(&bytes, ID) {
                read += 1;
                head.times(&clock);
                head.begin();
                head.fail("x", &clock);
                head.times(&clock);
                head.take_back();
            }
            let _ = ItemBody::parse(&bytes);
        }
        assert!(read > 100, "{read} were jobs");
    }

    #[test]
    fn a_job_is_tried_once_and_as_often_again_as_its_retries_say() {
        let clock = BootClock::here();
        for retries in [0, 1, 3, 7] {
            let mut head = head(json!({"retries": retries}));
            for attempt in 1..=retries + 1 {
                assert_eq!(head.begin(), format!("{ID}-{attempt}"));
                // one that was taken back doesn't count
                head.take_back();
                assert_eq!((head.run.as_ref(), head.attempts), (None, attempt - 1));
                head.begin();
                assert_eq!(head.fail("no", &clock), attempt <= retries, "{attempt} of {retries}");
                assert_eq!((head.run.as_ref(), head.last.as_deref()), (None, Some("no")));
            }
            assert_eq!(u64::from(head.attempts), head.max_attempts());
            // and anew, once it is brought back
            head.deaths = 2;
            head.put_aside = Some("why".to_owned());
            head.renew(&clock);
            assert_eq!((head.attempts, head.deaths, head.pause(&clock)), (0, 0, Duration::ZERO));
            assert_eq!((head.last.as_ref(), head.put_aside.as_ref()), (None, None));
            assert!(head.age(&clock) < Duration::from_secs(60));
        }
    }

    #[test]
    fn what_went_wrong_is_kept_in_part() {
        let mut head = head(json!({}));
        head.fail(&"é".repeat(2 * MAX_LAST_CHARS), &BootClock::here());
        assert_eq!(head.last, Some("é".repeat(MAX_LAST_CHARS)));
    }
}
