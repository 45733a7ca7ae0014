//! `hookmux log`: shows the executions, the newest last.

use super::follow::{Extent, Follower, Happening, What};
use super::jobs::Jobs;
use super::seen::{self, Seen};
use super::selection::{self, Wanted};
use super::watch::View;
use super::{audit, consumed, executions, misplaced_word};
use crate::cli::args::{Format, LogArgs};
use crate::cli::json::execution::{Execution, Log};
use crate::cli::output::Output;
use crate::cli::time::TimeStyle;
use crate::cli::{CommandEnd, CommandPlace};
use crate::command::Fix;
use crate::config::Settings;
use crate::record::form::RecordState;
use crate::record::history::{Filter, History, is_failed};

/// How many ids a message lists.
const MAX_LISTED_IDS: usize = 5;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &LogArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let settings = &loaded.settings;
    if arguments.audit {
        return audit::show(settings, arguments, output);
    }
    let history = executions::history(settings, output)?;
    let args = &arguments.filter;
    let (occasions, conditions) = (&args.occasions, &args.search.conditions);
    misplaced_word::check_occasions(place, settings, &history, "log", occasions)?;
    let wanted =
        Wanted { occasions, conditions, hook: args.search.hook.as_ref(), since: args.search.since };
    let filter = selection::filter(&wanted, &history)?;
    // the follower sees what ends from now on, the list has what ended before
    let follower = match arguments.follow {
        true => Some(Follower::new(settings, Extent::Ends, None, filter.until)?),
        false => None,
    };
    let before = arguments.before.as_deref().map(|word| executions::find_id(&history, word));
    let page = Page::read(&history, settings, &filter, arguments, before.transpose()?.as_deref());
    match follower {
        Some(follower) => follow(follower, &page, settings, &history, &filter, arguments, output),
        None => {
            page.print(settings, &history, &filter, arguments, output);
            Ok(CommandEnd::Good)
        }
    }
}

/// What is shown at once.
struct Page {
    /// The newest last.
    shown: Vec<Seen>,
    /// Whether there are older ones.
    is_cut: bool,
    total: Option<usize>,
    /// The failed ones that something later has mended.
    mended: Vec<String>,
}

impl Page {
    fn read(
        history: &History,
        settings: &Settings,
        filter: &Filter,
        arguments: &LogArgs,
        before: Option<&str>,
    ) -> Page {
        let jobs = Jobs::new(settings);
        let mut page = Page { shown: Vec::new(), is_cut: false, total: None, mended: Vec::new() };
        let mut count = 0;
        let others = consumed::all(settings, filter.since);
        for mut seen in consumed::merged(seen::all(history, filter.since), others) {
            if !filter.holds(&seen.head) || before.is_some_and(|before| *seen.head.id >= *before) {
                continue;
            }
            if filter.is_failed && is_failed(&seen.head) && !seen.is_open_failure() {
                if page.shown.len() < arguments.lines {
                    page.mended.push(seen.head.id);
                }
                continue;
            }
            count += 1;
            if page.shown.len() < arguments.lines {
                if !seen.head.is_untrusted {
                    jobs.settle(&mut seen, history);
                }
                page.shown.push(seen);
                continue;
            }
            page.is_cut = true;
            if !arguments.total {
                break;
            }
        }
        page.total = arguments.total.then_some(count);
        page.shown.reverse();
        page
    }

    fn print(
        &self,
        settings: &Settings,
        history: &History,
        filter: &Filter,
        arguments: &LogArgs,
        output: &mut Output,
    ) {
        let newer = history.newer();
        let next = self.shown.first().filter(|_| self.is_cut).map(|seen| seen.head.id.clone());
        if arguments.output.format == Format::Json {
            output.json(&Log {
                executions: self.shown.iter().map(Execution::from).collect(),
                newer: newer.map_or(0, |(count, _)| count),
                next,
                total: self.total,
                mended: self.mended.clone(),
            });
            return;
        }
        if let Some((count, newer)) = newer {
            output.print_error(&executions::not_shown(count, newer));
        }
        if self.shown.is_empty() && newer.is_none() {
            let is_asked =
                arguments.filter.is_any() || arguments.lines == 0 || arguments.before.is_some();
            output.line(if is_asked { "No such execution." } else { "No execution yet." });
            selection::unknown_names(filter, history).iter().for_each(|it| output.print_error(it));
        }
        if !self.shown.is_empty() {
            let times = output.times(TimeStyle::Absolute);
            let row = |seen: &Seen| executions::row(seen, &settings.hooks_dir, times);
            let rows: Vec<_> = self.shown.iter().map(row).collect();
            output.table(&executions::TITLES, &rows);
        }
        self.say_what_is_left_out(settings, next, output);
    }

    fn say_what_is_left_out(&self, settings: &Settings, next: Option<String>, output: &mut Output) {
        if let Some(total) = self.total {
            let next = next.map(|next| {
                let page = Fix::hookmux(&settings.hooks_dir, &["log", "--before", next.as_str()]);
                format!("; `{page}` shows older ones")
            });
            output.line(&format!("{} of {total}{}", self.shown.len(), next.unwrap_or_default()));
        }
        if self.mended.is_empty() {
            return;
        }
        let ids: Vec<&str> = self.mended.iter().map(String::as_str).take(MAX_LISTED_IDS).collect();
        let more = if self.mended.len() > ids.len() { " …" } else { "" };
        output.print_error(&format!(
            "left out, because a later retry succeeded: {}{more}",
            ids.join(", ")
        ));
    }
}

/// Prints what is there, and then what comes.
fn follow(
    mut follower: Follower,
    page: &Page,
    settings: &Settings,
    history: &History,
    filter: &Filter,
    arguments: &LogArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    if page.shown.is_empty() {
        let unknown = selection::unknown_names(filter, history);
        unknown.iter().for_each(|it| output.print_error(it));
    }
    if let Some((count, newer)) = history.newer() {
        output.print_error(&executions::not_shown(count, newer));
    }
    let mut view = View { format: arguments.output.format, has_titles: false, is_log: true };
    for Seen { head, progress, after } in &page.shown {
        let is_running = head.state == RecordState::Running;
        if !is_running {
            follower.skip(&head.id);
        }
        let what = if is_running { What::Begun } else { What::Done };
        let at_us = head.began_us.saturating_add(head.duration_us.unwrap_or_default());
        let (head, progress, after) = (head.clone(), progress.clone(), after.clone());
        let seen = Seen { head, progress, after };
        view.print(&Happening { what, at_us, seen }, settings, output);
    }
    while let Some(happenings) = follower.next(history)? {
        for happening in happenings {
            if filter.holds(&happening.seen.head) {
                view.print(&happening, settings, output);
            }
        }
    }
    Ok(CommandEnd::Good)
}
