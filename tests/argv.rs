//! Called as a driver, hookmux takes arguments as positions, never as options. (L1, L2)

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::support::Host;
use crate::support::host::{DRIVERS, binary_under_test};

/// Logs each argument as `<argument>`, and nothing between.
const LOG_ARGUMENTS: &str = r#"for argument; do printf '<%s>' "$argument" >>"$T/log"; done"#;

/// Names of guests that an option parser, a shell or a path would take for something else.
pub fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "--help",
        "--version",
        "-x",
        "--",
        "--hooks-dir=/",
        "a;touch hookmux-was-here;b",
        "$(touch hookmux-was-here)",
        "`touch hookmux-was-here`",
        " lead",
        "*",
        "..x",
        "..",
        ".",
        "",
        "a\nb",
        "../../outside",
        "a/b",
        "\u{fc}ml\u{e4}ut-\u{65e5}\u{672c}",
        "%s%n{}\\x\"'",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into();
    names.push(vec![b'n'; 200]);
    names.push(b"caf\xe9\xff".to_vec());
    names
}

fn arguments(words: &[&[u8]]) -> Vec<u8> {
    words.iter().flat_map(|word| [b"<", *word, b">"].concat()).collect()
}

// L2
#[test]
fn a_guest_may_be_called_anything() {
    let host = Host::new();
    host.script("qemu.adopted", LOG_ARGUMENTS);
    host.script(
        "before_vm_start/10-x",
        r#"printf '%s<%s>' "$#" "$HOOKMUX_OBJECT" >>"$T/log-vdsm""#,
    );
    for name in odd_names() {
        let seen = OsStr::from_bytes(&name);
        host.call("qemu", [seen, OsStr::new("prepare"), OsStr::new("begin"), OsStr::new("-")])
            .run()
            .succeeds();
        let shown = String::from_utf8_lossy(&name);
        assert_eq!(host.log_bytes(), arguments(&[&name, b"prepare", b"begin", b"-"]), "{shown:?}");
        let vdsm = [b"0<", &name[..], b">"].concat();
        assert_eq!(host.read("log-vdsm"), vdsm, "{shown:?} reaches no option parser");
        fs::remove_file(host.path("log-vdsm")).unwrap();
    }
}

// P1
#[test]
fn in_the_tree_a_guests_name_is_one_component_compared_as_a_whole() {
    let host = Host::new();
    for name in odd_names() {
        let component = OsStr::from_bytes(&name);
        if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
            continue;
        }
        let place = Path::new("qemu.d").join(component).join("prepare/begin/10-x");
        host.script(place, LOG_ARGUMENTS);
        host.call("qemu", [component, OsStr::new("prepare"), OsStr::new("begin"), OsStr::new("-")])
            .run()
            .succeeds();
        assert_eq!(host.log_bytes(), arguments(&[&name, b"prepare", b"begin", b"-"]));
    }
}

// P1
#[test]
fn a_name_that_is_no_component_matches_nothing_in_the_tree() {
    let host = Host::new();
    // what `qemu.d/<name>/prepare/begin` would lead to
    host.follow(&[
        "prepare/begin/10-x",
        "qemu.d/prepare/begin/10-x",
        "a/b/prepare/begin/10-x",
        "qemu.d/a/b/prepare/begin/10-x",
        "qemu.d/g/prepare/begin/10-x",
    ]);
    for name in ["..", ".", "", "a/b", "/", "../qemu.d/g", "./g", "g/", "/g", "G", "g ", "?", "[g]"]
    {
        host.call("qemu", [name, "prepare", "begin", "-"]).run().succeeds();
        assert_eq!(host.log(), [""; 0], "{name:?}");
    }
    for words in [
        ["g", "prepare/begin", "..", "-"],
        ["g", "../g/prepare", "begin", "-"],
        ["g", "prepare", "./begin", "-"],
        ["g", "prepare", "../prepare/begin", "-"],
    ] {
        host.call("qemu", words).run();
        assert_eq!(host.log(), [""; 0], "{words:?}");
    }
}

