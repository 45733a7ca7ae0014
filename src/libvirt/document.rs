//! The document that libvirt writes to a hook's standard input.

use std::fmt;

use super::limits::{self, DocumentLimit, LimitCheck};
use super::xml::{self, Piece, Pieces};
use crate::machine::truncate;

/// The largest document that hookmux accepts. libvirt's own limit for one string in its protocol is 4 MiB
/// (`REMOTE_STRING_MAX`).
pub(crate) const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// The root element of a network's document: it contains the network, and a port or lease.
const HOOK_DATA: &str = "hookData";
/// The longest part of a parser's message that is shown: it quotes names of any length.
const MAX_MESSAGE_BYTES: usize = 300;

/// What libvirt sent. A broken document counts as absent, but a hook that needs one gets the reason.
#[derive(Clone, Debug)]
pub enum Document {
    /// Nothing was sent: a call of the daemon driver, bhyve before libvirt 11, a terminal.
    Absent,
    /// Something was sent that must not be passed on.
    Broken(String),
    /// Well-formed XML, as libvirt wrote it.
    Whole(Vec<u8>),
    /// Whole, but over a limit (`why` names it): passed on as it is, and read only as far as name and
    /// uuid.
    NotRead { bytes: Vec<u8>, why: String },
}

impl Document {
    /// Returns the document where it can be passed on.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Document::Whole(bytes) | Document::NotRead { bytes, .. } => Some(bytes),
            Document::Absent | Document::Broken(_) => None,
        }
    }

    /// Returns why the content is unknown; `None` where it is known, and where nothing was sent.
    pub fn why_not_read(&self) -> Option<&str> {
        match self {
            Document::Broken(why) | Document::NotRead { why, .. } => Some(why),
            Document::Absent | Document::Whole(_) => None,
        }
    }
}

/// The object that a document describes: no hook may change it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentIdentity {
    /// `domain`, or `hookData` for networks.
    pub root: String,
    pub name: Option<String>,
    pub uuid: Option<String>,
}

impl DocumentIdentity {
    /// Returns the uuid, in lower case, where it has the form of a uuid: safe as part of a file name.
    pub fn plain_uuid(&self) -> Option<String> {
        let uuid = self.uuid.as_deref()?.trim();
        let is_plain = uuid.len() == 36 && uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        is_plain.then(|| uuid.to_ascii_lowercase())
    }
}

/// Reads a document only as far as name and uuid: a fifth of the cost of a whole parse at 20 KiB, and enough
/// for a call without hooks. The rest may be malformed.
///
/// This is the only definition of a document's identity, whether a tree is built from it or not. As libvirt
/// reads them (`string(./name[1])`), name and uuid are the first child of that name, without a prefix,
/// with all text inside it.
pub fn read_identity(bytes: &[u8]) -> Option<DocumentIdentity> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut reader = IdentityReader::default();
    for piece in Pieces::new(text) {
        match piece.ok()? {
            Piece::Start { name, is_empty, .. } => {
                reader.begin(name);
                if is_empty && reader.end()? {
                    return Some(reader.identity);
                }
            }
            Piece::End { .. } => {
                if reader.end()? {
                    return Some(reader.identity);
                }
            }
            Piece::Text(text) => reader.add(|| xml::unescape(text)),
            Piece::CData(text) => reader.add(|| Some(xml::normalize_line_ends(text).into_owned())),
            Piece::Other => {}
            Piece::DocumentType => return None,
        }
    }
    None
}

/// Reads a document's identity piece by piece.
#[derive(Default)]
struct IdentityReader {
    identity: DocumentIdentity,
    /// How many elements are open.
    open: usize,
    /// The depth of the object's children, once the object has begun.
    object: Option<usize>,
    field: Option<Field>,
}

/// The name or the uuid, while it is read.
struct Field {
    is_uuid: bool,
    /// The depth of the element.
    open: usize,
    /// `None` after a reference that isn't valid.
    text: Option<String>,
}

impl IdentityReader {
    fn begin(&mut self, name: &str) {
        if self.open == 0 {
            name.clone_into(&mut self.identity.root);
            self.object = (name != HOOK_DATA).then_some(1);
        } else if self.open == 1 && self.object.is_none() && name == "network" {
            self.object = Some(2);
        } else if self.field.is_none() && self.object == Some(self.open) {
            let is_uuid = name == "uuid";
            let is_wanted = match name {
                "name" => self.identity.name.is_none(),
                "uuid" => self.identity.uuid.is_none(),
                _ => false,
            };
            if is_wanted {
                self.field = Some(Field { is_uuid, open: self.open, text: Some(String::new()) });
            }
        }
        self.open += 1;
    }

