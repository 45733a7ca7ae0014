//! What is remembered of a guest: whatever its files hold, what waits is met once, and nothing lies
//! outside of the two directories.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use hookmux::for_tests::event::Origin;
use hookmux::for_tests::libvirt::Driver;
use hookmux::for_tests::libvirt::document::DocumentIdentity;
use hookmux::for_tests::machine::boot;
use hookmux::for_tests::machine::files;
use hookmux::for_tests::memory::guest::{Guest, HeldFailure};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use super::{Checked, Target, join, must, own_directory, parts, same};
use crate::random::Random;
use crate::seeds::{self, Seed};

const WORDS: &[&str] = &[
    "boot",
    "name",
    "origin",
    "since",
    "held",
    "status",
    "words",
    "format",
    "fresh",
    "restore",
    "migration",
    "unknown",
    "BOOT",
    "vm",
    "\"",
    "{",
    "}",
    "null",
    "-1",
    "NOW",
    "9223372036854775807",
    "-9223372036854775808",
    ",",
];

const NAMES: &[&str] = &[
    "vm", "..", ".", "", "a/b", "../../x", "\u{e4}", "--help", "x\ny", "a.json", "vm-2",
    "\u{202e}", "*",
];

pub struct Guests {
    runtime_dir: PathBuf,
    /// Of files: as they are written, with `BOOT` for the boot and `NOW` for the time.
    seeds: Vec<Value>,
    boot: String,
}

impl Guests {
    pub fn new(all: &[Seed], scratch: &Path) -> Guests {
        // the files of an input lie in it before hookmux writes anything
        let runtime_dir = scratch.join("run");
        files::private_directory(&runtime_dir).unwrap_or_default();
        let mut seeds = vec![
            json!({ "format": 1, "boot": "BOOT", "name": "vm", "origin": "restore", "since": 0, "held": {
                "status": 1, "words": "hookmux: before_vm_dehibernate/x: exit status 1\n" } }),
            json!({ "format": 1, "boot": "BOOT", "name": "vm", "origin": "migration", "since": 0, "held": null }),
            json!({ "format": 1, "boot": "BOOT", "name": "vm", "origin": "fresh" }),
        ];
        let known =
            |object: &Map<_, _>| object.contains_key("boot") && object.contains_key("origin");
        let mut released = crate::json::values(&seeds::objects(all, known));
        for seed in &mut released {
            seed["boot"] = "BOOT".into();
        }
        seeds.extend(released);
        Guests { runtime_dir, seeds, boot: boot::id() }
    }

    fn file(&self, random: &mut Random) -> Vec<u8> {
        let mut value = random.item(&self.seeds).clone();
        if !random.once_in(3) {
            crate::json::mutate(random, &mut value, WORDS);
        }
        let mut bytes = value.to_string().replace("\"since\":0", "\"since\":NOW").into_bytes();
        if random.once_in(4) {
            crate::bytes::mutate(random, &mut bytes, WORDS, &[]);
        }
        bytes
    }

    /// A file's bytes, with the boot and the time of now.
    fn of_now(&self, bytes: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| time.tv_sec());
        text.replace("BOOT", &self.boot).replace("NOW", &now.to_string()).into_bytes()
    }
}

impl Target for Guests {
    fn name(&self) -> &'static str {
        "guest"
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let driver = Driver::GUESTS[random.below(Driver::GUESTS.len())];
        let uuid = random.pick(&[
            "91126ceb-8184-4a0b-b79f-0f3d17ecc836",
            "",
            "../../../../../etc/passwd-000000000",
            "x",
        ]);
        let mut name = random.pick(NAMES).as_bytes().to_vec();
        if random.once_in(4) {
            crate::bytes::mutate(random, &mut name, NAMES, &[]);
        }
        let head = [driver.name().as_bytes(), b"\n", uuid.as_bytes(), b"\n", &name].concat();
        let (state, pending) = (self.file(random), self.file(random));
        let absent = random.below(4);
        join(&[
            &head,
            if absent == 1 { b"" } else { &state },
            if absent == 2 { b"" } else { &pending },
        ])
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let [head, state, pending] = parts(input);
        let mut lines = head.splitn(3, |byte| *byte == b'\n');
        let mut line = || lines.next().unwrap_or_default();
        let driver = std::str::from_utf8(line()).ok().and_then(Driver::from_name);
        let Some(driver) = driver.filter(|driver| driver.is_guest()) else { return Ok(false) };
        let uuid = DocumentIdentity {
            uuid: Some(String::from_utf8_lossy(line()).into_owned()),
            ..DocumentIdentity::default()
        };
        let uuid = uuid.plain_uuid();
        let name = String::from_utf8_lossy(line()).into_owned();

