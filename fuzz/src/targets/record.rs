//! Records: what is read and written again comes back the same, a list reads what the whole says,
//! and whatever they hold can be counted.

use std::fs;
use std::path::{Path, PathBuf};

use hookmux::for_tests::machine::ulid;
use hookmux::for_tests::record::counters::Counters;
use hookmux::for_tests::record::form::{Record, RecordHead};
use hookmux::for_tests::record::store;
use hookmux::for_tests::state::Dir;
use serde_json::Value;

use super::{Checked, Target, must, own_directory, same};
use crate::json;
use crate::random::Random;
use crate::seeds::{self, Seed};

const WORDS: &[&str] = &[
    "format",
    "id",
    "state",
    "outcome",
    "cause",
    "driver",
    "object",
    "operation",
    "sub_operation",
    "extra",
    "uuid",
    "class",
    "origin",
    "began_us",
    "duration_us",
    "status",
    "failure",
    "hooks",
    "hook",
    "event",
    "process",
    "boot",
    "pid",
    "start",
    "version",
    "arguments",
    "hooks_dir",
    "daemon",
    "path",
    "home",
    "document",
    "document_after",
    "started_document",
    "plan",
    "runs",
    "notes",
    "stderr",
    "stdout",
    "left_out",
    "device",
    "decision",
    "reason",
    "sha256",
    "start_us",
    "changed_document",
    "leftovers",
    "job",
    "registrations",
    "command",
    "fixed",
    "args",
    "args_stdin",
    "has_libvirts",
    "values",
    "document_bytes",
    "is_masked",
    "name",
    "base64",
    "running",
    "done",
    "lost",
    "success",
    "timeout",
    "queued",
    "bypassed",
    "unknown",
    "libvirt",
    "person",
    "retry",
    "queue",
    "/wA=",
    "!",
    "run",
    "fail",
    "out",
    "stopped",
    "qemu",
    "01M8MWZSD3D31BN4HHENW5E1QX",
    "\n",
    "\"",
    "{",
    "}",
    "null",
    "\\ud800",
];

/// One file in so many is read from the disk too.
const FILE_EVERY: usize = 8;

pub struct Records {
    /// RecordHead and body.
    seeds: Vec<(Value, Value)>,
    raw: Vec<Vec<u8>>,
    place: PathBuf,
    directory: Dir,
}

impl Records {
    pub fn new(all: &[Seed], scratch: &Path) -> Records {
        let raw = seeds::bytes(all, |seed| lines(&seed.bytes).is_some());
        let seeds = raw.iter().filter_map(|bytes| lines(bytes)).collect();
        Records { seeds, raw, place: scratch.join("record"), directory: own_directory(scratch) }
    }
}

/// RecordHead and body of a record.
fn lines(bytes: &[u8]) -> Option<(Value, Value)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head: Value = serde_json::from_slice(&bytes[..end]).ok()?;
    head.get("began_us")?;
    Some((head, serde_json::from_slice(&bytes[end..]).ok()?))
}

impl Target for Records {
    fn name(&self) -> &'static str {
        "record"
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut bytes = if random.once_in(6) {
            random.item(&self.raw).clone()
        } else {
            let (mut head, mut body) = random.item(&self.seeds).clone();
            if random.once_in(2) {
                json::mutate(random, &mut head, WORDS);
            }
            if random.once_in(2) {
                json::mutate(random, &mut body, WORDS);
            }
            format!("{head}\n{body}\n").into_bytes()
        };
        if random.once_in(4) {
            crate::bytes::mutate(random, &mut bytes, WORDS, &self.raw);
        }
        bytes
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let first = input.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let head = RecordHead::decode(first);
        let record = Record::decode(input);
        if let Some(head) = &head {
            let mut counters = Counters::default();
            counters.add(head);
            counters.add(head);
            let kept = serde_json::to_vec(&counters).unwrap_or_default();
            let back: Option<Counters> = serde_json::from_slice(&kept).ok();
            same("counters don't come back", &back, &Some(counters))?;
        }
        if input.len() % FILE_EVERY == 0 {
            // a file's name is the id of its record
            let id = head.as_ref().map(|head| head.id.clone()).filter(|id| ulid::is_valid(id));
            let name = id.as_deref().unwrap_or("record");
            let place = self.place.with_file_name(name);
            fs::write(&place, input).unwrap_or_default();
            let has_line = input.contains(&b'\n');
            let is_its = |head: &RecordHead| head.id == name;
            let of_file = store::read_head(&self.directory, name).ok();
            let expected = head.clone().filter(|head| has_line && is_its(head));
            same("the head of a file differs: list, whole", &of_file, &expected)?;
            let of_file = store::read(&self.directory, name).ok();
            let expected = record.clone().filter(|record| is_its(&record.head));
            let _ = fs::remove_file(&place);
            same("a record's file differs: file, bytes", &of_file, &expected)?;
        }
        let Some(record) = record else { return Ok(false) };
        same("a record has another head", &Some(record.head.clone()), &head)?;
        let encoded = record.encode().unwrap_or_default();
        same("a record doesn't come back", &Record::decode(&encoded), &Some(record.clone()))?;
        let mut stripped = record;
        stripped.strip("too large");
        let encoded = stripped.encode().unwrap_or_default();
        must(Record::decode(&encoded).is_some(), "a record that was cut down is none", || {
            super::shown(&encoded)
        })?;
        Ok(true)
    }
}
