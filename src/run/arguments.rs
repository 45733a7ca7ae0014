//! What a registered hook gets besides its environment: arguments with placeholders filled in, and the
//! event as one JSON object.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::config::Registration;
use crate::config::template::{DOCUMENT_WORD, WORDS};
use crate::libvirt::metadata::Property;
use crate::machine::host_name;
use crate::occasion::Occasion;

/// Everything that a hook can get about its call.
pub(crate) struct HookInput<'a> {
    pub occasion: &'a Occasion<'a>,
    /// The event of the step, else that of the call.
    pub event: Option<Cow<'static, str>>,
    /// The document, or the part of it, for this hook.
    pub document: Option<&'a [u8]>,
    pub device: Option<usize>,
    pub run: &'a str,
    pub hook: &'a str,
    /// The file with the document of `started`.
    pub started: Option<&'a Path>,
}

impl HookInput<'_> {
    /// Returns the arguments of a registration with placeholders filled in.
    pub(crate) fn arguments(&self, registration: &Registration) -> Vec<Vec<u8>> {
        registration
            .args
            .iter()
            .map(|argument| argument.fill(&mut |word| self.word(word)))
            .collect()
    }

    /// Returns the values of the placeholders in a registration's arguments; of the document only its size.
    pub(crate) fn values(
        &self,
        registration: &Registration,
    ) -> (BTreeMap<String, String>, Option<u64>) {
        let is_used = |word: &str| registration.args.iter().any(|argument| argument.uses(word));
        let (document, short): (Vec<&str>, Vec<&str>) =
            WORDS.into_iter().filter(|word| is_used(word)).partition(|word| *word == DOCUMENT_WORD);
        let value = |word: &str| String::from_utf8_lossy(&self.word(word)).into_owned();
        let values = short.into_iter().map(|word| (word.to_owned(), value(word))).collect();
        let size = self.document.map_or(0, <[u8]>::len) as u64;
        (values, (!document.is_empty()).then_some(size))
    }

    fn word(&self, word: &str) -> Vec<u8> {
        let bytes = |text: &OsStr| text.as_bytes().to_vec();
        match word {
            "NAME" => bytes(self.occasion.call.object()),
            "UUID" => self.occasion.execution.uuid.clone().unwrap_or_default().into_bytes(),
            "EVENT" => self.event.as_deref().unwrap_or_default().as_bytes().to_vec(),
            "OPERATION" => bytes(self.occasion.call.operation_name()),
            "REASON" => self.occasion.call.reason().map(bytes).unwrap_or_default(),
            "HOST" => host().into_bytes(),
            DOCUMENT_WORD => STANDARD.encode(self.document.unwrap_or_default()).into_bytes(),
            _ => Vec::new(),
        }
    }

    /// Returns the event as one object, for `stdin: json`. Keys are added, never changed.
    pub(crate) fn json(&self) -> Vec<u8> {
        let text = |text: &OsStr| Value::from(text.to_string_lossy());
        let device = self
            .device
            .and_then(|index| self.occasion.facts.metadata.devices.get(index))
            .map(|device| {
                json!({
                    "kind": device.kind,
                    "label": device.label,
                    "properties": self.allowed(&device.properties),
                })
            });
        let value = json!({
            "event": self.event,
            "driver": self.occasion.call.driver.name(),
            "object": text(self.occasion.call.object()),
            "operation": text(self.occasion.call.operation_name()),
            "sub_operation": text(self.occasion.call.sub_operation()),
            "extra": text(self.occasion.call.extra()),
            "reason": self.occasion.call.reason().map(text),
            "origin": self.occasion.call.driver.is_guest().then(|| self.occasion.origin.name()),
            "uuid": self.occasion.execution.uuid,
            "title": self.occasion.facts.metadata.title,
            "networks": self.occasion.facts.metadata.networks,
            "host": host(),
            "remote": self.occasion.mode.remote().map(|remote| json!({
                "host": remote.host,
                "execution": remote.execution,
                "boot": remote.boot,
                "sequence": remote.sequence,
                "time": remote.time,
                "outcome": remote.outcome,
                "status": remote.exit_status,
                "again": remote.is_again,
            })),
            "hook": self.hook,
            "hooks_dir": self.occasion.settings.hooks_dir.to_string_lossy(),
            "execution": self.occasion.execution.id,
            "run": self.run,
            "properties": self.allowed(&self.occasion.facts.metadata.properties),
            "device": device,
            "started_xml": self.started.map(|path| path.to_string_lossy()),
            "xml": self.document.map(String::from_utf8_lossy),
        });
        let mut bytes = serde_json::to_vec(&value).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Returns properties as an object, without those with a value that isn't allowed.
    fn allowed(&self, properties: &[Property]) -> Value {
        let rules = self.occasion.settings.custom_properties.as_ref();
        let is_allowed = |property: &&Property| {
            let (name, value) = (&property.name, &property.value);
            rules.is_none_or(|rules| rules.violated_rule(name, value).is_none())
        };
        let pairs = properties
            .iter()
            .filter(is_allowed)
            .map(|property| (property.name.clone(), Value::from(property.value.clone())));
        Value::Object(pairs.collect::<Map<_, _>>())
    }
}

/// Returns the name of this host.
pub(crate) fn host() -> String {
    host_name::get()
}
