//! Reads from a guest's document what hooks get of it: custom properties and devices.
//!
//! Two schemas are read: vdsm's `ovirt-vm:custom` (namespace `http://ovirt.org/vm/1.0`) and
//! hookmux's own `hookmux:properties` (`urn:hookmux:properties:1`), which wins where both name a
//! property. Both live in the `<metadata>` that libvirt carries along with every document.

use std::collections::HashMap;
use std::ops::Range;

use roxmltree::Node;

use super::document::{self, object, text};
use super::limits::{DocumentLimit, MAX_PROPERTIES};

const VDSM: &str = "http://ovirt.org/vm/1.0";
const HOOKMUX: &str = "urn:hookmux:properties:1";

/// A custom property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    pub name: String,
    pub value: String,
}

/// A device that has custom properties, or for which vdsm's metadata has a place for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The position of its element in the document, in bytes.
    pub range: Range<usize>,
    /// `interface`, `hostdev`, …
    pub kind: String,
    /// Its alias, else its MAC address: people know it by that.
    pub label: String,
    /// None for a device with an empty `<custom/>`.
    pub properties: Vec<Property>,
}

/// What hooks get of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pub properties: Vec<Property>,
    /// Only devices with custom properties or a place for them, in the document's order.
    pub devices: Vec<Device>,
    pub title: Option<String>,
    /// The virtual networks of a guest's interfaces; in a network's document, its own name.
    pub networks: Vec<String>,
}

/// Reads what hooks get of a document, in a time that is linear in the document's size.
///
/// # Errors
/// Properties that apply to several devices each are together more than the limit.
pub fn read(tree: &roxmltree::Document<'_>) -> Result<Metadata, DocumentLimit> {
    let object = object(tree);
    let child = |name| object.children().find(|child| child.has_tag_name(name));
    let title = child("title").map(|title| text(&title));
    let networks = networks(&object);
    let Some(metadata) = child("metadata") else {
        return Ok(Metadata { title, networks, ..Metadata::default() });
    };
    let vdsm = metadata.children().find(|child| child.has_tag_name((VDSM, "vm")));
    let own: Vec<Node> = metadata
        .children()
        .filter(|child| child.has_tag_name((HOOKMUX, "properties")))
        .flat_map(|list| list.children())
        .filter(|child| child.has_tag_name((HOOKMUX, "property")))
        .collect();

    let of_guest = own.iter().filter(|node| node.attribute("device").is_none());
    let properties =
        merged(vdsm.map(|vm| vdsm_custom(&vm)).unwrap_or_default(), of_guest.filter_map(property));

    let device_properties = DeviceProperties::new(vdsm.as_ref(), &own);
    let mut devices = Vec::new();
    let mut count = 0;
    for device in document::devices(tree) {
        let names = DeviceNames::of(&device);
        let (of_vdsm, of_hookmux) =
            (device_properties.of_vdsm(&names), device_properties.of_hookmux(&names));
        // a guest may have many devices of one alias or address
        count += of_vdsm.iter().map(|list| list.len().max(1)).sum::<usize>() + of_hookmux.len();
        if count > MAX_PROPERTIES {
            return Err(DocumentLimit::Properties);
        }
        let has_custom = !of_vdsm.is_empty();
        let of_vdsm = of_vdsm.into_iter().flatten().cloned().collect();
        let properties = merged(of_vdsm, of_hookmux.into_iter().cloned());
        if has_custom || !properties.is_empty() {
            devices.push(Device {
                range: device.range(),
                kind: device.tag_name().name().to_owned(),
                label: names.label(),
                properties,
            });
        }
    }
    Ok(Metadata { properties, devices, title, networks })
}

/// Lists of vdsm's properties, each with its position in the document.
type PlacedLists = Vec<(usize, Vec<Property>)>;

