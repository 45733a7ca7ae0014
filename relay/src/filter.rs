//! Which events are meant, in words: prefixes as in OpenNebula's subscriptions.

use crate::subject::{ROOT, token};

/// What all must hold.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    host: Option<String>,
    driver: Option<String>,
    operation: Option<String>,
    uuid: Option<String>,
    /// a beginning of a driver or operation that is no whole word: no subject of NATS can say it
    beginning: Option<String>,
}

impl Filter {
    /// From words: `qemu`, `qemu.started`, `qemu.st` (a beginning), `host=NAME`, a uuid, or a whole subject.
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
        let call = word.strip_suffix(".*").or(word.strip_suffix(".>")).unwrap_or(word);
        let parts: Vec<&str> = call.split(['.', '/']).collect();
        if parts.len() > 2 || call.is_empty() || call.contains(['*', '>', '=', ' ']) {
            return Err(format!(
                "`{word}` is none of: DRIVER, DRIVER.OPERATION, host=NAME, a uuid"
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

    /// Whether only the reader can say what is meant.
    pub(crate) fn has_beginning(&self) -> bool {
        self.beginning.is_some()
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
    use super::Filter;

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
