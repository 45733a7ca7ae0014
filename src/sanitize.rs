//! Text of others on its way to people: what would steer a terminal is shown instead of sent.

/// Escapes control characters (but line ends and tabs), bytes that are no UTF-8, and characters
/// that change the direction of text.
pub fn text(bytes: &[u8]) -> String {
    let mut clean = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' | '\t' => clean.push(character),
                c if c.is_control() || is_format(c) => clean.extend(c.escape_unicode()),
                c => clean.push(c),
            }
        }
        for byte in chunk.invalid() {
            clean.push_str(&format!("\\x{byte:02x}"));
        }
    }
    clean
}

/// The same on one line: line ends and tabs are escaped too.
pub fn line(bytes: &[u8]) -> String {
    text(bytes).replace('\n', "\\n").replace('\t', "\\t")
}

/// Characters that are invisible and change what is seen around them.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        let seen = text(b"a\tb\n\x1b[31mred\x07\xff\xc3\xa4 \xe2\x80\xae\r");
        assert_eq!(seen, "a\tb\n\\u{1b}[31mred\\u{7}\\xff\u{e4} \\u{202e}\\u{d}");
        assert_eq!(line(b"a\nb\tc"), "a\\nb\\tc");
    }
}
