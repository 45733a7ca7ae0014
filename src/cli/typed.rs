//! The words of the command line, before they are parsed.

use std::ffi::OsString;

use super::args;

/// Options that are true where no value follows, as with cPanel's `manage_hooks`.
const SWITCHES: [&str; 3] = ["--manual", "--escalateprivs", "--blocking"];
/// Options that take any word as their value.
const TAKES_ANY_WORD: [&str; 2] = ["--action", "--args"];
const HOOKS_DIR: &str = "--hooks-dir";

/// Returns the words with a value for each switch that has none. The parser would take the next word for it:
/// `--manual script PATH`.
pub(super) fn with_values(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let words: Vec<OsString> = words.collect();
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let is_switch = |index: usize| {
        let word = words.get(index).filter(|_| index < end);
        let before = index.checked_sub(1).and_then(|before| words.get(before));
        word.is_some_and(|word| SWITCHES.iter().any(|switch| word == switch))
            && !before.is_some_and(|before| TAKES_ANY_WORD.iter().any(|option| before == option))
    };
    let has_value = |index: usize| {
        let next = words.get(index + 1).filter(|_| index + 1 < end);
        // a number that isn't a truth value is a mistake that the parser reports
        let is_value = |next: &str| {
            args::truth(next).is_ok()
                || (!next.is_empty() && next.bytes().all(|it| it.is_ascii_digit()))
        };
        next.and_then(|next| next.to_str()).is_some_and(is_value)
    };
    let with_value = |(index, word): (usize, &OsString)| {
        let mut word = word.clone();
        if is_switch(index) && !has_value(index) {
            word.push("=1");
        }
        word
    };
    words.iter().enumerate().map(with_value).collect()
}

/// Tells whether they ask for the help of every command, which the parser can't print at once.
pub(super) fn ask_for_all_help(words: &[OsString]) -> bool {
    without_place(words) == ["help", "--all"]
}

/// Tells whether they are `hookmux version`, as many other programs have it.
pub(super) fn ask_for_version(words: &[OsString]) -> bool {
    without_place(words) == ["version"]
}

/// Returns the words but the program and `--hooks-dir`.
fn without_place(words: &[OsString]) -> Vec<&OsString> {
    let mut rest = Vec::new();
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        if word == HOOKS_DIR {
            words.next();
        } else if !word.to_string_lossy().starts_with("--hooks-dir=") {
            rest.push(word);
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_switch_without_a_value_is_true() {
        for (typed, expected) in [
            ("add --manual script /x", "add --manual=1 script /x"),
            ("add script /x --manual", "add script /x --manual=1"),
            ("add script /x --manual --event e", "add script /x --manual=1 --event e"),
            ("add script /x --manual 1 --event e", "add script /x --manual 1 --event e"),
            ("add script /x --manual 0", "add script /x --manual 0"),
            ("add script /x --manual 2", "add script /x --manual 2"),
            ("add script /x --manual=0", "add script /x --manual=0"),
            (
                "add --blocking --escalateprivs module m",
                "add --blocking=1 --escalateprivs=1 module m",
            ),
            (
                "add script /x --action --manual --event e",
                "add script /x --action --manual --event e",
            ),
            ("plan qemu -- --manual prepare", "plan qemu -- --manual prepare"),
            ("add script /x --manual -- 1", "add script /x --manual=1 -- 1"),
        ] {
            assert_eq!(with_values(words(typed).into_iter()), words(expected), "{typed}");
        }
    }

    #[test]
    fn all_help_is_asked_for_wherever_the_hooks_are() {
        for (typed, expected) in [
            ("hookmux help --all", true),
            ("hookmux --hooks-dir /h help --all", true),
            ("hookmux --hooks-dir=/h help --all", true),
            ("hookmux help --all --hooks-dir /h", true),
            ("hookmux help --hooks-dir help", false),
            ("hookmux help add --all", false),
            ("hookmux help", false),
        ] {
            assert_eq!(ask_for_all_help(&words(typed)), expected, "{typed}");
        }
    }
}
