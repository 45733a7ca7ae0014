//! Edits of devices that are put back into the guest's document: whatever a hook left, the rest of the document is
//! as it was, and every device is where it is found in the document itself.

use std::ops::Range;

use hookmux::for_tests::document::device::{self, DevicePlaces};
use hookmux::for_tests::libvirt::document;
use roxmltree::Node;

use super::{Checked, Target, join, must, parts, same, shown};
use crate::random::Random;
use crate::seeds::{self, Seed};
use crate::xml;

/// The edits of an input.
const EDITS: usize = 3;
/// Devices above this aren't compared: each document is parsed several times.
const MAX_DEVICES: usize = 100;
/// What hooks leave, well and badly.
const LEFT: &[&str] = &[
    "",
    "<interface/>",
    "<disk type='file'><source file='/x'/></disk>",
    "<?xml version='1.0' encoding='utf-8'?>\n<interface><mac address='52:54:00:00:00:01'/></interface>\n",
    "<!-- <x> --><hostdev a='>'/><!-- -->",
    "<interface/></devices><devices>",
    "<interface></interface></devices><devices><interface></interface>",
    "</interface><interface>",
    "<interface/><interface/>",
    "<![CDATA[x]]><interface/>",
    "<!DOCTYPE x><interface/>",
    "<x:interface xmlns:x='urn:x'/>",
    "<interface><x:y/></interface>",
];

pub struct Device {
    seeds: Vec<Vec<u8>>,
}

impl Device {
    pub fn new(all: &[Seed]) -> Device {
        Device { seeds: seeds::bytes(all, |seed| seed.has_extension("xml")) }
    }

    /// What a hook left: a device of some document as it is or damaged, or one of the list.
    fn left(&self, random: &mut Random, of: &[u8]) -> Vec<u8> {
        let other = xml::any(random, &self.seeds);
        let from = if random.once_in(2) { of } else { &other };
        let devices = devices(from);
        let mut text = match devices.get(random.below(devices.len().max(1))) {
            Some((_, place)) if !random.once_in(4) => from[place.clone()].to_vec(),
            _ => LEFT[random.below(LEFT.len())].into(),
        };
        if random.once_in(3) {
            crate::bytes::mutate(random, &mut text, xml::WORDS, &self.seeds);
        }
        text
    }
}

/// The devices of a document, in the plainest way: the index of their name's end is not needed.
fn devices(bytes: &[u8]) -> Vec<(String, Range<usize>)> {
    let Ok(tree) = document::parse(bytes) else { return Vec::new() };
    let of = |node: Node<'_, '_>| {
        let elements = node.children().filter(Node::is_element);
        elements.map(|one| (one.tag_name().name().to_owned(), one.range())).collect::<Vec<_>>()
    };
    let lists = document::object(&tree).children().filter(|child| child.has_tag_name("devices"));
    lists.flat_map(of).collect()
}

impl Target for Device {
    fn name(&self) -> &'static str {
        "device"
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let document = xml::any(random, &self.seeds);
        let all: Vec<Vec<u8>> = (0..EDITS).map(|_| self.left(random, &document)).collect();
        let mut parts: Vec<&[u8]> = vec![&document];
        parts.extend(all.iter().map(Vec::as_slice));
        join(&parts)
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let [original, first, second, third] = parts::<4>(input);
        let all = devices(original);
        if all.is_empty() || all.len() > MAX_DEVICES {
            return Ok(false);
        }
        let mut places = DevicePlaces::default();
        let mut current = original.to_vec();
        let mut has_replaced = false;
        for (number, text) in [first, second, third].into_iter().enumerate() {
            // the last edit is of the first device again
            let (_, device) = &all[if number == 2 { 0 } else { number % all.len() }];
            let Some(place) = places.of(device) else { return Ok(has_replaced) };
            let Ok(Some(replaced)) = device::replace(&current, &place, text) else { continue };
            has_replaced = true;
            let (before, after) = (&current[..place.start], &current[place.end..]);
            let is_kept = replaced.document.starts_with(before)
                && replaced.document.ends_with(after)
                && replaced.document.len() == before.len() + replaced.length + after.len();
            must(is_kept, "a device's edit changed more than the device", || shown(text))?;
            let element = &replaced.document[place.start..place.start + replaced.length];
            must(super::holds(text, element), "a device's element that no hook left", || {
                shown(element)
            })?;
            places.resize(device, replaced.length);
            let found = devices(&replaced.document);
            same("the devices differ: number", &found.len(), &all.len())?;
            for ((name, was), (name_now, now)) in all.iter().zip(&found) {
                same("a device has another name", name, name_now)?;
                same("a device isn't where it is", &places.of(was), &Some(now.clone()))?;
            }
            let identity = |bytes: &[u8]| document::read_identity(bytes);
            same("the identity differs", &identity(&replaced.document), &identity(original))?;
            current = replaced.document;
        }
        // found again as after a change of the whole
        places.set_stale();
        places.find(original, &current);
        for ((_, was), (_, now)) in all.iter().zip(devices(&current)) {
            same("a device isn't found again", &places.of(was), &Some(now))?;
        }
        Ok(has_replaced)
    }
}
