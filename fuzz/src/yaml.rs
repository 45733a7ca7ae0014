//! Random settings and registrations: by their keys, with values that fit and values that don't.

use crate::growth::Frame;
use crate::random::Random;

/// What YAML and hookmux's files are made of.
pub const WORDS: &[&str] = &[
    "&a ",
    "*a",
    "<<: *a",
    ": ",
    "- ",
    "\n",
    "  ",
    "\t",
    "|\n",
    ">\n",
    "!!binary ",
    "!!set ",
    "!!str ",
    "!x ",
    "? ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "'",
    "\"",
    "\\x00",
    "\\u202e",
    "99999999999999999999999",
    "18446744073709551615",
    "-1",
    "-9223372036854775808",
    "1e308",
    ".inf",
    "NaN",
    "null",
    "~",
    "yes",
    "true",
    "false",
    "0x10",
    "0o7",
    "1_000",
    "\u{feff}",
    "\r\n",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "#",
    " # c\n",
    "100000000000000h",
    "18446744073709551615s",
    "9999999999T",
    "1h 30m",
    "$",
    "$$",
    "${NAME}",
    "$XML_BASE64",
    "\u{85}",
    "\u{2028}",
    "{a: ",
    "- - ",
    "? - ",
    "a{n}: b\n",
    "k{n}: ",
    "[[",
    "]]",
    "\"a\": ",
    "events: before_vm_start\n",
    "command: /bin/true\n",
    "events: [",
    "when: {",
    "name: [",
    "environment: {",
    "A{n}: 1, ",
    "A{n}: 1\n",
    "*",
    "?",
    "!",
    "web-*",
    "/",
    "..",
    "x",
];

/// Where words are repeated to see how the time grows.
pub const FRAMES: &[Frame] = &[
    frame("", ""),
    frame("events: before_vm_start\ncommand: /bin/true\n", "\n"),
    frame("events: [", "]\ncommand: /bin/true\n"),
    frame("events: before_vm_start\ncommand: [", "]\n"),
    frame("events: before_vm_start\ncommand: [/bin/true]\nargs: ['", "']\n"),
    frame("events: before_vm_start\ncommand: [/bin/true]\nwhen: {name: ['", "']}\n"),
    frame("environment:\n", "\n"),
    frame("environment: {", "}\n"),
    frame("# ", "\n"),
    frame("state_dir: state\nroots: [", "]\n"),
];

const fn frame(before: &'static str, after: &'static str) -> Frame {
    Frame { before, after }
}

/// Values of a kind: those that fit, and those that hardly do.
type Values = &'static [&'static str];

