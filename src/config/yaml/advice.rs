//! Rewords what the YAML library and serde say about a text, for its author: what is wrong in plain words,
//! where it is, and how it is written.
//!
//! The library tells what it was doing when it got stuck. The mistake is often earlier in the text, so the
//! text itself is looked at here.

use super::places::TextPosition;
use crate::config::suggest::shortened;

/// A mistake in plain words.
pub(super) struct Advice {
    /// Where it is; `None` where the library's place is right.
    pub place: Option<TextPosition>,
    pub message: String,
}

impl Advice {
    fn at(place: TextPosition, message: impl Into<String>) -> Advice {
        Advice { place: Some(place), message: message.into() }
    }
}

/// Returns plain words for an error; `None` where there are none. `said` is the library's whole message.
pub(super) fn of(text: &str, said: &str, place: Option<TextPosition>) -> Option<Advice> {
    let text = Text(text);
    let told = places_in(said);
    let place = place.or(told.first().copied());
    // the beginning of what it was reading
    let began = told.last().copied().or(place);
    let has = |words: &str| said.contains(words);
    if has("control characters are not allowed") {
        return text.control_character();
    }
    if has("more than one document") {
        return text.other_margin();
    }
    if let Some(wrong) = (has("invalid type: ") || has("invalid value: "))
        .then(|| text.of_type(said, place))
        .flatten()
    {
        return Some(wrong);
    }
    if has("there is nothing here") || has("unit value") {
        let at = place?;
        return (text.char_at(at) == Some('&')).then(|| text.indicator(at)).flatten();
    }
    if has("while scanning an alias") || has("unknown anchor") || has("while scanning an anchor") {
        return text.indicator(text.nearest(&['*', '&'], began?)?);
    }
    if has("while scanning a tag") || has("tag handle") {
        return text.indicator(text.nearest(&['!'], began?)?);
    }
    if has("tab character") || has("cannot start any token") {
        let at = place?;
        return match text.char_at(at) {
            Some('\t') => Some(text.tab(at)),
            _ => text.indicator(at),
        };
    }
    if has("mapping values are not allowed") {
        return text.colon(place?);
    }
    if has("could not find expected ':'") {
        return text.without_colon(began?);
    }
    if has("unexpected end of stream") && has("quoted scalar") {
        return Some(Advice::at(began?, "this quote is never closed"));
    }
    if has("unknown escape character") || has("hexdecimal number") || has("hexadecimal number") {
        let words = "in \"…\" a backslash begins a special character: write `\\\\` for a backslash, or use '…'";
        return Some(Advice { place, message: words.to_owned() });
    }
    if has("expected ',' or ']'") || has("expected ',' or '}'") {
        let pair = if has("or '}'") { ('{', '}') } else { ('[', ']') };
        return Some(open_bracket(place?, began?, pair));
    }
    if has("block sequence entries are not allowed") {
        let words = "a list begins on a line of its own, or is written as [a, b]";
        return Some(Advice { place, message: words.to_owned() });
    }
    if has("did not find expected key") || has("did not find expected '-' indicator") {
        return text.stray(place?);
    }
    None
}

/// Returns the places that a message of the library names: where it got stuck, and where what it was reading
/// begins.
fn places_in(said: &str) -> Vec<TextPosition> {
    let number = |word: &str| -> Option<usize> {
        let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
        word[..end].parse().ok()
    };
    said.split(" at line ")
        .skip(1)
        .filter_map(|rest| {
            let (_, column) = rest.split_once(" column ")?;
            Some((number(rest)?, number(column)?))
        })
        .collect()
}

/// The words for a type that serde expected.
fn wanted(expected: &str) -> String {
    match expected {
        "a boolean" => "true or false",
        "i32" | "i64" => "a whole number, such as 100 or -5",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on",
        "a nonzero u32" | "a nonzero u64" => "a whole number from 1 on",
        "a sequence" => "a list, as [a, b]",
        "a map" => "a mapping, as `NAME: value`",
        "a string" | "string or map" => "a text",
        "path string" => "a path",
        "a string (quote it)" => "a text in quotes",
        other => other.strip_prefix("string, ").unwrap_or(other),
    }
    .to_owned()
}

