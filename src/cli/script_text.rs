//! What a script's text tells: whether it is a shell's, and whether it calls libvirt. Pure.

/// What calls libvirt.
const CALLS: [&str; 4] = ["virsh", "import libvirt", "use Sys::Virt", "qemu:///"];

/// The first line outside of a comment that calls libvirt, from 1, and the word that does.
pub(super) fn libvirt_call(text: &str) -> Option<(usize, &'static str)> {
    text.lines().enumerate().find_map(|(index, line)| {
        let code = without_comment(line);
        let word = CALLS.into_iter().find(|word| match *word {
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

/// The line up to a comment of a shell's, Python's or Perl's.
pub(super) fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    line.find(" #").map_or(line, |comment| &line[..comment])
}

/// Groups of virsh's commands that ask for no guest and no network, and wait for none.
const HARMLESS: [&str; 6] = ["nodedev-", "pool-", "vol-", "secret-", "node", "version"];
/// What may stand before a command, beside white space.
const BEFORE: [char; 8] = [';', '|', '&', '(', '`', '{', '!', '"'];

/// Whether virsh is run: where a command stands, and not for something that waits for nobody.
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
            || before.ends_with(BEFORE)
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
            HARMLESS.iter().any(|start| word.starts_with(start))
        });
        is_word && is_whole && is_command && !is_harmless
    })
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

/// Whether it is a shell's, where `$name` may be a variable of the environment: in Perl it is one of the
/// script's own. A text without an interpreter's line is one for `sh -c`, or might be.
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
