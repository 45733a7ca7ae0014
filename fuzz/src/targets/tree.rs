//! What a call knows of a document: judged as a whole, and its parts where they stand.

use hookmux::for_tests::document::facts::DocumentFacts;
use hookmux::for_tests::libvirt::document::{self, Malformed};
use hookmux::for_tests::libvirt::{Document, metadata};

use super::{Checked, Target, must, same};
use crate::growth::Frame;
use crate::random::Random;
use crate::seeds::{self, Seed};
use crate::xml;

/// Documents up to this size are parsed without limits too.
const MAX_COMPARED_BYTES: usize = 8 * 1024;

pub struct Tree {
    seeds: Vec<Vec<u8>>,
}

impl Tree {
    pub fn new(all: &[Seed]) -> Tree {
        Tree { seeds: seeds::bytes(all, |seed| seed.has_extension("xml")) }
    }
}

impl Target for Tree {
    fn name(&self) -> &'static str {
        "tree"
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
        let facts = DocumentFacts::of(Document::Whole(input.to_vec()));
        let tree = match document::parse(input) {
            Ok(tree) => tree,
            Err(why) => {
                // the words go to people
                let words = why.to_string();
                let counts = facts.document.bytes().is_some();
                let is_over = matches!(why, Malformed::OverLimit(_));
                must(counts == is_over, "a document that isn't well-formed and counts", || {
                    words.clone()
                })?;
                if is_over {
                    let head = document::read_identity(input).unwrap_or_default();
                    same("a document over a limit has another head", &facts.identity, &head)?;
                }
                // the parser itself may take long
                let is_compared = input.len() <= MAX_COMPARED_BYTES;
                let text = std::str::from_utf8(input).ok();
                if let Some(text) = text.filter(|_| is_compared) {
                    let is_whole = roxmltree::Document::parse(text).is_ok();
                    must(is_over || !is_whole, "a document that is whole and refused", || {
                        words.clone()
                    })?;
                }
                return Ok(false);
            }
        };
        same("a document was changed", &facts.document.bytes(), &Some(input))?;
        same("the identity differs: facts, tree", &facts.identity, &document::identity(&tree))?;
        let metadata = match metadata::read(&tree) {
            Ok(metadata) => metadata,
            Err(_) => {
                let is_unread = matches!(facts.document, Document::NotRead { .. });
                must(is_unread, "a document over a limit that is read", String::new)?;
                return Ok(false);
            }
        };
        same("the metadata differs: facts, tree", &facts.metadata, &metadata)?;
        let mut end = 0;
        for (index, device) in facts.metadata.devices.iter().enumerate() {
            let place = facts.device_place(index).cloned().unwrap_or_default();
            let xml = input.get(place).unwrap_or_default();
            let text = String::from_utf8_lossy(xml);
            let name = text.trim_start_matches('<').split([' ', '\t', '\r', '\n', '/', '>']).next();
            let name = name.unwrap_or_default();
            let name = name.rsplit(':').next().unwrap_or_default();
            let is_one = text.starts_with('<') && text.ends_with('>') && name == device.kind;
            must(is_one, "a device's XML that isn't its element", || {
                format!("{device:?}\n{text}")
            })?;
            must(device.range.start >= end, "devices that overlap", || format!("{device:?}"))?;
            end = device.range.end;
        }
        Ok(true)
    }
}
