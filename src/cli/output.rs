//! Prints for people and programs: aligned tables, colour only on a terminal, JSON.

use std::borrow::Cow;
use std::io::{self, Write};
use std::process;

use serde::Serialize;
use serde_json::Value;

use super::json::envelope::printed;
use super::json::shape::Object;
use super::pager::Pager;
use super::table::{self, Column, GAP_CELLS, Shortening};
use super::terminal::{self, ColorChoice, Terminal};
use super::time::TimeStyle;
use super::wrap;
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
    /// What takes back what a hook of a failed call did.
    Rollback,
    /// What takes it back at the end of a guest's life.
    Undo,
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
            Tone::Rollback => "\x1b[35m",
            Tone::Undo => "\x1b[36m",
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

/// The least room for a sentence that is broken into lines.
const MIN_SENTENCE_CELLS: usize = 30;

/// Standard output and error.
pub(crate) struct Output {
    terminal: Terminal,
    /// Whether everything is shown, however wide.
    is_wide: bool,
    /// How times are shown, if the command line says so.
    times: Option<TimeStyle>,
    pager: Option<Pager>,
    /// Whether work must be finished even if the reader has gone.
    ignores_closed_output: bool,
    is_closed: bool,
    /// The last error that was printed.
    last_error: Option<String>,
}

impl Output {
    pub(crate) fn new() -> Output {
        Output {
            terminal: Terminal::of_stdout(),
            is_wide: false,
            times: None,
            pager: None,
            ignores_closed_output: false,
            is_closed: false,
            last_error: None,
        }
    }

    /// Sets what the command line says about it.
    pub(crate) fn set(&mut self, color: ColorChoice, is_wide: bool, times: Option<TimeStyle>) {
        self.terminal = self.terminal.with(color);
        self.is_wide = is_wide;
        self.times = times;
    }

    /// Shows with a pager, from here on, what is longer than the screen.
    pub(crate) fn page(&mut self) {
        self.pager = self.terminal.size.map(|size| Pager::new(size.lines));
    }

    /// Ends the output: waits for the pager.
    pub(crate) fn finish(&mut self) {
        if let Some(pager) = self.pager.take() {
            pager.finish();
        }
    }

    /// Returns how tables show times: as the user wants it, else in this way.
    pub(crate) fn times(&self, usual: TimeStyle) -> TimeStyle {
        self.times.unwrap_or(usual)
    }

    /// Tells whether everything is wanted, however wide.
    pub(crate) fn is_wide(&self) -> bool {
        self.is_wide
    }

    /// Returns how many cells a line may have; `None` where nothing is shortened.
    pub(crate) fn width(&self) -> Option<usize> {
        self.terminal.size.filter(|_| !self.is_wide).map(|size| size.columns)
    }

    /// Breaks a sentence into the lines that the terminal has room for: the first begins with one text, the others with
    /// the other. Where nothing is shortened it is one line.
    pub(crate) fn wrapped(&self, first: &str, others: &str, sentence: &str) -> Vec<String> {
        let Some(width) = self.width() else { return vec![format!("{first}{sentence}")] };
        let room = width.saturating_sub(table::cells(first).max(table::cells(others)));
        let sentence = sanitize::line(sentence.as_bytes());
        let mut lines = wrap::lines(&sentence, room.max(MIN_SENTENCE_CELLS), "");
        for (index, line) in lines.iter_mut().enumerate() {
            line.insert_str(0, if index == 0 { first } else { others });
        }
        lines
    }

    /// Prints a line for people. Control characters in it are replaced, so that it stays one line.
    pub(crate) fn line(&mut self, text: &str) {
        let text = self.shown(sanitize::printed_line(text));
        self.write(&format!("{text}\n"));
    }

    /// Prints a sentence, on a terminal in lines that fit it; those after the first begin with this many blanks.
    pub(crate) fn sentence(&mut self, indent: usize, text: &str) {
        let text = sanitize::printed_line(text);
        match self.width() {
            Some(available) => {
                let lines = wrap::lines(&text, available, &" ".repeat(indent));
                lines.iter().for_each(|line| self.line(line));
            }
            None => self.line(&text),
        }
    }

