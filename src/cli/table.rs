//! Lays tables out for the width of the terminal: in cells, as Chinese characters and many others take two of them.
//!
//! unicode-width knows the cells. No kept library shortens a name in its middle, where the two ends of a path or of a
//! guest's name are what tells it from others, so that part is here.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a column is shortened where the terminal is too narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortening {
    /// Never: a word of hookmux's, a command to copy.
    Never,
    /// An id: its end, which commands take too.
    Start,
    /// A name or a path: its middle.
    Middle,
    /// A sentence: its end.
    End,
    /// Parts with commas between them: the last parts, as long as there are others.
    Parts,
    /// A time: the year, and the date, where all rows have the same.
    SharedDate,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    pub title: &'a str,
    pub is_right_aligned: bool,
    pub shortening: Shortening,
    /// Whether it is left out where the terminal is too narrow, as another column says the most important of it.
    pub is_left_out: bool,
    /// The smallest width to which it is shortened, in cells; and the smallest where that isn't enough.
    least: [usize; 2],
}

/// The blanks between two columns.
pub(crate) const GAP_CELLS: usize = 2;
/// How much of an id is shown at least: an ellipsis and six characters.
const ID_CELLS: usize = 7;
/// The least of an event's name: its beginning and its end tell it from every other one.
const EVENT_CELLS: usize = 22;

impl<'a> From<&'a str> for Column<'a> {
    /// Makes a column that behaves as its title asks: the same title means the same in every table.
    fn from(title: &'a str) -> Column<'a> {
        let is_right_aligned =
            matches!(title, "TOOK" | "AGE" | "TRIES" | "TURN" | "ORDER" | "WEIGHT");
        let (shortening, least) = match title {
            "ID" | "JOB" => (Shortening::Start, [ID_CELLS; 2]),
            "TIME" => (Shortening::SharedDate, [0; 2]),
            "EVENT" => (Shortening::Middle, [EVENT_CELLS; 2]),
            "CALL" => (Shortening::End, [12, 12]),
            "HOOK" | "OBJECT" | "GUEST" | "NAME" | "ROOT" | "RUNS" | "COMMAND" | "DEVICE"
            | "FOR" => (Shortening::Middle, [12, 8]),
            // it begins with what happened, and ends with the hook's own words
            "RESULT" => (Shortening::Middle, [36, 14]),
            "WHY" | "MORE" | "WHAT" | "WHEN" | "REASON" | "WHAT FOR" | "HERE" => {
                (Shortening::End, [24, 14])
            }
            "LAST" => (Shortening::Parts, [16, 8]),
            _ => (Shortening::Never, [usize::MAX; 2]),
        };
        Column { title, is_right_aligned, shortening, is_left_out: title == "HOOKS", least }
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
    for step in 0..2 {
        while excess > 0 {
            let spare = |index: &usize| {
                let column = &columns[*index];
                let can_be =
                    !matches!(column.shortening, Shortening::Never | Shortening::SharedDate);
                let least = column.least[step].max(cells_of_title(column));
                if can_be { widths[*index].saturating_sub(least) } else { 0 }
            };
            let can_give: Vec<usize> = (0..widths.len()).filter(|index| spare(index) > 0).collect();
            // an id first, as its end says as much; else the widest, so that short names stay whole
            let is_id = |index: &usize| columns[*index].shortening == Shortening::Start;
            let id = can_give.iter().copied().find(is_id);
            let Some(widest) =
                id.or_else(|| can_give.iter().copied().max_by_key(|index| widths[*index]))
            else {
                break;
            };
            // not below the next one, so that what is cut is shared
            let others = can_give.iter().filter(|index| **index != widest && id.is_none());
            let next = others.map(|index| widths[*index]).max().unwrap_or_default();
            let cut = widths[widest].saturating_sub(next).max(1).min(spare(&widest)).min(excess);
            widths[widest] -= cut;
            excess -= cut;
        }
    }
    widths
}

/// Returns how much of the beginnings of times is left out: the date if all have the same, else the year.
pub(crate) fn shared_date<'t>(times: impl Iterator<Item = &'t str> + Clone) -> usize {
    const DATE: usize = "2026-11-30 ".len();
    const YEAR: usize = "2026-".len();
    let is_shared = |length: usize| {
        let first = times.clone().next().and_then(|time| time.get(..length));
        // not of `119 min ago`
        let is_date = first.is_some_and(|first| first.as_bytes().get(4) == Some(&b'-'));
        is_date && times.clone().all(|time| time.get(..length) == first)
    };
    match (is_shared(DATE), is_shared(YEAR)) {
        (true, _) => DATE,
        (false, true) => YEAR,
        (false, false) => 0,
    }
}

