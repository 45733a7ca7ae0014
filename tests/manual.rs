//! Man pages, help, and the page of an event: made from the program's tables, so they hold what those hold.

use std::collections::BTreeSet;
use std::fs;

use crate::support::Host;

fn pages(host: &Host) -> Vec<(String, String)> {
    host.text(&["man", "pages"], 0);
    let entries = fs::read_dir(host.path("pages")).unwrap().flatten();
    let text = |name: &str| {
        // without troff's own marks
        let page = host.read_text(&format!("pages/{name}"));
        page.replace("\\fB", "")
            .replace("\\fI", "")
            .replace("\\fR", "")
            .replace("\\-", "-")
            .replace("\\.", ".")
    };
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let text = text(&name);
            (name, text)
        })
        .collect()
}

#[test]
fn there_are_pages_for_commands_files_and_conventions() {
    let host = Host::new();
    let pages = pages(&host);
    let page = |name: &str| {
        let found = pages.iter().find(|(page, _)| page == name);
        found.unwrap_or_else(|| panic!("there is no {name}")).1.as_str()
    };
    for section in ["EXAMPLES", "FILES", "ENVIRONMENT", "EXIT STATUS", "SEE ALSO"] {
        assert!(
            page("hookmux.8").contains(&format!(".SH {section}"))
                || page("hookmux.8").contains(&format!(".SH \"{section}\"")),
            "{section}"
        );
    }
    for (name, words) in [
        ("hookmux.yaml.5", &["custom_properties", "retention.per_guest", "Default: 120s"][..]),
        (
            "hookmux-registration.5",
            &["on_failure", "when.property", "run_as.user", "undo", "since 0.2.0"],
        ),
        (
            "hookmux-events.7",
            &["before_vm_start", "after_network_port_delete", "class gate", "libvirt 1.2.9"],
        ),
        ("hookmux-hooks.7", &["HOOKMUX_EXECUTION", "_hook_domxml", "hookmux xml get"]),
        (
            "hookmux-log.8",
            &[
                ".SH SYNOPSIS\n.PP\nhookmux log [OPTIONS] [EVENT|CALL]...\n",
                ".SH EXAMPLES\n.TP\nhookmux log --failed",
                ".SH \"SEE ALSO\"",
            ],
        ),
        ("hookmux-plan.8", &["hookmux plan [OPTIONS] <GUEST|DRIVER> "]),
    ] {
        for word in words {
            assert!(page(name).contains(word), "{name}: {word}\n{}", page(name));
        }
    }
    // a page that is named is there, or another program's
    let names: BTreeSet<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    for (name, text) in &pages {
        let see = text.split("SEE ALSO").nth(1).unwrap_or_default();
        for word in see.split([' ', ',', '\n']).filter(|word| word.starts_with("hookmux")) {
            let file = word.replace('(', ".").replace(')', "");
            assert!(names.contains(file.as_str()), "{name} names {word}");
        }
    }
}

#[test]
fn the_hooks_page_names_every_variable_that_a_hook_gets() {
    let host = Host::new();
    let seen = host.path("seen");
    host.script("before_vm_start/10-x", &format!("env | sed 's/=.*//' > '{}'", seen.display()));
    host.guest("prepare begin").run();
    let told = pages(&host).into_iter().find(|(name, _)| name == "hookmux-hooks.7").unwrap().1;
    let seen = host.read_text("seen");
    assert!(seen.contains("HOOKMUX_EXECUTION"), "{seen}");
    for name in seen.lines().filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name)) {
        let known = if name.starts_with("HOOKMUX_PROPERTY_") { "HOOKMUX_PROPERTY_" } else { name };
        assert!(told.contains(known), "{name} isn't in hookmux-hooks(7)\n{told}");
    }
}

#[test]
fn an_event_has_a_page() {
    let host = Host::new();
    let page = host.text(&["events", "before_vm_start"], 0);
    for words in [
        "prepare",
        "class gate",
        "a failure stops the operation",
        "HOOKMUX_ORIGIN",
        "before_vm_start/10-",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    assert!(!page.contains("HOOKMUX_REASON") && !page.contains("HOOKMUX_UNDO"), "{page}");
    assert!(
        host.text(&["events", "before_vm_migrate_destination"], 0)
            .contains("libvirt takes the result")
    );
    assert!(!host.text(&["events", "before_daemon_start"], 0).contains("HOOKMUX_UUID"));
    let said = host.text(&["events", "before_vm_strt"], 2);
    assert!(said.contains("did you mean before_vm_start?"), "{said}");
    let said = host.text(&["events", "nope"], 2);
    assert!(said.contains("there is no event `nope`; `hookmux events` shows all"), "{said}");
    // what a class means is said in the same words everywhere
    for (event, operation) in [
        ("before_vm_start", "prepare"),
        ("after_vm_start", "started"),
        ("after_vm_stop", "stopped"),
    ] {
        let page = host.text(&["events", event], 0);
        let line = page.lines().find(|line| {
            ["  gate: ", "  live: ", "  notify: "].iter().any(|class| line.starts_with(class))
        });
        let line = line.unwrap_or_else(|| panic!("no class in\n{page}"));
        let plan = host.text(&["plan", "qemu", "g", operation, "--unknown"], 0);
        assert!(plan.contains(&format!("{line}; ")), "{line} is missing in\n{plan}");
        let all = host.text(&["events"], 0);
        assert!(all.contains(&format!("{}.", line.trim())), "{line} is missing in\n{all}");
    }
    let one = host.json(&["events", "after_vm_stop"], 0);
    assert_eq!(one["events"].as_array().unwrap().len(), 1, "{one:#}");
    // vdsm's points are for those who ask
    assert!(!host.text(&["events"], 0).contains("VDSM"));
    assert!(host.text(&["events", "--vdsm"], 0).contains("VDSM"));
}

#[test]
fn help_has_groups_and_examples() {
    let host = Host::new();
    for words in [&["help"][..], &["--help"]] {
        let help = host.text(words, 0);
        for words in [
            "Look:\n  status ",
            "Change hooks:\n",
            "Act:\n",
            "Install:\n",
            "Examples:\n",
            "--hooks-dir",
        ] {
            assert!(help.contains(words), "{words}\n{help}");
        }
        assert!(!help.contains("worker"), "{help}");
    }
    for command in ["list", "plan", "log", "add", "bypass", "install"] {
        for words in [&[command, "--help"][..], &["help", command], &[command, "-h"]] {
            let help = host.text(words, 0);
            assert!(help.contains(&format!("Examples:\n  hookmux {command}")), "{help}");
        }
    }
}
