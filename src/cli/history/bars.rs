//! Draws a timeline with characters, over the width that is there.

use super::timeline::{Row, RowEnd, RowKind, Span, Timeline};
use crate::cli::output::{Output, Tone};
use crate::cli::table::{self, Shortening};
use crate::cli::time;

/// The width of the bars where there is no terminal.
const CELLS_OF_A_PIPE: usize = 60;
/// The smallest width of the bars, and of a name.
const LEAST_BAR_CELLS: usize = 10;
const LEAST_NAME_CELLS: usize = 12;
/// The blanks before a row, and between its parts.
const GAP: &str = "  ";

/// What one cell of a bar shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BarCell {
    Blank,
    Waits,
    Runs,
    RollsBack,
    Undoes,
    Limit,
}

impl BarCell {
    /// Returns its character. Without colour these tell what it is, and in ASCII as well.
    fn character(self) -> char {
        match self {
            BarCell::Blank => ' ',
            BarCell::Waits => '░',
            BarCell::Runs => '━',
            BarCell::RollsBack => '◄',
            BarCell::Undoes => '↶',
            BarCell::Limit => '┃',
        }
    }

    fn of(kind: RowKind) -> BarCell {
        match kind {
            RowKind::Call | RowKind::Hook => BarCell::Runs,
            RowKind::Rollback => BarCell::RollsBack,
            RowKind::Undo => BarCell::Undoes,
        }
    }

    fn tone(self, end: RowEnd) -> Tone {
        match self {
            BarCell::Blank => Tone::Plain,
            BarCell::Waits => Tone::Dim,
            BarCell::Runs => tone(end),
            BarCell::RollsBack => Tone::Rollback,
            BarCell::Undoes => Tone::Undo,
            BarCell::Limit => Tone::Bad,
        }
    }

    fn word(self) -> Option<&'static str> {
        match self {
            BarCell::Waits => Some("waits"),
            BarCell::RollsBack => Some("rollback"),
            BarCell::Undoes => Some("undo"),
            BarCell::Limit => Some("limit"),
            BarCell::Blank | BarCell::Runs => None,
        }
    }
}

/// Prints a row for each hook, and the scale below them.
pub(crate) fn print(timeline: &Timeline, output: &mut Output) {
    let Timeline { rows, total_us, queue_us } = timeline;
    if rows.is_empty() {
        return;
    }
    let took: Vec<String> = rows.iter().map(took).collect();
    let words: Vec<String> = rows.iter().map(words).collect();
    let longest =
        |texts: &mut dyn Iterator<Item = &str>| texts.map(table::cells).max().unwrap_or_default();
    let took_cells = longest(&mut took.iter().map(String::as_str)).max(7);
    let word_cells = longest(&mut words.iter().map(String::as_str));
    let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let mut name_cells = longest(&mut names.iter().copied());
    let bar_cells = match output.width() {
        None => CELLS_OF_A_PIPE,
        Some(columns) => {
            let gaps = GAP.len() * if word_cells > 0 { 4 } else { 3 };
            let rest = columns.saturating_sub(gaps + took_cells + word_cells);
            let room = (rest * 2 / 5).max(LEAST_NAME_CELLS);
            if name_cells > room {
                // the event that all of them have tells none from the others
                let event = shared_event(&names);
                names.iter_mut().for_each(|name| *name = name.get(event..).unwrap_or(name));
                name_cells = longest(&mut names.iter().copied());
            }
            name_cells = name_cells.min(room);
            rest.saturating_sub(name_cells).max(LEAST_BAR_CELLS)
        }
    };
    output.line("");
    for (((row, name), took), words) in rows.iter().zip(&names).zip(&took).zip(&words) {
        let name = table::fit(name, name_cells, Shortening::Middle);
        let pad = " ".repeat(name_cells.saturating_sub(table::cells(&name)));
        let mut pieces = vec![(Tone::Plain, format!("{GAP}{name}{pad}{GAP}"))];
        pieces.extend(drawn(row, *total_us, bar_cells));
        let blanks = " ".repeat(took_cells.saturating_sub(table::cells(took)));
        pieces.push((Tone::Plain, format!("{GAP}{blanks}{took}")));
        if !words.is_empty() {
            pieces.push((tone(row.end), format!("{GAP}{words}")));
        }
        output.pieces(&pieces);
        for note in row.notes() {
            output.toned(Tone::Dim, &format!("{GAP}└ {note}"));
        }
    }
    let left = if *queue_us > 0 { "queued" } else { "0" };
    let right = time::short_duration(*total_us);
    let between = bar_cells.saturating_sub(left.len() + table::cells(&right));
    let scale = format!("{GAP}{:name_cells$}{GAP}{left}{:between$}{right}", "", "");
    output.toned(Tone::Dim, &scale);
    print_legend(rows, *total_us, bar_cells, output);
}

/// Returns how many bytes of the names are the event that all of them have.
fn shared_event(names: &[&str]) -> usize {
    let event = |name: &str| name.find('/').map(|place| name[..=place].to_owned());
    let first = names.first().and_then(|name| event(name)).unwrap_or_default();
    match names.iter().all(|name| name.starts_with(&first)) {
        true => first.len(),
        false => 0,
    }
}

