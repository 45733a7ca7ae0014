//! Records as they lie on the disk, changed for a test.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Host;

/// Changes a record that this version made, under the same id.
pub fn alter_record(path: &Path, change: impl Fn(&mut Value, &mut Value)) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let (mut head, mut body) = (lines.next().unwrap(), lines.next().unwrap());
    change(&mut head, &mut body);
    fs::write(path, format!("{head}\n{body}\n")).unwrap();
}

/// A host with one execution, which lies in the state directory; the path of its record.
pub fn host_with_a_record() -> (Host, PathBuf) {
    let host = Host::new();
    host.script("before_vm_start/10-x", "echo done");
    host.guest("prepare begin").run().succeeds();
    host.text(&["prune"], 0);
    let path = kept_record(&host);
    (host, path)
}

/// The only record in the state directory.
pub fn kept_record(host: &Host) -> PathBuf {
    let records = host.path("state/records");
    let is_record = |path: &PathBuf| {
        path.starts_with(&records) && path.file_name().is_some_and(|name| name.len() == 26)
    };
    let mut found = host.everything().into_iter().filter(is_record);
    let path = found.next().unwrap();
    assert_eq!(found.next(), None, "there are more records than one");
    path
}