/// Quotes a text for YAML.
fn quoted(text: &str) -> String {
    match text.contains(['"', '\\']) {
        true => format!("'{}'", text.replace('\'', "''")),
        false => format!("\"{text}\""),
    }
}

/// Returns the key and what follows its colon, if a line begins with a key that has a colon.
fn key_and_rest(line: &str) -> Option<(&str, &str)> {
    let bare = line.trim_start().trim_start_matches("- ").trim_start();
    let (key, rest) = bare.split_once(':')?;
    let is_key = !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '"');
    is_key.then_some((key, rest))
}

/// A list or mapping in brackets that doesn't go on as it must.
fn open_bracket(stuck: TextPosition, began: TextPosition, pair: (char, char)) -> Advice {
    let (open, close) = pair;
    if stuck.0 > began.0 {
        return Advice::at(began, format!("this `{open}` is never closed"));
    }
    Advice::at(stuck, format!("a comma or the closing `{close}` is missing before this"))
}

fn has_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

fn indent(line: &str) -> usize {
    line.chars().take_while(|c| *c == ' ').count()
}

/// A text, and questions about its lines. Lines and columns are counted from 1.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn line(&self, number: usize) -> &'a str {
        self.0.lines().nth(number.saturating_sub(1)).unwrap_or_default()
    }

    fn char_at(&self, (line, column): TextPosition) -> Option<char> {
        self.line(line).chars().nth(column.saturating_sub(1))
    }

    /// Returns the last line with content up to this one.
    fn content_up_to(&self, number: usize) -> Option<(usize, &'a str)> {
        // all lines at once: a text may have a million empty ones
        let lines: Vec<&str> = self.0.lines().take(number).collect();
        let index = lines.iter().rposition(|line| has_content(line))?;
        Some((index + 1, lines[index]))
    }

    /// Returns the first of these characters at a place or behind it, else the last one before, in its line.
    fn nearest(&self, wanted: &[char], (line, column): TextPosition) -> Option<TextPosition> {
        let places = self.line(line).chars().enumerate();
        let places: Vec<usize> =
            places.filter(|(_, c)| wanted.contains(c)).map(|(index, _)| index + 1).collect();
        let behind = places.iter().find(|at| **at >= column);
        behind.or(places.last()).map(|at| (line, *at))
    }

    /// Returns the value that begins at a place, up to the end of the line or of its item in a list.
    fn value_at(&self, (line, column): TextPosition) -> &'a str {
        let line = self.line(line);
        let start =
            line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
        let (before, value) = line.split_at(start);
        let value = value.find(" #").map_or(value, |end| &value[..end]);
        let is_in_list = before.contains(['[', '{']);
        let end = if is_in_list { value.find([',', ']', '}']) } else { None };
        value[..end.unwrap_or(value.len())].trim_end()
    }

    /// A value that begins with a character that means something else in YAML.
    fn indicator(&self, at: TextPosition) -> Option<Advice> {
        let first = self.char_at(at)?;
        let meaning = match first {
            '*' => "refers to another value in YAML (an alias)",
            '&' => "names a value in YAML (an anchor)",
            '!' => "begins the name of a type in YAML (a tag)",
            '@' | '`' | '%' => "can't begin a value in YAML",
            _ => return None,
        };
        let value = shortened(self.value_at(at));
        Some(Advice::at(at, format!("`{first}` {meaning}: quote the value: {}", quoted(&value))))
    }

    fn tab(&self, at: TextPosition) -> Advice {
        let is_indentation =
            self.line(at.0).chars().take(at.1.saturating_sub(1)).all(char::is_whitespace);
        Advice::at(
            at,
            match is_indentation {
                true => "a tab begins this line: YAML takes only blanks there",
                false => "a tab stands here: YAML takes only a blank",
            },
        )
    }

    /// A colon where none can be: `a: b: c`, `a: b:`, or a line that is indented although the key above has a
    /// value already.
    fn colon(&self, (number, column): TextPosition) -> Option<Advice> {
        let line = self.line(number);
        let (before, after): (String, String) = (
            line.chars().take(column.saturating_sub(1)).collect(),
            line.chars().skip(column).collect(),
        );
        // the library may name the value behind the colon
        let before = before.trim_end().trim_end_matches(':').to_owned();
        if let Some((key, value)) = before.split_once(": ") {
            let begins = key.chars().count() + 3 + value.len() - value.trim_start().len();
            if !has_content(after.trim_start_matches(':')) {
                let right = shortened(before.trim());
                let words = format!("there is a colon too many at the end: `{right}`");
                return Some(Advice::at((number, column), words));
            }
            let whole = self.value_at((number, begins));
            let words = format!(
                "a value with `: ` in it has to be quoted: `{}: {}`",
                key.trim(),
                quoted(&shortened(whole))
            );
            return Some(Advice::at((number, begins), words));
        }
        let own = indent(line);
        let (_, above) = self.content_up_to(number.saturating_sub(1))?;
        (own > indent(above)).then(|| {
            let words = format!(
                "this line is indented deeper than the one above, which has its value already: begin it with {}",
                blanks(indent(above))
            );
            Advice::at((number, own + 1), words)
        })
    }

    /// A line that has no `KEY: `.
    fn without_colon(&self, (number, _): TextPosition) -> Option<Advice> {
        let (number, line) = self.content_up_to(number)?;
        let at = |message: String| Some(Advice::at((number, indent(line) + 1), message));
        if ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark)) {
            return at(
                "two versions of this file were never merged: take one, and remove the marks"
                    .to_owned(),
            );
        }
        if self.0.starts_with("#!") {
            let words = "this is a script (its first line begins with `#!`), and no file with keys";
            return Some(Advice::at((1, 1), words));
        }
        if let Some((key, rest)) =
            key_and_rest(line).filter(|(_, rest)| !rest.starts_with([' ', '\t']))
        {
            return at(match rest.chars().next().filter(|c| c.is_whitespace()) {
                Some(odd) => format!(
                    "after the colon comes U+{:04X}, which only looks like a blank: type a blank",
                    odd as u32
                ),
                None => format!("a blank is missing after the colon: `{key}: {}`", shortened(rest)),
            });
        }
        if let Some((key, value)) = line.split_once('=') {
            let key = key.trim();
            if key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !key.is_empty() {
                let words =
                    format!("a key ends with a colon: `{key}: {}`", shortened(value.trim()));
                return at(words);
            }
        }
        at(format!("this line has no key: write `KEY: {}`", shortened(line.trim())))
    }

    /// A line that fits nothing above.
    fn stray(&self, at: TextPosition) -> Option<Advice> {
        let line = self.line(at.0);
        let before: String = line.chars().take(at.1.saturating_sub(1)).collect();
        if let Some(quote) =
            before.trim_end().chars().next_back().filter(|c| ['\'', '"'].contains(c))
        {
            let way = match quote {
                '\'' => "inside of '…' it is written twice: ''",
                _ => "inside of \"…\" it is written with a backslash: \\\"",
            };
            let column = before.trim_end().chars().count();
            return Some(Advice::at((at.0, column), format!("the quoted text ends here; {way}")));
        }
        let (_, above) = self.content_up_to(at.0.saturating_sub(1))?;
        let words = match line.trim_start().starts_with("- ") {
            true => {
                "this item of a list fits nothing above: items begin in one column, below their key"
            }
            false if indent(line) != indent(above) => {
                "this line fits no line above: keys that belong together begin in one column"
            }
            false => return self.without_colon(at),
        };
        Some(Advice::at((at.0, indent(line) + 1), words))
    }

    /// A line nearer to the margin than the first one, which ends the file for the library.
    fn other_margin(&self) -> Option<Advice> {
        let mut lines = (1..).zip(self.0.lines()).filter(|(_, line)| has_content(line));
        let (_, first) =
            lines.find(|(_, line)| !line.starts_with("---") && !line.starts_with('%'))?;
        let (number, line) = lines.find(|(_, line)| indent(line) < indent(first))?;
        (!line.starts_with("---")).then(|| {
            let words = format!(
                "this line begins nearer to the margin than the first one ({}): begin both with {}",
                blanks(indent(first)),
                blanks(indent(line))
            );
            Advice::at((number, indent(line) + 1), words)
        })
    }

    fn control_character(&self) -> Option<Advice> {
        let is_odd = |c: char| {
            (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'))
                || matches!(c, '\u{fffe}' | '\u{ffff}')
        };
        (1..).zip(self.0.split('\n')).find_map(|(number, line)| {
            let (index, odd) = line.chars().enumerate().find(|(_, c)| is_odd(*c))?;
            let words =
                format!("the character U+{:04X} can't be part of YAML: remove it", odd as u32);
            Some(Advice::at((number, index + 1), words))
        })
    }

    /// A value of another type than its key has.
    fn of_type(&self, said: &str, place: Option<TextPosition>) -> Option<Advice> {
        let said = said.rfind(" at line ").map_or(said, |end| &said[..end]);
        let (path, rest) =
            said.split_once("invalid type: ").or_else(|| said.split_once("invalid value: "))?;
        let (found, expected) = rest.rsplit_once(", expected ")?;
        if expected.ends_with("a mapping of keys") {
            return match (found, place) {
                ("sequence", _) if expected.starts_with("settings") => {
                    let words = "this is a list: settings are keys, which begin at the margin and without `- `";
                    Some(Advice { place: None, message: words.to_owned() })
                }
                ("sequence", _) => None,
                (_, Some(at)) => self.without_colon(at),
                (_, None) => None,
            };
        }
        if let ("enum", Some(at)) = (found, place) {
            return self.indicator(self.nearest(&['!'], at)?);
        }
        if let ("unit value", Some(at)) = (found, place) {
            let anchor = (self.char_at(at) == Some('&')).then(|| self.indicator(at)).flatten();
            let message = format!("{path}there is nothing here: write {}", wanted(expected));
            return Some(anchor.unwrap_or(Advice { place: None, message }));
        }
        let found = found.strip_prefix("floating ").unwrap_or(found);
        let word = found.split_once(' ').map(|(_, value)| value.trim_matches('`'));
        let word = word.map(|value| value.strip_prefix('"').unwrap_or(value));
        let word = word.map(|value| value.strip_suffix('"').unwrap_or(value)).unwrap_or_default();
        let lower = word.to_ascii_lowercase();
        let is_truth = expected == "a boolean";
        let is_quoted =
            place.and_then(|at| self.char_at(at)).is_some_and(|c| ['"', '\''].contains(&c));
        let is_number = ["i32", "i64", "u32", "u64", "usize"].contains(&expected);
        let way = match lower.as_str() {
            "yes" | "y" | "on" | "1" | "true" if is_truth => "true",
            "no" | "n" | "off" | "0" | "false" if is_truth => "false",
            _ => "",
        };
        let way = match way {
            _ if is_number && is_quoted && word.parse::<i64>().is_ok() => {
                format!("{word} without quotes")
            }
            "" => wanted(expected),
            word if is_quoted && word == lower => format!("{word} without quotes"),
            word => word.to_owned(),
        };
        let shown = match found {
            "sequence" => "a list".to_owned(),
            "map" => "`KEY: value`".to_owned(),
            "unit" => "nothing".to_owned(),
            _ => format!("`{}`", shortened(word)),
        };
        let is_pair = found == "map" && expected.starts_with("a string");
        let message = match is_pair && self.is_in_brackets(place) {
            // `[a: b]`
            true => format!("{path}a text with `: ` in it has to be quoted"),
            false => format!("{path}{shown} can't stand here: write {way}"),
        };
        Some(Advice { place: None, message })
    }

    fn is_in_brackets(&self, place: Option<TextPosition>) -> bool {
        let Some((line, column)) = place else { return false };
        let before: String = self.line(line).chars().take(column.saturating_sub(1)).collect();
        before.contains('[')
    }
}

fn blanks(count: usize) -> String {
    match count {
        0 => "no blank".to_owned(),
        1 => "one blank".to_owned(),
        count => format!("{count} blanks"),
    }
}
