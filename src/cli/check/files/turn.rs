//! The turn that a file would have at its events.

use super::judge::NewFile;
use crate::cli::inventory::Inventory;
use crate::cli::inventory::listed::{self, Listed};
use crate::cli::json::check::Turn;
use crate::config::{Registration, Settings};
use crate::event;

impl NewFile<'_> {
    /// Returns the name that the hook will have: of a registration, or event/name of a script.
    pub(super) fn label(&self, settings: &Settings) -> Option<String> {
        use crate::cli::args::FileKind;
        match self.kind {
            FileKind::Registration => self.name(),
            FileKind::Settings => None,
            FileKind::Script => {
                let place = self.place.as_ref()?;
                let root = settings.all_roots().find(|root| place.starts_with(root))?;
                Some(place.strip_prefix(root).ok()?.display().to_string())
            }
        }
    }
}

/// Returns between which hooks it would run, at each of its events.
pub(super) fn turns(
    settings: &Settings,
    user: u32,
    file: &NewFile<'_>,
    registration: Option<&Registration>,
) -> Vec<Turn> {
    let (events, weight, name) = match registration {
        Some(one) if one.enabled => {
            // without a name its place among those of its weight isn't known
            (one.triggers.events.clone(), one.weight, file.name().unwrap_or_default())
        }
        Some(_) => return Vec::new(),
        None => {
            let Some(place) = &file.place else { return Vec::new() };
            let event = place.parent().and_then(|directory| directory.file_name()?.to_str());
            let Some(event) = event.filter(|event| event::is_known(event)) else {
                return Vec::new();
            };
            let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (vec![event.to_owned()], 0, name)
        }
    };
    let Ok(hooks) = listed::all(Inventory::look(settings, user)) else { return Vec::new() };
    let is_itself = |hook: &Listed| {
        let own = hook.registration.as_ref().unwrap_or(&hook.path);
        file.place.as_ref() == Some(own) || (registration.is_some() && hook.name == name)
    };
    let turn = |event: String| {
        let at_event =
            |hook: &&Listed| hook.place == event && hook.order.is_some() && !is_itself(hook);
        let comes_before =
            |hook: &Listed| (hook.weight.unwrap_or_default(), &hook.name) <= (weight, &name);
        let own = |hook: &Listed| {
            hook.label.strip_prefix(&format!("{event}/")).unwrap_or(&hook.label).to_owned()
        };
        let others: Vec<&Listed> = hooks.iter().filter(at_event).collect();
        let after = others.iter().rev().find(|hook| comes_before(hook)).map(|hook| own(hook));
        let before = others.iter().find(|hook| !comes_before(hook)).map(|hook| own(hook));
        Turn { event, after, before }
    };
    events.into_iter().map(turn).collect()
}
