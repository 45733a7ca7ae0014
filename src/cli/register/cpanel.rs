//! Events as cPanel names them: a category, an event in it, and a stage before or after it.

use crate::config::suggest::{did_you_mean, suggest_or};
use crate::event;

/// A key, and what is wrong with it.
pub(crate) type KeyError = (&'static str, String);

/// Returns the event that category, event and stage mean together. An event that hookmux knows by its own
/// name needs neither category nor stage.
///
/// # Errors
/// There is no such event; the message says which there are.
pub(crate) fn event_name(
    category: Option<&str>,
    event: &str,
    stage: Option<&str>,
) -> Result<String, KeyError> {
    let word = normalize(event);
    let (category, stage) = match (category, stage) {
        (None, None) if word == "*" || event::is_known(&word) => return Ok(word),
        (None, None) => {
            let of_operation = event::known_events_of(&word);
            let known = event::TABLE.iter().map(|row| row.name);
            let otherwise = "see `hookmux events`, or give its category and stage too";
            let hint = match of_operation.as_slice() {
                [] => suggest_or(&word, known, otherwise),
                own => format!("that operation has events of its own: {}", own.join(", ")),
            };
            return Err(("event", format!("there is no event `{event}`; {hint}")));
        }
        (Some(_), None) => return Err(("stage", "`stage` is missing: pre or post".to_owned())),
        (None, Some(_)) => {
            let known = categories().join(", ");
            return Err(("category", format!("`category` is missing: one of {known}")));
        }
        (Some(category), Some(stage)) => (category, stage.trim().to_ascii_lowercase()),
    };
    let stage = known_stage(&stage)?;
    let category = self::category(category)?;
    let name = |stage: Stage| format!("{}_{category}_{word}", stage.prefix());
    if event::is_known(&name(stage)) {
        return Ok(name(stage));
    }
    let hint = if event::is_known(&name(stage.other())) {
        format!("it has only stage {} ({})", stage.other().name(), name(stage.other()))
    } else {
        let of_category: Vec<&str> = events_of(category).map(|(_, event)| event).collect();
        match did_you_mean(&word, of_category) {
            Some(similar) => format!("did you mean event `{similar}`?"),
            None => format!("known in {category} are {}", list_in_words(category)),
        }
    };
    Err((
        "event",
        format!("there is no event {} `{event}` in category {category}; {hint}", stage.word()),
    ))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Pre,
    Post,
}

impl Stage {
    fn parse(word: &str) -> Option<Stage> {
        [Stage::Pre, Stage::Post].into_iter().find(|stage| stage.name() == word)
    }

    const fn name(self) -> &'static str {
        match self {
            Stage::Pre => "pre",
            Stage::Post => "post",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Stage::Pre => "before",
            Stage::Post => "after",
        }
    }

    const fn prefix(self) -> &'static str {
        self.word()
    }

    const fn other(self) -> Stage {
        match self {
            Stage::Pre => Stage::Post,
            Stage::Post => Stage::Pre,
        }
    }
}

/// Makes `Port-Create`, `port::create` and `port_create` the same word.
fn normalize(word: &str) -> String {
    word.trim().replace("::", "_").replace(['-', '.', ' '], "_").to_ascii_lowercase()
}

/// Splits a name of the table into stage, category and event.
fn parts(name: &str) -> Option<(Stage, &str, &str)> {
    let (prefix, rest) = name.split_once('_')?;
    let stage = [Stage::Pre, Stage::Post].into_iter().find(|stage| stage.prefix() == prefix)?;
    let (category, event) = rest.split_once('_')?;
    Some((stage, category, event))
}

/// Returns the category, stage and event of an event of the table.
pub(crate) fn words(name: &str) -> Option<(&str, &'static str, &str)> {
    if !event::TABLE.iter().any(|row| row.name == name) {
        return None;
    }
    let (stage, category, event) = parts(name)?;
    Some((category, stage.name(), event))
}

