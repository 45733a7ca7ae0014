//! What a script's text tells: who interprets it, and whether it calls libvirt. Pure.

/// The first line of an executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// A program in machine code.
    Program,
    /// Neither that nor a `#!`.
    None,
    /// A `#!` that the three bytes of a byte order mark hide.
    Marked,
    /// A `#!`; the line ends in a carriage return.
    Crlf,
    Script(Interpreter),
}

/// Who reads a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    pub path: String,
    /// What `env` looks for in PATH.
    pub by_env: Option<String>,
    /// Of `env` without `-S`: all the words, which Linux hands over as one.
    pub one_word: Option<String>,
}

pub fn head(bytes: &[u8]) -> Head {
    if bytes.starts_with(b"\x7fELF") {
        return Head::Program;
    }
    if bytes.starts_with(b"\xef\xbb\xbf#!") {
        return Head::Marked;
    }
    let Some(rest) = bytes.strip_prefix(b"#!") else { return Head::None };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r") {
        return Head::Crlf;
    }
    let line = String::from_utf8_lossy(line);
    let line = line.trim_matches([' ', '\t']);
    let (path, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if path.is_empty() {
        return Head::None;
    }
    let (by_env, one_word) = match path.rsplit('/').next() {
        Some("env") => by_env(argument.trim()),
        _ => (None, None),
    };
    Head::Script(Interpreter { path: path.to_owned(), by_env, one_word })
}

/// What `env` looks for.
fn by_env(argument: &str) -> (Option<String>, Option<String>) {
    let splits = argument.starts_with("-S") || argument.starts_with("--split-string");
    if !splits && argument.contains(char::is_whitespace) {
        return (None, Some(argument.to_owned()));
    }
    let words = argument.trim_start_matches("-S").split_whitespace();
    let program = words.into_iter().find(|word| !word.starts_with('-') && !word.contains('='));
    (program.map(str::to_owned), None)
}

/// What calls libvirt.
const CALLS: [&str; 4] = ["virsh", "import libvirt", "use Sys::Virt", "qemu:///"];

/// The first line outside of a comment that calls libvirt, from 1, and the word that does.
pub fn libvirt_call(text: &str) -> Option<(usize, &'static str)> {
    text.lines().enumerate().find_map(|(index, line)| {
        let code = without_comment(line);
        let word = CALLS.into_iter().find(|word| has_word(code, word))?;
        Some((index + 1, word))
    })
}

/// The line up to a comment of a shell's, Python's or Perl's.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    line.find(" #").map_or(line, |comment| &line[..comment])
}

fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        // `virsh.log` and `my-virsh` are none
        let ends = word.ends_with('/') || !after.is_some_and(is_part);
        ends && !before.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter(text: &str) -> (String, Option<String>, Option<String>) {
        match head(text.as_bytes()) {
            Head::Script(found) => (found.path, found.by_env, found.one_word),
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn the_first_line_names_the_interpreter() {
        let some = |word: &str| Some(word.to_owned());
        for (text, expected) in [
            ("#!/bin/sh\n", ("/bin/sh".to_owned(), None, None)),
            ("#! /bin/sh -e\nx\r\n", ("/bin/sh".to_owned(), None, None)),
            ("#!/usr/bin/env python3\n", ("/usr/bin/env".to_owned(), some("python3"), None)),
            ("#!/usr/bin/env -S python3 -I\n", ("/usr/bin/env".to_owned(), some("python3"), None)),
            ("#!/usr/bin/env -S A=1 perl", ("/usr/bin/env".to_owned(), some("perl"), None)),
            ("#!/usr/bin/env python3 -I\n", ("/usr/bin/env".to_owned(), None, some("python3 -I"))),
        ] {
            assert_eq!(interpreter(text), expected, "{text:?}");
        }
        for (bytes, expected) in [
            (&b"\x7fELF\x02"[..], Head::Program),
            (b"echo x\n", Head::None),
            (b"#!\n", Head::None),
            (b"", Head::None),
            (b"\xef\xbb\xbf#!/bin/sh\n", Head::Marked),
            (b"#!/bin/sh\r\n", Head::Crlf),
        ] {
            assert_eq!(head(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn calls_of_libvirt_are_seen_and_comments_are_not() {
        for (text, expected) in [
            ("#!/bin/sh\nvirsh list\n", Some((2, "virsh"))),
            ("x=$(/usr/bin/virsh list)", Some((1, "virsh"))),
            ("  import libvirt", Some((1, "import libvirt"))),
            ("use Sys::Virt;", Some((1, "use Sys::Virt"))),
            ("c = open('qemu:///system')", Some((1, "qemu:///"))),
            ("# virsh list\n  # import libvirt\n", None),
            ("true # then virsh", None),
            ("cat virsh.log; my-virsh; virshell", None),
            ("import libvirt_qemu_x", None),
        ] {
            assert_eq!(libvirt_call(text), expected, "{text:?}");
        }
    }
}
