//! Prepares registrations before they are written: their names, weights and texts.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::description::DescriptionProblem;
use super::translate::DescriptionEntry;
use super::yaml_edit;
use crate::command;
use crate::config::registration::{self, DIRECTORY, EXTENSION, WEIGHT_STEP};
use crate::config::triggers::Triggers;
use crate::config::{Diagnostic, Registration, yaml};
use crate::machine::sanitize;

/// The mode of a registration, where nothing says that fewer may read it.
pub(crate) const FILE_MODE: u32 = 0o644;

/// A file of `hooks.d` that isn't written yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub name: String,
    /// Whether the user or the description gave the name.
    pub is_named: bool,
    pub path: PathBuf,
    pub text: String,
    /// The mode that its file gets, unless one that fewer can read is there.
    pub mode: u32,
    pub registration: Registration,
    /// Whether it is in cPanel's words and says nothing of root's rights.
    pub is_unescalated: bool,
    /// The text as somebody wrote it, without a weight that was added; `None` if hookmux made it of keys.
    pub given: Option<String>,
}

/// What has to be known to prepare drafts.
pub(crate) struct DraftContext<'a> {
    pub hooks_dir: &'a Path,
    /// The registrations of all roots.
    pub registered: &'a [&'a Registration],
    /// The comment at the beginning of a new file, its lines without `#`.
    pub header: String,
}

impl DraftContext<'_> {
    /// Returns the path of a registration with this name.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.hooks_dir.join(DIRECTORY).join(format!("{name}.{EXTENSION}"))
    }

    /// Prepares the files of entries. `stem` begins the names of those that have no name.
    ///
    /// # Errors
    /// Every mistake, with its entry and key.
    pub(crate) fn draft(
        &self,
        entries: Vec<DescriptionEntry>,
        stem: &str,
    ) -> Result<Vec<Draft>, Vec<DescriptionProblem>> {
        let is_alone = entries.len() == 1;
        let mut drafts: Vec<Draft> = Vec::new();
        let mut problems = Vec::new();
        for DescriptionEntry { number, name, mut keys, is_unescalated } in entries {
            let entry = (number > 0).then_some(number);
            let parsed = self.parse(&self.place("new"), &keys);
            let (_, registration) = match parsed {
                Ok(parsed) => parsed,
                Err((key, message)) => {
                    problems.push(DescriptionProblem { entry, key, message });
                    continue;
                }
            };
            let is_named = name.is_some();
            let name = name.unwrap_or_else(|| {
                let base = format!("{stem}-{}", trigger_word(&registration.triggers));
                let numbered = (2..).map(|number| format!("{base}-{number}"));
                let is_free = |name: &String| drafts.iter().all(|draft| draft.name != *name);
                std::iter::once(base.clone()).chain(numbered).find(is_free).unwrap_or(base)
            });
            if drafts.iter().any(|draft| draft.name == name) {
                let message = format!("`{name}` is the name of an earlier entry too");
                problems.push(DescriptionProblem { entry, key: Some("name".to_owned()), message });
                continue;
            }
            let path = self.place(&name);
            if !keys.contains_key("weight") {
                let weight = self.weight(&path, &registration.triggers, &drafts);
                keys.insert("weight".to_owned(), weight.into());
            }
            match self.parse(&path, &keys) {
                Ok((text, registration)) => {
                    let given = None;
                    drafts.push(Draft {
                        name,
                        is_named,
                        path,
                        text,
                        mode: FILE_MODE,
                        registration,
                        is_unescalated,
                        given,
                    });
                }
                Err((key, message)) => problems.push(DescriptionProblem { entry, key, message }),
            }
        }
        if is_alone {
            // a single entry needs no number
            problems
                .iter_mut()
                .for_each(|problem| problem.entry = problem.entry.filter(|n| *n > 1));
        }
        if problems.is_empty() { Ok(drafts) } else { Err(problems) }
    }

    /// Prepares the file of a registration that somebody wrote: unchanged, but with a weight if it has none.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub(crate) fn draft_file(
        &self,
        source: &Path,
        text: &str,
        name: &str,
        is_named: bool,
        earlier: &[Draft],
    ) -> Result<Draft, Diagnostic> {
        let path = self.place(name);
        // mistakes are reported with the name of the file that was given
        Registration::parse(source, self.hooks_dir, text)?;
        let parse = |text: &str| Registration::parse(&path, self.hooks_dir, text);
        let mut registration = parse(text)?;
        let given = text.to_owned();
        let mut text = text.to_owned();
        if !has_weight(&text) {
            registration.weight = self.weight(&path, &registration.triggers, earlier);
            let weight = registration.weight.to_string();
            let means = |text: &str| {
                parse(text).is_ok_and(|parsed| parsed == registration) && has_weight(text)
            };
            text = yaml_edit::set(&text, "weight", &weight, &means).ok_or_else(|| {
                Diagnostic::whole(source, format!("it names no weight, and none can be added to it: write `weight: {weight}` into it"))
            })?;
        }
        let with_header = format!("{}{text}", comment(&self.header));
        if parse(&with_header).is_ok_and(|parsed| parsed == registration) {
            text = with_header;
        }
        let name = name.to_owned();
        Ok(Draft {
            name,
            is_named,
            path,
            text,
            mode: FILE_MODE,
            registration,
            is_unescalated: false,
            given: Some(given),
        })
    }

    /// Returns the weight of a registration that names none: that of the file that it replaces, else one
    /// step more than the highest of its events.
    fn weight(&self, path: &Path, triggers: &Triggers, drafts: &[Draft]) -> i64 {
        let overlaps = |other: &&Registration| overlap(triggers, &other.triggers);
        let all = self.registered.iter().copied().filter(overlaps);
        if let Some(replaced) = all.clone().find(|other| other.source == path) {
            return replaced.weight;
        }
        let earlier = drafts.iter().map(|draft| &draft.registration).filter(overlaps);
        all.chain(earlier)
            .map(|other| other.weight)
            .max()
            .map_or(WEIGHT_STEP, |highest| highest.saturating_add(WEIGHT_STEP))
    }

    fn parse(
        &self,
        path: &Path,
        keys: &Map<String, Value>,
    ) -> Result<(String, Registration), (Option<String>, String)> {
        let text = self.render(keys).map_err(|message| (None, message))?;
        match Registration::parse(path, self.hooks_dir, &text) {
            Ok(registration) => Ok((text, registration)),
            Err(diagnostic) => Err((diagnostic.key.map(String::from), diagnostic.message)),
        }
    }

    fn render(&self, keys: &Map<String, Value>) -> Result<String, String> {
        let mut ordered = Map::new();
        for key in registration::keys() {
            if let Some(value) = keys.get(key) {
                ordered.insert(key.to_owned(), value.clone());
            }
        }
        let yaml = yaml::write(&ordered)?;
        Ok(format!("{}{yaml}", comment(&self.header)))
    }
}

