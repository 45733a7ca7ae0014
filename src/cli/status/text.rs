//! The page for people.

use std::time::{SystemTime, UNIX_EPOCH};

use super::entries::{EntryStatus, LookedDaemon};
use super::{HostStatus, UndoCounts};
use crate::cli::history::executions;
use crate::cli::history::running::RunningCall;
use crate::cli::json::queue::Job;
use crate::cli::output::{Output, Tone};
use crate::cli::{bypass, time};
use crate::command::Fix;
use crate::record::form::RecordHead;

/// The width of the column with the titles.
const TITLE_WIDTH: usize = 10;
/// What stands between words and the command that they lead to.
const HINT: &str = "  → ";
/// How many calls that run, and how many hooks that don't, are shown; `--output json` has more.
const MAX_SHOWN: usize = 5;
/// How many characters of the digest are shown. `list --digest` has all of it.
const DIGEST_CHARACTERS: usize = 16;

pub(super) fn show(status: &HostStatus<'_>, output: &mut Output) {
    let mut page = Page { output, tone: Tone::Plain };
    page.head(status);
    page.entries(status);
    page.hooks(status);
    page.running(status);
    page.queue(status);
    page.undos(status);
    page.outbox(status);
    page.day(status);
    page.bypass(status);
    let digest = status.digest.get(..DIGEST_CHARACTERS).unwrap_or(&status.digest);
    page.row("digest", digest);
    let next = status.next();
    if !next.is_empty() {
        page.output.line("");
        page.output.line("Next:");
        next.iter().for_each(|remark| page.output.line(&format!("  {remark}")));
    }
}

struct Page<'a> {
    output: &'a mut Output,
    tone: Tone,
}

