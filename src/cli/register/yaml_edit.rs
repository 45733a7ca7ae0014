//! Changes one value of a YAML file in its text: comments, order and everything else stay as they are.
//! Several ways are tried; the first is taken that gives the wanted meaning.

/// How many places of a key are tried.
const MAX_TRIES: usize = 64;

/// Returns the text with the value of a top-level key set. `means` tells whether a text has the wanted
/// meaning. Returns `None` if no small edit gives it.
pub fn set(text: &str, key: &str, value: &str, means: &dyn Fn(&str) -> bool) -> Option<String> {
    let replaced = value_ranges(text, key).map(|(start, end)| {
        let gap = if text[..start].ends_with(':') { " " } else { "" };
        format!("{}{gap}{value}{}", &text[..start], &text[end..])
    });
    // each try parses the whole text
    let mut tries = replaced.take(MAX_TRIES).chain(additions(text, key, value));
    tries.find(|changed| means(changed))
}

/// Returns the byte ranges in which a value of the key may be, wherever the key is written.
fn value_ranges<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    text.match_indices(key).filter_map(move |(at, _)| {
        let rest = &text[at + key.len()..];
        let after = rest.trim_start_matches(['"', '\'']).trim_start_matches([' ', '\t']);
        let value = after.strip_prefix(':')?;
        let value = value.trim_start_matches([' ', '\t']);
        let start = text.len() - value.len();
        let end = value.find([',', '}', '\n', '\r']).unwrap_or(value.len());
        let end = value[..end].find(" #").unwrap_or(end);
        Some((start, start + value[..end].trim_end().len()))
    })
}

/// Returns the text with the key added: at the end, before an end mark, in braces, at the beginning.
fn additions<'a>(text: &'a str, key: &'a str, value: &'a str) -> impl Iterator<Item = String> + 'a {
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let break_before = if text.is_empty() || text.ends_with('\n') { "" } else { line_end };
    let line = format!("{key}: {value}{line_end}");
    let at_end = format!("{text}{break_before}{line}");
    let before_mark =
        text.rfind("\n...").map(|at| format!("{}{line}{}", &text[..=at], &text[at + 1..]));
    let in_braces = text.find('{').map(|at| {
        format!("{}\"{key}\": {value}, {}", &text[..=at], text[at + 1..].trim_start_matches(' '))
    });
    let at_start = format!("{line}{text}");
    [Some(at_end), before_mark, in_braces, Some(at_start)].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Registration;
    use std::path::Path;

    fn parse(text: &str) -> Option<Registration> {
        Registration::parse(Path::new("/h/hooks.d/x.yaml"), Path::new("/h"), text).ok()
    }

    #[track_caller]
    fn disabled(text: &str) -> String {
        let wanted = Registration { enabled: false, ..parse(text).unwrap() };
        set(text, "enabled", "false", &|text| parse(text).as_ref() == Some(&wanted)).unwrap()
    }

    const BASE: &str = "events: before_vm_start # when\ncommand: /x\n";

    #[test]
    fn the_line_changes_and_nothing_else() {
        for (before, after) in [
            ("enabled: true\n", "enabled: false\n"),
            ("enabled:   true  # keep this\n", "enabled:   false  # keep this\n"),
            ("\"enabled\": true\n", "\"enabled\": false\n"),
            ("enabled : true\n", "enabled : false\n"),
            ("enabled:\n", "enabled: false\n"),
            ("# enabled: true\nenabled: true\n", "# enabled: true\nenabled: false\n"),
            (
                "environment: {enabled: true}\nenabled: true\n",
                "environment: {enabled: true}\nenabled: false\n",
            ),
            ("enabled: true", "enabled: false"),
            ("enabled: true\r\nweight: 5\r\n", "enabled: false\r\nweight: 5\r\n"),
            ("enabled: true\n\n\n# the end", "enabled: false\n\n\n# the end"),
        ] {
            assert_eq!(disabled(&format!("{BASE}{before}")), format!("{BASE}{after}"));
            assert_eq!(disabled(&format!("{before}\n{BASE}")), format!("{after}\n{BASE}"));
        }
    }

    #[test]
    fn a_missing_line_is_added_where_it_may_be() {
        for (before, after) in [
            (BASE.to_owned(), format!("{BASE}enabled: false\n")),
            (format!("{BASE}# end"), format!("{BASE}# end\nenabled: false\n")),
            (format!("---\n{BASE}...\n"), format!("---\n{BASE}enabled: false\n...\n")),
            (
                BASE.replace('\n', "\r\n"),
                format!("{}enabled: false\r\n", BASE.replace('\n', "\r\n")),
            ),
            (
                "{\"events\": \"before_vm_start\", \"command\": \"/x\"}\n".to_owned(),
                "{\"enabled\": false, \"events\": \"before_vm_start\", \"command\": \"/x\"}\n"
                    .to_owned(),
            ),
            (
                format!("{BASE}args:\n- |\n  a\n  enabled: b\n"),
                format!("{BASE}args:\n- |\n  a\n  enabled: b\nenabled: false\n"),
            ),
            // a block that ends with the file, without a line end of its own
            (
                format!("{BASE}args:\n- |-\n  a"),
                format!("{BASE}args:\n- |-\n  a\nenabled: false\n"),
            ),
        ] {
            assert_eq!(disabled(&before), after);
        }
    }

    #[test]
    fn there_and_back_is_the_same() {
        let text = format!("{BASE}enabled: true # c\n");
        let wanted = parse(&text).unwrap();
        let back =
            set(&disabled(&text), "enabled", "true", &|text| parse(text).as_ref() == Some(&wanted));
        assert_eq!(back.unwrap(), text);
    }

    #[test]
    fn what_cannot_be_edited_is_left_alone() {
        assert_eq!(set(BASE, "enabled", "false", &|_| false), None);
    }
}
