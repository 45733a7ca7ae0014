//! Completion in the shells themselves: bash, and zsh and fish where they are.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, skip};

/// A host with something of everything that can be completed.
fn host() -> Host {
    let host = Host::new();
    host.script("before_vm_start/10-first", ":").script("before_vm_start/$(touch pwned)", ":");
    host.file("hooks.d/guard.yaml", "events: [after_vm_stop]\ncommand: /bin/true\n");
    host.text(&["enable", "guard"], 0);
    host.file("../qemu/web1.xml", "<domain/>").file("../qemu/a b.xml", "<domain/>");
    host.file("../qemu/$(reboot).xml", "<domain/>");
    host.call("qemu", ["db", "prepare", "begin", "-"]).run();
    host
}

/// What the program itself offers for the last of these words.
fn offered(host: &Host, words: &[&str]) -> Vec<String> {
    let hooks = host.hooks();
    let words: Vec<&str> = [&["hookmux", "--hooks-dir", hooks.to_str().unwrap()], words].concat();
    let _writing = writing();
    let answer = Command::new(binary_under_test())
        .arg("--")
        .args(&words)
        .env("HOOKMUX_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_IFS", "\n")
        .current_dir(host.path(""))
        .output()
        .unwrap();
    assert!(answer.status.success() && answer.stderr.is_empty(), "{words:?}: {answer:?}");
    String::from_utf8(answer.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn words_of_the_host_are_offered() {
    let host = host();
    let log = host.json(&["log"], 0);
    let id = log["executions"][0]["id"].as_str().unwrap();
    for (words, some) in [
        (&["pl"][..], &["plan"][..]),
        (&["plan", "qe"], &["qemu"]),
        (&["plan", "qemu", "w"], &["web1"]),
        (&["plan", "qemu", "web1", "pre"], &["prepare"]),
        (&["list", "before_vm_st"], &["before_vm_start"]),
        (&["list", "--hook", "before_vm_start/"], &["before_vm_start/10-first"]),
        (&["log", "--event", "after_vm_st"], &["after_vm_stop"]),
        (&["log", "--guest", "d"], &["db"]),
        (&["show", "la"], &["last"]),
        (&["show", &id[..8]], &[id]),
        (&["show", "after_"], &["after_vm_stop/guard"]),
        (&["disable", "gu"], &["guard"]),
        (&["show", "--operation", "prep"], &["prepare"]),
        (&["retry", "--guest", "d"], &["db"]),
        (&["delete", ""], &["script", "module", "guard"]),
        (&["install", "--driver", "l"], &["lxc", "libxl"]),
        (&["run", "qemu", "web1", "prepare", "--origin", ""], &["fresh", "restore", "migration"]),
        (&["completions", ""], &["bash", "zsh", "fish"]),
        (&["log", "--output", ""], &["text", "json"]),
        (&["add", "sc"], &["script"]),
    ] {
        let offered = offered(&host, words);
        for word in some {
            assert!(offered.iter().any(|it| it == word), "{words:?}: {word} isn't in {offered:?}");
        }
    }
    // what lies beside registrations is none
    host.file("hooks.d/README", "").file("hooks.d/guard.yaml.bak", "");
    assert_eq!(offered(&host, &["enable", "g"]), ["guard"]);
    assert!(
        !offered(&host, &["enable", ""])
            .iter()
            .any(|word| word.contains("lock") || word == "README")
    );
    // the registry's lock is no registration
    assert!(host.hook("hooks.d/.lock").exists());
    assert!(offered(&host, &["enable", "."]).iter().all(|word| !word.starts_with('.')));
    let commands = offered(&host, &[""]);
    assert!(commands.len() > 15 && !commands.iter().any(|it| it == "worker"), "{commands:?}");
}

#[test]
fn a_name_that_a_shell_would_read_is_not_offered() {
    let host = host();
    for words in [&["plan", "qemu", ""][..], &["list", "--hook", ""], &["log", "--guest", ""]] {
        let offered = offered(&host, words);
        assert!(!offered.is_empty(), "{words:?}");
        let is_plain = |word: &String| !word.contains(['$', ' ', '(', '`', ';', '\'']);
        assert!(offered.iter().all(is_plain), "{words:?}: {offered:?}");
    }
}

#[test]
fn what_cannot_be_read_is_silent() {
    let host = Host::new();
    host.raw_settings("roots: [\n").file("hooks.d/a.yaml", ": :\n");
    offered(&host, &["list", "--hook", ""]);
    offered(&host, &["show", ""]);
    // the words of another hooks directory are those of that one
    let gone = host.path("gone").display().to_string();
    let words = ["--hooks-dir", &gone, "disable", ""];
    assert!(!offered(&host, &words).contains(&"a".to_owned()), "{words:?}");
    assert!(offered(&host, &["disable", ""]).contains(&"a".to_owned()));
}

/// The shell's script, in a file.
fn script(host: &Host, shell: &str) -> String {
    let script = host.text(&["completions", shell], 0);
    host.file(format!("../completion.{shell}"), &script);
    host.path(format!("completion.{shell}")).display().to_string()
}

/// Runs a shell that finds this hookmux in its PATH.
fn shell(host: &Host, program: &str, arguments: &[&str]) -> String {
    let bin = host.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    if !bin.join("hookmux").exists() {
        std::os::unix::fs::symlink(binary_under_test(), bin.join("hookmux")).unwrap();
    }
    let _writing = writing();
    let answer = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("HOOKMUX_HOOKS_DIR", host.hooks())
        .env("HOME", host.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&answer.stdout).into_owned() + &String::from_utf8_lossy(&answer.stderr)
}

fn is_there(program: &str) -> bool {
    ["/usr/bin", "/bin"].iter().any(|directory| Path::new(directory).join(program).exists())
}

#[test]
fn bash_completes() {
    let host = host();
    let file = script(&host, "bash");
    let ask = format!(
        "source {file}; COMP_WORDS=(hookmux plan qemu w); COMP_CWORD=3; COMP_TYPE=9; \
         _clap_complete_hookmux hookmux w qemu; printf '<%s>' \"${{COMPREPLY[@]}}\""
    );
    let said = shell(&host, "bash", &["--norc", "-c", &ask]);
    assert!(said.contains("<web1>"), "{said}");
}

#[test]
fn zsh_completes() {
    if !is_there("zsh") {
        return skip("there is no zsh");
    }
    let host = host();
    let file = script(&host, "zsh");
    // what the function hands to zsh
    let ask = format!(
        "function compdef {{ }}; function _describe {{ shift 2; print -l -- ${{(P)1}} }}; \
         function _default {{ }}; source {file}; words=(hookmux plan qemu w); CURRENT=4; \
         _clap_dynamic_completer_hookmux"
    );
    let said = shell(&host, "zsh", &["-f", "-c", &ask]);
    assert!(said.contains("web1"), "{said}");
    // as a file of fpath, asked for the first time
    let directory = host.path("functions");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(&file, directory.join("_hookmux")).unwrap();
    let ask = format!(
        "function compdef {{ }}; function _describe {{ shift 2; print -l -- ${{(P)1}} }}; \
         fpath=({}); autoload -Uz _hookmux; words=(hookmux plan qemu w); CURRENT=4; _hookmux",
        directory.display()
    );
    let said = shell(&host, "zsh", &["-f", "-c", &ask]);
    assert!(said.contains("web1"), "{said}");
}

#[test]
fn fish_completes() {
    if !is_there("fish") {
        return skip("there is no fish");
    }
    let host = host();
    let file = script(&host, "fish");
    let ask = format!("source {file}; complete --do-complete 'hookmux plan qemu w'");
    let said = shell(&host, "fish", &["--no-config", "-c", &ask]);
    assert!(said.lines().any(|line| line.starts_with("web1")), "{said}");
}
