//! Mistakes in files that people write by hand: each is told in plain words, with the line and a caret under the
//! place, in the same way by everything that reads the file.

use std::fs;

use serde_json::Value;

use crate::support::Host;

/// A good registration that mistakes are added to.
const GOOD: &str = "events: before_vm_start\ncommand: /bin/true\n";

/// A text; `LINE:COLUMN` of the mistake; what is told of it.
type Mistake = (&'static str, &'static str, &'static str);

/// Mistakes below the lines of [`GOOD`].
const ADDED: &[Mistake] = &[
    // a sign with a meaning in YAML
    ("when: {name: [web-*, !web-test]}", "3:22", "quote the value: \"!web-test\""),
    ("when:\n  name:\n    - web-*\n    - !web-test", "6:7", "quote the value: \"!web-test\""),
    ("when:\n  name: !web", "4:9", "quote the value: \"!web\""),
    ("when: {name: *-web}", "3:14", "`*` refers to another value"),
    ("when:\n  name: *web", "4:9", "quote the value: \"*web\""),
    ("args: [&x]", "3:8", "`&` names a value in YAML (an anchor): quote the value: \"&x\""),
    ("lock: @gpu", "3:7", "`@` can't begin a value in YAML: quote the value: \"@gpu\""),
    ("lock: %gpu", "3:7", "`%` can't begin a value"),
    ("lock: `gpu`", "3:7", "quote the value: \"`gpu`\""),
    ("lock: @say \"hi\" # why", "3:7", "quote the value: '@say \"hi\"'"),
    // tabs and blanks
    ("\tlock: gpu", "3:1", "a tab begins this line: YAML takes only blanks there"),
    ("when:\n\tname: x", "4:1", "a tab begins this line"),
    ("when:\nname: web", "4:1", "`name` belongs below `when`: indent it by two blanks more"),
    ("nofile: 3", "3:1", "`nofile` belongs below `limits`"),
    ("when:\n  name: web\n driver: qemu", "5:2", "this line fits no line above"),
    (
        "  lock: gpu",
        "3:3",
        "indented deeper than the one above, which has its value already: begin it with no blank",
    ),
    ("args:\n  - a\n - b", "5:2", "items begin in one column"),
    // colons
    ("lock:gpu", "3:1", "a blank is missing after the colon: `lock: gpu`"),
    ("lock = gpu", "3:1", "a key ends with a colon: `lock: gpu`"),
    ("lock:\u{a0}gpu", "3:1", "after the colon comes U+00A0, which only looks like a blank"),
    ("lock: gpu:", "3:10", "there is a colon too many at the end: `lock: gpu`"),
    ("lock: a: b", "3:7", "a value with `: ` in it has to be quoted: `lock: \"a: b\"`"),
    ("environment:\n  A: b: c", "4:6", "`A: \"b: c\"`"),
    ("args: [a: b]", "3:8", "args[0]: a text with `: ` in it has to be quoted"),
    ("whatever", "3:1", "this line has no key: write `KEY: whatever`"),
    // what is open
    ("lock: \"gpu", "3:7", "this quote is never closed"),
    ("lock: 'it's'", "3:10", "the quoted text ends here; inside of '…' it is written twice: ''"),
    ("args: [\"a\\d\"]", "3:10", "a backslash begins a special character"),
    ("args: [a, b\nlock: x", "3:7", "this `[` is never closed"),
    ("when: {name: x\nlock: x", "3:7", "this `{` is never closed"),
    // values of another kind
    (
        "weight: high",
        "3:9",
        "weight: `high` can't stand here: write a whole number, such as 100 or -5",
    ),
    ("weight: \"5\"", "3:9", "write 5 without quotes"),
    ("weight: 50%", "3:9", "`50%` can't stand here: write a whole number"),
    ("weight: 1.5", "3:9", "`1.5` can't stand here: write a whole number"),
    ("nice: low", "3:7", "nice: `low` can't stand here"),
    (
        "mode: detached\nretries: -1",
        "4:10",
        "retries: `-1` can't stand here: write a whole number from 0 on",
    ),
    ("enabled: yes", "3:10", "enabled: `yes` can't stand here: write true"),
    ("enabled: on", "3:10", "write true"),
    ("parallel: No", "3:11", "parallel: `No` can't stand here: write false"),
    ("enabled: \"true\"", "3:10", "write true without quotes"),
    ("enabled: 1", "3:10", "write true"),
    ("mode: Detached", "3:7", "unknown value `Detached`; did you mean `detached`?"),
    ("timeout: 30x", "3:10", "`30x` is not a duration: write 30s, 2m or 1h 30m"),
    ("timeout: five", "3:10", "is not a duration"),
    ("timeout: [5]", "3:10", "timeout: a list can't stand here: write a duration such as 30s"),
    ("environment: [A=1]", "3:14", "a list can't stand here: write variables, as `NAME: value`"),
    ("environment: A=1", "3:14", "write variables, as `NAME: value`"),
    ("args: $NAME", "3:7", "`$NAME` can't stand here: write a list, as [a, b]"),
    ("when: web1", "3:7", "`web1` can't stand here: write conditions, as `name: web*`"),
    ("when: [name, web1]", "3:7", "a list can't stand here: write conditions"),
    ("when: {property: [a]}", "3:18", "write a mapping, as `NAME: value`"),
    ("limits: 5", "3:9", "`5` can't stand here: write limits, as `nofile: 1024`"),
    ("limits: {nofile: many}", "3:18", "limits.nofile: `many` can't stand here"),
    ("check:\n  path: /x", "4:3", "write a string, or a list of strings"),
    // keys
    ("command: /bin/false", "3:1", "`command` is there twice, first in line 2"),
    ("environment:\n  A: 1\n  A: 2", "5:3", "`A` is there twice, first in line 4"),
    ("timout: 3", "3:1", "unknown key `timout`; did you mean `timeout`?"),
    ("on-failure: warn", "3:1", "did you mean `on_failure`?"),
    ("Lock: gpu", "3:1", "did you mean `lock`?"),
    (
        "---\nevents: after_vm_stop",
        "3:1",
        "a file holds one document, and a second one begins here",
    ),
    ("lock: a\u{1}b", "3:8", "the character U+0001 can't be part of YAML"),
];

/// Mistakes of whole texts.
const WHOLE: &[Mistake] = &[
    (
        "events: *\ncommand: /bin/true\n",
        "1:9",
        "`*` refers to another value in YAML (an alias): quote the value: \"*\"",
    ),
    ("events: [*]\ncommand: /bin/true\n", "1:10", "quote the value: \"*\""),
    ("events:before_vm_start\ncommand: /bin/true\n", "1:1", "`events: before_vm_start`"),
    ("- events: before_vm_start\n  command: /bin/true\n", "1:1", "without `- `"),
    (
        " events: before_vm_start\ncommand: /bin/true\n",
        "2:1",
        "nearer to the margin than the first one (one blank)",
    ),
    (
        "events: before_vm_start\n  command: /bin/true\n",
        "2:3",
        "indented deeper than the one above",
    ),
    (
        "events: before_vm_start, after_vm_stop\ncommand: /x\n",
        "1:1",
        "several events are a list: `events: [before_vm_start, after_vm_stop]`",
    ),
    ("events: before_vm_start after_vm_stop\ncommand: /x\n", "1:1", "several events are a list"),
    ("events: “before_vm_start”\ncommand: /x\n", "1:1", "did you mean `before_vm_start`?"),
    (
        "{\"events\": \"before_vm_start\" \"command\": \"/x\"}\n",
        "1:30",
        "a comma or the closing `}` is missing",
    ),
    (
        "events = before_vm_start\ncommand = /bin/true\n",
        "1:1",
        "a key ends with a colon: `events: before_vm_start`",
    ),
    (
        "<<<<<<< HEAD\nevents: before_vm_start\n=======\n",
        "1:1",
        "two versions of this file were never merged",
    ),
    ("events:\n\t- before_vm_start\ncommand: /bin/true\n", "2:1", "a tab begins this line"),
];

/// The finding of this code.
#[track_caller]
fn finding<'f>(said: &'f Value, code: &str, text: &str) -> &'f Value {
    let findings = said["findings"].as_array().unwrap();
    let finding = findings.iter().find(|one| one["code"] == code);
    finding.unwrap_or_else(|| panic!("{text:?}: {findings:#?}"))
}

