//! Breaks sentences into lines.

/// Wraps a sentence at a width in cells; a longer word gets its own line. `indent` begins each line but the first.
pub(crate) fn lines(text: &str, width: usize, indent: &str) -> Vec<String> {
    let options = textwrap::Options::new(width)
        .break_words(false)
        .subsequent_indent(indent)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(text, options).into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_wrapped_between_words() {
        let wrapped = lines("a bb  ccc /a/very/long/path d", 6, "");
        assert_eq!(wrapped, ["a bb", "ccc", "/a/very/long/path", "d"]);
        assert_eq!(lines("生產 環境", 6, ""), ["生產", "環境"], "in cells");
        assert_eq!(lines("  gate: no", 8, "    "), ["  gate:", "    no"]);
    }
}
