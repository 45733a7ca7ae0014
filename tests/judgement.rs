//! Whether a hook can run, asked of `plan`, `list` and `check` for hosts that dice have made, and then
//! of the call itself: all say the same.
//!
//! `HOOKMUX_TEST_SEED` makes the hosts of another seed, `HOOKMUX_TEST_HOSTS` another number of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::stat::Mode;
use serde_json::Value;

use crate::support::host::writing;
use crate::support::{GUEST, Host, is_root, schema};

const SEED: u64 = 0x5eed_90b5;
const HOSTS: usize = 80;
/// Longer than what Linux hands over in one argument, as base 64.
const LONG_BYTES: usize = 110_000;

/// xorshift
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % sides
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }

    fn is(&mut self, one_in: usize) -> bool {
        self.roll(one_in) == 0
    }
}

// --- hosts --------------------------------------------------------------------------------------

/// What a file has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// After this first line a script that tells of itself.
    Script(&'static str),
    /// Nothing but these bytes.
    Bytes(&'static [u8]),
    /// A program of this machine.
    Program,
    /// The same, of another machine.
    Foreign,
    /// The same, with another loader.
    NoLoader,
    /// The beginning of it.
    Cut,
    /// An interpreter's name that may go on.
    LongLine,
}

const GOOD: Content = Content::Script("#!/bin/sh");

const CONTENTS: &[Content] = &[
    GOOD,
    GOOD,
    GOOD,
    GOOD,
    GOOD,
    Content::Script("#! /bin/sh -e"),
    Content::Script("#!bin/sh"),
    Content::Script("#!/usr/bin/env sh"),
    Content::Script("#!/usr/bin/env -S sh -e"),
    Content::Script("#!T/share/as-interpreter"),
    Content::Script("#!T/share/good -e"),
    Content::Script(""),
    Content::Script("\u{feff}#!/bin/sh"),
    Content::Script("#!/bin/sh\r"),
    Content::Script("#!/usr/bin/env sh\r"),
    Content::Script("#!/usr/bin/env no-such-program"),
    Content::Script("#!/usr/bin/env sh -e"),
    Content::Script("#!/nowhere/sh"),
    Content::Script("#!nowhere"),
    Content::Script("#!/etc"),
    Content::Script("#!/etc/passwd"),
    Content::Script("#!T/share/loop"),
    Content::Script("#!T/share/dangling"),
    Content::Script("#!T/share/plain"),
    Content::Script("#!"),
    Content::Bytes(b""),
    Content::Bytes(b"#!"),
    Content::Bytes(b"#!/bin/true"),
    Content::Bytes(b"true\n"),
    Content::Bytes(b"\0\0\0"),
    Content::Bytes(b"#!/bin/true\0x\n"),
    Content::Bytes(b"\x7fELF"),
    Content::Program,
    Content::Foreign,
    Content::NoLoader,
    Content::Cut,
    Content::LongLine,
];

/// What lies at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    File { content: Content, mode: u32, owner: u32 },
    Link(&'static str),
    Directory,
    Pipe,
}

impl Thing {
    fn random(dice: &mut Dice) -> Thing {
        match dice.roll(24) {
            0 => Thing::Link("/dev/null"),
            1 => Thing::Link("nowhere"),
            2 => Thing::Link("T/share/good"),
            3 => Thing::Link("T/share/open"),
            4 => Thing::Link("T/share/theirs"),
            5 => Thing::Link("T/share"),
            6 => Thing::Link("T/share/circle"),
            7 => Thing::Link("/bin/true"),
            8 => Thing::Directory,
            9 => Thing::Pipe,
            _ => Thing::File {
                content: dice.pick(CONTENTS),
                mode: dice.pick(&[
                    0o755, 0o755, 0o755, 0o755, 0o755, 0o700, 0o644, 0o775, 0o757, 0o4755, 0o111,
                    0o001,
                ]),
                owner: if dice.is(12) { 4321 } else { 0 },
            },
        }
    }
}

#[derive(Clone, Debug)]
enum Item {
    /// A place below the host's directory.
    At(PathBuf, Thing),
    /// A registration: its file, and its text.
    Registration(PathBuf, String),
    /// Another mode of a directory.
    Mode(PathBuf, u32),
    Setting(&'static str),
}

const NAMES: &[&str] =
    &["10-a", "20-b", "30 c", "it's", "40-x~", ".hidden", "50.rpmnew", "60-y.sh", "-z"];
const EVENTS: &[&str] = &[
    "before_vm_prepare",
    "before_vm_start",
    "before_vm_launch",
    "after_vm_launch",
    "after_vm_start",
    "after_vm_stop",
    "before_network_start",
    "after_network_start",
    "hooks_of_nobody",
];
const MOMENTS: &[&str] = &[
    "qemu.d/g/prepare/begin",
    "qemu.d/g/start/begin",
    "qemu.d/g/started/begin",
    "qemu.d/g/stopped/end",
    "qemu.d/other/prepare/begin",
    "lxc.d/g/prepare/begin",
    "network.d/g/start/begin",
];
const CALLS: &[&str] = &[
    "qemu prepare begin",
    "qemu start begin",
    "qemu started begin",
    "qemu stopped end",
    "lxc prepare begin",
    "lxc started begin",
    "network start begin",
    "network started begin",
];
const SETTINGS: &[&str] = &[
    "trust: warn",
    "environment: {A: b}",
    "environment: {PATH: /usr/bin:/bin}",
    "kill_leftovers: true",
    "timeout: 40s",
];

/// A random host.
fn random(dice: &mut Dice) -> Vec<Item> {
    let mut items = Vec::new();
    for _ in 0..dice.roll(10) {
        let root = dice.pick(&["hooks", "hooks", "hooks", "high", "low"]);
        let event = dice.pick(EVENTS);
        items.push(Item::At(format!("{root}/{event}/{}", dice.pick(NAMES)).into(), {
            Thing::random(dice)
        }));
        if dice.is(20) {
            items.push(Item::Mode(format!("{root}/{event}").into(), 0o775));
        }
    }
    for _ in 0..dice.roll(6) {
        let moment = Path::new("hooks").join(dice.pick(MOMENTS));
        let is_file = dice.is(8);
        let place = if is_file { moment } else { moment.join(dice.pick(NAMES)) };
        items.push(Item::At(place, Thing::random(dice)));
    }
    for driver in ["qemu", "lxc", "network"] {
        if dice.is(6) {
            items.push(Item::At(format!("hooks/{driver}.adopted").into(), Thing::random(dice)));
        }
    }
    for program in ["x", "y"] {
        items.push(Item::At(format!("hooks/bin/{program}").into(), Thing::random(dice)));
    }
    for number in 0..dice.roll(6) {
        let root = dice.pick(&["hooks", "hooks", "low"]);
        let place = format!("{root}/hooks.d/{}.yaml", dice.pick(&["a", "b", "c", "d"]));
        items.push(Item::Registration(place.into(), registration(dice, number)));
    }
    if dice.is(3) {
        items.push(Item::Setting(dice.pick(SETTINGS)));
    }
    items
}

fn registration(dice: &mut Dice, number: usize) -> String {
    let mut text = String::new();
    match dice.roll(4) {
        0 => writeln!(text, "calls: {}", dice.pick(&["qemu/prepare", "*/started", "lxc/prepair"])),
        _ => writeln!(text, "events: [{}, {}]", EVENTS[number], dice.pick(&EVENTS[..8])),
    }
    .unwrap();
    let program = |dice: &mut Dice| {
        dice.pick(&[
            "T/share/good",
            "T/share/good",
            "T/share/good",
            "T/hooks/bin/x",
            "T/hooks/bin/y",
            "/nowhere/x",
            "T/share",
            "/bin/true",
            "T/share/plain",
            "T/shut/good",
        ])
    };
    writeln!(text, "command: ['{}']\nweight: {}", program(dice), dice.roll(4)).unwrap();
    for _ in 0..dice.roll(4) {
        let line = match dice.roll(26) {
            0 | 1 => "args: [-v, $XML_BASE64]".to_owned(),
            2 => "args: [$NAME]".to_owned(),
            3 => "args: [$XML_BASE64]\nargs_stdin: true".to_owned(),
            4 => format!("check: ['{}']", program(dice)),
            5 => "check: [/bin/true]".to_owned(),
            6 => format!("rollback: ['{}']", program(dice)),
            7 => "run_as: nobody".to_owned(),
            8 => "run_as: no-such-user".to_owned(),
            9 => "run_as: {user: 4321, group: 4321}".to_owned(),
            10 => "run_as: 4321".to_owned(),
            11 => "when: {name: g}".to_owned(),
            12 => "when: {name: h}".to_owned(),
            13 => "when: {driver: lxc}".to_owned(),
            14 => "when: {property: {p: 1}}".to_owned(),
            15 => "enabled: false".to_owned(),
            16 => "mode: detached".to_owned(),
            17 | 18 => "parallel: true".to_owned(),
            19 => "on_failure: stop".to_owned(),
            20 => "on_failure: warn".to_owned(),
            21 => "style: libvirt".to_owned(),
            22 => format!("environment_file: '{}'", dice.pick(&["/nowhere", "T/share/variables"])),
            23 => format!("environment: {{A: {}}}", "y".repeat(dice.pick(&[5, 140_000]))),
            24 => "stdin: json".to_owned(),
            _ => "lock: l".to_owned(),
        };
        let key = |line: &str| line.split(':').next().map(|key| format!("\n{key}:"));
        // a key stands once
        if !line.split('\n').any(|line| text.contains(&key(line).unwrap())) {
            text += &line;
            text.push('\n');
        }
    }
    text
}

/// Makes a host of its items.
fn make(items: &[Item]) -> Host {
    let host = Host::new();
    fs::set_permissions(host.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let file = |content, mode| Thing::File { content, mode, owner: 0 };
    for (place, thing) in [
        ("share/good", file(GOOD, 0o755)),
        ("share/open", file(GOOD, 0o757)),
        ("share/plain", file(GOOD, 0o644)),
        ("share/theirs", Thing::File { content: GOOD, mode: 0o755, owner: 4321 }),
        ("share/as-interpreter", file(Content::Script("#!/bin/sh"), 0o755)),
        ("share/loop", file(Content::Script("#!T/share/loop"), 0o755)),
        ("share/dangling", Thing::Link("nowhere")),
        ("share/circle", Thing::Link("circle")),
        ("share/variables", file(Content::Bytes(b"B=c\n"), 0o644)),
        ("shut/good", file(GOOD, 0o755)),
    ] {
        place_thing(&host, Path::new(place), thing);
    }
    host.mode("shut", 0o700);
    fs::write(host.path("ran"), "").unwrap();
    host.mode("ran", 0o666);
    let mut settings = host.private_settings().replace(
        "roots: []",
        &format!("roots: ['{}', '{}']", host.path("high").display(), host.path("low").display()),
    );
    settings += "record: all\n";
    for item in items {
        match item {
            Item::At(place, thing) => place_thing(&host, place, *thing),
            Item::Registration(place, text) => {
                let text = text.replace('T', &host.path("").display().to_string());
                let path = host.path(place);
                directories(path.parent().unwrap());
                fs::write(&path, text.replace("//", "/")).unwrap();
                host.mode(place, 0o644);
            }
            Item::Mode(..) => {}
            Item::Setting(line) => writeln!(settings, "{line}").unwrap(),
        }
    }
    for item in items {
        match item {
            Item::Mode(place, mode) if host.path(place).is_dir() => drop(host.mode(place, *mode)),
            _ => {}
        }
    }
    host.raw_settings(&settings);
    host
}

fn directories(path: &Path) {
    if path.symlink_metadata().is_err() {
        directories(path.parent().unwrap());
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Puts something at a place, if nothing is in the way.
fn place_thing(host: &Host, place: &Path, thing: Thing) {
    let path = host.path(place);
    let is_taken = |path: &Path| path.symlink_metadata().is_ok_and(|found| !found.is_dir());
    if path.symlink_metadata().is_ok() || path.ancestors().any(is_taken) {
        return;
    }
    directories(path.parent().unwrap());
    let root = host.path("").display().to_string().trim_end_matches('/').to_owned();
    match thing {
        Thing::Link(target) => symlink(target.replace('T', &root), &path).unwrap(),
        Thing::Directory => directories(&path),
        Thing::Pipe => nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap(),
        Thing::File { content, mode, owner } => {
            let _writing = writing();
            fs::write(&path, bytes(content, &root)).unwrap();
            if owner != 0 && is_root() {
                chown(&path, Some(owner), Some(owner)).unwrap();
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

fn bytes(content: Content, root: &str) -> Vec<u8> {
    let program = || fs::read("/bin/true").unwrap();
    match content {
        Content::Script(line) => {
            let line = line.replace('T', root);
            let newline = if line.is_empty() { "" } else { "\n" };
            let what = "case $HOOKMUX_RUN in *-check | *-rollback) exit 0 ;; esac";
            format!("{line}{newline}{what}\necho \"$HOOKMUX_HOOK\" >>'{root}/ran'; exit 0\n")
                .into_bytes()
        }
        Content::Bytes(bytes) => bytes.to_vec(),
        Content::Program => program(),
        Content::Foreign => {
            let mut bytes = program();
            bytes[18] = 0x08; // MIPS
            bytes
        }
        Content::NoLoader => {
            let mut bytes = program();
            let place = bytes
                .windows(5)
                .position(|window| window == b"/lib6")
                .or_else(|| bytes.windows(5).position(|window| window == b"/lib/"));
            bytes[place.expect("a dynamic program") + 1] = b'x';
            bytes
        }
        Content::Cut => program()[..200].to_vec(),
        Content::LongLine => format!("#!/{}\n", "x".repeat(300)).into_bytes(),
    }
}

// --- what is said and done ----------------------------------------------------------------------

#[derive(Clone, Debug)]
struct Asked {
    call: &'static str,
    is_long: bool,
}

/// What is told of hooks, by label.
type Told = BTreeMap<String, (String, String)>;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Compares all answers about a host; the first one that differs, in words.
fn compare(items: &[Item], calls: &[Asked]) -> Result<(), String> {
    let host = make(items);
    let listed = listed(&host)?;
    for asked in calls {
        let [driver, operation, sub] =
            asked.call.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let document = match asked.is_long {
            true => GUEST.replace("</name>", &format!("</name><!--{}-->", "x".repeat(LONG_BYTES))),
            false => GUEST.to_owned(),
        };
        fs::write(host.path("document.xml"), &document).unwrap();
        let path = host.path("document.xml").display().to_string();
        let words = ["plan", driver, "g", operation, sub, "--xml", &path, "--output", "json"];
        let output = host.hookmux(&words);
        let plan = schema::read(&words, &output.stdout);
        let mut planned = Told::new();
        for step in plan["steps"].as_array().unwrap() {
            let (label, decision) = (text(&step["hook"]), text(&step["state"]));
            // of several with one name one runs at most
            if decision != "not run" || !planned.contains_key(&label) {
                planned.insert(label, (decision, text(&step["reason"])));
            }
        }
        fs::write(host.path("ran"), "").unwrap();
        let entry = host.hook(driver).display().to_string();
        // as libvirt does
        let call = host.call(driver, ["g", operation, sub, "-"]).called(&entry, "/");
        let answer = call.stdin(document).run();
        let said = || format!("{asked:?}\nplan: {plan:#}\nanswer: {answer:?}");
        let done = done(&host);
        let ran = fs::read_to_string(host.path("ran")).unwrap();
        let ran: BTreeSet<&str> = ran.lines().collect();
        for (label, (decision, reason)) in &planned {
            let outcome = done.get(label).map(|(outcome, _)| outcome.as_str());
            let failure = done.get(label).map(|(_, failure)| failure.as_str());
            let is_right = match decision.as_str() {
                "runs" => matches!(outcome, Some("good" | "queued")),
                "fails" => outcome == Some("failed") && !ran.contains(label.as_str()),
                _ => outcome.is_none() && !ran.contains(label.as_str()),
            };
            if !is_right {
                return Err(format!(
                    "{label}: plan says {decision}: {reason}; the call made {outcome:?} of it: {failure:?}\n{}",
                    said()
                ));
            }
            // the interpreter has words of its own
            let is_same = failure.is_none_or(|failure| {
                failure == reason
                    || reason.contains("its first line")
                    || reason.contains("no right")
            });
            if decision == "fails" && !is_same {
                return Err(format!(
                    "{label}: plan says {reason}; the call says {failure:?}\n{}",
                    said()
                ));
            }
            // a detached one is queued, and fails later
            let is_later = |note: &&Value| {
                let note = text(&note["message"]);
                note.starts_with(&format!("{label}: "))
                    && note.contains("when the worker starts it")
            };
            let later = plan["notes"].as_array().unwrap().iter().find(is_later);
            let (decision, reason) = match later {
                Some(note) => ("fails", text(&note["message"])),
                None => (decision.as_str(), reason.clone()),
            };
            compare_listed(label, decision, &reason, &listed)
                .map_err(|why| format!("{why}\n{}", said()))?;
        }
        let is_hook = |label: &&String| !label.ends_with(" (rollback)");
        if let Some(label) = done.keys().filter(is_hook).find(|label| !planned.contains_key(*label))
        {
            return Err(format!("{label} isn't in the plan\n{}", said()));
        }
        let is_stopped = plan["class"] != "notify" && answer.status != Some(0);
        if plan["would_fail"] != is_stopped {
            return Err(format!("would_fail is {}\n{}", plan["would_fail"], said()));
        }
    }
    Ok(())
}

/// What `list` can know of a hook agrees with what `plan` says at one call.
fn compare_listed(label: &str, decision: &str, reason: &str, listed: &Told) -> Result<(), String> {
    let Some((state, why)) = listed.get(label) else {
        return Err(format!("{label} isn't listed: {listed:#?}"));
    };
    // of the document and of what is handed over nothing is known before a call
    let is_of_call = reason.contains("libvirt's document") || reason.contains("Linux takes");
    let is_right = match decision {
        "runs" => state == "active",
        "fails" if is_of_call => true,
        "fails" => matches!(state.as_str(), "fails" | "refused"),
        _ => true,
    };
    match is_right {
        true => Ok(()),
        false => Err(format!("{label} is {state} ({why}), and plan says {decision}: {reason}")),
    }
}

/// What `list` says; where it says that a hook fails, `check` says so too.
fn listed(host: &Host) -> Result<Told, String> {
    let output = host.hookmux(&["list", "--output", "json"]);
    let said = schema::read(&["list"], &output.stdout);
    let hooks = said["hooks"].as_array().unwrap();
    let found = match hooks.iter().any(|hook| hook["state"] == "fails") {
        true => host.json(&["check"], 1),
        false => Value::Null,
    };
    let is_error = |path: &Value| {
        let mut findings = found["findings"].as_array().into_iter().flatten();
        let file = Path::new(path.as_str().unwrap_or_default()).file_name();
        let name = file.map(|name| format!("/{}", name.to_string_lossy()));
        findings.any(|one| {
            let is_named = name.as_ref().is_some_and(|name| text(&one["message"]).contains(name));
            one["severity"] == "error" && (&one["path"] == path || is_named)
        })
    };
    let mut told = Told::new();
    for hook in hooks {
        let (state, why) = (text(&hook["state"]), text(&hook["reason"]));
        let is_told = is_error(&hook["path"]) || is_error(&hook["registration"]);
        let has_way_out = hook["fix"].is_string();
        if state == "fails" && !(is_told && has_way_out) {
            return Err(format!("{hook:#} has no error or no way out\n{found:#}"));
        }
        let label = text(&hook["hook"]);
        // of several with one name one runs at most
        if told.get(&label).is_none_or(|(state, _)| state == "masked" || state == "skipped") {
            told.insert(label, (state, why));
        }
    }
    Ok(told)
}

/// What became of the hooks of the newest call.
fn done(host: &Host) -> Told {
    let said = host.json(&["log"], 0);
    let executions = said["executions"].as_array().unwrap().iter();
    // a worker has records of its own
    let of_calls = executions.filter(|one| one["parent"].is_null());
    let newest = of_calls.max_by_key(|one| text(&one["id"])).expect("it is recorded");
    let record = host.json(&["show", &text(&newest["id"])], 0);
    let runs = record["runs"].as_array().unwrap().iter();
    runs.map(|run| (text(&run["hook"]), (text(&run["state"]), text(&run["failure"])))).collect()
}

/// The smallest part of a host that still shows it.
fn shrunk(mut items: Vec<Item>, mut calls: Vec<Asked>) -> (Vec<Item>, Vec<Asked>) {
    for asked in calls.clone() {
        if compare(&items, std::slice::from_ref(&asked)).is_err() {
            calls = vec![asked];
            break;
        }
    }
    let mut index = 0;
    while index < items.len() {
        let mut fewer = items.clone();
        fewer.remove(index);
        match compare(&fewer, &calls) {
            Err(_) => items = fewer,
            Ok(()) => index += 1,
        }
    }
    (items, calls)
}

#[test]
fn plan_list_and_check_say_what_the_call_then_does() {
    let number = |name: &str| {
        let value = std::env::var(name).ok()?;
        Some(value.parse::<u64>().unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    let seed = number("HOOKMUX_TEST_SEED").unwrap_or(SEED);
    let hosts = number("HOOKMUX_TEST_HOSTS").map_or(HOSTS, |hosts| hosts as usize);
    let mut dice = Dice(seed | 1);
    let all: Vec<(Vec<Item>, Vec<Asked>)> = (0..hosts)
        .map(|_| {
            let items = random(&mut dice);
            let mut ask = || Asked { call: dice.pick(CALLS), is_long: dice.is(4) };
            (items, vec![ask(), ask()])
        })
        .collect();
    // mostly a host waits for processes
    let next = AtomicUsize::new(0);
    let wrong = AtomicUsize::new(hosts);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let host = next.fetch_add(1, Ordering::Relaxed);
                    if host >= wrong.load(Ordering::Relaxed) {
                        return;
                    }
                    let (items, calls) = &all[host];
                    if compare(items, calls).is_err() {
                        wrong.fetch_min(host, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let host = wrong.into_inner();
    let Some((items, calls)) = all.get(host) else { return };
    let (items, calls) = shrunk(items.clone(), calls.clone());
    let why = compare(&items, &calls).err();
    let why = why.unwrap_or_else(|| "it doesn't happen always".to_owned());
    panic!("\nseed {seed}, host {host}: {items:#?}\n{calls:?}\n{why}");
}

// --- one by one ---------------------------------------------------------------------------------

/// What `plan` says of the hooks of a call: `LABEL DECISION REASON`.
fn planned(host: &Host, words: &[&str], status: i32) -> (Vec<String>, bool) {
    let plan = host.json(&[&["plan", "qemu", "g"], words].concat(), status);
    let steps = plan["steps"].as_array().unwrap().iter().map(|step| {
        let parts = [&step["hook"], &step["state"], &step["reason"]].map(text);
        parts.join(" ").trim_end().to_owned()
    });
    (steps.collect(), plan["would_fail"] == true)
}

fn long_document() -> String {
    GUEST.replace("</name>", &format!("</name><!--{}-->", "x".repeat(LONG_BYTES)))
}

#[test]
fn an_argument_that_is_too_long_is_named_with_the_way_out() {
    let host = Host::new();
    let bytes = long_document().len().div_ceil(3) * 4;
    let registration = |more: &str| {
        host.script("bin/x", "cat >\"$T/in\"; log ran $#");
        host.file(
            "hooks.d/x.yaml",
            format!("events: before_vm_start\ncommand: [bin/x, -v]\n{more}"),
        )
    };
    fs::write(host.path("document.xml"), long_document()).unwrap();
    let path = host.path("document.xml").display().to_string();
    let plan = ["prepare", "--xml", &path];
    registration("args: [$NAME, \"--xml=$XML_BASE64\"]\n");
    let words = format!(
        "can't be executed: word 2 of `args` (--xml=$XML_BASE64) has {} bytes, and Linux takes 131071; `args_stdin: true` passes `args` on standard input",
        bytes + 6
    );
    assert_eq!(planned(&host, &plan, 1), (vec![format!("before_vm_start/x fails {words}")], true));
    let call = || host.guest("prepare begin").stdin(long_document());
    call().run().fails(126, &[&format!("hookmux: before_vm_start/x: {words}\n")]);
    assert_eq!(host.log(), [""; 0]);
    // with a small one, and on standard input, it runs
    host.guest("prepare begin").run().succeeds();
    assert_eq!(planned(&host, &["prepare", "--xml", "guest.xml"], 0).0, ["before_vm_start/x runs"]);
    assert_eq!(host.log(), ["ran 3"]);
    registration("args: [$XML_BASE64]\nargs_stdin: true\n");
    assert_eq!(planned(&host, &plan, 0).0, ["before_vm_start/x runs"]);
    call().run().succeeds();
    assert_eq!((host.log(), host.read("in").len()), (vec!["ran 1".to_owned()], bytes + 1));
    // what stands in a registration itself, and a variable of it
    let long = "y".repeat(140_000);
    for (more, words) in [
        (format!("args: [{long}]"), "word 1 of `args` (yyyy"),
        (
            format!("check: [/bin/true, {long}]"),
            "its check can't be executed: word 2 of `check` (y",
        ),
        (format!("environment: {{LONG: {long}}}"), "the variable `LONG` has 140005 bytes"),
    ] {
        registration(&more);
        let (steps, would_fail) = planned(&host, &["prepare", "--xml", "guest.xml"], 1);
        assert!(steps[0].contains(words) && would_fail, "{steps:?}");
        let answer = host.guest("prepare begin").run();
        answer.fails(126, &[words]);
        let reason = steps[0].strip_prefix("before_vm_start/x fails ").unwrap();
        assert!(answer.stderr.contains(reason), "{reason}\n{}", answer.stderr);
    }
    // each is short enough, and all together aren't
    registration(&format!("args: [{}]", vec!["$XML_BASE64"; 30].join(", ")));
    let document = &long_document()[..GUEST.len() + 80_000];
    let document = format!("{document}-->\n</domain>");
    fs::write(host.path("document.xml"), &document).unwrap();
    let words = "arguments and environment have 3";
    let (steps, would_fail) = planned(&host, &plan, 1);
    assert!(steps[0].contains(words) && would_fail, "{steps:?}");
    host.guest("prepare begin").stdin(document).run().fails(126, &[words, "`args_stdin: true`"]);
}

#[test]
fn plan_knows_what_one_that_fails_means_for_the_call() {
    let host = Host::new();
    // the first failure of the tree stops the call
    host.file("qemu.d/g/prepare/begin/10-x", "#!/nowhere\n");
    host.follow(&["qemu.d/g/prepare/begin/20-x", "before_vm_start/10-x"]);
    let general = "can't be executed: it, or the interpreter in its `#!` line, does not exist";
    let (steps, would_fail) = planned(&host, &["prepare"], 1);
    assert_eq!(
        steps,
        [
            "before_vm_start/10-x runs".to_owned(),
            format!("qemu.d/g/prepare/begin/10-x fails {general}: there is no `/nowhere`"),
            "qemu.d/g/prepare/begin/20-x not run not run: qemu.d/g/prepare/begin/10-x stopped the call"
                .to_owned()
        ]
    );
    assert!(would_fail);
    host.guest("prepare begin").run().fails(127, &[]);
    assert_eq!(host.log(), ["before_vm_start/10-x"]);
    // at a live call a failure of hookmux's own making is nobody's veto, one of the script's is
    for (end, is_veto, status) in [("#!/nowhere\n", true, 127), ("#!/bin/sh\n", false, 0)] {
        let host = Host::new();
        host.file("qemu.d/g/started/begin/x", end).file("after_vm_launch/x", "#!/nowhere\n");
        if !is_veto {
            host.mode("hooks/qemu.d/g/started/begin/x", 0o777);
        }
        assert_eq!(planned(&host, &["started"], i32::from(is_veto)).1, is_veto);
        assert_eq!(host.guest("started begin").run().status, Some(status));
    }
    // one that may fail
    let host = Host::new();
    host.file(
        "hooks.d/x.yaml",
        "events: before_vm_start\ncommand: /etc/passwd\non_failure: warn\n",
    );
    let (steps, would_fail) = planned(&host, &["prepare"], 0);
    assert!(steps[0].contains("fails can't be executed") && !would_fail, "{steps:?}");
    host.guest("prepare begin").run();
    // a gate that stays shut runs nothing
    let host = Host::new();
    host.follow(&["before_vm_start/10-x"]).file("hooks.d/x.yaml", "events: before_vm_start\n");
    let (steps, would_fail) = planned(&host, &["prepare"], 1);
    assert_eq!(
        steps,
        ["before_vm_start/10-x not run not run: the call fails before its first hook"]
    );
    assert!(would_fail);
    host.guest("prepare begin").run().fails(125, &[]);
    assert_eq!(host.log(), [""; 0]);
}

#[test]
fn a_hook_that_cant_run_is_listed_with_its_way_out() {
    let host = Host::new();
    host.file("before_vm_start/10-crlf", "#!/bin/sh\r\nexit 0\r\n");
    host.file("before_vm_start/20-none", "true\n");
    host.file("before_vm_start/30-plain", "#!/bin/sh\n")
        .mode("hooks/before_vm_start/30-plain", 0o644);
    host.link("/nowhere", "before_vm_start/40-link");
    host.file("hooks.d/user.yaml", "events: before_vm_start\ncommand: /bin/true\nrun_as: no-one\n");
    host.file("hooks.d/gone.yaml", "events: before_vm_start\ncommand: /nowhere\n");
    let seen: Vec<String> = host.json(&["list"], 0)["hooks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hook| {
            let words = [&hook["name"], &hook["state"], &hook["fix"]].map(text).join("|");
            let command = if hook["fix_command"].is_array() { "!" } else { "" };
            assert!(hook["order"].is_null(), "{hook:#}");
            format!("{command}{words}").replace(&host.hooks().display().to_string(), "H")
        })
        .collect();
    assert_eq!(
        seen,
        [
            "!10-crlf|fails|sed -i 's/\\r$//' H/before_vm_start/10-crlf",
            "!20-none|fails|sed -i '1i #!/bin/sh' H/before_vm_start/20-none",
            "!30-plain|not executable|chmod a+x H/before_vm_start/30-plain",
            "!40-link|a link to nothing|rm H/before_vm_start/40-link",
            "gone|refused|create /nowhere (mode 755), or correct its path in H/hooks.d/gone.yaml",
            "!user|fails|useradd --system no-one",
        ]
    );
    // each way out is one
    for place in ["10-crlf", "20-none"] {
        let listed = host.json(&["list"], 0);
        let hooks = listed["hooks"].as_array().unwrap();
        let hook = hooks.iter().find(|hook| hook["name"] == place).unwrap();
        let words: Vec<String> = hook["fix_command"].as_array().unwrap().iter().map(text).collect();
        assert!(
            std::process::Command::new(&words[0]).args(&words[1..]).status().unwrap().success()
        );
        let listed = host.json(&["list"], 0);
        let hooks = listed["hooks"].as_array().unwrap();
        let hook = hooks.iter().find(|hook| hook["name"] == place).unwrap();
        assert_eq!(hook["state"], "active", "{hook:#}");
    }
}
