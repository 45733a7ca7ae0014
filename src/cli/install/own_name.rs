//! Finds out from its text whether a script decides by its own name. Pure.
//!
//! An adopted script has another name in the same directory: `dirname $0` is as before, and printing `$0`
//! does no harm; but comparing it, or making other names from it, gives another result.

use std::collections::BTreeSet;

use crate::cli::script_text::is_shell;
use crate::process::startable::head::{ExecutableHead, head};

/// How shell scripts refer to their own name.
const SHELL_NAMES: [&str; 8] = [
    "$0",
    "${0",
    "$BASH_SOURCE",
    "${BASH_SOURCE",
    "$BASH_ARGV0",
    "${BASH_ARGV0",
    "$ZSH_ARGZERO",
    "${ZSH_ARGZERO",
];
/// The kernel's files with the name.
const KERNEL_NAME_FILES: [&str; 4] =
    ["/proc/$$/comm", "/proc/$$/cmdline", "/proc/self/comm", "/proc/self/cmdline"];
/// Parts of the names of files that a script only uses itself.
const OWN_FILES: [&str; 5] = ["log", "tmp", "lock", ".pid", "/run/"];
const OTHER_NAMES: [&str; 16] = [
    "argv[0]",
    "__file__",
    "__FILE__",
    "$0",
    "${0}",
    "$PROGRAM_NAME",
    "process.argv[1]",
    "__filename",
    "arg[0]",
    "argv0",
    "$FindBin::Script",
    "$RealScript",
    "$Script",
    "ARGV0",
    "argv.first",
    "PROGRAM_NAME",
];
/// What takes the name out of a path, or compares it.
const SHELL_DECISIONS: [&str; 16] = [
    "basename", "case ", "[ ", "[[", "test ", "=~", "==", "grep", "sed ", "awk ", "cut ", "tr ",
    "expr ", "<<<", "##", "select ",
];
const OTHER_DECISIONS: [&str; 33] = [
    "basename",
    "==",
    "!=",
    " in ",
    " is ",
    " eq ",
    " ne ",
    "=~",
    "endswith",
    "startswith",
    "ends_with",
    "start_with",
    "end_with",
    "EndsWith",
    "startsWith",
    "endsWith",
    "includes",
    "include?",
    "split",
    ".stem",
    ".name",
    "match",
    "search",
    "partition",
    "replace",
    "case ",
    "switch",
    "when ",
    "index",
    "find(",
    "[-1]",
    "strrpos",
    "fileparse",
];
/// What takes the directory.
const DIRECTORIES: [&str; 7] =
    ["dirname", "%/*", ".parent", "__dir__", "FindBin::Bin", "pathinfo", "dirname("];
/// Commands that only print it.
const PRINT_COMMANDS: [&str; 12] = [
    "echo ",
    "printf ",
    "logger ",
    "print(",
    "print ",
    "puts ",
    "console.log",
    "logging.",
    "log ",
    "log(",
    "warn ",
    "die ",
];

/// Returns the first such line: its number, from 1, and its text.
pub(crate) fn find_own_name_decision(bytes: &[u8]) -> Option<(usize, String)> {
    if head(bytes) == ExecutableHead::Program {
        return None;
    }
    let text = String::from_utf8_lossy(bytes);
    let is_shell = is_shell(&text);
    let names: &[&str] = if is_shell { &SHELL_NAMES } else { &OTHER_NAMES };
    let decisions: &[&str] = if is_shell { &SHELL_DECISIONS } else { &OTHER_DECISIONS };
    // an unusual quote must not hide what follows it
    let lines = match is_shell {
        true => unquoted(&text).unwrap_or_else(|| plain_lines(&text)),
        false => plain_lines(&text),
    };
    let mut aliases: BTreeSet<String> = BTreeSet::new();
    // variables with the name alone, without its directory
    let mut without_directory: BTreeSet<String> = BTreeSet::new();
    for (index, line) in lines.iter().enumerate() {
        if KERNEL_NAME_FILES.iter().any(|file| line.contains(file)) {
            return Some((index + 1, line.trim().to_owned()));
        }
        let own = names.iter().filter(|name| has_name(line, name)).count();
        let alias = aliases.iter().any(|alias| uses(line, alias, is_shell));
        if own == 0 && !alias {
            continue;
        }
        // it only finds out whether it was sourced or is the main program
        let compares_itself = own >= 2
            && (line.contains("BASH_SOURCE") || line.contains("__FILE__"))
            && (line.contains("$0") || line.contains("${0") || line.contains("$PROGRAM_NAME"));
        if compares_itself || line.contains("__name__") {
            continue;
        }
        let takes_directory = DIRECTORIES.iter().any(|word| line.contains(word))
            && !line.contains("basename")
            && !line.contains("##")
            && !without_directory.iter().any(|alias| uses(line, alias, is_shell));
        if takes_directory {
            continue;
        }
        let is_piped = line.replace("||", "").contains('|');
        let start = line.trim_start();
        if !is_piped && PRINT_COMMANDS.iter().any(|word| start.starts_with(word)) {
            continue;
        }
        if let Some(name) = assigned(start, is_shell) {
            let value = start.split_once('=').map_or("", |(_, value)| value).to_ascii_lowercase();
            if is_shell && own == 0 && OWN_FILES.iter().any(|word| value.contains(word)) {
                continue;
            }
            // what is done with the variable later counts
            aliases.insert(name.to_owned());
            if ["basename", "##", ".stem", ".name"].iter().any(|word| line.contains(word)) {
                without_directory.insert(name.to_owned());
            }
            if !is_piped && !makes_a_name(line, names) {
                continue;
            }
        }
        let is_cut = is_shell
            && (line.contains("${0#")
                || line.contains("${0/")
                || aliases.iter().any(|alias| is_cut(line, alias))
                || makes_a_name(line, names));
        // the name alone decides wherever it is used
        if is_cut || alias && is_shell || decisions.iter().any(|word| line.contains(word)) {
            return Some((index + 1, line.trim().to_owned()));
        }
    }
    None
}

