//! What a document may have to be read: a first look in one pass, before a tree is built.
//!
//! libvirt takes and hands on whatever a guest's `<metadata>` holds (up to 4 MiB of it,
//! `REMOTE_STRING_MAX`), and what a tree costs grows with the square or the cube of some of it. A
//! document over a limit is handed on as it is, and never read.

use std::fmt;

use super::xml::{Flaw, Piece, Pieces};

/// Attributes of one element, namespaces not counted.
pub(crate) const MAX_ATTRIBUTES: usize = 256;
/// Namespaces that hold at one place.
pub(crate) const MAX_NAMESPACES_IN_SCOPE: usize = 64;
/// Declarations of namespaces in a whole document.
pub(crate) const MAX_NAMESPACES: usize = 1000;
/// Elements inside of each other.
pub(crate) const MAX_DEPTH: usize = 256;
/// Devices of a guest.
pub(crate) const MAX_DEVICES: usize = 10_000;
/// Custom properties, those of guest and devices together.
pub(crate) const MAX_PROPERTIES: usize = 10_000;
/// Names that the parser compares with each other, counted as it does: a few nanoseconds for each.
/// A document of 4 MiB as libvirt writes them has a hundredth of it.
const MAX_COMPARISONS: usize = 32_000_000;
/// Bytes of a namespace's name that are compared in the time of one comparison.
const BYTES_PER_COMPARISON: usize = 32;

/// A limit that a document is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Attributes,
    NamespacesInScope,
    Namespaces,
    Depth,
    Devices,
    Properties,
    Comparisons,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Attributes => write!(f, "an element has more than {MAX_ATTRIBUTES} attributes"),
            Limit::NamespacesInScope => {
                write!(
                    f,
                    "an element is in the scope of more than {MAX_NAMESPACES_IN_SCOPE} namespaces"
                )
            }
            Limit::Namespaces => {
                write!(f, "it has more than {MAX_NAMESPACES} declarations of namespaces")
            }
            Limit::Depth => write!(f, "its elements are nested more than {MAX_DEPTH} deep"),
            Limit::Devices => write!(f, "it has more than {MAX_DEVICES} devices"),
            Limit::Properties => write!(f, "it has more than {MAX_PROPERTIES} custom properties"),
            Limit::Comparisons => {
                f.write_str("its attributes and namespaces are too many to be compared")
            }
        }
    }
}

/// What the first look at a document finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Within all limits as far as it is XML: a parser may read it.
    Within,
    /// Over a limit; whole, as far as that can be told without a tree.
    Over(Limit),
    /// Over a limit, and not XML from here on, in bytes.
    Cut(usize),
}

/// Looks at a whole document once.
pub(crate) fn look(text: &str) -> Look {
    let mut survey = Survey::default();
    let mut pieces = Pieces::new(text);
    let flaw = loop {
        let at = pieces.at();
        match pieces.next() {
            None if survey.is_complete() => break None,
            None => break Some(at),
            Some(Err(Flaw(at))) => break Some(at),
            Some(Ok(piece)) => {
                if !survey.take(piece) {
                    break Some(at);
                }
            }
        }
    };
    match (survey.over, flaw) {
        (None, _) => Look::Within,
        (Some(limit), None) => Look::Over(limit),
        (Some(_), Some(at)) => Look::Cut(at),
    }
}

/// An element that is open.
struct Open<'a> {
    name: &'a str,
    /// Without its prefix: found once, for a name may be long and its children many.
    local: &'a str,
}

#[derive(Default)]
struct Survey<'a> {
    /// The elements that are open.
    path: Vec<Open<'a>>,
    has_root: bool,
    /// The first limit that was met.
    over: Option<Limit>,
    /// Prefixes of the namespaces in scope, with the depth of the element that declares them.
    scope: Vec<(&'a str, usize)>,
    namespaces: usize,
    /// The longest name of a namespace so far, in bytes.
    longest_namespace: usize,
    devices: usize,
    properties: usize,
    comparisons: usize,
}

impl<'a> Survey<'a> {
    fn is_complete(&self) -> bool {
        self.has_root && self.path.is_empty()
    }

    /// Takes a piece; `false` where no document may have it there.
    fn take(&mut self, piece: Piece<'a>) -> bool {
        match piece {
            Piece::Start { name, attributes, is_empty } => {
                if self.path.is_empty() && self.has_root {
                    return false;
                }
                self.has_root = true;
                if self.over.is_none() {
                    self.count(name);
                    self.count_attributes(attributes);
                }
                if is_empty {
                    self.leave_scope();
                } else {
                    self.path.push(Open { name, local: local(name) });
                }
                true
            }
            Piece::End { name } => {
                let is_its_end = self.path.pop().is_some_and(|open| open.name == name);
                self.leave_scope();
                is_its_end
            }
            Piece::Text(text) => {
                !self.path.is_empty() || text.bytes().all(|byte| byte.is_ascii_whitespace())
            }
            Piece::CData(_) => !self.path.is_empty(),
            Piece::Other => true,
            Piece::DocumentType => false,
        }
    }

    fn check(&mut self, count: usize, most: usize, limit: Limit) {
        if count > most && self.over.is_none() {
            self.over = Some(limit);
        }
    }

