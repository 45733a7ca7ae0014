//! One rule of exit statuses over all commands, as docs/exit-status.md has it.

use std::collections::BTreeSet;
use std::fs;

use crate::support::Host;

/// What is wrong with a command, and the status for it.
const TABLE: &[(&str, i32)] = &[
    // done, or nothing to do
    ("", 0),
    ("list", 0),
    ("list before_vm_start", 0),
    ("list before_network_start", 0),
    ("list --hook 10-good", 0),
    ("list --available --from ready", 0),
    ("list --guests", 0),
    ("events", 0),
    ("plan qemu g stopped", 0),
    ("run network net start", 0),
    ("check --entries", 0),
    ("check --for 0.2.0", 0),
    ("log", 0),
    ("log --guest nobody", 0),
    ("log --hook nothing", 0),
    ("log --audit", 0),
    ("show last", 0),
    ("prune", 0),
    ("bypass", 0),
    ("bypass off", 0),
    ("bypass off --guest nobody", 0),
    ("queue", 0),
    ("queue --work", 0),
    ("queue --flush --yes", 0),
    ("queue --flush guard", 0),
    ("queue --requeue", 0),
    ("queue --requeue guard", 0),
    ("undo", 0),
    ("undo --list", 0),
    ("undo --list --guest nobody", 0),
    ("metrics", 0),
    ("status", 0),
    ("status --nothing", 2),
    ("new after_vm_stop skeleton --dry-run", 0),
    ("new before_vm_strt skeleton", 2),
    ("new before_vm_start skeleton --when nosuch=x", 2),
    ("log -n x", 2),
    ("stop --help", 0),
    ("stop nothing --yes", 1),
    ("stop", 2),
    ("schema", 0),
    ("schema list", 0),
    ("completions bash", 0),
    ("man", 0),
    ("help", 0),
    ("help --all", 0),
    ("fullhelp", 0),
    ("--version", 0),
    ("list --help", 0),
    ("add script hooks/bin/x --event after_vm_stop --dry-run", 0),
    ("add contrib/port-forward --from ready --dry-run", 0),
    ("delete guard --dry-run", 0),
    ("delete nothing --ignore-missing", 0),
    ("delete script /nothing --ignore-missing", 0),
    ("delete module nothing --ignore-missing", 0),
    ("export out --dry-run", 0),
    ("add hooks/bin/x --event after_vm_stop --dry-run", 0),
    ("export --help", 0),
    ("add guard.yaml bad.yaml --help", 0),
    ("disable guard --dry-run", 0),
    ("enable guard --dry-run", 0),
    ("install --dry-run", 0),
    ("uninstall --dry-run", 0),
    ("xml get --file guest.xml name", 0),
    ("check guard.yaml", 0),
    ("edit --help", 0),
    ("demo --help", 0),
    ("watch --help", 0),
    ("import --help", 0),
    ("retry --help", 0),
    // a problem, or something of this host that isn't there
    ("list --hook nothing", 1),
    ("plan qemu g start --xml /nothing", 1),
    ("plan qemu g prepare", 1),
    ("run qemu g prepare", 1),
    ("run qemu g start --xml /nothing", 1),
    ("check", 1),
    ("check bad.yaml", 1),
    ("check nothing.yaml", 1),
    ("edit nothing", 1),
    ("add script /nothing --event before_vm_start", 1),
    ("add script hooks/plain --event before_vm_start", 1),
    ("add nothing.yaml", 1),
    ("add bad.yaml", 1),
    ("add guard.yaml", 1),
    ("add bad.yaml guard.yaml", 1),
    ("add ready", 1),
    ("add /nowhere/directory", 1),
    ("add ready/ /nowhere", 1),
    ("add hooks/bin/x", 1),
    ("export guard.yaml/out", 1),
    ("metrics --write nowhere/out.prom", 1),
    ("check nothing.yaml guard.yaml", 1),
    ("export out nothing", 1),
    ("export hooks/out", 1),
    ("add contrib/nothing --from ready", 1),
    ("import opennebula nothing", 1),
    ("import opennebula guard.yaml", 1),
    ("import saschpe nothing --from ready", 1),
    ("delete nothing", 1),
    ("delete script /nothing", 1),
    ("delete module nothing", 1),
    ("enable nothing", 1),
    ("disable nothing guard --dry-run", 1),
    ("queue --flush zz", 1),
    ("queue --requeue zz", 1),
    ("undo --guest nobody", 1),
    ("show nothing", 1),
    ("show last nothing", 1),
    ("retry nothing", 1),
    ("retry last --hook nothing", 1),
    ("xml get --file guest.xml nothing", 1),
    ("delete guard --dry-run --diff", 1),
    ("disable guard --dry-run --diff", 1),
    ("add script hooks/bin/x --event after_vm_stop --dry-run --diff", 1),
    // wrong usage
    ("nothing", 2),
    ("list --nothing", 2),
    ("list before_vm_strt", 2),
    ("list --registered before_vm_strt", 2),
    ("list --available before_vm_start", 2),
    ("list --guests before_vm_start", 2),
    ("events --nothing", 2),
    ("plan kvm g prepare", 2),
    ("plan qemu g prepare --origin odd", 2),
    ("run kvm g prepare", 2),
    ("run", 2),
    ("run --remote", 2),
    ("run --remote no-event.json", 1),
    ("run --remote guest.xml", 2),
    ("run --remote - qemu g started", 2),
    ("check guard.yaml bad.yaml --name x", 2),
    ("check --as odd guard.yaml", 2),
    ("check guard.yaml --name ../x", 2),
    ("check guard.yaml --name /x", 2),
    ("metrics --write out.txt", 2),
    ("metrics --write /", 2),
    ("add hooks/bin/x --event before_vm_strt", 2),
    ("edit guard --settings", 2),
    ("check --for 9", 2),
    ("check --for 0.1.0 --entries", 2),
    ("log before_vm_strt", 2),
    ("log --event before_vm_strt", 2),
    ("log qemu/strt", 2),
    ("log qmu/start", 2),
    ("log qemu/prepare/begin/x", 2),
    ("log before_vm_start/10-good", 2),
    ("log --operation strt", 2),
    ("log --driver kvm", 2),
    ("log --since odd", 2),
    ("log -n many", 2),
    ("watch before_vm_strt", 2),
    ("watch --event before_vm_strt", 2),
    ("show", 2),
    ("retry", 2),
    ("prune --nothing", 2),
    ("bypass maybe", 2),
    ("bypass on", 2),
    ("bypass on --for odd", 2),
    ("bypass on --for 31d", 2),
    ("bypass on --for 0", 2),
    ("bypass off --for 1h", 2),
    ("bypass off --this-boot", 2),
    ("bypass on --for 1h --guest 3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a901", 2),
    ("bypass --dry-run", 2),
    ("queue --flush", 2),
    ("queue --flush --work", 2),
    ("queue --reason why", 2),
    ("queue --dry-run", 2),
    ("undo --list --yes", 2),
    ("undo --list --dry-run", 2),
    ("metrics --nothing", 2),
    ("schema nothing", 2),
    ("completions nothing", 2),
    ("man one two", 2),
    ("help nothing", 2),
    ("fullhelp --nothing", 2),
    ("demo --nothing", 2),
    ("xml get", 2),
    ("xml get a[", 2),
    ("xml get --file /nothing name", 2),
    ("add scrpt x", 2),
    ("add script", 2),
    ("add script hooks/bin/x --name new", 2),
    ("add script hooks/bin/x --event before_vm_strt", 2),
    ("add script hooks/bin/x --event start", 2),
    ("add script hooks/bin/x --event start --category vm --stage late", 2),
    ("add script hooks/bin/x --event start --category guest --stage pre", 2),
    ("add script hooks/bin/x --event before_vm_start --on-failure explode", 2),
    ("add script hooks/bin/x --event before_vm_start --mode late", 2),
    ("add script hooks/bin/x --event before_vm_start --timeout odd", 2),
    ("add script hooks/bin/x --event before_vm_start --when nmae=x", 2),
    ("add script hooks/bin/x --event before_vm_start --when name", 2),
    ("add script hooks/bin/x --event before_vm_start --weight heavy", 2),
    ("add script hooks/bin/x --event before_vm_start --name a/b", 2),
    ("add script hooks/bin/x --event before_vm_start --args $NAM", 2),
    ("add guard.yaml --name a/b", 2),
    ("add guard.yaml bad.yaml --name x", 2),
    ("add script hooks/bin/x hooks/bin/x --event before_vm_start", 2),
    ("export", 2),
    ("add guard.yaml --event before_vm_start", 2),
    ("add - ", 2),
    ("import nothing x", 2),
    ("import opennebula guard.yaml --event before_vm_strt", 2),
    ("import opennebula guard.yaml --event kvm/start", 2),
    ("delete script", 2),
    ("delete script hooks/bin/x --event before_vm_strt", 2),
    ("delete guard --event before_vm_start", 2),
    ("enable", 2),
    ("disable", 2),
    ("disable guard --reason ", 2),
    ("install --driver kvm", 2),
    ("install --reload --reload-timeout 0", 2),
    ("install --reload-timeout 3s", 2),
    ("install --adopt --beside", 2),
    ("uninstall --driver kvm", 2),
    ("uninstall --purge", 2),
];