impl Page<'_> {
    fn row(&mut self, title: &str, words: &str) {
        let begin = format!("  {title:<TITLE_WIDTH$} ");
        let indentation = " ".repeat(begin.len());
        let mut lines = self.output.wrapped(&begin, &indentation, words);
        if let Some((words, command)) = words.rsplit_once(HINT).filter(|_| lines.len() > 1) {
            // one command on one line, to be copied
            lines = self.output.wrapped(&begin, &indentation, words);
            lines.push(format!("{indentation}{}{command}", HINT.trim_start()));
        }
        lines.iter().for_each(|line| self.output.toned(self.tone, line));
        self.tone = Tone::Plain;
    }

    fn toned(&mut self, tone: Tone) -> &mut Self {
        self.tone = tone;
        self
    }

    fn head(&mut self, status: &HostStatus<'_>) {
        let mut daemons: Vec<String> = status.daemons.iter().map(daemon).collect();
        daemons.dedup();
        let libvirt = match (&status.libvirt, daemons.is_empty()) {
            (Some(version), false) => format!("libvirt {version} ({})", daemons.join(", ")),
            (Some(version), true) => format!("libvirt {version} (no daemon runs)"),
            (None, false) => format!("libvirt ({})", daemons.join(", ")),
            (None, true) => "no libvirt".to_owned(),
        };
        let hooks_dir = status.place.surroundings.hooks_dir.display();
        let version = env!("CARGO_PKG_VERSION");
        self.output.toned(Tone::Bold, &format!("hookmux {version}, {libvirt}, {hooks_dir}"));
        if !status.place.surroundings.hooks_dir.is_dir() {
            self.toned(Tone::Bad).row("", &format!("there is no directory {hooks_dir}"));
        }
    }

    fn entries(&mut self, status: &HostStatus<'_>) {
        let called: Vec<&EntryStatus> =
            status.entries.iter().filter(|entry| entry.is_called()).collect();
        let names: Vec<&str> = called.iter().map(|entry| entry.installed.driver.name()).collect();
        if names.is_empty() {
            self.toned(Tone::Warning).row("installed", "for no driver: libvirt runs no hook");
        } else {
            let looked = status.daemons.iter().filter_map(seen_by).collect::<Vec<_>>().join(", ");
            let looked = if looked.is_empty() { looked } else { format!("  ({looked})") };
            self.row("installed", &format!("{}{looked}", names.join(" ")));
        }
        let unseen: Vec<&str> = called
            .iter()
            .filter(|entry| entry.is_seen == Some(false))
            .map(|entry| entry.installed.driver.name())
            .collect();
        if !unseen.is_empty() {
            let words = format!(
                "{}: not known whether libvirt has seen it; `hookmux check` says what to do",
                unseen.join(", ")
            );
            self.toned(Tone::Warning).row("", &words);
        }
        let hooks_dir = &status.place.surroundings.hooks_dir;
        for entry in status.entries.iter().filter(|entry| !entry.is_called()) {
            if entry.is_foreign() || entry.fix(hooks_dir).is_some() {
                let tone = if entry.is_foreign() { Tone::Warning } else { Tone::Bad };
                let fix = entry.fix(hooks_dir).map(|fix| format!("  → {fix}")).unwrap_or_default();
                self.toned(tone).row("", &format!("{}{fix}", entry.words()));
            }
        }
        for loose in status.entries.iter().flat_map(|entry| &entry.installed.loose) {
            let words = format!(
                "{} is run by libvirt itself, at every call and without a limit",
                loose.display()
            );
            self.toned(Tone::Warning).row("", &words);
        }
    }

    fn hooks(&mut self, status: &HostStatus<'_>) {
        let (active, not_run) = (status.active(), status.not_run().count());
        if not_run == 0 {
            return self.row("hooks", &format!("{active} active"));
        }
        let (verb, check) =
            (if not_run == 1 { "doesn't" } else { "don't" }, hint(status, &["check"]));
        let words = format!("{active} active, {not_run} {verb} run, but should  → {check}");
        self.toned(Tone::Bad).row("hooks", &words);
        for hook in status.not_run().take(MAX_SHOWN) {
            self.row("", &format!("{}: {}", hook.label, hook.state.name()));
        }
        self.more(not_run);
    }

    /// Says how many aren't shown.
    fn more(&mut self, all: usize) {
        if all > MAX_SHOWN {
            self.row("", &format!("and {} more", all - MAX_SHOWN));
        }
    }

    fn running(&mut self, status: &HostStatus<'_>) {
        let Some(first) = status.running.first() else { return self.row("running", "no call") };
        self.toned(Tone::Warning).row("running", &running_line(first, status));
        for head in status.running.iter().skip(1).take(MAX_SHOWN - 1) {
            self.row("", &running_line(head, status));
        }
        self.more(status.running.len());
    }

    fn queue(&mut self, status: &HostStatus<'_>) {
        let counts = status.queue.counts();
        if counts.jobs + counts.put_aside + counts.unread == 0 {
            return self.row("queue", "empty");
        }
        let mut parts = Vec::new();
        for (count, one, many) in [
            (counts.running, "runs", "run"),
            (counts.waiting, "waits", "wait"),
            (counts.failing, "failing", "failing"),
            (counts.put_aside, "put aside", "put aside"),
            (counts.unread, "of another version", "of another version"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {}", if count == 1 { one } else { many }));
            }
        }
        let is_bad = counts.failing + counts.put_aside + counts.unread > 0;
        let hint =
            if is_bad { format!("  → {}", hint(status, &["queue"])) } else { String::new() };
        let tone = if is_bad { Tone::Bad } else { Tone::Plain };
        self.toned(tone).row("queue", &format!("{}{hint}", parts.join(", ")));
        for job in status.queue.failing().take(MAX_SHOWN) {
            self.row("", &job_line(&job));
        }
        self.more(counts.failing);
    }

    fn undos(&mut self, status: &HostStatus<'_>) {
        let counts = UndoCounts::of(&status.undos);
        let mut parts = Vec::new();
        for (count, words) in [
            (counts.owed, "owed"),
            (counts.due, "due"),
            (counts.unread, "can't be read"),
            (counts.set_up, "set up"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {words}"));
            }
        }
        match (parts.is_empty(), counts.owed + counts.unread) {
            (true, _) => self.row("undo", "nothing is owed"),
            (false, 0) => self.row("undo", &parts.join(", ")),
            (false, _) => {
                let words =
                    format!("{}  → {}", parts.join(", "), hint(status, &["undo", "--list"]));
                self.toned(Tone::Bad).row("undo", &words);
            }
        }
    }

    /// Without an outbox, and with nothing in it, there is no line.
    fn outbox(&mut self, status: &HostStatus<'_>) {
        let counts = &status.outbox;
        let waiting = counts.events + counts.waiting;
        if !counts.is_on && waiting == 0 {
            return;
        }
        let mut words = match waiting {
            0 => "empty".to_owned(),
            1 => "1 event waits".to_owned(),
            many => format!("{many} events wait"),
        };
        if let Some(oldest) = counts.oldest_ms {
            words.push_str(&format!(", the oldest of {}", time::local(oldest / 1000)));
        }
        if counts.lost > 0 {
            words.push_str(&format!(", {} lost so far", counts.lost));
        }
        if counts.sinks == 0 {
            words.push_str(", and nothing sends them");
        }
        let is_bad = counts.sinks == 0 || counts.lost > 0;
        self.toned(if is_bad { Tone::Warning } else { Tone::Plain }).row("outbox", &words);
    }

    fn day(&mut self, status: &HostStatus<'_>) {
        let day = &status.day;
        let Some(counted) = &day.counted else {
            return self.row("last 24 h", "not known: a newer version counts the calls");
        };
        let about = if day.is_exact { "" } else { "about " };
        let calls = if counted.calls == 1 { "call" } else { "calls" };
        let mut words = format!("{about}{} {calls}, {} failed", counted.calls, counted.failed);
        if counted.lost > 0 {
            words.push_str(&format!(", {} lost", counted.lost));
        }
        if counted.detached_failed > 0 {
            words.push_str(&format!(
                ", {} failed {} of detached hooks",
                counted.detached_failed,
                if counted.detached_failed == 1 { "try" } else { "tries" }
            ));
        }
        let is_bad = counted.failed + counted.lost + counted.detached_failed > 0;
        self.toned(if is_bad { Tone::Bad } else { Tone::Plain }).row("last 24 h", &words);
        if let Some(head) = &day.last_failed {
            let why = head.failure.as_deref().unwrap_or("libvirt got an error");
            let words = format!(
                "last: {} {} {}, {why}  → {}",
                time::clock_time(head.began_us / 1_000_000),
                executions::call(head),
                head.object,
                hint(status, &["show", short_id(&head.id)])
            );
            self.row("", &words);
        }
    }

    fn bypass(&mut self, status: &HostStatus<'_>) {
        let hooks_dir = &status.place.surroundings.hooks_dir;
        let entries = &status.bypass.entries;
        let Some(first) = entries.first() else { return self.row("bypass", "off") };
        self.toned(Tone::Bad).row("bypass", &bypass::describe(first, hooks_dir));
        for entry in entries.iter().skip(1) {
            self.toned(Tone::Bad).row("", &bypass::describe(entry, hooks_dir));
        }
    }
}

