//! Finds the position of keys in a text. The parser gives a position only for what it rejects.

/// A line and a column, from 1.
pub(crate) type TextPosition = (usize, usize);

/// Returns the position of the n-th occurrence of a key.
pub(super) fn nth_key(text: &str, key: &str, n: usize) -> Option<TextPosition> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let bare = line.trim_start_matches([' ', '-']);
            let after = bare.trim_start_matches(['"', '\'']).strip_prefix(key)?;
            let is_key = after.trim_start_matches(['"', '\'']).trim_start().starts_with(':');
            is_key.then(|| (index + 1, line.chars().count() - bare.chars().count() + 1))
        })
        .nth(n - 1)
}

/// Returns the top-level key of a block mapping that a line belongs to.
pub(super) fn key_at(text: &str, line: usize) -> Option<Box<str>> {
    let lines: Vec<&str> = text.lines().take(line).collect();
    lines.iter().rev().find_map(|line| {
        let key = line.split_once(':')?.0;
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        is_key.then(|| key.into())
    })
}

/// Returns the position of the line that begins a second document.
pub(super) fn second_document(text: &str) -> Option<TextPosition> {
    let is_comment =
        |line: &str| line.trim().is_empty() || line.trim_start().starts_with(['#', '%']);
    let mut has_content = false;
    for (index, line) in text.lines().enumerate() {
        let begins = line == "---" || line.starts_with("--- ");
        if begins && has_content {
            return Some((index + 1, 1));
        }
        has_content |= begins || !is_comment(line);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_stand() {
        let text = "a:\n  - b: 1\n\"c\" : 2\nb: 3\nab: 4\n";
        assert_eq!(nth_key(text, "a", 1), Some((1, 1)));
        assert_eq!(nth_key(text, "b", 1), Some((2, 5)));
        assert_eq!(nth_key(text, "b", 2), Some((4, 1)));
        assert_eq!(nth_key(text, "c", 1), Some((3, 1)));
        assert_eq!(nth_key(text, "b", 3), None);
        assert_eq!(key_at(text, 2).as_deref(), Some("a"));
        assert_eq!(key_at(text, 5).as_deref(), Some("ab"));
        assert_eq!(key_at("# none\n", 1), None);
    }

    #[test]
    fn a_second_document_begins_behind_the_content_of_the_first() {
        assert_eq!(second_document("%YAML 1.1\n---\na: 1\n--- b\n"), Some((4, 1)));
        assert_eq!(second_document("# x\n---\na: ---\n"), None);
    }
}
