//! Custom properties and devices: what a guest's document says to hooks.
//!
//! Two schemas are read: vdsm's `ovirt-vm:custom` (namespace `http://ovirt.org/vm/1.0`) and
//! hookmux's own `hookmux:properties` (`urn:hookmux:properties:1`), which wins where both name a
//! property. Both live in the `<metadata>` that libvirt carries along with every document.

use std::collections::HashMap;
use std::ops::Range;

use roxmltree::Node;

use super::document::{object, text};

const VDSM: &str = "http://ovirt.org/vm/1.0";
const HOOKMUX: &str = "urn:hookmux:properties:1";

/// A custom property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    pub name: String,
    pub value: String,
}

/// A device that has custom properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Where its element stands in the document, in bytes.
    pub range: Range<usize>,
    /// `interface`, `hostdev`, …
    pub kind: String,
    /// Its alias, else its MAC address: what people know it by.
    pub label: String,
    pub properties: Vec<Property>,
}

/// What a document says to hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pub properties: Vec<Property>,
    /// In the document's order; only those with custom properties.
    pub devices: Vec<Device>,
    pub title: Option<String>,
    /// The virtual networks of a guest's interfaces; of a network's document, its own name.
    pub networks: Vec<String>,
}

pub fn read(tree: &roxmltree::Document<'_>) -> Metadata {
    let object = object(tree);
    let child = |name| object.children().find(|child| child.has_tag_name(name));
    let title = child("title").map(|title| text(&title));
    let networks = networks(&object);
    let Some(metadata) = child("metadata") else {
        return Metadata { title, networks, ..Metadata::default() };
    };
    let vdsm = metadata.children().find(|child| child.has_tag_name((VDSM, "vm")));
    let own: Vec<Node> = metadata
        .children()
        .filter(|child| child.has_tag_name((HOOKMUX, "properties")))
        .flat_map(|list| list.children())
        .filter(|child| child.has_tag_name((HOOKMUX, "property")))
        .collect();

    let of_guest = own.iter().filter(|node| node.attribute("device").is_none());
    let properties = merged(vdsm.map(|vm| vdsm_custom(&vm)).unwrap_or_default(), of_guest);

    let devices = object
        .children()
        .filter(|child| child.has_tag_name("devices"))
        .flat_map(|devices| devices.children())
        .filter(Node::is_element)
        .filter_map(|device| {
            let handle = Handle::of(&device);
            let mut theirs = Vec::new();
            for entry in vdsm.iter().flat_map(Node::children) {
                if entry.has_tag_name((VDSM, "device")) && handle.is_vdsm(&entry) {
                    theirs.extend(vdsm_custom(&entry));
                }
            }
            let ours = own
                .iter()
                .filter(|node| node.attribute("device").is_some_and(|key| handle.answers_to(key)));
            let properties = merged(theirs, ours);
            (!properties.is_empty()).then(|| Device {
                range: device.range(),
                kind: device.tag_name().name().to_owned(),
                label: handle.label(),
                properties,
            })
        })
        .collect();
    Metadata { properties, devices, title, networks }
}

fn networks(object: &Node<'_, '_>) -> Vec<String> {
    if object.has_tag_name("network") {
        return object
            .children()
            .filter(|child| child.has_tag_name("name"))
            .map(|name| text(&name))
            .collect();
    }
    object
        .children()
        .filter(|child| child.has_tag_name("devices"))
        .flat_map(|devices| devices.children())
        .filter(|device| device.has_tag_name("interface"))
        .flat_map(|interface| interface.children())
        .filter(|child| child.has_tag_name("source"))
        .filter_map(|source| source.attribute("network"))
        .map(str::to_owned)
        .collect()
}

/// How metadata names a device.
struct Handle<'a> {
    kind: &'a str,
    alias: Option<&'a str>,
    mac: Option<&'a str>,
}

impl<'a> Handle<'a> {
    fn of(device: &Node<'a, 'a>) -> Handle<'a> {
        let child = |tag: &str, attribute: &str| {
            device.children().find(|c| c.has_tag_name(tag)).and_then(|c| c.attribute(attribute))
        };
        Handle {
            kind: device.tag_name().name(),
            alias: child("alias", "name"),
            mac: child("mac", "address"),
        }
    }

    fn label(&self) -> String {
        self.alias.or(self.mac).unwrap_or(self.kind).to_owned()
    }

    fn answers_to(&self, key: &str) -> bool {
        self.alias == Some(key) || self.mac.is_some_and(|mac| mac.eq_ignore_ascii_case(key))
    }

    /// vdsm names interfaces by MAC address, other devices by type and alias; it has device
    /// events for all but disks.
    fn is_vdsm(&self, entry: &Node<'_, '_>) -> bool {
        if self.kind == "disk" {
            return false;
        }
        if let Some(mac) = entry.attribute("mac_address") {
            return self.mac.is_some_and(|own| own.eq_ignore_ascii_case(mac))
                && entry.attribute("alias").is_none_or(|alias| self.alias == Some(alias));
        }
        let same_type = entry.attribute("devtype").is_none_or(|kind| kind == self.kind);
        let alias = entry.attribute("alias").or_else(|| entry.attribute("name"));
        same_type && alias.is_some() && alias == self.alias
    }
}

