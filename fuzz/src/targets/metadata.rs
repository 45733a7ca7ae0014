//! Custom properties and devices against the plainest way to find them: every device is compared
//! with every entry.

use hookmux::for_tests::libvirt::metadata::{self, Device, Property};
use hookmux::for_tests::libvirt::{document, metadata::Metadata as Read};
use roxmltree::Node;

use super::{Checked, Target, same};
use crate::growth::Frame;
use crate::random::Random;
use crate::seeds::{self, Seed};
use crate::xml;

const VDSM: &str = "http://ovirt.org/vm/1.0";
const HOOKMUX: &str = "urn:hookmux:properties:1";
/// Devices times entries above this aren't compared: the plain way would be slow.
const MAX_PAIRS: usize = 2_000;
/// Documents above this size aren't compared.
const MAX_COMPARED_BYTES: usize = 8 * 1024;

pub struct Metadata {
    seeds: Vec<Vec<u8>>,
}

impl Metadata {
    pub fn new(all: &[Seed]) -> Metadata {
        Metadata { seeds: seeds::bytes(all, |seed| seed.has_extension("xml")) }
    }
}

impl Target for Metadata {
    fn name(&self) -> &'static str {
        "metadata"
    }

    fn words(&self) -> &'static [&'static str] {
        xml::WORDS
    }

    fn frames(&self) -> &'static [Frame] {
        xml::FRAMES
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        if random.once_in(4) {
            return xml::any(random, &self.seeds);
        }
        let mut bytes = xml::document(random);
        if random.once_in(4) {
            crate::bytes::mutate(random, &mut bytes, xml::WORDS, &self.seeds);
        }
        bytes
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let Ok(tree) = document::parse(input) else { return Ok(false) };
        let Ok(read) = metadata::read(&tree) else { return Ok(false) };
        let is_compared = input.len() <= MAX_COMPARED_BYTES;
        let object = is_compared.then(|| document::object(&tree));
        if let Some(plain) = object.and_then(plain) {
            same("the metadata differs: hookmux, the plain way", &read, &plain)?;
        }
        Ok(!read.properties.is_empty() || !read.devices.is_empty())
    }
}

fn elements<'a, 'b>(node: Node<'a, 'b>, name: &str) -> Vec<Node<'a, 'b>> {
    node.children().filter(|child| child.has_tag_name(name)).collect()
}

fn owned<'a, 'b>(node: Node<'a, 'b>, namespace: &str, name: &str) -> Vec<Node<'a, 'b>> {
    node.children().filter(|child| child.has_tag_name((namespace, name))).collect()
}

/// The same as `metadata::read`; `None` where it would take too long.
fn plain(object: Node<'_, '_>) -> Option<Read> {
    let title = elements(object, "title").first().map(|title| document::text(title));
    let devices: Vec<Node<'_, '_>> = elements(object, "devices")
        .into_iter()
        .flat_map(|devices| devices.children().filter(Node::is_element).collect::<Vec<_>>())
        .collect();
    let networks = if object.has_tag_name("network") {
        elements(object, "name").iter().map(document::text).collect()
    } else {
        let interfaces = devices.iter().filter(|device| device.has_tag_name("interface"));
        let sources = interfaces.flat_map(|interface| elements(*interface, "source"));
        sources.filter_map(|source| source.attribute("network").map(str::to_owned)).collect()
    };
    let mut read = Read { title, networks, ..Read::default() };
    let Some(metadata) = elements(object, "metadata").first().copied() else { return Some(read) };
    let vdsm = owned(metadata, VDSM, "vm").first().copied();
    let lists = owned(metadata, HOOKMUX, "properties").into_iter();
    let own: Vec<Node<'_, '_>> = lists.flat_map(|list| owned(list, HOOKMUX, "property")).collect();
    let entries = vdsm.map(|vm| owned(vm, VDSM, "device")).unwrap_or_default();
    if devices.len() * (own.len() + entries.len()) > MAX_PAIRS {
        return None;
    }
    let ours = |is_meant: &dyn Fn(Option<&str>) -> bool| -> Vec<Property> {
        let meant = own.iter().filter(|node| is_meant(node.attribute("device")));
        meant
            .filter_map(|node| {
                let name = node.attribute("name")?.to_owned();
                Some(Property { name, value: document::text(node) })
            })
            .collect()
    };
    let of_guest = vdsm.map(custom).unwrap_or_default();
    read.properties = last_ones([of_guest, ours(&|device| device.is_none())].concat());
    for device in devices {
        let first = |tag: &str, attribute: &str| {
            elements(device, tag)
                .first()
                .and_then(|child| child.attribute(attribute).map(str::to_owned))
        };
        let (alias, mac) = (first("alias", "name"), first("mac", "address"));
        let kind = device.tag_name().name();
        let is_mac = |word: &str| mac.as_ref().is_some_and(|mac| mac.eq_ignore_ascii_case(word));
        let meant: Vec<&Node<'_, '_>> = entries
            .iter()
            .filter(|entry| {
                let is_alias = |name: &str| entry.attribute(name).map(str::to_owned) == alias;
                match entry.attribute("mac_address") {
                    _ if kind == "disk" => false,
                    Some(own) => {
                        is_mac(own) && (!entry.has_attribute("alias") || is_alias("alias"))
                    }
                    None => {
                        let name = if entry.has_attribute("alias") { "alias" } else { "name" };
                        entry.attribute("devtype").is_none_or(|own| own == kind)
                            && entry.has_attribute(name)
                            && is_alias(name)
                    }
                }
            })
            .collect();
        let has_custom = meant.iter().any(|entry| !owned(**entry, VDSM, "custom").is_empty());
        let theirs: Vec<Property> = meant.into_iter().flat_map(|entry| custom(*entry)).collect();
        let ours = ours(&|key| key.is_some_and(|key| alias.as_deref() == Some(key) || is_mac(key)));
        let properties = last_ones([theirs, ours].concat());
        if has_custom || !properties.is_empty() {
            read.devices.push(Device {
                range: device.range(),
                kind: kind.to_owned(),
                label: alias.or(mac).unwrap_or_else(|| kind.to_owned()),
                properties,
            });
        }
    }
    Some(read)
}

fn custom(parent: Node<'_, '_>) -> Vec<Property> {
    let leaves = owned(parent, VDSM, "custom").into_iter().flat_map(|custom| {
        let is_leaf = |leaf: &Node<'_, '_>| {
            leaf.is_element() && !leaf.children().any(|child| child.is_element())
        };
        custom.children().filter(is_leaf).collect::<Vec<_>>()
    });
    leaves
        .map(|leaf| Property {
            name: leaf.tag_name().name().to_owned(),
            value: document::text(&leaf),
        })
        .collect()
}

/// Of properties with equal names the last one.
fn last_ones(all: Vec<Property>) -> Vec<Property> {
    let is_last = |(index, property): &(usize, &Property)| {
        !all[index + 1..].iter().any(|later| later.name == property.name)
    };
    all.iter().enumerate().filter(is_last).map(|(_, property)| property.clone()).collect()
}