fn host() -> Host {
    let host = Host::new();
    host.script("before_vm_prepare/10-good", ":").script("bin/x", ":");
    host.script("before_vm_start/10-bad", "exit 3").script("before_vm_start/20-missing", ":");
    host.file("before_vm_start/20-missing", "#!/nothing\n");
    host.file("plain", "text").mode("hooks/plain", 0o644);
    let guard = "events: before_vm_launch\ncommand: /bin/true\nenabled: true\nweight: 1\n";
    host.file("hooks.d/guard.yaml", guard);
    host.file("../guard.yaml", guard.replace("weight: 1", "weight: 2"));
    host.file("../bad.yaml", "events: before_vm_strt\ncommand: /bin/true\n");
    let ready = host.path("ready/port-forward");
    host.file(ready.join("port-forward.yaml"), "events: before_vm_start\ncommand: x\nweight: 1\n");
    host.script(ready.join("x"), ":");
    host.guest("prepare begin").run().status.unwrap();
    host
}

/// The words of a line; one that ends with a blank has an empty last word.
fn words(line: &str) -> Vec<&str> {
    if line.is_empty() { Vec::new() } else { line.split(' ').collect() }
}

#[test]
fn every_command_ends_as_the_rule_says() {
    let host = host();
    let before = fs::read(host.hook("hooks.d/guard.yaml")).unwrap();
    let mut wrong = Vec::new();
    for (line, status) in TABLE {
        let output = host.hookmux(&words(line));
        if output.status.code() != Some(*status) {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            wrong.push(format!(
                "`{line}` ends with {:?}, not {status}: {said}",
                output.status.code()
            ));
        }
        let is_silent = output.stderr.is_empty() && output.stdout.is_empty();
        let may_be = line.starts_with("check --entries");
        let may_be = may_be || line.starts_with("xml get");
        if is_silent && !may_be {
            wrong.push(format!("`{line}` says nothing"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // what ended with 2 has changed nothing
    assert_eq!(fs::read(host.hook("hooks.d/guard.yaml")).unwrap(), before);
}

/// What `status` shows without its settings is of a copy, or of the defaults.
#[test]
fn the_status_of_a_host_with_broken_settings_is_no_good_one() {
    let host = host();
    host.text(&["status"], 0);
    host.raw_settings(&format!("{}timout: 3\n", host.private_settings()));
    for words in [&["status"][..], &[]] {
        assert!(host.text(words, 1).contains("timout"), "{words:?}");
    }
    assert_eq!(host.json(&["status"], 1)["format"], 1);
}

/// The status is the same with `--output json`, and an error of it has the code that the status means.
#[test]
fn programs_get_the_same_status_and_an_object() {
    let host = host();
    let has_json = |line: &str| {
        let command = line.split(' ').next().unwrap_or_default();
        let others = ["", "nothing", "metrics", "schema", "completions", "man", "help", "fullhelp"];
        let is_global = line.contains("--help") || line.contains("--version");
        !is_global && !others.contains(&command) && command != "demo"
    };
    for (line, status) in TABLE.iter().filter(|(line, _)| has_json(line)) {
        let words = [&words(line)[..], &["--output", "json"]].concat();
        let output = host.hookmux(&words);
        assert_eq!(output.status.code(), Some(*status), "{line}: {output:?}");
        // a watch has an object for each line, and prints errors too
        assert!(!output.stdout.is_empty(), "{line}: {output:?}");
        let value = crate::support::schema::read(&words, &output.stdout);
        let Some(code) = value["error"]["code"].as_str() else { continue };
        let is_usage = ["usage", "unanswered"].contains(&code);
        let is_xml = line.starts_with("xml get");
        assert!(is_usage == (*status == 2) || is_xml, "{line}: {value:#}");
    }
}

/// Each command is in the page's table and in the table above, with 0, 1 or what it has of them, and 2.
#[test]
fn no_command_is_missing_in_the_tables() {
    let host = Host::new();
    let help = host.text(&["--help"], 0);
    let list = help.split("Look:").nth(1).unwrap().split("Options:").next().unwrap();
    let names: BTreeSet<&str> = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    let page = include_str!("../docs/exit-status.md");
    let rows = page.split("| command | 1 |").nth(1).unwrap();
    let cells: Vec<&str> = rows
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').nth(1).unwrap())
        .collect();
    for name in names {
        let is_of = |cell: &&str| {
            cell.split('`').skip(1).step_by(2).any(|words| words.split(' ').next() == Some(name))
        };
        assert!(cells.iter().any(is_of), "{name} has no row in docs/exit-status.md");
        let of_it: BTreeSet<i32> = TABLE
            .iter()
            .filter(|(line, _)| line.split(' ').next() == Some(name))
            .map(|(_, status)| *status)
            .collect();
        assert!(of_it.contains(&0) && of_it.contains(&2), "{name}: only {of_it:?}");
    }
}