    /// Prints a line in a tone.
    pub(crate) fn toned(&mut self, tone: Tone, text: &str) {
        let text = self.paint(tone, &self.shown(sanitize::printed_line(text)));
        self.write(&format!("{text}\n"));
    }

    /// Prints a line whose parts have tones of their own.
    pub(crate) fn pieces(&mut self, pieces: &[(Tone, String)]) {
        let piece = |(tone, text): &(Tone, String)| {
            self.paint(*tone, &self.shown(sanitize::printed_line(text)))
        };
        let line: String = pieces.iter().map(piece).collect();
        self.write(&format!("{}\n", line.trim_end()));
    }

    /// Prints a line of a tree: the branches stay plain.
    pub(crate) fn branch(&mut self, branches: &str, tone: Tone, text: &str) {
        let text = self.paint(tone, &self.shown(sanitize::printed_line(text)));
        let branches = self.shown(branches.to_owned());
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
        if let Some(pager) = &mut self.pager {
            return pager.write(bytes);
        }
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        if let Err(error) = written {
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
        match &mut self.pager {
            Some(pager) => pager.error(format!("hookmux: {clean}\n")),
            None => drop(writeln!(io::stderr().lock(), "hookmux: {clean}")),
        }
        self.last_error = Some(clean);
    }

    /// Returns the last error that was printed.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.clone()
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.terminal.is_coloured || tone == Tone::Plain || text.is_empty() {
            return text.to_owned();
        }
        format!("{}{text}\x1b[0m", tone.code())
    }

    /// Returns a text in the characters that the locale has.
    fn shown(&self, text: String) -> String {
        if self.terminal.is_ascii { terminal::as_ascii(&text) } else { text }
    }

    /// Prints a table with these titles.
    pub(crate) fn table<'a, C: Into<Column<'a>> + Copy>(&mut self, head: &[C], rows: &[Vec<Cell>]) {
        let laid_out = self.lay_out(head, rows);
        let widths = laid_out.widths(self.width());
        self.table_row(&laid_out.columns, &widths, &laid_out.titles());
        laid_out.rows.iter().for_each(|row| self.table_row(&laid_out.columns, &widths, row));
    }

    /// Prints a table whose neighbouring rows often have the same first cell. On a narrow terminal such a cell is a line
    /// of its own above its rows, so that the others have more room.
    pub(crate) fn grouped_table<'a, C: Into<Column<'a>> + Copy>(
        &mut self,
        head: &[C],
        rows: &[Vec<Cell>],
    ) {
        let laid_out = self.lay_out(head, rows);
        let Some(available) = self.width().filter(|width| laid_out.natural_width() > *width) else {
            return self.table(head, rows);
        };
        let groups: Vec<&str> =
            rows.iter().map(|row| row.first().map_or("", |cell| &*cell.0)).collect();
        let rows: Vec<Vec<Cell>> =
            rows.iter().map(|row| row.iter().skip(1).cloned().collect()).collect();
        let laid_out = self.lay_out(head.get(1..).unwrap_or_default(), &rows);
        let indentation = " ".repeat(GAP_CELLS);
        let widths = laid_out.widths(Some(available.saturating_sub(GAP_CELLS)));
        self.write(&indentation);
        self.table_row(&laid_out.columns, &widths, &laid_out.titles());
        let mut last = None;
        for (group, row) in groups.into_iter().zip(&laid_out.rows) {
            if last != Some(group) {
                let shown =
                    table::fit(&sanitize::line(group.as_bytes()), available, Shortening::Middle);
                self.toned(Tone::Bold, &shown);
                last = Some(group);
            }
            self.write(&indentation);
            self.table_row(&laid_out.columns, &widths, row);
        }
    }

