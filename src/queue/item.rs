//! One job of the queue, in two files: the head, which says when it may run and how far it has come,
//! and the body, which is everything that its hook is started with. Only the head is rewritten.
//!
//! Version 0.1.0 had both in one object, without a format. That is format 1, and is still read.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::clock::{self, Clock, Moment};
use crate::config::Registration;
use crate::document::file::{self, DocumentPlace};
use crate::libvirt::{Call, Driver};
use crate::machine::{proc, ulid};
use crate::occasion::Execution;
use crate::process::job::Job;
pub(crate) use crate::process::stored_job::Bytes;
use crate::process::stored_job::StoredJob;
use crate::state::Dir;

/// Raised when what an older version reads from it would be wrong.
pub const FORMAT: u64 = 2;
/// How long a job may wait: what it would tell is history by then.
pub(crate) const EXPIRES: Duration = Duration::from_secs(3600);
/// How often a job may run when its worker dies, before it is put aside.
pub(crate) const MAX_DEATHS: u32 = 3;
/// Between tries: the first pause, doubled each time up to the longest.
const FIRST_PAUSE_S: u64 = 1;
const LONGEST_PAUSE_S: u64 = 60;
/// How much is kept of what went wrong.
const MAX_LAST_CHARS: usize = 500;
const MAX_ID_BYTES: usize = 64;
const MAX_LOCK_BYTES: usize = 255;

/// A process, by what can't come to mean another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Caller {
    pub pid: i32,
    pub start: u64,
}

impl Caller {
    /// This process.
    pub fn here() -> Caller {
        let pid = nix::unistd::getpid().as_raw();
        Caller { pid, start: proc::start_time(pid).unwrap_or_default() }
    }

    /// Whether it still runs, so that libvirt has no answer yet. A zombie has given its answer.
    pub fn is_there(self) -> bool {
        proc::is_running(self.pid, self.start)
    }
}

/// Why a file is no job for this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A later version wrote it: its format.
    Newer(String),
    Broken(String),
}

/// What is known of a job without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
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
    /// libvirt's, of the call.
    #[serde(default)]
    pub call_arguments: Vec<Bytes>,
    /// The name of its registration: what `max_parallel` of one counts by.
    #[serde(default)]
    pub registration: String,
    /// The call that queued it; it runs when that is over.
    #[serde(default)]
    pub caller: Caller,
    #[serde(default)]
    pub lock: Option<String>,
    #[serde(default)]
    pub max_parallel: Option<u32>,
    #[serde(default)]
    pub retries: u32,
    /// Seconds since 1970: counts where it was queued in another boot.
    #[serde(default = "clock::wall_s")]
    pub queued_at: u64,
    #[serde(default)]
    pub queued: Option<Moment>,
    /// Not tried before that, in seconds since 1970: counts likewise.
    #[serde(default)]
    pub not_before: u64,
    #[serde(default)]
    pub due: Option<Moment>,
    /// Tries that have begun.
    #[serde(default)]
    pub attempts: u32,
    /// The id of the run that is under way, or was when its worker died.
    #[serde(default)]
    pub run: Option<String>,
    /// How the last try ended.
    #[serde(default)]
    pub last: Option<String>,
    /// How often its worker died while it ran, one time after the other.
    #[serde(default)]
    pub deaths: u32,
    /// Why it was put aside.
    #[serde(default)]
    pub put_aside: Option<String>,
    /// What its files take, in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// Whether its file has the body too, as 0.1.0 wrote it.
    #[serde(skip)]
    pub has_body: bool,
}

/// What tells of a head's format, and whether the body stands in the same file.
#[derive(Deserialize)]
struct Outline {
    format: Option<serde_json::Value>,
    path: Option<IgnoredAny>,
}

/// What a job's order goes by: what another boot left comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    is_of_this_boot: bool,
    /// Nanoseconds of this boot; 0 for another one's.
    time: i64,
    pub id: String,
}

/// What a job's clocks say when a worker sees it first; no clock is asked again.
#[derive(Clone, Debug)]
pub struct Times {
    pub order: Order,
    /// Not tried before that, on this boot's clock.
    pub due_ns: i64,
    /// When it has waited too long.
    pub expires_ns: i64,
}

