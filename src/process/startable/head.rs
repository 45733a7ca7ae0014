//! The beginning of an executable, as Linux reads it. Pure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// How many bytes the kernel looks at (`BINPRM_BUF_SIZE`).
pub(crate) const BEGINNING_BYTES: usize = 256;

/// The kind of an executable, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExecutableHead<'a> {
    /// A program in machine code.
    Program,
    /// Neither a program nor a `#!` line that names one.
    None,
    /// A `#!` line after the three bytes of a byte order mark, which hide it from the kernel.
    ByteOrderMark,
    Script(ShebangLine<'a>),
}

/// A `#!` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShebangLine<'a> {
    /// As written: a relative path is taken from the working directory.
    pub interpreter: &'a [u8],
    /// The rest of the line: Linux passes it as one argument.
    pub argument: &'a [u8],
}

/// Reads the beginning of a file; what follows the first [`BEGINNING_BYTES`] is ignored.
pub(crate) fn head(bytes: &[u8]) -> ExecutableHead<'_> {
    if bytes.starts_with(b"\x7fELF") {
        return ExecutableHead::Program;
    }
    if bytes.starts_with(b"\xef\xbb\xbf#!") {
        return ExecutableHead::ByteOrderMark;
    }
    line(bytes).map_or(ExecutableHead::None, ExecutableHead::Script)
}

/// Parses a `#!` line as `load_script` of Linux 5 and 6 does.
fn line(bytes: &[u8]) -> Option<ShebangLine<'_>> {
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
        // only blanks; where the file ends, or at a NUL, the kernel takes an empty name
        let is_none = has_newline || (is_cut && end.is_none());
        return (!is_none).then_some(ShebangLine { interpreter: b"", argument: b"" });
    };
    let named = whole.get(start..).unwrap_or_default();
    let length = named.iter().position(is_blank);
    if length.is_none() && end.is_none() && is_cut {
        // the name may go on
        return None;
    }
    let (interpreter, argument) = named.split_at(length.unwrap_or(named.len()));
    Some(ShebangLine { interpreter, argument: trimmed(argument) })
}

/// Removes blanks at both ends.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let Some(start) = bytes.iter().position(is_part) else { return b"" };
    let end = bytes.iter().rposition(is_part).map_or(0, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

impl ShebangLine<'_> {
    /// Tells whether it ends in a carriage return, as lines written on Windows do.
    pub(crate) fn is_crlf(&self) -> bool {
        self.interpreter.ends_with(b"\r") || self.argument.ends_with(b"\r")
    }

    /// Returns what it asks `env` for, if that is the interpreter.
    pub(crate) fn env_request(&self) -> EnvRequest {
        match self.interpreter.rsplit(|byte| *byte == b'/').next() {
            Some(b"env") => parse_env_request(self.argument),
            _ => EnvRequest::Nothing,
        }
    }
}

/// The program that a `#!` line asks `env` for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EnvRequest {
    /// None, or it can't be found out.
    Nothing,
    Program(OsString),
    /// Several words without `-S`: `env` looks for a program with this whole name.
    OneWord(OsString),
}

