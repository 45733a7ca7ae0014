//! The hooks of `contrib/hooks`: how they are put in place. Needs make. (V8)

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::Host;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/hooks")
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(directory()).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// The hooks of this package, each with its files.
const HOOKS: [(&str, &[&str]); 11] = [
    (
        "autostart-transient",
        &[
            "bin/autostart-transient",
            "bin/autostart-transient-boot",
            "hooks.d/autostart-transient-boot.yaml",
            "hooks.d/autostart-transient.yaml",
        ],
    ),
    ("cpu-governor", &["bin/cpu-governor", "hooks.d/cpu-governor.yaml"]),
    ("cpu-isolate", &["bin/cpu-isolate", "hooks.d/cpu-isolate.yaml"]),
    ("display-handover", &["bin/display-handover", "hooks.d/display-handover.yaml"]),
    ("hugepages", &["bin/hugepages", "hooks.d/hugepages.yaml"]),
    ("image-check", &["bin/image-check", "hooks.d/image-check.yaml"]),
    ("inhibit-sleep", &["bin/inhibit-sleep", "hooks.d/inhibit-sleep.yaml"]),
    ("macspoof", &["bin/macspoof", "hooks.d/macspoof.yaml"]),
    ("notify", &["bin/notify", "hooks.d/notify.yaml"]),
    ("pci-rebind", &["bin/pci-rebind", "hooks.d/pci-rebind.yaml"]),
    ("port-forward", &["bin/port-forward", "hooks.d/port-forward.yaml"]),
];

/// `make`, with this host's hooks directory.
fn make(host: &Host, words: &[&str]) -> Output {
    Command::new("make")
        .args(["-s", "-C", env!("CARGO_MANIFEST_DIR")])
        .args(words)
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env("HOOKSDIR", host.hooks())
        .output()
        .unwrap()
}

#[track_caller]
fn makes(host: &Host, words: &[&str], is_good: bool) -> String {
    let output = make(host, words);
    let said =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), is_good, "make {words:?}: {said}");
    said
}

/// The files of a hook in place, below the hooks directory.
fn in_place(host: &Host) -> Vec<String> {
    let all = host.everything().into_iter().filter(|path| path.is_file() && !path.is_symlink());
    let hooks = host.hooks();
    let names = all.filter_map(|path| Some(path.strip_prefix(&hooks).ok()?.display().to_string()));
    names.filter(|name| name != "hookmux.yaml").collect()
}

/// A copy of a hook's directory, which `add` trusts whoever owns the source.
pub fn copy_of(host: &Host, name: &str) -> PathBuf {
    let files = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).collect::<Vec<_>>()
    };
    let (from, to) = (directory().join(name), host.path("ready").join(name));
    for path in files(&from).into_iter().chain(files(&from.join("bin"))) {
        let copy = to.join(path.strip_prefix(&from).unwrap());
        host.file(&copy, fs::read(&path).unwrap());
        host.mode(&copy, mode(&path) & 0o755);
    }
    to
}

/// What is registered: how it is listed, without the directory of its programs.
fn registered(host: &Host, programs: &Path) -> Vec<String> {
    let list = host.json(&["list"], 0);
    let hooks = list["hooks"].as_array().unwrap().iter();
    let programs = format!("{}/", programs.display());
    let mut said: Vec<String> = hooks
        .map(|hook| {
            let program = hook["path"].as_str().unwrap();
            assert!(program.starts_with(&programs), "{hook:#}");
            let keys = ["hook", "order", "state", "weight", "style", "registered"];
            let keys: Vec<String> = keys.iter().map(|key| format!("{:#}", hook[key])).collect();
            keys.join("\n").replace(&programs, "bin/")
        })
        .collect();
    said.sort();
    said
}

