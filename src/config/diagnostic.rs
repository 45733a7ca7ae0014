//! What is wrong with a configuration file, and where: `file:line:column`, the line, a caret.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::meaning::Meaning;
use super::suggest::{shortened, suggest};
use crate::machine::cut;
use crate::trust::{Fault, Refusal};

/// What kind of problem it is. What depends on it asks here, never the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Others could have changed the file: it wasn't read.
    NotTrusted,
    /// It can't be read.
    Unreadable,
    /// The parser refused it: its YAML, a key that there isn't, or a value of another kind.
    Syntax,
    /// It was read, and what it says doesn't go together.
    #[default]
    Value,
}

/// A problem in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub path: PathBuf,
    /// Line and column, from 1; absent where the file as a whole is meant.
    pub place: Option<(usize, usize)>,
    pub message: String,
    /// The line that is meant.
    pub line: Option<Box<str>>,
    pub kind: Kind,
    /// The key that is meant, of those that lie below no other one.
    pub key: Option<Box<str>>,
    /// Of a registration, what it could have meant; `None` where nothing is known of that.
    pub meaning: Option<Box<Meaning>>,
}

impl Diagnostic {
    /// One about the file as a whole.
    pub fn whole(path: &Path, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            path: path.to_path_buf(),
            place: None,
            message: message.into(),
            line: None,
            kind: Kind::default(),
            key: None,
            meaning: None,
        }
    }

    /// One about a file that can't be read.
    pub fn unreadable(path: &Path, message: impl Into<String>) -> Diagnostic {
        Diagnostic { kind: Kind::Unreadable, ..Diagnostic::whole(path, message) }
    }

    /// One about a file that others could have changed, or that is none.
    pub fn not_trusted(path: &Path, refusal: &Refusal) -> Diagnostic {
        let kind = match refusal.fault {
            Fault::NotRegular => Kind::Unreadable,
            _ => Kind::NotTrusted,
        };
        Diagnostic { kind, ..Diagnostic::whole(path, refusal.words()) }
    }

    /// One about a key, where it first stands.
    pub fn at_key(path: &Path, text: &str, key: &str, message: String) -> Diagnostic {
        let place = if key.is_empty() { None } else { nth_key(text, key, 1) };
        let line = place.and_then(|(line, _)| text.lines().nth(line - 1)).map(Box::from);
        let key = (!key.is_empty()).then(|| key.into());
        let (place, kind) = (place.or(Some((1, 1))), Kind::Value);
        let path = path.to_path_buf();
        Diagnostic { path, place, message, line, kind, key, meaning: None }
    }

    /// From what the YAML library says. Its sentences and serde's are taken apart here, and here
    /// only; a test has each of them.
    pub fn from_yaml(path: &Path, text: &str, error: &serde_yaml::Error) -> Diagnostic {
        let said = error.to_string();
        let message = match said.rfind(" at line ") {
            Some(end) => &said[..end],
            None => said.as_str(),
        };
        let mut place = error.location().map(|at| (at.line(), at.column()));
        // of a duplicate the library tells where the mapping begins; people want the second one
        if let Some(second) = duplicate(message).and_then(|key| nth_key(text, key, 2)) {
            place = Some(second);
        }
        let mut message = message.to_owned();
        if message.ends_with("expected a boolean") {
            message.push_str(": write true or false");
        }
        // these are the words of the one who wrote the parser
        message = message.replace("invalid type: unit value", "there is nothing here");
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
        let line = place.and_then(|(line, _)| text.lines().nth(line.saturating_sub(1)));
        let (line, kind) = (line.map(Box::from), Kind::Syntax);
        let key = place.and_then(|(line, _)| key_at(text, line));
        let (path, message) = (path.to_path_buf(), bounded(message));
        Diagnostic { path, place, message, line, kind, key, meaning: None }
    }

    /// The same, with what the registration could have meant.
    pub fn with_meaning(self, text: &str) -> Diagnostic {
        Diagnostic { meaning: Some(Box::new(Meaning::of(text))), ..self }
    }

    /// What a registration could have meant: anything, where nothing is known.
    pub fn meaning(&self) -> Meaning {
        self.meaning.as_deref().cloned().unwrap_or_default()
    }

    /// Place and message on one line.
    pub fn one_line(&self) -> String {
        match self.place {
            Some((line, column)) => {
                format!("{}:{line}:{column}: {}", self.path.display(), self.message)
            }
            None => format!("{}: {}", self.path.display(), self.message),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one_line())?;
        let (Some((_, column)), Some(line)) = (self.place, &self.line) else { return Ok(()) };
        let line: String = line.chars().take(160).collect();
        // tabs stay tabs, so that the caret stands where the terminal puts the column
        let indent: String = line
            .chars()
            .take(column.saturating_sub(1))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        write!(f, "\n  {line}\n  {indent}^")
    }
}

/// The longest message, in bytes: what libvirt is told has at most 4 KiB in all.
const MAX_MESSAGE_BYTES: usize = 2000;

struct UnknownKey<'a>(String, Vec<&'a str>);