const BOOLEANS: Values = &["true", "false", "yes", "1", "~"];
const STRINGS: Values = &[
    "x",
    "'a b'",
    "\"q\\n\"",
    "5",
    "true",
    "\u{e4}",
    "1.5",
    "0x1F",
    "'\u{202e}'",
    "00",
    "on",
    "1e3",
    "!!str 5",
    "~",
    "-",
    "''",
    "..",
    "a/b",
    "[]",
    "{}",
    "'.'",
    "\"\\0\"",
    "\"\\ud800\"",
    "?",
];
const PATHS: Values = &["/var/lib/x", "state", "../state", "/", ".", "/a//b/./c", "''", "~", "5"];
const TIMES: Values = &[
    "30s",
    "0",
    "5",
    "1h 30m",
    "1.5",
    "2m",
    "365days",
    "366days",
    "1e3",
    "-1",
    "''",
    "5e-324",
    "1e9",
    "18446744073709551615",
    "1e400",
    "-0.0",
    "[]",
    "ten",
];
const NUMBERS: Values = &[
    "1",
    "2",
    "3",
    "10",
    "19",
    "4",
    "0",
    "100",
    "-5",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "1.0",
    "'3'",
    "0x10",
    "1_0",
    "-9223372036854775809",
];
const COMMANDS: Values = &[
    "/bin/true",
    "[/bin/true]",
    "[/bin/true, x, 5, true]",
    "bin/x",
    "[/x, '']",
    "/a b",
    "true",
    "['*x']",
    "''",
    "[]",
    "[[x]]",
    "{}",
    "~",
    "[~]",
    "\"\\0\"",
    "''",
];
const EVENTS: Values = &[
    "before_vm_start",
    "[before_vm_start]",
    "[before_vm_prepare, after_vm_stop]",
    "'*'",
    "[on_qemu_paused]",
    "after_vm_hibernate",
    "[after_vm_launch, '*']",
    "before_daemon_start",
    "[before_network_start, after_network_stop]",
    "before_vm_dehibernate",
    "before_vm_strat",
    "[on_qemu_started]",
    "[]",
    "[before_vm_start, 5]",
    "[on_qemu_]",
    "[on_vbox_x]",
    "''",
    "'on_lxc_../x'",
    "{}",
    "before vm start",
];
const CALLS: Values = &[
    "qemu/prepare/begin",
    "['*']",
    "[qemu, lxc/start]",
    "'*/release/end'",
    "[network/port-created]",
    "daemon/start",
    "qemu/paused",
    "'*/*/*'",
    "qemu//begin",
    "qmeu",
    "a/b/c/d",
    "[]",
    "''",
    "['/']",
    "[qemu/../x]",
];
const ARGUMENTS: Values = &[
    "[$NAME, $UUID]",
    "['${EVENT}x', $$, $REASON]",
    "[a, 5, true]",
    "[]",
    "['$XML_BASE64', $HOST]",
    "['$']",
    "['${']",
    "[$NAM]",
    "x",
    "['${}']",
    "[[a]]",
    "[~]",
    "['$\u{e4}']",
    "['${NAME']",
];
const PATTERNS: Values = &[
    "'*'",
    "['web-*', '!web-test']",
    "web-*",
    "['!*']",
    "['?*?']",
    "'**a*b**'",
    "['!a', '!b']",
    "'[a-z]'",
    "x",
    "default",
    "'\\*'",
    "5",
    "qemu",
    "[qemu, lxc]",
    "fresh",
    "[migration]",
    "''",
    "saved",
    "migrated",
    "['!']",
    "'!!x'",
    "[]",
    "~",
    "{}",
    "[~]",
    "[[x]]",
    "{a: b}",
];
const MAPS: Values = &[
    "{A: 1, B: x}",
    "{}",
    "{A: ''}",
    "{_: true}",
    "{a1: \"\\n\"}",
    "{1A: x}",
    "{HOOKMUX_X: 1}",
    "{A: [x]}",
    "{A: 1, A: 2}",
    "{vmId: x}",
    "{'': x}",
    "[]",
    "{A: \"\\0\"}",
];
const USERS: Values = &[
    "nobody",
    "nobody:nogroup",
    "{user: nobody, group: nogroup}",
    "65534",
    "{user: 5}",
    "root",
    "a:b:c",
    "''",
    "':'",
    "{group: x}",
    "{user: a, home: /}",
    "-1",
    "[nobody]",
    "'a:'",
];

const REGISTRATION: &[(&str, Values)] = &[
    ("events", EVENTS),
    ("calls", CALLS),
    ("command", COMMANDS),
    ("args", ARGUMENTS),
    ("args_stdin", BOOLEANS),
    ("weight", NUMBERS),
    ("check", COMMANDS),
    ("rollback", COMMANDS),
    ("timeout", TIMES),
    ("on_failure", &["fail", "stop", "warn", "kill", "explode"]),
    ("result", &["exit-status", "status-line", "0"]),
    ("run_as", USERS),
    ("style", &["vdsm", "libvirt", "x"]),
    ("stdin", &["none", "xml", "json", "yaml"]),
    ("mode", &["wait", "detached", "later"]),
    ("retries", NUMBERS),
    ("max_parallel", NUMBERS),
    ("enabled", BOOLEANS),
    ("parallel", BOOLEANS),
    ("lock", STRINGS),
    ("filter", BOOLEANS),
    ("kill_leftovers", BOOLEANS),
    (
        "limits",
        &[
            "{nofile: 64, as: 1 GiB}",
            "{}",
            "{cpu: 1, nproc: 18446744073709551615}",
            "{files: 1}",
            "{as: -1}",
            "{as: 512M}",
            "{as: 16777216T}",
            "{as: 1 banana}",
        ],
    ),
    ("nice", NUMBERS),
    ("environment", MAPS),
    ("environment_file", PATHS),
    ("remote", BOOLEANS),
];

// the last six are mistakes
const DRIVERS: Values = &[
    "qemu",
    "[qemu, lxc]",
    "'*'",
    "['!network']",
    "'q*'",
    "['!qemu', '*']",
    "network",
    "daemon",
    "['l*', '!lxc']",
    "xen",
    "'x*'",
    "[]",
    "''",
    "~",
    "5",
];
const ORIGINS: Values = &[
    "fresh",
    "[migration]",
    "'*'",
    "['!restore']",
    "[restore, unknown]",
    "'?????'",
    "['!*']",
    "later",
    "[]",
    "''",
    "~",
    "5",
    "'x*'",
];
const CONDITIONS: &[&str] = &["driver", "name", "uuid", "title", "reason", "origin", "network"];