/// Says what the characters are that aren't a hook's run.
fn print_legend(rows: &[Row], total_us: u64, cells: usize, output: &mut Output) {
    let drawn: Vec<BarCell> = rows.iter().flat_map(|row| bar(row, total_us, cells)).collect();
    let known = [BarCell::Waits, BarCell::RollsBack, BarCell::Undoes, BarCell::Limit];
    let named = known.into_iter().filter(|cell| drawn.contains(cell));
    let named = named.filter_map(|cell| Some((cell, cell.word()?)));
    let mut pieces = vec![(Tone::Plain, GAP.to_owned())];
    for (cell, word) in named {
        pieces.push((cell.tone(RowEnd::Good), cell.character().to_string()));
        pieces.push((Tone::Dim, format!(" {word}   ")));
    }
    if pieces.len() > 1 {
        output.pieces(&pieces);
    }
}

fn took(row: &Row) -> String {
    match (row.took_us(), row.end) {
        (Some(took), _) => time::short_duration(took),
        (None, RowEnd::NotRun) => String::new(),
        (None, _) => "-".to_owned(),
    }
}

fn words(row: &Row) -> String {
    match row.changed_document {
        true if row.end == RowEnd::Good => "changed".to_owned(),
        true => format!("{}, changed", row.end.word()),
        false => row.end.word().to_owned(),
    }
}

fn tone(end: RowEnd) -> Tone {
    match end {
        RowEnd::Good => Tone::Good,
        RowEnd::Failed | RowEnd::TimedOut => Tone::Bad,
        RowEnd::Running | RowEnd::Unknown => Tone::Warning,
        RowEnd::Queued | RowEnd::NotRun => Tone::Plain,
    }
}

/// Returns the bar in pieces of one tone each.
fn drawn(row: &Row, total_us: u64, cells: usize) -> Vec<(Tone, String)> {
    let mut pieces: Vec<(Tone, String)> = Vec::new();
    for cell in bar(row, total_us, cells) {
        let tone = cell.tone(row.end);
        match pieces.last_mut() {
            Some((last, text)) if *last == tone => text.push(cell.character()),
            _ => pieces.push((tone, cell.character().to_string())),
        }
    }
    pieces
}

/// Returns the cells of a row's bar. A short run has one, so that it is seen.
fn bar(row: &Row, total_us: u64, cells: usize) -> Vec<BarCell> {
    let mut bar = vec![BarCell::Blank; cells];
    let column = |micros: u64| {
        let column = u128::from(micros.min(total_us)) * cells as u128 / u128::from(total_us.max(1));
        usize::try_from(column).unwrap_or(cells).min(cells)
    };
    let mut fill = |span: Span, with: BarCell| {
        let begin = column(span.start_us).min(cells.saturating_sub(1));
        let end = column(span.end_us).max(begin + 1);
        bar.iter_mut().take(end).skip(begin).for_each(|cell| *cell = with);
    };
    row.waits.iter().for_each(|wait| fill(wait.span, BarCell::Waits));
    row.run.into_iter().for_each(|run| fill(run, BarCell::of(row.kind)));
    if let Some(limit) = row.limit_us {
        // the last cell of the time that it had
        let at = column(limit).min(cells.saturating_sub(1));
        bar.iter_mut().skip(at).take(1).for_each(|cell| *cell = BarCell::Limit);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::history::timeline::tests::{run, timeline};
    use crate::record::form::{RecordOutcome, RunRecord, WaitRecord};

    fn text(row: &Row, total_us: u64, cells: usize) -> String {
        bar(row, total_us, cells).into_iter().map(BarCell::character).collect()
    }

    #[test]
    fn bars_are_to_scale_and_kinds_differ() {
        let wait = WaitRecord {
            hook: Some("a/2".to_owned()),
            start_us: 200_000,
            duration_us: 300_000,
            ..WaitRecord::default()
        };
        let limited = RunRecord {
            outcome: RecordOutcome::Timeout,
            limit_us: Some(200_000),
            ..run("a/3", 700, 250)
        };
        let runs = vec![
            run("a/1", 0, 200),
            run("a/2", 500, 200),
            limited,
            run("a/2 (rollback)", 950, 25),
            run("a/1 (undo)", 975, 1),
        ];
        let all = timeline(runs, vec![wait], None);
        let drawn: Vec<String> = all.rows.iter().map(|row| text(row, all.total_us, 20)).collect();
        assert_eq!(
            drawn,
            [
                "━━━━                ",
                "    ░░░░░░━━━━      ",
                "              ━━━━┃ ",
                "                   ◄",
                "                   ↶",
            ]
        );
        let kinds = [BarCell::Waits, BarCell::Runs, BarCell::RollsBack, BarCell::Undoes];
        let ascii = |cell: &BarCell| crate::cli::terminal::as_ascii(&cell.character().to_string());
        let mut all: Vec<String> = kinds.iter().map(ascii).collect();
        assert!(all.iter().all(|text| text.is_ascii()), "{all:?}");
        all.sort();
        all.dedup();
        assert_eq!(all.len(), kinds.len());
    }

    #[test]
    fn any_times_are_drawn() {
        let max = u64::MAX;
        for (start, took, total) in
            [(0, 0, 1), (0, 10, 10), (max, max, max), (max, 1, 1), (1, max, max), (5, 5, 0)]
        {
            let mut one = run("a/1", 0, 0);
            (one.start_us, one.duration_us) = (Some(start), Some(took));
            let all = timeline(vec![one], Vec::new(), None);
            for cells in [0, 1, 10, 40] {
                let drawn = text(&all.rows[0], total, cells);
                assert_eq!(drawn.chars().count(), cells, "{start} {took} {total}");
                assert!(cells == 0 || drawn.contains('━'), "{start} {took} {total}");
            }
        }
    }
}
