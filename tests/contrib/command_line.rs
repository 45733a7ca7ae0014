//! `hookmux list --available` and `hookmux add contrib/NAME`. (V11)

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, is_root, schema, skip};

/// A hook of another's, as `contrib/hooks` has them.
const README: &str = "# one\n\nDoes one\nthing. And no other.\n";
const YAML: &str = "# first\nevents: before_vm_start\nwhen: {property: {one: \"*\"}}\ncommand: [one, start] # last\nrollback: [one, undo]\n";
const METADATA: &str = "<metadata>one</metadata>\n";

/// A host with a directory of ready-made hooks.
struct Site {
    host: Host,
}

impl Site {
    fn new() -> Site {
        let site = Site { host: Host::new() };
        site.hook("one", YAML);
        site.write("one/README.md", README);
        site.write("one/metadata.xml", METADATA);
        site.hook("two", "events: after_vm_stop\ncommand: two\n");
        site.plain(
            "two/two-more.yaml",
            "events: before_daemon_start\ncommand: [two, boot]\nmode: detached\n",
        );
        // no hook: it has no registration
        site.write("three/README.md", "# three\n\nNothing.\n");
        site
    }

    fn from(&self) -> PathBuf {
        self.host.path("contrib/hooks")
    }

    fn write(&self, place: &str, text: &str) {
        self.host.file(self.from().join(place), text);
    }

    fn plain(&self, place: &str, text: &str) {
        self.write(place, text);
        self.host.mode(self.from().join(place), 0o644);
    }

    fn hook(&self, name: &str, yaml: &str) {
        self.write(&format!("{name}/{name}"), "#!/bin/sh\nexit 0\n");
        self.plain(&format!("{name}/{name}.yaml"), yaml);
    }

    #[track_caller]
    fn text(&self, words: &[&str], status: i32) -> String {
        let from = self.from();
        self.host.text(&[words, &["--from", from.to_str().unwrap()]].concat(), status)
    }

    fn registered(&self, name: &str) -> String {
        fs::read_to_string(self.host.hook(format!("hooks.d/{name}.yaml"))).unwrap_or_default()
    }

    /// `list --available`: each hook's name, and which of its registrations are enabled.
    fn available(&self) -> Vec<(String, Vec<(String, bool)>)> {
        let from = self.from();
        let words = ["list", "--available", "--from", from.to_str().unwrap()];
        let said = self.host.json(&words, 0);
        let hooks = said["hooks"].as_array().unwrap();
        let list = hooks.iter().map(|hook| {
            let registrations = hook["registrations"].as_array().unwrap();
            assert_eq!(hook["registered"], !registrations.is_empty());
            let named = registrations.iter().map(|it| {
                (it["name"].as_str().unwrap().to_owned(), it["enabled"].as_bool().unwrap())
            });
            (hook["name"].as_str().unwrap().to_owned(), named.collect())
        });
        list.collect()
    }
}

