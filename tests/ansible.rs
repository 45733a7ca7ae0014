//! The Ansible role of `contrib/ansible`, by a real ansible-playbook on this host, in a directory of its own.
//! It needs ansible-core, and ansible-lint for what it is named after.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::host::binary_under_test;
use crate::support::{Host, skip};

fn roles() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/ansible/roles")
}

/// Whether a command is there; in CI it has to be, as `.ci/needs` installs it.
fn has(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|directory| directory.join(command).is_file());
    assert!(is_there || std::env::var_os("CI").is_none(), "{command} is to be installed here");
    if !is_there {
        skip(&format!("no {command}"));
    }
    is_there
}

/// A command of Ansible's that finds no settings of this host's, and leaves nothing in anybody's home.
fn ansible(host: &Host, command: &str) -> Command {
    let home = host.path("home");
    fs::create_dir_all(&home).unwrap();
    let config = host.path("ansible.cfg");
    fs::write(&config, "[defaults]\n").unwrap();
    let mut ansible = Command::new(command);
    ansible.current_dir(host.path("")).env("HOME", &home).env("ANSIBLE_CONFIG", config);
    ansible.env("ANSIBLE_LOCAL_TEMP", home.join("local")).env("ANSIBLE_ROLES_PATH", roles());
    ansible.env("ANSIBLE_REMOTE_TEMP", home.join("remote")).env("ANSIBLE_NOCOLOR", "1");
    ansible.env("ANSIBLE_LOCALHOST_WARNING", "0").env("LC_ALL", "C.UTF-8").env_remove("CI");
    ansible
}

/// What a playbook with only this role did.
struct Played {
    output: Output,
    text: String,
}

impl Played {
    /// A count of the summary: `changed`, `failed`.
    #[track_caller]
    fn count(&self, word: &str) -> u32 {
        let recap = self.text.split("PLAY RECAP").nth(1).unwrap_or_else(|| panic!("{}", self.text));
        let rest = recap.split(&format!("{word}=")).nth(1).unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[track_caller]
    fn changes(&self, changed: bool) -> &Played {
        assert!(self.output.status.success() && self.count("failed") == 0, "{}", self.text);
        assert_eq!(self.count("changed") > 0, changed, "{}", self.text);
        self
    }

    #[track_caller]
    fn says(&self, words: &str) -> &Played {
        assert!(self.text.contains(words), "must say {words:?}: {}", self.text);
        self
    }
}

fn play(host: &Host, variables: &Value, options: &[&str]) -> Played {
    let playbook = host.path("play.yml");
    let play = json!([{
        "name": "Hooks",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": false,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "roles": ["hookmux"],
    }]);
    fs::write(&playbook, play.to_string()).unwrap();
    fs::write(host.path("vars.json"), variables.to_string()).unwrap();
    let mut command = ansible(host, "ansible-playbook");
    command.args(["-i", "localhost,", "-e", "@vars.json"]).args(options).arg(playbook);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    Played { output, text }
}

/// The variables of a host's private hooks directory, which isn't there yet.
fn variables(host: &Host) -> Value {
    let own = fs::metadata(host.path("")).unwrap();
    // a program that is small to copy
    let wrapper = format!("#!/bin/sh\nexec '{}' \"$@\"\n", binary_under_test().display());
    host.file("../hookmux.sh", wrapper);
    host.file("../files/licence", "#!/bin/sh\nexit 0\n");
    let settings: Vec<(String, Value)> = host
        .private_settings()
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| {
            let value = match value {
                "[]" => json!([]),
                "true" => json!(true),
                word => json!(word),
            };
            (key.to_owned(), value)
        })
        .collect();
    json!({
        "hookmux_binary": host.path("hookmux.sh"),
        "hookmux_program": host.path("sbin-hookmux"),
        "hookmux_hooks_dir": host.path("fresh"),
        "hookmux_owner": own.uid().to_string(),
        "hookmux_group": own.gid().to_string(),
        "hookmux_drivers": ["daemon", "qemu"],
        "hookmux_settings": settings.into_iter().collect::<serde_json::Map<_, _>>(),
        "hookmux_scripts": [
            {"dest": "before_vm_start/10-licence", "src": host.path("files/licence")},
            {"dest": "bin/told", "content": format!("#!/bin/sh\necho told >>'{}'\n", host.path("log").display())},
        ],
        "hookmux_registrations": {
            "guard": {"events": ["before_vm_prepare"], "command": ["bin/told"], "weight": 100, "when": {"name": ["g*"]}},
            "other": {"events": ["after_vm_stop"], "command": ["/bin/true"], "weight": 7},
        },
        "hookmux_registrations_absent": ["gone"],
        "hookmux_scripts_absent": ["after_vm_stop/90-gone"],
    })
}