// V8, O12
#[test]
fn each_hook_is_registered_in_the_same_way_wherever_its_script_lies() {
    let names: Vec<&str> = HOOKS.iter().map(|(name, _)| *name).collect();
    assert_eq!(self::names(), names);
    for (name, files) in HOOKS {
        let (installed, added) = (Host::new(), Host::new());
        makes(&installed, &["install-hook", name], true);
        assert_eq!(in_place(&installed), files, "{name}");
        for file in files {
            let wanted = if file.starts_with("bin/") { 0o755 } else { 0o644 };
            assert_eq!(mode(&installed.hook(file)), wanted, "{name}: {file}");
        }
        let copy = copy_of(&added, name);
        let from = copy.parent().unwrap().to_str().unwrap();
        let hook = format!("contrib/{name}");
        let said = added.text(&["add", &hook, "--from", from], 0);
        let example = fs::read_to_string(directory().join(name).join("metadata.xml")).unwrap();
        assert!(said.ends_with(&example), "{name}: {said}");
        let wanted = registered(&added, &copy.join("bin"));
        assert!(!wanted.is_empty(), "{name}");
        assert_eq!(registered(&installed, &installed.hook("bin")), wanted, "{name}");
        // both count as registered
        for host in [&installed, &added] {
            copy_of(host, name);
            let from = host.path("ready");
            let words = ["list", "--available", "--from", from.to_str().unwrap()];
            let one = &host.json(&words, 0)["hooks"][0];
            let registrations = files.iter().filter(|file| file.starts_with("hooks.d/")).count();
            assert_eq!(one["name"], name);
            assert_eq!(one["registrations"].as_array().unwrap().len(), registrations, "{one:#}");
        }
        // what `add` has written is another file: it is neither overwritten nor removed
        for goal in ["install-hook", "uninstall-hook"] {
            assert!(makes(&added, &[goal, name], false).contains("differs from"), "{name}");
        }
        makes(&installed, &["uninstall-hook", name], true);
        assert_eq!(in_place(&installed), [""; 0], "{name}");
    }
}

// V8
#[test]
fn all_hooks_together_are_put_in_place_and_taken_away() {
    let host = Host::new();
    let names = names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    makes(&host, &[&["install-hook"], &names[..]].concat(), true);
    let mut files: Vec<&str> = HOOKS.iter().flat_map(|(_, files)| *files).copied().collect();
    files.sort_unstable();
    let mut found = in_place(&host);
    found.sort();
    assert_eq!(found, files);
    let list = host.json(&["list"], 0);
    for hook in list["hooks"].as_array().unwrap() {
        assert_eq!(hook["state"], "active", "{hook:#}");
    }
    makes(&host, &[&["uninstall-hook"], &names[..]].concat(), true);
    assert_eq!(in_place(&host), [""; 0]);
}

#[test]
fn the_pages_name_each_hook() {
    for (page, prefix) in [("contrib/README.md", "hooks"), ("docs/contrib.md", "../contrib/hooks")]
    {
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = fs::read_to_string(text).unwrap();
        let rows = text.lines().filter_map(|line| line.strip_prefix("| [")?.split_once("]("));
        let rows: Vec<(&str, &str)> =
            rows.map(|(name, rest)| (name, rest.split(')').next().unwrap())).collect();
        let names = names();
        let links = names.iter().map(|name| format!("{prefix}/{name}/README.md"));
        let links: Vec<String> = links.collect();
        let wanted: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(links.iter().map(String::as_str)).collect();
        assert_eq!(rows, wanted, "{page}");
    }
}

