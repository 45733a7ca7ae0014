//! Limits on texts that are given to the YAML library.
//!
//! The library's run time grows with the square of the nesting depth, and the value of an alias is read
//! again each time it is used. So a text is scanned first, in one pass, by the rules of the library's
//! own scanner (libyaml's), and refused if it exceeds a limit.

use std::fmt;

/// The largest text, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 1024 * 1024;
/// The deepest nesting of sequences and mappings.
pub(super) const MAX_DEPTH: usize = 64;
/// The number of `%YAML` and `%TAG` lines: the library compares each with all others.
const MAX_DIRECTIVES: usize = 16;
/// The number of aliases times the length of the text: an upper bound of the expanded size.
const MAX_ALIASED_BYTES: usize = 2 * 1024 * 1024;

/// The limit that a text exceeds, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitExceeded {
    pub limit: TextLimit,
    /// Line and column, from 1; `None` where it is about the whole text.
    pub place: Option<(usize, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextLimit {
    Size,
    Depth,
    Directives,
    Aliases,
}

impl fmt::Display for TextLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextLimit::Size => {
                write!(f, "the file is too large: at most {} MiB are read", MAX_TEXT_BYTES >> 20)
            }
            TextLimit::Depth => {
                write!(f, "nested too deeply: at most {MAX_DEPTH} levels are read")
            }
            TextLimit::Directives => {
                write!(f, "too many directives: at most {MAX_DIRECTIVES} lines with % are read")
            }
            TextLimit::Aliases => f.write_str(
                "too many aliases (`*name`) for a file of this size: write the values themselves",
            ),
        }
    }
}

/// Checks a text before the library reads it.
///
/// # Errors
/// It exceeds a limit.
pub(super) fn check(text: &str) -> Result<(), LimitExceeded> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(LimitExceeded { limit: TextLimit::Size, place: None });
    }
    Scanner::new(text).run()
}

