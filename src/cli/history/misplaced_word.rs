//! Words that stand in the place of an event, a call or an execution, and name a guest or a hook.

use crate::cli::guests::Guests;
use crate::cli::inventory::{Inventory, listed};
use crate::cli::remark::Remark;
use crate::cli::{CommandPlace, pattern, usage};
use crate::command::Fix;
use crate::config::Settings;
use crate::record::history::{Filter, History, has_name};
use crate::record::selection::NamePattern;

/// Returns the command that shows the same of a guest or a network; `None` if libvirt and the records know none of this
/// name.
pub(crate) fn of_guest(
    place: &CommandPlace,
    settings: &Settings,
    history: Option<&History>,
    (command, word): (&str, &str),
) -> Option<Fix> {
    let is_defined = || {
        let found = Guests::new(&place.surroundings).find(word, None);
        found.is_ok_and(|found| !found.is_empty())
    };
    let is_recorded = |history: &History| {
        let guest = Some(NamePattern::Name(word.to_owned()));
        any(history, &Filter { guest, ..Filter::default() })
    };
    (is_defined() || history.is_some_and(is_recorded))
        .then(|| Fix::about_guest(&settings.hooks_dir, command, word))
}

/// Checks the words for events and calls of `log` and `watch`.
///
/// # Errors
/// One of them is none; that of a guest or of a hook is met with the option for it.
pub(super) fn check_occasions(
    place: &CommandPlace,
    settings: &Settings,
    history: &History,
    command: &str,
    occasions: &[String],
) -> anyhow::Result<()> {
    for word in occasions {
        let Err(error) = pattern::occasion(word) else { continue };
        let hook = || {
            let wanted = NamePattern::Name(word.clone());
            let all = listed::all(Inventory::look(settings, place.surroundings.user));
            let is_there =
                all.is_ok_and(|all| all.iter().any(|hook| has_name(&hook.label, &wanted)));
            let of_hook = Filter { hook: Some(wanted), ..Filter::default() };
            (is_there || any(history, &of_hook))
                .then(|| Fix::hookmux(&settings.hooks_dir, &[command, "--hook", word]))
        };
        let guest = of_guest(place, settings, Some(history), (command, word));
        let named = guest.map(|fix| ("a guest or a network", fix));
        let Some((what, fix)) = named.or_else(|| hook().map(|fix| ("a hook", fix))) else {
            return Err(error);
        };
        let words =
            format!("`{word}` names {what}, and here an event or a call is expected: `{fix}`");
        return Err(usage::wrong(Remark::with_fix(words, fix)));
    }
    Ok(())
}

fn any(history: &History, filter: &Filter) -> bool {
    history.find(filter).next().is_some()
}