fn parse_env_request(argument: &[u8]) -> EnvRequest {
    let owned = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let is_blank = |byte: &u8| byte.is_ascii_whitespace();
    let split = argument.strip_prefix(b"-S").or(argument.strip_prefix(b"--split-string"));
    let Some(rest) = split else {
        // an assignment, or an option
        if argument.is_empty() || argument.contains(&b'=') || argument.starts_with(b"-") {
            return EnvRequest::Nothing;
        }
        // a carriage return at its end is part of the name
        let is_several = argument.strip_suffix(b"\r").unwrap_or(argument).iter().any(is_blank);
        return match is_several {
            true => EnvRequest::OneWord(owned(argument)),
            false => EnvRequest::Program(owned(argument)),
        };
    };
    let rest = rest.strip_prefix(b"=").unwrap_or(rest);
    // only env itself can read quotes, variables and options with a value
    if rest.iter().any(|byte| b"'\"\\$".contains(byte)) {
        return EnvRequest::Nothing;
    }
    let mut words = rest.split(is_blank).filter(|word| !word.is_empty());
    let program = words.find(|word| !word.contains(&b'=') && *word != b"-i" && *word != b"-");
    match program {
        Some(word) if !word.starts_with(b"-") => EnvRequest::Program(owned(word)),
        _ => EnvRequest::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_interpreter() {
        let program = |name: &str| EnvRequest::Program(name.into());
        for (text, interpreter, argument, asked) in [
            ("#!/bin/sh\n", "/bin/sh", "", EnvRequest::Nothing),
            ("#! /bin/sh -e\nx\r\n", "/bin/sh", "-e", EnvRequest::Nothing),
            ("#!\t/bin/sh \t -e -x \t\n", "/bin/sh", "-e -x", EnvRequest::Nothing),
            ("#!bin/sh\n", "bin/sh", "", EnvRequest::Nothing),
            ("#!/bin/sh\r\n", "/bin/sh\r", "", EnvRequest::Nothing),
            ("#!/bin/sh -e\r\n", "/bin/sh", "-e\r", EnvRequest::Nothing),
            ("#!/bin/sh", "/bin/sh", "", EnvRequest::Nothing),
            ("#!/bin/sh\0x\n", "/bin/sh", "", EnvRequest::Nothing),
            ("#!", "", "", EnvRequest::Nothing),
            ("#!/usr/bin/env python3\n", "/usr/bin/env", "python3", program("python3")),
            ("#!/usr/bin/env bash\r\n", "/usr/bin/env", "bash\r", program("bash\r")),
            ("#!/usr/bin/env -S python3 -I\n", "/usr/bin/env", "-S python3 -I", program("python3")),
            ("#!/usr/bin/env -S A=1 perl", "/usr/bin/env", "-S A=1 perl", program("perl")),
            ("#!/usr/bin/env -S -i perl", "/usr/bin/env", "-S -i perl", program("perl")),
            ("#!/usr/bin/env -S -u A perl", "/usr/bin/env", "-S -u A perl", EnvRequest::Nothing),
            ("#!/usr/bin/env A=1 perl", "/usr/bin/env", "A=1 perl", EnvRequest::Nothing),
            (
                "#!/usr/bin/env python3 -I\n",
                "/usr/bin/env",
                "python3 -I",
                EnvRequest::OneWord("python3 -I".into()),
            ),
        ] {
            let ExecutableHead::Script(line) = head(text.as_bytes()) else { panic!("{text:?}") };
            assert_eq!(line.interpreter, interpreter.as_bytes(), "{text:?}");
            assert_eq!(line.argument, argument.as_bytes(), "{text:?}");
            assert_eq!(line.env_request(), asked, "{text:?}");
            assert_eq!(line.is_crlf(), text.contains("\r\n") && !text.contains("x\r"), "{text:?}");
        }
        for (bytes, expected) in [
            (&b"\x7fELF\x02"[..], ExecutableHead::Program),
            (b"echo x\n", ExecutableHead::None),
            (b"#!\n", ExecutableHead::None),
            (b"#! \t \n/bin/sh\n", ExecutableHead::None),
            (b"", ExecutableHead::None),
            (b" #!/bin/sh\n", ExecutableHead::None),
            (b"\xef\xbb\xbf#!/bin/sh\n", ExecutableHead::ByteOrderMark),
        ] {
            assert_eq!(head(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_name_that_may_go_on_is_none() {
        let text = |name: usize, rest: &str| format!("#!/{}{rest}", "x".repeat(name)).into_bytes();
        assert_eq!(head(&text(300, "\n")), ExecutableHead::None);
        assert_eq!(head(&text(253, "\n")), ExecutableHead::None, "the newline is the 257th byte");
        assert!(matches!(head(&text(252, "\n")), ExecutableHead::Script(_)));
        assert!(matches!(head(&text(200, " -e")), ExecutableHead::Script(_)));
        let line = [b"#!/bin/sh ".as_slice(), &[b'y'; 400], b"\n"].concat();
        let ExecutableHead::Script(line) = head(&line) else { panic!() };
        assert_eq!((line.interpreter, line.argument.len()), (&b"/bin/sh"[..], 246));
    }
}
