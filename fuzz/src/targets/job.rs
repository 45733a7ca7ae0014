//! Jobs of the queue, in their two files or in the one of 0.1.0: what is read and written again comes
//! back the same, a newer one is left alone, and whatever the files hold, a worker survives it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hookmux::for_tests::machine::files;
use hookmux::for_tests::queue::clock::BootClock;
use hookmux::for_tests::queue::item::FORMAT;
use hookmux::for_tests::queue::{ItemBody, ItemHead, JobReadError, Queue};
use serde_json::{Map, Value};

use super::{Checked, Target, is_prepared, join, must, own_directory, parts, same};
use crate::json;
use crate::random::Random;
use crate::seeds::{self, Seed};

const WORDS: &[&str] = &[
    "id",
    "execution",
    "hook",
    "event",
    "driver",
    "object",
    "operation",
    "uuid",
    "call_arguments",
    "registration",
    "registered",
    "command",
    "args",
    "values",
    "caller",
    "pid",
    "start",
    "path",
    "arguments",
    "environment",
    "stdin",
    "document",
    "started_document",
    "identity",
    "limits",
    "nofile",
    "as",
    "cpu",
    "nproc",
    "nice",
    "timeout",
    "secs",
    "nanos",
    "kill_leftovers",
    "lock",
    "max_parallel",
    "retries",
    "queued_at",
    "not_before",
    "attempts",
    "run",
    "last",
    "queued",
    "due",
    "boottime_ns",
    "boot",
    "deaths",
    "put_aside",
    "bytes",
    "format",
    "AAAA",
    "=",
    "!",
    "../../x",
    "L2Jpbi90cnVl",
    "qemu",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    "null",
    "4294967295",
    "18446744073709551615",
];

/// The name of the job's files.
const ID: &str = "01M8MWZSD3D31BN4HHENW5E1QX";
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub struct Jobs {
    /// As one object.
    seeds: Vec<Value>,
    raw: Vec<Vec<u8>>,
    queue: Queue,
    head: PathBuf,
    body: PathBuf,
}

impl Jobs {
    pub fn new(all: &[Seed], scratch: &Path) -> Jobs {
        let raw = seeds::objects(all, |object| {
            object.contains_key("queued_at") && object.contains_key("path")
        });
        let directory = scratch.join("queue");
        files::private_directory(&directory).unwrap_or_default();
        Jobs {
            seeds: json::values(&raw),
            raw,
            queue: Queue::new(&own_directory(scratch)),
            head: directory.join(format!("{ID}.json")),
            body: directory.join(format!("{ID}.data")),
        }
    }
}

/// Keys of what a job's hook is started with.
const OF_BODY: &[&str] = &[
    "path",
    "arguments",
    "environment",
    "stdin",
    "identity",
    "limits",
    "nice",
    "timeout",
    "kill_leftovers",
    "document",
    "started_document",
];

/// Makes two files of a job that was one: what is of its body leaves `head`, and is returned.
fn parted(random: &mut Random, head: &mut Map<String, Value>) -> Value {
    let taken = OF_BODY
        .iter()
        .filter_map(|key| head.shift_remove(*key).map(|value| ((*key).to_owned(), value)));
    let mut body: Map<String, Value> = taken.collect();
    for part in [&mut *head, &mut body] {
        part.insert("format".to_owned(), FORMAT.into());
    }
    if random.once_in(2) {
        let moment = serde_json::json!({ "boot": hookmux::for_tests::machine::boot::id(), "boottime_ns": random.next() >> 1 });
        head.insert(random.pick(&["queued", "due"]).to_owned(), moment);
        head.insert("run".to_owned(), format!("{ID}-1").into());
    }
    Value::Object(body)
}

impl Target for Jobs {
    fn name(&self) -> &'static str {
        "job"
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut head = random.item(&self.seeds).clone();
        if let Some(id) = head.get_mut("id") {
            *id = ID.into();
        }
        // sometimes as 0.1.0 wrote it
        let mut body = Value::Null;
        let is_of_now = !random.once_in(3);
        if let Some(object) = head.as_object_mut().filter(|_| is_of_now) {
            body = parted(random, object);
        }
        if random.once_in(2) {
            json::mutate(random, &mut head, WORDS);
        }
        if random.once_in(2) && body.is_object() {
            json::mutate(random, &mut body, WORDS);
        }
        let mut head = head.to_string().into_bytes();
        if random.once_in(8) {
            crate::bytes::mutate(random, &mut head, WORDS, &self.raw);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        join(&[&head, body.as_bytes()])
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let [head, body] = parts(input);
        for (path, bytes) in [(&self.head, head), (&self.body, body)] {
            match bytes {
                b"" => files::remove(path).unwrap_or_default(),
                bytes => files::replace(path, bytes).unwrap_or_default(),
            }
        }
        let _ = (self.queue.is_empty(), self.queue.heads(), self.queue.usage());
        let value: Option<Value> = serde_json::from_slice(head).ok();
        let format = value.as_ref().and_then(|value| value.get("format")?.as_u64());
        let read = self.queue.head(ID);
        if format.is_some_and(|format| format > FORMAT) {
            let is_newer = matches!(read, Err(JobReadError::Newer(_)));
            must(is_newer, "a newer job isn't taken for one", || format!("{read:?}"))?;
        }
        let head = match read {
            Ok(head) => head,
            Err(why) => {
                let _ = why.to_string();
                return Ok(false);
            }
        };
        must(head.id == ID, "a job with another id than its file's name", || head.id.clone())?;
        let body = match self.queue.body(&head) {
            Ok(body) => body,
            Err(why) => {
                let _ = why.to_string();
                return Ok(false);
            }
        };
        self.comes_back(&head, &body)?;
        works(head, &body)?;
        Ok(true)
    }
}

impl Jobs {
    /// That a job is the same after it was kept.
    fn comes_back(&self, head: &ItemHead, body: &ItemBody) -> Result<(), super::Disagreement> {
        let mut kept = head.clone();
        if self.queue.keep(&mut kept).is_err() {
            return Ok(());
        }
        let back = self.queue.head(ID).map_err(|error| error.to_string());
        same("a job's head doesn't come back", &back, &Ok(kept.clone()))?;
        let expected =
            ItemBody { format: body.format.max(FORMAT * u64::from(head.has_body)), ..body.clone() };
        let back = self.queue.body(&kept).map_err(|error| error.to_string());
        same("a job's body doesn't come back", &back, &Ok(expected))
    }
}

/// As a worker treats it.
fn works(mut head: ItemHead, body: &ItemBody) -> Result<(), super::Disagreement> {
    let clock = BootClock::here();
    let _ =
        (head.times(&clock), head.order(&clock), head.age(&clock), head.call(), head.queued_by());
    let pause = head.pause(&clock);
    must(pause <= LONGEST_PAUSE, "a job that is put off for too long", || format!("{pause:?}"))?;
    let run = head.begin();
    is_prepared(&body.job, &run);
    let is_tried_again = head.fail("exit status 1", &clock);
    let tries = u64::from(head.attempts);
    let is_bounded = !is_tried_again || tries < head.max_attempts();
    must(is_bounded, "a job that is tried too often", || {
        format!("{tries} of {}", head.max_attempts())
    })?;
    let pause = head.pause(&clock);
    must(pause <= LONGEST_PAUSE, "a job that is put off for too long", || format!("{pause:?}"))?;
    head.take_back();
    head.renew(&clock);
    must(head.pause(&clock).is_zero(), "a job that is queued anew and waits", String::new)
}
