//! An execution as one HTML file that needs nothing else: to keep, to send, to print. It says what the text of `show`
//! says with `--full`, and shows nothing that isn't there.
//!
//! It has no script, and its own policy forbids any, and everything that it would have to load.

mod markup;
mod timeline_table;

use markup::Markup;

use super::timeline::{Timeline, name};
use super::view::{self, Fate, Part, Shown};
use super::{command_line, executions, running};
use crate::cli::hooks::difference;
use crate::cli::output::Tone;
use crate::cli::time;
use crate::machine::clock;
use crate::record::form::{HookRegistration, Record, RecordState, RunRecord};
use crate::run::{arguments, left_rollback};
use crate::undo;

const STYLE: &str = include_str!("style.css");
/// Nothing is loaded and nothing is run, whatever a record holds.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The sections that a page can have: the id and the title of each.
const SECTIONS: [(&str, &str); 9] = [
    ("now", "Running now"),
    ("timeline", "Timeline"),
    ("hooks", "Hooks"),
    ("notes", "Notes of hookmux"),
    ("told", "Told to libvirt"),
    ("document", "The document, changed"),
    ("plan", "Plan"),
    ("programs", "Programs and registrations"),
    ("later", "Later"),
];

/// A page that is being made.
struct Page<'a> {
    shown: &'a Shown<'a>,
    timeline: Timeline,
    host: String,
    /// When it is made, in seconds since 1970.
    now: u64,
}

/// Returns the whole file.
pub(crate) fn page(shown: &Shown<'_>) -> String {
    let timeline = Timeline::new(shown.record, shown.seen, shown.queue_us);
    let page = Page { shown, timeline, host: arguments::host(), now: clock::unix_seconds() };
    page.write()
}