/// Returns the comment at the beginning of a new file: the command that made it, and what is to be known of it.
pub(crate) fn header(more: &[String]) -> String {
    // a dry run shows what a real one would write
    let typed = std::env::args_os().skip(1).filter(|word| word != "--dry-run");
    let words: Vec<_> = std::iter::once("hookmux".into()).chain(typed).collect();
    let more: String = more.iter().map(|line| format!("\n{}", line.replace('\n', " "))).collect();
    format!(
        "Registered by: {}{more}\nYou may edit this file; the next call of libvirt uses it as it is then.\n`hookmux schema` shows which keys it may have.",
        command::text(&words)
    )
}

fn comment(header: &str) -> String {
    header.lines().map(|line| format!("# {}\n", sanitize::line(line.as_bytes()))).collect()
}

fn has_weight(text: &str) -> bool {
    #[derive(Default, serde::Deserialize)]
    struct WithWeight {
        weight: Option<serde::de::IgnoredAny>,
    }
    let read = yaml::read::<Option<WithWeight>>(text);
    read.is_ok_and(|read| read.unwrap_or_default().weight.is_some())
}

/// Returns a word for when something runs that can be part of a file's name.
fn trigger_word(triggers: &Triggers) -> String {
    match (triggers.events.first(), triggers.calls.first()) {
        _ if triggers.every_event => "every-event".to_owned(),
        (Some(event), _) => event.clone(),
        (None, Some(call)) => call
            .to_string()
            .replace('/', "-")
            .replace('*', "any")
            .replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_"),
        (None, None) => "never".to_owned(),
    }
}