    /// Cleans the cells of a table, and leaves out what a narrow terminal has no room for.
    fn lay_out<'a, C: Into<Column<'a>> + Copy>(
        &self,
        head: &[C],
        rows: &[Vec<Cell>],
    ) -> LaidOut<'a> {
        let clean = |cell: &Cell| Cell(self.shown(sanitize::line(cell.0.as_bytes())), cell.1);
        let columns = head.iter().map(|column| (*column).into()).collect();
        let rows = rows.iter().map(|row| row.iter().map(clean).collect()).collect();
        let mut laid_out = LaidOut { columns, rows };
        let Some(available) = self.width() else { return laid_out };
        // a column without anything in it only takes room
        laid_out.leave_out(|laid_out, index| {
            let is_empty = |row: &Vec<Cell>| row.get(index).is_none_or(|cell| cell.0.is_empty());
            !laid_out.rows.is_empty() && laid_out.rows.iter().all(is_empty)
        });
        if laid_out.natural_width() > available {
            leave_out_dates(&laid_out.columns, &mut laid_out.rows);
        }
        if laid_out.natural_width() > available {
            laid_out.leave_out(|laid_out, index| {
                laid_out.columns.get(index).is_some_and(|column| column.is_left_out)
            });
        }
        laid_out
    }

    /// Prints one row of a table whose other rows come later.
    pub(crate) fn table_row(&mut self, columns: &[Column], widths: &[usize], row: &[Cell]) {
        let mut line = String::new();
        for (index, (cell, (column, width))) in
            row.iter().zip(columns.iter().zip(widths)).enumerate()
        {
            let text = sanitize::line(cell.0.as_bytes());
            // without a terminal nothing is shortened, however wide: the rows to come aren't known
            let text = match self.width() {
                Some(_) => table::fit(&text, *width, column.shortening),
                None => text,
            };
            let text = self.shown(text);
            let blanks = " ".repeat(width.saturating_sub(table::cells(&text)));
            let text = self.paint(cell.1, &text);
            if index > 0 {
                line.push_str(&" ".repeat(GAP_CELLS));
            }
            match column.is_right_aligned {
                true => line.extend([blanks, text]),
                false => line.extend([text, blanks]),
            }
        }
        self.write(&format!("{}\n", line.trim_end()));
    }
}

/// A table that is ready to be printed.
struct LaidOut<'a> {
    columns: Vec<Column<'a>>,
    rows: Vec<Vec<Cell>>,
}

impl LaidOut<'_> {
    fn titles(&self) -> Vec<Cell> {
        self.columns.iter().map(|column| Cell(column.title.to_owned(), Tone::Bold)).collect()
    }

    fn widths(&self, available: Option<usize>) -> Vec<usize> {
        let cells = |row: &Vec<Cell>| row.iter().map(|cell| table::cells(&cell.0)).collect();
        let measured: Vec<Vec<usize>> = self.rows.iter().map(cells).collect();
        table::widths(&self.columns, &measured, available)
    }

    /// Returns how wide it is where nothing is shortened.
    fn natural_width(&self) -> usize {
        let gaps = GAP_CELLS * self.columns.len().saturating_sub(1);
        self.widths(None).iter().sum::<usize>() + gaps
    }

    /// Leaves out columns.
    fn leave_out(&mut self, is_left_out: impl Fn(&Self, usize) -> bool) {
        for index in (0..self.columns.len()).rev() {
            if is_left_out(self, index) {
                self.columns.remove(index);
                let rows = self.rows.iter_mut().filter(|row| index < row.len());
                rows.for_each(|row| drop(row.remove(index)));
            }
        }
    }
}

/// Leaves out of times what all of them begin with.
fn leave_out_dates(columns: &[Column], table: &mut [Vec<Cell>]) {
    for (index, _) in
        columns.iter().enumerate().filter(|(_, column)| column.shortening == Shortening::SharedDate)
    {
        let times = table.iter().filter_map(|row| row.get(index)).map(|cell| cell.0.as_str());
        let left_out = table::shared_date(times);
        for cell in table.iter_mut().filter_map(|row| row.get_mut(index)) {
            cell.0.drain(..left_out);
        }
    }
}
