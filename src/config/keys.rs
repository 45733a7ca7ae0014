//! Every key of the settings and of a registration: one row each.
//!
//! A new key needs a row here, a field in its fragment, its use, and a row in the documentation. Tests
//! check that all of them name the same keys. The rows of a registration give its schema, the values of
//! the options of `add`, and the order of keys in the output of `list` and `add`.

use std::fmt;

use super::choice::{CallStyle, FailurePolicy, Mode, ResultKind, StdinKind};

/// A version of hookmux that is released, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HookmuxVersion(u32, u32, u32);

impl fmt::Display for HookmuxVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

const V0_1_0: HookmuxVersion = HookmuxVersion(0, 1, 0);
const V0_2_0: HookmuxVersion = HookmuxVersion(0, 2, 0);

/// All versions, the oldest first; the last one is the version of this program.
pub(crate) const VERSIONS: [HookmuxVersion; 2] = [V0_1_0, V0_2_0];

impl HookmuxVersion {
    /// Reads one of [`VERSIONS`].
    ///
    /// # Errors
    /// There is no such version; the message lists the known ones.
    pub(crate) fn parse(word: &str) -> Result<HookmuxVersion, String> {
        let is_it = |version: &HookmuxVersion| version.to_string() == word;
        VERSIONS.into_iter().find(is_it).ok_or_else(|| {
            let known: Vec<String> = VERSIONS.iter().map(HookmuxVersion::to_string).collect();
            format!("there is no version `{word}`; known are {}", known.join(", "))
        })
    }
}

/// A key. The name of a key below another one is both names with a dot between them; `*` stands for
/// any name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub name: &'static str,
    /// The first version that has it.
    pub since: HookmuxVersion,
    /// What it is for, shown by editors and in the man pages.
    pub help: &'static str,
    /// All possible values, where these are a few words.
    pub words: &'static [&'static str],
}

const fn key(name: &'static str, since: HookmuxVersion) -> Key {
    Key { name, since, help: "", words: &[] }
}

impl Key {
    const fn help(self, help: &'static str) -> Key {
        Key { help, ..self }
    }

    const fn words(self, words: &'static [&'static str]) -> Key {
        Key { words, ..self }
    }
}

/// The keys of `hookmux.yaml`.
#[rustfmt::skip]
pub(crate) const SETTINGS: &[Key] = &[
    key("session", V0_1_0).help("whether hooks run where the daemon isn't root's (qemu:///session); adopted scripts and the per-guest tree always do. Default: false"),
    key("state_dir", V0_1_0).help("the directory for what outlives a boot: records, the queue, last good copies. Default: /var/lib/hookmux"),
    key("runtime_dir", V0_1_0).help("the directory for what a boot ends: the state of running guests, documents, locks. Default: /run/hookmux"),
    key("roots", V0_1_0).help("further directories with event directories and hooks.d, highest first. Default: [/run/hookmux/hooks, /usr/lib/hookmux/hooks]"),
    key("vdsm_hooks", V0_1_0).help("whether /usr/libexec/vdsm/hooks is one more root, the lowest. Default: false"),
    key("tree", V0_2_0).help("the name of the per-guest tree, in which $DRIVER is filled in. Default: $DRIVER.d"),
    key("save_dir", V0_1_0).help("where libvirt keeps managed saves. Default: /var/lib/libvirt/qemu/save"),
    key("timeout", V0_1_0).help("the time limit of one script, as 30s, 2m or 1h 30m, or in seconds; 0 is none but the total. Default: 120s"),
    key("total_timeout", V0_1_0).help("the time limit of a whole call. Default: 300s"),
    key("kill_leftovers", V0_1_0).help("whether what a script leaves running is ended with it. Default: false"),
    key("trust", V0_1_0).help("refuse, or warn: run scripts that others may write to, and warn. Default: refuse"),
    key("environment", V0_1_0).help("variables for every script but adopted ones and the per-guest tree, as NAME: value"),
    key("environment_file", V0_1_0).help("a file with more of them, one NAME=value on a line"),
    key("custom_properties", V0_1_0).help("the custom properties that hooks get under their bare names too: a list, or a map from names to allowed values"),
    // as a map from names to values
    key("custom_properties.*", V0_2_0).help("the allowed values of a custom property: patterns with | between them"),
    key("max_parallel", V0_1_0).help("how many detached hooks run at once, at least 1. Default: 10"),
    key("queue", V0_2_0).help("the limits of the queue"),
    key("queue.jobs", V0_2_0).help("how many detached hooks may wait. Default: 10000"),
    key("queue.size", V0_2_0).help("how much the queue takes on disk. Default: 256 MiB"),
    key("record", V0_1_0).help("of which calls records are kept: hooks (those for which a hook was considered), all or none. Default: hooks"),
    key("retention", V0_1_0).help("how long records are kept; failures four times longer"),
    key("retention.per_hook", V0_1_0).help("how many records of one hook. Default: 200"),
    key("retention.age", V0_1_0).help("how long. Default: 30days"),
    key("retention.size", V0_1_0).help("how much all of them take. Default: 512 MiB"),
    key("retention.per_guest", V0_2_0).help("how much those of one guest take. Default: 128 MiB"),
    key("outbox", V0_2_0).help("whether each execution is also an event for other hosts, which hookmux-relay sends. Default: false"),
    key("outbox_max", V0_2_0).help("the limits of the outbox; the oldest events go first"),
    key("outbox_max.events", V0_2_0).help("how many events may wait. Default: 100000"),
    key("outbox_max.size", V0_2_0).help("how much they take on disk. Default: 64 MiB"),
];

