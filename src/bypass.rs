//! The emergency switch: calls run no hooks for a time, so that guests start.
//!
//! It is one file in the hooks directory, so that it works even if the settings are broken, and after a
//! reboot. It says whose calls run no hooks, and until when. A file that isn't trusted, can't be read, or
//! has anything unknown in it is ignored: the unknown part may restrict the bypass.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::command::Fix;
use crate::libvirt::Call;
use crate::machine::files::{self, Rights};
use crate::machine::{boot, clock};
use crate::repair::{OwnPaths, RepairTarget};
use crate::state::format;
use crate::trust::Trust;

/// The file's name in the hooks directory.
pub const FILE_NAME: &str = "hookmux.bypass";
/// The version of the file's format. Raised when what an older version reads from it would be wrong.
///
/// Format 2 has who switched it on, and why, and may name a boot; a reader of format 1 ignores such a
/// file.
const FORMAT: u32 = 2;
/// The longest time for which it can be switched on.
pub(crate) const MAX_DAYS: u64 = 30;
pub(crate) const MAX_SECONDS: u64 = MAX_DAYS * 24 * 3600;
/// The largest file that is read; hookmux writes no larger one.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Whose calls run no hooks, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BypassEntry {
    /// A guest's or network's name; `None` is every call.
    pub guest: Option<String>,
    /// Seconds since 1970; `None` until it is switched off.
    pub until: Option<u64>,
    /// The id of the only boot that it applies to. It has no time then: if the clock is set during that
    /// boot, because the hardware clock was wrong, the bypass must not end.
    pub boot: Option<String>,
    pub since: u64,
    /// Who switched it on, and why, if that is known.
    pub user: Option<String>,
    pub reason: Option<String>,
}

/// All entries that apply now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bypass {
    pub entries: Vec<BypassEntry>,
}

/// The file as it is written.
#[derive(Serialize)]
struct WrittenFile<'a> {
    format: u32,
    entries: &'a [BypassEntry],
}

/// The file as it is read. `format` is missing in one of 0.1.0.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadFile {
    #[serde(default, rename = "format")]
    _format: u32,
    entries: Vec<BypassEntry>,
}

/// The calls that an entry applies to, as a required key.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BypassScope {
    Host,
    Guest(String),
}

impl Serialize for BypassEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct WrittenEntry<'a> {
            whose: BypassScope,
            /// 0.1.0 reads this key, and applies an entry without it to the whole host.
            guest: Option<&'a str>,
            until: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            boot: Option<&'a str>,
            since: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            user: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'a str>,
        }
        let whose = self.guest.clone().map_or(BypassScope::Host, BypassScope::Guest);
        let (guest, boot, since) = (self.guest.as_deref(), self.boot.as_deref(), self.since);
        // 0.1.0 doesn't know `boot`, and would apply the entry for ever: let it be over there
        let until = boot.map_or(self.until, |_| Some(since));
        let (user, reason) = (self.user.as_deref(), self.reason.as_deref());
        WrittenEntry { whose, guest, until, boot, since, user, reason }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BypassEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BypassEntry, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct ReadEntry {
            whose: Option<BypassScope>,
            /// The only key of 0.1.0 for this: a name, or null for the host.
            #[serde(default, deserialize_with = "present")]
            guest: Option<Option<String>>,
            until: Option<u64>,
            boot: Option<String>,
            #[serde(default)]
            since: u64,
            user: Option<String>,
            reason: Option<String>,
        }
        /// Tells null from a missing key.
        fn present<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Option<String>>, D::Error> {
            Option::deserialize(deserializer).map(Some)
        }
        let ReadEntry { whose, guest, until, boot, since, user, reason } =
            ReadEntry::deserialize(deserializer)?;
        let whose = whose.map(|whose| match whose {
            BypassScope::Host => None,
            BypassScope::Guest(guest) => Some(guest),
        });
        let guest = match (whose, guest) {
            (Some(whose), Some(guest)) if whose != guest => {
                return Err(de::Error::custom("`whose` and `guest` of an entry differ"));
            }
            (Some(whose), _) => whose,
            (None, Some(guest)) => guest,
            (None, None) => {
                return Err(de::Error::custom(
                    "an entry doesn't say whose calls it applies to: `whose` is missing",
                ));
            }
        };
        let until = until.filter(|_| boot.is_none());
        Ok(BypassEntry { guest, until, boot, since, user, reason })
    }
}

impl BypassEntry {
    /// Describes the calls that it applies to.
    pub fn whose(&self) -> String {
        self.guest.as_ref().map_or_else(
            || "every call of this host".to_owned(),
            |guest| format!("calls about {guest}"),
        )
    }
}