    fn add(&mut self, more: impl Fn() -> Option<String>) {
        let Some(field) = &mut self.field else { return };
        match (&mut field.text, more()) {
            (Some(text), Some(more)) => text.push_str(&more),
            (text, _) => *text = None,
        }
    }

    /// Ends an element; returns whether all is known now. `None` where no element is open.
    fn end(&mut self) -> Option<bool> {
        self.open = self.open.checked_sub(1)?;
        if let Some(field) = self.field.take_if(|field| field.open == self.open) {
            let identity = &mut self.identity;
            let place = if field.is_uuid { &mut identity.uuid } else { &mut identity.name };
            *place = field.text;
        }
        let is_known = self.identity.name.is_some() && self.identity.uuid.is_some();
        let is_object_over = self.object.is_some_and(|object| self.open < object);
        Some(is_known || is_object_over || self.open == 0)
    }
}

/// Why bytes are not a document.
#[derive(Debug)]
pub enum Malformed {
    NotUtf8,
    DocumentType,
    Syntax(String),
    TooLarge,
    /// Whole, but over a limit.
    OverLimit(DocumentLimit),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::NotUtf8 => f.write_str("it is not UTF-8"),
            Malformed::DocumentType => {
                f.write_str("it has a document type declaration, which is never read")
            }
            Malformed::Syntax(error) => write!(f, "it is not well-formed XML: {error}"),
            Malformed::TooLarge => write!(f, "it is larger than {} MiB", MAX_DOCUMENT_BYTES >> 20),
            Malformed::OverLimit(limit) => write!(f, "{limit}: hookmux doesn't read it"),
        }
    }
}

/// Parses a whole document: the only test for well-formed XML in hookmux. Limits are checked before a tree is
/// built.
pub fn parse(bytes: &[u8]) -> Result<roxmltree::Document<'_>, Malformed> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(Malformed::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
    match limits::check_limits(text) {
        LimitCheck::Within => {}
        LimitCheck::Over(limit) => return Err(Malformed::OverLimit(limit)),
        LimitCheck::Malformed(at) => {
            return Err(Malformed::Syntax(format!("an error at {}", line_and_column(text, at))));
        }
    }
    roxmltree::Document::parse(text).map_err(|error| match error {
        roxmltree::Error::DtdDetected => Malformed::DocumentType,
        other => Malformed::Syntax(shortened(other.to_string())),
    })
}

/// Returns line and column, from 1.
fn line_and_column(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}")
}

/// Shortens a long message to its beginning and its end: line and column stand at the end.
fn shortened(words: String) -> String {
    if words.len() <= MAX_MESSAGE_BYTES {
        return words;
    }
    let half = MAX_MESSAGE_BYTES / 2;
    format!("{}…{}", truncate::keep_start(&words, half), truncate::keep_end(&words, half))
}

/// Returns the element with name, uuid and metadata: the root, or the first network in `<hookData>`.
pub fn object<'a, 'input>(tree: &'a roxmltree::Document<'input>) -> roxmltree::Node<'a, 'input> {
    let root = tree.root_element();
    if is_called(&root, HOOK_DATA) {
        root.children().find(|child| is_called(child, "network")).unwrap_or(root)
    } else {
        root
    }
}

/// Returns the elements of a guest's devices, in the document's order.
pub(crate) fn devices<'a, 'input: 'a>(
    tree: &'a roxmltree::Document<'input>,
) -> impl Iterator<Item = roxmltree::Node<'a, 'input>> {
    object(tree)
        .children()
        .filter(|child| child.has_tag_name("devices"))
        .flat_map(|devices| devices.children())
        .filter(roxmltree::Node::is_element)
}

/// Tells whether an element has this name without a prefix. The tree keeps no prefixes.
fn is_called(node: &roxmltree::Node<'_, '_>, name: &str) -> bool {
    let end = node.range().start + 1 + name.len();
    node.has_tag_name(name) && node.document().input_text().as_bytes().get(end) != Some(&b':')
}

/// Returns the identity of a parsed document.
pub fn identity(tree: &roxmltree::Document<'_>) -> DocumentIdentity {
    read_identity(tree.input_text().as_bytes()).unwrap_or_default()
}