/// Tells whether two registrations run at the same event or call, as far as their triggers tell.
pub(crate) fn overlap(one: &Triggers, other: &Triggers) -> bool {
    let names_event = |triggers: &Triggers| triggers.every_event || !triggers.events.is_empty();
    one.events.iter().any(|event| other.has_event(event))
        || other.events.iter().any(|event| one.has_event(event))
        || (one.every_event && names_event(other))
        || (other.every_event && names_event(one))
        || one.calls.iter().any(|call| other.calls.contains(call))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(number: usize, name: Option<&str>, keys: Value) -> DescriptionEntry {
        let Value::Object(keys) = keys else { panic!("not an object") };
        let name = name.map(str::to_owned);
        DescriptionEntry { number, name, keys, is_unescalated: false }
    }

    fn drafts(
        registered: &[&Registration],
        entries: Vec<DescriptionEntry>,
    ) -> Result<Vec<Draft>, Vec<String>> {
        let context =
            DraftContext { hooks_dir: Path::new("/h"), registered, header: "one\ntwo".to_owned() };
        context
            .draft(entries, "guard")
            .map_err(|problems| problems.iter().map(DescriptionProblem::to_string).collect())
    }

    fn start(weight: Option<i64>) -> Value {
        let mut keys = json!({"events": ["before_vm_start"], "command": ["/x"]});
        if let Some(weight) = weight {
            keys["weight"] = weight.into();
        }
        keys
    }

    #[test]
    fn weights_are_counted_as_cpanel_counts_them() {
        let mut all: Vec<Registration> = Vec::new();
        for (given, expected) in
            [(None, 100), (None, 200), (None, 300), (Some(455), 455), (None, 555), (None, 655)]
        {
            let name = format!("h{}", all.len());
            let known: Vec<&Registration> = all.iter().collect();
            let made = drafts(&known, vec![entry(1, Some(&name), start(given))]).unwrap();
            assert_eq!(made[0].registration.weight, expected);
            all.push(made[0].registration.clone());
        }
        // those of other events don't count, those for all events do
        let known: Vec<&Registration> = all.iter().collect();
        let other = |events: Value| entry(1, None, json!({"events": events, "command": "/x"}));
        let weight = |events| drafts(&known, vec![other(events)]).unwrap()[0].registration.weight;
        assert_eq!(weight(json!("after_vm_stop")), 100);
        assert_eq!(weight(json!("*")), 755);
        assert_eq!(weight(json!(["after_vm_stop", "before_vm_start"])), 755);
        // one that is written anew keeps its turn
        let again = drafts(&known, vec![entry(1, Some("h1"), start(None))]).unwrap();
        assert_eq!(again[0].registration.weight, 200);
    }

    #[test]
    fn entries_of_one_description_count_each_other() {
        let made = drafts(&[], (1..4).map(|n| entry(n, None, start(None))).collect()).unwrap();
        let seen: Vec<_> = made.iter().map(|d| (d.name.as_str(), d.registration.weight)).collect();
        let expected = [
            ("guard-before_vm_start", 100),
            ("guard-before_vm_start-2", 200),
            ("guard-before_vm_start-3", 300),
        ];
        assert_eq!(seen, expected);
        assert_eq!(made[0].path, Path::new("/h/hooks.d/guard-before_vm_start.yaml"));
    }

    #[test]
    fn names_say_when() {
        for (keys, name) in [
            (json!({"events": "*", "command": "/x"}), "guard-every-event"),
            (json!({"calls": "qemu/prepare/begin", "command": "/x"}), "guard-qemu-prepare-begin"),
            (json!({"calls": "*/started", "command": "/x"}), "guard-any-started-any"),
        ] {
            assert_eq!(drafts(&[], vec![entry(1, None, keys)]).unwrap()[0].name, name);
        }
    }

    #[test]
    fn texts_read_back_as_they_were_meant() {
        let odd = [
            "yes", "0", "a: b", "# c", "- d", "'\"\\", "x\ny\n", " ", "", "*", "~", "ä\u{1}",
            "1e3", "0x1",
        ];
        let mut keys = start(None);
        keys["command"] = std::iter::once("/x").chain(odd).collect::<Vec<_>>().into();
        let made = drafts(&[], vec![entry(1, None, keys)]).unwrap();
        assert_eq!(made[0].registration.command[1..], odd);
        assert!(made[0].text.starts_with("# one\n# two\nevents:\n"), "{}", made[0].text);
    }

    #[test]
    fn mistakes_name_entry_and_key() {
        for (key, value, expected) in [
            ("on_failure", json!("explode"), "entry 2, `on_failure`: "),
            ("timeout", json!("3x"), "entry 2, `timeout`: "),
            ("when", json!({"nmae": "x"}), "entry 2, `when`: "),
            ("nice", json!(99), "entry 2, `nice`: 99 is not a nice value"),
            ("retries", json!(1), "entry 2, `retries`: `retries` belongs to `mode: detached`"),
            ("args", json!(["$NAM"]), "entry 2, `args`: "),
            ("command", json!([]), "entry 2, `command`: "),
            ("weight", json!("heavy"), "entry 2, `weight`: "),
            ("events", json!([]), "entry 2: `events` or `calls` is missing"),
        ] {
            let mut bad = start(None);
            bad[key] = value;
            let said = drafts(&[], vec![entry(1, None, start(None)), entry(2, None, bad)]);
            let said = said.unwrap_err();
            assert!(said.len() == 1 && said[0].starts_with(expected), "{key} says {said:?}");
        }
        let twice = vec![entry(1, Some("a"), start(None)), entry(2, Some("a"), start(None))];
        assert!(drafts(&[], twice).unwrap_err()[0].starts_with("entry 2, `name`: "));
    }

    #[test]
    fn a_file_is_taken_as_it_is() {
        let context =
            DraftContext { hooks_dir: Path::new("/h"), registered: &[], header: "one".to_owned() };
        let of = |text: &str| context.draft_file(Path::new("f.yaml"), text, "f", false, &[]);
        let text = "# mine\nevents: before_vm_start # when\ncommand: /x\nweight: 7\n";
        assert_eq!(of(text).unwrap().text, format!("# one\n{text}"));
        let text = "{\"events\": \"before_vm_start\", \"command\": \"/x\"}";
        let made = of(text).unwrap();
        assert_eq!(made.registration.weight, 100);
        assert!(made.text.contains("\"weight\": 100, \"events\""), "{}", made.text);
        let error = of("events: before_vm_start\ncomand: /x\n").unwrap_err().to_string();
        assert!(error.starts_with("f.yaml:2:1: unknown key `comand`"), "{error}");
    }
}
