//! Shell patterns: `*` stands for any characters, `?` for one. A value of a guest may have megabytes, so
//! a pattern is matched in one pass over it. Only for a part with a `?` inside, each position of the
//! value is tried.

use memchr::memmem;

/// Tells whether a pattern matches a whole value.
pub(crate) fn matches(pattern: &str, value: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return value.is_empty() };
    let Some(mut rest) = after(first, value) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match found(part, rest) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    ends(last, rest)
}

/// Returns what follows a part at the beginning of a value.
fn after<'a>(part: &str, value: &'a str) -> Option<&'a str> {
    if !part.contains('?') {
        return value.strip_prefix(part);
    }
    let mut rest = value.chars();
    for wanted in part.chars() {
        let is = rest.next()?;
        if wanted != '?' && wanted != is {
            return None;
        }
    }
    Some(rest.as_str())
}

/// Returns what follows the first match of a part in a value.
fn found<'a>(part: &str, value: &'a str) -> Option<&'a str> {
    if !part.contains('?') {
        let at = memmem::find(value.as_bytes(), part.as_bytes())?;
        return value.get(at + part.len()..);
    }
    value.char_indices().find_map(|(at, _)| after(part, value.get(at..)?))
}

/// Tells whether a value ends with a part.
fn ends(part: &str, value: &str) -> bool {
    if !part.contains('?') {
        return value.ends_with(part);
    }
    let mut rest = value.chars().rev();
    part.chars().rev().all(|wanted| rest.next().is_some_and(|is| wanted == '?' || wanted == is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_a_library_on_all_short_words() {
        let words = |letters: &[char], length: usize| {
            (0..letters.len().pow(u32::try_from(length).unwrap())).map({
                let letters = letters.to_vec();
                move |mut n| {
                    let mut word = String::new();
                    for _ in 0..length {
                        word.push(letters[n % letters.len()]);
                        n /= letters.len();
                    }
                    word
                }
            })
        };
        for pattern in (0..=4).flat_map(|length| words(&['a', '\u{e4}', '*', '?'], length)) {
            let expected = wildmatch::WildMatch::new(&pattern);
            for value in (0..=4).flat_map(|length| words(&['a', '\u{e4}', 'c'], length)) {
                assert_eq!(
                    matches(&pattern, &value),
                    expected.matches(&value),
                    "{pattern} of {value}"
                );
            }
        }
    }
}