fn cells_of_title(column: &Column) -> usize {
    cells(column.title)
}

/// Shortens a text to a number of cells.
pub(crate) fn fit(text: &str, width: usize, shortening: Shortening) -> String {
    if cells(text) <= width {
        return text.to_owned();
    }
    let left = width.saturating_sub(1);
    match shortening {
        Shortening::Never | Shortening::SharedDate => text.to_owned(),
        Shortening::Start => format!("…{}", tail(text, left)),
        Shortening::End => format!("{}…", start(text, left)),
        Shortening::Parts => match text.rsplit_once(", ") {
            Some((first, _)) => fit(first, width, shortening),
            None => fit(text, width, Shortening::End),
        },
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
            ("good 2 min ago, 0.9 s", 20, Shortening::Parts, "good 2 min ago"),
            ("good 2 min ago, 0.9 s", 21, Shortening::Parts, "good 2 min ago, 0.9 s"),
            ("good 2 min ago, 0.9 s", 9, Shortening::Parts, "good 2 m…"),
            ("01M8KX4ZE5", 4, Shortening::Never, "01M8KX4ZE5"),
            ("01M8PMDWKGWE1VD64QMKGA8Y7E", 7, Shortening::Start, "…GA8Y7E"),
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
        let titles = columns(&["CODE", "OBJECT", "RESULT"]);
        let rows = [vec![26, 40, 60], vec![26, 4, 10]];
        assert_eq!(widths(&titles, &rows, None), [26, 40, 60]);
        assert_eq!(widths(&titles, &rows, Some(200)), [26, 40, 60]);
        assert_eq!(widths(&titles, &rows, Some(120)), [26, 40, 50]);
        assert_eq!(widths(&titles, &rows, Some(110)), [26, 40, 40]);
        // what a hook said keeps more than a name
        assert_eq!(widths(&titles, &rows, Some(90)), [26, 24, 36]);
        // no less than can be read
        assert_eq!(widths(&titles, &rows, Some(66)), [26, 12, 24]);
        assert_eq!(widths(&titles, &rows, Some(30)), [26, 8, 14]);
        // an id gives before all others
        let titles = columns(&["ID", "OBJECT", "RESULT"]);
        assert_eq!(widths(&titles, &rows, Some(120)), [16, 40, 60]);
        assert_eq!(widths(&titles, &rows, Some(100)), [7, 40, 49]);
        assert_eq!(widths(&columns(&["STATE"]), &[], Some(1)), [5]);
        assert_eq!(widths(&[], &[], Some(1)), [0; 0]);
    }

    #[test]
    fn dates_that_all_rows_have_are_left_out() {
        for (times, left_out) in [
            (&["2026-11-30 16:26:05", "2026-11-30 09:00:00"][..], 11),
            (&["2026-11-30 16:26:05", "2026-11-29 09:00:00"], 5),
            (&["2026-11-30 16:26:05", "2025-11-30 16:26:05"], 0),
            (&["2026-11-30 16:26:05", "-"], 0),
            (&["119 min ago", "119 min ago"], 0),
            (&[], 0),
        ] {
            assert_eq!(shared_date(times.iter().copied()), left_out, "{times:?}");
        }
    }

    #[test]
    fn no_two_events_are_shortened_to_the_same() {
        let short = |name: &str| fit(name, EVENT_CELLS, Shortening::Middle);
        let all: Vec<String> = crate::event::TABLE.iter().map(|row| short(row.name)).collect();
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
    }
}