/// The leaves of vdsm's `<custom>`.
fn vdsm_custom(parent: &Node<'_, '_>) -> Vec<Property> {
    parent
        .children()
        .filter(|child| child.has_tag_name((VDSM, "custom")))
        .flat_map(|custom| custom.children())
        .filter(|leaf| leaf.is_element() && !leaf.children().any(|child| child.is_element()))
        .map(|leaf| Property { name: leaf.tag_name().name().to_owned(), value: text(&leaf) })
        .collect()
}

/// vdsm's properties, with ours in place of those of the same name; of equal names the last one.
fn merged<'a, 'b: 'a>(
    theirs: Vec<Property>,
    ours: impl Iterator<Item = &'a Node<'b, 'b>>,
) -> Vec<Property> {
    let ours = ours.filter_map(|node| {
        Some(Property { name: node.attribute("name")?.to_owned(), value: text(node) })
    });
    let all: Vec<Property> = theirs.into_iter().chain(ours).collect();
    let last: HashMap<&str, usize> =
        all.iter().enumerate().map(|(index, property)| (property.name.as_str(), index)).collect();
    let is_last: Vec<bool> = all
        .iter()
        .enumerate()
        .map(|(index, property)| last.get(property.name.as_str()) == Some(&index))
        .collect();
    all.into_iter()
        .zip(is_last)
        .filter_map(|(property, is_last)| is_last.then_some(property))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::document::parse;

    const GUEST: &str = "<domain><name>g</name><metadata>\
        <ovirt-vm:vm xmlns:ovirt-vm='http://ovirt.org/vm/1.0'>\
          <ovirt-vm:custom><ovirt-vm:cpuflags>+aes</ovirt-vm:cpuflags><ovirt-vm:empty/><ovirt-vm:deep><ovirt-vm:x/></ovirt-vm:deep></ovirt-vm:custom>\
          <ovirt-vm:device mac_address='52:54:00:AA:00:01'><ovirt-vm:custom><ovirt-vm:extnet>red</ovirt-vm:extnet></ovirt-vm:custom></ovirt-vm:device>\
          <ovirt-vm:device devtype='hostdev' name='ua-gpu'><ovirt-vm:custom><ovirt-vm:vendor>x</ovirt-vm:vendor></ovirt-vm:custom></ovirt-vm:device>\
          <ovirt-vm:device devtype='disk' name='ua-disk'><ovirt-vm:custom><ovirt-vm:no>1</ovirt-vm:no></ovirt-vm:custom></ovirt-vm:device>\
        </ovirt-vm:vm>\
        <hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'>\
          <hookmux:property name='cpuflags'>-aes</hookmux:property><hookmux:property name='a.b'>1 &lt; 2</hookmux:property>\
          <hookmux:property name='rate' device='52:54:00:aa:00:01'>5</hookmux:property>\
          <hookmux:property name='speed' device='ua-disk'>9</hookmux:property>\
        </hookmux:properties></metadata>\
        <devices><emulator>q</emulator><disk><alias name='ua-disk'/></disk>\
        <interface><mac address='52:54:00:aa:00:01'/></interface><interface><mac address='52:54:00:aa:00:02'/></interface>\
        <hostdev><alias name='ua-gpu'/></hostdev></devices></domain>";

    fn pairs(properties: &[Property]) -> Vec<(&str, &str)> {
        properties.iter().map(|p| (p.name.as_str(), p.value.as_str())).collect()
    }

    #[test]
    fn hookmux_properties_win_over_vdsm_ones() {
        let tree = parse(GUEST.as_bytes()).unwrap();
        let metadata = read(&tree);
        assert_eq!(
            pairs(&metadata.properties),
            [("empty", ""), ("cpuflags", "-aes"), ("a.b", "1 < 2")]
        );
    }

    #[test]
    fn devices_are_found_by_mac_address_and_alias() {
        let tree = parse(GUEST.as_bytes()).unwrap();
        let devices = read(&tree).devices;
        let seen: Vec<_> =
            devices.iter().map(|d| (d.kind.as_str(), pairs(&d.properties))).collect();
        assert_eq!(
            seen,
            [
                ("disk", vec![("speed", "9")]),
                ("interface", vec![("extnet", "red"), ("rate", "5")]),
                ("hostdev", vec![("vendor", "x")]),
            ]
        );
        assert!(GUEST[devices[1].range.clone()].starts_with("<interface><mac"));
    }

    #[test]
    fn a_network_has_properties_too() {
        let text = "<hookData><network><metadata><h:properties xmlns:h='urn:hookmux:properties:1'>\
            <h:property name='zone'>dmz</h:property></h:properties></metadata></network></hookData>";
        let tree = parse(text.as_bytes()).unwrap();
        assert_eq!(pairs(&read(&tree).properties), [("zone", "dmz")]);
    }
}
