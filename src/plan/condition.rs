//! Tells whether the conditions (`when`) of a registered hook hold for a call. Pure.

use std::borrow::Cow;

use crate::config::registration::When;
use crate::config::values::Patterns;
use crate::libvirt::metadata::Property;
use crate::libvirt::{Call, Document, Driver};
use crate::machine::truncate;
use crate::occasion::Occasion;

/// The limits of what a message shows: of one value in bytes, and the number of networks.
const MAX_SHOWN_BYTES: usize = 200;
const MAX_SHOWN_NETWORKS: usize = 10;

/// The result of evaluating conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionResult {
    Yes,
    /// A condition doesn't hold: which one, and the value.
    No(String),
    /// The value isn't known: the document with it is broken or was never sent.
    Unknown(String),
}

/// Evaluates all conditions. The result names the first that doesn't hold.
pub fn evaluate(when: &When, occasion: &Occasion<'_>) -> ConditionResult {
    let (call, facts) = (occasion.call, &occasion.facts);
    // an event of another host has all that a registration may ask then
    let has_document =
        matches!(facts.document, Document::Whole(_)) || occasion.mode.remote().is_some();
    let name = call.object().to_string_lossy();
    // a release without a reason (libvirt before 10.5) has the empty one
    let reason = call.reason().map(|reason| reason.to_string_lossy()).unwrap_or_default();
    let title = facts.metadata.title.as_deref().unwrap_or_default();
    let known = |condition: &Option<Patterns>, what: &str, value: &str| {
        condition.as_ref().and_then(|patterns| mismatch(patterns, what, value))
    };
    let certain = known(&when.driver, "driver", call.driver.name())
        .or_else(|| known(&when.name, "name", &name))
        .or_else(|| known(&when.reason, "reason", &reason))
        .or_else(|| known(&when.origin, "origin", occasion.origin.name()));
    if let Some(why) = certain {
        return ConditionResult::No(why);
    }
    let asks_document = when.uuid.is_some()
        || when.title.is_some()
        || when.property.is_some()
        || asks_networks(when, call);
    if asks_document && !has_document {
        return ConditionResult::Unknown(unknown(&facts.document));
    }
    let in_document = known(&when.uuid, "uuid", occasion.uuid().unwrap_or_default())
        .or_else(|| known(&when.title, "title", title))
        .or_else(|| network(when, call, &name, &facts.metadata.networks))
        .or_else(|| property(when, &facts.metadata.properties));
    in_document.map_or(ConditionResult::Yes, ConditionResult::No)
}

fn mismatch(patterns: &Patterns, what: &str, value: &str) -> Option<String> {
    (!patterns.match_value(value))
        .then(|| format!("when: {what} is {}, not {patterns}", shown(value)))
}

/// Returns the beginning of a value: a guest's may have megabytes.
fn shown(value: &str) -> Cow<'_, str> {
    match value {
        "" => Cow::Borrowed("none"),
        _ if value.len() <= MAX_SHOWN_BYTES => Cow::Borrowed(value),
        _ => Cow::Owned(format!("{}…", truncate::keep_start(value, MAX_SHOWN_BYTES))),
    }
}

/// Tells whether the networks of a guest are needed. A network's own name is an argument of the call.
fn asks_networks(when: &When, call: &Call) -> bool {
    when.network.is_some() && call.driver != Driver::Network
}

fn network(when: &When, call: &Call, name: &str, networks: &[String]) -> Option<String> {
    let patterns = when.network.as_ref()?;
    if call.driver == Driver::Network {
        return mismatch(patterns, "network", name);
    }
    if patterns.match_any(networks.iter().map(String::as_str)) {
        return None;
    }
    let some: Vec<&str> = networks.iter().take(MAX_SHOWN_NETWORKS).map(String::as_str).collect();
    let more = if networks.len() > MAX_SHOWN_NETWORKS { ", …" } else { "" };
    Some(format!("when: network is {}{more}, not {patterns}", shown(&some.join(", "))))
}

fn property(when: &When, properties: &[Property]) -> Option<String> {
    when.property.iter().flatten().find_map(|(name, patterns)| {
        match properties.iter().find(|property| property.name == *name) {
            Some(property) => mismatch(patterns, &format!("property {name}"), &property.value),
            // harmless unless the guest asks for it
            None => Some(format!("when: property {name} is not set")),
        }
    })
}