/// A text that is read as `what` has one mistake, which is told with its place, its line and a caret, and these words.
#[track_caller]
fn is_told(host: &Host, what: &str, text: &str, place: &str, words: &str) -> String {
    fs::write(host.path("x"), text).unwrap();
    let said = host.json(&["check", "x", "--as", what], 1);
    let code = if what == "settings" { "broken-settings" } else { "broken-registration" };
    let finding = finding(&said, code, text);
    let message = finding["message"].as_str().unwrap();
    let at = format!("{}:{}", finding["line"], finding["column"]);
    assert_eq!((at.as_str(), message.contains(words)), (place, true), "{text:?}: {message}");
    let excerpt = finding["excerpt"].as_array().unwrap_or_else(|| panic!("{text:?}: {finding:#}"));
    let caret = excerpt[1].as_str().unwrap();
    assert_eq!(Some(caret.chars().count() as u64), finding["column"].as_u64(), "{text:?}");
    assert!(caret.ends_with('^'), "{text:?}");
    message.to_owned()
}

/// A registration with these bytes.
fn register(host: &Host, bytes: impl AsRef<[u8]>) {
    host.file("hooks.d/x.yaml", bytes).mode("hooks/hooks.d/x.yaml", 0o644);
}

#[test]
fn every_mistake_in_a_registration_is_told_in_plain_words() {
    let host = Host::new();
    let added = ADDED.iter().map(|(text, place, words)| (format!("{GOOD}{text}\n"), place, words));
    let whole = WHOLE.iter().map(|(text, place, words)| ((*text).to_owned(), place, words));
    for (text, place, words) in added.chain(whole) {
        let message = is_told(&host, "registration", &text, place, words);
        // none of the library's own words
        for theirs in
            ["expected", "scanning", "parsing", "invalid type", "serde", "Fragment", " at line "]
        {
            assert!(!message.contains(theirs), "{text:?}: {message}");
        }
    }
}

