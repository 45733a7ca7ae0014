//! What the README tells those who come from another hook system: each command that it names there is run, as it
//! stands there.

use std::fs;
use std::process::{Command, Output, Stdio};

use crate::contrib_hooks;
use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, schema};

/// The sections of "Coming from …" under their headings.
fn sections() -> Vec<(&'static str, &'static str)> {
    let page = include_str!("../README.md");
    let after = page.split_once("\n## Coming from …\n").unwrap().1;
    let (part, _) = after.split_once("\n## ").unwrap();
    part.split("\n### ").skip(1).map(|it| it.split_once('\n').unwrap()).collect()
}

/// The commands in a section: the lines of its `sh` blocks, and what stands in backquotes, but in the left column of
/// a table, which is the other system's.
fn commands(section: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = None;
    for line in section.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            block = if block.is_some() { None } else { Some(kind) };
            continue;
        }
        match block {
            Some("sh") => {
                let line = line.split_once(" #").map_or(line, |it| it.0);
                found.push(line.trim().to_owned());
            }
            Some(_) => {}
            None => {
                let ours = line
                    .strip_prefix("| ")
                    .map_or(line, |row| row.split_once(" | ").map_or("", |(_, ours)| ours));
                let quoted = ours.split('`').skip(1).step_by(2);
                found.extend(quoted.map(|it| it.replace("\\|", "|")));
            }
        }
    }
    let is_ours = |it: &str| {
        ["hookmux ", "sudo hookmux ", "mv "].iter().any(|command| it.starts_with(command))
    };
    found.retain(|it| is_ours(it));
    found
}

/// A host on which every word in capitals that the README uses is there: the script `PATH`, the registrations `HOOK`
/// and `NAME`, the module `NAME`, `FILE.yaml`, `FILE.tmpl`, `hooks.json`, two ready-made hooks, an execution, and the id of a registration.
struct Prepared {
    host: Host,
    execution: String,
    id: String,
}

impl Prepared {
    fn new(section: &str) -> Prepared {
        let host = Host::new();
        host.script("bin/fails", "[ -e \"$T/is-mended\" ] || { echo 'not yet' >&2; exit 1; }");
        let hook = "events: after_vm_launch\ncommand: bin/fails\n";
        host.file("hooks.d/HOOK.yaml", hook).mode("hooks/hooks.d/HOOK.yaml", 0o644);
        let prepared = Prepared { execution: String::new(), id: String::new(), host };
        let host = &prepared.host;
        host.guest("started begin").run();
        let executions = prepared.ask("hookmux log --output json");
        let log = schema::read(&["log"], &executions.stdout);
        let execution = log["executions"][0]["id"].as_str().unwrap().to_owned();
        fs::write(host.path("is-mended"), "").unwrap();

        let description =
            r#"{"category": "vm", "event": "start", "stage": "post", "hook": "HERE"}"#;
        let path = host.path("PATH");
        let description = description.replace("HERE", path.to_str().unwrap());
        host.script(&path, &format!("[ \"$1\" = --describe ] && echo '[{description}]'\ntrue"));
        let registration = "events: after_vm_launch\ncommand: /bin/true\n";
        host.file("hooks.d/NAME.yaml", registration).mode("hooks/hooks.d/NAME.yaml", 0o644);
        let other = "events: after_vm_stop\ncommand: /bin/true\n";
        fs::write(host.path("FILE.yaml"), other).unwrap();
        let template = "NAME = greet\nTYPE = state\nRESOURCE = VM\nON = RUNNING\nCOMMAND = /usr/bin/env\nARGUMENTS = true\n";
        fs::write(host.path("FILE.tmpl"), template).unwrap();
        host.file(
            "modules/NAME.py",
            "def describe():\n    return [{'category': 'vm', 'event': 'start', 'stage': 'post',\n        'hook': 'NAME.greet', 'exectype': 'module'}]\n\n\ndef greet(event):\n    return 1, 'done'\n",
        )
        .mode("hooks/modules/NAME.py", 0o644);
        for name in ["macspoof", "port-forward"] {
            contrib_hooks::copy_of(host, name);
        }
        let forwards = r#"{"g": {"private_ip": "10.0.0.1", "port_map": {"tcp": [8080]}}}"#;
        fs::write(host.path("hooks.json"), forwards).unwrap();
        if section.contains("--adopt") {
            fs::remove_file(host.hook("qemu")).unwrap();
            host.file("qemu", "#!/bin/sh\nexit 0\n");
        }
        let listed = prepared.ask("hookmux list --registered --output json");
        let listed = schema::read(&["list"], &listed.stdout);
        let id = listed["hooks"][0]["cpanel"]["id"].as_str().unwrap().to_owned();
        Prepared { execution, id, ..prepared }
    }

    /// Runs it in a shell, with `hookmux` and `sudo` at hand.
    fn ask(&self, command: &str) -> Output {
        let host = &self.host;
        let (binary, hooks) = (binary_under_test(), host.hooks());
        // in the background it has the shell's own process id, which is ended below
        let is_endless = command.starts_with("hookmux watch");
        let exec = if is_endless { "exec " } else { "" };
        let prelude = format!(
            "hookmux() {{ {exec}'{}' --hooks-dir '{}' \"$@\"; }}\nsudo() {{ \"$@\"; }}\n",
            binary.display(),
            hooks.display()
        );
        let words: Vec<&str> = command
            .split(' ')
            .map(|word| match word {
                "EXECUTION" => &self.execution,
                "ID" => &self.id,
                word => word,
            })
            .collect();
        let line = words.join(" ").replace("/etc/libvirt/hooks", &hooks.display().to_string());
        // the program under test isn't installed with its ready-made hooks
        let needs_hooks = line.contains(" contrib/") || line.contains(" import saschpe ");
        let line = if needs_hooks { format!("{line} --from ready") } else { line };
        // what never ends by itself is ended once it has begun
        let line = if is_endless {
            format!("{line} & sleep 1; kill $! 2> /dev/null && exit 0; wait $!")
        } else {
            line
        };
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{prelude}{line}")]);
        shell.current_dir(host.directory()).stdin(Stdio::null());
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = {
            let _writing = writing();
            shell.spawn().unwrap()
        };
        child.wait_with_output().unwrap()
    }
}

#[test]
fn every_command_named_there_does_what_it_says() {
    let mut count = 0;
    for (heading, section) in sections() {
        for command in commands(section) {
            let prepared = Prepared::new(section);
            // what is to be deleted was added in the same words
            if command.contains("delete script ") || command.contains("delete module ") {
                let added = prepared.ask(&command.replace("delete", "add"));
                assert!(added.status.success(), "{added:?}");
            }
            let output = prepared.ask(&command);
            // a check of a private hooks directory may well find something
            let is_fine = output.status.success()
                || (command.starts_with("hookmux check") && output.status.code() == Some(1));
            assert!(is_fine, "{heading}: {command}: {output:?}");
            count += 1;
        }
    }
    assert!(count > 40, "only {count} commands were found");
}
