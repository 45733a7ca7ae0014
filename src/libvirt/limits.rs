//! Limits of a document that is read: checked in one pass, before a tree is built.
//!
//! libvirt accepts and passes on whatever a guest's `<metadata>` holds (up to 4 MiB of it,
//! `REMOTE_STRING_MAX`), and the cost of a tree grows with the square or the cube of some counts. A
//! document over a limit is passed on as it is, and never read.

use std::fmt;

use super::xml::{Piece, Pieces, SyntaxError};

/// Attributes of one element, namespaces not counted.
pub(crate) const MAX_ATTRIBUTES: usize = 256;
/// Namespaces in scope at one place.
pub(crate) const MAX_NAMESPACES_IN_SCOPE: usize = 64;
/// Namespace declarations in a whole document.
pub(crate) const MAX_NAMESPACES: usize = 1000;
/// Nested elements.
pub(crate) const MAX_DEPTH: usize = 256;
/// Devices of a guest.
pub(crate) const MAX_DEVICES: usize = 10_000;
/// Custom properties of guest and devices together.
pub(crate) const MAX_PROPERTIES: usize = 10_000;
/// Names that the parser compares with each other, counted in the same way: a few nanoseconds each. A document
/// of 4 MiB, as libvirt writes them, has a hundredth of that.
const MAX_COMPARISONS: usize = 32_000_000;
/// How many bytes of a namespace's name the parser compares in the time of one comparison.
const BYTES_PER_COMPARISON: usize = 32;

/// A limit that a document exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentLimit {
    Attributes,
    NamespacesInScope,
    Namespaces,
    Depth,
    Devices,
    Properties,
    Comparisons,
}

impl fmt::Display for DocumentLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentLimit::Attributes => {
                write!(f, "an element has more than {MAX_ATTRIBUTES} attributes")
            }
            DocumentLimit::NamespacesInScope => {
                write!(
                    f,
                    "an element is in the scope of more than {MAX_NAMESPACES_IN_SCOPE} namespaces"
                )
            }
            DocumentLimit::Namespaces => {
                write!(f, "it has more than {MAX_NAMESPACES} declarations of namespaces")
            }
            DocumentLimit::Depth => write!(f, "its elements are nested more than {MAX_DEPTH} deep"),
            DocumentLimit::Devices => write!(f, "it has more than {MAX_DEVICES} devices"),
            DocumentLimit::Properties => {
                write!(f, "it has more than {MAX_PROPERTIES} custom properties")
            }
            DocumentLimit::Comparisons => {
                f.write_str("its attributes and namespaces are too many to be compared")
            }
        }
    }
}

/// The result of the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitCheck {
    /// Within all limits, as far as it is XML: a parser may read it.
    Within,
    /// Over a limit, and complete as far as that can be found without a tree.
    Over(DocumentLimit),
    /// Over a limit, and not XML from this byte on.
    Malformed(usize),
}

/// Checks a whole document in one pass.
pub(crate) fn check_limits(text: &str) -> LimitCheck {
    let mut counter = LimitCounter::default();
    let mut pieces = Pieces::new(text);
    let error = loop {
        let at = pieces.at();
        match pieces.next() {
            None if counter.is_complete() => break None,
            None => break Some(at),
            Some(Err(SyntaxError(at))) => break Some(at),
            Some(Ok(piece)) => {
                if !counter.take(piece) {
                    break Some(at);
                }
            }
        }
    };
    match (counter.over, error) {
        (None, _) => LimitCheck::Within,
        (Some(limit), None) => LimitCheck::Over(limit),
        (Some(_), Some(at)) => LimitCheck::Malformed(at),
    }
}

/// An element that is open.
struct OpenElement<'a> {
    name: &'a str,
    /// Without its prefix. Kept, since a name may be long and have many children.
    local: &'a str,
}

#[derive(Default)]
struct LimitCounter<'a> {
    /// The open elements.
    path: Vec<OpenElement<'a>>,
    has_root: bool,
    /// The first limit that was exceeded.
    over: Option<DocumentLimit>,
    /// Prefixes of the namespaces in scope, with the depth of the element that declares them.
    scope: Vec<(&'a str, usize)>,
    namespaces: usize,
    /// The longest name of a namespace so far, in bytes.
    longest_namespace: usize,
    devices: usize,
    properties: usize,
    comparisons: usize,
}

impl<'a> LimitCounter<'a> {
    fn is_complete(&self) -> bool {
        self.has_root && self.path.is_empty()
    }