/// Lines without comments of a shell's, Python's or Perl's.
fn plain_lines(text: &str) -> Vec<String> {
    let code = |line: &str| {
        let start = line.trim_start();
        if start.starts_with('#') || start.starts_with("//") {
            return String::new();
        }
        line.find(" #").map_or(line, |comment| &line[..comment]).to_owned()
    };
    text.lines().map(code).collect()
}

/// Returns a shell script's lines without comments and without text in single quotes: awk's `$0` is something
/// else. Returns `None` if a quote isn't closed.
fn unquoted(text: &str) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    let mut quote = None;
    let mut here: Option<String> = None;
    for line in text.lines() {
        if let Some(end) = &here {
            if line.trim_start_matches('\t') == end {
                here = None;
            }
            // the text may be a script for later: it doesn't run now
            lines.push(String::new());
            continue;
        }
        let mut code = String::new();
        let mut before = ' ';
        let mut characters = line.chars().peekable();
        while let Some(c) = characters.next() {
            match (quote, c) {
                (Some('\''), '\'') => quote = None,
                (Some('\''), _) => {}
                (_, '\\') => {
                    code.push(c);
                    code.extend(characters.next());
                }
                (None, '\'') => quote = Some('\''),
                (None, '"') => {
                    quote = Some('"');
                    code.push(c);
                }
                (Some('"'), '"') => {
                    quote = None;
                    code.push(c);
                }
                (None, '#') if before.is_whitespace() || before == ';' => break,
                (_, c) => code.push(c),
            }
            before = c;
        }
        if quote.is_none() {
            here = here_document(&code);
        }
        lines.push(code);
    }
    (quote.is_none() && here.is_none()).then_some(lines)
}

/// Returns the word that ends a here-document that begins in this line.
fn here_document(code: &str) -> Option<String> {
    let (_, rest) = code.split_once("<<")?;
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    if rest.starts_with('<') {
        return None;
    }
    let rest = rest.trim_start().trim_start_matches(['"', '\\']);
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// Tells whether a line has the name: `$0` isn't `$01`, `$$0`, or part of another word.
fn has_name(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + name.len()..].chars().next();
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        match name {
            "${0" => !is_part(after),
            "$0" => before != Some('\\') && !after.is_some_and(|c| c.is_ascii_digit()),
            _ if name.starts_with(['$', '/']) => {
                !name.ends_with(char::is_alphanumeric) || !is_part(after)
            }
            _ => !is_part(before) && !is_part(after),
        }
    })
}

/// Returns the variable that a line assigns.
fn assigned(line: &str, is_shell: bool) -> Option<&str> {
    let mut line = line;
    for word in [
        "local ",
        "export ",
        "readonly ",
        "declare -r ",
        "declare ",
        "typeset ",
        "my ",
        "our ",
        "let ",
        "const ",
        "var ",
    ] {
        line = line.strip_prefix(word).unwrap_or(line).trim_start();
    }
    let line = if is_shell { line } else { line.trim_start_matches(['$', '@']) };
    let end = line.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    let (name, rest) = line.split_at(end);
    let rest = if is_shell { rest } else { rest.trim_start() };
    let is_one = !name.is_empty()
        && rest.starts_with('=')
        && !rest.starts_with("==")
        && !rest.starts_with("=~");
    is_one.then_some(name)
}

fn uses(line: &str, alias: &str, is_shell: bool) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(alias).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + alias.len()..]);
        let is_whole = !after.starts_with(is_part);
        match is_shell {
            true => is_whole && (before.ends_with('$') || before.ends_with("${")),
            false => is_whole && !before.ends_with(is_part),
        }
    })
}

fn is_cut(line: &str, alias: &str) -> bool {
    ["#", "/", "%"].iter().any(|how| line.contains(&format!("${{{alias}{how}")))
        && !line.contains(&format!("${{{alias}%/"))
}

