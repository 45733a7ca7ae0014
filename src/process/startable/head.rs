//! The beginning of an executable, as Linux reads it. Pure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// How much the kernel looks at, in bytes (`BINPRM_BUF_SIZE`).
pub(crate) const BEGINNING_BYTES: usize = 256;

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head<'a> {
    /// A program in machine code.
    Program,
    /// Neither that nor a `#!` with a name.
    None,
    /// A `#!` that the three bytes of a byte order mark hide.
    Marked,
    Script(Line<'a>),
}

/// A `#!` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// As it is written: relative ones are taken from the working directory.
    pub interpreter: &'a [u8],
    /// All the rest of the line: Linux hands it over as one word.
    pub argument: &'a [u8],
}

/// Reads the beginning of a file; what follows the first [`BEGINNING_BYTES`] means nothing.
pub(crate) fn head(bytes: &[u8]) -> Head<'_> {
    if bytes.starts_with(b"\x7fELF") {
        return Head::Program;
    }
    if bytes.starts_with(b"\xef\xbb\xbf#!") {
        return Head::Marked;
    }
    line(bytes).map_or(Head::None, Head::Script)
}

/// As `load_script` of Linux 5 and 6 has it.
fn line(bytes: &[u8]) -> Option<Line<'_>> {
    let rest = bytes.strip_prefix(b"#!")?;
    let is_cut = bytes.len() >= BEGINNING_BYTES;
    let rest = rest.get(..BEGINNING_BYTES - 2).unwrap_or(rest);
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    // a NUL ends it too, and so does the end of a short file
    let end = rest.iter().position(|byte| matches!(byte, b'\n' | 0));
    let whole = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
    let has_newline = end.is_some_and(|end| rest.get(end) == Some(&b'\n'));
    let start = whole.iter().position(|byte| !is_blank(byte));
    let Some(start) = start else {
        // nothing but blanks; where the file ends, or a NUL stands, there is a name of no letters
        let is_none = has_newline || (is_cut && end.is_none());
        return (!is_none).then_some(Line { interpreter: b"", argument: b"" });
    };
    let named = whole.get(start..).unwrap_or_default();
    let length = named.iter().position(is_blank);
    if length.is_none() && end.is_none() && is_cut {
        // the name may go on
        return None;
    }
    let (interpreter, argument) = named.split_at(length.unwrap_or(named.len()));
    Some(Line { interpreter, argument: trimmed(argument) })
}

/// Without blanks at both ends.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let Some(start) = bytes.iter().position(is_part) else { return b"" };
    let end = bytes.iter().rposition(is_part).map_or(0, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

impl Line<'_> {
    /// Whether it was written on Windows.
    pub(crate) fn is_crlf(&self) -> bool {
        self.interpreter.ends_with(b"\r") || self.argument.ends_with(b"\r")
    }

    /// What `env` is asked for, where it is the interpreter.
    pub(crate) fn by_env(&self) -> Asked {
        match self.interpreter.rsplit(|byte| *byte == b'/').next() {
            Some(b"env") => asked_of_env(self.argument),
            _ => Asked::Nothing,
        }
    }
}

/// What a first line asks `env` for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing, or nobody knows what.
    Nothing,
    Program(OsString),
    /// Several words without `-S`: it looks for a program of that name.
    OneWord(OsString),
}

