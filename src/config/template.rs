//! Arguments with placeholders that a call fills in: `$NAME`, `--guest=$UUID`.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use super::suggest::did_you_mean;

/// The placeholders.
pub(crate) const WORDS: [&str; 7] =
    ["NAME", "UUID", "EVENT", "OPERATION", "REASON", "HOST", DOCUMENT_WORD];
/// The placeholder that stands for the document.
pub(crate) const DOCUMENT_WORD: &str = "XML_BASE64";

/// One argument as written; it has only known placeholders. `$$` is a dollar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// Checks the placeholders of an argument.
    ///
    /// # Errors
    /// An unknown placeholder, with a similar one.
    pub fn parse(text: &str) -> Result<Template, String> {
        for piece in pieces(text) {
            match piece {
                TemplatePiece::Word(word) if !WORDS.contains(&word) => {
                    let hint = did_you_mean(word, WORDS).map_or_else(
                        || format!("there are ${}; a dollar itself is $$", WORDS.join(", $")),
                        |meant| format!("did you mean ${meant}?"),
                    );
                    return Err(format!("`${word}` in `{text}` can't be filled in; {hint}"));
                }
                _ => {}
            }
        }
        Ok(Template(text.to_owned()))
    }

    /// Fills in the placeholders.
    pub fn fill(&self, value: &mut dyn FnMut(&str) -> Vec<u8>) -> Vec<u8> {
        let mut filled = Vec::with_capacity(self.0.len());
        for piece in pieces(&self.0) {
            match piece {
                TemplatePiece::Text(text) => filled.extend_from_slice(text.as_bytes()),
                TemplatePiece::Word(word) => filled.extend(value(word)),
            }
        }
        filled
    }

    /// Tells whether it has a placeholder.
    pub fn uses(&self, word: &str) -> bool {
        pieces(&self.0).contains(&TemplatePiece::Word(word))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Template, D::Error> {
        let text = super::values::scalar(deserializer)?;
        Template::parse(&text).map_err(de::Error::custom)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum TemplatePiece<'a> {
    Text(&'a str),
    Word(&'a str),
}

fn pieces(text: &str) -> Vec<TemplatePiece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        if dollar > 0 {
            pieces.push(TemplatePiece::Text(&rest[..dollar]));
        }
        let after = &rest[dollar + 1..];
        if let Some(after) = after.strip_prefix('$') {
            pieces.push(TemplatePiece::Text("$"));
            rest = after;
            continue;
        }
        let (word, after) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((word, after)) => (word, after),
            None => after.split_at(
                after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len()),
            ),
        };
        pieces.push(if word.is_empty() {
            TemplatePiece::Text("$")
        } else {
            TemplatePiece::Word(word)
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(TemplatePiece::Text(rest));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_filled_in() {
        let fill = |text: &str| {
            let filled =
                Template::parse(text).unwrap().fill(&mut |word| format!("<{word}>").into_bytes());
            String::from_utf8(filled).unwrap()
        };
        assert_eq!(fill("$NAME"), "<NAME>");
        assert_eq!(fill("--guest=$NAME,$UUID-"), "--guest=<NAME>,<UUID>-");
        assert_eq!(fill("${NAME}s"), "<NAME>s");
        assert_eq!(fill("$$5 and a $"), "$5 and a $");
        assert_eq!(fill("plain"), "plain");
    }

    #[test]
    fn other_words_are_mistakes() {
        assert!(Template::parse("$NAM").unwrap_err().contains("did you mean $NAME?"));
        assert!(Template::parse("$TEMPLATE").unwrap_err().contains("$XML_BASE64"));
    }
}
