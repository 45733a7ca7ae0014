//! The timeline as a table, with a drawn bar in each row. The other columns say the same in words.

use super::markup::Markup;
use crate::cli::history::timeline::{Row, RowEnd, RowKind, Span, Timeline};
use crate::cli::time::short_duration;

/// A bar isn't narrower than this, in percent: a short run is visible, too.
const LEAST_PERCENT: f64 = 0.4;

/// The patterns by which waits, rollbacks and undos differ without colour.
const PATTERNS: &str = r##"<svg class="patterns" aria-hidden="true" focusable="false"><defs>
<pattern id="waits" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="gap" width="6" height="6"/><rect class="waits-line" width="1.5" height="6"/></pattern>
<pattern id="rollback" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)"><rect class="rollback" width="8" height="8"/><rect class="gap" width="2" height="8"/></pattern>
<pattern id="undo" width="5" height="5" patternUnits="userSpaceOnUse"><rect class="undo" width="5" height="5"/><rect class="gap" y="0" width="5" height="1.5"/></pattern>
</defs></svg>
"##;

/// Adds the table and what its bars mean.
pub(super) fn add(timeline: &Timeline, page: &mut Markup) {
    let Timeline { rows, total_us, queue_us } = timeline;
    page.own(PATTERNS);
    page.element("table", &[("class", "timeline"), ("role", "table")], |table| {
        let queue = match queue_us {
            0 => String::new(),
            queue => format!(
                " The left end is when the job was queued, or when the try before was over: {} before this one began.",
                short_duration(*queue)
            ),
        };
        let caption = format!(
            "From left to right: {} in all.{queue} “Started” counts from the beginning of the execution.",
            short_duration(*total_us)
        );
        table.with_text("caption", &[], &caption);
        table.element("thead", &[("role", "rowgroup")], |head| {
            head.element("tr", &[("role", "row")], |row| {
                let column =
                    |class| [("scope", "col"), ("role", "columnheader"), ("class", class)];
                row.with_text("th", &column(""), "Hook");
                row.element("th", &column("bar"), |title| {
                    title.with_text("span", &[("class", "seen-by-readers")], "Time");
                    title.element("span", &[("class", "scale"), ("aria-hidden", "true")], |scale| {
                        scale.with_text("span", &[], "0");
                        scale.with_text("span", &[], &short_duration(*total_us));
                    });
                });
                row.with_text("th", &column("number"), "Started");
                row.with_text("th", &column("number"), "Took");
                row.with_text("th", &column(""), "Ended");
            });
        });
        table.element("tbody", &[("role", "rowgroup")], |body| {
            rows.iter().for_each(|row| add_row(row, *total_us, *queue_us, body));
        });
    });
    add_legend(rows, page);
}

fn add_row(row: &Row, total_us: u64, queue_us: u64, body: &mut Markup) {
    body.element("tr", &[("role", "row")], |line| {
        line.element("th", &[("scope", "row"), ("role", "rowheader")], |it| it.hook(&row.name));
        line.element("td", &[("class", "bar"), ("role", "cell")], |cell| {
            add_bar(row, total_us, cell);
        });
        let started = row
            .run
            .map(|run| format!("+{}", short_duration(run.start_us - queue_us.min(run.start_us))));
        let took = row.took_us().map(short_duration);
        let number = |label| [("class", "number"), ("role", "cell"), ("data-label", label)];
        line.with_text("td", &number("started"), &started.unwrap_or_default());
        line.with_text("td", &number("took"), &took.unwrap_or_default());
        line.element("td", &[("role", "cell")], |cell| {
            let (word, class) = end(row);
            cell.with_text("span", &[("class", class)], word);
            for note in notes(row) {
                cell.with_text("div", &[("class", "dim")], &note);
            }
        });
    });
}