impl Head {
    /// Reads a head from a file that should be `id`'s.
    ///
    /// # Errors
    /// It is no head, or a later version's.
    pub fn parse(bytes: &[u8], id: &str) -> Result<Head, Flaw> {
        let broken = |error: serde_json::Error| Flaw::Broken(error.to_string());
        let outline: Outline = serde_json::from_slice(bytes).map_err(broken)?;
        refuse_newer(outline.format.as_ref())?;
        let mut head: Head = serde_json::from_slice(bytes).map_err(broken)?;
        if head.id != id {
            return Err(Flaw::Broken(format!("it says that it is the job `{}`", head.id)));
        }
        if head.lock.as_deref().is_some_and(|name| !is_lock_name(name)) {
            return Err(Flaw::Broken("its lock has no lock's name".to_owned()));
        }
        // what carries this name is ended: it must be the job's own
        if head.run.as_deref().is_some_and(|run| !is_run_of(run, id)) {
            return Err(Flaw::Broken("its run is not its own".to_owned()));
        }
        head.has_body = outline.path.is_some();
        head.max_parallel = head.max_parallel.map(|most| most.max(1));
        Ok(head)
    }

    /// Whose order it belongs to: a guest's or a network's.
    pub fn queue_of(&self) -> (&str, &str) {
        (&self.driver, self.uuid.as_deref().unwrap_or(&self.object))
    }

    /// Its place among all jobs.
    pub fn order(&self, clock: &Clock) -> Order {
        let (is_of_this_boot, time) = match clock.of_this_boot(self.queued.as_ref()) {
            Some(time) => (true, time),
            // ids sort by the wall clock of then
            None => (false, 0),
        };
        Order { is_of_this_boot, time, id: self.id.clone() }
    }

    /// What a worker needs to know of its times.
    pub fn times(&self, clock: &Clock) -> Times {
        let pause_ns = clock::nanoseconds(self.pause(clock));
        let due_ns = clock.now_ns().saturating_add(pause_ns);
        Times { order: self.order(clock), due_ns, expires_ns: self.expires_ns(clock) }
    }

    /// How long it has been waiting. The wall clock is asked only where another boot queued it.
    pub fn age(&self, clock: &Clock) -> Duration {
        match clock.of_this_boot(self.queued.as_ref()) {
            Some(queued_ns) => clock::until(clock.now_ns(), queued_ns),
            None => Duration::from_secs(clock::wall_s().saturating_sub(self.queued_at)),
        }
    }

    /// When it has waited too long, on this boot's clock in nanoseconds.
    fn expires_ns(&self, clock: &Clock) -> i64 {
        let age_ns = clock::nanoseconds(self.age(clock));
        let left_ns = clock::nanoseconds(EXPIRES).saturating_sub(age_ns);
        clock.now_ns().saturating_add(left_ns)
    }

    /// How long its pause still is: never longer than the longest, whatever clocks say.
    pub fn pause(&self, clock: &Clock) -> Duration {
        let left = match clock.of_this_boot(self.due.as_ref()) {
            Some(due_ns) => clock::until(due_ns, clock.now_ns()),
            None => Duration::from_secs(self.not_before.saturating_sub(clock::wall_s())),
        };
        left.min(Duration::from_secs(LONGEST_PAUSE_S))
    }

    /// Begins a try: a new run id.
    pub fn begin(&mut self) -> String {
        self.attempts = self.attempts.saturating_add(1);
        let run = format!("{}-{}", self.id, self.attempts);
        self.run = Some(run.clone());
        run
    }

    /// Takes a try back that was no fault of the hook's.
    pub fn take_back(&mut self) {
        self.run = None;
        self.attempts = self.attempts.saturating_sub(1);
    }

    /// A try has failed; whether there will be another.
    pub fn fail(&mut self, words: &str, clock: &Clock) -> bool {
        self.run = None;
        self.last = Some(words.chars().take(MAX_LAST_CHARS).collect());
        let doubled = self.attempts.saturating_sub(1).min(16);
        let pause_s = (FIRST_PAUSE_S << doubled).min(LONGEST_PAUSE_S);
        self.not_before = clock::wall_s().saturating_add(pause_s);
        self.due = clock.moment(Duration::from_secs(pause_s));
        self.attempts <= self.retries
    }

