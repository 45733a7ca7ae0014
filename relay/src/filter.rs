//! Which events are meant, in words: prefixes as in OpenNebula's subscriptions.

use crate::subject::{ROOT, token};
use serde_json::Value;

/// What all must hold.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    host: Option<String>,
    driver: Option<String>,
    operation: Option<String>,
    uuid: Option<String>,
    /// a beginning of a driver or operation that is no whole word: no subject of NATS can say it
    beginning: Option<String>,
    /// the beginning of one of hookmux's events: it stands in the event alone
    event: Option<String>,
}

impl Filter {
    /// From words: `qemu`, `qemu.started`, `qemu.st` (a beginning), `after_vm_` (one of hookmux's events), `host=NAME`,
    /// a uuid.
    pub(crate) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut filter = Self::default();
        for word in words {
            filter.word(word)?;
        }
        Ok(filter)
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if let Some(host) = word.strip_prefix("host=") {
            return set(&mut self.host, host, word);
        }
        if let Some(uuid) = word.strip_prefix("uuid=") {
            return if is_uuid(uuid) {
                set(&mut self.uuid, &uuid.to_lowercase(), word)
            } else {
                Err(format!("{uuid} is no uuid"))
            };
        }
        if is_uuid(word) {
            return set(&mut self.uuid, &word.to_lowercase(), word);
        }
        if ["before_", "after_", "on_"].iter().any(|begin| word.starts_with(begin)) {
            return set(&mut self.event, word, word);
        }
        let call = word.strip_suffix(".*").or(word.strip_suffix(".>")).unwrap_or(word);
        let parts: Vec<&str> = call.split(['.', '/']).collect();
        if parts.len() > 2 || call.is_empty() || call.contains(['*', '>', '=', ' ']) {
            return Err(format!(
                "`{word}` is none of: DRIVER, DRIVER.OPERATION, an event such as after_vm_start, host=NAME, a uuid"
            ));
        }
        if self.driver.is_some() || self.beginning.is_some() {
            return Err(format!("`{word}` is a second driver or operation: give one"));
        }
        let driver = parts[0];
        if !DRIVERS.contains(&driver) {
            if parts.len() == 2 || !DRIVERS.iter().any(|known| known.starts_with(driver)) {
                return Err(format!(
                    "`{driver}` is no driver: {} are, host=NAME means a host",
                    DRIVERS.join(", ")
                ));
            }
            self.beginning = Some(driver.to_owned());
            return Ok(());
        }
        self.driver = Some(driver.to_owned());
        match parts.get(1) {
            None | Some(&"") => {}
            Some(operation) if OPERATIONS.contains(operation) => {
                self.operation = Some((*operation).to_owned())
            }
            Some(operation) => self.beginning = Some(format!("{driver}.{operation}")),
        }
        Ok(())
    }

    /// The one subject of NATS that holds all that is meant.
    pub(crate) fn subject(&self) -> String {
        let part = |part: &Option<String>| part.as_deref().map_or_else(|| "*".to_owned(), token);
        if self.host.is_none()
            && self.driver.is_none()
            && self.operation.is_none()
            && self.uuid.is_none()
        {
            return format!("{ROOT}.>");
        }
        format!(
            "{ROOT}.{}.{}.{}.{}",
            part(&self.host),
            part(&self.driver),
            part(&self.operation),
            part(&self.uuid)
        )
    }

    /// What the subject couldn't say.
    pub(crate) fn takes(&self, driver: &str, operation: &str) -> bool {
        self.beginning
            .as_ref()
            .is_none_or(|beginning| format!("{driver}.{operation}").starts_with(beginning))
    }

    /// The same, of which of hookmux's events fired.
    pub(crate) fn takes_events(&self, events: &Value) -> bool {
        let Some(event) = &self.event else { return true };
        let fired = events.as_array().map(Vec::as_slice).unwrap_or_default();
        fired.iter().filter_map(Value::as_str).any(|fired| fired.starts_with(event.as_str()))
    }

    /// Whether only the reader can say what is meant.
    pub(crate) fn is_for_readers(&self) -> bool {
        self.beginning.is_some() || self.event.is_some()
    }
}