#[test]
fn no_name_makes_a_file_anywhere_but_in_the_state() {
    let host = Host::new();
    host.script("before_vm_start/10-x", ":").script("after_vm_start/10-x", ":");
    let before = host.everything();
    for name in odd_names() {
        for operation in ["restore", "prepare", "started", "reconnect", "release"] {
            let name = OsStr::from_bytes(&name);
            let words = [name, OsStr::new(operation), OsStr::new("begin"), OsStr::new("-")];
            // without a document the name itself is the key
            host.call("qemu", words).stdin("").run().succeeds();
        }
    }
    for path in host.everything() {
        if before.contains(&path) {
            continue;
        }
        let inside = path.strip_prefix(host.path("")).unwrap().to_str().unwrap().to_owned();
        let is_plain = inside.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._".contains(&b));
        let is_state = inside.starts_with("run/") || inside.starts_with("state/");
        assert!(is_plain && is_state && !inside.contains(".."), "{inside}");
    }
    assert!(!Path::new("/hookmux-was-here").exists());
}

// L2
#[test]
fn any_number_of_arguments_is_survived_and_handed_on() {
    let host = Host::new();
    let words = ["--help", "prepare", "begin", "-"];
    for driver in DRIVERS {
        host.script(format!("{driver}.adopted"), LOG_ARGUMENTS);
        let counts: &[usize] =
            if driver == "qemu" { &[0, 1, 2, 3, 4, 5, 6, 10, 20] } else { &[0, 1, 4, 20] };
        for &count in counts {
            let words: Vec<&str> =
                words.iter().copied().chain(["--more"; 16]).take(count).collect();
            host.call(driver, &words).run().succeeds();
            let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            assert_eq!(host.log_bytes(), arguments(&bytes), "{driver} {count}");
        }
    }
}