    /// Counts an element below the open ones.
    fn count(&mut self, name: &str) {
        self.check(self.path.len() + 1, MAX_DEPTH, Limit::Depth);
        let parent = self.path.last().map(|parent| parent.local).unwrap_or_default();
        let object = usize::from(self.path.first().is_some_and(|root| root.name == "hookData"));
        if parent == "devices" && self.path.len() == object + 2 {
            self.devices += 1;
            self.check(self.devices, MAX_DEVICES, Limit::Devices);
        }
        if parent == "custom" || (parent == "properties" && local(name) == "property") {
            self.properties += 1;
            self.check(self.properties, MAX_PROPERTIES, Limit::Properties);
        }
    }

    fn count_attributes(&mut self, attributes: super::xml::Attributes<'a>) {
        let depth = self.path.len();
        let mut count = 0;
        for (name, value) in attributes {
            let prefix = match name.strip_prefix("xmlns") {
                Some("") => "",
                Some(rest) if rest.starts_with(':') => &rest[1..],
                _ => {
                    count += 1;
                    self.comparisons += if name.contains(':') { self.scope.len() } else { 0 };
                    self.check(count, MAX_ATTRIBUTES, Limit::Attributes);
                    continue;
                }
            };
            self.namespaces += 1;
            self.longest_namespace = self.longest_namespace.max(value.len());
            self.check(self.namespaces, MAX_NAMESPACES, Limit::Namespaces);
            if self.over.is_none() && !self.scope.iter().any(|(known, _)| *known == prefix) {
                self.scope.push((prefix, depth));
                self.check(self.scope.len(), MAX_NAMESPACES_IN_SCOPE, Limit::NamespacesInScope);
            }
            if self.over.is_some() {
                return;
            }
        }
        // each attribute with all before it, name and namespace; each prefix with all in scope
        let pairs = count * count / 2;
        let cost_of_pair = 1 + self.longest_namespace / BYTES_PER_COMPARISON;
        self.comparisons += pairs.saturating_mul(cost_of_pair).saturating_add(self.scope.len());
        self.check(self.comparisons, MAX_COMPARISONS, Limit::Comparisons);
    }

    /// Forgets the namespaces of the element that has just ended, which was below the open ones.
    fn leave_scope(&mut self) {
        let depth = self.path.len();
        while self.scope.last().is_some_and(|(_, declared)| *declared >= depth) {
            self.scope.pop();
        }
    }
}

/// A name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(count: usize) -> String {
        (0..count).map(|n| format!(" a{n}='x'")).collect()
    }

    fn namespaces(count: usize) -> String {
        (0..count).map(|n| format!(" xmlns:n{n}='u{n}'")).collect()
    }

    #[test]
    fn every_limit_is_where_it_is_said_to_be() {
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        let devices = |count: usize| {
            format!("<domain><devices>{}</devices></domain>", "<disk/>".repeat(count))
        };
        let own = |count: usize| {
            format!("<d><properties>{}</properties></d>", "<h:property/>".repeat(count))
        };
        let vdsm = |count: usize| format!("<d><o:custom>{}</o:custom></d>", "<x/>".repeat(count));
        let children = |count: usize| format!("<d>{}</d>", "<x xmlns:a='u'/>".repeat(count));
        for (within, over, limit) in [
            (
                format!("<a{}/>", attributes(256)),
                format!("<a{}/>", attributes(257)),
                Limit::Attributes,
            ),
            (
                format!("<a{}><b xmlns:n1='x'/></a>", namespaces(64)),
                format!("<a{}><b xmlns:other='x'/></a>", namespaces(64)),
                Limit::NamespacesInScope,
            ),
            (children(1000), children(1001), Limit::Namespaces),
            (nested(256), nested(257), Limit::Depth),
            (devices(10_000), devices(10_001), Limit::Devices),
            (own(10_000), own(10_001), Limit::Properties),
            (vdsm(10_000), vdsm(10_001), Limit::Properties),
        ] {
            assert_eq!(look(&within), Look::Within, "{limit}");
            assert_eq!(look(&over), Look::Over(limit), "{limit}");
            // what is cut off is not whole, whatever it is over
            assert_ne!(look(&over[..over.len() - 2]), Look::Over(limit), "{limit}");
            assert!(matches!(look(&format!("{over}<x/>")), Look::Cut(_)), "{limit}");
            assert!(matches!(look(&format!("{over}text")), Look::Cut(_)), "{limit}");
        }
    }

    #[test]
    fn a_namespace_counts_as_long_as_its_element_is_open() {
        let sisters: String =
            (0..100).map(|n| format!("<x xmlns:n{n}='u'><y xmlns:m='v'/></x>")).collect();
        assert_eq!(look(&format!("<d>{sisters}</d>")), Look::Within);
    }

    #[test]
    fn attributes_are_not_compared_for_ever() {
        let long = "u".repeat(100_000);
        let one: String = (0..200).map(|n| format!(" n:a{n}=''")).collect();
        let many = format!("<d xmlns:n='{long}'>{}</d>", format!("<x{one}/>").repeat(10));
        assert_eq!(look(&many), Look::Over(Limit::Comparisons));
    }
}