        for directory in ["guests", "pending"] {
            for entry in
                fs::read_dir(self.runtime_dir.join(directory)).into_iter().flatten().flatten()
            {
                let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
            }
        }
        let key =
            uuid.clone().unwrap_or_else(|| format!("name-{}", files::name_digest(name.as_ref())));
        for (directory, bytes) in [("guests", state), ("pending", pending)] {
            if !bytes.is_empty() {
                let directory = self.runtime_dir.join(directory);
                let file = directory.join(format!("{driver}-{key}.json"));
                let written = files::private_directory(&directory)
                    .and_then(|_| files::replace(&file, &self.of_now(bytes)));
                must(written.is_ok(), "the input's own file can't be written", || {
                    format!("{}: {written:?}", file.display())
                })?;
            }
        }

        let runtime_dir = own_directory(&self.runtime_dir);
        let guest = Guest::new(&runtime_dir, driver, uuid.as_deref(), &name);
        let _ = (guest.origin(), guest.started_document());
        let peeked = guest.peek_pending();
        let remembered = guest.take_pending();
        same("what waits differs: peeked, met", &peeked, &remembered)?;
        if [state, pending]
            .iter()
            .any(|bytes| !bytes.is_empty() && !is_of_this_version(&self.of_now(bytes)))
        {
            must(remembered.is_in_doubt, "a file that can't be read refuses nothing", || {
                format!("{remembered:?}")
            })?;
        }
        if remembered.is_in_doubt {
            let held = remembered.held.as_ref();
            let names_it = held.is_some_and(|held| {
                held.status == 125 && held.words.contains(&*self.runtime_dir.to_string_lossy())
            });
            must(names_it, "a refusal that doesn't name its file", || format!("{remembered:?}"))?;
            // for as long as it is there
            same("a refusal that ends", &guest.take_pending(), &remembered)?;
            self.are_all_inside()?;
            return Ok(true);
        }
        let is_failure = remembered.held.as_ref().is_none_or(|held| held.status != 0);
        must(is_failure, "a failure that is a success", || format!("{remembered:?}"))?;
        if remembered.origin != Origin::Unknown {
            same("the origin isn't remembered", &guest.origin(), &remembered.origin)?;
            let again = guest.peek_pending();
            let is_met = again.held.is_none() && again.origin == Origin::Fresh;
            must(is_met, "what waits is met twice", || format!("{again:?}"))?;
        }
        let held = HeldFailure { status: 3, words: "hookmux: no\n".to_owned() };
        if guest.remember_pending(Origin::Restore, Some(held.clone())).is_ok() {
            let remembered = guest.take_pending();
            same("a failure that is held is lost", &remembered.held, &Some(held))?;
            same("an origin that is held is lost", &remembered.origin, &Origin::Restore)?;
        }
        if guest.keep_document(b"<domain/>").is_ok() {
            let kept = guest.started_document().and_then(|path| fs::read(path).ok());
            same("the document of the start is lost", &kept.as_deref(), &Some(&b"<domain/>"[..]))?;
        }
        guest.forget();
        guest.forget_pending();
        same("a document that was forgotten", &guest.started_document(), &None)?;
        self.are_all_inside()?;
        Ok(remembered.origin != Origin::Unknown)
    }
}

/// Whether bytes are an object, and not of a version that is far from coming.
fn is_of_this_version(bytes: &[u8]) -> bool {
    // keys that aren't known may hold anything
    let text = String::from_utf8_lossy(bytes);
    match serde_json::from_str::<serde_json::Map<String, Value>>(&text) {
        Ok(object) => {
            object.get("format").and_then(Value::as_u64).is_none_or(|format| format < 1000)
        }
        Err(error) => error.to_string().contains("out of range"),
    }
}

impl Guests {
    /// That nothing lies in the runtime directory or above it but what is known.
    fn are_all_inside(&self) -> Result<(), super::Disagreement> {
        let scratch = self.runtime_dir.parent().unwrap_or(&self.runtime_dir);
        for (directory, known) in
            [(scratch, &["run", "progress"][..]), (&self.runtime_dir, &["guests", "pending"][..])]
        {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let is_known = known.iter().any(|known| name.as_bytes() == known.as_bytes());
                must(is_known, "a file outside of its directory", || {
                    entry.path().display().to_string()
                })?;
            }
        }
        Ok(())
    }
}
