//! Finds out from a script's text whether it is a shell script, and whether it calls libvirt. Pure.

/// Words that call libvirt.
const LIBVIRT_CALLS: [&str; 4] = ["virsh", "import libvirt", "use Sys::Virt", "qemu:///"];

/// Returns the first line outside of a comment that calls libvirt, from 1, and the word that does.
pub(super) fn libvirt_call(text: &str) -> Option<(usize, &'static str)> {
    text.lines().enumerate().find_map(|(index, line)| {
        let code = without_comment(line);
        let word = LIBVIRT_CALLS.into_iter().find(|word| match *word {
            "virsh" => has_virsh(code),
            // a statement, not words in a sentence
            "import libvirt" | "use Sys::Virt" => {
                code.trim_start().starts_with(word) && has_word(code, word)
            }
            word => has_word(code, word),
        })?;
        Some((index + 1, word))
    })
}

/// Returns the first line, from 1, that imports vdsm's `hooking`.
pub(super) fn hooking_import(text: &str) -> Option<usize> {
    text.lines().position(imports_hooking).map(|index| index + 1)
}

fn imports_hooking(line: &str) -> bool {
    let code = without_comment(line).trim();
    // `import a, b as c`, `from a import b as c, d`
    let names = |list: &str| -> Vec<String> {
        let names =
            list.split([',', ';', '(', ')']).filter_map(|one| one.split_whitespace().next());
        names.map(str::to_owned).collect()
    };
    let is_blank = |rest: &&str| rest.starts_with([' ', '\t']);
    if let Some(list) = code.strip_prefix("import").filter(is_blank) {
        return names(list).iter().any(|name| name == "hooking" || name == "vdsm.hook.hooking");
    }
    let Some(rest) = code.strip_prefix("from").filter(is_blank) else { return false };
    let Some((module, list)) = rest.trim_start().split_once(char::is_whitespace) else {
        return false;
    };
    let Some(list) = list.trim_start().strip_prefix("import") else { return false };
    match module {
        "hooking" | "vdsm.hook.hooking" => true,
        "vdsm.hook" => names(list).iter().any(|name| name == "hooking"),
        _ => false,
    }
}

/// Returns the option in a script's first line that makes Python ignore variables such as PYTHONPATH.
pub(super) fn ignored_environment(text: &str) -> Option<&str> {
    let line = text.strip_prefix("#!")?.lines().next()?;
    let (_, options) = line.split_once("python")?;
    // `python3.11 -u -I`
    let options = options.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let mut options = options.split_whitespace().take_while(|word| word.starts_with('-'));
    options.find(|word| !word.starts_with("--") && word.contains(['I', 'E']))
}

/// Returns the line up to a comment of a shell, Python or Perl.
pub(super) fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    line.find(" #").map_or(line, |comment| &line[..comment])
}

/// Groups of virsh commands that are about no guest or network, and wait for none.
const HARMLESS_VIRSH_COMMANDS: [&str; 6] =
    ["nodedev-", "pool-", "vol-", "secret-", "node", "version"];
/// What may come before a command, beside white space.
const COMMAND_SEPARATORS: [char; 8] = [';', '|', '&', '(', '`', '{', '!', '"'];

/// Tells whether a line runs virsh, as a command and not one of the harmless groups.
fn has_virsh(code: &str) -> bool {
    code.match_indices("virsh").any(|(at, word)| {
        let before =
            code[..at].trim_end_matches(|c: char| c == '/' || c == '.' || c.is_alphanumeric());
        let rest = &code[at + word.len()..];
        let is_word = rest.is_empty()
            || rest.starts_with(char::is_whitespace)
            || rest.starts_with(['"', ')', '`', ';', '\'']);
        let is_whole = before.len() == at || code[..at].ends_with("/");
        let before = before.trim_end();
        let last = before.rsplit(char::is_whitespace).next().unwrap_or_default();
        let is_command = before.is_empty()
            || before.ends_with(COMMAND_SEPARATORS)
            || [
                "then", "do", "else", "if", "while", "until", "exec", "sudo", "time", "command",
                "env", "eval",
            ]
            .contains(&last)
            || code.trim_start().starts_with("timeout ")
            || last.contains('=');
        let mut words = rest
            .split_whitespace()
            .skip_while(|word| word.starts_with('-') || word.contains("://"));
        let is_harmless = words.next().is_some_and(|word| {
            let word = word.trim_matches(['"', '\'']);
            HARMLESS_VIRSH_COMMANDS.iter().any(|start| word.starts_with(start))
        });
        is_word && is_whole && is_command && !is_harmless
    })
}

fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        // `virsh.log` and `my-virsh` are not this word
        let ends = word.ends_with('/') || !after.is_some_and(is_part);
        ends && !before.is_some_and(is_part)
    })
}

/// Tells whether it is a shell script, in which `$name` may be a variable of the environment; in Perl it is a
/// variable of the script. A text without an interpreter line counts as one for `sh -c`.
pub(super) fn is_shell(text: &str) -> bool {
    let Some(line) = text.strip_prefix("#!").and_then(|rest| rest.lines().next()) else {
        return true;
    };
    line.split(['/', ' ', '\t']).any(|word| {
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
        ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox"].contains(&word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_of_hooking_are_seen() {
        for (text, expected) in [
            ("import hooking", Some(1)),
            ("#!/usr/bin/python3\n\nimport os\nimport hooking\n", Some(4)),
            ("    import hooking  # late", Some(1)),
            ("import os, hooking as h, sys", Some(1)),
            ("import vdsm.hook.hooking", Some(1)),
            ("from vdsm.hook import hooking", Some(1)),
            ("from vdsm.hook import (hooking)", Some(1)),
            ("from vdsm.hook import x, hooking as y", Some(1)),
            ("from hooking import log", Some(1)),
            ("from vdsm.hook.hooking import log", Some(1)),
            ("python3 - <<END\nimport hooking\nEND", Some(2)),
            ("# import hooking", None),
            ("import hookings", None),
            ("import hooking_tools", None),
            ("import a.hooking", None),
            ("important hooking", None),
            ("from x import hooking", None),
            ("from vdsm.hook import other", None),
            ("print('import hooking')", None),
            ("from", None),
        ] {
            assert_eq!(hooking_import(text), expected, "{text:?}");
        }
    }

    #[test]
    fn options_by_which_python_ignores_variables_are_seen() {
        for (text, expected) in [
            ("#!/usr/bin/python3 -I\n", Some("-I")),
            ("#!/usr/bin/python -E", Some("-E")),
            ("#!/usr/bin/python3.11 -Es\nx", Some("-Es")),
            ("#!/usr/bin/env -S python3 -u -I\n", Some("-I")),
            ("#!/usr/bin/python3\n", None),
            ("#!/usr/bin/python3 -s\n", None),
            ("#!/usr/bin/env python3\n# -I", None),
            ("#!/bin/sh -E\n", None),
            ("python3 -I", None),
        ] {
            assert_eq!(ignored_environment(text), expected, "{text:?}");
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
            ("virsh -c qemu:///system list", Some((1, "virsh"))),
            ("virsh nodedev-detach pci_0000_01_00_0", None),
            ("/usr/bin/virsh -q nodedev-reattach $X", None),
            ("echo \"see virsh dumpxml\"", None),
            ("logger 'virsh: done'", None),
            ("if ! virsh domstate x; then", Some((1, "virsh"))),
            ("timeout 5 virsh list", Some((1, "virsh"))),
            ("state=\"$(virsh domstate \"$1\")\"", Some((1, "virsh"))),
            ("true && virsh list", Some((1, "virsh"))),
            ("    Do not import libvirt here", None),
            ("import libvirt_qemu_x", None),
        ] {
            assert_eq!(libvirt_call(text), expected, "{text:?}");
        }
    }
}