fn set(place: &mut Option<String>, value: &str, word: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err(format!("`{word}` names nothing"));
    }
    if place.replace(value.to_owned()).is_some() {
        return Err(format!("`{word}` is the second of its kind: give one"));
    }
    Ok(())
}

fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.char_indices().all(|(at, c)| {
            if matches!(at, 8 | 13 | 18 | 23) { c == '-' } else { c.is_ascii_hexdigit() }
        })
}

const DRIVERS: [&str; 6] = ["bhyve", "daemon", "libxl", "lxc", "network", "qemu"];

/// Whether a text matches a pattern: `*` is any text, `?` any one character.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // where the last star was, and how much of the text it takes
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Operations that libvirt is known to call; any other is taken as a beginning.
const OPERATIONS: [&str; 18] = [
    "attach",
    "gap",
    "heartbeat",
    "migrate",
    "plugged",
    "port-created",
    "port-deleted",
    "prepare",
    "reconnect",
    "release",
    "reload",
    "restore",
    "shutdown",
    "start",
    "started",
    "stopped",
    "unplugged",
    "updated",
];

#[cfg(test)]
mod tests {
    use super::{Filter, matches};

    #[test]
    fn words_become_one_subject() {
        let uuid = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0";
        let table = [
            (vec![], "hookmux.v1.>"),
            (vec!["qemu"], "hookmux.v1.*.qemu.*.*"),
            (vec!["qemu.started"], "hookmux.v1.*.qemu.started.*"),
            (vec!["qemu/started"], "hookmux.v1.*.qemu.started.*"),
            (vec!["host=node-1.example.org"], "hookmux.v1.node-1%2Eexample%2Eorg.*.*.*"),
            (vec![uuid], "hookmux.v1.*.*.*.4dea22b3-1d52-d8f3-2516-782e98ab3fa0"),
            (
                vec!["qemu.started", "host=a", uuid],
                "hookmux.v1.a.qemu.started.4dea22b3-1d52-d8f3-2516-782e98ab3fa0",
            ),
            (vec!["qemu.st"], "hookmux.v1.*.qemu.*.*"),
            (vec!["qe"], "hookmux.v1.>"),
        ];
        for (words, subject) in table {
            let filter = Filter::parse(words.iter().copied());
            assert_eq!(filter.map(|filter| filter.subject()).as_deref(), Ok(subject), "{words:?}");
        }
    }

    #[test]
    fn a_beginning_is_compared_by_the_reader() {
        let table = [
            ("qemu.st", "started", true),
            ("qemu.st", "release", false),
            ("qemu.started", "started", true),
            ("qe", "release", true),
        ];
        for (word, operation, taken) in table {
            let filter = Filter::parse([word]).unwrap_or_default();
            assert_eq!(filter.takes("qemu", operation), taken, "{word} {operation}");
        }
    }

    #[test]
    fn events_are_compared_by_the_reader() {
        let filter = Filter::parse(["after_vm_", "qemu"]).unwrap_or_default();
        assert_eq!(filter.subject(), "hookmux.v1.*.qemu.*.*");
        assert!(filter.is_for_readers());
        assert!(filter.takes_events(&serde_json::json!(["before_x", "after_vm_launch"])));
        assert!(!filter.takes_events(&serde_json::json!(["after_network_start"])));
        assert!(!filter.takes_events(&serde_json::Value::Null));
    }

    #[test]
    fn patterns() {
        for (pattern, text, is) in [
            ("web-*", "web-1", true),
            ("web", "web-1", false),
            ("*", "", true),
            ("w?b", "web", true),
            ("*-1", "web-1-1", true),
            ("a*b*c", "aXbXb", false),
            ("", "", true),
            ("", "a", false),
            ("**a", "a", true),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for words in [
            vec!["a b"],
            vec!["host="],
            vec!["qemu", "lxc"],
            vec!["host=a", "host=b"],
            vec!["kvm.started"],
            vec!["qemu.*.x"],
            vec![">"],
            vec!["node-1"],
        ] {
            assert!(Filter::parse(words.iter().copied()).is_err(), "{words:?}");
        }
    }
}
