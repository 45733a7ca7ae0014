//! `export`: all registrations are written or none, with the modes that they have, and never into a place of hooks.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Host, is_root};

const GOOD: &str = "events: before_vm_start\ncommand: /bin/true\nweight: 7\n";

/// A host with two registrations.
fn host() -> Host {
    let host = Host::new();
    for name in ["a", "b"] {
        host.file(format!("hooks.d/{name}.yaml"), GOOD);
        host.mode(format!("hooks/hooks.d/{name}.yaml"), 0o644);
    }
    host
}

fn mode(host: &Host, place: &str) -> u32 {
    fs::symlink_metadata(host.path(place)).unwrap().mode() & 0o777
}

fn messages(list: &Value) -> String {
    let all = list.as_array().unwrap().iter();
    all.map(|one| format!("{}\n", one["message"].as_str().unwrap())).collect()
}

/// All files but records and the like, with their content, and where links lead.
fn files(host: &Host) -> Vec<(PathBuf, Vec<u8>)> {
    let all = host.everything().into_iter();
    let all = all.filter(|path| !path.starts_with(host.path("state")));
    let all = all.filter(|path| !path.starts_with(host.path("run")));
    // the document for calls
    let all = all.filter(|path| !path.ends_with("guest.xml"));
    let content = |path: &PathBuf| match fs::read_link(path) {
        // an entry leads to the whole program
        Ok(target) => target.into_os_string().into_encoded_bytes(),
        Err(_) => fs::read(path).unwrap_or_default(),
    };
    all.map(|path| (path.clone(), content(&path))).collect()
}

/// Makes one thing wrong.
type Change = fn(&Host);

#[test]
fn where_something_is_wrong_nothing_is_exported_and_a_dry_run_says_so() {
    let cases: &[(&str, Change, &[&str])] = &[
        (
            "out/b.yaml is there with another content",
            |host| {
                let _ = host.file("../out/b.yaml", "events: '*'\n");
            },
            &[],
        ),
        (
            "out/b.yaml is in the way: it is not a regular file",
            |host| fs::create_dir_all(host.path("out/b.yaml")).unwrap(),
            &["--replace"],
        ),
        (
            "out/b.yaml is there with another content",
            |host| {
                fs::create_dir(host.path("out")).unwrap();
                symlink(host.hook("hooks.d/b.yaml"), host.path("out/b.yaml")).unwrap();
            },
            &[],
        ),
        (
            "unknown key `comand`",
            |host| {
                let _ = host.file("hooks.d/b.yaml", "comand: x\n");
            },
            &[],
        ),
        (
            "b.yaml: a link to nothing",
            |host| {
                let _ = host.link("/nowhere", "hooks.d/b.yaml");
            },
            &[],
        ),
        ("there is no registration `c`", |_| {}, &["a", "c"]),
        (
            "out can't be made: ",
            |host| {
                let _ = host.file("../out", "text");
            },
            &[],
        ),
        (
            "out can't be made: ",
            |host| symlink(host.path("nowhere"), host.path("out")).unwrap(),
            &[],
        ),
    ];
    for (words, change, more) in cases {
        let host = host();
        if words.contains("link to nothing") {
            fs::remove_file(host.hook("hooks.d/b.yaml")).unwrap();
        }
        change(&host);
        let before = files(&host);
        for dry in [&["--dry-run"][..], &["--dry-run", "--diff"], &[]] {
            let line = [&["export", "out"], *more, dry].concat();
            let said = host.json(&line, 1);
            let problems = match said["problems"].is_array() {
                true => messages(&said["problems"]),
                false => said["error"]["message"].as_str().unwrap().to_owned(),
            };
            assert!(problems.contains(words), "{line:?}: {said:#}");
            if said["problems"].is_array() {
                assert_eq!((&said["registrations"], &said["changed"]), (&json!([]), &false.into()));
            }
            let text = host.text(&line, 1);
            assert!(!text.contains("exported to"), "{line:?}: {text}");
            assert!(
                text.contains("nothing was exported") || said["error"].is_object(),
                "{line:?}: {text}"
            );
            assert_eq!(files(&host), before, "{line:?}");
        }
    }
    if is_root() {
        return;
    }
    let host = host();
    fs::create_dir(host.path("out")).unwrap();
    host.mode("out", 0o555);
    for place in ["out", "out/more"] {
        let said = host.text(&["export", place, "--dry-run"], 1);
        assert!(said.contains("can't be written to"), "{said}");
    }
}