/// The properties of devices, by the key with which they name their device; each with its position in the
/// document, for the order.
#[derive(Default)]
struct DeviceProperties<'a> {
    /// vdsm's, by MAC address in lower case, and by alias where they have one.
    by_mac: HashMap<(String, Option<&'a str>), PlacedLists>,
    /// vdsm's, by alias, and by type where they have one.
    by_alias: HashMap<(&'a str, Option<&'a str>), PlacedLists>,
    /// hookmux's, by alias or MAC address as written.
    by_key: HashMap<&'a str, Vec<(usize, Property)>>,
    /// hookmux's, by alias or MAC address in lower case.
    by_lower_key: HashMap<String, Vec<(usize, Property)>>,
}

impl<'a> DeviceProperties<'a> {
    fn new(vdsm: Option<&Node<'a, 'a>>, own: &[Node<'a, 'a>]) -> DeviceProperties<'a> {
        let mut all = DeviceProperties::default();
        let entries = vdsm.into_iter().flat_map(Node::children);
        let entries = entries.filter(|entry| entry.has_tag_name((VDSM, "device")));
        for (place, entry) in entries.enumerate() {
            if !entry.children().any(|child| child.has_tag_name((VDSM, "custom"))) {
                continue;
            }
            let properties = vdsm_custom(&entry);
            let alias = entry.attribute("alias");
            // vdsm names interfaces by MAC address, other devices by type and alias
            let list = match (entry.attribute("mac_address"), alias.or(entry.attribute("name"))) {
                (Some(mac), _) => all.by_mac.entry((mac.to_ascii_lowercase(), alias)).or_default(),
                (None, Some(name)) => {
                    all.by_alias.entry((name, entry.attribute("devtype"))).or_default()
                }
                (None, None) => continue,
            };
            list.push((place, properties));
        }
        for (place, node) in own.iter().enumerate() {
            if let (Some(key), Some(property)) = (node.attribute("device"), property(node)) {
                all.by_lower_key
                    .entry(key.to_ascii_lowercase())
                    .or_default()
                    .push((place, property.clone()));
                all.by_key.entry(key).or_default().push((place, property));
            }
        }
        all
    }

    /// Returns vdsm's properties for a device, in the document's order; also lists that are empty. vdsm has device
    /// events for all devices but disks.
    fn of_vdsm(&self, names: &DeviceNames<'a>) -> Vec<&[Property]> {
        if names.kind == "disk" {
            return Vec::new();
        }
        let mut found: Vec<&(usize, Vec<Property>)> = Vec::new();
        if let Some(mac) = names.mac {
            let mac = mac.to_ascii_lowercase();
            found.extend(self.by_mac.get(&(mac.clone(), None)).into_iter().flatten());
            if names.alias.is_some() {
                found.extend(self.by_mac.get(&(mac, names.alias)).into_iter().flatten());
            }
        }
        if let Some(alias) = names.alias {
            found.extend(self.by_alias.get(&(alias, None)).into_iter().flatten());
            found.extend(self.by_alias.get(&(alias, Some(names.kind))).into_iter().flatten());
        }
        found.sort_unstable_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, properties)| properties.as_slice()).collect()
    }

    /// Returns hookmux's properties for a device, in the document's order.
    fn of_hookmux(&self, names: &DeviceNames<'a>) -> Vec<&Property> {
        let mut found: Vec<&(usize, Property)> = Vec::new();
        if let Some(mac) = names.mac {
            found.extend(self.by_lower_key.get(&mac.to_ascii_lowercase()).into_iter().flatten());
        }
        // properties by address, in whatever case, are found already
        let is_mac = |alias: &str| names.mac.is_some_and(|mac| mac.eq_ignore_ascii_case(alias));
        if let Some(alias) = names.alias.filter(|alias| !is_mac(alias)) {
            found.extend(self.by_key.get(alias).into_iter().flatten());
        }
        found.sort_unstable_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, property)| property).collect()
    }
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

/// The names by which metadata can refer to a device.
struct DeviceNames<'a> {
    kind: &'a str,
    alias: Option<&'a str>,
    mac: Option<&'a str>,
}

impl<'a> DeviceNames<'a> {
    fn of(device: &Node<'a, 'a>) -> DeviceNames<'a> {
        let child = |tag: &str, attribute: &str| {
            device.children().find(|c| c.has_tag_name(tag)).and_then(|c| c.attribute(attribute))
        };
        DeviceNames {
            kind: device.tag_name().name(),
            alias: child("alias", "name"),
            mac: child("mac", "address"),
        }
    }

    fn label(&self) -> String {
        self.alias.or(self.mac).unwrap_or(self.kind).to_owned()
    }
}

