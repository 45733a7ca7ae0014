//! The patterns of `file_contexts`: the part of Perl's regular expressions that policies use. A pattern with
//! anything else is passed over.

/// How much a match may try: a pattern that needs more matches nothing.
const MAX_STEPS: u32 = 200_000;
/// How many repetitions of groups may be within each other: a path has fewer directories.
const MAX_DEPTH: u32 = 300;
/// The most repetitions that `{n,m}` may ask for.
const MAX_COUNT: u32 = 1_000;

/// A pattern that has to match all of a path.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    alternatives: Vec<Sequence>,
    /// What each match begins with.
    stem: Vec<u8>,
    is_plain: bool,
}

type Sequence = Vec<Piece>;

/// One thing and how often it may follow itself.
#[derive(Clone, Debug)]
struct Piece {
    what: What,
    min: u32,
    max: u32,
}

#[derive(Clone, Debug)]
enum What {
    Byte(u8),
    Any,
    Set { is_negated: bool, ranges: Vec<(u8, u8)> },
    Group(Vec<Sequence>),
}

impl What {
    /// Tells whether it matches a byte; a group never does so itself.
    fn has(&self, byte: u8) -> bool {
        match self {
            What::Byte(own) => *own == byte,
            What::Any => byte != b'\n',
            What::Set { is_negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *is_negated
            }
            What::Group(_) => false,
        }
    }
}

impl Pattern {
    /// Returns `None` for a pattern that isn't understood.
    pub(super) fn new(text: &str) -> Option<Pattern> {
        let mut parser = Parser { rest: text.as_bytes(), depth: 0 };
        let alternatives = parser.alternatives()?;
        if !parser.rest.is_empty() {
            return None;
        }
        let mut stem = Vec::new();
        let mut is_plain = false;
        if let [only] = alternatives.as_slice() {
            for piece in only {
                match piece {
                    Piece { what: What::Byte(byte), min: 1, max: 1 } => stem.push(*byte),
                    _ => break,
                }
            }
            is_plain = stem.len() == only.len();
        }
        Some(Pattern { alternatives, stem, is_plain })
    }

    /// Tells whether it stands for one path alone.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    pub(super) fn matches(&self, path: &[u8]) -> bool {
        if !path.starts_with(&self.stem) {
            return false;
        }
        let mut budget = Budget { steps: MAX_STEPS, depth: 0 };
        let is_end = &mut |rest: &[u8], _: &mut Budget| rest.is_empty();
        any(&self.alternatives, path, &mut budget, is_end)
    }
}

/// What a match may still try, and how many repetitions of groups it is in.
struct Budget {
    steps: u32,
    depth: u32,
}

/// What has to match after a piece.
type Then<'t> = &'t mut dyn FnMut(&[u8], &mut Budget) -> bool;

fn any(alternatives: &[Sequence], text: &[u8], budget: &mut Budget, then: Then<'_>) -> bool {
    alternatives.iter().any(|sequence| all(sequence, text, budget, then))
}

fn all(sequence: &[Piece], text: &[u8], budget: &mut Budget, then: Then<'_>) -> bool {
    if budget.steps == 0 {
        return false;
    }
    budget.steps -= 1;
    let Some((piece, later)) = sequence.split_first() else { return then(text, budget) };
    if let What::Group(inner) = &piece.what {
        return group(inner, piece.min, piece.max, text, budget, &mut |rest, budget| {
            all(later, rest, budget, then)
        });
    }
    let most = usize::try_from(piece.max).unwrap_or(usize::MAX);
    let least = usize::try_from(piece.min).unwrap_or(usize::MAX);
    let there = text.iter().take(most).take_while(|byte| piece.what.has(**byte)).count();
    // as many as possible first
    (least..=there).rev().any(|count| all(later, &text[count..], budget, then))
}

fn group(
    inner: &[Sequence],
    min: u32,
    max: u32,
    text: &[u8],
    budget: &mut Budget,
    then: Then<'_>,
) -> bool {
    if budget.depth == MAX_DEPTH {
        return false;
    }
    budget.depth += 1;
    let may_go_on = max > 0
        && any(inner, text, budget, &mut |rest, budget| {
            // a turn that takes nothing leads nowhere
            rest.len() < text.len()
                && group(inner, min.saturating_sub(1), max - 1, rest, budget, then)
        });
    let matches = may_go_on || (min == 0 && then(text, budget));
    budget.depth -= 1;
    matches
}