#[test]
fn no_place_of_hooks_is_written_to_by_any_name() {
    let host = host();
    host.raw_settings(&host.private_settings().replace("roots: []", "roots: [../more/hooks]"));
    fs::create_dir_all(host.path("more/hooks")).unwrap();
    symlink(host.hook("hooks.d"), host.path("direct")).unwrap();
    symlink(host.hooks(), host.path("whole")).unwrap();
    symlink("more", host.path("above")).unwrap();
    symlink("whole", host.path("chain")).unwrap();
    let before = files(&host);
    for place in [
        "hooks",
        "hooks/hooks.d",
        "hooks/new",
        "direct",
        "direct/new",
        "whole/hooks.d",
        "chain",
        "above/hooks",
        "above/hooks/new/deep",
        "nowhere/../hooks/hooks.d",
        "nowhere/../direct/x/..",
        "more/../hooks",
    ] {
        let said = host.text(&["export", place, "--replace"], 1);
        assert!(
            said.contains("is a place of hooks: name a directory elsewhere"),
            "{place}: {said}"
        );
        assert_eq!(files(&host), before, "{place}");
    }
    assert!(!host.path("nowhere").exists());
    // a directory that only has a similar name, or has one of them in it
    for place in ["hooks-2", "more", "above/out"] {
        host.text(&["export", place, "--dry-run"], 0);
    }
}

/// A registration may hold a password.
#[test]
fn nobody_can_read_more_than_before() {
    let (one, other) = (host(), host());
    let secret = format!("{GOOD}environment: {{TOKEN: s3cret}}\n");
    one.file("hooks.d/secret.yaml", &secret).mode("hooks/hooks.d/secret.yaml", 0o600);
    one.mode("hooks/hooks.d/b.yaml", 0o755);
    one.text(&["export", "out"], 0);
    assert_eq!(mode(&one, "out/secret.yaml"), 0o600);
    assert_eq!([mode(&one, "out/a.yaml"), mode(&one, "out/b.yaml")], [0o644, 0o644]);
    // one that an earlier export, or git, has left for all to read
    one.mode("out/secret.yaml", 0o644);
    let said = one.json(&["export", "out", "--dry-run"], 0);
    assert_eq!(said["changed"], true);
    assert!(messages(&said["registrations"]).contains("would have mode 600"), "{said:#}");
    assert_eq!(mode(&one, "out/secret.yaml"), 0o644);
    one.text(&["export", "out"], 0);
    assert_eq!(mode(&one, "out/secret.yaml"), 0o600);
    assert_eq!(one.json(&["export", "out"], 0)["changed"], false);
    one.file("../out/secret.yaml", "events: '*'\n").mode("out/secret.yaml", 0o644);
    one.text(&["export", "out", "--replace"], 0);
    assert_eq!(mode(&one, "out/secret.yaml"), 0o600);
    // one that was made narrower stays so
    one.file("../out/a.yaml", "events: '*'\n").mode("out/a.yaml", 0o640);
    one.text(&["export", "out", "--replace"], 0);
    assert_eq!(mode(&one, "out/a.yaml"), 0o640);

    // and on the other host
    let given = one.path("out/secret.yaml").display().to_string();
    let directory = one.path("out").display().to_string();
    other.text(&["add", &given], 0);
    assert_eq!(mode(&other, "hooks/hooks.d/secret.yaml"), 0o600);
    other.text(&["delete", "secret"], 0);
    other.text(&["add", &directory, "--replace"], 0);
    assert_eq!(mode(&other, "hooks/hooks.d/secret.yaml"), 0o600);
    let replaced = "hooks/hooks.d/secret.yaml";
    for (there, new, wanted) in
        [(0o600, 0o644, 0o600), (0o644, 0o600, 0o600), (0o640, 0o644, 0o640), (0o644, 0o666, 0o644)]
    {
        other.file("hooks.d/secret.yaml", GOOD).mode(replaced, there);
        one.mode("out/secret.yaml", new);
        other.text(&["add", &given, "--replace"], 0);
        assert_eq!(mode(&other, replaced), wanted, "{there:o} by {new:o}");
    }
}

