//! Errors in a text, in words for its author.

use super::advice;
use super::limits::LimitExceeded;
use super::places::{TextPosition, key_at, nth_key, second_document};
use crate::config::keys;
use crate::config::suggest::{shortened, suggest};
use crate::machine::truncate;

/// Why a text can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// `None` where it is about the whole text.
    pub place: Option<TextPosition>,
    pub message: String,
    /// The text of that line.
    pub line: Option<Box<str>>,
    /// The top-level key that it is about.
    pub key: Option<Box<str>>,
}

/// What is told of a file that is a list.
const NOT_KEYS: &str = "this is no mapping of keys, such as `command: PROGRAM`: a file has the keys of one hook, which begin \
    at the margin and without `- `; a list of several hooks is what a script prints for `hookmux add script PATH`";

/// How many characters of the line are shown if a text exceeds a limit: the line may be very long.
const MAX_LINE_CHARS: usize = 200;

impl Mistake {
    /// Makes one from the YAML library's message. Only this file parses the sentences of the library and
    /// of serde; a test has each of them.
    pub fn of(text: &str, said: &str, place: Option<TextPosition>) -> Mistake {
        let message = match said.rfind(" at line ") {
            Some(end) => &said[..end],
            None => said,
        };
        let mut place = place;
        let mut message = message.to_owned();
        // for a duplicate key the library gives the start of the mapping; people need the second key
        if let Some(key) = duplicate(&message) {
            let second = nth_key(text, key, 2);
            let (before, _) = message.split_once("duplicate ").unwrap_or_default();
            let first = nth_key(text, key, 1).filter(|_| second.is_some());
            let first = first.map(|(line, _)| format!(", first in line {line}"));
            message =
                format!("{before}`{}` is there twice{}", shortened(key), first.unwrap_or_default());
            place = second.or(place);
        }
        if message.ends_with("expected a mapping of keys") {
            message = NOT_KEYS.to_owned();
        }
        if let Some(better) = unknown_value(&message) {
            message = better;
        }
        if message.contains("more than one document") {
            message = "a file holds one document, and a second one begins here".to_owned();
            place = second_document(text);
        }
        if let Some(unknown) = unknown_key(&message) {
            if let Some(first) = nth_key(text, &unknown.0, 1) {
                place = Some(first);
            }
            message = unknown.message();
        }
        if let Some(advice) = advice::of(text, said, place) {
            place = advice.place.or(place);
            message = advice.message;
        }
        let line = place.and_then(|(line, _)| text.lines().nth(line.saturating_sub(1)));
        let key = place.and_then(|(line, _)| key_at(text, line));
        Mistake { place, message: bounded(message), line: line.map(Box::from), key }
    }

    /// Makes one about a limit, which is checked before the library reads the text.
    pub fn of_limit(text: &str, excess: LimitExceeded) -> Mistake {
        let line = excess.place.and_then(|(line, _)| text.lines().nth(line - 1));
        let line = line.map(|line| line.chars().take(MAX_LINE_CHARS).collect());
        Mistake { place: excess.place, message: excess.limit.to_string(), line, key: None }
    }
}

/// The longest message, in bytes: all messages to libvirt have at most 4 KiB.
const MAX_MESSAGE_BYTES: usize = 2000;

struct UnknownKey<'a>(String, Vec<&'a str>);

impl UnknownKey<'_> {
    /// Returns the known key that has this one below it.
    fn belongs_below(&self) -> Option<&'static str> {
        let rows = keys::REGISTRATION.iter().chain(keys::SETTINGS);
        let mut pairs = rows.filter_map(|row| row.name.rsplit_once('.'));
        pairs
            .find(|(above, name)| *name == self.0 && self.1.contains(above))
            .map(|(above, _)| above)
    }

    fn message(&self) -> String {
        if let Some(above) = self.belongs_below() {
            return format!("`{}` belongs below `{above}`: indent it by two blanks more", self.0);
        }
        let hint = suggest(&self.0, self.1.iter().copied());
        format!("unknown key `{}`; {hint}", shortened(&self.0))
    }
}

/// Parses serde's ``unknown field `x`, expected one of `a`, `b` ``.
fn unknown_key(message: &str) -> Option<UnknownKey<'_>> {
    let (_, rest) = message.split_once("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some(UnknownKey(key.to_owned(), known))
}

/// Rewords serde's ``unknown variant `x`, expected one of `a`, `b` `` as an unknown value.
fn unknown_value(message: &str) -> Option<String> {
    let (before, rest) = message.split_once("unknown variant `")?;
    let (value, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2);
    Some(format!("{before}unknown value `{}`; {}", shortened(value), suggest(value, known)))
}