impl UnknownKey<'_> {
    fn message(&self) -> String {
        let hint = suggest(&self.0, self.1.iter().copied());
        format!("unknown key `{}`; {hint}", shortened(&self.0))
    }
}

/// Takes serde's ``unknown field `x`, expected one of `a`, `b` `` apart.
fn unknown_key(message: &str) -> Option<UnknownKey<'_>> {
    let (_, rest) = message.split_once("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some(UnknownKey(key.to_owned(), known))
}

/// Says serde's ``unknown variant `x`, expected one of `a`, `b` `` as of a key.
fn unknown_value(message: &str) -> Option<String> {
    let (before, rest) = message.split_once("unknown variant `")?;
    let (value, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2);
    Some(format!("{before}unknown value `{}`; {}", shortened(value), suggest(value, known)))
}

/// The beginning of a message that may quote values of any length.
fn bounded(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(cut::beginning(&message, MAX_MESSAGE_BYTES).len());
        message.push('…');
    }
    message
}

/// Where the line stands that begins a second document.
fn second_document(text: &str) -> Option<(usize, usize)> {
    let is_comment =
        |line: &str| line.trim().is_empty() || line.trim_start().starts_with(['#', '%']);
    let mut has_content = false;
    for (index, line) in text.lines().enumerate() {
        let begins = line == "---" || line.starts_with("--- ");
        if begins && has_content {
            return Some((index + 1, 1));
        }
        has_content |= begins || !is_comment(line);
    }
    None
}

/// The key of serde's or the YAML library's word for a duplicate.
fn duplicate(message: &str) -> Option<&str> {
    if let Some((_, rest)) = message.split_once("duplicate field `") {
        return rest.split('`').next();
    }
    message.split_once("duplicate entry with key \"").and_then(|(_, rest)| rest.split('"').next())
}

/// The key of a block mapping that a line belongs to, of those that lie below no other one.
fn key_at(text: &str, line: usize) -> Option<Box<str>> {
    let lines: Vec<&str> = text.lines().take(line).collect();
    lines.iter().rev().find_map(|line| {
        let key = line.split_once(':')?.0;
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        is_key.then(|| key.into())
    })
}

/// Where a key stands for the n-th time.
fn nth_key(text: &str, key: &str, n: usize) -> Option<(usize, usize)> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let bare = line.trim_start_matches([' ', '-']);
            let after = bare.trim_start_matches(['"', '\'']).strip_prefix(key)?;
            let is_key = after.trim_start_matches(['"', '\'']).trim_start().starts_with(':');
            is_key.then(|| (index + 1, line.chars().count() - bare.chars().count() + 1))
        })
        .nth(n - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_points_at_the_column() {
        let diagnostic = Diagnostic {
            path: "/x/hookmux.yaml".into(),
            place: Some((3, 10)),
            message: "invalid duration".into(),
            line: Some("timeout: 3x".into()),
            kind: Kind::Syntax,
            key: Some("timeout".into()),
            meaning: None,
        };
        assert_eq!(
            diagnostic.to_string(),
            "/x/hookmux.yaml:3:10: invalid duration\n  timeout: 3x\n           ^"
        );
    }

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
    fn said(text: &str) -> (String, Diagnostic) {
        let error = serde_yaml::from_str::<Sample>(text).unwrap_err();
        (error.to_string(), Diagnostic::from_yaml(Path::new("/f"), text, &error))
    }

    /// One test for each sentence of serde's and of the YAML library's that is taken apart: a new
    /// version of theirs that says something else fails here, and not in front of people.
    #[track_caller]
    fn assert_sentence(text: &str, theirs: &str, ours: &str, key: Option<&str>) {
        let (said, diagnostic) = said(text);
        assert!(said.contains(theirs), "the library says: {said}");
        assert_eq!(diagnostic.one_line(), format!("/f:{ours}"));
        assert_eq!((diagnostic.key.as_deref(), diagnostic.kind), (key, Kind::Syntax));
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
            "3:1: duplicate field `alpha`",
            Some("alpha"),
        );
    }

    #[test]
    fn sentence_expected_a_boolean() {
        assert_sentence(
            "alpha: yes please\n",
            "expected a boolean",
            "1:8: alpha: invalid type: string \"yes please\", expected a boolean: write true or false",
            Some("alpha"),
        );
    }

    #[test]
    fn sentence_unit_value() {
        assert_sentence(
            "map:\n  one:\n",
            "invalid type: unit value",
            "2:7: map.one: there is nothing here, expected u8",
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
        let (said, diagnostic) = said("alpha: [\n");
        assert!(said.contains(" at line "), "{said}");
        assert!(!diagnostic.message.contains(" at line 2 column"), "{}", diagnostic.message);
        assert!(diagnostic.place.is_some());
    }

    #[test]
    fn sentence_duplicate_entry() {
        let text = "a: 1\nb: 2\na: 3\n";
        let error = serde_yaml::from_str::<serde_yaml::Value>(text).unwrap_err();
        assert!(error.to_string().contains("duplicate entry with key \"a\""), "{error}");
        let diagnostic = Diagnostic::from_yaml(Path::new("/f"), text, &error);
        assert_eq!(diagnostic.place, Some((3, 1)));
    }
}