const SETTINGS: &[(&str, Values)] = &[
    ("session", BOOLEANS),
    ("state_dir", PATHS),
    ("runtime_dir", PATHS),
    ("roots", &["[]", "[/a, b]", "[5]", "x", "['']", "[/a, /a]"]),
    ("vdsm_hooks", BOOLEANS),
    ("save_dir", PATHS),
    ("timeout", TIMES),
    ("total_timeout", TIMES),
    ("kill_leftovers", BOOLEANS),
    ("trust", &["refuse", "warn", "x"]),
    ("environment", MAPS),
    ("environment_file", PATHS),
    ("custom_properties", &["[]", "[a, b]", "[5]", "x", "{a: '1|2'}"]),
    ("max_parallel", NUMBERS),
    ("record", &["hooks", "all", "none", "x"]),
    (
        "retention",
        &[
            "{per_hook: 3, age: 30d, size: 10M}",
            "{}",
            "{age: 0}",
            "{age: 5}",
            "{per_hook: 0}",
            "{size: 16777216T}",
        ],
    ),
];

/// A registration: what it must have, and a few more keys.
pub fn registration(random: &mut Random) -> String {
    let mut lines: Vec<String> = Vec::new();
    let has_calls = random.once_in(4);
    if !random.once_in(20) {
        let (key, values) = if has_calls { ("calls", CALLS) } else { ("events", EVENTS) };
        lines.push(line(random, key, values));
    }
    if !random.once_in(20) {
        lines.push(line(random, "command", COMMANDS));
    }
    for _ in 0..random.below(6) {
        let (key, values) = *random.item(REGISTRATION);
        let is_there = lines.iter().any(|line| line.starts_with(&format!("{key}:")));
        if !is_there || random.once_in(30) {
            lines.push(line(random, key, values));
        }
    }
    if random.once_in(2) {
        lines.push(format!("when: {}\n", when(random)));
    }
    assemble(random, lines)
}

/// The conditions of a registration, as a flow mapping.
pub fn when(random: &mut Random) -> String {
    let first = random.below(CONDITIONS.len());
    let count = random.below(4);
    let mut parts: Vec<String> = (0..count)
        .map(|offset| CONDITIONS[(first + offset) % CONDITIONS.len()])
        .map(|key| {
            let patterns = match key {
                "driver" if !random.once_in(8) => DRIVERS,
                "origin" if !random.once_in(8) => ORIGINS,
                _ => PATTERNS,
            };
            // an empty list is a mistake
            let most = if random.once_in(20) { patterns.len() } else { patterns.len() - 6 };
            format!("{key}: {}", patterns[random.below(most)])
        })
        .collect();
    if random.once_in(3) {
        let name = random.pick(&["p1", "cpuflags", "a.b", "''"]);
        parts.push(format!("property: {{{name}: {}}}", random.pick(PATTERNS)));
    }
    format!("{{{}}}", parts.join(", "))
}

/// Settings: a few keys.
pub fn settings(random: &mut Random) -> String {
    let mut lines: Vec<String> = Vec::new();
    for _ in 0..random.below(6) {
        let (key, values) = *random.item(SETTINGS);
        let is_there = lines.iter().any(|line| line.starts_with(&format!("{key}:")));
        if !is_there || random.once_in(30) {
            lines.push(line(random, key, values));
        }
    }
    assemble(random, lines)
}

fn line(random: &mut Random, key: &str, values: &[&str]) -> String {
    // mostly what fits, which stands first
    let most = if random.once_in(8) { values.len() } else { values.len().div_ceil(2) };
    let value = values[random.below(most)];
    let comment = if random.once_in(12) { " # a comment" } else { "" };
    format!("{key}: {value}{comment}\n")
}

/// The lines of a file in a random order and style.
fn assemble(random: &mut Random, mut lines: Vec<String>) -> String {
    for index in (1..lines.len()).rev() {
        lines.swap(index, random.below(index + 1));
    }
    match random.below(16) {
        0 => format!("---\n{}", lines.concat()),
        1 => format!("# {}\n{}...\n", "c".repeat(random.below(200)), lines.concat()),
        2 => lines.concat().replace('\n', "\r\n"),
        3 => format!("\u{feff}{}", lines.concat()),
        4 => {
            let flow: Vec<&str> = lines
                .iter()
                .map(|line| line.split(" #").next().unwrap_or_default().trim())
                .collect();
            format!("{{{}}}\n", flow.join(", "))
        }
        _ => lines.concat(),
    }
}

/// Changes a text by bytes at times; what is no UTF-8 then is made so.
pub fn mutate(random: &mut Random, text: String, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = if random.once_in(8) && !seeds.is_empty() {
        random.item(seeds).clone()
    } else {
        text.into_bytes()
    };
    if random.once_in(3) {
        crate::bytes::mutate(random, &mut bytes, WORDS, seeds);
    }
    bytes
}