/// Shortens a message that may quote values of any length.
fn bounded(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(truncate::keep_start(&message, MAX_MESSAGE_BYTES).len());
        message.push('…');
    }
    message
}

/// Returns the key from the message of serde or of the YAML library about a duplicate.
fn duplicate(message: &str) -> Option<&str> {
    if let Some((_, rest)) = message.split_once("duplicate field `") {
        return rest.split('`').next();
    }
    message.split_once("duplicate entry with key \"").and_then(|(_, rest)| rest.split('"').next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml::{self, Value};
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        alpha: Option<bool>,
        beta: Option<u8>,
        gamma: Option<Word>,
        delta: Option<Inner>,
        map: Option<std::collections::BTreeMap<String, u8>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        one: Option<u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Fail,
        Stop,
    }

    /// What the libraries say, and what people are told of it.
    fn said(text: &str) -> (String, Mistake) {
        let theirs = yaml::unchecked::<Sample>(text).unwrap_err();
        (theirs, yaml::read::<Sample>(text).unwrap_err())
    }

    /// One test for each sentence of serde's and of the YAML library's that is taken apart: a new
    /// version of theirs that says something else fails here, and not in front of people.
    #[track_caller]
    fn assert_sentence(text: &str, theirs: &str, ours: &str, key: Option<&str>) {
        let (said, mistake) = said(text);
        assert!(said.contains(theirs), "the library says: {said}");
        let (line, column) = mistake.place.unwrap();
        assert_eq!(format!("{line}:{column}: {}", mistake.message), ours);
        assert_eq!(mistake.key.as_deref(), key);
    }

    #[test]
    fn sentence_unknown_field() {
        assert_sentence(
            "alpha: true\nbetta: 1\n",
            "unknown field `betta`, expected one of `alpha`, `beta`, `gamma`, `delta`, `map`",
            "2:1: unknown key `betta`; did you mean `beta`?",
            Some("betta"),
        );
    }

    #[test]
    fn sentence_unknown_field_of_one() {
        assert_sentence(
            "delta:\n  onne: 1\n",
            "unknown field `onne`, expected `one`",
            "2:3: unknown key `onne`; did you mean `one`?",
            Some("delta"),
        );
    }

    #[test]
    fn sentence_unknown_variant() {
        assert_sentence(
            "gamma: explode\n",
            "unknown variant `explode`, expected `fail` or `stop`",
            "1:8: gamma: unknown value `explode`; known are fail, stop",
            Some("gamma"),
        );
    }

    #[test]
    fn sentence_duplicate_field() {
        assert_sentence(
            "alpha: true\nbeta: 1\nalpha: false\n",
            "duplicate field `alpha`",
            "3:1: `alpha` is there twice, first in line 1",
            Some("alpha"),
        );
    }

    #[test]
    fn sentence_expected_a_boolean() {
        assert_sentence(
            "alpha: yes please\n",
            "expected a boolean",
            "1:8: alpha: `yes please` can't stand here: write true or false",
            Some("alpha"),
        );
    }

    #[test]
    fn sentence_unit_value() {
        assert_sentence(
            "map:\n  one:\n",
            "invalid type: unit value",
            "2:7: map.one: there is nothing here: write a whole number from 0 on",
            Some("map"),
        );
    }

    #[test]
    fn sentence_more_than_one_document() {
        assert_sentence(
            "alpha: true\n---\nbeta: 1\n",
            "more than one document",
            "2:1: a file holds one document, and a second one begins here",
            Some("alpha"),
        );
    }

    #[test]
    fn sentence_place() {
        let (said, mistake) = said("alpha: [\n");
        assert!(said.contains(" at line "), "{said}");
        assert!(!mistake.message.contains(" at line 2 column"), "{}", mistake.message);
        assert!(mistake.place.is_some());
    }

    #[test]
    fn sentence_duplicate_entry() {
        let text = "a: 1\nb: 2\na: 3\n";
        let said = yaml::unchecked::<Value>(text).unwrap_err();
        assert!(said.contains("duplicate entry with key \"a\""), "{said}");
        assert_eq!(yaml::read::<Value>(text).unwrap_err().place, Some((3, 1)));
    }

    #[test]
    fn of_a_text_over_a_limit_the_line_is_told() {
        let text = format!("a: b\n\nc: {}", "[".repeat(500));
        let mistake = yaml::read::<Value>(&text).unwrap_err();
        assert_eq!(mistake.place, Some((3, 67)));
        assert_eq!(mistake.message, "nested too deeply: at most 64 levels are read");
        assert_eq!(mistake.line.map(|line| line.len()), Some(MAX_LINE_CHARS));
    }
}