impl Page<'_> {
    fn write(&self) -> String {
        let mut page = Markup::default();
        page.own("<!DOCTYPE html>\n");
        page.element("html", &[("lang", "en")], |html| {
            html.element("head", &[], |head| self.add_head(head));
            html.element("body", &[], |body| {
                body.element("header", &[], |header| self.add_header(header));
                body.element("main", &[], |main| self.add_sections(main));
                body.element("footer", &[], |footer| self.add_footer(footer));
            });
        });
        page.finish()
    }

    fn add_head(&self, head: &mut Markup) {
        head.void("meta", &[("charset", "utf-8")]);
        head.void("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)]);
        let width = [("name", "viewport"), ("content", "width=device-width, initial-scale=1")];
        head.void("meta", &width);
        head.void("meta", &[("name", "referrer"), ("content", "no-referrer")]);
        head.line_end();
        let when = time::local(self.shown.record.head.began_us / 1_000_000);
        head.with_text("title", &[], &format!("{} on {}, {when}", self.shown.title(), self.host));
        head.element("style", &[], |style| style.own(STYLE));
    }

    fn add_header(&self, header: &mut Markup) {
        let Record { head, body } = self.shown.record;
        let (mut result, tone) = self.shown.result();
        if head.state == RecordState::Running {
            let rest = result.strip_prefix("running").unwrap_or_default();
            result = format!("still running at {}{rest}", time::local(self.now));
        }
        header.with_text("h1", &[], &self.shown.title());
        header.with_text("p", &[("class", &format!("result {}", class(tone)))], &result);
        header.element("dl", &[], |list| {
            let mut add = |name: &str, value: &str| {
                if !value.is_empty() {
                    list.with_text("dt", &[], name);
                    list.with_text("dd", &[], value);
                }
            };
            add("host", &self.host);
            add(kind_of_object(&head.driver), &head.object);
            add("operation", format!("{} {}", head.operation, head.sub_operation).trim());
            for (name, value) in self.shown.facts().iter().chain(&self.shown.more_facts()) {
                add(name, value);
            }
            if let Some(queue) = self.shown.queue_us {
                add("waited", &format!("{} in the queue", time::short_duration(queue)));
            }
            add("began (UTC)", &time::rfc3339(head.began_us));
            add("hooks of", &body.hooks_dir.lossy());
            add("digest", head.digest.as_deref().unwrap_or_default());
            add("hookmux", &head.version);
        });
        if let Some(words) = &self.shown.passed_over {
            header.with_text("p", &[("class", "dim")], words);
        }
        for sentence in self.shown.ways_on() {
            header.element("p", &[], |line| add_sentence(&sentence, line));
        }
        header.element("nav", &[("aria-label", "Sections")], |nav| {
            nav.element("ul", &[], |list| {
                for (id, title) in SECTIONS.iter().filter(|(id, _)| self.has(id)) {
                    let target = format!("#{id}");
                    list.element("li", &[], |item| {
                        item.with_text("a", &[("href", &target)], title);
                    });
                }
            });
        });
    }

    /// Tells whether there is anything for a section.
    fn has(&self, id: &str) -> bool {
        let body = &self.shown.record.body;
        match id {
            "now" => !self.shown.seen.progress.running().is_empty(),
            "timeline" => !self.timeline.rows.is_empty(),
            "hooks" => !body.runs.is_empty(),
            "notes" => !body.notes.is_empty() || body.left_out.is_some(),
            "told" => !body.stderr.0.is_empty(),
            "document" => body.document.is_some() && body.document_after.is_some(),
            "plan" => !body.plan.is_empty(),
            "programs" => !self.programs().is_empty(),
            "later" => !self.shown.follow_ups.is_empty(),
            _ => false,
        }
    }

    fn add_sections(&self, main: &mut Markup) {
        let body = &self.shown.record.body;
        if body.runs.is_empty() && self.shown.record.head.state == RecordState::Done {
            main.with_text("p", &[], "No hook ran.");
        }
        for (id, title) in SECTIONS.iter().filter(|(id, _)| self.has(id)) {
            let heading = format!("{id}-title");
            main.element("section", &[("id", id), ("aria-labelledby", &heading)], |section| {
                section.with_text("h2", &[("id", &heading)], title);
                match *id {
                    "now" => self.add_running(section),
                    "timeline" => timeline_table::add(&self.timeline, section),
                    "hooks" => self.add_hooks(section),
                    "notes" => self.add_notes(section),
                    "told" => add_pre("what libvirt was told", &body.stderr.lossy(), section),
                    "document" => self.add_difference(section),
                    "plan" => self.add_plan(section),
                    "programs" => self.add_programs(section),
                    _ => self.add_later(section),
                }
            });
        }
    }

    fn add_running(&self, section: &mut Markup) {
        for hook in &self.shown.seen.progress.running() {
            let words = running::words(hook, &self.shown.record.head);
            section.with_text("p", &[("class", "warning")], &words);
            if let Some(line) = &hook.last_line {
                add_pre("its last line", line, section);
            }
        }
        let sentence = [Part::Command(self.shown.stop()), Part::Words(" ends it.".to_owned())];
        section.element("p", &[], |line| add_sentence(&sentence, line));
    }

    fn add_hooks(&self, section: &mut Markup) {
        let (failed, others) = self.shown.runs();
        for (number, run) in failed.into_iter().chain(others).enumerate() {
            let heading = format!("hook-{number}");
            let kind = match () {
                () if run.undo.is_some() || undo::is_label(&run.hook) => " undo-hook",
                () if left_rollback::is_label(&run.hook) => " rollback-hook",
                () if run.outcome.is_failure() => " bad-hook",
                () => "",
            };
            let attributes = [("class", &*format!("hook{kind}")), ("aria-labelledby", &heading)];
            section.element("section", &attributes, |part| {
                let name = name(&run.hook, run.device.as_deref());
                part.element("h3", &[("id", &heading)], |it| it.hook(&name));
                self.add_run(run, &name, part);
            });
        }
    }

    fn add_run(&self, run: &RunRecord, name: &str, part: &mut Markup) {
        let (words, tone) = view::ended(run);
        part.with_text("p", &[("class", class(tone))], &words);
        if let Some(undo) = &run.undo {
            part.with_text("p", &[], &view::undone(undo));
        }
        let line = command_line::line(run, &self.shown.record.body.arguments, true);
        let line = line.unwrap_or_else(|| run.path.lossy().into_owned());
        if !line.is_empty() {
            part.with_text("h4", &[], "Command");
            let label = format!("the command of {name}");
            part.element("pre", &[("class", "command"), ("aria-label", &label)], |pre| {
                pre.line_end();
                pre.printed(&line);
            });
        }
        for note in run.command.iter().flat_map(command_line::notes) {
            part.with_text("p", &[("class", "dim")], &note);
        }
        for (title, stream, text) in
            [("Standard output", "stdout", &run.stdout), ("Standard error", "stderr", &run.stderr)]
        {
            if !text.0.is_empty() {
                part.with_text("h4", &[], title);
                add_pre(&format!("{stream} of {name}"), &text.lossy(), part);
            }
        }
        for left in &run.leftovers {
            let words = format!("left running: {} ({})", left.name, left.pid);
            part.with_text("p", &[("class", "warning")], &words);
        }
    }

    fn add_notes(&self, section: &mut Markup) {
        let body = &self.shown.record.body;
        let left_out = body.left_out.as_ref();
        let left_out = left_out.map(|why| format!("documents and output weren't kept: {why}"));
        section.element("ul", &[("class", "notes")], |list| {
            for note in body.notes.iter().chain(&left_out) {
                list.with_text("li", &[], note);
            }
        });
    }

    fn add_difference(&self, section: &mut Markup) {
        let body = &self.shown.record.body;
        let (Some(before), Some(after)) = (&body.document, &body.document_after) else { return };
        let text = difference::text(&before.lossy(), &after.lossy());
        let attributes = pre_attributes("the difference of the documents");
        section.element("pre", &attributes, |pre| {
            pre.line_end();
            for line in text.lines() {
                let class = match line.as_bytes().first() {
                    Some(b'+') => "good",
                    Some(b'-') => "bad",
                    Some(b'@') => "dim",
                    _ => "plain",
                };
                pre.element("span", &[("class", class)], |it| it.printed_line(line));
                pre.line_end();
            }
        });
    }

    fn add_plan(&self, section: &mut Markup) {
        let titles = ["Hook", "Outcome", "Why"];
        add_table("Every hook that the call could have run.", &titles, section, |body| {
            for planned in self.shown.plan() {
                let class = match planned.fate {
                    Fate::Ran => "plain",
                    Fate::Queued | Fate::NotRun => "dim",
                    Fate::Runs | Fate::Unknown => "warning",
                    Fate::NotStarted => "bad",
                };
                add_cells(&planned.name, body, |row| {
                    row.element("td", &[("role", "cell")], |cell| {
                        cell.with_text("span", &[("class", class)], planned.fate.words());
                    });
                    row.with_text("td", &[("role", "cell")], &planned.why);
                });
            }
        });
    }

    /// Returns what ran, and by which registration: hook, program and its digest, registration.
    fn programs(&self) -> Vec<(String, String, Option<&str>, Option<&HookRegistration>)> {
        let Record { head, body } = self.shown.record;
        let mut all: Vec<_> = Vec::new();
        for run in &body.runs {
            let registered = head.registration_of(left_rollback::hook_of(&run.hook));
            let name = name(&run.hook, run.device.as_deref());
            all.push((name, run.path.lossy().into_owned(), run.sha256.as_deref(), registered));
        }
        // of hooks that haven't ended
        for registered in head.registrations.iter().flatten() {
            if !body.runs.iter().any(|run| run.hook == registered.hook) {
                all.push((registered.hook.clone(), String::new(), None, Some(registered)));
            }
        }
        all
    }

    fn add_programs(&self, section: &mut Markup) {
        let caption =
            "What was executed, with the SHA-256 that it had then; of programs up to 256 KiB.";
        let titles = ["Hook", "Program", "Registration"];
        add_table(caption, &titles, section, |body| {
            for (name, path, sha256, registered) in self.programs() {
                add_cells(&name, body, |row| {
                    let program = (&*path, sha256);
                    let file = registered.map(|it| it.path.lossy().into_owned());
                    let file = file.unwrap_or_default();
                    let registration = (&*file, registered.map(|it| it.sha256.as_str()));
                    for (label, (path, sha256)) in
                        [("program", program), ("registration", registration)]
                    {
                        let attributes = [("role", "cell"), ("data-label", label)];
                        row.element("td", &attributes, |cell| {
                            cell.text(path);
                            if let Some(sha256) = sha256 {
                                cell.with_text("div", &[("class", "mono dim")], sha256);
                            }
                        });
                    }
                });
            }
        });
    }

    fn add_later(&self, section: &mut Markup) {
        let titles = ["Execution", "When", "Hooks", "Took", "Result"];
        add_table("Retries, and tries of detached hooks.", &titles, section, |body| {
            for seen in self.shown.follow_ups {
                let head = &seen.head;
                let (result, tone) = executions::result(seen, self.shown.hooks_dir);
                let hooks: Vec<&str> = head.hooks.iter().map(|hook| hook.hook.as_str()).collect();
                let took = head.duration_us.map(time::short_duration);
                add_cells(&head.id, body, |row| {
                    for (label, text) in [
                        ("when", time::local(head.began_us / 1_000_000)),
                        ("hooks", hooks.join(", ")),
                        ("took", took.unwrap_or_default()),
                    ] {
                        row.with_text("td", &[("role", "cell"), ("data-label", label)], &text);
                    }
                    row.element("td", &[("role", "cell")], |cell| {
                        cell.with_text("span", &[("class", class(tone))], &result);
                    });
                });
            }
        });
    }

    fn add_footer(&self, footer: &mut Markup) {
        let masked = match self.shown.record.body.is_masked {
            Some(true) => " Passwords of the document are replaced by ***.",
            Some(false) | None => "",
        };
        let version = env!("CARGO_PKG_VERSION");
        let made = time::local(self.now);
        let words =
            format!("Made by hookmux {version} on {} at {made}, local time.{masked}", self.host);
        footer.with_text("p", &[], &words);
    }
}

