//! The head of a document against its tree: a call without hooks and one with hooks must mean the
//! same guest.

use hookmux::libvirt::document;

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
        let head = document::head(input);
        let uuid = head.as_ref().and_then(document::Identity::plain_uuid);
        if let Some(uuid) = &uuid {
            let is_plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
            let holds = uuid.len() == 36 && uuid.bytes().all(is_plain);
            must(holds, "a uuid that is none", || uuid.clone())?;
        }
        // what follows the uuid means nothing, as long as it is text
        let cut = &input[..input.len() - input.len() / 4];
        if std::str::from_utf8(input).is_ok()
            && let Some(of_cut) = document::head(cut)
            && of_cut.uuid.is_some()
        {
            same("a head that depends on what follows it", &Some(of_cut), &head)?;
        }
        let Ok(tree) = document::parse(input) else { return Ok(false) };
        let identity = document::identity(&tree);
        let Some(head) = head else {
            return must(false, "a document with a tree and no head", || format!("{identity:?}"))
                .map(|()| true);
        };
        same("the root differs: head, tree", &head.root, &identity.root)?;
        same("the uuid differs: head, tree", &head.uuid, &identity.uuid)?;
        if head.name.is_some() || head.uuid.is_none() {
            same("the name differs: head, tree", &head.name, &identity.name)?;
        }
        Ok(true)
    }
}
