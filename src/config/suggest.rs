//! Suggestions for misspelt words, and the hints that show them.

use crate::machine::truncate;

/// The longest word, in bytes, that is compared with known words and shown in full.
const MAX_WORD_BYTES: usize = 100;

/// Returns the known word that is most similar to `word`, if one is similar enough.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // a word may be as long as its file
    let known = known.into_iter().filter(|_| word.len() <= MAX_WORD_BYTES);
    known
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Returns the hint about an unknown word: a similar word, or all known words.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let all = format!("known are {}", known.join(", "));
    suggest_or(word, known, &all)
}

/// Returns the hint about an unknown word: a similar word, or another sentence.
pub(crate) fn suggest_or<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    match did_you_mean(word, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => otherwise.to_owned(),
    }
}

/// Returns the end of a sentence about an unknown word: a similar word, or nothing.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(word, known).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default()
}

/// Shortens a word that may have any length.
pub(crate) fn shortened(word: &str) -> String {
    if word.len() <= MAX_WORD_BYTES {
        return word.to_owned();
    }
    format!("{}…", truncate::keep_start(word, MAX_WORD_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["timeout", "total_timeout", "trust"];

    #[test]
    fn likely_words_are_offered() {
        assert_eq!(did_you_mean("timout", KNOWN), Some("timeout"));
        assert_eq!(did_you_mean("trsut", KNOWN), Some("trust"));
        assert_eq!(did_you_mean("zzz", KNOWN), None);
        assert_eq!(did_you_mean(&"timeout".repeat(20), KNOWN), None);
    }

    #[test]
    fn a_hint_is_a_sentence() {
        assert_eq!(suggest("timout", KNOWN), "did you mean `timeout`?");
        assert_eq!(suggest("zzz", KNOWN), "known are timeout, total_timeout, trust");
        assert_eq!(suggest_or("timout", KNOWN, "see x"), "did you mean `timeout`?");
        assert_eq!(suggest_or("zzz", KNOWN, "see x"), "see x");
        assert_eq!(suggestion("timout", KNOWN), "; did you mean `timeout`?");
        assert_eq!(suggestion("zzz", KNOWN), "");
    }

    #[test]
    fn a_long_word_is_told_in_part() {
        assert_eq!(shortened("short"), "short");
        let told = shortened(&"ä".repeat(100));
        assert!(told.len() < 110 && told.ends_with("ä…"), "{told}");
    }
}
