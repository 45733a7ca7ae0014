//! Finds what only bash understands in scripts for `sh`. Pure. Only what no other shell takes is told.

use crate::cli::shell_code::{self, CodeLine};

/// A word that only bash understands, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bashism {
    pub line: usize,
    pub what: &'static str,
}

/// Words of a shell after which a command begins.
const BEFORE_COMMANDS: [&str; 13] =
    ["then", "do", "else", "elif", "if", "while", "until", "!", "{", "(", "&&", "||", "|"];

/// Tells whether a script's first line names a plain `sh`.
pub(super) fn is_for_sh(text: &str) -> bool {
    let Some(line) = text.strip_prefix("#!").and_then(|rest| rest.lines().next()) else {
        return false;
    };
    let mut words = line.split_whitespace();
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let first = words.next().map(name).unwrap_or_default();
    let program = match first.as_str() {
        "env" => words.find(|word| !word.starts_with('-')).map(name).unwrap_or_default(),
        _ => first,
    };
    program == "sh" || program == "dash"
}

/// Returns what only bash understands: the first line of each kind.
pub(super) fn find(text: &str) -> Vec<Bashism> {
    let mut found: Vec<Bashism> = Vec::new();
    for line in shell_code::lines(text).iter().skip(1) {
        for what in in_line(line) {
            if found.iter().all(|known| known.what != what) {
                found.push(Bashism { line: line.number, what });
            }
        }
    }
    found
}

fn in_line(line: &CodeLine) -> Vec<&'static str> {
    let code = &line.code;
    let words = commands(code);
    let has_command =
        |wanted: &str| words.iter().any(|(word, is_command)| *is_command && *word == wanted);
    let followed_by = |command: &str, next: &dyn Fn(&str) -> bool| {
        words.windows(2).any(|pair| pair[0].1 && pair[0].0 == command && next(pair[1].0))
    };
    let mut found = Vec::new();
    let mut add = |is_there: bool, what: &'static str| {
        if is_there {
            found.push(what);
        }
    };
    add(has_command("[["), "[[ … ]]");
    add(has_command("function"), "function NAME");
    add(has_command("source"), "source FILE");
    add(has_command("declare") || has_command("typeset"), "declare");
    add(words.iter().any(|(word, is_command)| *is_command && is_array(word)), "NAME=(…)");
    add(words.iter().any(|(word, is_command)| *is_command && is_appended(word)), "NAME+=…");
    add(has_command("for") && code.contains("for (("), "for ((…))");
    let is_e = |next: &str| {
        next.strip_prefix('-').is_some_and(|letters| {
            letters.contains('e') && letters.chars().all(|c| "eEn".contains(c))
        })
    };
    add(followed_by("echo", &is_e), "echo -e");
    add(code.contains("&>"), "&>");
    add(code.contains("<<<"), "<<<");
    add(code.contains("|&"), "|&");
    add([" <(", " >("].iter().any(|sign| code.contains(sign)), "<(…)");
    add(has_double_equals(&words), "== in [ … ]");
    found.extend(expansions(&line.expanded));
    found
}

/// Returns the words of a line, and whether each is in the place of a command.
fn commands(code: &str) -> Vec<(&str, bool)> {
    let mut is_command = true;
    // a pattern of `case`, which ends with `)`
    let mut is_pattern = false;
    let mut words: Vec<(&str, bool)> = Vec::new();
    for word in code.split_inclusive([' ', '\t', ';', '(']).flat_map(split_end) {
        if word.trim().is_empty() {
            continue;
        }
        let before = words.last().map_or("", |(word, _)| *word);
        words.push((word, is_command));
        let is_assignment = is_command
            && word.split_once('=').is_some_and(|(name, _)| is_name(name.trim_end_matches('+')));
        let ends_pattern = is_pattern && word.ends_with(')');
        is_pattern = match word {
            "in" => true,
            ";" => before == ";",
            _ => is_pattern && !ends_pattern,
        };
        is_command = BEFORE_COMMANDS.contains(&word)
            || [";", "&"].contains(&word)
            || word.ends_with("$(")
            || ends_pattern
            || (word.ends_with(')') && !word.contains('(') && is_command)
            || is_assignment;
    }
    words
}

/// Splits a separator from the end of a word.
fn split_end(word: &str) -> Vec<&str> {
    match word.strip_suffix([' ', '\t']) {
        Some(bare) => vec![bare],
        None if word.len() > 1 && word.ends_with(';') => {
            let (word, end) = word.split_at(word.len() - 1);
            vec![word, end]
        }
        None => vec![word],
    }
}

fn is_name(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `NAME=(` and `NAME+=(`
fn is_array(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, value)| is_name(name.trim_end_matches('+')) && value.starts_with('('))
}