/// Returns the category that a word means.
///
/// # Errors
/// There is no such category; the message says which there are.
pub(crate) fn category(word: &str) -> Result<&'static str, KeyError> {
    let (normal, known) = (normalize(word), categories());
    known.iter().copied().find(|category| *category == normal).ok_or_else(|| {
        // cPanel's own categories are not libvirt's: a guest is what is nearest to all of them
        let hint = did_you_mean(&normal, known.iter().copied()).map_or_else(
            || "guests are `vm`; ".to_owned(),
            |similar| format!("did you mean `{similar}`? "),
        );
        let known = known.join(", ");
        ("category", format!("there is no category `{word}`; {hint}known are {known}"))
    })
}

/// Returns the stage that a word means: pre or post.
///
/// # Errors
/// There is no such stage.
pub(crate) fn stage(word: &str) -> Result<&'static str, KeyError> {
    known_stage(&word.trim().to_ascii_lowercase()).map(Stage::name)
}

fn known_stage(word: &str) -> Result<Stage, KeyError> {
    let unknown = || ("stage", format!("there is no stage `{word}`: it is pre or post"));
    Stage::parse(word).ok_or_else(unknown)
}

/// Returns the categories, in the table's order.
pub(crate) fn categories() -> Vec<&'static str> {
    let mut known = Vec::new();
    for (_, category, _) in event::TABLE.iter().filter_map(|row| parts(row.name)) {
        if !known.contains(&category) {
            known.push(category);
        }
    }
    known
}

fn events_of(category: &str) -> impl Iterator<Item = (Stage, &'static str)> {
    event::TABLE
        .iter()
        .filter_map(|row| parts(row.name))
        .filter(move |(_, own, _)| *own == category)
        .map(|(stage, _, event)| (stage, event))
}

fn list_in_words(category: &str) -> String {
    let of = |wanted: Stage| -> Option<String> {
        let events: Vec<&str> = events_of(category)
            .filter(|(stage, _)| *stage == wanted)
            .map(|(_, event)| event)
            .collect();
        (!events.is_empty()).then(|| format!("{} {}", wanted.name(), events.join(", ")))
    };
    [of(Stage::Pre), of(Stage::Post)].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_category_and_a_stage() {
        for row in event::TABLE {
            let (stage, category, event) = parts(row.name).unwrap();
            let name = event_name(Some(category), event, Some(stage.name())).unwrap();
            assert_eq!(name, row.name);
            assert_eq!(event_name(None, row.name, None).unwrap(), row.name);
        }
        assert_eq!(categories(), ["vm", "device", "network", "daemon", "vdsm"]);
    }

    #[test]
    fn words_are_taken_as_people_write_them() {
        for (category, event, stage, name) in [
            ("VM", "Start", "pre", "before_vm_start"),
            ("network", "port-create", "PRE", "before_network_port_create"),
            ("network", "port::delete", "post", "after_network_port_delete"),
        ] {
            assert_eq!(event_name(Some(category), event, Some(stage)).unwrap(), name);
        }
        assert_eq!(event_name(None, "on_qemu_paused", None).unwrap(), "on_qemu_paused");
    }

    #[test]
    fn what_there_is_none_of_is_told() {
        for (category, event, stage, key, words) in [
            (Some("vm"), "stop", Some("pre"), "event", "only stage post (after_vm_stop)"),
            (Some("vm"), "strat", Some("pre"), "event", "did you mean event `start`?"),
            (Some("daemon"), "zzz", Some("pre"), "event", "pre start, stop, reload"),
            (Some("netwrok"), "start", Some("pre"), "category", "did you mean `network`?"),
            (Some("Whostmgr"), "x", Some("pre"), "category", "vm, device, network, daemon"),
            (Some("vm"), "start", Some("during"), "stage", "pre or post"),
            (Some("vm"), "start", None, "stage", "is missing"),
            (None, "start", Some("pre"), "category", "is missing"),
            (None, "before_vm_strat", None, "event", "did you mean `before_vm_start`?"),
            (None, "start", None, "event", "category and stage"),
        ] {
            let (at, message) = event_name(category, event, stage).unwrap_err();
            assert_eq!(at, key, "{message}");
            assert!(message.contains(words), "{message}");
        }
    }
}