#[test]
fn the_second_run_changes_nothing() {
    if !has("ansible-playbook") {
        return;
    }
    let host = Host::new();
    let mut variables = variables(&host);
    let fresh = host.path("fresh");
    // a look first, on a host that has nothing
    play(&host, &variables, &["--check", "--diff"]).changes(true);
    assert!(!fresh.exists() && !host.path("sbin-hookmux").exists());

    play(&host, &variables, &[]).changes(true).says("Reload libvirt's daemons");
    let guard = fresh.join("hooks.d/guard.yaml");
    let text = fs::read_to_string(&guard).unwrap();
    assert!(
        text.contains("command:\n- bin/told\n") || text.contains("command:\n  - bin/told\n"),
        "{text}"
    );
    let script = fresh.join("before_vm_start/10-licence");
    assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(fresh.join("qemu").is_symlink() && !fresh.join("lxc").exists());
    let call = Command::new(fresh.join("qemu"))
        .args(["g", "prepare", "begin", "-"])
        .stdin(
            fs::File::open(&{
                let path = host.path("document.xml");
                fs::write(&path, crate::support::GUEST).unwrap();
                path
            })
            .unwrap(),
        )
        .output()
        .unwrap();
    assert!(call.status.success(), "{call:?}");
    assert_eq!(host.log(), ["told"]);

    let again = play(&host, &variables, &[]);
    again.changes(false);
    assert!(!again.text.contains("RUNNING HANDLER"), "{}", again.text);

    // drift is shown, and mended
    fs::write(&guard, text.replace("100", "900")).unwrap();
    fs::remove_file(fresh.join("qemu")).unwrap();
    let look = play(&host, &variables, &["--check", "--diff"]);
    look.changes(true).says("-weight: 900").says("+weight: 100");
    assert_eq!(look.count("changed"), 2, "{}", look.text);
    assert!(fs::read_to_string(&guard).unwrap().contains("900") && !fresh.join("qemu").exists());

    // what `hookmux check` refuses is never put in place
    variables["hookmux_registrations"]["guard"]["events"] = json!(["before_vm_strt"]);
    let refused = play(&host, &variables, &[]);
    assert!(!refused.output.status.success() && refused.count("failed") == 1, "{}", refused.text);
    refused.says("before_vm_start");
    assert!(fs::read_to_string(&guard).unwrap().contains("900"));

    // mended, and what must not be there is gone
    variables["hookmux_registrations"] = json!({"guard": {
        "events": ["before_vm_prepare"], "command": ["bin/told"], "weight": 100, "when": {"name": ["g*"]},
    }});
    variables["hookmux_registrations_absent"] = json!(["other"]);
    variables["hookmux_scripts_absent"] = json!(["before_vm_start/10-licence"]);
    variables["hookmux_scripts"] = json!([]);
    play(&host, &variables, &[]).changes(true);
    assert_eq!(fs::read_to_string(&guard).unwrap(), text);
    assert!(fresh.join("qemu").is_symlink());
    assert!(!fresh.join("hooks.d/other.yaml").exists() && !script.exists());

    // and hookmux is gone again
    variables["hookmux_state"] = json!("absent");
    play(&host, &variables, &[]).changes(true);
    assert!(!fresh.join("qemu").exists() && !host.path("sbin-hookmux").exists());
    play(&host, &variables, &[]).changes(false);
}

#[test]
fn wrong_variables_are_refused_before_anything_is_done() {
    if !has("ansible-playbook") {
        return;
    }
    let host = Host::new();
    for (key, value, told) in [
        ("hookmux_state", json!("there"), "value of hookmux_state must be one of"),
        ("hookmux_drivers", json!(["kvm"]), "kvm"),
        ("hookmux_scripts", json!([{"src": "x"}]), "dest"),
    ] {
        let mut variables = variables(&host);
        variables[key] = value;
        let played = play(&host, &variables, &[]);
        assert!(!played.output.status.success(), "{}", played.text);
        played.says(told);
        assert!(!host.path("fresh").exists(), "{}", played.text);
    }
}

/// An empty word or `..` would be the whole hooks directory, or a file that isn't the role's.
#[test]
fn names_and_paths_that_lead_elsewhere_are_refused_before_anything_is_done() {
    if !has("ansible-playbook") {
        return;
    }
    let host = Host::new();
    let paths =
        ["", ".", "..", "/x/y", "x/../y", "x/./y", "x//y", "x/y/", "x/..", "x/a\nb", "qemu"];
    let scripts = [&paths[..], &[".x/y", "x", "hookmux.yaml", "qemu/x"]].concat();
    let names = ["", ".", "..", "../qemu", "x/y", ".x", "a\nb"];
    let dests = scripts.iter().map(|dest| json!({"dest": dest, "content": "#!/bin/sh\n"}));
    let registration = json!({"events": ["after_vm_stop"], "command": ["/bin/true"]});
    let registrations: serde_json::Map<_, _> =
        names.iter().map(|&name| (name.to_owned(), registration.clone())).collect();
    let nothing = Value::Null;
    let absent: Vec<Value> = paths
        .iter()
        .chain(&["hooks.d"])
        .map(|&path| json!(path))
        .chain([nothing.clone()])
        .collect();
    let names_absent: Vec<Value> = names.iter().map(|&name| json!(name)).chain([nothing]).collect();
    for (key, value, told, count) in [
        ("hookmux_scripts", dests.collect(), "hookmux_scripts: dest is '", scripts.len()),
        ("hookmux_scripts_absent", json!(absent), "hookmux_scripts_absent has '", absent.len()),
        ("hookmux_registrations", json!(registrations), "registrations_absent has '", names.len()),
        (
            "hookmux_registrations_absent",
            json!(names_absent),
            "registrations_absent has '",
            names_absent.len(),
        ),
    ] {
        let mut variables = variables(&host);
        variables["hookmux_scripts_absent"] = json!([]);
        variables["hookmux_registrations"] = json!({});
        variables["hookmux_registrations_absent"] = json!([]);
        variables[key] = value;
        let played = play(&host, &variables, &[]);
        assert!(!played.output.status.success(), "{}", played.text);
        assert_eq!(played.text.matches(told).count(), count, "{key}: {}", played.text);
        assert!(!host.path("fresh").exists(), "{}", played.text);
    }
}

