//! What is said: results on standard output, and log lines on standard error.

use std::io::{self, Write};
use std::sync::OnceLock;

/// How much a log line matters, as syslog counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
}

/// Writes a log line in one write, so that lines of several processes don't mix. systemd reads the number
/// before it.
pub(crate) fn log(level: Level, text: &str) {
    static JOURNAL: OnceLock<bool> = OnceLock::new();
    let journal = *JOURNAL.get_or_init(|| std::env::var_os("JOURNAL_STREAM").is_some());
    let text = printable(text);
    let line = if journal {
        format!("<{}>{text}\n", level as u8)
    } else {
        format!("hookmux-relay: {text}\n")
    };
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Writes one line of a result. `false` where nobody reads any more.
pub(crate) fn line(text: &str) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .is_ok()
}

/// The same text with nothing in it that a terminal obeys: names come from other hosts.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let bad = c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let escaped = if bad { Some(c.escape_unicode()) } else { None };
            let plain = if bad { None } else { Some(c) };
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_bytes_are_escaped() {
        assert_eq!(printable("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\u{a}c");
        assert_eq!(printable("web-1 ä"), "web-1 ä");
    }
}
