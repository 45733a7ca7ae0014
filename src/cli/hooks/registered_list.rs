//! `hookmux list --registered`: shows registered hooks by category and event, in cPanel's words.

use crate::cli::inventory::listed::{HookState, Listed};
use crate::cli::json::cpanel::CpanelWords;
use crate::cli::output::{Output, Tone};
use crate::cli::register::cpanel_words;

/// The title of hooks whose events have no category.
const WITHOUT_CATEGORY: &str = "(no category)";
/// The title of hooks that run at calls.
const AT_CALLS: &str = "(calls)";

/// One of the hooks.
struct Entry<'a> {
    hook: &'a Listed,
    words: CpanelWords,
}

/// Hooks with one title, in their order.
type Group<T> = Vec<(String, Vec<T>)>;

pub(super) fn show(hooks: &[Listed], output: &mut Output) {
    if hooks.is_empty() {
        output.line("No hook is registered yet. `hookmux help add` says how; `hookmux list` shows all hooks.");
        return;
    }
    let mut categories: Group<Entry<'_>> = Vec::new();
    for hook in hooks {
        let Some(registration) = &hook.registered else { continue };
        let words = cpanel_words::of(registration, &hook.place);
        let category = words.category.clone();
        let category = category.unwrap_or_else(|| WITHOUT_CATEGORY.to_owned());
        add(&mut categories, category, Entry { hook, words });
    }
    for (category, entries) in categories {
        output.toned(Tone::Bold, &category);
        let mut events: Group<Entry<'_>> = Vec::new();
        for entry in entries {
            let event = entry.words.event.clone().unwrap_or_else(|| AT_CALLS.to_owned());
            add(&mut events, event, entry);
        }
        for (event, entries) in events {
            output.toned(Tone::Bold, &format!("  {event}"));
            for (index, entry) in entries.iter().enumerate() {
                if index > 0 {
                    output.line("    --");
                }
                show_entry(entry, output);
            }
        }
    }
    // those whose content isn't known
    for hook in hooks.iter().filter(|hook| hook.registered.is_none()) {
        output.toned(hook.state.tone(), &format!("{}: {}", hook.path.display(), state(hook)));
    }
}

/// Returns a hook's state with the reason, which often begins with the same word.
fn state(hook: &Listed) -> String {
    let name = hook.state.name();
    match &hook.reason {
        Some(reason) if reason.starts_with(name) => reason.clone(),
        Some(reason) => format!("{name}: {reason}"),
        None => name.to_owned(),
    }
}

fn add<T>(groups: &mut Group<T>, title: String, one: T) {
    match groups.iter_mut().find(|(known, _)| *known == title) {
        Some((_, group)) => group.push(one),
        None => groups.push((title, vec![one])),
    }
}

fn show_entry(entry: &Entry<'_>, output: &mut Output) {
    let Entry { hook, words } = entry;
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            output.line(&format!("    {key}: {value}"));
        }
    };
    line("stage", words.stage.clone());
    let calls = hook.place.strip_prefix(cpanel_words::CALLS);
    line("calls", calls.map(str::to_owned));
    line("weight", Some(words.weight.to_string()));
    line("id", Some(words.id.clone()));
    line("exectype", Some(words.exectype.clone()));
    line("hook", Some(words.hook.clone()));
    line("check", words.check.clone());
    line("rollback", words.rollback.clone());
    line("escalateprivs", Some(words.escalateprivs.to_string()));
    line("blocking", Some(words.blocking.to_string()));
    line("registration", hook.registration.as_ref().map(|path| path.display().to_string()));
    if hook.state != HookState::Active {
        line("state", Some(state(hook)));
    }
}