    /// Makes it a job that was queued just now and never tried.
    pub fn renew(&mut self, clock: &Clock) {
        self.queued_at = clock::wall_s();
        self.queued = clock.moment(Duration::ZERO);
        (self.not_before, self.due) = (0, None);
        (self.attempts, self.deaths) = (0, 0);
        (self.run, self.last, self.put_aside) = (None, None, None);
    }

    /// Tries there are in all.
    pub fn tries(&self) -> u64 {
        u64::from(self.retries) + 1
    }

    /// The call that queued it.
    pub fn call(&self) -> Call {
        let driver = Driver::from_name(&self.driver).unwrap_or(Driver::Qemu);
        let argument = |bytes: &Bytes| OsString::from_vec(bytes.0.clone());
        Call::new(driver, self.call_arguments.iter().map(argument).collect())
    }

    /// The execution that queued it.
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

fn refuse_newer(format: Option<&serde_json::Value>) -> Result<(), Flaw> {
    let Some(format) = format else { return Ok(()) };
    let is_newer = match format.as_u64() {
        Some(format) => format > FORMAT,
        None => format.as_f64().is_some_and(|format| format > FORMAT as f64),
    };
    if is_newer { Err(Flaw::Newer(format.to_string())) } else { Ok(()) }
}

/// Whether a word can be the name of a job's files.
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

/// Everything that a job's hook is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Body {
    pub format: u64,
    #[serde(flatten)]
    pub job: StoredJob,
    /// What the hook finds in the file that `_hook_domxml` names.
    pub document: Option<Bytes>,
    /// What it finds in the file that `HOOKMUX_STARTED_XML` names.
    pub started_document: Option<Bytes>,
}

impl Body {
    /// Reads a body.
    ///
    /// # Errors
    /// It is none, or a later version's.
    pub fn parse(bytes: &[u8]) -> Result<Body, Flaw> {
        #[derive(Deserialize)]
        struct Format {
            format: Option<serde_json::Value>,
        }
        let broken = |error: serde_json::Error| Flaw::Broken(error.to_string());
        let format: Format = serde_json::from_slice(bytes).map_err(broken)?;
        refuse_newer(format.format.as_ref())?;
        let mut body: Body = serde_json::from_slice(bytes).map_err(broken)?;
        if !body.job.program().is_absolute() {
            return Err(Flaw::Broken("it names no program".to_owned()));
        }
        // no try may take longer
        body.job.limit_timeout(EXPIRES);
        Ok(body)
    }
}

/// A job as a call makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub head: Head,
    pub body: Body,
}

impl Item {
    /// From what a hook would have been started with in the call.
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
        let head = Head {
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
            caller: Caller::here(),
            lock: registration.lock.clone(),
            max_parallel: registration.max_parallel,
            retries: registration.retries,
            queued_at: clock::wall_s(),
            queued: Clock::here().moment(Duration::ZERO),
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
        let body = Body {
            format: FORMAT,
            job: StoredJob::new(job)?,
            document: document.map(|document| Bytes(document.to_vec())),
            started_document: None,
        };
        Ok(Item { head, body })
    }
}

/// Where a job finds the document of `started`: known before it runs, for its hook is told in the
/// environment and in JSON.
pub(crate) fn started_path(runtime_dir: &Dir, id: &str) -> PathBuf {
    started_place(runtime_dir, id).named().join(file::FILE_NAME)
}

/// The directory of that file.
pub(crate) fn started_place(runtime_dir: &Dir, id: &str) -> DocumentPlace {
    DocumentPlace::named_by(runtime_dir, format!("{id}{STARTED}"))
}

