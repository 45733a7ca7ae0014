//! Lays tables out for the width of the terminal: in cells, as Chinese characters and many others take two of them.
//!
//! unicode-width knows the cells. No kept library shortens a name in its middle, where the two ends of a path or of a
//! guest's name are what tells it from others, so that part is here.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a column is shortened where the terminal is too narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortening {
    /// Never: an id, a time, a command to copy.
    Never,
    /// In its middle: a name or a path.
    Middle,
    /// At its end: a sentence.
    End,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    pub title: &'a str,
    pub is_right_aligned: bool,
    pub shortening: Shortening,
}

/// The smallest widths of columns that are shortened, in cells: of names and of sentences. The second ones are for
/// terminals on which the first ones don't fit.
const MIN_CELLS: [(usize, usize); 2] = [(12, 24), (8, 16)];
/// The blanks between two columns.
pub(crate) const GAP_CELLS: usize = 2;

impl<'a> From<&'a str> for Column<'a> {
    /// Makes a column that behaves as its title asks: the same title means the same in every table.
    fn from(title: &'a str) -> Column<'a> {
        let is_right_aligned =
            matches!(title, "TOOK" | "AGE" | "TRIES" | "TURN" | "ORDER" | "WEIGHT");
        let shortening = match title {
            "HOOK" | "OBJECT" | "GUEST" | "NAME" | "ROOT" | "RUNS" | "COMMAND" | "DEVICE"
            | "EVENT" | "FOR" => Shortening::Middle,
            "RESULT" | "WHY" | "MORE" | "WHAT" | "WHEN" | "REASON" | "WHAT FOR" | "LAST"
            | "HERE" => Shortening::End,
            _ => Shortening::Never,
        };
        Column { title, is_right_aligned, shortening }
    }
}

/// Returns how many cells a text takes.
pub(crate) fn cells(text: &str) -> usize {
    text.width()
}

/// Returns the widths of the columns: as wide as their cells, or less where the terminal is narrower.
/// `rows` has the width of each cell.
pub(crate) fn widths(
    columns: &[Column],
    rows: &[Vec<usize>],
    available: Option<usize>,
) -> Vec<usize> {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index).copied());
            cells.chain([cells_of_title(column)]).max().unwrap_or_default()
        })
        .collect();
    let Some(available) = available else { return widths };
    let gaps = GAP_CELLS * columns.len().saturating_sub(1);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(available);
    for (name, sentence) in MIN_CELLS {
        let least = |column: &Column| match column.shortening {
            Shortening::Never => usize::MAX,
            Shortening::Middle => name.max(cells_of_title(column)),
            Shortening::End => sentence.max(cells_of_title(column)),
        };
        while excess > 0 {
            let spare = |index: &usize| widths[*index].saturating_sub(least(&columns[*index]));
            let can_give: Vec<usize> = (0..widths.len()).filter(|index| spare(index) > 0).collect();
            // the widest gives first, so that short names stay whole
            let Some(widest) = can_give.iter().copied().max_by_key(|index| widths[*index]) else {
                break;
            };
            // not below the next one, so that what is cut is shared
            let others = can_give.iter().filter(|index| **index != widest);
            let next = others.map(|index| widths[*index]).max().unwrap_or_default();
            let cut = widths[widest].saturating_sub(next).max(1).min(spare(&widest)).min(excess);
            widths[widest] -= cut;
            excess -= cut;
        }
    }
    widths
}

fn cells_of_title(column: &Column) -> usize {
    cells(column.title)
}

/// Shortens a text to a number of cells.
pub(crate) fn fit(text: &str, width: usize, shortening: Shortening) -> String {
    if cells(text) <= width || shortening == Shortening::Never {
        return text.to_owned();
    }
    let left = width.saturating_sub(1);
    match shortening {
        Shortening::End | Shortening::Never => format!("{}…", start(text, left)),
        Shortening::Middle => {
            let end = left / 2;
            format!("{}…{}", start(text, left - end), tail(text, end))
        }
    }
}

/// Returns the beginning of a text that takes at most this many cells.
fn start(text: &str, width: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, character)| {
        taken += character.width().unwrap_or_default();
        taken > width
    });
    &text[..end.map_or(text.len(), |(index, _)| index)]
}

/// Returns the end of a text that takes at most this many cells.
fn tail(text: &str, width: usize) -> &str {
    let mut taken = 0;
    let mut begin = text.len();
    for (index, character) in text.char_indices().rev() {
        taken += character.width().unwrap_or_default();
        if taken > width {
            break;
        }
        begin = index;
    }
    // marks that belong to a character that is left out
    let rest = &text[begin..];
    rest.trim_start_matches(|character: char| character.width() == Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns<'a>(titles: &[&'a str]) -> Vec<Column<'a>> {
        titles.iter().map(|title| Column::from(*title)).collect()
    }

    #[test]
    fn texts_are_shortened_by_cells() {
        for (text, width, shortening, short) in [
            ("before_vm_start/10-hugepages", 15, Shortening::Middle, "before_…gepages"),
            ("生產環境-資料庫", 8, Shortening::Middle, "生產…庫"),
            ("生產環境-資料庫", 9, Shortening::Middle, "生產…料庫"),
            ("生產環境-資料庫", 15, Shortening::Middle, "生產環境-資料庫"),
            ("a sentence that is long", 10, Shortening::End, "a sentenc…"),
            ("01M8KX4ZE5", 4, Shortening::Never, "01M8KX4ZE5"),
            // a mark without its letter would join the ellipsis
            ("aaaaaae\u{301}b", 3, Shortening::Middle, "a…b"),
            ("", 0, Shortening::End, ""),
            ("ab", 1, Shortening::Middle, "…"),
            ("ab", 0, Shortening::End, "…"),
        ] {
            let fitted = fit(text, width, shortening);
            assert_eq!(fitted, short, "{text} in {width}");
        }
    }

    #[test]
    fn the_widest_column_gives_first() {
        let titles = columns(&["ID", "OBJECT", "RESULT"]);
        let rows = [vec![26, 40, 60], vec![26, 4, 10]];
        assert_eq!(widths(&titles, &rows, None), [26, 40, 60]);
        assert_eq!(widths(&titles, &rows, Some(200)), [26, 40, 60]);
        assert_eq!(widths(&titles, &rows, Some(120)), [26, 40, 50]);
        assert_eq!(widths(&titles, &rows, Some(90)), [26, 30, 30]);
        // no less than can be read
        assert_eq!(widths(&titles, &rows, Some(66)), [26, 12, 24]);
        assert_eq!(widths(&titles, &rows, Some(30)), [26, 8, 16]);
        assert_eq!(widths(&columns(&["ID"]), &[], Some(1)), [2]);
        assert_eq!(widths(&[], &[], Some(1)), [0; 0]);
    }
}
