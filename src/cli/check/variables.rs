//! Finds the environment variables that a script reads, as far as its text tells. Pure.

use std::collections::BTreeSet;

use crate::cli::script_text::{is_shell, without_comment};

/// Words of a shell before a name that give the name a value.
const SETTING_WORDS: [&str; 9] =
    ["read", "for", "local", "declare", "typeset", "readonly", "export", "mapfile", "readarray"];
/// Words after which a command begins.
const COMMAND_BEGINNINGS: [&str; 14] =
    ["then", "do", "else", "if", "while", "until", "elif", "{", "(", "!", "&&", "||", "|", ";"];
/// How programs in other languages, and tools, read a variable.
const ENVIRONMENT_READERS: [&str; 6] =
    ["environ", "getenv", "process.env", "ENV", "printenv", "get_env"];
/// What may follow before the name.
const READING_METHODS: [&str; 6] = [".get", ".fetch", ".pop", ".setdefault", ".has_key", ".key?"];

/// Returns the variables that a script reads and doesn't set itself.
pub(super) fn unset_reads(text: &str) -> BTreeSet<String> {
    let is_shell = is_shell(text);
    let (mut reads, mut sets) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines().map(without_comment) {
        if is_shell {
            shell_expansions(line, &mut reads);
            assignments(line, &mut sets);
        }
        environment_reads(line, &mut reads, &mut sets);
    }
    reads.retain(|name| !sets.contains(name));
    reads
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Returns the name at the beginning of a text, and the rest.
fn name_at(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some((name, rest))
}

/// Finds `$name`, `${name…`, `${#name}`.
fn shell_expansions(line: &str, reads: &mut BTreeSet<String>) {
    for (at, _) in line.match_indices('$') {
        if line[..at].ends_with('\\') {
            continue;
        }
        let rest = &line[at + 1..];
        let inner =
            rest.strip_prefix('{').map(|rest| rest.strip_prefix(['#', '!']).unwrap_or(rest));
        reads.extend(name_at(inner.unwrap_or(rest)).map(|(name, _)| name.to_owned()));
    }
}

/// Finds `name=` at the beginning of a command, `read name`, `for name in`, `local name` and the like.
fn assignments(line: &str, sets: &mut BTreeSet<String>) {
    let mut may_begin = true;
    let mut is_setting = false;
    let mut before = "";
    for word in line.split_whitespace() {
        let begun = word.trim_start_matches(['(', '{', '`', ';', '&', '|']);
        let begins = may_begin || begun.len() < word.len();
        if begins {
            is_setting = false;
        }
        let own = name_at(begun);
        let assigned = own.filter(|(_, rest)| rest.starts_with('=') || rest.starts_with("+="));
        let is_assignment = assigned.is_some() && (begins || is_setting);
        if let Some((name, value)) = assigned.filter(|_| is_assignment) {
            // `name=${name:-default}` reads it first
            let mut read = BTreeSet::new();
            shell_expansions(value, &mut read);
            if !read.contains(name) {
                sets.insert(name.to_owned());
            }
        // an export of an existing variable gives it no value
        } else if (is_setting || before == "-v") && !line.trim_start().starts_with("export ") {
            let bare = own.filter(|(_, rest)| rest.trim_end_matches([';', ')']).is_empty());
            sets.extend(bare.map(|(name, _)| name.to_owned()));
        }
        is_setting = match begun {
            word if SETTING_WORDS.contains(&word) => true,
            "in" => false,
            word => is_setting && !word.ends_with([';', '|', '&']),
        };
        may_begin = COMMAND_BEGINNINGS.contains(&word)
            || word.ends_with([';', '|', '&', '('])
            || (is_assignment && begins);
        before = word;
    }
}

/// Finds `os.environ["name"]`, `getenv('name')`, `$ENV{name}`, `'name' in os.environ`, `printenv name`.
fn environment_reads(line: &str, reads: &mut BTreeSet<String>, sets: &mut BTreeSet<String>) {
    for asking in ENVIRONMENT_READERS {
        for (at, _) in line.match_indices(asking) {
            if line[..at].ends_with(is_part) {
                continue;
            }
            let before = line[..at].trim_end_matches("os.").trim_end();
            reads.extend(before.strip_suffix(" in").and_then(quoted_before).map(str::to_owned));
            let rest = &line[at + asking.len()..];
            let rest =
                READING_METHODS.iter().find_map(|method| rest.strip_prefix(method)).unwrap_or(rest);
            let Some(inner) = rest.strip_prefix(['[', '(', '{', '.', ' ']) else { continue };
            let inner = inner.trim_start().trim_start_matches(['"', '\'']);
            let Some((name, after)) = name_at(inner) else { continue };
            // `b["name"]`: the prefix of a byte string is not a name
            let after = after.trim_start_matches(['"', '\'']);
            let after = after.strip_prefix([']', '}']).map(str::trim_start);
            let is_set =
                after.is_some_and(|after| after.starts_with('=') && !after.starts_with("=="));
            let known = if is_set { &mut *sets } else { &mut *reads };
            known.insert(name.to_owned());
        }
    }
}

/// Returns the quoted word at the end of a text.
fn quoted_before(text: &str) -> Option<&str> {
    let text = text.trim_end().trim_end_matches(" not");
    let quote = text.chars().next_back().filter(|c| ['"', '\''].contains(c))?;
    let inner = &text[..text.len() - 1];
    let name = &inner[inner.rfind(quote)? + 1..];
    name_at(name).filter(|(_, rest)| rest.is_empty()).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_seen_and_what_is_set_is_none() {
        for (text, expected) in [
            ("#!/bin/sh\necho $vlan", &["vlan"][..]),
            ("#!/bin/sh\necho \"${vlan}\" \"${zone:-none}\" ${#name}", &["name", "vlan", "zone"]),
            ("#!/usr/bin/env bash\n[ \"$a\" = 1 ] && echo ${b%x}", &["a", "b"]),
            ("echo $vlan $1 $? $$ ${1:-x}", &["vlan"]),
            ("#!/bin/sh\n# $vlan\ntrue # $zone\necho \\$x", &[]),
            ("#!/bin/sh\nvlan=5; echo $vlan", &[]),
            ("#!/bin/sh\nif true; then vlan=$1; fi\necho $vlan", &[]),
            ("#!/bin/sh\na=1 b=2 run\necho $a $b", &[]),
            ("#!/bin/sh\nread -r a b; echo $a $b", &[]),
            ("#!/bin/sh\ncat x | while read -r a b; do echo $a $b $c; done", &["c"]),
            ("#!/bin/sh\nfor x in $list; do echo $x; done", &["list"]),
            ("#!/bin/bash\nlocal a b=1\necho $a $b", &[]),
            ("#!/bin/bash\nprintf -v a x; echo $a", &[]),
            ("#!/bin/bash\nmapfile -t lines; echo ${lines[0]}", &[]),
            ("#!/bin/sh\nexport vlan; echo $vlan", &["vlan"]),
            ("#!/bin/sh\nexport vlan=3; echo $vlan", &[]),
            ("#!/bin/sh\nvlan=${vlan:-7}; echo $vlan", &["vlan"]),
            ("#!/bin/sh\n: \"${vlan:=7}\"", &["vlan"]),
            ("#!/bin/sh\nnft add rule vlan=$vlan", &["vlan"]),
            ("#!/bin/sh\nprintenv vlan", &["vlan"]),
            ("#!/usr/bin/python3\nx = os.environ['vlan']", &["vlan"]),
            ("#!/usr/bin/python3\nx = os.environ.get(\"vlan\", 'no')", &["vlan"]),
            ("#!/usr/bin/python3\nif 'vlan' in os.environ: pass", &["vlan"]),
            ("#!/usr/bin/python3\nif 'vlan' not in os.environ: pass", &["vlan"]),
            ("#!/usr/bin/python3\nif os.getenv('vlan') == 'x': pass", &["vlan"]),
            ("#!/usr/bin/python3\nos.environ['vlan'] = '1'; x = os.environ['vlan']", &[]),
            ("#!/usr/bin/python3\nif os.environ['vlan'] == '1': pass", &["vlan"]),
            ("#!/usr/bin/perl\nprint $ENV{vlan}, $ENV{'zone'}, $own;", &["vlan", "zone"]),
            ("#!/usr/bin/ruby\nputs ENV[\"vlan\"], ENV.fetch('zone')", &["vlan", "zone"]),
            ("#!/usr/bin/node\nprocess.env.vlan; process.env['zone']", &["vlan", "zone"]),
            ("#!/bin/sh\nBASH_ENV=x; echo $HOME", &["HOME"]),
        ] {
            let seen: Vec<String> = unset_reads(text).into_iter().collect();
            assert_eq!(seen, expected, "{text:?}");
        }
    }
}