#[test]
fn a_megabyte_of_arguments_is_survived() {
    let host = Host::new();
    host.script("qemu.adopted", r#"log $# $(printf %s "$@" | wc -c)"#);
    let long = "x".repeat(128 * 1024 - 1);
    let mut words = vec!["g", "started", "begin", "-"];
    words.extend([long.as_str(); 8]);
    host.call("qemu", &words).run().succeeds();
    assert_eq!(host.log(), [format!("12 {}", 14 + 8 * long.len())]);

    // as a variable it is more than the kernel takes: the hook fails, hookmux doesn't
    host.follow(&["before_vm_prepare/10-x", "after_vm_launch/10-x", "after_vm_stop/10-x"]);
    for (operation, sub) in [("prepare", "begin"), ("started", "begin"), ("stopped", "end")] {
        let answer = host.call("qemu", [long.as_str(), operation, sub, "-"]).run();
        assert!(answer.status.is_some() && answer.stdout.is_empty(), "{operation}");
        assert!(answer.stderr.len() <= 4096, "{operation}");
    }
}

// P1
#[test]
fn a_name_longer_than_a_files_may_be_is_in_no_tree() {
    let host = Host::new();
    host.follow(&["before_vm_prepare/10-x", "before_network_start/10-x"]);
    // the trees are there
    host.script("qemu.d/g/prepare/begin/10-x", "exit 9")
        .script("network.d/n/start/begin/10-x", "exit 9");
    let name = "n".repeat(300);
    host.call("qemu", [name.as_str(), "prepare", "begin", "-"]).run().succeeds();
    host.call("network", [name.as_str(), "start", "begin", "-"]).run().succeeds();
    assert_eq!(host.log(), ["before_vm_prepare/10-x", "before_network_start/10-x"]);
}

// V9
#[test]
fn an_unknown_operation_has_an_event_of_its_own_and_is_live() {
    let host = Host::new();
    for (driver, operation) in
        [("qemu", "paused"), ("network", "port-renamed"), ("daemon", "rest2"), ("bhyve", "x")]
    {
        let event = format!("on_{driver}_{operation}");
        host.script(
            format!("{event}/10-x"),
            "echo '<domain><name>g</name></domain>'; log \"$HOOKMUX_EVENT\" \"$HOOKMUX_OPERATION\"; exit 3",
        );
        for sub in ["begin", "end", "-", "whatever"] {
            host.call(driver, ["g", operation, sub, "-"]).run().succeeds();
            assert_eq!(host.log(), [format!("{event} {operation}")], "{driver} {operation} {sub}");
        }
    }
    // a known operation at another moment is another event
    host.follow(&["on_qemu_migrate/10-x", "before_vm_migrate_destination/10-x"]);
    host.guest("migrate end").run().succeeds();
    assert_eq!(host.log(), ["on_qemu_migrate/10-x"]);
}

// V9
#[test]
fn an_operation_that_is_no_plain_word_has_no_event() {
    let host = Host::new();
    for odd in ["", "-", "..", ".", "A", "2a", "a_b", "a b", "a\n", "\u{e4}", "-a", "a.b", "*"] {
        host.follow(&[&format!("on_qemu_{odd}/10-x")]);
        host.call("qemu", ["g", odd, "begin", "-"]).run().succeeds();
    }
    host.follow(&["on_qemu_/x/10-x", "x/10-x"]);
    for odd in ["/x", "../x", "../../x", "/../x"] {
        host.call("qemu", ["g", odd, "begin", "-"]).run().succeeds();
    }
    let raw = OsStr::from_bytes(b"\xff\xfe");
    host.call("qemu", [OsStr::new("g"), raw, raw, raw]).run().succeeds();
    assert_eq!(host.log(), [""; 0]);
}

#[test]
fn the_hooks_directory_is_that_of_argv0_with_links_not_resolved() {
    let host = Host::new();
    host.script("before_vm_prepare/10-x", r#"log "$HOOKMUX_HOOKS_DIR""#);
    let hooks = host.hooks();
    let hooks = hooks.to_str().unwrap();
    for (program, directory, expected) in [
        (format!("{hooks}/qemu"), "/", hooks.to_owned()),
        ("./qemu".to_owned(), hooks, hooks.to_owned()),
        ("hooks/qemu".to_owned(), host.path("").to_str().unwrap(), hooks.to_owned()),
    ] {
        host.guest("prepare begin").called(&program, directory).run().succeeds();
        assert_eq!(host.log(), [expected], "{program}");
    }
    std::os::unix::fs::symlink(hooks, host.path("elsewhere")).unwrap();
    let elsewhere = host.path("elsewhere").to_str().unwrap().to_owned();
    let program = format!("{elsewhere}/qemu");
    host.guest("prepare begin").called(&program, "/").run().succeeds();
    assert_eq!(host.log(), [elsewhere]);
}

#[test]
fn the_binary_itself_may_lie_in_the_links_place() {
    let host = Host::new();
    let bytes = fs::read(binary_under_test()).unwrap();
    fs::remove_file(host.hook("lxc")).unwrap();
    host.file("lxc", bytes).follow(&["before_vm_prepare/10-x"]);
    host.call("lxc", ["g", "prepare", "begin", "-"]).run().succeeds();
    assert_eq!(host.log(), ["before_vm_prepare/10-x"]);
}

// L8
#[test]
fn beside_somebody_elses_main_script_hookmux_answers_from_the_drivers_directory() {
    let host = Host::new();
    host.follow(&["before_vm_prepare/10-x", "qemu.d/g/prepare/begin/10-x"]);
    host.link(binary_under_test(), "qemu.d/50-hookmux");
    let call = || host.call("qemu.d/50-hookmux", ["g", "prepare", "begin", "-"]);

    // the main link is hookmux too: it has answered already
    call().run().succeeds();
    assert_eq!(host.log(), [""; 0]);

    let both = ["before_vm_prepare/10-x", "qemu.d/g/prepare/begin/10-x"];
    fs::remove_file(host.hook("qemu")).unwrap();
    call().run().succeeds();
    assert_eq!(host.log(), both, "without a main script");

    host.script("qemu", "exit 0");
    call().run().succeeds();
    assert_eq!(host.log(), both, "beside a script that doesn't mention the tree");

    host.script("qemu", "for script in \"$0.d/$1/$2/$3\"/*; do :; done # qemu.d");
    call().run().succeeds();
    assert_eq!(host.log(), ["before_vm_prepare/10-x"], "the script runs the tree itself");
}

// L8: no script runs twice
#[test]
fn beside_a_main_script_that_is_a_copy_of_the_binary_nothing_is_answered_twice() {
    let host = Host::new();
    let bytes = fs::read(binary_under_test()).unwrap();
    fs::remove_file(host.hook("qemu")).unwrap();
    host.file("qemu", &bytes).file("qemu.d/50-hookmux", &bytes);
    host.follow(&["before_vm_prepare/10-x"]);
    host.guest("prepare begin").run().succeeds();
    host.call("qemu.d/50-hookmux", ["g", "prepare", "begin", "-"]).run().succeeds();
    assert_eq!(host.log(), ["before_vm_prepare/10-x"], "once");
}

#[test]
fn a_guest_of_the_same_name_as_the_link_beside_has_no_tree() {
    let host = Host::new();
    fs::remove_file(host.hook("qemu")).unwrap();
    host.link(binary_under_test(), "qemu.d/50-hookmux").follow(&["before_vm_prepare/10-x"]);
    let words: Vec<OsString> = ["50-hookmux", "prepare", "begin", "-"].map(Into::into).into();
    host.call("qemu.d/50-hookmux", words).run().succeeds();
    assert_eq!(host.log(), ["before_vm_prepare/10-x"]);
}