// V11: it runs for the guest that asks
#[test]
fn a_ready_made_hook_is_registered_as_it_is_written() {
    let site = Site::new();
    let said = site.text(&["add", "contrib/one"], 0);
    assert!(said.contains("hooks.d/one.yaml"), "{said}");
    assert!(said.ends_with(&format!("takes this in <domain>:\n\n{METADATA}")), "{said}");
    let one = site.from().join("one/one");
    let text = site.registered("one");
    let wanted = YAML.replace("[one,", &format!("[\"{}\",", one.display()));
    assert!(text.ends_with(&format!("{wanted}weight: 100\n")), "{text}");
    assert!(text.starts_with("# Registered by: hookmux "), "{text}");
    // it runs
    site.host.script(&one, "log \"$1\"");
    let document = crate::support::documents::guest(
        "<h:properties xmlns:h='urn:hookmux:properties:1'><h:property name='one'>1</h:property></h:properties>",
        "",
    );
    site.host.guest("prepare begin").stdin(document).run().succeeds();
    assert_eq!(site.host.log(), ["start"]);

    // one with two registrations; --dry-run writes none
    let said = site.text(&["add", "contrib/two", "--dry-run"], 0);
    assert!(said.contains("nothing was registered: --dry-run"), "{said}");
    assert_eq!(site.registered("two") + &site.registered("two-more"), "");
    site.text(&["add", "contrib/two/"], 0);
    let two = site.from().join("two/two");
    assert!(site.registered("two").contains(&format!("command: \"{}\"\n", two.display())));
    assert!(
        site.registered("two-more").contains(&format!("command: [\"{}\", boot]\n", two.display()))
    );

    // again
    let said = site.text(&["add", "contrib/two"], 0);
    assert!(said.contains("unchanged: ") && !said.contains("replaced"), "{said}");
    let path = site.host.hook("hooks.d/two.yaml");
    fs::write(&path, format!("{}nice: 1\n", site.registered("two"))).unwrap();
    let said = site.text(&["add", "contrib/two"], 1);
    assert!(said.contains("this is registered already, as `two`"), "{said}");
    assert!(said.contains("--replace writes it again") && !said.contains("--name"), "{said}");
    site.text(&["add", "contrib/two", "--replace"], 0);
    let from = site.from();
    let words = ["add", "contrib/two", "--replace", "--from", from.to_str().unwrap()];
    let added = site.host.json(&words, 0);
    assert_eq!(added["registrations"].as_array().unwrap().len(), 2, "{added}");
}

#[test]
fn the_list_tells_what_each_is_for_and_whether_it_is_registered() {
    let site = Site::new();
    let none = |name: &str| (name.to_owned(), Vec::new());
    assert_eq!(site.available(), [none("one"), none("two")]);
    site.text(&["add", "contrib/two"], 0);
    site.host.text(&["disable", "two-more"], 0);
    let two = ("two".to_owned(), vec![("two".to_owned(), true), ("two-more".to_owned(), false)]);
    assert_eq!(site.available(), [none("one"), two]);
    let text = site.text(&["list", "--available"], 0);
    let line = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("one"), "one no Does one thing");
    assert_eq!(line("two"), "two yes");
    site.host.text(&["disable", "two"], 0);
    let text = site.text(&["list", "--available"], 0);
    assert!(text.contains("two   disabled"), "{text}");
    // a copy in another place counts by its name
    site.host.text(&["delete", "two"], 0);
    site.host.text(&["delete", "two-more"], 0);
    site.host.script("bin/one", ":");
    site.host.file("hooks.d/one.yaml", YAML.replace("[one,", "[bin/one,"));
    assert_eq!(site.available()[0].1, [("one".to_owned(), true)]);
    let from = site.from();
    let said = site.host.json(&["list", "--available", "--from", from.to_str().unwrap()], 0);
    assert_eq!(said["hooks"][0]["summary"], "Does one thing");
    assert_eq!(said["hooks"][0]["metadata"], METADATA);
    assert_eq!(said["hooks"][1]["summary"], serde_json::Value::Null);
    assert_eq!(said["path"], from.to_str().unwrap());
}

#[test]
fn the_hooks_of_the_installation_are_found() {
    let site = Site::new();
    let program = site.host.path("prefix/sbin/hookmux");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    if fs::hard_link(binary_under_test(), &program).is_err() {
        fs::copy(binary_under_test(), &program).unwrap();
    }
    let say = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--hooks-dir").arg(site.host.hooks()).args(words);
        let _writing = writing();
        command.output().unwrap()
    };
    let output = say(&["list", "--available"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("prefix/share/hookmux/contrib/hooks") && said.contains("--from DIR"),
        "{said}"
    );
    let share = site.host.path("prefix/share/hookmux/contrib");
    fs::create_dir_all(&share).unwrap();
    fs::rename(site.from(), share.join("hooks")).unwrap();
    let output = say(&["list", "--available", "--output", "json"]);
    let said = schema::read(&["list", "--available"], &output.stdout);
    assert_eq!(said["hooks"][0]["name"], "one");
    assert_eq!(say(&["add", "contrib/one"]).status.code(), Some(0));
    assert!(site.registered("one").contains(share.join("hooks/one/one").to_str().unwrap()));
}

