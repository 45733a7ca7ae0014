//! Which executions `log` and `watch` show, from their options.

use std::collections::BTreeSet;

use crate::cli::args::ConditionArgs;
use crate::cli::pattern;
use crate::cli::usage;
use crate::config::suggest::{did_you_mean, suggest_or};
use crate::libvirt::operation;
use crate::record::history::{Filter, History, has_name, is_of};
use crate::record::selection::{NamePattern, is_glob};

/// How many names a message lists.
const MAX_LISTED_NAMES: usize = 20;

/// How many records are looked through for a name.
const MAX_LOOKED_THROUGH: usize = 5_000;

/// What the options of a command say.
pub(crate) struct Wanted<'a> {
    pub occasions: &'a [String],
    pub conditions: &'a ConditionArgs,
    pub hook: Option<&'a String>,
    /// Milliseconds since 1970.
    pub since: Option<u64>,
}

/// Makes a filter of the options.
///
/// # Errors
/// No event, or no call, matches.
pub(crate) fn filter(wanted: &Wanted<'_>, history: &History) -> anyhow::Result<Filter> {
    let arguments = wanted.conditions;
    let occasions = wanted.occasions.iter().map(|word| pattern::occasion(word));
    let pattern = |word: Option<&String>, is_name: &dyn Fn(&str) -> bool| {
        word.map(|word| match is_glob(word) && is_name(word) {
            true => NamePattern::Name(word.clone()),
            false => NamePattern::of(word),
        })
    };
    if let Some(word) = &arguments.operation {
        known_operation(word, history)?;
    }
    Ok(Filter {
        guest: pattern(arguments.guest.as_ref(), &|word| {
            any_head(history, |head| head.object == word)
        }),
        event: arguments.event.as_deref().map(pattern::events).transpose()?,
        hook: pattern(wanted.hook, &|word| {
            let wanted = NamePattern::Name(word.to_owned());
            any_head(history, |head| head.hooks.iter().any(|hook| has_name(&hook.hook, &wanted)))
        }),
        occasions: occasions.collect::<anyhow::Result<_>>()?,
        driver: arguments.driver.map(|driver| driver.name().to_owned()),
        operation: arguments.operation.clone(),
        is_failed: arguments.failed,
        is_success: arguments.success,
        is_lost: arguments.lost,
        since: wanted.since,
        until: arguments.until,
    })
}

/// Refuses an operation that libvirt doesn't have. A later libvirt may have more: those that were recorded count.
fn known_operation(word: &str, history: &History) -> anyhow::Result<()> {
    let mut known = operation::TABLE.iter().map(|row| row.name);
    if known.any(|name| name == word) || any_head(history, |head| head.operation == word) {
        return Ok(());
    }
    let names = operation::TABLE.iter().map(|row| row.name);
    let hint = suggest_or(word, names, "`hookmux events` shows libvirt's calls");
    Err(usage::wrong(format!("there is no operation `{word}`; {hint}")))
}

/// Looks through the newest records: all of a hundred thousand would take seconds, and names that look like patterns
/// are rare.
fn any_head(history: &History, is_one: impl Fn(&crate::record::form::RecordHead) -> bool) -> bool {
    history.find(&Filter::default()).take(MAX_LOOKED_THROUGH).any(|head| is_one(&head))
}

/// Returns a note for a guest or a hook that no record has, with the names that there are.
pub(crate) fn unknown_names(filter: &Filter, history: &History) -> Vec<String> {
    if filter.guest.is_none() && filter.hook.is_none() {
        return Vec::new();
    }
    let (mut guests, mut hooks) = (BTreeSet::new(), BTreeSet::new());
    let (mut has_guest, mut has_hook) = (filter.guest.is_none(), filter.hook.is_none());
    for head in history.find(&Filter::default()) {
        has_guest = has_guest || filter.guest.as_ref().is_some_and(|wanted| is_of(&head, wanted));
        for hook in head.hooks {
            let is_it = filter.hook.as_ref().is_some_and(|it| has_name(&hook.hook, it));
            has_hook = has_hook || is_it;
            hooks.insert(hook.hook);
        }
        guests.insert(head.object);
        if has_guest && has_hook {
            return Vec::new();
        }
    }
    let note = |what: &str, wanted: &Option<NamePattern>, has: bool, known: &BTreeSet<String>| {
        let (NamePattern::Name(word) | NamePattern::Glob(word)) = wanted.as_ref()?;
        (!has).then(|| format!("no recorded execution {what} {word}; {}", names(word, known)))
    };
    let of_guest = note("is about", &filter.guest, has_guest, &guests);
    let of_hook = note("has a hook", &filter.hook, has_hook, &hooks);
    of_guest.into_iter().chain(of_hook).collect()
}

/// Says which names there are, or which is similar.
fn names(word: &str, known: &BTreeSet<String>) -> String {
    let short = known.iter().map(|label| label.rsplit('/').next().unwrap_or(label));
    let all = known.iter().map(String::as_str).chain(short);
    if let Some(similar) = did_you_mean(word, all) {
        return format!("did you mean {similar}?");
    }
    if known.is_empty() {
        return "nothing is recorded yet".to_owned();
    }
    let listed: Vec<&str> = known.iter().map(String::as_str).take(MAX_LISTED_NAMES).collect();
    let more = known.len() - listed.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("there are {}{more}", listed.join(", "))
}
