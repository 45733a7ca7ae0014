//! Whose life an entry belongs to: a guest, a network, or a port of a network.

use crate::libvirt::{Call, Document, Driver, Operation, document};
use crate::machine::files;
use crate::memory::guest::Guest;
use crate::occasion::Occasion;

/// The name of an owner's directory in the ledger: `qemu-UUID`, `network-UUID`, `network-UUID.PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(String);

/// Stands between a network and its port.
const PORT_MARK: char = '.';

impl Owner {
    /// Returns the owner that a call is about; `None` for calls of the daemon, and for a port that the
    /// document doesn't name.
    pub(crate) fn of(occasion: &Occasion<'_>, guest: Option<&Guest>) -> Option<Owner> {
        let call = occasion.call;
        if let Some(guest) = guest {
            return Some(Owner(guest.key().to_owned()));
        }
        if call.driver != Driver::Network {
            return None;
        }
        let network = match occasion.uuid() {
            Some(uuid) => format!("network-{uuid}"),
            None => format!("network-name-{}", files::name_digest(call.object())),
        };
        if !is_about_port(call) {
            return Some(Owner(network));
        }
        // without its key a port can't be told from the others
        let port = port_key(&occasion.facts.document)?;
        Some(Owner(format!("{network}{PORT_MARK}{port}")))
    }

    /// Reads the name of a directory.
    pub fn of_directory(name: String) -> Owner {
        Owner(name)
    }

    pub fn directory(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_port(&self) -> bool {
        self.0.contains(PORT_MARK)
    }

    /// Tells whether it is the port with this uuid.
    pub(crate) fn is_port_named(&self, uuid: &str) -> bool {
        self.0
            .rsplit_once(PORT_MARK)
            .is_some_and(|(_, key)| key == files::name_digest(uuid.as_ref()))
    }

    /// Tells whether it is a port of this network.
    pub(crate) fn is_port_of(&self, network: &Owner) -> bool {
        self.0.strip_prefix(&network.0).is_some_and(|rest| rest.starts_with(PORT_MARK))
    }
}

fn is_about_port(call: &Call) -> bool {
    matches!(call.operation(), Operation::PortCreated | Operation::PortDeleted)
}

/// Returns what tells a port from the others of its network: its uuid; for libvirt before 5.5, which has
/// none, the guest and the MAC address.
fn port_key(document: &Document) -> Option<String> {
    let tree = document::parse(document.bytes()?).ok()?;
    let root = tree.root_element();
    let child = |name: &str| root.children().find(|child| child.has_tag_name(name));
    let text_of = |node: &roxmltree::Node<'_, '_>, name: &str| {
        node.children().find(|child| child.has_tag_name(name)).map(|child| document::text(&child))
    };
    let key = match child("networkport") {
        Some(port) => text_of(&port, "uuid")?,
        None => {
            let guest = child("domain").and_then(|guest| text_of(&guest, "uuid"))?;
            let interface = child("interface")?;
            let mac = interface.children().find(|child| child.has_tag_name("mac"))?;
            format!("{guest} {}", mac.attribute("address")?.to_ascii_lowercase())
        }
    };
    Some(files::name_digest(key.trim().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_known_by_its_uuid_and_formerly_by_guest_and_address() {
        let key = |text: &str| port_key(&Document::Whole(text.into()));
        let new = |uuid: &str| {
            format!("<hookData><network/><networkport><uuid>{uuid}</uuid></networkport></hookData>")
        };
        let old = |uuid: &str, mac: &str| {
            format!(
                "<hookData><network/><interface><mac address='{mac}'/></interface><domain><uuid>{uuid}</uuid></domain></hookData>"
            )
        };
        assert_eq!(key(&new("a")), key(&new(" a\n")));
        assert_ne!(key(&new("a")), key(&new("b")));
        assert_eq!(key(&old("a", "52:54:00:AA:00:01")), key(&old("a", "52:54:00:aa:00:01")));
        assert_ne!(key(&old("a", "52:54:00:aa:00:01")), key(&old("b", "52:54:00:aa:00:01")));
        assert_ne!(key(&old("a", "52:54:00:aa:00:01")), key(&old("a", "52:54:00:aa:00:02")));
        for nothing in
            ["<hookData><network/></hookData>", "<hookData>", "<hookData><networkport/></hookData>"]
        {
            assert_eq!(key(nothing), None, "{nothing}");
        }
        let [network, other] = ["network-1", "network-12"].map(|name| Owner(name.to_owned()));
        let port = Owner("network-1.0f".to_owned());
        assert!(
            port.is_port_of(&network) && !port.is_port_of(&other) && !network.is_port_of(&network)
        );
    }
}