impl BypassEntry {
    /// Tells whether it applies at a time of this boot.
    fn is_on(&self, now: u64) -> bool {
        // the id is empty where the kernel doesn't give one
        let is_this = |boot: &String| !boot.is_empty() && *boot == boot::id();
        self.until.is_none_or(|until| now < until) && self.boot.as_ref().is_none_or(is_this)
    }

    /// Returns the command that ends it.
    pub fn way_out(&self, hooks_dir: &Path) -> Fix {
        let mut words = vec!["bypass".to_owned(), "off".to_owned()];
        // one word, because a guest's name may begin with a dash
        words.extend(self.guest.iter().map(|guest| format!("--guest={guest}")));
        Fix::hookmux(hooks_dir, &words)
    }
}

impl Bypass {
    /// Returns the entry that applies to a call.
    pub fn of(&self, call: &Call) -> Option<&BypassEntry> {
        let is_for_call = |entry: &&BypassEntry| {
            entry.guest.as_ref().is_none_or(|guest| call.object() == guest.as_str())
        };
        self.entries.iter().find(is_for_call)
    }

    pub fn is_off(&self) -> bool {
        self.entries.is_empty()
    }
}

pub(crate) fn path(hooks_dir: &Path) -> PathBuf {
    hooks_dir.join(FILE_NAME)
}

/// Reads the entries that apply now.
///
/// # Errors
/// Why the file is ignored.
pub fn load(hooks_dir: &Path, trust: &mut Trust) -> Result<Bypass, String> {
    let path = path(hooks_dir);
    let fault = |why: &dyn std::fmt::Display| {
        format!("the emergency switch {} is ignored: {why}", path.display())
    };
    match fs::symlink_metadata(&path) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Bypass::default());
        }
        Err(error) => return Err(fault(&error)),
        Ok(_) => {}
    }
    trust.file(&path).map_err(|refusal| {
        let ground = OwnPaths::of_hooks_dir(hooks_dir, trust.user());
        let fix = ground.fix(&[RepairTarget::at(&path)]);
        let fix = fix.map(|fix| format!("; {}", fix.text)).unwrap_or_default();
        format!("{}{fix}", fault(&refusal))
    })?;
    let bytes = files::read_known_regular(&path, MAX_FILE_BYTES).map_err(|error| fault(&error))?;
    format::check(&bytes, FORMAT).map_err(|newer| fault(&newer))?;
    let file: ReadFile = format::read_object(&bytes).map_err(|error| fault(&error))?;
    let mut bypass = Bypass { entries: file.entries };
    let now = clock::unix_seconds();
    bypass.entries.retain(|entry| entry.is_on(now));
    Ok(bypass)
}

