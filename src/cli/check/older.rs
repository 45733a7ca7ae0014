//! `check --for VERSION`: finds keys that an older version doesn't know and would refuse.

use std::path::Path;

use super::finding::{Code, Findings, Fix};
use super::survey::Survey;
use crate::config::keys::{self, HookmuxVersion, Key};
use crate::config::settings::FILE_NAME;
use crate::config::yaml::{self, Value};
use crate::machine::files;
use crate::search::EntryState;

/// The largest file that is read as settings or a registration.
const MAX_FILE_BYTES: u64 = 4 << 20;

pub(super) fn examine(survey: &Survey<'_>, version: HookmuxVersion, findings: &mut Findings) {
    let settings = survey.settings.hooks_dir.join(FILE_NAME);
    if settings.symlink_metadata().is_ok() {
        check_file(&settings, FILE_NAME, keys::SETTINGS, version, findings);
    }
    let read = survey.sources.iter().filter(|source| {
        // what is masked for this version is masked for the older one too
        matches!(source.state, EntryState::Active)
    });
    for source in read {
        let label = survey.label(&source.path);
        check_file(&source.path, &label, keys::REGISTRATION, version, findings);
    }
}

fn check_file(
    path: &Path,
    label: &str,
    table: &[Key],
    version: HookmuxVersion,
    findings: &mut Findings,
) {
    let read = files::read_regular(path, MAX_FILE_BYTES).map_err(|error| error.to_string());
    let read = read.and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()));
    let keys = match read.and_then(|text| Ok((keys_of(&text)?, text))) {
        Ok(read) => read,
        Err(why) => {
            let words = format!("{label}: its keys can't be read: {why}");
            return findings.add(Code::RefusedKey, path, words, Fix::edit(path, None));
        }
    };
    let (keys, text) = keys;
    for name in keys {
        let since = match keys::find(table, &name) {
            Some(key) if key.since <= version => continue,
            Some(key) => format!("it is new in hookmux {}", key.since),
            // the names below a key without rows are chosen by people
            None if name.contains('.') && !has_rows_below(table, &name) => continue,
            None => "it is unknown in every version".to_owned(),
        };
        let line = line_of(&text, &name);
        let words = format!("{label}:{line}: hookmux {version} refuses the key `{name}`: {since}");
        findings.add(Code::RefusedKey, path, words, Fix::edit(path, Some(line)));
    }
}

fn has_rows_below(table: &[Key], name: &str) -> bool {
    let Some((above, _)) = name.rsplit_once('.') else { return false };
    let is_below =
        |key: &Key| key.name.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'));
    table.iter().any(is_below)
}

/// Returns the keys of a file, in its order: `limits` and then `limits.nofile`.
fn keys_of(text: &str) -> Result<Vec<String>, String> {
    let value = yaml::read::<Value>(text).map_err(|mistake| mistake.message)?;
    let top = match value {
        Value::Mapping(top) => top,
        Value::Null => return Ok(Vec::new()),
        _ => return Err("it is not a mapping of keys to values".to_owned()),
    };
    let mut keys = Vec::new();
    for (key, value) in &top {
        let Some(key) = key.as_str() else { continue };
        keys.push(key.to_owned());
        let below = value.as_mapping().into_iter().flat_map(|mapping| mapping.keys());
        keys.extend(below.filter_map(|name| Some(format!("{key}.{}", name.as_str()?))));
    }
    Ok(keys)
}

/// Returns the line of a key, from 1. The parser doesn't tell where the keys of a value are.
fn line_of(text: &str, path: &str) -> usize {
    let mut from = 0;
    let mut line = 1;
    for name in path.split('.') {
        let Some(place) = find_key(text, from, name) else { break };
        line = text[..place].matches('\n').count() + 1;
        from = place + name.len();
    }
    line
}

/// Finds a key after an offset: a whole word, not in a comment, with a colon after it.
fn find_key(text: &str, from: usize, name: &str) -> Option<usize> {
    text.get(from..)?.match_indices(name).map(|(place, _)| from + place).find(|place| {
        let line = text[..*place].rsplit('\n').next().unwrap_or_default();
        let before = line.trim_end_matches(['"', '\'']);
        let is_word = before.is_empty() || before.ends_with([' ', '\t', '{', ',', '\u{feff}', '?']);
        let is_comment = line.trim_start().starts_with('#') || line.contains(" #");
        let after =
            text[place + name.len()..].trim_start_matches(['"', '\'']).trim_start_matches(' ');
        is_word && !is_comment && after.starts_with(':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_with_their_lines() {
        let text = "# timeout: not here\nroots: [\"timeout: x\"]\n\"timeout\": 5\nretention:\n  # age: 3\n  per_hook: 5\n  age: 3days # size: 1\n  size: 1\nenvironment: {A: b, age: c}\n";
        let keys = keys_of(text).unwrap();
        let lines: Vec<_> = keys.iter().map(|key| (key.as_str(), line_of(text, key))).collect();
        assert_eq!(
            lines,
            [
                ("roots", 2),
                ("timeout", 3),
                ("retention", 4),
                ("retention.per_hook", 6),
                ("retention.age", 7),
                ("retention.size", 8),
                ("environment", 9),
                ("environment.A", 9),
                ("environment.age", 9),
            ]
        );
        assert_eq!(keys_of("").unwrap(), [""; 0]);
        assert!(keys_of("- a\n").is_err() && keys_of("a: [\n").is_err());
    }
}