fn hint(status: &HostStatus<'_>, words: &[&str]) -> Fix {
    Fix::hookmux(&status.place.surroundings.hooks_dir, words)
}

/// `libvirtd, up 3 h`
fn daemon(one: &LookedDaemon) -> String {
    let up = one.daemon.started.and_then(|started| SystemTime::now().duration_since(started).ok());
    let up = up.map(|up| format!(", up {}", time::rough_duration(up))).unwrap_or_default();
    format!("{}{up}", one.daemon.name)
}

/// `libvirtd looked at 21:11:04`
fn seen_by(one: &LookedDaemon) -> Option<String> {
    let looked = one.looked()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{} looked at {}", one.daemon.name, time::clock_time(looked.as_secs())))
}

/// Returns the end of an id, which is enough for `show`.
fn short_id(id: &str) -> &str {
    id.get(id.len().saturating_sub(6)..).unwrap_or(id)
}

/// Says which call runs, and what in it. `stop` ends it.
fn running_line(head: &RecordHead, status: &HostStatus<'_>) -> String {
    let stop = hint(status, &["stop", short_id(&head.id)]);
    match RunningCall::of(head.clone()) {
        Some(call) => format!("{}  → {stop}", call.line()),
        None => format!("{} {}", executions::call(head), head.object),
    }
}

fn job_line(job: &Job) -> String {
    let head = &job.head;
    let why = job.reason.as_ref().map(|why| format!(", {why}")).unwrap_or_default();
    let last = head.last.as_ref().map(|last| format!(": {last}")).unwrap_or_default();
    let tries = u64::from(head.retries) + 1;
    format!(
        "{} for {}, {} of {tries} tries failed{why}{last}",
        head.hook, head.object, head.attempts
    )
}