fn asked_of_env(argument: &[u8]) -> Asked {
    let owned = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let is_blank = |byte: &u8| byte.is_ascii_whitespace();
    let split = argument.strip_prefix(b"-S").or(argument.strip_prefix(b"--split-string"));
    let Some(rest) = split else {
        // an assignment, or an option
        if argument.is_empty() || argument.contains(&b'=') || argument.starts_with(b"-") {
            return Asked::Nothing;
        }
        // a carriage return at its end is part of the name
        let is_several = argument.strip_suffix(b"\r").unwrap_or(argument).iter().any(is_blank);
        return match is_several {
            true => Asked::OneWord(owned(argument)),
            false => Asked::Program(owned(argument)),
        };
    };
    let rest = rest.strip_prefix(b"=").unwrap_or(rest);
    // quotes, variables and options with a value are for env to read
    if rest.iter().any(|byte| b"'\"\\$".contains(byte)) {
        return Asked::Nothing;
    }
    let mut words = rest.split(is_blank).filter(|word| !word.is_empty());
    let program = words.find(|word| !word.contains(&b'=') && *word != b"-i" && *word != b"-");
    match program {
        Some(word) if !word.starts_with(b"-") => Asked::Program(owned(word)),
        _ => Asked::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_interpreter() {
        let program = |name: &str| Asked::Program(name.into());
        for (text, interpreter, argument, asked) in [
            ("#!/bin/sh\n", "/bin/sh", "", Asked::Nothing),
            ("#! /bin/sh -e\nx\r\n", "/bin/sh", "-e", Asked::Nothing),
            ("#!\t/bin/sh \t -e -x \t\n", "/bin/sh", "-e -x", Asked::Nothing),
            ("#!bin/sh\n", "bin/sh", "", Asked::Nothing),
            ("#!/bin/sh\r\n", "/bin/sh\r", "", Asked::Nothing),
            ("#!/bin/sh -e\r\n", "/bin/sh", "-e\r", Asked::Nothing),
            ("#!/bin/sh", "/bin/sh", "", Asked::Nothing),
            ("#!/bin/sh\0x\n", "/bin/sh", "", Asked::Nothing),
            ("#!", "", "", Asked::Nothing),
            ("#!/usr/bin/env python3\n", "/usr/bin/env", "python3", program("python3")),
            ("#!/usr/bin/env bash\r\n", "/usr/bin/env", "bash\r", program("bash\r")),
            ("#!/usr/bin/env -S python3 -I\n", "/usr/bin/env", "-S python3 -I", program("python3")),
            ("#!/usr/bin/env -S A=1 perl", "/usr/bin/env", "-S A=1 perl", program("perl")),
            ("#!/usr/bin/env -S -i perl", "/usr/bin/env", "-S -i perl", program("perl")),
            ("#!/usr/bin/env -S -u A perl", "/usr/bin/env", "-S -u A perl", Asked::Nothing),
            ("#!/usr/bin/env A=1 perl", "/usr/bin/env", "A=1 perl", Asked::Nothing),
            (
                "#!/usr/bin/env python3 -I\n",
                "/usr/bin/env",
                "python3 -I",
                Asked::OneWord("python3 -I".into()),
            ),
        ] {
            let Head::Script(line) = head(text.as_bytes()) else { panic!("{text:?}") };
            assert_eq!(line.interpreter, interpreter.as_bytes(), "{text:?}");
            assert_eq!(line.argument, argument.as_bytes(), "{text:?}");
            assert_eq!(line.by_env(), asked, "{text:?}");
            assert_eq!(line.is_crlf(), text.contains("\r\n") && !text.contains("x\r"), "{text:?}");
        }
        for (bytes, expected) in [
            (&b"\x7fELF\x02"[..], Head::Program),
            (b"echo x\n", Head::None),
            (b"#!\n", Head::None),
            (b"#! \t \n/bin/sh\n", Head::None),
            (b"", Head::None),
            (b" #!/bin/sh\n", Head::None),
            (b"\xef\xbb\xbf#!/bin/sh\n", Head::Marked),
        ] {
            assert_eq!(head(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_name_that_may_go_on_is_none() {
        let text = |name: usize, rest: &str| format!("#!/{}{rest}", "x".repeat(name)).into_bytes();
        assert_eq!(head(&text(300, "\n")), Head::None);
        assert_eq!(head(&text(253, "\n")), Head::None, "the newline is the 257th byte");
        assert!(matches!(head(&text(252, "\n")), Head::Script(_)));
        assert!(matches!(head(&text(200, " -e")), Head::Script(_)));
        let line = [b"#!/bin/sh ".as_slice(), &[b'y'; 400], b"\n"].concat();
        let Head::Script(line) = head(&line) else { panic!() };
        assert_eq!((line.interpreter, line.argument.len()), (&b"/bin/sh"[..], 246));
    }
}
