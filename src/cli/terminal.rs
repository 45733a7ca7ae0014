//! What standard output is: its width and height, colour, and the characters that it can show.

use std::env;
use std::io::{self, IsTerminal};

use clap::ValueEnum;
use terminal_size::terminal_size_of;

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, if NO_COLOR isn't set
    #[default]
    Auto,
    Always,
    Never,
}

/// The size of a terminal, in cells. A Chinese character takes two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TerminalSize {
    pub columns: usize,
    pub lines: usize,
}

/// The size that a terminal has if it doesn't say one.
const DEFAULT_SIZE: TerminalSize = TerminalSize { columns: 80, lines: 24 };
/// A narrower terminal is treated as if it had this width: no table is readable in less.
const MIN_COLUMNS: usize = 30;

/// Where standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// `None` where it is not a terminal: then nothing is shortened.
    pub size: Option<TerminalSize>,
    pub is_coloured: bool,
    /// Whether only ASCII may be printed, but for data.
    pub is_ascii: bool,
}

impl Terminal {
    pub(crate) fn of_stdout() -> Terminal {
        let is_terminal = io::stdout().is_terminal();
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Terminal {
            size: is_terminal.then(size),
            is_coloured: is_terminal && !is_set("NO_COLOR") && !is_dumb,
            is_ascii: is_ascii(|name| env::var(name).ok()),
        }
    }

    /// Applies `--color`.
    pub(crate) fn with(self, choice: ColorChoice) -> Terminal {
        let is_coloured = match choice {
            ColorChoice::Auto => self.is_coloured,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        Terminal { is_coloured, ..self }
    }
}

/// Returns the terminal's size. COLUMNS and LINES come first, as for other programs.
fn size() -> TerminalSize {
    let number = |name: &str| env::var(name).ok()?.parse().ok().filter(|number| *number > 0);
    let (columns, lines) = terminal_size_of(io::stdout())
        .map_or((0, 0), |(width, height)| (usize::from(width.0), usize::from(height.0)));
    let or_default = |value: usize, default| if value == 0 { default } else { value };
    TerminalSize {
        columns: number("COLUMNS")
            .unwrap_or(or_default(columns, DEFAULT_SIZE.columns))
            .max(MIN_COLUMNS),
        lines: number("LINES").unwrap_or(or_default(lines, DEFAULT_SIZE.lines)),
    }
}

/// Tells whether the locale has only ASCII. Where nothing is set at all, as for services, it is taken for UTF-8, as
/// systemd does.
fn is_ascii(variable: impl Fn(&str) -> Option<String>) -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"];
    let locale = names.into_iter().filter_map(variable).find(|value| !value.is_empty());
    let is_utf8 = |locale: &str| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    };
    locale.is_some_and(|locale| !is_utf8(&locale))
}

/// Replaces the characters that hookmux itself prints and that aren't ASCII.
pub(crate) fn as_ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '…' => ascii.push_str("..."),
            '→' => ascii.push_str("->"),
            '━' | '─' => ascii.push('-'),
            '█' => ascii.push('#'),
            '░' | '·' => ascii.push('.'),
            '│' | '┃' => ascii.push('|'),
            '◄' => ascii.push('<'),
            '↶' => ascii.push('~'),
            '├' => ascii.push('|'),
            '└' => ascii.push('`'),
            '●' | '•' => ascii.push('*'),
            '○' => ascii.push('o'),
            '✓' => ascii.push('+'),
            '✗' => ascii.push('x'),
            '▸' => ascii.push('>'),
            other => ascii.push(other),
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_says_what_can_be_shown() {
        for (set, is) in [
            (&[][..], false),
            (&[("LANG", "C.UTF-8")], false),
            (&[("LANG", "de_DE.utf8")], false),
            (&[("LANG", "C")], true),
            (&[("LANG", "de_DE")], true),
            (&[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")], true),
            (&[("LANG", "C"), ("LC_CTYPE", "C.UTF-8")], false),
            (&[("LANG", "C.UTF-8"), ("LC_ALL", "")], false),
            (&[("LC_ALL", "POSIX")], true),
        ] {
            let of = |name: &str| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(is_ascii(of), is, "{set:?}");
        }
    }

    #[test]
    fn our_own_characters_become_ascii_and_names_stay() {
        assert_eq!(as_ascii("→ a…b ├─ ✓ ä 虛"), "-> a...b |- + ä 虛");
    }
}
