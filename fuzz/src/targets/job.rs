//! Jobs of the queue: what is read and written again comes back the same, and whatever a file holds,
//! a worker survives it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use hookmux::queue::{Item, Queue};
use serde_json::Value;

use super::{Checked, Target, must, same};
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

/// The name of the job's file.
const ID: &str = "01M8MWZSD3D31BN4HHENW5E1QX";

pub struct Jobs {
    seeds: Vec<Value>,
    raw: Vec<Vec<u8>>,
    queue: Queue,
    file: PathBuf,
}

impl Jobs {
    pub fn new(all: &[Seed], scratch: &Path) -> Jobs {
        let is_job = |seed: &Seed| {
            let value: Option<Value> = serde_json::from_slice(&seed.bytes).ok();
            value.is_some_and(|value| value.get("queued_at").is_some())
        };
        let raw = seeds::bytes(all, is_job);
        let directory = scratch.join("queue");
        fs::create_dir_all(&directory).unwrap_or_default();
        Jobs {
            seeds: json::values(&raw),
            raw,
            queue: Queue::new(scratch),
            file: directory.join(format!("{ID}.json")),
        }
    }
}

impl Target for Jobs {
    fn name(&self) -> &'static str {
        "job"
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut value = random.item(&self.seeds).clone();
        if let Some(id) = value.get_mut("id") {
            *id = ID.into();
        }
        if !random.once_in(10) {
            json::mutate(random, &mut value, WORDS);
        }
        let mut bytes = value.to_string().into_bytes();
        if random.once_in(4) {
            crate::bytes::mutate(random, &mut bytes, WORDS, &self.raw);
        }
        bytes
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        fs::write(&self.file, input).unwrap_or_default();
        let got = self.queue.get(ID);
        let _ = (self.queue.is_empty(), self.queue.items());
        let Ok(mut item) = got else { return Ok(false) };
        must(item.id == ID, "a job with another id than its file's name", || item.id.clone())?;
        // as it is kept
        self.queue.keep(&item).unwrap_or_default();
        let back = self.queue.get(ID).map_err(|error| error.to_string());
        same("a job doesn't come back", &back, &Ok(item.clone()))?;
        // as a worker treats it
        let _ = (item.is_expired(), item.is_due(), item.queue_of().1.len(), item.owner());
        let _ = item.program();
        let before = item.clone();
        let run = item.begin();
        let null: Option<File> = File::open("/dev/null").ok();
        if let Some(null) = null {
            let _ = item.job(&run, Some(b"/x"), null.into(), Instant::now());
        }
        let is_tried_again = item.fail("exit status 1".to_owned());
        let most = u64::from(item.retries) + 1;
        let is_bounded = !is_tried_again || u64::from(item.attempts) < most;
        must(is_bounded, "a job that is tried too often", || {
            format!("{} of {most}", item.attempts)
        })?;
        let pause = item.not_before.saturating_sub(hookmux::queue::item::now());
        must(pause <= 3600, "a job that is put off for longer than it lives", || {
            pause.to_string()
        })?;
        let _: Item = before;
        Ok(true)
    }
}