/// Returns all text directly below an element.
pub fn text(node: &roxmltree::Node<'_, '_>) -> String {
    node.children().filter_map(|child| if child.is_text() { child.text() } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &[u8] = b"<hookData>\n <network connections='1'>\n <name>n&lt;1</name><uuid>AB6d96af-7654-4672-8b0a-0cfef5ca9d75</uuid>\
        </network><networkport><uuid>x</uuid></networkport></hookData>";

    #[test]
    fn name_and_uuid_are_what_libvirt_takes_them_for() {
        let identity = |name: &str, uuid: &str| Some((name.to_owned(), uuid.to_owned()));
        for (text, expected) in [
            (
                "<domain><name>a &amp; b&#x21;</name><uuid>u</uuid></domain>",
                identity("a & b!", "u"),
            ),
            (
                "<!-- c --><domain><title>t</title><name>--help</name><uuid>u</uuid></domain>",
                identity("--help", "u"),
            ),
            ("<domain><uuid>u</uuid><name>n</name></domain>", identity("n", "u")),
            (
                "<domain><name>n</name><uuid>a<x>b</x><!-- c -->d<![CDATA[<e]]></uuid></domain>",
                identity("n", "abd<e"),
            ),
            (
                "<domain><name>n</name><name>m</name><uuid>u</uuid><uuid>v</uuid></domain>",
                identity("n", "u"),
            ),
            (
                "<domain xmlns:x='y'><x:name>m</x:name><name>n</name><x:uuid>v</x:uuid><uuid>u</uuid></domain>",
                identity("n", "u"),
            ),
            (
                "<domain><a><name>m</name><uuid>v</uuid></a><name>n</name><uuid>u</uuid></domain>",
                identity("n", "u"),
            ),
            ("<domain><name>n</name><uuid/></domain>", identity("n", "")),
            ("<domain><name>a\r\nb\rc</name><uuid>u</uuid></domain>", identity("a\nb\nc", "u")),
            (
                "<hookData><network><name>n</name><uuid>u</uuid></network><network><name>m</name></network></hookData>",
                identity("n", "u"),
            ),
            (
                "<hookData><name>m</name><network><x><name>m</name></x><name>n</name><uuid>u</uuid></network></hookData>",
                identity("n", "u"),
            ),
        ] {
            let tree = parse(text.as_bytes()).unwrap();
            let found = super::identity(&tree);
            assert_eq!(found.name.clone().zip(found.uuid.clone()), expected, "{text}");
            assert_eq!(read_identity(text.as_bytes()), Some(found), "{text}");
        }
        assert_eq!(read_identity(b"<domain/>").unwrap().root, "domain");
        assert_eq!(read_identity(b"<domain><name>n</name>"), None);
        let network = read_identity(NETWORK).unwrap();
        assert_eq!(network.name.as_deref(), Some("n<1"));
        assert_eq!(network.plain_uuid().as_deref(), Some("ab6d96af-7654-4672-8b0a-0cfef5ca9d75"));
    }

    #[test]
    fn a_uuid_that_is_none_never_becomes_a_file_name() {
        for uuid in [
            "../../../../../../../../../../etc/xxxx",
            "",
            "91126ceb",
            "91126ceb-8184-4a0b-b79f-0f3d17ecc83/",
        ] {
            let identity =
                DocumentIdentity { uuid: Some(uuid.to_owned()), ..DocumentIdentity::default() };
            assert_eq!(identity.plain_uuid(), None, "{uuid}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_said() {
        for (bytes, word) in [
            (&b"<domain><name>x</domain>"[..], "well-formed"),
            (b"<domain>", "well-formed"),
            (b"<domain/>trailing", "well-formed"),
            (b"<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>", "document type"),
            (b"<domain>\xff</domain>", "UTF-8"),
            (b"<domain>&bogus;</domain>", "well-formed"),
        ] {
            let error = parse(bytes).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        for (text, place) in [("x".repeat(1 << 20), "1:"), ("ä".repeat(1 << 20), "1:")] {
            let error = parse(format!("<d></{text}>").as_bytes()).unwrap_err().to_string();
            assert!(error.len() < 400 && error.contains(place), "{error}");
        }
    }

    #[test]
    fn depth_is_no_reason_to_fall_over() {
        let deep = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(parse(deep(256).as_bytes()).is_ok());
        let error = parse(deep(200_000).as_bytes()).unwrap_err();
        assert!(matches!(error, Malformed::OverLimit(DocumentLimit::Depth)), "{error}");
    }
}