/// The keys of a registration, in the order of the documentation.
#[rustfmt::skip]
pub(crate) const REGISTRATION: &[Key] = &[
    key("events", V0_1_0).help("the events at which it runs"),
    key("calls", V0_1_0).help("the calls of libvirt's at which it runs, as driver/operation/sub-operation"),
    key("command", V0_1_0).help("what is run"),
    key("args", V0_1_0).help("more arguments, in which $NAME $UUID $EVENT $OPERATION $REASON $HOST $XML_BASE64 are filled in; $$ is a dollar"),
    key("args_stdin", V0_1_0).help("whether `args` go to standard input, a line each"),
    key("weight", V0_1_0).help("its turn at an event: lower first"),
    key("check", V0_1_0).help("a program run before: where it fails, the hook is skipped"),
    key("rollback", V0_1_0).help("a program run where a later hook makes the call fail"),
    key("undo", V0_2_0).help("a program that takes back what the hook set up, at the end of its guest, network or port"),
    key("shared", V0_2_0).help("whether guests share what it sets up: it runs for the first, `undo` for the last"),
    key("when", V0_1_0).help("conditions, all of which must hold"),
    key("when.driver", V0_1_0).help("patterns of the driver"),
    key("when.name", V0_1_0).help("patterns of the guest's or network's name; one that begins with ! must not match"),
    key("when.uuid", V0_1_0).help("patterns of the uuid"),
    key("when.title", V0_1_0).help("patterns of the guest's title"),
    key("when.reason", V0_1_0).help("patterns of the reason of a release (libvirt 10.5)"),
    key("when.origin", V0_1_0).help("how the guest was started: fresh, restore or migration"),
    key("when.network", V0_1_0).help("patterns of the networks that the guest is connected to"),
    key("when.property", V0_1_0).help("custom properties, each with patterns of its value"),
    key("timeout", V0_1_0).help("its time limit, as 30s, 2m or 1h 30m, or in seconds; 0 is none"),
    key("on_failure", V0_1_0).help("what its failure means").words(&FailurePolicy::WORDS),
    key("result", V0_2_0).help("how its programs say whether they succeeded: by their exit status alone, or by `1` or `0 MESSAGE` on their last line too").words(&ResultKind::WORDS),
    key("run_as", V0_1_0).help("whose rights it has"),
    key("run_as.user", V0_1_0).help("the user, by name or number"),
    key("run_as.group", V0_1_0).help("the group, by name or number"),
    key("style", V0_1_0).help("how it is called").words(&CallStyle::WORDS),
    key("stdin", V0_1_0).help("what it reads: nothing, the document, or the event").words(&StdinKind::WORDS),
    key("mode", V0_1_0).help("whether libvirt waits for it").words(&Mode::WORDS),
    key("retries", V0_1_0).help("how often a detached hook is tried again"),
    key("max_parallel", V0_1_0).help("how many of it may run side by side"),
    key("enabled", V0_1_0).help("whether it runs at all"),
    key("parallel", V0_1_0).help("whether it runs together with neighbours of its weight"),
    key("lock", V0_1_0).help("a name; hooks with one lock never run side by side"),
    key("filter", V0_1_0).help("whether it may change the document"),
    key("kill_leftovers", V0_1_0).help("whether what it leaves running is ended"),
    key("limits", V0_1_0).help("resource limits, as of setrlimit(2)"),
    key("limits.nofile", V0_1_0).help("open files"),
    key("limits.as", V0_1_0).help("address space, in bytes or as 512 MiB"),
    key("limits.cpu", V0_1_0).help("processor time, in seconds"),
    key("limits.nproc", V0_1_0).help("processes of the user"),
    key("nice", V0_1_0).help("its nice value"),
    key("environment", V0_1_0).help("variables of its own"),
    key("environment_file", V0_1_0).help("a file with more of them"),
    key("remote", V0_1_0).help("whether it runs for events of other hosts, and never for calls of this one"),
];

