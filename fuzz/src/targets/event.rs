//! Events of other hosts, as `run --remote` reads them: whatever they say, what is taken from them has its form and
//! its limit, and steers nothing.

use hookmux::for_tests::cli::hooks::remote_event::{MAX_EVENT_BYTES, Meaning, read};
use hookmux::for_tests::machine::ulid;
use serde_json::{Value, json};

use super::{Checked, Target, must};
use crate::json;
use crate::random::Random;

pub struct Events;

const WORDS: &[&str] = &[
    "specversion",
    "1.0",
    "id",
    "01ARYZ6S410000000000000000",
    "source",
    "hookmux/node-1.example.org",
    "hookmux/",
    "type",
    "hookmux.execution.v1",
    "hookmux.gap.v1",
    "time",
    "2026-11-30T12:00:00.000001Z",
    "sequence",
    "00000000000000000007",
    "bootid",
    "data",
    "driver",
    "qemu",
    "network",
    "operation",
    "started",
    "prepare",
    "sub_operation",
    "begin",
    "extra",
    "object",
    "web",
    "../",
    "/",
    "\u{0}",
    "\n",
    "\u{1b}[31m",
    "uuid",
    "4d7c5c1e-6f0a-4c57-9d5e-2f6f1b6c8a10",
    "title",
    "origin",
    "fresh",
    "cause",
    "libvirt",
    "outcome",
    "good",
    "exit_status",
    "properties",
    "LD_PRELOAD",
    "$(id)",
    "",
];

/// What may be almost any text.
const TEXTS: &[&str] = &["/data/title", "/data/object", "/data/extra", "/data/properties/vlan"];

fn event() -> Value {
    json!({
        "specversion": "1.0",
        "id": "01ARYZ6S410000000000000000",
        "source": "hookmux/node-1.example.org",
        "type": "hookmux.execution.v1",
        "time": "2026-11-30T12:00:00.000001Z",
        "sequence": "00000000000000000007",
        "bootid": "4d7c5c1e-6f0a-4c57-9d5e-2f6f1b6c8a10",
        "data": {
            "driver": "qemu", "operation": "started", "sub_operation": "begin", "extra": "-",
            "object": "web", "uuid": "4d7c5c1e-6f0a-4c57-9d5e-2f6f1b6c8a10", "title": "A title",
            "origin": "fresh", "cause": "libvirt", "outcome": "good", "exit_status": 0,
            "properties": { "vlan": "7", "zone": "a" },
        },
    })
}

impl Target for Events {
    fn name(&self) -> &'static str {
        "event"
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut event = event();
        match random.once_in(2) {
            true => json::mutate(random, &mut event, WORDS),
            // so that half of them may be taken
            false => {
                for _ in 0..random.below(3) {
                    if let Some(value) = event.pointer_mut(random.pick(TEXTS)) {
                        *value = random.pick(WORDS).into();
                    }
                }
            }
        }
        let mut bytes = event.to_string().into_bytes();
        if random.once_in(4) {
            crate::bytes::mutate(random, &mut bytes, WORDS, &[]);
        }
        bytes
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let Ok(Meaning::Call(event)) = read(input) else { return Ok(false) };
        let told = || format!("{event:?}");
        must(input.len() <= MAX_EVENT_BYTES, "a larger event than is allowed", told)?;
        let words: Vec<&str> =
            event.call.arguments.iter().filter_map(|word| word.to_str()).collect();
        must(words.len() == 4, "a call without its four words", told)?;
        let is_line = |text: &str| !text.chars().any(char::is_control) && text.len() <= 4096;
        must(words.iter().all(|word| is_line(word)), "a word that is no short line", told)?;
        let is_name = !words[0].is_empty() && !words[0].contains('/');
        must(is_name, "an object that can be a path", told)?;
        must(event.call.plain_operation().is_some(), "an operation that is no word", told)?;
        let remote = &event.remote;
        must(ulid::is_valid(&remote.execution), "an id that is no ULID", told)?;
        let is_host = !remote.host.is_empty() && !remote.host.contains(['/', '\n', '\0']);
        must(is_host && remote.host.len() <= 255, "a host that is no name", told)?;
        let is_uuid = event.uuid.as_deref().is_none_or(|uuid| uuid.len() == 36 && is_line(uuid));
        must(is_uuid, "a uuid that is none", told)?;
        let facts = event.facts();
        must(facts.document.bytes().is_none(), "an event with a document", told)?;
        must(facts.metadata.devices.is_empty(), "an event with devices", told)?;
        for property in &facts.metadata.properties {
            let is_word = property.name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
            must(
                is_word && !property.name.is_empty(),
                "a property without a word as its name",
                told,
            )?;
            must(is_line(&property.value), "a property that is no short line", told)?;
        }
        Ok(true)
    }
}
