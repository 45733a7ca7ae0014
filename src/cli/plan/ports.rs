//! The ports of a guest: its interfaces in virtual networks, with the documents that network hooks get.

use crate::cli::guests::Guests;
use crate::libvirt::document::{self, text};
use crate::libvirt::{Document, Driver};

/// An interface in a virtual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub network: String,
    mac: Option<String>,
    /// The port's uuid, while the guest runs.
    uuid: Option<String>,
    owner: Owner,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Owner {
    name: Option<String>,
    uuid: Option<String>,
}

/// Returns the ports of a guest, in the order of its interfaces.
pub(super) fn of(guest: &Document) -> Vec<Port> {
    let Document::Whole(bytes) = guest else { return Vec::new() };
    let Ok(tree) = document::parse(bytes) else { return Vec::new() };
    let domain = tree.root_element();
    let child = |name: &str| domain.children().find(|child| child.has_tag_name(name));
    let owner = Owner {
        name: child("name").map(|name| text(&name)),
        uuid: child("uuid").map(|uuid| text(&uuid)),
    };
    let interfaces = child("devices").into_iter().flat_map(|devices| devices.children());
    let interfaces = interfaces.filter(|device| device.has_tag_name("interface"));
    let interfaces = interfaces.filter(|device| device.attribute("type") == Some("network"));
    interfaces
        .filter_map(|interface| {
            let child = |name: &str| interface.children().find(|it| it.has_tag_name(name));
            let source = child("source")?;
            let owned = |word: Option<&str>| word.map(str::to_owned);
            Some(Port {
                network: source.attribute("network")?.to_owned(),
                mac: owned(child("mac").and_then(|mac| mac.attribute("address"))),
                uuid: owned(source.attribute("portid")),
                owner: owner.clone(),
            })
        })
        .collect()
}

impl Port {
    /// Makes the document as libvirt would, as far as it is known before: `None` if the network isn't defined.
    pub(super) fn document(&self, guests: &Guests) -> Document {
        let network = guests.find(&self.network, Some(Driver::Network)).unwrap_or_default();
        let network = network.first().map(|network| network.document(true).0);
        let Some(Document::Whole(network)) = network else { return Document::Absent };
        let element = |name: &str, value: &Option<String>| {
            let value = value.as_deref().map(escaped);
            value.map(|value| format!("<{name}>{value}</{name}>")).unwrap_or_default()
        };
        let mac = self.mac.as_deref().map(|mac| format!("<mac address='{}'/>", escaped(mac)));
        let port = format!(
            "<networkport>{}<owner>{}{}</owner>{}</networkport></hookData>",
            element("uuid", &self.uuid),
            element("name", &self.owner.name),
            element("uuid", &self.owner.uuid),
            mac.unwrap_or_default(),
        );
        Document::Whole([b"<hookData>", network.as_slice(), port.as_bytes()].concat())
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_interfaces_in_virtual_networks_have_ports() {
        let guest = "<domain><name>a&amp;b</name><uuid>u</uuid><devices>\
            <interface type='network'><mac address='52:54:00:00:00:01'/><source network='lan' portid='p'/></interface>\
            <interface type='bridge'><source bridge='br0'/></interface>\
            <interface type='network'><source network='lan'/></interface>\
            <interface type='network'><source network='dmz'/></interface></devices></domain>";
        let ports = of(&Document::Whole(guest.into()));
        let networks: Vec<&str> = ports.iter().map(|port| port.network.as_str()).collect();
        assert_eq!(networks, ["lan", "lan", "dmz"]);
        assert_eq!(ports[0].uuid.as_deref(), Some("p"));
        assert_eq!(of(&Document::Absent), []);
        assert_eq!(escaped("a&b<'"), "a&amp;b&lt;&apos;");
    }
}
