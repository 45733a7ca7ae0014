//! Commands that hookmux proposes: a line for a shell, and the same as words for programs. They contain names that
//! others chose, so only this file quotes.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::machine::sanitize::is_invisible;

/// The way to fix something: a command, or a sentence where no command does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// The text for people; a command can be pasted into a shell.
    pub text: String,
    /// The command's words; `None` where a person has to decide or to edit.
    words: Option<Vec<OsString>>,
    /// The commands one by one; empty for a line for a shell.
    pub parts: Vec<Vec<OsString>>,
}

impl Fix {
    /// Makes a fix of one command.
    pub fn run<W: AsRef<OsStr>>(words: &[W]) -> Fix {
        let owned: Vec<OsString> = words.iter().map(|word| word.as_ref().to_owned()).collect();
        Fix { text: text(words), words: Some(owned.clone()), parts: vec![owned] }
    }

    /// Makes a fix of several commands; each runs only if the one before succeeds.
    pub fn all(commands: &[Vec<OsString>]) -> Fix {
        if let [one] = commands {
            return Fix::run(one);
        }
        let line = commands.iter().map(|words| text(words)).collect::<Vec<_>>().join(" && ");
        Fix { parts: commands.to_vec(), ..Fix::shell(line) }
    }

    /// Makes a fix of a `hookmux` command for this hooks directory.
    pub fn hookmux<W: AsRef<OsStr>>(hooks_dir: &Path, more: &[W]) -> Fix {
        Fix::run(&hookmux(hooks_dir, more))
    }

    /// Makes a fix of a `hookmux` command about one guest. A name that looks like an option is in one word with it.
    pub fn about_guest(hooks_dir: &Path, command: &str, guest: &str) -> Fix {
        match guest.starts_with('-') {
            true => Fix::hookmux(hooks_dir, &[command, &format!("--guest={guest}")]),
            false => Fix::hookmux(hooks_dir, &[command, "--guest", guest]),
        }
    }

    /// Makes a fix of a line for a shell. The caller has quoted names in it with [`quoted`].
    pub fn shell(line: String) -> Fix {
        let words = ["sh", "-c", &line].map(OsString::from).to_vec();
        Fix { text: line, words: Some(words), parts: Vec::new() }
    }

    /// Makes a fix that opens a file in an editor, at a line where one is known.
    pub fn edit(path: &Path, line: Option<usize>) -> Fix {
        let line = line.map(|line| format!(" +{line}")).unwrap_or_default();
        format!("\"${{EDITOR:-vi}}\"{line} {}", quoted(path)).into()
    }

    /// Returns the command's words; `None` where there is no command, or a word isn't UTF-8.
    pub fn command(&self) -> Option<Vec<String>> {
        self.words.as_ref()?.iter().map(|word| word.to_str().map(str::to_owned)).collect()
    }
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<String> for Fix {
    fn from(text: String) -> Fix {
        Fix { text, words: None, parts: Vec::new() }
    }
}

impl From<&str> for Fix {
    fn from(text: &str) -> Fix {
        text.to_owned().into()
    }
}

/// Makes a list of a command's words; some may be paths.
macro_rules! words {
    ($($word:expr),+ $(,)?) => {
        ::std::vec::Vec::from([$(::std::ffi::OsString::from($word)),+])
    };
}
pub(crate) use words;

/// Returns a command on one line, quoted for a shell.
pub(crate) fn text<W: AsRef<OsStr>>(words: &[W]) -> String {
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Returns the words of a `hookmux` command for this hooks directory.
pub(crate) fn hookmux<W: AsRef<OsStr>>(hooks_dir: &Path, more: &[W]) -> Vec<OsString> {
    let mut words = vec![OsString::from("hookmux")];
    if hooks_dir != Path::new(DEFAULT_HOOKS_DIR) {
        words.extend([OsString::from("--hooks-dir"), hooks_dir.into()]);
    }
    words.extend(more.iter().map(|word| word.as_ref().to_owned()));
    words
}

/// Quotes one word for any POSIX shell, on one line and in printable characters.
pub(crate) fn quoted(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_bytes();
    let printable = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.chars().all(|character| !is_invisible(character)));
    if let Some(text) = printable {
        // a shell takes these characters literally, in a word after a command's name
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
        if !text.is_empty() && !text.starts_with('=') && text.chars().all(is_plain) {
            return text.to_owned();
        }
        // shlex mixes both kinds of quotes where there is a backslash
        if !text.contains('\'') {
            return format!("'{text}'");
        }
        return shlex::try_quote(text).map_or_else(|_| octal(bytes), Into::into);
    }
    octal(bytes)
}

/// Quotes a word that can't be shown: `printf` prints its bytes. A shell removes newlines at the end of a command's
/// output, so newlines at the word's end stay literal.
fn octal(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
    let (body, newlines) = bytes.split_at(end);
    let mut out = String::from("\"$(printf '");
    for byte in body {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b' ' => {
                out.push(char::from(*byte));
            }
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out.push_str("')");
    out.extend(newlines.iter().map(|byte| char::from(*byte)));
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_every_word_as_it_was() {
        let words: [&[u8]; 15] = [
            b"plain/path-1.sh",
            b"",
            b"it's",
            b"s/\\r$//",
            b"!x^y\\",
            b"two words",
            b"$(touch pwned) `x` ${HOME}",
            b"z';touch pwned;'",
            b"a\nb",
            b"end\n\n",
            b"-n",
            b"--help",
            b"\x1b[2J\t%s\\n",
            b"\xff\xfe!",
            "gr\u{fc}n \u{202e}x".as_bytes(),
        ];
        for word in words {
            let line = format!("printf '%s|' {}", quoted(OsStr::from_bytes(word)));
            let output = Command::new("/bin/sh").arg("-c").arg(&line).output().unwrap();
            assert_eq!(output.stdout, [word, b"|"].concat(), "{line}");
        }
    }

    #[test]
    fn one_command_is_words_and_several_are_a_line() {
        assert_eq!(quoted("s/\\r$//"), "'s/\\r$//'");
        let one = Fix::all(&[words!["rm", "a b"]]);
        assert_eq!(one.text, "rm 'a b'");
        assert_eq!(one.command().unwrap(), ["rm", "a b"]);
        let two = Fix::all(&[words!["rm", "a b"], words!["rm", "c"]]);
        assert_eq!(two.command().unwrap(), ["sh", "-c", "rm 'a b' && rm c"]);
        assert_eq!(Fix::from("look").command(), None);
        assert_eq!(Fix::edit(Path::new("/a b"), Some(3)).text, "\"${EDITOR:-vi}\" +3 '/a b'");
    }
}