struct Parser<'t> {
    rest: &'t [u8],
    depth: u32,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn takes(&mut self, text: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(text);
        rest.map(|rest| self.rest = rest).is_some()
    }

    fn alternatives(&mut self) -> Option<Vec<Sequence>> {
        let mut alternatives = vec![self.sequence()?];
        while self.takes(b"|") {
            alternatives.push(self.sequence()?);
        }
        Some(alternatives)
    }

    fn sequence(&mut self) -> Option<Sequence> {
        let mut sequence = Vec::new();
        while let Some(first) = self.rest.first() {
            if matches!(first, b'|' | b')') {
                break;
            }
            let what = self.what()?;
            let (min, max) = self.count()?;
            // the two kinds that are slow or mean something else: `a*?`, `a*+`
            if matches!(self.rest.first(), Some(b'*' | b'+' | b'?')) && (min, max) != (1, 1) {
                return None;
            }
            sequence.push(Piece { what, min, max });
        }
        Some(sequence)
    }

    fn what(&mut self) -> Option<What> {
        match self.next()? {
            b'.' => Some(What::Any),
            b'[' => self.set(),
            b'(' => {
                let is_special = self.rest.starts_with(b"?") && !self.takes(b"?:");
                self.depth += 1;
                if is_special || self.depth > 32 {
                    return None;
                }
                let inner = self.alternatives()?;
                self.depth -= 1;
                self.takes(b")").then_some(What::Group(inner))
            }
            b'\\' => match self.next()? {
                b'd' => Some(What::Set { is_negated: false, ranges: vec![(b'0', b'9')] }),
                // \w, \b and the like
                other if other.is_ascii_alphanumeric() => None,
                other => Some(What::Byte(other)),
            },
            b'*' | b'+' | b'?' | b'{' | b'^' | b'$' => None,
            other => Some(What::Byte(other)),
        }
    }

    fn set(&mut self) -> Option<What> {
        let is_negated = self.takes(b"^");
        let mut ranges = Vec::new();
        loop {
            let low = match self.next()? {
                b']' if !ranges.is_empty() => break,
                b'[' if self.rest.starts_with(b":") => return None,
                b'\\' => self.escaped()?,
                other => other,
            };
            let goes_on = self.rest.len() > 1 && self.rest[0] == b'-' && self.rest[1] != b']';
            let high = if goes_on {
                self.next()?;
                match self.next()? {
                    b'\\' => self.escaped()?,
                    other => other,
                }
            } else {
                low
            };
            ranges.push((low, high));
        }
        Some(What::Set { is_negated, ranges })
    }

    fn escaped(&mut self) -> Option<u8> {
        self.next().filter(|byte| !byte.is_ascii_alphanumeric())
    }

    fn count(&mut self) -> Option<(u32, u32)> {
        if self.takes(b"*") {
            return Some((0, u32::MAX));
        }
        if self.takes(b"+") {
            return Some((1, u32::MAX));
        }
        if self.takes(b"?") {
            return Some((0, 1));
        }
        if !self.takes(b"{") {
            return Some((1, 1));
        }
        let end = self.rest.iter().position(|byte| *byte == b'}')?;
        let text = std::str::from_utf8(&self.rest[..end]).ok()?;
        self.rest = &self.rest[end + 1..];
        let (min, max) = match text.split_once(',') {
            None => (text.parse().ok()?, text.parse().ok()?),
            Some((min, "")) => (min.parse().ok()?, u32::MAX),
            Some((min, max)) => (min.parse().ok()?, max.parse().ok()?),
        };
        let is_sane = min <= max && min <= MAX_COUNT && (max == u32::MAX || max <= MAX_COUNT);
        is_sane.then_some((min, max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_policies_match_paths() {
        for (pattern, yes, no) in [
            ("/etc/libvirt/hooks(/.*)?", "/etc/libvirt/hooks", "/etc/libvirt/hooksx"),
            ("/etc/libvirt/hooks(/.*)?", "/etc/libvirt/hooks/qemu.d/a/b", "/etc/libvirt"),
            ("/etc/libvirt/[^/]*", "/etc/libvirt/qemu.conf", "/etc/libvirt/hooks/qemu"),
            ("/usr/(.*/)?sbin(/.*)?", "/usr/sbin/hookmux-qemu", "/usr/sbinx"),
            ("/usr/(.*/)?sbin(/.*)?", "/usr/local/sbin/x", "/usr/local/xsbin/x"),
            ("/home/[^/]+/.+", "/home/me/x", "/home/me/"),
            ("/dev/[shmxv]d[^/]*", "/dev/sda1", "/dev/zd"),
            ("/x/(a|bc|d?)y", "/x/bcy", "/x/cy"),
            ("/x/(a|bc|d?)y", "/x/y", "/x/ay/"),
            ("/usr/lib(64)?/x\\.so(\\.[0-9]+){0,2}", "/usr/lib64/x.so.1.22", "/usr/lib/x.so.1.2.3"),
            ("/a[]x]b[a-c-]", "/a]b-", "/aybd"),
            ("/p/\\d{2}", "/p/12", "/p/1"),
            ("/(?:one|two)", "/two", "/three"),
            ("/x/é", "/x/é", "/x/e"),
        ] {
            let known = Pattern::new(pattern);
            let matches = |path: &str| known.as_ref().is_some_and(|it| it.matches(path.as_bytes()));
            assert!(matches(yes), "{pattern} and {yes}");
            assert!(!matches(no), "{pattern} and {no}");
        }
    }

    #[test]
    fn plain_ones_stand_for_one_path() {
        for (pattern, is_plain) in
            [("/a/b\\.c", true), ("/a/b.c", false), ("/a/b(/.*)?", false), ("/a/b?", false)]
        {
            assert_eq!(Pattern::new(pattern).map(|it| it.is_plain()), Some(is_plain), "{pattern}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_pattern() {
        for pattern in [
            "/a(",
            "/a)",
            "/a[",
            "*",
            "/a**",
            "/a*?",
            "(?i)a",
            "/a\\w",
            "/a{2",
            "/a{3,2}",
            "[[:alpha:]]",
            "^/a",
            "/a{9999}",
        ] {
            assert!(Pattern::new(pattern).is_none(), "{pattern}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let path = format!("/{}", "a".repeat(4_000));
        for pattern in ["/(a*)*b", "/(a|aa)+b", "/.*.*.*.*b", "/((a?){50}){50}b"] {
            let known = Pattern::new(pattern);
            assert!(known.is_some_and(|it| !it.matches(path.as_bytes())), "{pattern}");
        }
    }
}