#[test]
fn the_same_mistakes_are_told_of_settings() {
    let host = Host::new();
    let own = [
        ("timeout: 5s\ntimout: 3s\n", "2:1", "did you mean `timeout`?"),
        ("timeout: 5s\nper_hook: 3\n", "2:1", "`per_hook` belongs below `retention`"),
        ("retention: 5\n", "1:12", "`5` can't stand here: write limits, as `age: 30days`"),
        ("queue: [5]\n", "1:8", "a list can't stand here: write limits, as `jobs: 1000`"),
        ("- timeout: 5\n", "1:1", "this is a list: settings are keys"),
        ("roots: /x\n", "1:8", "`/x` can't stand here: write a list"),
        ("session: on\n", "1:10", "session: `on` can't stand here: write true"),
        ("max_parallel: 0\n", "1:15", "a whole number from 1 on"),
        ("timeout:5\nsession: true\n", "1:1", "a blank is missing after the colon: `timeout: 5`"),
        ("custom_properties: [!x]\n", "1:21", "quote the value: \"!x\""),
        ("environment:\n\tA: b\n", "2:1", "a tab begins this line"),
        ("record: every\n", "1:9", "unknown value `every`; known are hooks, all, none"),
        ("custom_properties: *\n", "1:20", "quote the value: \"*\""),
        ("trust: warn:\n", "1:12", "a colon too many"),
        ("timeout: 5\n---\nsession: true\n", "2:1", "a second one begins here"),
    ];
    for (text, place, words) in own {
        is_told(&host, "settings", text, place, words);
    }
}

/// What is no text at all has no line.
#[test]
fn files_in_another_encoding_are_told() {
    let host = Host::new();
    let utf16: Vec<u8> = "\u{feff}events: x".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, words) in [
        (utf16, "it is written in UTF-16: save it as UTF-8"),
        (b"events: x\n# f\xfcr\n".to_vec(), "it is not UTF-8: line 2 has the byte 0xfc"),
    ] {
        fs::write(host.path("x"), &bytes).unwrap();
        register(&host, &bytes);
        for more in [&["check", "x", "--as", "registration"][..], &["check"]] {
            let said = host.json(more, 1);
            let finding = finding(&said, "broken-registration", words);
            assert!(finding["message"].as_str().unwrap().contains(words), "{finding:#}");
            assert!(finding["line"].is_null() && finding["excerpt"].is_null(), "{finding:#}");
        }
    }
    // a mark at the beginning, and line ends of Windows, are no mistakes
    let text = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    register(&host, text);
    assert_eq!(host.json(&["check", "hooks/hooks.d/x.yaml"], 0)["findings"], Value::Array(vec![]));
}

#[test]
fn who_reads_the_file_tells_the_same() {
    let host = Host::new();
    let text = format!("{GOOD}when: {{name: [web-*, !web-test]}}\n");
    register(&host, &text);
    let words = "hooks.d/x.yaml:3:22: `!` begins the name of a type in YAML (a tag): quote the value: \"!web-test\"";
    let (line, caret) = (
        "when: {name: [web-*, !web-test]}\n",
        format!("\n{}^", " ".repeat(21 + "broken-registration  ".len() + 2)),
    );
    // people see the line and the caret
    let said = host.text(&["check"], 1);
    assert!(said.replace("\n                     ", " ").contains(words), "{said}");
    assert!(said.contains(line) && said.contains(&caret), "{said}");
    let said = host.text(&["list"], 0);
    assert!(said.contains(words) && said.matches("hooks.d/x.yaml:3").count() == 1, "{said}");
    // so does libvirt
    host.guest("prepare begin").run().fails(125, &["`!` begins the name of a type in YAML"]);
}

#[test]
fn a_program_in_one_string_is_told_as_it_has_to_be_written() {
    let host = Host::new();
    for (command, words) in [
        ("/usr/bin/test -e /etc/passwd", "`command: [/usr/bin/test, -e, /etc/passwd]`"),
        (
            "echo \"hi $NAME\" >> /tmp/log",
            "`command: [/bin/sh, -c, \"echo \\\"hi $NAME\\\" >> /tmp/log\"]`",
        ),
        ("/bin/a && /bin/b", "`command: [/bin/sh, -c, \"/bin/a && /bin/b\"]`"),
        ("env A=1 x", "`command: [/usr/bin/env, A=1, x]`"),
    ] {
        let text = format!("events: before_vm_start\ncommand: {command}\n");
        fs::write(host.path("x.yaml"), text).unwrap();
        let said = host.json(&["check", "x.yaml"], 1);
        let finding = &said["findings"][0];
        assert_eq!(finding["code"], "command-missing", "{said:#}");
        let message = finding["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        assert!(!finding["fix"].as_str().unwrap().contains("create"), "{finding:#}");
        let said = host.text(&["add", "x.yaml", "--dry-run"], 0);
        assert!(said.contains(words) && !said.contains("create "), "{said}");
    }
}
