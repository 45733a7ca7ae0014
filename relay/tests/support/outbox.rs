//! An outbox as hookmux writes it.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const UUID: &str = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0";

pub struct Outbox {
    pub directory: PathBuf,
    pub host: String,
    last: u64,
    epoch: String,
    epoch_after: u64,
    pub ids: Vec<String>,
}

/// A ULID with this number in it.
pub fn ulid(number: u64) -> String {
    let digits = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let time =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let mut value = (time << 80) | (u128::from(std::process::id()) << 48) | u128::from(number);
    let mut text = vec![b'0'; 26];
    for digit in text.iter_mut().rev() {
        *digit = digits[(value & 31) as usize];
        value >>= 5;
    }
    String::from_utf8(text).unwrap()
}

/// An event of a guest's start.
pub fn event(id: &str, host: &str, number: u64) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": format!("hookmux/{host}"), "type": "hookmux.execution.v1",
        "subject": format!("qemu/started/{UUID}"), "time": "2026-11-30T18:00:00.250000Z", "datacontenttype": "application/json",
        "sequence": format!("{number:020}"), "bootid": "0a4b8a0e-7d0f-4a57-9d3f-0f6f3f8d9a11",
        "data": {
            "driver": "qemu", "operation": "started", "sub_operation": "begin", "extra": "-", "object": "web-1", "uuid": UUID,
            "events": ["after_vm_launch"], "title": "the web", "reason": null, "origin": "fresh", "class": "live",
            "cause": "libvirt", "parent": null, "began": "2026-11-30T18:00:00.000000Z", "duration_ms": 250, "outcome": "failed",
            "failure": "exit status 3", "exit_status": 0, "properties": {}, "left_out": 0,
            "runs": [
                {"hook": "after_vm_launch/10-a", "event": "after_vm_launch", "device": null, "kind": "hook", "outcome": "good",
                 "start_ms": 5, "duration_ms": 100, "status": 0, "failure": null},
                {"hook": "after_vm_launch/20-b", "event": "after_vm_launch", "device": null, "kind": "hook", "outcome": "failed",
                 "start_ms": 105, "duration_ms": 100, "status": 3, "failure": "exit status 3"}],
            "hookmux": {"version": "0.2.0", "digest": "d41d8cd9"},
        },
    })
}

impl Outbox {
    pub fn new(directory: &Path, host: &str) -> Outbox {
        std::fs::create_dir_all(directory).unwrap();
        Outbox {
            directory: directory.to_owned(),
            host: host.to_owned(),
            last: 0,
            epoch: ulid(1 << 30),
            epoch_after: 0,
            ids: Vec::new(),
        }
    }

    /// Moves an event in, as the mover does.
    pub fn write(&mut self) -> String {
        self.write_changed(|_| ())
    }

    pub fn write_changed(&mut self, change: impl FnOnce(&mut Value)) -> String {
        let id = ulid(self.last + 1);
        let mut event = event(&id, &self.host, self.last + 1);
        change(&mut event);
        self.write_bytes(&id, event.to_string().as_bytes());
        id
    }

    pub fn write_bytes(&mut self, id: &str, bytes: &[u8]) -> PathBuf {
        self.last += 1;
        let hidden = self.directory.join(format!(".{id}"));
        std::fs::write(&hidden, bytes).unwrap();
        let file = self.directory.join(format!("{:020}-{id}.json", self.last));
        std::fs::rename(&hidden, &file).unwrap();
        self.ids.push(id.to_owned());
        file
    }

    /// Numbers that are given to no file.
    pub fn skip(&mut self, count: u64) {
        self.last += count;
    }

    /// As a mover does whose numbers may be given a second time.
    pub fn begin_anew(&mut self, after: u64) {
        self.last = after;
        self.epoch_after = after;
        self.epoch = ulid((1 << 31) + after);
        self.status();
    }

    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn files(&self) -> BTreeMap<u64, PathBuf> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&self.directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if let Some(number) = name.get(..20).and_then(|digits| digits.parse().ok()) {
                files.insert(number, path);
            }
        }
        files
    }

    /// Removes what all sinks have, as the mover does.
    pub fn remove_up_to(&self, cursor: u64) {
        for (number, file) in self.files() {
            if number <= cursor {
                std::fs::remove_file(file).unwrap();
            }
        }
    }

    pub fn status(&self) {
        let status = json!({
            "format": 1, "version": "0.2.0", "digest": "d41d8cd9", "host": self.host, "bootid": "0a4b8a0e", "time": "2026-11-30T18:00:00Z",
            "findings": {"error": 1, "warning": 2, "note": 0}, "entries": {"qemu": "intact"}, "sequence": format!("{:020}", self.last),
            "epoch": self.epoch, "epoch_after": format!("{:020}", self.epoch_after),
        });
        let hidden = self.directory.join(".status");
        std::fs::write(&hidden, status.to_string()).unwrap();
        std::fs::rename(&hidden, self.directory.join("status.json")).unwrap();
    }
}