/// What is relative in a registration is below its own root, which is another one there.
#[test]
fn one_of_another_root_keeps_its_programs() {
    let host = host();
    let roots = format!("roots: ['{}']", host.path("more").display());
    host.raw_settings(&host.private_settings().replace("roots: []", &roots));
    host.script("../more/bin/x", ":").file("../more/env", "A=b\n");
    let text = "# mine\nevents: before_vm_start\ncommand:\n- bin/x\n- y\nenvironment_file: env\n";
    host.file("../more/hooks.d/dns.yaml", text).mode("more/hooks.d/dns.yaml", 0o644);
    host.script("bin/x", ":").file("hooks.d/own.yaml", GOOD.replace("/bin/true", "bin/x"));
    let said = host.json(&["export", "out", "dns", "own", "dns.yaml"], 0);
    assert_eq!(said["registrations"].as_array().unwrap().len(), 2, "{said:#}");
    let more = host.path("more").display().to_string();
    let written = host.read_text("out/dns.yaml");
    assert!(written.contains(&format!("- {more}/bin/x\n- y\n")), "{written}");
    assert!(written.contains(&format!("environment_file: \"{more}/env\"\n")), "{written}");
    assert!(host.read_text("out/own.yaml").contains("command: bin/x\n"), "below its own root");
    let notes = messages(&said["notes"]);
    assert!(notes.contains(&format!("{more}/bin/x")) && notes.contains("/env"), "{notes}");
    assert_eq!(host.json(&["export", "out", "dns"], 0)["changed"], false);
    let odd = text.replace("- bin/x", "- \"bin\\u002fx\"");
    host.file("../more/hooks.d/dns.yaml", odd);
    let said = host.text(&["export", "out", "dns", "--replace"], 1);
    assert!(said.contains("`command` has to be a path, or a list on one line"), "{said}");
}

#[test]
fn only_what_add_would_take_is_told_as_left_over() {
    let host = host();
    host.text(&["export", "out"], 0);
    for name in [".x.yaml", ".a.yaml.swp", "x.yaml~", "README.md", "x.yaml.rpmsave"] {
        host.file(host.path("out").join(name), GOOD);
    }
    host.file("../out/gone.yaml", GOOD);
    let said = host.json(&["export", "out"], 0);
    let out = host.path("out/gone.yaml").display().to_string();
    let gone = format!("{out} is not registered here any more\n");
    let notes = messages(&said["notes"]);
    assert_eq!(notes.matches("any more").count(), 1, "{notes}");
    assert!(notes.contains(&gone), "{notes}");
}

/// A link in the place of a file is replaced, and what it leads to stays as it is.
#[test]
fn a_link_is_not_followed() {
    let host = host();
    host.file("../precious", "text");
    fs::create_dir(host.path("out")).unwrap();
    symlink("../precious", host.path("out/a.yaml")).unwrap();
    host.text(&["export", "out"], 1);
    host.text(&["export", "out", "--replace"], 0);
    assert_eq!(
        (host.read_text("precious").as_str(), host.read_text("out/a.yaml")),
        ("text", GOOD.to_owned())
    );
    assert!(!host.path("out/a.yaml").is_symlink());
}