/// Returns a word for how a row ended, and its class.
fn end(row: &Row) -> (&'static str, &'static str) {
    match row.end {
        RowEnd::Good => ("good", "good"),
        RowEnd::Failed => ("failed", "bad"),
        RowEnd::TimedOut => ("timed out", "bad"),
        RowEnd::Queued => ("queued", "plain"),
        RowEnd::Running => ("running", "warning"),
        RowEnd::NotRun => ("only waited", "dim"),
        RowEnd::Unknown => ("unknown", "warning"),
    }
}

fn notes(row: &Row) -> Vec<String> {
    let changed = row.changed_document.then(|| "changed the document".to_owned());
    changed.into_iter().chain(row.notes()).collect()
}

/// Draws what a row waited and ran.
fn add_bar(row: &Row, total_us: u64, cell: &mut Markup) {
    let attributes = [("aria-hidden", "true"), ("focusable", "false")];
    cell.element("svg", &attributes, |svg| {
        add_rect("track", (0.0, 100.0), ("35%", "30%"), svg);
        for wait in &row.waits {
            add_rect("waits", place(wait.span, total_us), ("15%", "70%"), svg);
        }
        if let Some(run) = row.run {
            let class = match row.kind {
                RowKind::Rollback => "rollback-bar",
                RowKind::Undo => "undo-bar",
                RowKind::Call | RowKind::Hook => end(row).1,
            };
            add_rect(class, place(run, total_us), ("0", "100%"), svg);
        }
        if let Some(limit) = row.limit_us {
            let (left, _) = place(Span { start_us: limit, end_us: limit }, total_us);
            let left = format!("{:.3}%", left.min(99.0));
            let attributes = [
                ("class", "limit"),
                ("x", &left),
                ("y", "-15%"),
                ("width", "4"),
                ("height", "130%"),
            ];
            svg.void("rect", &attributes);
        }
    });
}

/// Adds a piece of a bar: from where and how wide, in percent.
fn add_rect(class: &str, (left, width): (f64, f64), (top, height): (&str, &str), svg: &mut Markup) {
    let (left, width) = (format!("{left:.3}%"), format!("{width:.3}%"));
    let attributes =
        [("class", class), ("x", &left), ("y", top), ("width", &width), ("height", height)];
    svg.void("rect", &attributes);
}

/// Returns where a piece of the time is: its left end and its width, in percent.
fn place(span: Span, total_us: u64) -> (f64, f64) {
    let percent = |micros: u64| micros.min(total_us) as f64 / total_us.max(1) as f64 * 100.0;
    let left = percent(span.start_us).min(100.0 - LEAST_PERCENT);
    (left, (percent(span.end_us) - left).max(LEAST_PERCENT))
}

/// Says what the bars are that aren't a hook's run.
fn add_legend(rows: &[Row], page: &mut Markup) {
    let is_any = |kind| rows.iter().any(|row| row.kind == kind && row.run.is_some());
    let drawn = [
        ("waits", "waited", rows.iter().any(|row| !row.waits.is_empty())),
        ("rollback-bar", "rollback", is_any(RowKind::Rollback)),
        ("undo-bar", "undo", is_any(RowKind::Undo)),
        ("limit", "its time was over", rows.iter().any(|row| row.limit_us.is_some())),
    ];
    if drawn.iter().all(|(.., is_drawn)| !is_drawn) {
        return;
    }
    page.element("ul", &[("class", "legend")], |list| {
        for (class, words, _) in drawn.iter().filter(|(.., is_drawn)| *is_drawn) {
            list.element("li", &[], |item| {
                item.element("svg", &[("aria-hidden", "true"), ("focusable", "false")], |svg| {
                    match *class {
                        "limit" => svg.void(
                            "rect",
                            &[("class", class), ("x", "45%"), ("width", "4"), ("height", "100%")],
                        ),
                        _ => add_rect(class, (0.0, 100.0), ("0", "100%"), svg),
                    }
                });
                item.text(words);
            });
        }
    });
}