/// Tells whether a line makes another name from it: `$0.d`, `${0}.real`, `"$0"-local`.
fn makes_a_name(line: &str, names: &[&str]) -> bool {
    names.iter().filter(|name| name.starts_with("$0") || name.starts_with("${0")).any(|name| {
        line.match_indices(name).any(|(at, _)| {
            let rest = line[at + name.len()..].trim_start_matches(['}', '"']);
            rest.starts_with(['.', '-', '_', '@', '+']) || rest.starts_with(char::is_alphanumeric)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<usize> {
        find_own_name_decision(text.as_bytes()).map(|(line, _)| line)
    }

    #[test]
    fn what_decides_by_its_own_name_is_found() {
        for text in [
            "#!/bin/sh\ncase ${0##*/} in qemu) x ;; esac",
            "#!/bin/sh\ncase \"$0\" in *qemu) x ;; esac",
            "#!/bin/sh\n[ \"$(basename \"$0\")\" = qemu ] && x",
            "#!/bin/bash\nif [[ $0 == */qemu ]]; then x; fi",
            "#!/bin/bash\n[[ ${BASH_SOURCE[0]##*/} = qemu ]] && x",
            "#!/bin/bash\nif test `basename $BASH_SOURCE` = network; then x; fi",
            "#!/bin/sh\nfor script in \"$0.d\"/*; do \"$script\" \"$@\"; done",
            "#!/bin/sh\nexec \"${0}.real\" \"$@\"",
            "#!/bin/sh\necho \"$0\" | grep -q qemu && x",
            "#!/usr/bin/python3\nif os.path.basename(sys.argv[0]) == 'qemu': x()",
            "#!/usr/bin/env python3\nif __file__.endswith('qemu'): x()",
            "#!/usr/bin/python3\nif Path(__file__).name == 'qemu': x()",
            "#!/usr/bin/perl\nif ($0 =~ /qemu$/) { x(); }",
            "#!/usr/bin/ruby\nx if $PROGRAM_NAME.end_with?('qemu')",
            "#!/usr/bin/node\nif (path.basename(process.argv[1]) === 'qemu') x()",
            "#!/usr/bin/lua\nif arg[0]:match('qemu') then x() end",
        ] {
            assert_eq!(line(text), Some(2), "{text}");
        }
        for text in [
            "#!/bin/sh\nme=${0##*/}\ncase $me in qemu) x ;; esac",
            "#!/bin/sh\nme=$(basename \"$0\")\n\"/etc/hooks/$me.d/run\"",
            "#!/bin/sh\nSELF=$(readlink -f \"$0\")\n[ \"${SELF##*/}\" = qemu ]",
            "#!/usr/bin/python3\nname = os.path.basename(__file__)\nif name == 'qemu': x()",
            "#!/bin/sh\nawk '{ print $0 }' /etc/passwd\ncase $0 in *qemu) x ;; esac",
            "#!/bin/sh\n# don't\n[ $0 = /etc/libvirt/hooks/qemu ]",
            "#!/bin/sh\necho \"it's\"\ncase $0 in *qemu) x ;; esac",
        ] {
            assert_eq!(line(text), Some(3), "{text}");
        }
    }

    #[test]
    fn what_only_finds_its_directory_or_tells_its_name_is_none() {
        for text in [
            "#!/bin/sh\ncd \"$(dirname \"$0\")\"",
            "#!/bin/bash\nBASEDIR=\"$(dirname $0)\"\n[ -d \"$BASEDIR/qemu.d\" ] && x",
            "#!/bin/bash\nDIR=\"$(cd \"$(dirname \"${BASH_SOURCE[0]}\")\" && pwd)\"\n. \"$DIR/lib\"",
            "#!/bin/sh\ndir=${0%/*}\n\"$dir/other\"",
            "#!/bin/sh\necho \"usage: $0 GUEST\" >&2",
            "#!/bin/sh\nlogger -t \"$(basename \"$0\")\" \"$1 $2\"",
            "#!/bin/sh\n# case ${0##*/} in qemu) ;; esac\ntrue # $0 = qemu",
            "#!/bin/sh\nawk '$0 ~ /x/ { print $0 }' /etc/passwd",
            "#!/bin/sh\nawk '\n  $0 == \"x\" { print }\n' /etc/passwd",
            "#!/bin/bash\nif [[ \"${BASH_SOURCE[0]}\" == \"${0}\" ]]; then main; fi",
            "#!/bin/sh\nSELF=$(readlink -f \"$0\")\nDIR=$(dirname \"$SELF\")",
            "#!/bin/sh\nexec sudo \"$0\" \"$@\"",
            "#!/bin/sh\ncat <<END\ncase $0 in qemu) ;; esac\nEND",
            "#!/bin/sh\n[ \"$1\" = g ] && [ $# -gt 3 ] && echo ${10}",
            "#!/usr/bin/python3\nsys.path.insert(0, os.path.dirname(__file__))",
            "#!/usr/bin/python3\nhere = Path(__file__).resolve().parent",
            "#!/usr/bin/python3\nif __name__ == '__main__': main(sys.argv[1:])",
            "#!/usr/bin/ruby\nmain if __FILE__ == $0",
            "\x7fELF\x02 ${0##*/}",
        ] {
            assert_eq!(find_own_name_decision(text.as_bytes()), None, "{text}");
        }
    }
}