/// Returns the properties in vdsm's `<custom>`: its elements without children.
fn vdsm_custom(parent: &Node<'_, '_>) -> Vec<Property> {
    parent
        .children()
        .filter(|child| child.has_tag_name((VDSM, "custom")))
        .flat_map(|custom| custom.children())
        .filter(|leaf| leaf.is_element() && !leaf.children().any(|child| child.is_element()))
        .map(|leaf| Property { name: leaf.tag_name().name().to_owned(), value: text(&leaf) })
        .collect()
}

/// Returns one of hookmux's own properties; `None` without a name.
fn property(node: &Node<'_, '_>) -> Option<Property> {
    Some(Property { name: node.attribute("name")?.to_owned(), value: text(node) })
}

/// Merges properties: hookmux's replace vdsm's of the same name; of equal names the last one counts.
fn merged(of_vdsm: Vec<Property>, of_hookmux: impl Iterator<Item = Property>) -> Vec<Property> {
    let all: Vec<Property> = of_vdsm.into_iter().chain(of_hookmux).collect();
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
        let metadata = read(&tree).unwrap();
        assert_eq!(
            pairs(&metadata.properties),
            [("empty", ""), ("cpuflags", "-aes"), ("a.b", "1 < 2")]
        );
    }

    #[test]
    fn devices_are_found_by_mac_address_and_alias() {
        let tree = parse(GUEST.as_bytes()).unwrap();
        let devices = read(&tree).unwrap().devices;
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
        assert_eq!(pairs(&read(&tree).unwrap().properties), [("zone", "dmz")]);
    }

    #[test]
    fn properties_that_are_meant_for_many_devices_are_counted_for_each() {
        let document = |devices: usize| {
            let device = "<interface><mac address='52:54:00:aa:00:01'/></interface>";
            let property = "<h:property name='a' device='52:54:00:AA:00:01'/>";
            format!(
                "<domain><metadata><h:properties xmlns:h='urn:hookmux:properties:1'>{}</h:properties>\
                 </metadata><devices>{}</devices></domain>",
                property.repeat(100),
                device.repeat(devices)
            )
        };
        let (within, over) = (document(100), document(101));
        let devices = read(&parse(within.as_bytes()).unwrap()).unwrap().devices;
        assert_eq!((devices.len(), devices[99].properties.len()), (100, 1));
        assert_eq!(read(&parse(over.as_bytes()).unwrap()), Err(DocumentLimit::Properties));
    }

    #[test]
    fn entries_that_say_less_come_in_the_order_of_the_document() {
        let entry = |attributes: &str, value: &str| {
            format!("<o:device {attributes}><o:custom><o:a>{value}</o:a></o:custom></o:device>")
        };
        for (entries, expected) in [
            (["alias='x'", "devtype='hostdev' alias='x'"], Some("2")),
            (["devtype='hostdev' alias='x'", "alias='x'"], Some("2")),
            (["devtype='other' alias='x'", "name='x'"], Some("2")),
            (["devtype='other' alias='x'", "devtype='hostdev'"], None),
            (["mac_address='AA:bb'", "mac_address='aa:BB' alias='x'"], Some("2")),
            (["mac_address='AA:bb'", "mac_address='aa:BB' alias='y'"], Some("1")),
        ] {
            let text = format!(
                "<domain><metadata><o:vm xmlns:o='{VDSM}'>{}{}</o:vm></metadata><devices>\
                 <hostdev><alias name='x'/><mac address='Aa:Bb'/></hostdev></devices></domain>",
                entry(entries[0], "1"),
                entry(entries[1], "2")
            );
            let tree = parse(text.as_bytes()).unwrap();
            let devices = read(&tree).unwrap().devices;
            let value = devices.first().map(|device| device.properties[0].value.as_str());
            assert_eq!(value, expected, "{entries:?}");
        }
    }
}
