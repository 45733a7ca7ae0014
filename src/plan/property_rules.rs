//! Compares custom properties with the values that `custom_properties` allows. Pure.

use crate::config::settings::FILE_NAME;
use crate::libvirt::metadata::Property;
use crate::libvirt::{Class, Driver};
use crate::occasion::Occasion;

/// The number of properties that are reported; a guest may have thousands.
const MAX_REPORTED_PROPERTIES: usize = 5;
/// The limit for a name or a value in a message, in characters.
const MAX_SHOWN_CHARS: usize = 64;

/// Returns a message for each property with a value that isn't allowed. At a gate this is a reason to
/// fail; at other calls hooks don't get these properties under their bare names.
pub(crate) fn broken(occasion: &Occasion<'_>) -> Vec<String> {
    let Occasion { call, settings, facts, .. } = occasion;
    let Some(rules) = &settings.custom_properties else { return Vec::new() };
    let metadata = &facts.metadata;
    let file = settings.hooks_dir.join(FILE_NAME);
    let unread = if rules.is_map() { facts.document.why_not_read() } else { None };
    if let Some(why) = unread {
        // a value that can't be compared may be anything
        return vec![format!(
            "custom_properties in {} has values to compare, but {why}",
            file.display()
        )];
    }
    let of_guest = metadata.properties.iter().map(|property| (None, property));
    let of_devices = metadata.devices.iter().flat_map(|device| {
        device.properties.iter().map(|property| (Some(device.label.as_str()), property))
    });
    let all: Vec<_> = of_guest
        .chain(of_devices)
        .filter_map(|(device, property)| {
            let allowed = rules.violated_rule(&property.name, &property.value)?;
            Some((device, property, allowed))
        })
        .collect();
    let what = if call.driver == Driver::Network { "network" } else { "guest" };
    let object = call.object().to_string_lossy();
    let consequence = match call.class() {
        Class::Gate => "; change the property (virsh edit) or the setting",
        Class::Live | Class::Notify => "; hooks don't get it under its bare name",
    };
    let words = |(device, property, allowed): &(Option<&str>, &Property, _)| {
        let device = device.map(|label| format!(", device {}", shown(label))).unwrap_or_default();
        format!(
            "{what} {object}{device}: custom property `{}` is `{}`, and custom_properties in {} allows `{allowed}`{consequence}",
            shown(&property.name),
            shown(&property.value),
            file.display()
        )
    };
    let mut messages: Vec<String> = all.iter().take(MAX_REPORTED_PROPERTIES).map(words).collect();
    if all.len() > MAX_REPORTED_PROPERTIES {
        messages.push(format!(
            "{what} {object}: {} more custom properties have values that custom_properties in {} doesn't allow",
            all.len() - MAX_REPORTED_PROPERTIES,
            file.display()
        ));
    }
    messages
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