/// How the name of that file's directory ends.
pub(crate) const STARTED: &str = ".started";

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

    fn head(more: Value) -> Head {
        Head::parse(&old(more), ID).unwrap()
    }

    fn moment(clock: &Clock, seconds: i64) -> Option<Moment> {
        let mut moment = clock.moment(Duration::ZERO)?;
        moment.boottime_ns += seconds * 1_000_000_000;
        Some(moment)
    }

    #[test]
    fn what_the_first_version_wrote_is_read() {
        let head = head(json!({}));
        assert!(head.has_body && head.queue_of() == ("qemu", "vm") && head.tries() == 4);
        assert_eq!(head.call().object(), "vm");
        let body = Body::parse(&old(json!({}))).unwrap();
        assert_eq!(body.job.program(), Path::new("/bin/true"));
        assert_eq!(body.document, Some(Bytes(b"<domain/>".to_vec())));
        // and what this one writes
        let mut own = head;
        own.has_body = false;
        let written = serde_json::to_vec(&own).unwrap();
        assert_eq!(Head::parse(&written, ID).unwrap(), own);
    }

    #[test]
    fn what_is_missing_has_a_default_and_what_is_not_known_is_passed_over() {
        let text = json!({"id": ID, "path": "L2Jpbi90cnVl", "colour": "red", "driver": "hyperv"});
        let text = serde_json::to_vec(&text).unwrap();
        let head = Head::parse(&text, ID).unwrap();
        assert_eq!((head.attempts, head.queue_of()), (0, ("hyperv", "")));
        assert!(head.age(&Clock::here()) < Duration::from_secs(1000), "it was queued just now");
        assert_eq!(Body::parse(&text).unwrap().job.program(), Path::new("/bin/true"));
    }

    #[test]
    fn a_later_format_is_told_from_what_is_broken() {
        for format in [json!(3), json!(2.5), json!(1e40), json!(u64::MAX)] {
            let newer = old(json!({"format": format, "attempts": "many"}));
            assert!(matches!(Head::parse(&newer, ID), Err(Flaw::Newer(_))), "{format}");
            assert!(matches!(Body::parse(&newer), Err(Flaw::Newer(_))), "{format}");
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
            assert!(matches!(Head::parse(&old(more.clone()), ID), Err(Flaw::Broken(_))), "{more}");
        }
        for text in ["", "{", "null", "[]", "7", "\u{0}", "{\"id\":1}"] {
            assert!(matches!(Head::parse(text.as_bytes(), ID), Err(Flaw::Broken(_))), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(Head::parse(deep.as_bytes(), ID), Err(Flaw::Broken(_))));
        for more in [json!({"path": ""}), json!({"path": "YQ=="}), json!({"document": "?"})] {
            assert!(matches!(Body::parse(&old(more.clone())), Err(Flaw::Broken(_))), "{more}");
        }
    }

    #[test]
    fn no_number_is_too_large() {
        let clock = Clock::here();
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
        assert_eq!(head.tries(), u64::from(u32::MAX) + 1);
        assert!(head.pause(&clock).as_secs() <= LONGEST_PAUSE_S);
        let body = Body::parse(&old(most)).unwrap();
        assert_eq!(body.job.timeout(), Some(EXPIRES));
        for extreme in [0, u64::MAX] {
            let old = json!({"queued_at": extreme, "not_before": extreme});
            let times = Head::parse(&super::tests::old(old), ID).unwrap().times(&clock);
            assert!(times.due_ns <= clock.now_ns() + 60_000_000_000, "{extreme}");
        }
    }

    #[test]
    fn the_wall_clock_counts_only_across_boots() {
        let clock = Clock::here();
        let hour = EXPIRES.as_secs();
        let now = clock::wall_s();
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
        head.queued = moment(&clock, 0).map(|own| Moment { boot: "another".to_owned(), ..own });
        assert!(head.times(&clock).expires_ns < clock.now_ns());
        head.queued_at = now + 86400;
        assert!(head.times(&clock).expires_ns > clock.now_ns(), "set back: it is new");
    }

    #[test]
    fn a_pause_is_never_longer_than_the_longest() {
        let clock = Clock::here();
        let mut head = head(json!({"not_before": clock::wall_s() + 86400}));
        assert_eq!(head.pause(&clock).as_secs(), LONGEST_PAUSE_S);
        head.due = moment(&clock, 86400);
        assert_eq!(head.pause(&clock).as_secs(), LONGEST_PAUSE_S);
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
        let clock = Clock::here();
        let job = |id: &str, queued_at: u64, seconds: Option<i64>| {
            let mut head = head(json!({"queued_at": queued_at}));
            head.id = id.to_owned();
            head.queued = seconds.and_then(|seconds| moment(&clock, seconds));
            head.order(&clock)
        };
        let now = clock::wall_s();
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
        let clock = Clock::here();
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
            if let Ok(mut head) = Head::parse(&bytes, ID) {
                read += 1;
                head.times(&clock);
                head.begin();
                head.fail("x", &clock);
                head.times(&clock);
                head.take_back();
            }
            let _ = Body::parse(&bytes);
        }
        assert!(read > 100, "{read} were jobs");
    }
}