    /// Counts a piece; returns `false` where a document can't have it in this place.
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
                    self.path.push(OpenElement { name, local: local(name) });
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

    fn check(&mut self, count: usize, most: usize, limit: DocumentLimit) {
        if count > most && self.over.is_none() {
            self.over = Some(limit);
        }
    }

    /// Counts an element below the open ones.
    fn count(&mut self, name: &str) {
        self.check(self.path.len() + 1, MAX_DEPTH, DocumentLimit::Depth);
        let parent = self.path.last().map(|parent| parent.local).unwrap_or_default();
        let object = usize::from(self.path.first().is_some_and(|root| root.name == "hookData"));
        if parent == "devices" && self.path.len() == object + 2 {
            self.devices += 1;
            self.check(self.devices, MAX_DEVICES, DocumentLimit::Devices);
        }
        if parent == "custom" || (parent == "properties" && local(name) == "property") {
            self.properties += 1;
            self.check(self.properties, MAX_PROPERTIES, DocumentLimit::Properties);
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
                    self.check(count, MAX_ATTRIBUTES, DocumentLimit::Attributes);
                    continue;
                }
            };
            self.namespaces += 1;
            self.longest_namespace = self.longest_namespace.max(value.len());
            self.check(self.namespaces, MAX_NAMESPACES, DocumentLimit::Namespaces);
            if self.over.is_none() && !self.scope.iter().any(|(known, _)| *known == prefix) {
                self.scope.push((prefix, depth));
                self.check(
                    self.scope.len(),
                    MAX_NAMESPACES_IN_SCOPE,
                    DocumentLimit::NamespacesInScope,
                );
            }
            if self.over.is_some() {
                return;
            }
        }
        // each attribute with all before it, name and namespace; each prefix with all in scope
        let pairs = count * count / 2;
        let cost_of_pair = 1 + self.longest_namespace / BYTES_PER_COMPARISON;
        self.comparisons += pairs.saturating_mul(cost_of_pair).saturating_add(self.scope.len());
        self.check(self.comparisons, MAX_COMPARISONS, DocumentLimit::Comparisons);
    }

    /// Removes the namespaces of the element that has just ended, which was below the open ones.
    fn leave_scope(&mut self) {
        let depth = self.path.len();
        while self.scope.last().is_some_and(|(_, declared)| *declared >= depth) {
            self.scope.pop();
        }
    }
}

/// Returns a name without its prefix.
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
                DocumentLimit::Attributes,
            ),
            (
                format!("<a{}><b xmlns:n1='x'/></a>", namespaces(64)),
                format!("<a{}><b xmlns:other='x'/></a>", namespaces(64)),
                DocumentLimit::NamespacesInScope,
            ),
            (children(1000), children(1001), DocumentLimit::Namespaces),
            (nested(256), nested(257), DocumentLimit::Depth),
            (devices(10_000), devices(10_001), DocumentLimit::Devices),
            (own(10_000), own(10_001), DocumentLimit::Properties),
            (vdsm(10_000), vdsm(10_001), DocumentLimit::Properties),
        ] {
            assert_eq!(check_limits(&within), LimitCheck::Within, "{limit}");
            assert_eq!(check_limits(&over), LimitCheck::Over(limit), "{limit}");
            // what is cut off is not whole, whatever it is over
            assert_ne!(check_limits(&over[..over.len() - 2]), LimitCheck::Over(limit), "{limit}");
            assert!(
                matches!(check_limits(&format!("{over}<x/>")), LimitCheck::Malformed(_)),
                "{limit}"
            );
            assert!(
                matches!(check_limits(&format!("{over}text")), LimitCheck::Malformed(_)),
                "{limit}"
            );
        }
    }

    #[test]
    fn a_namespace_counts_as_long_as_its_element_is_open() {
        let sisters: String =
            (0..100).map(|n| format!("<x xmlns:n{n}='u'><y xmlns:m='v'/></x>")).collect();
        assert_eq!(check_limits(&format!("<d>{sisters}</d>")), LimitCheck::Within);
    }

    #[test]
    fn attributes_are_not_compared_for_ever() {
        let long = "u".repeat(100_000);
        let one: String = (0..200).map(|n| format!(" n:a{n}=''")).collect();
        let many = format!("<d xmlns:n='{long}'>{}</d>", format!("<x{one}/>").repeat(10));
        assert_eq!(check_limits(&many), LimitCheck::Over(DocumentLimit::Comparisons));
    }
}
