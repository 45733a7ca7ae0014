//! Escapes text of unknown origin before people see it: characters that control a terminal, or that are
//! invisible there.

use std::fmt::Write;

/// Escapes control characters (but line ends and tabs), bytes that are not UTF-8, and characters
/// that are invisible or change the direction of text.
pub fn text(bytes: &[u8]) -> String {
    escaped(bytes, |c| matches!(c, '\n' | '\t'))
}

/// Escapes text for one line: line ends and tabs are escaped too.
pub fn line(bytes: &[u8]) -> String {
    escaped(bytes, |_| false)
}

/// Escapes a line that a program printed. Tabs stay.
pub(crate) fn printed_line(text: &str) -> String {
    escaped(text.as_bytes(), |c| c == '\t')
}

fn escaped(bytes: &[u8], is_kept: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                c if is_kept(c) => clean.push(c),
                '\n' => clean.push_str("\\n"),
                '\t' => clean.push_str("\\t"),
                c if is_invisible(c) => clean.extend(c.escape_unicode()),
                c => clean.push(c),
            }
        }
        for byte in chunk.invalid() {
            clean.push_str(&format!("\\x{byte:02x}"));
        }
    }
    clean
}

/// Escapes in JSON all characters that a terminal would take for more than text. The value stays the
/// same, and so do line ends between its parts.
pub(crate) fn json(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || !is_invisible(character) {
            clean.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // writing to a string can't fail
            let _ = write!(clean, "\\u{unit:04x}");
        }
    }
    clean
}

/// Tells whether a character is a control character (C0, DEL, C1), or one that Unicode calls invisible
/// ("default ignorable"). Such characters hide, reorder or join the text around them. Variation selectors are among
/// them: they can't be seen, so two names that look alike would not be the same. An emoji that has one keeps its own
/// character.
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character that must not reach a terminal.
    const UNSEEN: [char; 26] = [
        '\u{1b}',
        '\u{7f}',
        '\u{80}',
        '\u{9b}',
        '\u{ad}',
        '\u{61c}',
        '\u{180e}',
        '\u{200b}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202e}',
        '\u{2060}',
        '\u{2066}',
        '\u{2069}',
        '\u{206f}',
        '\u{fe0f}',
        '\u{feff}',
        '\u{fff9}',
        '\u{fffb}',
        '\u{e0001}',
        '\u{e0041}',
        '\u{e007f}',
        '\u{e0100}',
        '\u{34f}',
    ];

    #[test]
    fn nothing_steers_a_terminal() {
        let seen = text(b"a\tb\n\x1b[31mred\x07\xff\xc3\xa4 \xe2\x80\xae\r");
        assert_eq!(seen, "a\tb\n\\u{1b}[31mred\\u{7}\\xff\u{e4} \\u{202e}\\u{d}");
        assert_eq!(line(b"a\nb\tc"), "a\\nb\\tc");
        assert_eq!(printed_line("a\nb\tc"), "a\\nb\tc");
        for unseen in UNSEEN {
            let shown = text(unseen.to_string().as_bytes());
            assert_eq!(shown, unseen.escape_unicode().to_string());
            assert_eq!(line(shown.as_bytes()), shown, "escaped once");
        }
        for seen in
            ["\u{e4}\u{df}", "\u{4e2d}", "\u{5d0}", "\u{1f600}", "e\u{301}", "\u{fffd}", "\u{a0}"]
        {
            assert_eq!(text(seen.as_bytes()), seen);
        }
    }

    #[test]
    fn json_means_the_same() {
        let name: String = UNSEEN.iter().chain(&['\u{e4}', '"', '\n', '\u{1f600}']).collect();
        let value = serde_json::json!({ "name": name, "list": [1] });
        let written = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!written.chars().any(|c| c != '\n' && is_invisible(c)), "{written}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
    }
}