fn unknown(document: &Document) -> String {
    match document {
        Document::Broken(why) | Document::NotRead { why, .. } => {
            format!("when: unknown, because {why}")
        }
        Document::Absent | Document::Whole(_) => {
            "when: unknown, because libvirt sent no document".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;
    use crate::document::facts::DocumentFacts;
    use crate::event::Origin;
    use crate::libvirt::document::DocumentIdentity;
    use crate::libvirt::metadata::Metadata;
    use crate::occasion;

    const UUID: &str = "91126ceb-7654-4672-8b0a-0cfef5ca9d75";

    fn when(text: &str) -> When {
        yaml::read(text).unwrap()
    }

    fn metadata() -> Metadata {
        Metadata {
            properties: vec![Property { name: "macspoof".into(), value: "true".into() }],
            title: Some("Web server".into()),
            networks: vec!["lan".into(), "dmz".into()],
            ..Metadata::default()
        }
    }

    fn judged(text: &str, document: &Document) -> ConditionResult {
        let call =
            Call::new(Driver::Qemu, ["web-1", "release", "end", "migrated"].map(Into::into).into());
        let identity =
            DocumentIdentity { uuid: Some(UUID.to_owned()), ..DocumentIdentity::default() };
        let facts = DocumentFacts { document: document.clone(), identity, metadata: metadata() };
        occasion::tests::with(&call, facts, Origin::Fresh, |occasion| {
            evaluate(&when(text), occasion)
        })
    }

    #[test]
    fn all_conditions_must_hold_and_the_one_that_does_not_is_told() {
        let document = Document::Whole(Vec::new());
        for (text, expected) in [
            ("{}", None),
            ("driver: qemu", None),
            ("driver: [lxc, network]", Some("when: driver is qemu, not lxc, network")),
            ("name: [web-*, '!web-test']", None),
            ("name: db", Some("when: name is web-1, not db")),
            ("{driver: qemu, name: db}", Some("when: name is web-1, not db")),
            ("uuid: 9112*", None),
            ("title: '* server'", None),
            ("title: x", Some("when: title is Web server, not x")),
            ("reason: migrated", None),
            ("reason: '!migrated'", Some("when: reason is migrated, not !migrated")),
            ("origin: [restore, migration]", Some("when: origin is fresh, not restore, migration")),
            ("network: dmz", None),
            ("network: '!lan'", Some("when: network is lan, dmz, not !lan")),
            ("property: {macspoof: true}", None),
            ("property: {macspoof: 'false'}", Some("when: property macspoof is true, not false")),
            ("property: {other: '*'}", Some("when: property other is not set")),
        ] {
            let expected =
                expected.map_or(ConditionResult::Yes, |why| ConditionResult::No(why.to_owned()));
            assert_eq!(judged(text, &document), expected, "{text}");
        }
    }

    #[test]
    fn what_only_a_document_tells_is_unknown_without_one() {
        let not_read = Document::NotRead { bytes: b"<d/>".into(), why: "it is too deep".into() };
        for document in [Document::Absent, Document::Broken("it had no end".into()), not_read] {
            for text in ["uuid: '*'", "title: x", "network: lan", "property: {a: b}"] {
                assert!(matches!(judged(text, &document), ConditionResult::Unknown(_)), "{text}");
            }
            assert_eq!(
                judged("{driver: qemu, name: web-1, reason: migrated, origin: fresh}", &document),
                ConditionResult::Yes
            );
            // one that certainly doesn't hold decides
            assert!(matches!(judged("{name: db, title: x}", &document), ConditionResult::No(_)));
        }
    }

    #[test]
    fn a_network_is_its_own() {
        let call =
            Call::new(Driver::Network, ["lan", "start", "begin", "-"].map(Into::into).into());
        let judged = |text| {
            let facts = DocumentFacts::of(Document::Absent);
            occasion::tests::with(&call, facts, Origin::Unknown, |occasion| {
                evaluate(&when(text), occasion)
            })
        };
        assert_eq!(judged("network: lan"), ConditionResult::Yes);
    }

    #[test]
    fn a_release_without_a_reason_is_not_excluded() {
        let call = Call::new(Driver::Qemu, ["g", "release", "end", "-"].map(Into::into).into());
        let judged = |text| {
            let facts = DocumentFacts::of(Document::Absent);
            occasion::tests::with(&call, facts, Origin::Fresh, |occasion| {
                evaluate(&when(text), occasion)
            })
        };
        assert_eq!(judged("reason: '!migrated'"), ConditionResult::Yes);
        assert!(matches!(judged("reason: saved"), ConditionResult::No(_)));
    }
}