// V8
#[test]
fn every_hook_tells_what_one_has_to_know_and_is_ready_to_use() {
    assert!(!names().is_empty());
    for name in names() {
        let page = fs::read_to_string(directory().join(&name).join("README.md")).unwrap();
        let heads = page.lines().filter_map(|line| line.strip_prefix("## "));
        let heads: Vec<&str> =
            heads.map(|head| head.strip_suffix(" and settings").unwrap_or(head)).collect();
        let wanted = [
            "What for",
            "Custom properties",
            "Events",
            "What it changes",
            "How it is undone",
            "What libvirt has built in",
            "Gotchas",
            "Sources",
        ];
        assert_eq!(heads, wanted, "{name}");
        assert!(page.contains("metadata.xml"), "{name}");
        assert!(page.starts_with(&format!("# {name}\n")), "{name}");
        let host = Host::new();
        makes(&host, &["install-hook", &name], true);
        let list = host.json(&["list"], 0);
        let hooks = list["hooks"].as_array().unwrap();
        assert!(!hooks.is_empty(), "{name}");
        for hook in hooks {
            assert_eq!(hook["state"], "active", "{name}: {hook:#}");
            let event = hook["event"].as_str().unwrap();
            assert!(page.contains(&format!("`{event}`")), "{name}: README.md doesn't name {event}");
        }
        let found = host.json(&["check"], 0);
        let is_of_hook = |one: &&serde_json::Value| {
            in_place(&host).iter().any(|file| one["path"].as_str().unwrap().ends_with(file))
        };
        let found: Vec<_> =
            found["findings"].as_array().unwrap().iter().filter(is_of_hook).collect();
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

// V8
#[test]
fn make_puts_a_hook_in_place_and_takes_it_away() {
    let files = ["bin/image-check", "hooks.d/image-check.yaml"];
    for words in [&["install-hook", "image-check"][..], &["install-hook", "NAME=image-check"]] {
        let host = Host::new();
        let said = makes(&host, words, true);
        assert!(said.contains("contrib/hooks/image-check/README.md"), "{said}");
        assert_eq!(in_place(&host), files);
        assert_eq!(mode(&host.hook(files[0])), 0o755);
        assert_eq!(mode(&host.hook(files[1])), 0o644);
        // again: nothing changes
        makes(&host, words, true);
        assert_eq!(in_place(&host), files);
        let words: Vec<String> =
            words.iter().map(|word| word.replace("install-", "uninstall-")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        makes(&host, &words, true);
        assert_eq!(in_place(&host), [""; 0]);
        makes(&host, &words, true);
    }
}

// V8
#[test]
fn what_somebody_has_changed_is_neither_overwritten_nor_removed() {
    let host = Host::new();
    for place in ["hooks.d/image-check.yaml", "bin/image-check"] {
        makes(&host, &["install-hook", "image-check"], true);
        let own = format!("# mine\n{}", fs::read_to_string(host.hook(place)).unwrap());
        fs::write(host.hook(place), &own).unwrap();
        for goal in ["install-hook", "uninstall-hook"] {
            let said = makes(&host, &[goal, "image-check"], false);
            assert!(said.contains(&format!("{place} differs from")), "{said}");
            assert!(said.contains("nothing was done") && said.contains("mv '"), "{said}");
            assert_eq!(fs::read_to_string(host.hook(place)).unwrap(), own);
            assert_eq!(in_place(&host).len(), 2);
        }
        // a link that disables it is a change too
        fs::remove_file(host.hook(place)).unwrap();
        host.link("/dev/null", place);
        makes(&host, &["install-hook", "image-check"], false);
        assert!(host.hook(place).is_symlink());
        fs::remove_file(host.hook(place)).unwrap();
    }
    for words in
        [&["install-hook"][..], &["install-hook", "nothing"], &["install-hook", "NAME=../hooks"]]
    {
        let said = makes(&host, words, false);
        assert!(said.contains("there are\n") && said.contains("  image-check\n"), "{said}");
    }
    // one of several that isn't there: none is installed
    let host = Host::new();
    makes(&host, &["install-hook", "image-check", "nothing"], false);
    assert_eq!(in_place(&host), [""; 0]);
    // below another root directory
    let root = host.path("root");
    let words =
        ["install-hook", "image-check", &format!("DESTDIR={}", root.display()), "HOOKSDIR=/hooks"];
    makes(&host, &words, true);
    assert!(root.join("hooks/bin/image-check").exists() && in_place(&host).is_empty());
}

fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
}
