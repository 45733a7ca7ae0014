//! Prints for people and programs: aligned tables, colour only on a terminal, JSON.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::process;

use serde::Serialize;
use serde_json::Value;

use super::json::envelope::printed;
use super::json::shape::Object;
use crate::machine::sanitize;

/// The colour or style of a text on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Bold,
    Dim,
    Good,
    Warning,
    Bad,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Bold => "\x1b[1m",
            Tone::Dim => "\x1b[2m",
            Tone::Good => "\x1b[32m",
            Tone::Warning => "\x1b[33m",
            Tone::Bad => "\x1b[31m",
        }
    }
}

/// One cell of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell(pub String, pub Tone);

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell(text.into(), Tone::Plain)
    }
}

/// How many characters of a line of a hook's output are shown to people.
const MAX_LINE_CHARACTERS: usize = 400;

/// Cuts a long line of a hook's output: a document in base64 is one. `all` says where the rest is.
pub(crate) fn shortened<'a>(line: &'a str, all: &str) -> Cow<'a, str> {
    let Some((end, _)) = line.char_indices().nth(MAX_LINE_CHARACTERS) else { return line.into() };
    let (shown, rest) = line.split_at(end);
    let more = rest.chars().count();
    format!("{shown}… ({more} more characters; {all})").into()
}

/// Standard output and error.
pub(crate) struct Output {
    is_coloured: bool,
    /// Whether work must be finished even if the reader has gone.
    ignores_closed_output: bool,
    is_closed: bool,
    /// The last error that was printed.
    last_error: Option<String>,
}

impl Output {
    pub(crate) fn new() -> Output {
        let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Output {
            is_coloured: io::stdout().is_terminal() && !wants_none,
            ignores_closed_output: false,
            is_closed: false,
            last_error: None,
        }
    }

    /// Prints a line for people. Control characters in it are replaced, so that it stays one line.
    pub(crate) fn line(&mut self, text: &str) {
        self.write(&format!("{}\n", sanitize::printed_line(text)));
    }

    /// Prints a line in a tone.
    pub(crate) fn toned(&mut self, tone: Tone, text: &str) {
        let text = self.paint(tone, &sanitize::printed_line(text));
        self.write(&format!("{text}\n"));
    }

    /// Prints a line of a tree: the branches stay plain.
    pub(crate) fn branch(&mut self, branches: &str, tone: Tone, text: &str) {
        let text = self.paint(tone, &sanitize::printed_line(text));
        self.write(&format!("{branches}{text}\n"));
    }

    /// Prints a text of several lines in a tone.
    pub(crate) fn lines(&mut self, tone: Tone, text: &str) {
        for line in text.lines() {
            self.toned(tone, line);
        }
    }

    /// Prints one object for programs. Control characters are escaped, so that it is safe on a terminal.
    pub(crate) fn json<T: Serialize + Object>(&mut self, answer: &T) {
        self.pretty(&printed(answer));
    }

    /// Prints one object of many on one line.
    pub(crate) fn json_line<T: Serialize + Object>(&mut self, answer: &T) {
        let text = printed(answer).to_string();
        self.write(&format!("{}\n", sanitize::json(&text)));
    }

    /// Prints JSON that is not an output, such as a schema.
    pub(crate) fn pretty(&mut self, value: &Value) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        self.write(&format!("{}\n", sanitize::json(&text)));
    }

    /// Prints a text as it is.
    pub(crate) fn write(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if self.is_closed {
            return;
        }
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            self.is_closed = true;
            if !self.ignores_closed_output {
                // a reader may close the pipe when it has seen enough
                process::exit(if error.kind() == io::ErrorKind::BrokenPipe { 0 } else { 1 });
            }
        }
    }

    /// Continues from here on even if the reader closes the pipe.
    pub(crate) fn ignore_closed_output(&mut self) {
        self.ignores_closed_output = true;
    }

    /// Prints an error or a warning to standard error.
    pub(crate) fn print_error(&mut self, text: &str) {
        let clean = sanitize::text(text.as_bytes());
        let _ = writeln!(io::stderr().lock(), "hookmux: {clean}");
        self.last_error = Some(clean);
    }

    /// Returns the last error that was printed.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.clone()
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.is_coloured || tone == Tone::Plain || text.is_empty() {
            return text.to_owned();
        }
        format!("{}{text}\x1b[0m", tone.code())
    }

    /// Prints rows under titles, with aligned columns and two blanks between them.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<Cell>]) {
        let clean: Vec<Vec<Cell>> = rows
            .iter()
            .map(|row| {
                row.iter().map(|cell| Cell(sanitize::line(cell.0.as_bytes()), cell.1)).collect()
            })
            .collect();
        let widths: Vec<usize> = head
            .iter()
            .enumerate()
            .map(|(column, title)| {
                let cells = clean
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.0.chars().count());
                cells.chain([title.chars().count()]).max().unwrap_or_default()
            })
            .collect();
        let titles: Vec<Cell> =
            head.iter().map(|title| Cell((*title).to_owned(), Tone::Bold)).collect();
        for row in std::iter::once(&titles).chain(&clean) {
            let mut line = String::new();
            for (index, cell) in row.iter().enumerate() {
                line.push_str(&self.paint(cell.1, &cell.0));
                if index + 1 < row.len() {
                    let width = widths.get(index).copied().unwrap_or_default();
                    let gap = width.saturating_sub(cell.0.chars().count()) + 2;
                    line.extend(std::iter::repeat_n(' ', gap));
                }
            }
            self.write(&format!("{}\n", line.trim_end()));
        }
    }
}
