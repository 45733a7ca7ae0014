//! “My hook doesn't run”: for each of the usual reasons `check` or `plan` says why, and after what is advised there the
//! hook runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, is_root, skip, until};

/// What is advised.
enum Advice {
    /// The finding's `fix_command`.
    Command,
    /// A command in words, in which a person writes the event for `EVENT`.
    CommandForEvent,
    /// What the fix has in words, and a person who does it.
    Words(&'static str, fn(&Host)),
}
use Advice::{Command as Runs, CommandForEvent, Words};

/// Whether the hook is to run in the end.
#[derive(PartialEq)]
enum Then {
    Runs,
    /// It calls libvirt, and so runs after the answer.
    RunsLater,
    /// What lies there was no hook.
    IsGone,
}

/// Who makes the mistake; the finding, which isn't there before; what is advised; what comes of it.
type Mistake = (fn(&Host), &'static str, Advice, Then);

const HOOK: &str = "before_vm_start/10-x";

/// A script that logs `ran`, with this as its first line, and line ends.
fn script(host: &Host, place: &str, first: &str, end: &str) {
    let log = host.path("log").display().to_string();
    host.file(place, format!("{first}echo ran >> {log}{end}"));
}

/// The same as it should be.
fn good(host: &Host, place: &str) {
    script(host, place, "#!/bin/sh\n", "\n");
}

/// A registration of a good script, with other lines than these.
fn registration(host: &Host, place: &str, events: &str, more: &str) {
    good(host, "bin/x");
    let text = format!("events: {events}\ncommand: bin/x\n{more}");
    host.file(place, text).mode(host.hook(place), 0o644);
}

/// Somebody edits the registration as it was advised.
fn corrects(host: &Host, from: &str, to: &str) {
    let editor = format!("sed -i 's/{from}/{to}/'");
    run(host, "hookmux edit x", &[("EDITOR", &editor)]);
}

const MISTAKES: &[Mistake] = &[
    (
        |host| {
            good(host, HOOK);
            host.mode(host.hook(HOOK), 0o644);
        },
        "not-executable",
        Runs,
        Then::Runs,
    ),
    (|host| script(host, HOOK, "#!/bin/sh\r\n", "\r\n"), "crlf", Runs, Then::Runs),
    (|host| script(host, HOOK, "", "\n"), "no-interpreter-line", Runs, Then::Runs),
    (
        |host| script(host, HOOK, "#!/nowhere/sh\n", "\n"),
        "interpreter-missing",
        Words("name one that is there in the first line", |host| {
            run(host, &format!("sed -i '1s,/nowhere/sh,/bin/sh,' hooks/{HOOK}"), &[]);
        }),
        Then::Runs,
    ),
    (|host| good(host, "before_vm_starts/10-x"), "unknown-event", Runs, Then::Runs),
    (|host| good(host, "BeforeVmStart/10-x"), "unknown-event", Runs, Then::Runs),
    (|host| good(host, "before-vm-start/10-x"), "unknown-event", Runs, Then::Runs),
    (|host| good(host, "vm_start/10-x"), "unknown-event", Runs, Then::Runs),
    (
        |host| registration(host, "hooks.d/x.yaml", "before_vm_strt", ""),
        "broken-registration",
        Words("hookmux", |host| corrects(host, "before_vm_strt", "before_vm_start")),
        Then::Runs,
    ),
    (
        |host| registration(host, "hooks.d/x.yml", "before_vm_start", ""),
        "not-a-registration",
        Runs,
        Then::Runs,
    ),
    (|host| good(host, "hooks.d/x.sh"), "not-a-registration", CommandForEvent, Then::Runs),
    (
        |host| registration(host, "hooks.d/x.yaml", "before_vm_start", "when: {name: \"G*\"}\n"),
        "no-such-guest",
        Words("correct `when`", |host| corrects(host, "G\\*", "g*")),
        Then::Runs,
    ),
    (|host| good(host, "qemu.d/G/prepare/begin/x"), "unknown-guest", Runs, Then::Runs),
    (|host| good(host, "qemu.d/g/prepar/begin/x"), "never-called", Runs, Then::Runs),
    (|host| good(host, "qemu.d/10-x"), "loose-executable", CommandForEvent, Then::Runs),
    (|host| good(host, "10-x.sh"), "misplaced-script", CommandForEvent, Then::Runs),
    (|host| good(host, "qemu.sh"), "misplaced-script", Runs, Then::Runs),
    (|host| good(host, "prepare/begin/10-x"), "misplaced-script", Runs, Then::Runs),
    (|host| good(host, "g/prepare/begin/10-x"), "misplaced-script", Runs, Then::Runs),
    (|host| good(host, "before_vm_start/more/10-x"), "subdirectory", Runs, Then::Runs),
    (|host| good(host, "before_vm_start/10-x.bak"), "left-behind", Runs, Then::IsGone),
    (
        |host| {
            good(host, HOOK);
            let text = host.read_text(&format!("hooks/{HOOK}"));
            host.file(HOOK, text.replace("echo", "virsh -v >&2; echo"));
        },
        "libvirt-call",
        Words("hookmux", |host| {
            run(host, &format!("mkdir -p hooks/bin && mv hooks/{HOOK} hooks/bin/later"), &[]);
            let words = "--event before_vm_start --mode detached";
            run(host, &format!("hookmux add script hooks/bin/later {words}"), &[]);
        }),
        Then::RunsLater,
    ),
];

/// Runs a line of a shell where hookmux is to be found.
#[track_caller]
fn run(host: &Host, line: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).current_dir(host.directory()).envs(environment.iter().copied());
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", host.path("tools").display());
    command.env_remove("VISUAL").env("PATH", path).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = {
        let _writing = writing();
        command.spawn().unwrap()
    };
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
}

/// A host whose guest is defined, and that has hookmux as an administrator calls it.
fn host() -> Host {
    let host = Host::new();
    fs::create_dir_all(host.path("qemu/networks")).unwrap();
    fs::write(host.path("qemu/g.xml"), "<domain><name>g</name></domain>").unwrap();
    let (binary, hooks) = (binary_under_test().display().to_string(), host.hooks());
    let text = format!("exec {binary} --hooks-dir {} \"$@\"", hooks.display());
    // an advised command names the hooks directory itself
    let text = format!("case $1 in --hooks-dir) exec {binary} \"$@\" ;; esac\n{text}");
    host.file(host.path("tools/hookmux"), format!("#!/bin/sh\n{text}\n"));
    host
}

/// The finding of a code.
fn finding(host: &Host, code: &str) -> Option<Value> {
    let answer = host.hookmux(&["check", "--output", "json"]);
    let said = crate::support::schema::read(&["check"], &answer.stdout);
    said["findings"].as_array().unwrap().iter().find(|one| one["code"] == code).cloned()
}

/// The guest's start, and whether the hook ran.
fn ran(host: &Host) -> bool {
    host.guest("prepare begin").run();
    host.log() == ["ran"]
}

#[test]
fn what_check_advises_makes_the_hook_run() {
    for (make, code, advice, then) in MISTAKES {
        let host = host();
        assert!(finding(&host, code).is_none(), "{code}");
        make(&host);
        let found = finding(&host, code).unwrap_or_else(|| panic!("{code} isn't found"));
        if *then == Then::Runs {
            assert!(!ran(&host), "{code}: it runs as it is");
        }
        let fix = found["fix"].as_str().unwrap();
        match advice {
            Runs => {
                let words = found["fix_command"].as_array().unwrap();
                let words: Vec<_> = words.iter().map(|word| word.as_str().unwrap()).collect();
                run(&host, &shlex::try_join(words).unwrap(), &[]);
            }
            CommandForEvent => {
                let (line, rest) = fix.split_once(" (").unwrap();
                assert!(line.contains(" EVENT") && rest.contains("events` shows"), "{fix}");
                run(&host, &line.replace("EVENT", "before_vm_start"), &[]);
            }
            Words(words, person) => {
                assert!(found["fix_command"].is_null() && fix.contains(words), "{fix}");
                person(&host);
            }
        }
        assert!(finding(&host, code).is_none(), "{code} is still found after: {fix}");
        match then {
            Then::Runs => assert!(ran(&host), "{code}: it doesn't run after: {fix}"),
            Then::RunsLater => {
                host.guest("prepare begin").run().succeeds();
                until("the detached hook has run", || host.read_text("log") == "ran\n");
            }
            Then::IsGone => assert!(!ran(&host), "{code}"),
        }
    }
}

#[test]
fn a_hook_of_somebody_elses_is_given_to_root_and_runs() {
    if !is_root() {
        return skip("only root can give a file away");
    }
    let host = host();
    good(&host, HOOK);
    std::os::unix::fs::lchown(host.hook(HOOK), Some(65534), None).unwrap();
    assert!(!ran(&host));
    let fix = finding(&host, "untrusted").unwrap();
    run(&host, fix["fix"].as_str().unwrap(), &[]);
    assert!(finding(&host, "untrusted").is_none());
    assert!(ran(&host));
}

/// What somebody has decided is no mistake that `check` could know of: `plan` says what it was.
#[test]
fn plan_says_what_was_decided() {
    type Decision = (fn(&Host), &'static str, fn(&Host));
    let decisions: &[Decision] = &[
        (
            |host| registration(host, "hooks.d/x.yaml", "before_vm_start", "when: {name: web}\n"),
            "when: name is g, not web",
            |host| corrects(host, "name: web", "name: g"),
        ),
        (
            |host| registration(host, "hooks.d/x.yaml", "before_vm_start", "enabled: false\n"),
            "disabled: `enabled: false` in its registration",
            |host| run(host, "hookmux enable x", &[]),
        ),
        (
            |host| {
                fs::create_dir(host.hook("before_vm_start")).unwrap();
                symlink("/dev/null", host.hook(HOOK)).unwrap();
                let root = host.path("more");
                good(host, root.join("before_vm_start/10-x").to_str().unwrap());
                let roots = format!("roots: [{}]", root.display());
                host.raw_settings(&host.private_settings().replace("roots: []", &roots));
            },
            "masked by ",
            |host| fs::remove_file(host.hook(HOOK)).unwrap(),
        ),
    ];
    for (decide, words, take_back) in decisions {
        let host = host();
        decide(&host);
        assert!(!ran(&host), "{words}");
        let said = host.text(&["plan", "qemu", "g", "prepare"], 0);
        assert!(said.contains(words), "{words}: {said}");
        take_back(&host);
        let said = host.text(&["plan", "qemu", "g", "prepare"], 0);
        assert!(!said.contains(words), "{words}: {said}");
        assert!(ran(&host), "{words}: {said}");
    }
}
