//! What goes wrong is found, told and kept, and the input that shows it shows it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs the program with a directory for what it finds.
fn run(findings: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hookmux-fuzz"))
        .arg("--findings")
        .arg(findings)
        .args(arguments)
        .arg("--tree")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs one of the targets that go wrong on purpose: what it says, and what it keeps.
fn find(name: &str, more: &[&str]) -> (String, Vec<PathBuf>, tempfile::TempDir) {
    let findings = tempfile::tempdir().unwrap();
    let arguments = ["--target", name, "--inputs", "300", "--seed", "5"];
    let output = run(findings.path(), &[&arguments[..], more].concat());
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let mut kept: Vec<PathBuf> =
        fs::read_dir(findings.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    kept.sort();
    assert!(!kept.is_empty(), "{said}");
    assert!(said.contains("alone: make fuzz REPLAY="), "{said}");
    (said, kept, findings)
}

#[test]
fn where_nothing_is_wrong_nothing_is_found() {
    let findings = tempfile::tempdir().unwrap();
    let output = run(findings.path(), &["--target", "selftest_fine", "--inputs", "300"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(fs::read_dir(findings.path()).unwrap().count(), 0);
}

#[test]
fn disagreements_and_panics_are_found_and_made_short() {
    for (name, words) in [
        ("selftest_wrong", "disagreement: wrong on purpose"),
        ("selftest_panic", "panic: at src/targets/selftest.rs"),
    ] {
        let (said, kept, findings) = find(name, &[]);
        assert!(said.contains(words), "{said}");
        assert_eq!(fs::read(&kept[0]).unwrap(), b"BAD");
        let output = run(findings.path(), &["--replay", kept[0].to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains(words), "{}", text(&output));
    }
}

#[test]
fn the_death_of_a_worker_is_found_and_the_work_goes_on() {
    for name in ["selftest_abort", "selftest_stack", "selftest_memory"] {
        let (said, kept, findings) = find(name, &[]);
        assert!(said.contains("death: signal 6 ended the process"), "{said}");
        assert!(said.contains("given up after 3 such inputs"), "{said}");
        let replayed = run(findings.path(), &["--replay", kept[0].to_str().unwrap()]);
        assert!(text(&replayed).contains("death: signal 6"), "{}", text(&replayed));
    }
}

#[test]
fn what_does_not_end_is_ended() {
    let (said, kept, _findings) = find("selftest_loop", &["--limit", "500ms"]);
    assert!(said.contains("endless: an input took more than 500ms"), "{said}");
    assert!(kept[0].to_str().unwrap().contains("selftest_loop-endless-"));
}

#[test]
fn time_that_grows_faster_than_the_input_is_found() {
    let (said, kept, findings) = find("selftest_square", &[]);
    assert!(said.contains("growth: the time grows much faster"), "{said}");
    let output = run(findings.path(), &["--replay", kept[0].to_str().unwrap()]);
    assert!(text(&output).contains("growth: "), "{}", text(&output));
}

#[test]
fn the_same_seed_finds_the_same() {
    let (one, ..) = find("selftest_wrong", &[]);
    let (other, ..) = find("selftest_wrong", &[]);
    let inputs = |said: &str| -> Vec<String> {
        let lines = said.lines().filter(|line| line.contains("of seed"));
        lines.map(|line| line.split(';').next().unwrap().to_owned()).collect()
    };
    assert_eq!(inputs(&one), inputs(&other));
    assert!(!inputs(&one).is_empty());
}

#[test]
fn what_is_no_option_is_told() {
    let findings = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["--target", "nothing"][..], "there is no target nothing"),
        (&["--time", "soon"], "`soon` is no time"),
        (&["--inputs", "many"], "`many` is no number"),
        (&["--what", "x"], "there is no --what"),
    ] {
        let output = run(findings.path(), arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{arguments:?}");
    }
}
