//! Finds out from a script's text whether it reads arguments or standard input. Pure. A hook in vdsm's style gets
//! neither, and a script that was written for libvirt reads both.

use crate::cli::script_text::{is_shell, without_comment};
use crate::cli::shell_code;

/// What a script reads, and the first line that does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inputs {
    /// The number of the highest argument, and how it is written.
    pub argument: Option<(usize, String, usize)>,
    pub stdin: Option<(String, usize)>,
}

/// Returns what a script reads.
pub(super) fn of(text: &str) -> Inputs {
    if !text.starts_with("#!") || is_shell(text) { of_shell(text) } else { of_other(text) }
}

fn of_shell(text: &str) -> Inputs {
    let lines = shell_code::lines(text);
    let mut inputs = Inputs::default();
    // it gives itself arguments, or looks whether there are any
    let is_careful = lines.iter().any(|line| {
        let code = line.code.trim_start();
        let signs = ["$#", "${1-", "${1:-", "-n \"$1\"", "-z \"$1\"", "--describe"];
        code.starts_with("set --")
            || code.contains("getopts")
            || signs.iter().any(|sign| line.expanded.contains(sign))
    });
    for line in lines.iter().skip(usize::from(text.starts_with("#!"))) {
        if !is_careful && !line.in_function {
            for (number, word) in arguments(&line.expanded) {
                if inputs.argument.as_ref().is_none_or(|(known, ..)| *known < number) {
                    inputs.argument = Some((number, word, line.number));
                }
            }
        }
        let reads = STDIN_OF_SHELL.iter().find(|sign| line.code.contains(**sign));
        if let (Some(sign), None) = (reads, &inputs.stdin) {
            inputs.stdin = Some(((*sign).to_owned(), line.number));
        }
    }
    inputs
}

/// What reads a script's standard input, wherever it stands.
const STDIN_OF_SHELL: [&str; 5] = ["$(cat)", "`cat`", "/dev/stdin", "$(cat -)", "xmllint -"];

/// Finds `$1` to `$9`, and `${1}` without a value for its absence.
fn arguments(expanded: &str) -> Vec<(usize, String)> {
    let digit = |text: &str| text.chars().next().and_then(|c| c.to_digit(10)).filter(|n| *n > 0);
    let mut found = Vec::new();
    for (at, _) in expanded.match_indices('$') {
        let rest = &expanded[at + 1..];
        if let Some(number) = digit(rest) {
            found.push((number as usize, format!("${number}")));
        } else if let Some(inner) = rest.strip_prefix('{') {
            let after = inner.get(1..).unwrap_or_default();
            let has_default = [":-", "-", ":+", "+"].iter().any(|sign| after.starts_with(sign));
            let is_whole = !after.starts_with(|c: char| c.is_ascii_digit());
            if let Some(number) = digit(inner).filter(|_| !has_default && is_whole) {
                found.push((number as usize, format!("${number}")));
            }
        }
    }
    found
}

fn of_other(text: &str) -> Inputs {
    let mut inputs = Inputs::default();
    let signs = ["len(sys.argv)", "argparse", "--describe", "@ARGV"];
    let is_careful = signs.iter().any(|sign| text.contains(sign));
    for (number, line) in (1..).zip(text.lines()) {
        let code = without_comment(line);
        for (sign, first) in [("sys.argv[", 1), ("ARGV[", 0)] {
            let index = code.split_once(sign).and_then(|(_, rest)| rest.chars().next());
            let index = index.and_then(|c| c.to_digit(10)).map(|n| n as usize);
            let Some(index) = index.filter(|index| !is_careful && *index >= first) else {
                continue;
            };
            let argument = index + 1 - first;
            if inputs.argument.as_ref().is_none_or(|(known, ..)| *known < argument) {
                inputs.argument = Some((argument, format!("{sign}{index}]"), number));
            }
        }
        let signs = ["sys.stdin.", "(sys.stdin", "<STDIN>", "STDIN.read", "$stdin.read"];
        if let (Some(sign), None) = (signs.iter().find(|sign| code.contains(**sign)), &inputs.stdin)
        {
            let sign = sign.trim_matches(['(', '.']);
            inputs.stdin = Some((sign.to_owned(), number));
        }
    }
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_found_and_those_of_functions_are_not() {
        for (text, expected) in [
            ("#!/bin/sh\nguest=$1\n[ \"$2\" = prepare ] && x\n", Some((2, 3))),
            ("#!/bin/bash\ncase \"${2}\" in start) x;; esac\n", Some((2, 2))),
            ("#!/bin/sh\ncat <<E\n$1\nE\n", Some((1, 3))),
            ("#!/bin/sh\nx=\"$(basename \"$1\")\"\n", Some((1, 2))),
            ("#!/bin/sh\necho ${1#a} ${1:?no}\n", Some((1, 2))),
            ("#!/bin/sh\nf() {\n echo $1\n}\nf a\n", None),
            ("#!/bin/sh\nf() { echo $1; }\n", None),
            ("#!/bin/sh\necho ${1:-x} ${1-x} ${1:+x} ${10}\n", None),
            ("#!/bin/sh\ncase ${1-} in list) x;; esac\n[ \"$1\" = y ]\n", None),
            ("#!/bin/sh\nif [ \"$1\" = --describe ]; then x; fi\n", None),
            ("#!/bin/sh\n[ -n \"$1\" ] || exit 0\n", None),
            ("#!/bin/sh\nset -- a b\necho $1\n", None),
            ("#!/bin/sh\n[ $# -gt 0 ] && echo $1\n", None),
            ("#!/bin/sh\nawk '{print $1}' x # $1\n", None),
            ("#!/bin/sh\nawk \"{print \\$1}\" x\n", None),
            ("#!/bin/sh\ncat <<'E'\n$1\nE\n", None),
            ("#!/bin/sh\necho $0 $$ $? $x1 \"$@\"\n", None),
            ("#!/usr/bin/python3\nimport sys\nx = sys.argv[2]\n", Some((2, 3))),
            ("#!/usr/bin/python3\nif len(sys.argv) > 1: x = sys.argv[1]\n", None),
            ("#!/usr/bin/python3\nprint(sys.argv[0]) # sys.argv[1]\n", None),
            ("#!/usr/bin/perl\nmy $x = $ARGV[1];\n", Some((2, 2))),
        ] {
            let found = of(text).argument.map(|(number, _, line)| (number, line));
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn standard_input_is_found() {
        for (text, expected) in [
            ("#!/bin/sh\nxml=$(cat)\n", Some(2)),
            ("#!/bin/sh\nxml=\"$(cat)\"\n", Some(2)),
            ("#!/bin/sh\nxml=`cat`\n", Some(2)),
            ("#!/bin/sh\ngrep x /dev/stdin\n", Some(2)),
            ("#!/bin/sh\nx=$(cat file) # $(cat)\n", None),
            ("#!/bin/sh\necho '$(cat)'\n", None),
            ("#!/usr/bin/python3\nx = sys.stdin.read()\n", Some(2)),
            ("#!/usr/bin/python3\nET.parse(sys.stdin)\n", Some(2)),
            ("#!/usr/bin/perl\nwhile (<STDIN>) {}\n", Some(2)),
            ("#!/usr/bin/python3\nprint(1, file=sys.stdout)\n", None),
        ] {
            assert_eq!(of(text).stdin.map(|(_, line)| line), expected, "{text:?}");
        }
    }
}
