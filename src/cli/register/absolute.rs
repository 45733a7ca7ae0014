//! A registration's text for another directory: what is relative there becomes absolute.

use std::path::Path;

use anyhow::bail;

use super::yaml_edit;
use crate::config::Registration;

/// The keys that name programs and files. Relative ones are below the registration's own root.
const PATH_KEYS: [&str; 5] = ["command", "check", "rollback", "undo", "environment_file"];

/// How many places of a path are tried.
const MAX_TRIES: usize = 64;

/// Returns the text of a registration for another root: as it is written, with absolute paths. `from` is the
/// directory that its paths are relative to, `to` the root where it will lie.
///
/// # Errors
/// It is no registration, or a path can't be made absolute by a small change.
pub(crate) fn text(source: &Path, text: &str, from: &Path, to: &Path) -> anyhow::Result<String> {
    let parse = |text: &str, root: &Path| Registration::parse(source, root, text);
    let meant = parse(text, from).map_err(|diagnostic| anyhow::anyhow!("{diagnostic}"))?;
    let meant = serde_json::to_value(&meant)?;
    let mut text = text.to_owned();
    for key in PATH_KEYS {
        let has_meaning = |text: &str| {
            let read = parse(text, to).ok().and_then(|it| serde_json::to_value(it).ok());
            read.is_some_and(|read| read.get(key) == meant.get(key))
        };
        let program = match meant.get(key) {
            Some(serde_json::Value::Array(words)) => words.first(),
            word => word,
        };
        let Some(program) = program.filter(|_| !has_meaning(&text)) else { continue };
        // alone, or as the first word of a list
        let changed = [format!("{program}"), format!("[{program}")]
            .iter()
            .find_map(|value| yaml_edit::set(&text, key, value, &has_meaning))
            .or_else(|| spelled_out(&text, program.as_str()?, from, &has_meaning));
        let Some(changed) = changed else {
            bail!("{}: `{key}` has to be a path, or a list on one line", source.display());
        };
        text = changed;
    }
    Ok(text)
}

/// Returns the text with a path written in full at the one place where that gives the wanted meaning: in a list of
/// several lines, say.
fn spelled_out(
    text: &str,
    path: &str,
    from: &Path,
    has_meaning: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let relative = Path::new(path).strip_prefix(from).ok()?.to_str().filter(|it| !it.is_empty())?;
    let places = text.match_indices(relative).take(MAX_TRIES);
    let mut tries =
        places.map(|(at, _)| [&text[..at], path, &text[at + relative.len()..]].concat());
    tries.find(|changed| has_meaning(changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_relative_becomes_absolute_and_the_rest_stays() {
        let of = |written: &str| {
            text(Path::new("f.yaml"), written, Path::new("/from"), Path::new("/to"))
        };
        for (before, after) in [
            ("command: x\n", "command: \"/from/x\"\n"),
            ("command: [x, y] # x\n", "command: [\"/from/x\", y] # x\n"),
            ("command: [x]\n", "command: \"/from/x\"\n"),
            ("command:\n  - x\n  - x\n", "command:\n  - /from/x\n  - x\n"),
            ("command: [\n  'bin/x',\n]\n", "command: [\n  '/from/bin/x',\n]\n"),
            ("# bin/x\ncommand:\n- \"bin/x\"\n", "# bin/x\ncommand:\n- \"/from/bin/x\"\n"),
            ("command: /x\ncheck: c\n", "command: /x\ncheck: \"/from/c\"\n"),
            ("command: /x\nenvironment_file: e\n", "command: /x\nenvironment_file: \"/from/e\"\n"),
            ("command: /x\n", "command: /x\n"),
            ("command: [/x, y]\n", "command: [/x, y]\n"),
        ] {
            let events = "events: before_vm_start\n";
            assert_eq!(of(&format!("{events}{before}")).unwrap(), format!("{events}{after}"));
        }
        let odd = "events: before_vm_start\ncommand:\n- \"b\\u0069n\"\n";
        assert!(of(odd).unwrap_err().to_string().contains("`command` has to be a path"));
    }
}
