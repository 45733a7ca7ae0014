//! What people and programs get to see: aligned tables, colour only on a terminal, JSON.

use std::io::{self, IsTerminal, Write};
use std::process;

use serde::Serialize;
use serde_json::Value;

use super::json::envelope::printed;
use super::json::shape::Object;
use crate::machine::sanitize;

/// How a word looks on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Bold,
    Dim,
    Good,
    Careful,
    Bad,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Bold => "\x1b[1m",
            Tone::Dim => "\x1b[2m",
            Tone::Good => "\x1b[32m",
            Tone::Careful => "\x1b[33m",
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

/// Standard output and error.
pub(crate) struct Output {
    is_coloured: bool,
    /// Work is under way that must be finished, whoever reads.
    must_go_on: bool,
    is_unread: bool,
    /// What was last complained of.
    complaint: Option<String>,
}

impl Output {
    pub(crate) fn new() -> Output {
        let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Output {
            is_coloured: io::stdout().is_terminal() && !wants_none,
            must_go_on: false,
            is_unread: false,
            complaint: None,
        }
    }

    /// A line for people; names of others in it are cleaned, and don't begin another one.
    pub(crate) fn line(&mut self, text: &str) {
        self.write(&format!("{}\n", sanitize::printed_line(text)));
    }

    /// A line in a tone.
    pub(crate) fn toned(&mut self, tone: Tone, text: &str) {
        let text = self.paint(tone, &sanitize::printed_line(text));
        self.write(&format!("{text}\n"));
    }

    /// Words of our own on several lines, in a tone.
    pub(crate) fn lines(&mut self, tone: Tone, text: &str) {
        for line in text.lines() {
            self.toned(tone, line);
        }
    }

    /// One object for programs. On a terminal it steers nothing either.
    pub(crate) fn json<T: Serialize + Object>(&mut self, answer: &T) {
        self.pretty(&printed(answer));
    }

    /// The same on one line: one of many.
    pub(crate) fn json_line<T: Serialize + Object>(&mut self, answer: &T) {
        let text = printed(answer).to_string();
        self.write(&format!("{}\n", sanitize::json(&text)));
    }

    /// What is JSON, and no answer: a schema.
    pub(crate) fn pretty(&mut self, value: &Value) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        self.write(&format!("{}\n", sanitize::json(&text)));
    }

    /// A document of a guest's, shown to people.
    /// Text as it is.
    pub(crate) fn write(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if self.is_unread {
            return;
        }
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            self.is_unread = true;
            if !self.must_go_on {
                // a reader that has seen enough is no problem
                process::exit(if error.kind() == io::ErrorKind::BrokenPipe { 0 } else { 1 });
            }
        }
    }

    /// From here on a reader that goes away ends nothing.
    pub(crate) fn go_on(&mut self) {
        self.must_go_on = true;
    }

    /// Something wrong, on standard error.
    pub(crate) fn complain(&mut self, text: &str) {
        let clean = sanitize::text(text.as_bytes());
        let _ = writeln!(io::stderr().lock(), "hookmux: {clean}");
        self.complaint = Some(clean);
    }

    /// What was last complained of.
    pub(crate) fn last_complaint(&self) -> Option<String> {
        self.complaint.clone()
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.is_coloured || tone == Tone::Plain || text.is_empty() {
            return text.to_owned();
        }
        format!("{}{text}\x1b[0m", tone.code())
    }

    /// Rows under a head, columns aligned, two blanks between.
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
