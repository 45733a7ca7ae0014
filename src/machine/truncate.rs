//! Shortens texts that are too long. No character is split.

/// Returns the longest beginning of a text that has at most `max_bytes` bytes.
pub(crate) fn keep_start(text: &str, max_bytes: usize) -> &str {
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=max_bytes.min(text.len())).rev().find(fits).unwrap_or_default();
    &text[..end]
}

/// Returns the longest end of a text that has at most `max_bytes` bytes.
pub(crate) fn keep_end(text: &str, max_bytes: usize) -> &str {
    let fits = |begin: &usize| text.is_char_boundary(*begin);
    let begin = (text.len().saturating_sub(max_bytes)..text.len()).find(fits);
    &text[begin.unwrap_or(text.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        let text = "aä€b";
        let beginnings = ["", "a", "a", "aä", "aä", "aä", "aä€", text, text];
        let ends = ["", "b", "b", "b", "€b", "€b", "ä€b", text, text];
        for (max_bytes, (first, last)) in beginnings.into_iter().zip(ends).enumerate() {
            assert_eq!((keep_start(text, max_bytes), keep_end(text, max_bytes)), (first, last));
        }
        assert_eq!((keep_start("", 3), keep_end("", 3)), ("", ""));
    }
}
