//! The head of a document against its tree: a call without hooks and one with hooks must mean the
//! same guest.

use hookmux::for_tests::libvirt::document;
use roxmltree::{Document, Node};

use super::{Checked, Target, must, same};
use crate::growth::Frame;
use crate::random::Random;
use crate::seeds::{self, Seed};
use crate::xml;

pub struct Head {
    seeds: Vec<Vec<u8>>,
}

impl Head {
    pub fn new(all: &[Seed]) -> Head {
        Head { seeds: seeds::bytes(all, |seed| seed.has_extension("xml")) }
    }
}

impl Target for Head {
    fn name(&self) -> &'static str {
        "head"
    }

    fn words(&self) -> &'static [&'static str] {
        xml::WORDS
    }

    fn frames(&self) -> &'static [Frame] {
        xml::FRAMES
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        xml::any(random, &self.seeds)
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let head = document::read_identity(input);
        let uuid = head.as_ref().and_then(document::DocumentIdentity::plain_uuid);
        if let Some(uuid) = &uuid {
            let is_plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
            let holds = uuid.len() == 36 && uuid.bytes().all(is_plain);
            must(holds, "a uuid that is none", || uuid.clone())?;
        }
        // what follows name and uuid means nothing, as long as it is text
        let cut = &input[..input.len() - input.len() / 4];
        let is_text = std::str::from_utf8(input).is_ok();
        let of_cut = document::read_identity(cut)
            .filter(|of_cut| is_text && of_cut.uuid.is_some() && of_cut.name.is_some());
        if let Some(of_cut) = of_cut {
            same("a head that depends on what follows it", &Some(of_cut), &head)?;
        }
        let Ok(tree) = document::parse(input) else { return Ok(false) };
        let Some(head) = head else {
            return must(false, "a document with a tree and no head", String::new).map(|()| true);
        };
        same("the identity differs: head, hookmux's tree", &head, &document::identity(&tree))?;
        same("the root differs: head, tree", &head.root.as_str(), &name(&tree.root_element()))?;
        let object = object(&tree);
        let field = |wanted: &str| {
            let field = object.and_then(|object| children(object, wanted).next());
            field.map(|field| {
                let texts = field.descendants().filter(Node::is_text);
                texts.filter_map(|node| node.text()).collect::<String>()
            })
        };
        let (name, uuid) = (field("name"), field("uuid"));
        // where the parser takes a reference to no character for one
        let is_odd =
            |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains('\u{fffd}'));
        if !is_odd(&name) && !is_odd(&uuid) {
            // and where it leaves the end of a line as it is, before a reference
            let plain = |text: Option<String>| text.map(|text| text.replace('\r', "\n"));
            same("the name differs: head, tree", &plain(head.name), &plain(name))?;
            same("the uuid differs: head, tree", &plain(head.uuid), &plain(uuid))?;
        }
        Ok(true)
    }
}

/// The element that has name and uuid: the root, or the first network of a network's call.
fn object<'a, 'b>(tree: &'a Document<'b>) -> Option<Node<'a, 'b>> {
    let root = tree.root_element();
    if name(&root) == "hookData" { children(root, "network").next() } else { Some(root) }
}

/// The children of a name.
fn children<'a, 'b>(node: Node<'a, 'b>, wanted: &str) -> impl Iterator<Item = Node<'a, 'b>> {
    node.children().filter(move |child| child.is_element() && name(child) == wanted)
}

/// An element's name as it is written, with its prefix: the tree keeps none.
fn name<'a>(node: &Node<'a, '_>) -> &'a str {
    let text = node.document().input_text().get(node.range().start + 1..).unwrap_or_default();
    text.split([' ', '\t', '\r', '\n', '/', '>']).next().unwrap_or_default()
}