#[test]
fn what_cannot_be_registered_is_refused_and_says_why() {
    let site = Site::new();
    let from = site.from();
    let from = from.to_str().unwrap();
    for (words, status, reason) in [
        (&["add", "contrib/on", "--from", from] as &[&str], 1, "there is no ready-made hook `on`"),
        (&["add", "contrib/on", "--from", from], 1, "did you mean `one`?"),
        (&["add", "contrib/three", "--from", from], 1, "there is no ready-made hook `three`"),
        (&["add", "contrib/one", "--from", "/nowhere"], 1, "/nowhere is not a directory"),
        (&["add", "contrib/one", "--name", "x"], 2, "a ready-made hook says everything itself"),
        (
            &["add", "contrib/one", "--event", "before_vm_start"],
            2,
            "a ready-made hook says everything",
        ),
        (
            &["add", "script", "/bin/true", "--from", from],
            2,
            "--from says where the ready-made hooks lie",
        ),
        (&["list", "--from", from], 2, "--available"),
        (&["list", "before_vm_start", "--available"], 2, "--available"),
    ] {
        let said = site.host.text(words, status);
        assert!(said.contains(reason), "{words:?}: {said}");
    }
    site.plain("two/two.yaml", "events: after_vm_stop\ncommand:\n- \"tw\\u006f\"\n");
    let said = site.text(&["add", "contrib/two"], 1);
    assert!(said.contains("`command` has to be a path, or a list on one line"), "{said}");
    site.plain("two/two.yaml", "event: after_vm_stop\ncommand: two\n");
    let said = site.text(&["add", "contrib/two"], 1);
    assert!(said.contains("two.yaml:1:1: unknown key `event`; did you mean `events`?"), "{said}");
    site.plain("two/two.yaml", "events: after_vm_stop\ncommand: none\n");
    let said = site.text(&["add", "contrib/two"], 1);
    assert!(said.contains("two/none"), "{said}");
    let mode = |place: &str, mode| site.host.mode(site.from().join(place), mode);
    mode("one/one", 0o644);
    let said = site.text(&["add", "contrib/one"], 1);
    assert!(said.contains("one/one is not executable"), "{said}");
    if is_root() {
        for (place, bad, good) in
            [("one/one", 0o777, 0o755), ("one/one.yaml", 0o666, 0o644), ("one", 0o777, 0o755)]
        {
            mode("one/one", 0o755);
            mode(place, bad);
            let said = site.text(&["add", "contrib/one"], 1);
            assert!(said.contains("refused: ") && said.contains("writable by"), "{place}: {said}");
            mode(place, good);
        }
    } else {
        skip("the checks of ownership are another's");
    }
    assert!(!site.host.hook("hooks.d").join("one.yaml").exists());
    assert_eq!(site.registered("two"), "");
}

/// What lies in `contrib/hooks` is complete, each hook of it.
#[test]
fn each_hook_has_what_a_hook_has() {
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/hooks");
    let mut names = Vec::new();
    for entry in fs::read_dir(&hooks).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for file in ["README.md".to_owned(), format!("{name}.yaml")] {
            assert!(hooks.join(&name).join(&file).is_file(), "{name} has no {file}");
        }
        names.push(name);
    }
    let host = Host::new();
    let said = host.json(&["list", "--available", "--from", hooks.to_str().unwrap()], 0);
    names.sort();
    let listed = said["hooks"].as_array().unwrap().iter();
    let listed: Vec<&str> = listed.map(|hook| hook["name"].as_str().unwrap()).collect();
    assert_eq!(listed, names);
    for hook in said["hooks"].as_array().unwrap() {
        let summary = hook["summary"].as_str().unwrap();
        assert!(summary.len() <= 200, "{summary}");
    }
}