/// Says what an object of a driver is.
fn kind_of_object(driver: &str) -> &'static str {
    match driver {
        "network" => "network",
        "daemon" => "object",
        _ => "guest",
    }
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain | Tone::Bold => "plain",
        Tone::Dim => "dim",
        Tone::Good => "good",
        Tone::Warning => "warning",
        Tone::Bad => "bad",
        Tone::Rollback => "rollback",
        Tone::Undo => "undo",
    }
}

/// Returns the attributes of text that may be wider than the page: people without a mouse can scroll it.
fn pre_attributes(label: &str) -> [(&'static str, &str); 3] {
    [("tabindex", "0"), ("role", "region"), ("aria-label", label)]
}

/// Adds a text as it was printed.
fn add_pre(label: &str, text: &str, into: &mut Markup) {
    into.element("pre", &pre_attributes(label), |pre| {
        // the first line end isn't part of the text
        pre.line_end();
        pre.printed(text);
    });
}

/// Adds a sentence with commands in it.
fn add_sentence(sentence: &[Part], into: &mut Markup) {
    for part in sentence {
        match part {
            Part::Words(words) => into.text(words),
            Part::Command(command) => into.with_text("code", &[], &command.to_string()),
        }
    }
}

fn add_table(caption: &str, titles: &[&str], section: &mut Markup, rows: impl FnOnce(&mut Markup)) {
    section.element("table", &[("role", "table")], |table| {
        table.with_text("caption", &[], caption);
        table.element("thead", &[("role", "rowgroup")], |head| {
            head.element("tr", &[("role", "row")], |row| {
                for title in titles {
                    row.with_text("th", &[("scope", "col"), ("role", "columnheader")], title);
                }
            });
        });
        table.element("tbody", &[("role", "rowgroup")], rows);
    });
}

/// Adds a row: its title, and what follows.
fn add_cells(title: &str, body: &mut Markup, cells: impl FnOnce(&mut Markup)) {
    body.element("tr", &[("role", "row")], |row| {
        row.element("th", &[("scope", "row"), ("role", "rowheader")], |it| it.hook(title));
        cells(row);
    });
}