/// Returns the names of the top-level keys of a table, in its order.
pub(crate) fn top_level(table: &'static [Key]) -> impl Iterator<Item = &'static str> {
    table.iter().map(|key| key.name).filter(|name| !name.contains('.'))
}

/// Returns the names of the keys directly below a key, without its own name.
pub(crate) fn below(table: &'static [Key], above: &str) -> impl Iterator<Item = &'static str> {
    table.iter().filter_map(move |key| key.name.strip_prefix(above)?.strip_prefix('.'))
}

/// Returns the row of a key; `path` is for example `limits.nofile`.
pub(crate) fn find<'t>(table: &'t [Key], path: &str) -> Option<&'t Key> {
    let any = path.rsplit_once('.').map(|(above, _)| format!("{above}.*"));
    let is_it = |key: &&Key| key.name == path || any.as_deref() == Some(key.name);
    table.iter().find(is_it)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::yaml;

    /// The keys that a type has, as serde tells them in its complaint about one that it hasn't.
    pub(crate) fn of<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
        let complaint = yaml::unchecked::<T>("'': 1").unwrap_err();
        assert!(complaint.contains("unknown field ``"), "{complaint}");
        complaint.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    /// Each key of a type has a row, and each row a key; in one order.
    #[track_caller]
    pub(crate) fn assert_complete<T: serde::de::DeserializeOwned + std::fmt::Debug>(
        table: &'static [Key],
        above: Option<&str>,
    ) {
        let rows: Vec<&str> = match above {
            None => top_level(table).collect(),
            Some(above) => below(table, above).collect(),
        };
        assert_eq!(rows, of::<T>(), "a row for each key of {above:?}");
    }

    #[test]
    fn versions_are_told_apart() {
        assert_eq!(HookmuxVersion::parse("0.1.0"), Ok(V0_1_0));
        assert_eq!(VERSIONS.last().unwrap().to_string(), env!("CARGO_PKG_VERSION"));
        assert!(VERSIONS.is_sorted());
        for word in ["", "0.1", "v0.1.0", "9.9.9", "0.1.0 "] {
            let words = HookmuxVersion::parse(word).unwrap_err();
            assert!(words.contains("known are 0.1.0, 0.2.0"), "{words}");
        }
    }

    #[test]
    fn a_key_has_one_row() {
        for table in [SETTINGS, REGISTRATION] {
            for (index, key) in table.iter().enumerate() {
                assert!(table[..index].iter().all(|other| other.name != key.name), "{key:?}");
                let above = key.name.rsplit_once('.').map(|(above, _)| above);
                let is_above = |other: &Key| Some(other.name) == above;
                assert!(above.is_none() || table[..index].iter().any(is_above), "{key:?}");
                assert_eq!(find(table, key.name), Some(key));
            }
        }
        let any = [key("a", V0_1_0), key("a.*", V0_2_0)];
        assert_eq!(find(&any, "a.b").unwrap().since, V0_2_0);
        assert_eq!(find(&any, "b.a"), None);
    }

    /// The rows of the documentation's table behind a line, cell by cell.
    fn rows<'t>(text: &'t str, behind: &str) -> Vec<Vec<&'t str>> {
        let (_, rest) = text.split_once(behind).unwrap_or_else(|| panic!("no {behind}"));
        let lines = rest.lines().skip_while(|line| !line.starts_with("|---"));
        let table = lines.skip(1).take_while(|line| line.starts_with('|'));
        table.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
    }

    /// The words between backquotes.
    fn quoted(cell: &str) -> Vec<&str> {
        cell.split('`').skip(1).step_by(2).collect()
    }

    const REGISTRATION_KEYS: &str = include_str!("../../docs/registration-keys.md");

    #[test]
    fn the_documentation_has_a_row_for_each_key_of_a_registration() {
        let table = rows(REGISTRATION_KEYS, "\n| key | type | default | meaning |\n");
        let documented: Vec<&str> = table.iter().map(|row| quoted(row[0])[0]).collect();
        assert_eq!(documented, top_level(REGISTRATION).collect::<Vec<_>>());
        for row in &table {
            let key = find(REGISTRATION, quoted(row[0])[0]).unwrap();
            if !key.words.is_empty() {
                assert_eq!(quoted(row[1]), key.words, "{}", key.name);
            }
        }
        let meaning = |name: &str| table.iter().find(|row| quoted(row[0])[0] == name).unwrap()[3];
        let limits: Vec<&str> = below(REGISTRATION, "limits").collect();
        assert_eq!(quoted(meaning("limits")), limits);
        let conditions = rows(REGISTRATION_KEYS, "\n| condition | is compared with |\n");
        let mut conditions: Vec<&str> = conditions.iter().map(|row| quoted(row[0])[0]).collect();
        let mut known: Vec<&str> = below(REGISTRATION, "when").collect();
        conditions.sort_unstable();
        known.sort_unstable();
        assert_eq!(conditions, known);
    }

    #[test]
    fn the_documentation_has_a_row_for_each_setting() {
        let table = rows(include_str!("../../docs/settings.md"), "\n| key | default | |\n");
        let mut documented: Vec<&str> = table.iter().map(|row| quoted(row[0])[0]).collect();
        let mut known: Vec<&str> = top_level(SETTINGS).collect();
        documented.sort_unstable();
        known.sort_unstable();
        assert_eq!(documented, known);
    }

    #[test]
    fn the_schema_can_describe_each_key_of_a_registration() {
        for key in REGISTRATION.iter().filter(|key| !key.name.contains('.')) {
            assert!(!key.help.is_empty(), "{}", key.name);
        }
        let words = crate::config::template::WORDS.map(|word| format!("${word}")).join(" ");
        assert!(find(REGISTRATION, "args").unwrap().help.contains(&words), "{words}");
    }
}
