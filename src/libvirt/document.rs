//! The document that libvirt writes to a hook's standard input.

use std::fmt;

use quick_xml::Reader;
use quick_xml::events::Event;

/// The largest document that is taken, in bytes. libvirt's own limit for one string in its
/// protocol is 4 MiB (`REMOTE_STRING_MAX`).
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What libvirt sent. Broken ones count as absent, but a hook that needs one is told why.
#[derive(Clone, Debug)]
pub enum Document {
    /// Nothing came: a daemon's call, bhyve before libvirt 11, a terminal.
    Absent,
    /// Something came that may not be handed on.
    Broken(String),
    /// Well-formed XML, as libvirt wrote it.
    Whole(Vec<u8>),
}

impl Document {
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Document::Whole(bytes) => Some(bytes),
            Document::Absent | Document::Broken(_) => None,
        }
    }
}

/// What a document is about: no hook may change it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `domain`, or `hookData` for networks.
    pub root: String,
    pub name: Option<String>,
    pub uuid: Option<String>,
}

impl Identity {
    /// The uuid where it has a uuid's form, in lower case: safe as part of a file name.
    pub fn plain_uuid(&self) -> Option<String> {
        let uuid = self.uuid.as_deref()?.trim();
        let is_plain = uuid.len() == 36 && uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        is_plain.then(|| uuid.to_ascii_lowercase())
    }
}

/// Reads no further than the uuid: a fifth of the cost of a whole parse at 20 KiB, and enough for
/// a call without hooks. Says nothing of what follows.
pub fn head(bytes: &[u8]) -> Option<Identity> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut reader = Reader::from_str(text);
    let mut identity = Identity::default();
    let mut path: Vec<String> = Vec::with_capacity(4);
    let mut content = String::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                if path.is_empty() {
                    identity.root = start.name().as_ref().to_owned();
                }
                path.push(start.name().as_ref().to_owned());
                content.clear();
            }
            Event::Text(text) => content.push_str(&text.xml10_content()),
            Event::CData(data) => content.push_str(&data.xml10_content()),
            Event::GeneralRef(reference) => content.push_str(&resolve(&reference)?),
            Event::End(_) => {
                let about = &path[usize::from(is_hook_data(&path))..];
                if let [_, field] = about {
                    match field.as_str() {
                        "name" => identity.name = Some(content.clone()),
                        "uuid" => {
                            identity.uuid = Some(content.clone());
                            return Some(identity);
                        }
                        _ => {}
                    }
                }
                path.pop();
                if path.is_empty() {
                    return Some(identity);
                }
            }
            Event::DocType(_) | Event::Eof => return None,
            Event::Empty(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
}

fn is_hook_data(path: &[String]) -> bool {
    path.first().is_some_and(|root| root == "hookData")
        && path.get(1).is_some_and(|object| object == "network")
}

fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    if let Some(character) = reference.resolve_char_ref().ok()? {
        return Some(character.to_string());
    }
    let name = reference.xml10_content();
    quick_xml::escape::resolve_xml_entity(&name).map(str::to_owned)
}

/// Why bytes are no document.
#[derive(Debug)]
pub enum Malformed {
    NotUtf8,
    DocumentType,
    Syntax(String),
    TooLarge,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::NotUtf8 => f.write_str("it is not UTF-8"),
            Malformed::DocumentType => {
                f.write_str("it has a document type declaration, which is never read")
            }
            Malformed::Syntax(error) => write!(f, "it is not well-formed XML: {error}"),
            Malformed::TooLarge => write!(f, "it is larger than {} MiB", MAX_BYTES >> 20),
        }
    }
}

/// Parses a whole document; the one judgement of well-formedness that hookmux has.
pub fn parse(bytes: &[u8]) -> Result<roxmltree::Document<'_>, Malformed> {
    if bytes.len() > MAX_BYTES {
        return Err(Malformed::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
    roxmltree::Document::parse(text).map_err(|error| match error {
        roxmltree::Error::DtdDetected => Malformed::DocumentType,
        other => Malformed::Syntax(other.to_string()),
    })
}

/// The element that carries name, uuid and metadata: the root, or the network in `<hookData>`.
pub fn object<'a, 'input>(tree: &'a roxmltree::Document<'input>) -> roxmltree::Node<'a, 'input> {
    let root = tree.root_element();
    if root.has_tag_name("hookData") {
        root.children().find(|child| child.has_tag_name("network")).unwrap_or(root)
    } else {
        root
    }
}

/// The identity of a parsed document.
pub fn identity(tree: &roxmltree::Document<'_>) -> Identity {
    let object = object(tree);
    let field =
        |name| object.children().find(|child| child.has_tag_name(name)).map(|node| text(&node));
    Identity {
        root: tree.root_element().tag_name().name().to_owned(),
        name: field("name"),
        uuid: field("uuid"),
    }
}

/// All text directly below an element.
pub fn text(node: &roxmltree::Node<'_, '_>) -> String {
    node.children().filter_map(|child| if child.is_text() { child.text() } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: &[u8] = b"<hookData>\n <network connections='1'>\n <name>n&lt;1</name><uuid>AB6d96af-7654-4672-8b0a-0cfef5ca9d75</uuid>\
        </network><networkport><uuid>x</uuid></networkport></hookData>";

    #[test]
    fn head_and_tree_see_the_same_identity() {
        for bytes in [
            &b"<domain type='kvm'><name>a &amp; b&#x21;</name><uuid>91126ceb-8184-4a0b-b79f-0f3d17ecc836</uuid></domain>"[..],
            b"<!-- c --><domain><title>t</title><name>--help</name></domain>",
            b"<domain/>",
            NETWORK,
        ] {
            let tree = parse(bytes).unwrap();
            let expected = identity(&tree);
            if bytes != b"<domain/>" {
                assert_eq!(head(bytes), Some(expected), "{}", String::from_utf8_lossy(bytes));
            }
        }
        let network = head(NETWORK).unwrap();
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
            let identity = Identity { uuid: Some(uuid.to_owned()), ..Identity::default() };
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
        let deep = "<a>".repeat(200_000) + &"</a>".repeat(200_000);
        assert!(parse(deep.as_bytes()).is_ok(), "depth is no reason to fall over");
    }
}