/// The part of libyaml's scanner that tells the nesting depth.
struct Scanner<'a> {
    rest: &'a str,
    length: usize,
    /// From 1.
    line: usize,
    /// From 0, in characters.
    column: usize,
    /// The columns at which open block collections began.
    indents: Vec<usize>,
    /// How many `[` and `{` are open.
    flow: usize,
    is_key_allowed: bool,
    /// Line and column of a possible key, outside of `[` and `{`.
    key: Option<(usize, usize)>,
    directives: usize,
    aliases: usize,
    /// The deepest nesting so far.
    deepest: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Scanner<'a> {
        Scanner {
            rest: text,
            length: text.len(),
            line: 1,
            column: 0,
            indents: Vec::new(),
            flow: 0,
            is_key_allowed: true,
            key: None,
            directives: 0,
            aliases: 0,
            deepest: 0,
        }
    }

    fn run(&mut self) -> Result<(), LimitExceeded> {
        loop {
            self.skip_to_token();
            if self.flow == 0 {
                self.unroll(self.column);
            }
            let Some(first) = self.peek() else { return Ok(()) };
            self.token(first)?;
        }
    }

    fn token(&mut self, first: char) -> Result<(), LimitExceeded> {
        let is_blank_behind = self.rest.chars().nth(1).is_none_or(is_blank);
        let is_flow = self.flow > 0;
        if self.column == 0 && first == '%' {
            self.directives += 1;
            self.limit(self.directives, MAX_DIRECTIVES, TextLimit::Directives)?;
            self.skip_line();
            return Ok(());
        }
        if self.is_document_mark() {
            self.unroll(0);
            self.indents.clear();
            self.advance_by(3);
            self.is_key_allowed = false;
            return Ok(());
        }
        match first {
            '[' | '{' => {
                self.note_key();
                self.flow += 1;
                self.check_depth()?;
                self.advance();
                self.is_key_allowed = true;
            }
            ']' | '}' => {
                self.flow = self.flow.saturating_sub(1);
                self.advance();
                self.is_key_allowed = false;
            }
            ',' => {
                self.advance();
                self.is_key_allowed = true;
            }
            '-' if is_blank_behind => {
                self.roll(self.column)?;
                self.advance();
                self.is_key_allowed = true;
            }
            '?' if is_flow || is_blank_behind => {
                self.roll(self.column)?;
                self.advance();
                self.is_key_allowed = !is_flow;
            }
            ':' if is_flow || is_blank_behind => {
                let line = self.line;
                let key = self.key.take_if(|_| !is_flow).filter(|(on, _)| *on == line);
                self.roll(key.map_or(self.column, |(_, column)| column))?;
                self.advance();
                self.is_key_allowed = key.is_none() && !is_flow;
            }
            '*' | '&' | '!' => {
                self.note_key();
                if first == '*' {
                    self.aliases += 1;
                    let sum = self.aliases.saturating_mul(self.length);
                    self.limit(sum, MAX_ALIASED_BYTES.max(self.length), TextLimit::Aliases)?;
                }
                self.advance();
                self.skip_while(|c| !is_blank(c) && !matches!(c, ',' | '[' | ']' | '{' | '}'));
                self.is_key_allowed = false;
            }
            '|' | '>' if !is_flow => {
                self.block_scalar();
                self.is_key_allowed = true;
            }
            '\'' | '"' => {
                self.note_key();
                self.quoted(first);
                self.is_key_allowed = false;
            }
            _ => {
                self.note_key();
                self.plain();
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        if is_break(next) && !(next == '\r' && self.rest.starts_with('\n')) {
            self.line += 1;
            self.column = 0;
        } else {
            self.column += 1;
        }
        Some(next)
    }

    fn advance_by(&mut self, count: usize) {
        for _ in 0..count {
            self.advance();
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.advance();
        }
    }

    fn skip_line(&mut self) {
        self.skip_while(|c| !is_break(c));
    }

    /// Skips blanks, comments and line ends. At the beginning of a line a key may follow.
    fn skip_to_token(&mut self) {
        while let Some(next) = self.peek() {
            match next {
                '#' => self.skip_line(),
                c if is_break(c) => {
                    self.advance();
                    self.is_key_allowed |= self.flow == 0;
                }
                ' ' | '\t' | '\u{feff}' => {
                    self.advance();
                }
                _ => return,
            }
        }
    }

    /// Tells whether `---` or `...` stands at the beginning of a line here.
    fn is_document_mark(&self) -> bool {
        self.column == 0
            && (self.rest.starts_with("---") || self.rest.starts_with("..."))
            && self.rest.chars().nth(3).is_none_or(is_blank)
    }

    fn note_key(&mut self) {
        if self.is_key_allowed && self.flow == 0 {
            self.key = Some((self.line, self.column));
        }
    }

    /// Begins a block collection, if one can begin here.
    fn roll(&mut self, column: usize) -> Result<(), LimitExceeded> {
        if self.flow == 0 && self.indents.last().is_none_or(|last| *last < column) {
            self.indents.push(column);
            self.check_depth()?;
        }
        Ok(())
    }

    fn unroll(&mut self, column: usize) {
        while self.indents.last().is_some_and(|last| *last > column) {
            self.indents.pop();
        }
    }

    fn check_depth(&mut self) -> Result<(), LimitExceeded> {
        self.deepest = self.deepest.max(self.indents.len() + self.flow);
        self.limit(self.deepest, MAX_DEPTH, TextLimit::Depth)
    }

    fn limit(&self, count: usize, most: usize, limit: TextLimit) -> Result<(), LimitExceeded> {
        let place = Some((self.line, self.column + 1));
        if count > most { Err(LimitExceeded { limit, place }) } else { Ok(()) }
    }

    fn quoted(&mut self, quote: char) {
        self.advance();
        while let Some(next) = self.advance() {
            if next == '\\' && quote == '"' {
                self.advance();
            } else if next == quote {
                if quote == '\'' && self.peek() == Some('\'') {
                    self.advance();
                } else {
                    return;
                }
            }
        }
    }

    /// Skips a text without quotes. It continues over lines that are indented deeper than its parent.
    fn plain(&mut self) {
        let indent = self.indents.last().map_or(0, |last| last + 1);
        self.is_key_allowed = false;
        loop {
            if self.is_document_mark() || self.peek() == Some('#') {
                return;
            }
            while let Some(next) = self.peek().filter(|c| !is_blank(*c)) {
                let is_end = match next {
                    ':' => self.rest.chars().nth(1).is_none_or(is_blank),
                    ',' | '[' | ']' | '{' | '}' => self.flow > 0,
                    _ => false,
                };
                if is_end {
                    return;
                }
                self.advance();
            }
            if self.peek().is_none() {
                return;
            }
            let line = self.line;
            self.skip_while(is_blank);
            if self.line != line {
                self.is_key_allowed = self.flow == 0;
                if self.flow == 0 && self.column < indent {
                    return;
                }
            }
        }
    }

    /// Skips a literal text after `|` or `>`: lines that are indented deeper than its parent.
    fn block_scalar(&mut self) {
        let parent = self.indents.last().copied();
        self.advance();
        let digit = self.rest.chars().take(2).find_map(|c| c.to_digit(10));
        self.skip_line();
        self.advance();
        let least = parent.map_or(1, |parent| parent + 1);
        let mut indent = digit.map(|digit| parent.unwrap_or(0) + digit as usize);
        // of the lines before the first that isn't empty
        let mut widest = least;
        loop {
            while self.peek() == Some(' ') && indent.is_none_or(|indent| self.column < indent) {
                self.advance();
            }
            match self.peek() {
                None => return,
                Some(c) if is_break(c) => widest = widest.max(self.column),
                Some(_) => {
                    let indent = *indent.get_or_insert(self.column.max(widest));
                    if self.column < indent {
                        return;
                    }
                    self.skip_line();
                }
            }
            self.advance();
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\0') || is_break(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml::{self, Value};

    #[track_caller]
    fn refused(text: &str) -> LimitExceeded {
        check(text).unwrap_err()
    }

    #[test]
    fn every_way_to_nest_has_a_limit() {
        let indented = |piece: &str| {
            (0..65).map(|depth| format!("{}{piece}\n", " ".repeat(depth))).collect::<String>()
        };
        for text in [
            "[".repeat(65),
            "{".repeat(65),
            "a: ".to_owned() + &"{a: ".repeat(65),
            "{[".repeat(33),
            "- ".repeat(65),
            "? ".repeat(65),
            "- ? ".repeat(33),
            ": ".repeat(65),
            indented("a:"),
            indented("- "),
            indented("\"a\" :"),
            indented("'a':"),
            indented("&x a:"),
            indented("[a]:"),
            format!("a: \"]]]]\"\nb: {}", "[']', ".repeat(65)),
            format!("# {}\nb: {}", "]".repeat(100), "[".repeat(65)),
            format!("a: b\n  \"c\nd: {}", "[".repeat(65)),
            format!("a: |\n  \"c\nd: {}", "[".repeat(65)),
            format!("a: |\n     \n  {}", "[".repeat(65)),
            format!("a: [b ,c ]\nd: {}", "[".repeat(65)),
            format!("a: it's\nd: {}", "[".repeat(65)),
            format!("a: 'it''s'\nd: {}", "[".repeat(65)),
            format!("a: \"\\\"\"\nd: {}", "[".repeat(65)),
            format!("a: b |\nd: {}", "[".repeat(65)),
            format!("a: b#'\nd: {}", "[".repeat(65)),
            format!("a: [b #'\n]\nd: {}", "[".repeat(65)),
            format!("---\n{}", "[".repeat(65)),
            "[\n".repeat(65),
        ] {
            assert_eq!(refused(&text).limit, TextLimit::Depth, "{text}");
        }
    }

    #[test]
    fn what_is_not_nested_has_none() {
        for text in [
            "[".repeat(64),
            "- ".repeat(64),
            "- [a, b]\n".repeat(1000),
            "- {a: {b: c}}\n".repeat(1000),
            format!("a: \"{}\"", "[".repeat(1000)),
            format!("a: '{}'", "{".repeat(1000)),
            format!("a: b{}", "[".repeat(1000)),
            format!("# {}", "[".repeat(1000)),
            format!("a: |\n{}", "  [[[ - - -\n".repeat(100)),
            format!("a: >2\n{}", "    [[[\n   [\n".repeat(100)),
            format!(
                "a: |\n{}",
                (1..200).map(|n| format!("{}x\n", " ".repeat(n))).collect::<String>()
            ),
            format!(
                "- |\n{}b",
                (1..200).map(|n| format!("{}- \n", " ".repeat(n))).collect::<String>()
            ),
            format!("a: b\n{}", "  [c\n".repeat(100)),
            (0..1000).map(|n| format!("a{n}: {{b: [c]}}\n")).collect::<String>(),
            (0..1000).map(|n| format!("a{n}:\n  b:\n  - c\n")).collect::<String>(),
        ] {
            assert_eq!(check(&text), Ok(()), "{text}");
        }
    }

    #[test]
    fn size_directives_and_aliases_have_limits_too() {
        let text = "#".repeat(MAX_TEXT_BYTES);
        assert_eq!(check(&text), Ok(()));
        assert_eq!(
            refused(&format!("{text}#")),
            LimitExceeded { limit: TextLimit::Size, place: None }
        );
        assert_eq!(refused(&"%TAG !a! b\n".repeat(17)).limit, TextLimit::Directives);
        let list = format!("a: &a [{}]\n", "x, ".repeat(30_000));
        assert_eq!(check(&format!("{list}b: *a\n")), Ok(()));
        let excess = refused(&format!("{list}b: [{}]\n", "*a, ".repeat(100)));
        assert_eq!(
            (excess.limit, excess.place.map(|(line, _)| line)),
            (TextLimit::Aliases, Some(2))
        );
        assert_eq!(check("a: &a x\nb: *a\n"), Ok(()));
    }

    fn depth(value: &Value) -> usize {
        match value {
            Value::Sequence(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
            Value::Mapping(pairs) => {
                1 + pairs.iter().map(|(key, value)| depth(key).max(depth(value))).max().unwrap_or(0)
            }
            Value::Tagged(tagged) => depth(&tagged.value),
            _ => 0,
        }
    }

    #[test]
    fn nothing_is_nested_deeper_than_it_is_taken_for() {
        const PIECES: [&str; 40] = [
            "[", "]", "{", "}", ",", ", ", ": ", ":", "- ", "-", "? ", "a", "b", "'", "\"", "''",
            "\\", "\\\"", "#", " #", "\n", "\n ", "\n  ", "\n    ", "|\n", ">\n", "|2\n", "|+\n",
            "&a ", "*a", "!b ", "---\n", "...\n", "\t", " ", "  ", "\r\n", "\u{e4}", "a: ", "\n- ",
        ];
        let mut state: u64 = 88_172_645_463_325_252;
        let mut below = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % limit as u64).unwrap()
        };
        let mut parsed = 0;
        for _ in 0..60_000 {
            let text: String = (0..below(14)).map(|_| PIECES[below(PIECES.len())]).collect();
            let Ok(value) = yaml::unchecked(&text) else { continue };
            let mut scanner = Scanner::new(&text);
            scanner.run().unwrap();
            // a list needs no indent of its own below a key, and a pair in brackets no braces
            let most = 2 * scanner.deepest;
            assert!(depth(&value) <= most, "{text:?} {value:?} {}", scanner.deepest);
            parsed += usize::from(depth(&value) > 1);
        }
        assert!(parsed > 200, "{parsed} texts were nested");
    }
}
