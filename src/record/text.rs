//! Bytes in JSON: a string if they are UTF-8, else an object with their base64 form.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are usually UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordText(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    Plain(std::borrow::Cow<'a, str>),
    Coded { base64: String },
}

impl RecordText {
    pub fn lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    pub fn os(&self) -> OsString {
        OsString::from_vec(self.0.clone())
    }
}

impl From<&OsStr> for RecordText {
    fn from(text: &OsStr) -> RecordText {
        RecordText(text.as_bytes().to_vec())
    }
}

impl Serialize for RecordText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Written::Coded { base64: STANDARD.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RecordText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RecordText, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Plain(text) => Ok(RecordText(text.into_owned().into_bytes())),
            Written::Coded { base64 } => {
                STANDARD.decode(base64).map(RecordText).map_err(serde::de::Error::custom)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_back() {
        for (bytes, written) in [
            (&b"plain \"text\"\n"[..], r#""plain \"text\"\n""#),
            (b"\xff\x00", r#"{"base64":"/wA="}"#),
        ] {
            let text = RecordText(bytes.to_vec());
            assert_eq!(serde_json::to_string(&text).unwrap(), written);
            assert_eq!(serde_json::from_str::<RecordText>(written).unwrap(), text);
        }
    }
}