fn is_appended(word: &str) -> bool {
    word.split_once("+=").is_some_and(|(name, value)| is_name(name) && !value.starts_with('('))
}

/// `[ a == b ]`, `test a == b`
fn has_double_equals(words: &[(&str, bool)]) -> bool {
    let mut is_in_test = false;
    words.iter().any(|(word, is_command)| {
        if *is_command {
            is_in_test = *word == "[" || *word == "test";
        }
        is_in_test && *word == "=="
    })
}

/// `${a^^}`, `${a,,}`, `${a/b/c}`, `${a:1:2}`, `${!a}`, `${a[0]}`
fn expansions(expanded: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (at, _) in expanded.match_indices("${") {
        let rest = &expanded[at + 2..];
        if rest.strip_prefix('!').is_some_and(|rest| rest.starts_with(char::is_alphabetic)) {
            found.push("${!NAME}");
            continue;
        }
        let rest = rest.strip_prefix('#').unwrap_or(rest);
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        if name.is_empty() {
            continue;
        }
        let second = rest.chars().nth(1);
        match rest.chars().next() {
            Some('^') => found.push("${NAME^^}"),
            Some(',') => found.push("${NAME,,}"),
            Some('/') => found.push("${NAME/A/B}"),
            Some('[') => found.push("${NAME[N]}"),
            Some(':') if second.is_some_and(|c| c.is_ascii_digit() || c == ' ') => {
                found.push("${NAME:N}");
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<&'static str> {
        find(&format!("#!/bin/sh\n{line}\n")).into_iter().map(|one| one.what).collect()
    }

    #[test]
    fn what_only_bash_takes_is_found() {
        for (line, expected) in [
            ("[[ -e x ]]", "[[ … ]]"),
            ("if [[ $a == b ]]; then", "[[ … ]]"),
            ("true && [[ x ]]", "[[ … ]]"),
            ("function x {", "function NAME"),
            ("function x() {", "function NAME"),
            ("a=(b c)", "NAME=(…)"),
            ("a+=(b)", "NAME=(…)"),
            ("a+=b", "NAME+=…"),
            ("declare -a x", "declare"),
            ("source /etc/x", "source FILE"),
            ("echo ${x^^}", "${NAME^^}"),
            ("echo \"${x,,}\"", "${NAME,,}"),
            ("echo ${x/a/b}", "${NAME/A/B}"),
            ("echo ${x:0:3}", "${NAME:N}"),
            ("echo ${x[0]}", "${NAME[N]}"),
            ("echo ${!x}", "${!NAME}"),
            ("diff <(a) b", "<(…)"),
            ("a &>/dev/null", "&>"),
            ("a |& b", "|&"),
            ("read x <<< y", "<<<"),
            ("echo -e 'a\\n'", "echo -e"),
            ("x; echo -ne a", "echo -e"),
            ("[ \"$a\" == b ]", "== in [ … ]"),
            ("if [ a == b ]; then", "== in [ … ]"),
            ("for ((i=0; i<3; i++)); do", "for ((…))"),
            ("case $1 in a) source b;; esac", "source FILE"),
        ] {
            assert!(found(line).contains(&expected), "{line}: {:?}", found(line));
        }
    }

    #[test]
    fn what_every_shell_takes_is_not() {
        for line in [
            "# [[ a ]]",
            "echo '[[ a ]]' \"[[ a ]]\"",
            "echo [[",
            "grep -q '==' x",
            "[ a = b ] # == c",
            "awk '$1 == \"x\"' f",
            "test a = b; x == y",
            "a > b 2>&1",
            "a 2>&1 &",
            "a & > b",
            "echo function source declare",
            "my_source x",
            "./source x",
            "a=\"(b)\"",
            "a=$(b)",
            "x=$((a << 2))",
            "echo ${x:-1} ${x:+y} ${x#/} ${x%%,*} ${#x} $#",
            "echo ${x:-/a/b}",
            "echo - e",
            "printf '%s' \"$a\" | tr , /",
            "f() { local a=1; }",
            "cat <<E\n[[ a ]]\n${x}\nE",
            "for a in b; do (c); done",
            "echo $(b) source",
            "for a in source declare; do c; done",
            "case $a in (b) c;; esac",
            "logger \"a += b &> c\"",
        ] {
            assert!(found(line).is_empty(), "{line}: {:?}", found(line));
        }
    }

    #[test]
    fn only_scripts_for_sh_are_meant() {
        for (text, expected) in [
            ("#!/bin/sh\n", true),
            ("#! /usr/bin/env sh\n", true),
            ("#!/bin/sh -e\n", true),
            ("#!/bin/dash\n", true),
            ("#!/bin/bash\n", false),
            ("#!/usr/bin/env -S bash -e\n", false),
            ("echo\n", false),
        ] {
            assert_eq!(is_for_sh(text), expected, "{text}");
        }
    }
}