/// Replaces the file, or removes it if there are no entries.
///
/// # Errors
/// It stays as it was.
pub(crate) fn keep(hooks_dir: &Path, bypass: &Bypass) -> io::Result<()> {
    let path = path(hooks_dir);
    if bypass.is_off() {
        return files::remove(&path);
    }
    let written = WrittenFile { format: FORMAT, entries: &bypass.entries };
    let mut bytes = serde_json::to_vec_pretty(&written)?;
    bytes.push(b'\n');
    // everybody may read that hooks don't run
    let rights = Rights { owner: None, mode: 0o644 };
    files::replace_durably(&files::temporary(&path), &path, &bytes, rights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::Driver;

    fn call(object: &str) -> Call {
        Call::new(Driver::Qemu, vec![object.into(), "prepare".into(), "begin".into(), "-".into()])
    }

    fn entry(guest: Option<&str>, until: Option<u64>) -> BypassEntry {
        let guest = guest.map(str::to_owned);
        BypassEntry { guest, until, boot: None, since: 0, user: None, reason: None }
    }

    #[test]
    fn it_holds_for_a_guest_or_for_all_and_until_its_time_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let mut trust = Trust::new(nix::unistd::geteuid().as_raw());
        assert!(load(&root, &mut trust).unwrap().is_off());
        let bypass = Bypass {
            entries: vec![
                entry(Some("a"), None),
                entry(Some("b"), Some(clock::unix_seconds() + 60)),
                entry(Some("c"), Some(clock::unix_seconds() - 1)),
            ],
        };
        keep(&root, &bypass).unwrap();
        let loaded = load(&root, &mut trust).unwrap();
        let is_under = |name: &str| loaded.of(&call(name)).is_some();
        assert!(is_under("a") && is_under("b") && !is_under("c") && !is_under("d"));
        keep(&root, &Bypass { entries: vec![entry(None, None)] }).unwrap();
        assert!(load(&root, &mut trust).unwrap().of(&call("d")).is_some());
        keep(&root, &Bypass::default()).unwrap();
        assert!(!path(&root).exists());
    }

    #[test]
    fn it_may_hold_for_one_boot_only() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let mut trust = Trust::new(nix::unistd::geteuid().as_raw());
        let of_boot =
            |name: &str, boot: String| BypassEntry { boot: Some(boot), ..entry(Some(name), None) };
        let entries = vec![
            of_boot("this", boot::id()),
            of_boot("another", "3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a901".to_owned()),
            of_boot("none", String::new()),
            entry(Some("for ever"), None),
        ];
        keep(&root, &Bypass { entries: entries.clone() }).unwrap();
        let loaded = load(&root, &mut trust).unwrap();
        assert_eq!(loaded.entries, [&entries[0], &entries[3]].map(Clone::clone));

        // 0.1.0 reads `until`, and not `boot`: for it, none of another boot may be on
        let text = fs::read_to_string(path(&root)).unwrap();
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        for entry in &file["entries"].as_array().unwrap()[..3] {
            assert_eq!(entry["until"], entry["since"], "{text}");
        }
        assert!(file["entries"][3]["until"].is_null() && file["entries"][3].get("boot").is_none());
    }

    #[test]
    fn a_file_that_is_none_switches_nothing_off() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let mut trust = Trust::new(nix::unistd::geteuid().as_raw());
        fs::write(path(&root), "{").unwrap();
        assert!(load(&root, &mut trust).unwrap_err().contains("is ignored"));
    }

    /// What is switched off by a file with this text.
    fn read(text: &str) -> Result<Bypass, String> {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::write(path(&root), text).unwrap();
        load(&root, &mut Trust::new(nix::unistd::geteuid().as_raw()))
    }

    fn one(text: &str) -> Result<Bypass, String> {
        read(&format!(r#"{{"format":1,"entries":[{text}]}}"#))
    }

    #[test]
    fn an_entry_says_whose_it_is() {
        let bypass = |guest| Ok(Bypass { entries: vec![entry(guest, None)] });
        for (text, guest) in [
            (r#"{"whose":"host"}"#, None),
            (r#"{"whose":{"guest":"web1"}}"#, Some("web1")),
            (r#"{"whose":{"guest":"web1"},"guest":"web1","until":null,"since":0}"#, Some("web1")),
            // 0.1.0's
            (r#"{"guest":null,"until":null,"since":0}"#, None),
            (r#"{"guest":"web1","until":null,"since":0}"#, Some("web1")),
        ] {
            assert_eq!(one(text), bypass(guest), "{text}");
        }
        assert_eq!(read(r#"{"entries":[{"guest":null,"since":0}]}"#), bypass(None), "0.1.0's");
        let written = serde_json::to_string(&entry(Some("web1"), None)).unwrap();
        assert_eq!(written, r#"{"whose":{"guest":"web1"},"guest":"web1","until":null,"since":0}"#);
        assert!(serde_json::to_string(&entry(None, None)).unwrap().contains(r#""whose":"host""#));
    }

    #[test]
    fn what_is_not_understood_switches_nothing_off() {
        for text in [
            "{}",
            r#"{"since":0}"#,
            r#"{"until":9999999999,"since":0}"#,
            r#"{"gest":"web1","since":0}"#,
            r#"{"guest":null,"event":"before_vm_start","since":0}"#,
            r#"{"guest":"web1","guest":null,"since":0}"#,
            r#"{"guest":"web1","untill":1,"since":0}"#,
            r#"{"whose":"host","boot":7,"since":0}"#,
            r#"{"whose":"host","boots":"3c8e1f52","since":0}"#,
            r#"{"whose":"hosts"}"#,
            r#"{"whose":"guest"}"#,
            r#"{"whose":null}"#,
            r#"{"whose":{}}"#,
            r#"{"whose":{"guest":null}}"#,
            r#"{"whose":{"driver":"lxc"}}"#,
            r#"{"whose":{"guest":"web1","event":"before_vm_start"}}"#,
            r#"{"whose":"host","guest":"web1"}"#,
            r#"{"whose":{"guest":"web1"},"guest":null}"#,
            r#"{"whose":"host","driver":"lxc"}"#,
            r#"{"whose":"host"},{"whose":{"network":"lan"}}"#,
        ] {
            let words = one(text).unwrap_err();
            assert!(words.contains("is ignored"), "{text}: {words}");
        }
        for text in [
            r#"{"format":1}"#,
            r#"{"entries":[{"whose":"host"}],"driver":"lxc"}"#,
            r#"{"format":1,"enrties":[]}"#,
            r#"[1,[{"whose":"host"}]]"#,
        ] {
            assert!(read(text).unwrap_err().contains("is ignored"), "{text}");
        }
        let words = read(r#"{"format":3,"entries":[{"whose":"host"}]}"#).unwrap_err();
        assert!(words.contains("is ignored: a newer hookmux wrote it"), "{words}");
        let words = read(&" ".repeat(2 << 20)).unwrap_err();
        assert!(words.contains("larger than"), "{words}");
    }
}