/// A later run makes no entries, and would reload nothing.
#[test]
fn libvirt_is_reloaded_before_a_check_that_fails() {
    if !has("ansible-playbook") {
        return;
    }
    let host = Host::new();
    let mut variables = variables(&host);
    // names that only look odd
    variables["hookmux_scripts_absent"] = json!(["..x", "x/..y/.z", "qemu.d/10-old", ".qemu"]);
    host.file("../fresh/hooks.d/of-others.yaml", "events: before_vm_strt\n");
    let played = play(&host, &variables, &[]);
    assert!(!played.output.status.success() && played.count("failed") == 1, "{}", played.text);
    let reloaded = played.text.find("RUNNING HANDLER [hookmux : Reload libvirt's daemons]");
    let checked = played.text.find("TASK [hookmux : Check everything]");
    assert!(reloaded.is_some() && reloaded < checked, "{}", played.text);
    assert!(host.path("fresh/qemu").is_symlink());
    // nothing is reloaded in check mode
    fs::remove_file(host.path("fresh/qemu")).unwrap();
    let look = play(&host, &variables, &["--check"]);
    look.changes(true);
    assert!(!host.path("fresh/qemu").is_symlink());
    assert_eq!(look.count("changed"), 1, "{}", look.text);
}

/// Package managers know what was installed from a file by its name.
#[test]
fn the_package_is_removed_by_its_name() {
    if !has("ansible-playbook") {
        return;
    }
    let host = Host::new();
    // in place of the host's own package manager, whichever it is
    let module = format!(
        "from ansible.module_utils.basic import AnsibleModule\n\
         module = AnsibleModule(argument_spec=dict(name=dict(), state=dict()))\n\
         with open('{}', 'a') as log:\n    log.write('%(state)s %(name)s\\n' % module.params)\n\
         module.exit_json(changed=True)\n",
        host.path("log").display()
    );
    for manager in ["apt", "apk", "dnf", "dnf5", "pacman", "yum", "zypper"] {
        host.file(format!("../library/{manager}.py"), &module);
    }
    let mut variables = variables(&host);
    variables["hookmux_state"] = json!("absent");
    variables["hookmux_binary"] = json!("");
    for (package, name) in [
        ("/root/hookmux.deb", "hookmux"),
        ("hookmux_0.2.0_amd64.deb", "hookmux"),
        ("https://example.org/hookmux-0.2.0.x86_64.rpm", "hookmux"),
        ("hookmux-testing", "hookmux-testing"),
    ] {
        variables["hookmux_package"] = json!(package);
        play(&host, &variables, &[]).changes(true);
        assert_eq!(host.log(), [format!("absent {name}")], "{package}");
    }
}

#[test]
fn the_role_is_clean() {
    if !has("ansible-lint") {
        return;
    }
    let host = Host::new();
    let role = roles().join("hookmux");
    let mut lint = ansible(&host, "ansible-lint");
    lint.args(["--offline", "--nocolor", "--profile", "production", "--project-dir"]);
    let output = lint.arg(host.path("")).arg(&role).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The page, the defaults and the specification name the same variables.
#[test]
fn each_variable_is_described_with_its_default() {
    let role = roles().join("hookmux");
    let read = |place: &str| fs::read_to_string(role.join(place)).unwrap();
    let names = |text: &str, indent: &str| -> Vec<String> {
        let key = |line: &str| {
            let name = line.strip_prefix(indent)?.split_once(':')?.0;
            name.starts_with("hookmux_").then(|| name.to_owned())
        };
        text.lines().filter_map(key).collect()
    };
    let mut defaults = names(&read("defaults/main.yml"), "");
    let mut specified = names(&read("meta/argument_specs.yml"), "      ");
    let page = fs::read_to_string(roles().parent().unwrap().join("README.md")).unwrap();
    let cell = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let mut described: Vec<String> =
        page.lines().filter_map(cell).filter(|name| name.starts_with("hookmux_")).collect();
    for list in [&mut defaults, &mut specified, &mut described] {
        list.sort();
    }
    assert!(defaults.len() > 10);
    assert_eq!(defaults, specified);
    assert_eq!(defaults, described);
}
