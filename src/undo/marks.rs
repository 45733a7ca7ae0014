//! Marks in an owner's directory: what a call has to tell although it couldn't take the owner's lock, and what
//! later calls and the worker have to know of a life. A mark is an empty file with its time in its name: it is
//! made without a lock, and whoever has dealt with it removes this one, not a later one.

use crate::machine::{boot, clock};

/// What a mark tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkKind {
    /// A call has ended after which `prepare` may come: the wait for it counts from here.
    Arrived,
    /// A life has begun: what was provisional is its own, and what an earlier one owes waits for its end.
    Begun,
    /// A life is over.
    Ended,
    /// The same, and the worker takes back what it owes.
    Due,
}

const KINDS: [(MarkKind, &str); 4] = [
    (MarkKind::Arrived, "arrived."),
    (MarkKind::Begun, "begun."),
    (MarkKind::Ended, "ended."),
    (MarkKind::Due, "due."),
];

/// How much of the boot's id is in a name.
const BOOT_BYTES: usize = 8;

/// A mark with its time, in nanoseconds of its boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    kind: MarkKind,
    at_ns: i64,
    /// The beginning of the boot's id.
    boot: String,
}

fn this_boot() -> String {
    boot::id().chars().filter(char::is_ascii_alphanumeric).take(BOOT_BYTES).collect()
}

impl Mark {
    pub(super) fn now(kind: MarkKind) -> Mark {
        Mark { kind, at_ns: clock::boottime_ns(), boot: this_boot() }
    }

    /// Reads a file name.
    pub(super) fn parse(name: &str) -> Option<Mark> {
        KINDS.iter().find_map(|(kind, prefix)| {
            let (digits, boot) = name.strip_prefix(prefix)?.split_once('.')?;
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let is_word = boot.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let at_ns = digits.parse().ok().filter(|_| is_number && is_word)?;
            Some(Mark { kind: *kind, at_ns, boot: boot.to_owned() })
        })
    }

    pub(super) fn kind(&self) -> MarkKind {
        self.kind
    }

    pub(super) fn file(&self) -> String {
        let prefix = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |row| row.1);
        format!("{prefix}{}.{}", self.at_ns, self.boot)
    }
}

/// The marks of one owner that were made in this boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    pub(super) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Marks {
        let (now_ns, boot) = (clock::boottime_ns(), this_boot());
        let is_of_now = |mark: &Mark| mark.at_ns <= now_ns && mark.boot == boot;
        Marks(names.filter_map(Mark::parse).filter(is_of_now).collect())
    }

    /// Returns the time of the last mark of a kind.
    pub(super) fn last_ns(&self, kind: MarkKind) -> Option<i64> {
        self.0.iter().filter(|mark| mark.kind == kind).map(|mark| mark.at_ns).max()
    }

    /// Tells whether a life has begun that isn't over.
    pub(super) fn is_alive(&self) -> bool {
        let [begun, ended, due] =
            [MarkKind::Begun, MarkKind::Ended, MarkKind::Due].map(|kind| self.last_ns(kind));
        begun.is_some() && begun > ended.max(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_its_name() {
        for kind in KINDS.map(|row| row.0) {
            let mark = Mark::now(kind);
            assert_eq!(Mark::parse(&mark.file()), Some(mark));
        }
        for other in [
            "begun.1",
            "begun..x",
            "begun.-1.x",
            "begun.+1.x",
            "begun.1.x.json",
            "last-call",
            "due",
            "",
        ] {
            assert_eq!(Mark::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_life_goes_on_until_it_is_marked_as_over() {
        let is_alive = |names: &[&str]| {
            let names: Vec<String> =
                names.iter().map(|name| format!("{name}.{}", this_boot())).collect();
            Marks::of(names.iter().map(String::as_str)).is_alive()
        };
        assert!(!is_alive(&[]) && is_alive(&["begun.5"]) && is_alive(&["due.4", "begun.5"]));
        for over in [["begun.5", "ended.6"], ["due.6", "begun.5"], ["arrived.7", "ended.1"]] {
            assert!(!is_alive(&over), "{over:?}");
        }
        assert!(!is_alive(&["begun.9223372036854775807"]), "that time hasn't come");
        assert_eq!(Marks::of(["begun.5.other"].into_iter()), Marks::default());
    }
}
