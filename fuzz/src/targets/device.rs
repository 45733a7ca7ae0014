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

    /// What a hook left of a device: another element of that name, the element as it is or damaged, one of the
    /// list.
    fn left(
        &self,
        random: &mut Random,
        of: &[u8],
        device: Option<&(String, Range<usize>)>,
    ) -> Vec<u8> {
        let Some((name, place)) = device.filter(|_| !random.once_in(6)) else {
            return LEFT[random.below(LEFT.len())].into();
        };
        let element = || of[place.clone()].to_vec();
        let mut text = match random.below(4) {
            0 => format!("<{name}/>").into_bytes(),
            1 => {
                format!("<{name} n='{}'><a>{}</a></{name}>", random.next(), random.below(99)).into()
            }
            2 => [b"<?xml version='1.0'?>\n<!-- -->", element().as_slice(), b"\n"].concat(),
            _ => element(),
        };
        if random.once_in(3) {
            crate::bytes::mutate(random, &mut text, xml::WORDS, &self.seeds);
        }
        text
    }
}

/// Which device an edit is of: the last one is of the first again.
fn edited(number: usize, devices: usize) -> usize {
    if number + 1 == EDITS { 0 } else { number % devices.max(1) }
}

/// The devices of a document, in the plainest way.
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
        let mut document = xml::any(random, &self.seeds);
        let mut devices = devices(&document);
        // most documents of random bytes have none
        for _ in 0..8 {
            if !devices.is_empty() {
                break;
            }
            document = xml::document(random);
            devices = self::devices(&document);
        }
        let all: Vec<Vec<u8>> = (0..EDITS)
            .map(|number| {
                let device = devices.get(edited(number, devices.len()));
                self.left(random, &document, device)
            })
            .collect();
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
            let (_, device) = &all[edited(number, all.len())];
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
