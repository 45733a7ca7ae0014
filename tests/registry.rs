//! `add`, `delete`, `enable`, `disable` and `schema`: what is typed in is read back from the files.
//! (C1 to C4, C8, C11, O10, O11)

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use hookmux::for_tests::config::Registration;
use serde_json::{Value, json};

use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, is_root, schema, skip};

/// What a command said.
#[derive(Debug)]
struct Said {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    #[track_caller]
    fn ends(&self, status: i32, words: &[&str]) -> &Said {
        assert_eq!(self.status, status, "{self:#?}");
        for word in words {
            let is_said = self.stderr.contains(word) || self.stdout.contains(word);
            assert!(is_said, "must say {word:?}: {self:#?}");
        }
        self
    }

    #[track_caller]
    fn is_done(&self) -> &Said {
        assert!(self.stderr.is_empty(), "{self:#?}");
        self.ends(0, &[])
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

struct Place {
    host: Host,
}

impl Place {
    fn new() -> Place {
        Place { host: Host::new() }
    }

    /// One with a second root, of lower precedence.
    fn with_root() -> Place {
        let place = Place::new();
        let settings = place.host.private_settings();
        let roots = format!("roots: ['{}']", place.host.path("low").display());
        place.host.raw_settings(&settings.replace("roots: []", &roots));
        place
    }

    #[track_caller]
    fn say(&self, words: &[&str]) -> Said {
        let mut command = Command::new(binary_under_test());
        command.arg("--hooks-dir").arg(self.host.hooks()).args(words);
        command.current_dir(self.host.directory()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = {
            let _writing = writing();
            command.spawn().unwrap()
        };
        let output = child.wait_with_output().unwrap();
        schema::judge(words, &output.stdout);
        Said {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A script outside of the hooks directory; its path.
    fn script(&self, name: &str, text: &str) -> String {
        let path = self.host.path("opt").join(name);
        self.host.script(&path, text);
        path.to_str().unwrap().to_owned()
    }

    /// One that describes itself so.
    fn describing(&self, name: &str, description: &Value) -> String {
        self.script(
            name,
            &format!("[ \"$1\" = --describe ] && cat <<'END'\n{description}\nEND\ntrue"),
        )
    }

    /// A file of the registry, as any package could write it.
    fn registration(&self, root: &str, name: &str, text: &str) -> PathBuf {
        let path = self.host.path(root).join("hooks.d").join(format!("{name}.yaml"));
        self.host.file(&path, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.host.hook("hooks.d").join(format!("{name}.yaml"))
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    #[track_caller]
    fn read(&self, name: &str) -> Registration {
        Registration::parse(&self.file(name), &self.host.hooks(), &self.text(name)).unwrap()
    }

    /// All registrations of the hooks directory, by name.
    fn all(&self) -> BTreeMap<String, Registration> {
        let names = fs::read_dir(self.host.hook("hooks.d")).into_iter().flatten().flatten();
        names
            .filter_map(|entry| {
                entry.file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned)
            })
            .filter(|name| self.file(name).is_file())
            .map(|name| (name.clone(), self.read(&name)))
            .collect()
    }

    #[track_caller]
    fn the_one(&self) -> Registration {
        let all = self.all();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.into_values().next().unwrap()
    }

    fn nothing_is_registered(&self) {
        assert_eq!(self.all().len(), 0);
    }
}

fn as_json(registration: &Registration) -> Value {
    serde_json::to_value(registration).unwrap()
}

// --- add script: a description -------------------------------------------------------------------

#[test]
fn every_key_of_a_description_arrives() {
    let undo = json!(["/usr/bin/test", "-e", "/"]);
    for (key, value, expected) in [
        ("events", json!(["after_vm_stop", "before_vm_start"]), json!(null)),
        ("calls", json!("qemu/prepare/begin"), json!(null)),
        ("command", json!(["/bin/echo", "a b"]), json!(["/bin/echo", "a b"])),
        ("args", json!(["$NAME", "x y"]), json!(["$NAME", "x y"])),
        ("args_stdin", json!(true), json!(true)),
        ("weight", json!(-7), json!(-7)),
        ("check", undo.clone(), undo.clone()),
        ("rollback", undo.clone(), undo.clone()),
        (
            "when",
            json!({"name": ["web-*", "!web-test"], "property": {"macspoof": true}}),
            json!({"name": ["web-*", "!web-test"], "property": {"macspoof": ["true"]}}),
        ),
        ("timeout", json!("30s"), json!({"after": {"secs": 30, "nanos": 0}})),
        ("on_failure", json!("stop"), json!("stop")),
        (
            "run_as",
            json!({"user": "nobody", "group": 65534}),
            json!({"user": "nobody", "group": "65534"}),
        ),
        ("style", json!("libvirt"), json!("libvirt")),
        ("stdin", json!("xml"), json!("xml")),
        ("mode", json!("detached"), json!("detached")),
        ("enabled", json!(false), json!(false)),
        ("parallel", json!(true), json!(true)),
        ("lock", json!("gpu"), json!("gpu")),
        ("filter", json!(false), json!(false)),
        ("kill_leftovers", json!(true), json!(true)),
        ("limits", json!({"nofile": 64, "as": 1_000_000}), json!({"nofile": 64, "as": 1_000_000})),
        ("nice", json!(5), json!(5)),
        ("environment", json!({"A": "b c"}), json!({"A": "b c"})),
        ("environment_file", json!("/etc/env"), json!("/etc/env")),
        ("remote", json!(true), json!(true)),
    ] {
        let place = Place::new();
        let event = if key == "remote" { "after_vm_start" } else { "before_vm_start" };
        let mut entry = json!({ "events": [event] });
        entry[key] = value.clone();
        let script = place.describing("hook.sh", &json!([entry]));
        place.say(&["add", "script", &script]).ends(0, &[]);
        let read = place.the_one();
        if !expected.is_null() {
            assert_eq!(as_json(&read)[key], expected, "{key}");
        }
        if key != "command" {
            assert_eq!(read.command, [script.as_str()], "{key}");
        }
        match key {
            "events" => assert_eq!(read.triggers.events, ["after_vm_stop", "before_vm_start"]),
            "calls" => assert_eq!(read.triggers.calls[0].to_string(), "qemu/prepare/begin"),
            _ => assert_eq!(read.triggers.events, [event], "{key}"),
        }
    }
    let place = Place::new();
    let entry = json!({"events": "*", "mode": "detached", "retries": 7, "max_parallel": 2, "name": "seven"});
    let script = place.describing("hook.sh", &json!([entry]));
    place.say(&["add", "script", &script]).is_done();
    let read = place.read("seven");
    assert_eq!((read.retries, read.max_parallel, read.triggers.every_event), (7, Some(2), true));
}

// C2
#[test]
fn a_description_in_cpanels_keys() {
    let place = Place::new();
    let path = place.host.path("opt/hooks.sh");
    let path = path.to_str().unwrap();
    let description = json!([
        {"category": "vm", "event": "start", "stage": "pre", "hook": format!("{path} --before"), "exectype": "script",
         "check": "/usr/bin/test -d '/proc'", "rollback": format!("{path} --undo"), "blocking": 1, "weight": "50"},
        {"category": "VM", "event": "start", "stage": "post", "hook": format!("{path} --after"), "exectype": "script", "escalateprivs": true},
        {"category": "network", "event": "port_create", "stage": "pre", "hook": "hooks.sh --port 'a b'", "escalateprivs": 0, "check": null},
        {"category": "daemon", "event": "stop", "stage": "pre"},
        {"category": "device", "event": "create", "stage": "pre", "hook": "lib/device", "timeout": "5s"},
    ]);
    let script = place.describing("hooks.sh", &description);
    place.script("lib/device", "");
    let said = place.say(&["add", "script", &script]);
    said.ends(0, &["NAME", "EVENT", "WEIGHT", "COMMAND", "hooks-before_vm_start", "as nobody"]);
    said.ends(0, &["hooks-before_vm_start, hooks-before_daemon_stop, hooks-before_device_create: escalateprivs isn't given"]);
    let all = place.all();
    assert_eq!(all.len(), 5);
    let before = &all["hooks-before_vm_start"];
    assert_eq!(before.command, [path, "--before"]);
    assert_eq!(before.check.as_ref().unwrap(), &["/usr/bin/test", "-d", "/proc"]);
    assert_eq!(before.rollback.as_ref().unwrap(), &[path, "--undo"]);
    assert_eq!((before.weight, as_json(before)["on_failure"].clone()), (50, json!("stop")));
    let after = &all["hooks-after_vm_start"];
    assert_eq!((after.weight, after.run_as.clone()), (100, None));
    let port = &all["hooks-before_network_port_create"];
    assert_eq!(port.command, [path, "--port", "a b"]);
    assert_eq!(port.run_as.as_ref().unwrap().user, "nobody");
    assert_eq!(all["hooks-before_daemon_stop"].command, [path]);
    let device = &all["hooks-before_device_create"];
    assert_eq!(device.command, [place.host.path("opt/lib/device").to_str().unwrap()]);
    assert_eq!(device.timeout.limit(), Some(Duration::from_secs(5)));
}

#[test]
fn one_mistake_and_nothing_is_registered() {
    for (entry, words) in [
        (
            json!({"events": "before_vm_strat"}),
            "entry 2, `events`: there is no event `before_vm_strat`; did you mean `before_vm_start`?",
        ),
        (json!({"category": "vm", "event": "start", "stage": "during"}), "entry 2, `stage`"),
        (
            json!({"category": "vm", "event": "stop", "stage": "pre"}),
            "only stage post (after_vm_stop)",
        ),
        (
            json!({"category": "Whostmgr", "event": "Accounts::Create", "stage": "pre"}),
            "known are vm, device, network, daemon, vdsm",
        ),
        (
            json!({"events": "*", "wheight": 1}),
            "entry 2, `wheight`: there is no such key; did you mean `weight`?",
        ),
        (json!({"events": "*", "on_failure": "explode"}), "entry 2, `on_failure`"),
        (json!({"events": "*", "retries": 1}), "entry 2, `retries`"),
        (json!("*"), "entry 2: an entry is an object"),
    ] {
        let place = Place::new();
        let description = json!([{"events": "before_vm_start"}, entry]);
        let script = place.describing("hook.sh", &description);
        let said = place.say(&["add", "script", &script]);
        said.ends(1, &[words, "nothing was registered"]);
        place.nothing_is_registered();
        let said = place.say(&["add", "script", &script, "--output", "json"]);
        let value = said.ends(1, &[]).json();
        assert_eq!(
            (&value["registrations"], &value["problems"][0]["entry"]),
            (&json!([]), &json!(2))
        );
        assert!(said.stderr.is_empty(), "{said:#?}");
    }
}

#[test]
fn a_dry_run_only_shows() {
    let place = Place::new();
    let script = place.script("hook.sh", "echo \"$@\" >>\"$T/ran\"");
    let words = ["add", "script", &script, "--event", "before_vm_start", "--dry-run"];
    let said = place.say(&words);
    said.is_done().ends(0, &["hook-before_vm_start", "100", "--dry-run"]);
    assert!(!place.host.hook("hooks.d").exists());
    let value = place.say(&[&words[..], &["--output", "json"]].concat()).json();
    assert_eq!(value["registrations"][0]["action"], "none");
    assert_eq!(value["registrations"][0]["registered"]["command"], json!([script]));
    assert!(!place.host.path("ran").exists(), "it was run");
}

#[test]
fn a_dry_run_runs_nothing() {
    let place = Place::new();
    let text = "echo \"$@\" >>\"$T/ran\"; [ \"$1\" = --describe ] && echo '[]'";
    let script = place.script("hook.sh", text);
    for more in [&[][..], &["--describe"], &["--event", "after_vm_stop"]] {
        let words = [&["add", "script", &script, "--dry-run"][..], more].concat();
        place.say(&words).ends(0, &["nothing was registered: --dry-run"]);
    }
    let asked = place.say(&["add", "script", &script, "--dry-run"]);
    asked.ends(0, &["would be run to ask it", "isn't known"]);
    let value = place.say(&["add", "script", &script, "--dry-run", "--output", "json"]).json();
    assert_eq!(value["registrations"], json!([]));
    assert!(value["notes"][0]["message"].as_str().unwrap().contains("runs nothing"), "{value:#}");
    if has(PYTHON) {
        place.module("mod.py", "open('@T@/ran', 'w')\ndef describe(): return []\n");
        place
            .say(&["add", "module", "mod", "--dry-run"])
            .ends(0, &["would be loaded to ask it, which runs its code"]);
        let options = ["--event", "after_vm_stop", "--action", "f"];
        place.say(&[&["add", "module", "mod", "--dry-run"][..], &options].concat()).is_done();
    }
    assert!(!place.host.path("ran").exists(), "something was run");
    place.nothing_is_registered();
}

// C8
#[test]
fn a_script_that_never_heard_of_it_is_not_asked() {
    let place = Place::new();
    let script = place.script("down.sh", "echo \"$@\" >>\"$T/ran\"; printf '[]'");
    place.say(&["add", "script", &script]).ends(
        1,
        &["has no `--describe` in its text", "--event EVENT", "add script /", "--describe"],
    );
    // options say all, without another word
    place.say(&["add", "script", &script, "--event", "after_vm_stop", "--name", "a"]).is_done();
    // and --manual is still a word for it
    let manual = ["--manual", "--event", "after_vm_start", "--name", "b"];
    place.say(&[&["add", "script", &script][..], &manual].concat()).is_done();
    assert!(!place.host.path("ran").exists(), "it was run");
    // only who asks for it has it run
    place.say(&["add", "script", &script, "--describe"]).ends(1, &["run to ask it", "an empty"]);
    assert_eq!(place.host.read_text("ran"), "--describe\n");
    for more in [["--event", "after_vm_stop"], ["--name", "x"]] {
        let words = [&["add", "script", &script, "--describe"][..], &more].concat();
        place.say(&words).ends(2, &["combined with options"]);
    }
    place.say(&["add", "script", &script, "--describe", "--manual"]).ends(2, &[]);
    assert_eq!(place.all().len(), 2);
}

#[test]
fn the_word_is_found_wherever_it_stands() {
    let place = Place::new();
    let description = json!([{"events": "before_vm_start"}]).to_string();
    // behind so much else, and across the pieces in which a file is read
    for (index, before) in [65_520, 65_530, 200_000].into_iter().enumerate() {
        let text = format!(": {}\n: --describe\nprintf '%s' '{description}'", "x".repeat(before));
        let script = place.script(&format!("far{index}.sh"), &text);
        place.say(&["add", "script", &script]).is_done();
    }
    assert_eq!(place.all().len(), 3);
}

#[test]
fn what_asking_a_script_may_cost_is_bounded() {
    let place = Place::new();
    // its environment is hookmux's, and nothing comes on its standard input
    let script = place.script(
        "env.sh",
        "cat; env | sed 's/=.*//' | sort | xargs >\"$T/env\"; pwd >\"$T/pwd\"; exit 1",
    );
    let said = place.say(&["add", "script", &script, "--describe"]);
    said.ends(1, &["doesn't describe itself: it ended with exit status 1", "--event"]);
    assert_eq!(
        place.host.read_text("env").trim(),
        "HOME HOOKMUX_HOOKS_DIR HOOKMUX_RUN LC_ALL PATH PWD"
    );
    assert_eq!(place.host.read_text("pwd").trim(), "/");
    let script = place.script("loud.sh", "head -c 10000000 /dev/zero");
    place.say(&["add", "script", &script, "--describe"]).ends(1, &["it printed 10000000 bytes"]);
    let script = place.script("slow.sh", "setsid sleep 1000 & sleep 1000");
    let began = Instant::now();
    place.say(&["add", "script", &script, "--describe"]).ends(1, &["it didn't end within 10 s"]);
    assert!(began.elapsed() < Duration::from_secs(30));
    let script = place.script("sad.sh", "echo 'no, thanks' >&2; exit 3");
    place.say(&["add", "script", &script, "--describe"]).ends(1, &["exit status 3: no, thanks"]);
    for (text, why) in [
        ("", "printed nothing"),
        ("echo usage: x", "not JSON"),
        ("echo '{}'", "`events` or `calls` is missing"),
        ("echo '5'", "an array of registrations, or one"),
        ("echo '[]'", "nothing to register"),
    ] {
        let script = place.script("odd.sh", text);
        place.say(&["add", "script", &script, "--describe"]).ends(1, &[why]);
    }
    place.nothing_is_registered();
}

#[test]
fn only_a_trusted_script_is_asked_or_registered() {
    let place = Place::new();
    let script = place.describing("hook.sh", &json!([{"events": "before_vm_start"}]));
    for (mode, words) in [
        (0o775, "is writable by group; install -D -m 755"),
        (0o644, "executable; install -D -m 755"),
    ] {
        fs::set_permissions(&script, fs::Permissions::from_mode(mode)).unwrap();
        place.say(&["add", "script", &script]).ends(1, &[words]);
        let manual =
            place.say(&["add", "script", &script, "--manual", "--event", "before_vm_start"]);
        manual.ends(1, &[words]);
        place.nothing_is_registered();
    }
    place.host.settings("trust: warn");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o775)).unwrap();
    place.say(&["add", "script", &script]).ends(0, &["is writable by group"]);
    place.say(&["add", "script", "/nonexistent/x"]).ends(1, &["/nonexistent/x"]);
}

#[test]
fn one_command_takes_over_another_users_script() {
    if !is_root() {
        return skip("only root can give a file away");
    }
    for (name, is_typed) in [
        ("x.sh", true),
        ("it's", true),
        ("z';touch pwned;'", true),
        ("$(touch pwned)", true),
        ("x.sh", false),
        ("it's", false),
    ] {
        let place = Place::new();
        let script = place.script(name, "true");
        let directory = place.host.path("opt");
        for path in [Path::new(&script), &directory] {
            std::os::unix::fs::chown(path, Some(4321), None).unwrap();
        }
        let words = [
            "add",
            "script",
            &script,
            "--event",
            "before_vm_start",
            "--name",
            "one",
            "--when",
            "name=a b",
        ];
        let words = if is_typed { words.to_vec() } else { [&words[..1], &words[2..]].concat() };
        let said = place.say(&words);
        said.ends(1, &["owned by uid 4321", "install -D -m 755"]);
        let line = said.stderr.trim_end().split_once("uid 4321; ").unwrap().1.to_owned();
        let bin = place.host.path("path");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(binary_under_test(), bin.join("hookmux")).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &line]).current_dir(place.host.directory());
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        let output = {
            let _writing = writing();
            command.output().unwrap()
        };
        assert!(output.status.success(), "{line}: {output:?}");
        let copy = place.host.hook("bin").join(name);
        assert_eq!(place.read("one").command, [copy.to_str().unwrap()]);
        assert!(place.host.path("opt").join(name).exists());
        assert!(!place.host.path("pwned").exists());
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fs::metadata(directory).unwrap().uid(), 4321, "the directory was taken away");
    }
}

/// `hookmux add /usr/local/sbin/guard` can mean one thing only (m8).
#[test]
fn the_word_script_may_be_left_out() {
    let place = Place::new();
    let script = place.script("guard", "true");
    let options = ["--event", "before_vm_start", "--name", "guard"];
    let both = [&["add", "script", &script][..], &options, &["--dry-run"]].concat();
    let (with, without) = (place.say(&both), place.say(&[&both[..1], &both[2..]].concat()));
    assert_eq!((with.status, &with.stdout), (without.status, &without.stdout), "{without:?}");
    place.say(&[&["add", script.as_str()][..], &options].concat()).is_done();
    assert_eq!(place.the_one().command, [script.as_str()]);
    place.say(&["delete", "guard"]).is_done();
    // from where one stands, and cPanel's option
    place.say(&["add", "opt/guard", "--exectype", "script", "--event", "after_vm_stop"]).is_done();
    assert_eq!(place.the_one().command, [script.as_str()]);
    place.say(&["delete", "script", "opt/guard"]).is_done();
    // it is told which options are missing, and a script that describes itself is asked
    let said = place.say(&["add", &script]);
    said.ends(
        1,
        &["has no `--describe` in its text", &format!("add script {script} --event EVENT")],
    );
    let own = place.describing("own", &json!([{"name": "own", "events": "before_vm_start"}]));
    place.say(&["add", &own, "--dry-run"]).ends(0, &["a dry run runs nothing"]);
    place.say(&["add", &own]).is_done();
    assert_eq!(place.the_one().command, [own.as_str()]);
    place.say(&["delete", "own"]).is_done();
    // one that can't be started yet
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
    place.say(&[&["add", script.as_str()][..], &options].concat()).ends(1, &["not executable"]);
    // what is no program is not taken for one
    place.host.file("../opt/text", "text").mode("opt/text", 0o644);
    place.say(&["add", "opt/text"]).ends(2, &["neither `script` nor", "nor the path of a program"]);
    place.say(&["add", "opt/nowhere"]).ends(1, &["there is no such file or directory"]);
    place.nothing_is_registered();
}

#[test]
fn a_relative_path_is_taken_from_where_one_stands() {
    let place = Place::new();
    let script = place.describing("hook.sh", &json!([{"events": "before_vm_start"}]));
    place.say(&["add", "script", "opt/hook.sh"]).is_done();
    assert_eq!(place.the_one().command, [script.as_str()]);
    place.say(&["delete", "script", "./opt/hook.sh"]).is_done();
    place.nothing_is_registered();
}

// --- add script: options -------------------------------------------------------------------------

#[test]
fn each_option_alone() {
    let is = |key: &'static str, value: Value| (key, value);
    for (words, (key, expected)) in [
        (&["--weight", "-5"][..], is("weight", json!(-5))),
        (
            &["--check", "/usr/bin/test -e '/a b'"],
            is("check", json!(["/usr/bin/test", "-e", "/a b"])),
        ),
        (&["--rollback", "/bin/echo undo"], is("rollback", json!(["/bin/echo", "undo"]))),
        (&["--run-as", "nobody"], is("run_as", json!({"user": "nobody"}))),
        (&["--run-as", "nobody:65534"], is("run_as", json!({"user": "nobody", "group": "65534"}))),
        (&["--escalateprivs"], is("run_as", json!(null))),
        (&["--escalateprivs", "0"], is("run_as", json!({"user": "nobody"}))),
        (&["--timeout", "2m"], is("timeout", json!({"after": {"secs": 120, "nanos": 0}}))),
        (&["--on-failure", "warn"], is("on_failure", json!("warn"))),
        (&["--mode", "detached"], is("mode", json!("detached"))),
        (&["--style", "libvirt"], is("style", json!("libvirt"))),
        (
            &["--when", "name=web-*", "--when", "name=!web-test"],
            is("when", json!({"name": ["web-*", "!web-test"]})),
        ),
        (
            &["--when", "driver=qemu", "--when", "property.macspoof=true"],
            is("when", json!({"driver": ["qemu"], "property": {"macspoof": ["true"]}})),
        ),
        (&["--name", "mine"], is("name", json!("mine"))),
    ] {
        let place = Place::new();
        let script = place.script("hook.sh", "log asked");
        let mut line = vec!["add", "script", &script, "--manual", "--event", "before_vm_start"];
        line.extend(words);
        place.say(&line).ends(0, &[]);
        let read = place.the_one();
        assert_eq!(as_json(&read)[key], expected, "{words:?}");
        assert_eq!(
            (read.triggers.events.as_slice(), read.command.len()),
            (&["before_vm_start".to_owned()][..], 1)
        );
        assert_eq!(place.host.log(), [""; 0], "with --manual the script isn't asked");
    }
}

// C3
#[test]
fn a_moment_by_category_event_and_stage() {
    for (words, event) in [
        (&["--category", "vm", "--event", "start", "--stage", "pre"][..], "before_vm_start"),
        (&["--category=VM", "--event=start", "--stage=post"], "after_vm_start"),
        (&["--event", "after_network_stop"], "after_network_stop"),
        (&["--event", "on_qemu_paused"], "on_qemu_paused"),
    ] {
        let place = Place::new();
        let script = place.script("hook.sh", "");
        place.say(&[&["add", "script", &script, "--manual"][..], words].concat()).ends(0, &[]);
        assert_eq!(place.the_one().triggers.events, [event]);
    }
    let place = Place::new();
    let script = place.script("hook.sh", "");
    let base = ["add", "script", &script, "--manual"];
    for (words, told) in [
        (&["--event", "start"][..], "`--event`: there is no event `start`"),
        (&["--event", "start", "--stage", "pre"], "--category"),
        (&["--event", "start", "--category", "vm"], "--stage"),
        (&["--event", "stop", "--category", "vm", "--stage", "pre"], "only stage post"),
        (&["--event", "before_vm_start", "--timeout", "3x"], "--timeout"),
        (&["--event", "before_vm_start", "--when", "nmae=x"], "did you mean `name`?"),
        (&["--event", "before_vm_start", "--run-as", ":x"], "--run-as"),
        (&["--event", "before_vm_start", "--action", "'x"], "--action"),
        (&["--event", "before_vm_start", "--name", "a/b"], "--name"),
        (&["--event", "after_vm_stop", "--mode", "detached", "--rollback", "/x"], "--rollback"),
    ] {
        place.say(&[&base, words].concat()).ends(2, &[told, "nothing was registered"]);
    }
    place.nothing_is_registered();
    for words in [
        &[][..],
        &["--event", "x", "--on-failure", "explode"],
        &["--event", "x", "--mode", "later"],
    ] {
        place.say(&[&base, words].concat()).ends(2, &["--help"]);
    }
}

/// What cPanel's guide types, about libvirt's moments.
#[test]
fn an_action_is_split_as_a_shell_splits_it() {
    for (action, expected) in [
        (&["--action", "add"][..], &["add"][..]),
        (&["--action=--add"], &["--add"]),
        (&["--action", "--add"], &["--add"]),
        (&["--action", "--user=\"John Doe\" --id 5"], &["--user=John Doe", "--id", "5"]),
        (&["--action=\"--opt one\""], &["--opt one"]),
        (
            &["--action", r#"--x "a \"quoted\" word" 'single $NAME' back\ slash \\"#],
            &["--x", "a \"quoted\" word", "single $NAME", "back slash", "\\"],
        ),
        (&["--action", "'' \"\""], &["", ""]),
        (&["--action", "äöü --λ"], &["äöü", "--λ"]),
    ] {
        let place = Place::new();
        let script = place.script("do_extra.sh", "");
        let base = [
            "add",
            "script",
            &script,
            "--manual",
            "--category",
            "vm",
            "--event",
            "start",
            "--stage",
            "pre",
            "--escalateprivs",
        ];
        place.say(&[&base, action].concat()).is_done();
        let read = place.the_one();
        assert_eq!(read.command[0], script);
        assert_eq!(read.command[1..], *expected, "{action:?}");
        assert_eq!(read.run_as, None);
    }
}

// C8
#[test]
fn options_say_all_and_nothing_is_asked() {
    let place = Place::new();
    let text = "echo \"$@\" >>\"$T/ran\"\n[ \"$1\" = --describe ] && echo '[]'";
    let script = place.script("hook.sh", text);
    let options = ["--event", "after_vm_stop", "--weight", "9"];
    place
        .say(&[&["add", "script", &script][..], &options].concat())
        .ends(0, &["options are given, so it isn't asked"]);
    let read = place.the_one();
    assert_eq!((read.triggers.events[0].as_str(), read.weight), ("after_vm_stop", 9));
    for alone in [["--weight", "9"], ["--name", "x"]] {
        place.say(&[&["add", "script", &script][..], &alone].concat()).ends(2, &["--event"]);
    }
    place.say(&["add", "script", &script, "--manual"]).ends(2, &["--event"]);
    assert!(!place.host.path("ran").exists(), "it was asked");
}

// C4
#[test]
fn weights_are_counted_as_cpanel_counts_them() {
    let place = Place::new();
    for (number, (given, expected)) in
        [(None, 100), (None, 200), (None, 300), (Some("455"), 455), (None, 555), (None, 655)]
            .into_iter()
            .enumerate()
    {
        let script = place.script(&format!("hook{number}.sh"), "");
        let mut line = vec![
            "add",
            "script",
            &script,
            "--manual",
            "--category",
            "vm",
            "--event",
            "start",
            "--stage",
            "pre",
        ];
        line.extend(given.iter().flat_map(|weight| ["--weight", *weight]));
        place.say(&line).ends(0, &[]);
        assert_eq!(place.read(&format!("hook{number}-before_vm_start")).weight, expected);
    }
    // another event counts for itself
    let script = place.script("hook0.sh", "");
    place.say(&["add", "script", &script, "--manual", "--event", "after_vm_stop"]).is_done();
    assert_eq!(place.read("hook0-after_vm_stop").weight, 100);
}

#[test]
fn weights_of_all_roots_count() {
    let place = Place::with_root();
    place.registration("low", "pkg", "events: before_vm_start\ncommand: /bin/true\nweight: 700\n");
    let script = place.script("hook.sh", "");
    place.say(&["add", "script", &script, "--manual", "--event", "before_vm_start"]).is_done();
    assert_eq!(place.the_one().weight, 800);
}

#[test]
fn nothing_is_written_over_unasked() {
    let place = Place::with_root();
    let script = place.describing(
        "hook.sh",
        &json!([{"events": "before_vm_start"}, {"events": "after_vm_stop"}]),
    );
    place.say(&["add", "script", &script]).is_done();
    let before = place.text("hook-after_vm_stop");
    // the same changes nothing
    place.say(&["add", "script", &script]).is_done().ends(0, &["unchanged"]);
    place.say(&["add", "script", &script, "--replace"]).is_done().ends(0, &["unchanged"]);
    // but what was changed meanwhile is kept
    let edited = format!("{before}nice: 5\n");
    fs::write(place.file("hook-after_vm_stop"), &edited).unwrap();
    let said = place.say(&["add", "script", &script]);
    said.ends(
        1,
        &[
            "this is registered already, as `hook-after_vm_stop`",
            "--replace",
            "nothing was registered",
        ],
    );
    assert_eq!(place.text("hook-after_vm_stop"), edited);
    // written anew, it keeps its turn
    let said = place.say(&["add", "script", &script, "--replace"]);
    said.is_done().ends(0, &["replaced"]);
    assert_eq!(
        place.text("hook-after_vm_stop").lines().skip(1).collect::<Vec<_>>(),
        before.lines().skip(1).collect::<Vec<_>>()
    );
    // another script of the same name
    let other = place.script("other/hook.sh", "");
    let manual = |more: &[&str]| {
        place.say(
            &[&["add", "script", &other, "--manual", "--event", "before_vm_start"][..], more]
                .concat(),
        )
    };
    manual(&[]).ends(1, &["the name of another registration", "--name"]);
    manual(&["--name", "other"]).is_done();
    // the same under a name of its own is meant, under a made one it isn't
    manual(&["--name", "again"]).is_done();
    fs::rename(place.file("hook-before_vm_start"), place.file("renamed")).unwrap();
    place
        .say(&["add", "script", &script, "--replace"])
        .ends(1, &["registered already, as `renamed`"]);
    // what would be masked
    place.registration("low", "third", "events: '*'\ncommand: /bin/true\n");
    manual(&["--name", "third"]).ends(1, &["would be masked"]);
    // what is masked
    place.say(&["disable", "third"]).is_done();
    manual(&["--name", "third"]).ends(1, &[" enable third`"]);
    manual(&["--name", "third", "--replace"]).is_done();
    assert_eq!(place.read("third").command, [other.as_str()]);
}

#[test]
fn what_is_hardly_meant_is_warned_about() {
    let place = Place::new();
    let script = place.script("hook.sh", "");
    let add = |event: &str, more: &[&str]| {
        place.say(
            &[&["add", "script", &script, "--manual", "--replace", "--event", event][..], more]
                .concat(),
        )
    };
    add("before_vm_start", &["--on-failure", "kill"]).ends(0, &["none of its events is live"]);
    add("after_vm_stop", &["--rollback", "/bin/true"]).ends(0, &["only at a gate"]);
    add("before_vm_start", &["--mode", "detached"]).ends(0, &["can't stop anything"]);
    add("before_vm_start", &["--check", "/nonexistent/check"])
        .ends(0, &["it will be refused", "/nonexistent"]);
    place.host.script("before_vm_start/10-x", "");
    let path = place.host.hook("before_vm_start/10-x");
    let said = place.say(&[
        "add",
        "script",
        path.to_str().unwrap(),
        "--manual",
        "--event",
        "before_vm_start",
    ]);
    said.ends(0, &["runs at before_vm_start without being registered"]);
}

#[test]
fn files_are_for_everybody_to_read_and_say_where_they_come_from() {
    let place = Place::new();
    let script = place.script("a b.sh", "");
    let said = place.say(&[
        "add",
        "script",
        &script,
        "--manual",
        "--event",
        "before_vm_start",
        "--when",
        "name=x\ncommand: y",
    ]);
    said.is_done();
    let read = place.the_one();
    assert_eq!(read.name, "a-b-before_vm_start");
    assert_eq!(as_json(&read)["when"]["name"], json!(["x\ncommand: y"]));
    let mode = fs::metadata(&read.source).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    let text = place.text(&read.name);
    let header: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
    assert!(header[0].contains("hookmux") && header[0].contains("--manual"), "{text}");
    assert!(header[1].contains("may edit this file"), "{text}");
    let left: Vec<_> = fs::read_dir(place.host.hook("hooks.d"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left.len(), 2, "the file and the lock: {left:?}");
}

#[test]
fn many_at_once_lose_nothing() {
    let place = Place::new();
    let scripts: Vec<String> = (0..12).map(|n| place.script(&format!("h{n}.sh"), "")).collect();
    thread::scope(|scope| {
        for script in &scripts {
            let place = &place;
            scope.spawn(move || {
                place
                    .say(&["add", "script", script, "--manual", "--event", "before_vm_start"])
                    .is_done();
            });
        }
    });
    let mut weights: Vec<i64> = place.all().values().map(|hook| hook.weight).collect();
    weights.sort_unstable();
    assert_eq!(weights, (1..=12).map(|n| n * 100).collect::<Vec<_>>());
}

// --- add FILE ------------------------------------------------------------------------------------

// O10
#[test]
fn a_file_is_taken_as_it_is() {
    let place = Place::new();
    let file = place.host.path("mine.yaml");
    let text =
        "# why it is there\nevents: before_vm_start   # when\ncommand: [/bin/true]\nweight: 7\n";
    fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    place.say(&["add", path]).is_done();
    assert!(
        place.text("mine").ends_with(text) && place.text("mine").starts_with("# Registered by")
    );
    assert_eq!(place.read("mine").weight, 7);
    place.say(&["add", path]).is_done().ends(0, &["unchanged"]);
    fs::write(&file, text.replace("weight: 7", "weight: 8")).unwrap();
    place.say(&["add", path]).ends(1, &["registered already", "--replace --dry-run --diff"]);
    fs::write(&file, text).unwrap();
    place.say(&["add", "mine.yaml", "--name", "second"]).is_done();
    fs::write(&file, "events: before_vm_start\ncommand: [/bin/true, x]\n").unwrap();
    place.say(&["add", path, "--name", "third"]).is_done();
    assert_eq!(place.read("third").weight, 107);
    place.say(&["add", path, "--weight", "5"]).ends(2, &["only --name can be used with it"]);
    place.say(&["add", path, "--manual"]).ends(2, &[]);
    fs::write(&file, "events: before_vm_start\ncomand: /bin/true\n").unwrap();
    place
        .say(&["add", path, "--replace"])
        .ends(1, &["mine.yaml:2:1: unknown key `comand`; did you mean `command`?"]);
    assert_eq!(place.read("mine").weight, 7);
    place.say(&["add", "nothing.yaml"]).ends(1, &["can't be read"]);
    let value = place.say(&["add", "mine.yaml", "--output", "json"]);
    assert_eq!(value.status, 1, "{value:?}");
}

// --- add module ----------------------------------------------------------------------------------

const PYTHON: &str = "/usr/bin/python3";
const PERL: &str = "/usr/bin/perl";

fn has(interpreter: &str) -> bool {
    let is_there = Path::new(interpreter).exists();
    if !is_there {
        skip(&format!("{interpreter} is not installed"));
    }
    is_there
}

impl Place {
    fn module(&self, name: &str, text: &str) -> &Place {
        let path = self.host.hook("modules").join(name);
        self.host.file(&path, text.replace("@T@", self.host.path("").to_str().unwrap()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    fn python(&self) -> &Place {
        self.module("myapp/__init__.py", "").module(
            "myapp/hooks.py",
            r#"
import sys
def describe():
    print("noise on standard output")
    return [
        {"category": "vm", "event": "start", "stage": "post", "hook": "myapp.hooks.started", "exectype": "module"},
        {"events": ["after_vm_stop"], "hook": "stopped", "weight": 7, "name": "py-stop"},
    ]
def started(event):
    open("@T@/log", "a").write(event["event"] + "\n")
def stopped(event):
    return False, "no luck today"
def both(event):
    return True, "fine"
"#,
        )
    }

    fn perl(&self) -> &Place {
        self.module(
            "MyApp/Hooks.pm",
            r#"
package MyApp::Hooks;
use strict; use warnings;
sub describe {
    print "noise on standard output\n";
    return [
        { category => 'vm', event => 'start', stage => 'post', hook => 'MyApp::Hooks::started', exectype => 'module' },
        { category => 'vm', event => 'stop', stage => 'post', hook => 'MyApp::Hooks::stopped', exectype => 'module', weight => '7', check => 'may', rollback => undef },
    ];
}
sub started { my ($event) = @_; open my $log, '>>', '@T@/log' or die $!; print $log "$event->{event}\n"; return 1 }
sub stopped { return (0, 'no luck today') }
sub may { return 1 }
1;
"#,
        )
    }
}

// C1, C2
#[test]
fn a_python_module() {
    if !has(PYTHON) {
        return;
    }
    let place = Place::new();
    let said = place.python().say(&["add", "module", "myapp.hooks"]);
    said.ends(0, &["myapp.hooks started", "json on stdin"]);
    let read = place.read("myapp-hooks-after_vm_start");
    assert_eq!(read.command[0], PYTHON);
    assert_eq!(read.command[4..], ["myapp.hooks", "started"]);
    assert_eq!(as_json(&read)["stdin"], "json");
    assert_eq!(place.read("py-stop").weight, 7);
    // they run
    place.host.guest("started begin").run().succeeds();
    assert_eq!(place.host.log(), ["after_vm_start"]);
    place.host.guest("stopped end").run().fails(1, &["no luck today"]);
    place.say(&["add", "module", "myapp.hooks"]).ends(0, &["unchanged"]);
    place.say(&["delete", "module", "myapp.hooks"]).is_done();
    place.nothing_is_registered();
    place.say(&["delete", "module", "myapp.hooks"]).ends(1, &["no registration calls myapp.hooks"]);
    // by options: --action is the function
    let by_options = [
        "add",
        "module",
        "myapp.hooks",
        "--manual",
        "--category",
        "vm",
        "--event",
        "start",
        "--stage",
        "post",
    ];
    place.say(&by_options).ends(2, &["--action"]);
    place.say(&[&by_options[..], &["--action", "both"]].concat()).ends(0, &["escalateprivs"]);
    assert_eq!(place.the_one().command[4..], ["myapp.hooks", "both"]);
    place.host.guest("started begin").run().succeeds();
}

// C1, C2
#[test]
fn a_perl_module() {
    if !has(PERL) {
        return;
    }
    let place = Place::new();
    let said = place.perl().say(&["add", "module", "MyApp::Hooks"]);
    said.ends(0, &["MyApp::Hooks started", "escalateprivs isn't given"]);
    let read = place.read("MyApp-Hooks-after_vm_start");
    assert_eq!(
        (read.command[0].as_str(), &read.command[4..]),
        (PERL, &["MyApp::Hooks".to_owned(), "started".to_owned()][..])
    );
    let stop = place.read("MyApp-Hooks-after_vm_stop");
    assert_eq!((stop.weight, stop.check.as_ref().unwrap()[5].as_str()), (7, "may"));
    place.host.guest("started begin").run().succeeds();
    assert_eq!(place.host.log(), ["start"]);
    place.host.guest("stopped end").run().fails(1, &["no luck today"]);
    place.say(&["delete", "module", "MyApp::Hooks"]).is_done();
    let by_options = [
        "add",
        "module",
        "MyApp::Hooks",
        "--manual",
        "--category",
        "vm",
        "--event",
        "start",
        "--stage",
        "post",
        "--action=started",
    ];
    place.say(&by_options).ends(0, &[]);
    assert_eq!(place.the_one().command[5], "started");
}

#[test]
fn a_module_that_is_none() {
    let place = Place::new();
    place.say(&["add", "module", "a/b"]).ends(2, &["pkg.mod"]);
    if !has(PYTHON) || !has(PERL) {
        return;
    }
    place
        .say(&["add", "module", "nowhere.at_all"])
        .ends(1, &["the Python module nowhere.at_all can't be found", "no module nowhere"]);
    place
        .say(&["add", "module", "Nowhere::AtAll"])
        .ends(1, &["the Perl module Nowhere::AtAll can't be found"]);
    place.module("silent.py", "def hook(event): pass\n");
    place.say(&["add", "module", "silent"]).ends(1, &["silent has no function describe()"]);
    place
        .say(&["add", "module", "silent", "--event", "after_vm_stop", "--action", "hook"])
        .is_done();
    place.module("broken.py", "def describe(: pass\n");
    place.say(&["add", "module", "broken"]).ends(1, &["SyntaxError"]);
    // others could change it
    place.module("open.py", "open('@T@/executed', 'w')\ndef describe(): return []\n");
    fs::set_permissions(place.host.hook("modules/open.py"), fs::Permissions::from_mode(0o666))
        .unwrap();
    place.say(&["add", "module", "open"]).ends(1, &["open.py is writable by group"]);
    assert!(!place.host.path("executed").exists(), "it was loaded");
    fs::set_permissions(place.host.hook("modules"), fs::Permissions::from_mode(0o777)).unwrap();
    place.say(&["add", "module", "silent"]).ends(1, &["modules is writable by group"]);
}

#[test]
fn a_missing_interpreter_is_told() {
    if !is_root() {
        return skip("only root can hide an interpreter");
    }
    let place = Place::new();
    let hooks = place.host.hooks();
    let script = "mount -t tmpfs tmpfs /usr/local/bin; mount -t tmpfs tmpfs /usr/local/sbin; \
        for i in /usr/bin/python3* /usr/bin/perl /bin/python3 /bin/perl; do [ -e $i ] && mount --bind /dev/null $i; done; exec \"$@\"";
    for (module, words) in
        [("a.b", "a Python module needs python3"), ("A::B", "a Perl module needs perl")]
    {
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"])
            .arg(binary_under_test())
            .arg("--hooks-dir")
            .arg(&hooks)
            .args(["add", "module", module])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(words), "{said}");
    }
}

// --- delete --------------------------------------------------------------------------------------

// C1
#[test]
fn what_was_added_is_deleted_and_nothing_else() {
    let place = Place::with_root();
    let script = place.describing(
        "hook.sh",
        &json!([{"events": "before_vm_start"}, {"events": "after_vm_stop"}]),
    );
    let other = place.script("other.sh", "");
    place.say(&["add", "script", &script]).is_done();
    place.say(&["add", "script", &other, "--manual", "--event", "after_vm_stop"]).is_done();
    // --dry-run shows the same, and deletes nothing
    let said = place.say(&["delete", "script", &script, "--dry-run", "--output", "json"]);
    let value = said.is_done().json();
    assert_eq!(value["registrations"].as_array().unwrap().len(), 2);
    assert_eq!(value["registrations"][0]["action"], "none");
    place
        .say(&["delete", "other-after_vm_stop", "--dry-run"])
        .ends(0, &["would delete", "--dry-run"]);
    place.say(&["delete", "othr-after_vm_stop", "--dry-run"]).ends(1, &["did you mean"]);
    let said = place.say(&["delete", "script", &script, "--output", "json"]);
    let value = said.is_done().json();
    assert_eq!(value["registrations"].as_array().unwrap().len(), 2);
    assert_eq!(value["registrations"][0]["action"], "deleted");
    assert_eq!(place.the_one().command, [other.as_str()]);
    place.say(&["delete", "script", &script]).ends(1, &["no registration runs"]);
    place.say(&["delete", "othr-after_vm_stop"]).ends(1, &["did you mean `other-after_vm_stop`?"]);
    // a script that is gone can still be deleted
    fs::remove_file(&other).unwrap();
    place.say(&["delete", "script", &other]).ends(0, &["deleted"]);
    // by name; what it masked counts again, which is told
    let text = "events: after_vm_stop\ncommand: /bin/true\n";
    let low = place.registration("low", "pkg", text);
    place.registration("hooks", "pkg", text);
    place
        .say(&["delete", "pkg", "--dry-run"])
        .ends(0, &["would delete", "would count from then on"]);
    place.say(&["delete", "pkg"]).ends(0, &["deleted", low.to_str().unwrap(), " disable pkg`"]);
    place.say(&["delete", "pkg"]).ends(1, &["is not in", " disable pkg`"]);
    place.say(&["delete", "script", "/bin/true"]).ends(1, &[" disable pkg`"]);
    place.say(&["disable", "pkg"]).is_done();
    place.say(&["delete", "pkg"]).ends(1, &[" enable pkg`"]);
    assert!(low.exists());
    place.say(&["delete", "script"]).ends(2, &["needs the script's path"]);
    place.say(&["delete", "x", "y"]).ends(2, &["a name stands alone"]);
}

#[test]
fn scripts_that_are_no_registrations_have_another_way() {
    let place = Place::new();
    place.host.script("before_vm_start/10-x", "");
    place.host.script("qemu.adopted", "");
    for path in ["before_vm_start/10-x", "qemu.adopted"] {
        let path = place.host.hook(path);
        let said = place.say(&["delete", "script", path.to_str().unwrap()]);
        said.ends(1, &["is not a registration but a script", "chmod a-x", "rm"]);
        assert!(path.exists());
    }
    for command in ["delete", "enable", "disable"] {
        for name in ["10-x", "before_vm_start/10-x"] {
            place
                .say(&[command, name])
                .ends(1, &["is not a registration but a script (event directory)"]);
        }
    }
    // what disables these isn't their mode
    let link = place.host.hook("before_vm_start/20-link");
    symlink("/dev/null", &link).unwrap();
    let empty = place.host.hook("before_vm_start/30-empty");
    fs::write(&empty, "").unwrap();
    for (path, why) in [(link, "a link to /dev/null"), (empty, "it is empty")] {
        let name = path.file_name().unwrap().to_str().unwrap();
        let said = place.say(&["enable", name]);
        let rm = format!("`rm {}` ends that", path.display());
        said.ends(1, &["is not a registration but a script", why, &rm]);
        assert!(!said.stderr.contains("chmod"), "{said:#?}");
    }
}

// --- enable and disable --------------------------------------------------------------------------

#[test]
fn one_line_changes_and_the_rest_stays() {
    let place = Place::new();
    let text = "# mine\r\nevents: [before_vm_start]\t# when\r\ncommand: \"/bin/true\"\r\n\r\nenabled:  true   # on\r\n# end";
    let file = place.registration("hooks", "mine", text);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    place.say(&["enable", "mine"]).is_done().ends(0, &["is enabled already"]);
    assert_eq!(place.text("mine"), text);
    let value = place.say(&["disable", "mine", "--output", "json"]).is_done().json();
    assert_eq!(value["registrations"][0]["action"], "disabled");
    assert_eq!(place.text("mine"), text.replace("true   #", "false   #"));
    place.say(&["disable", "mine"]).is_done().ends(0, &["is disabled already"]);
    place.say(&["enable", "mine.yaml"]).is_done();
    assert_eq!(place.text("mine"), text);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // without such a line
    let text = "events: before_vm_start\ncommand: /bin/true\n# end";
    place.registration("hooks", "mine", text);
    place.say(&["disable", "mine"]).is_done();
    assert_eq!(place.text("mine"), format!("{text}\nenabled: false\n"));
    place.say(&["enable", "mine"]).is_done();
    assert!(place.read("mine").enabled);
    // a broken one isn't touched
    let text = "events: before_vm_start\ncomand: /bin/true\n";
    place.registration("hooks", "mine", text);
    place.say(&["disable", "mine"]).ends(1, &["mine.yaml:2:1", "correct it"]);
    assert_eq!(place.text("mine"), text);
    place.say(&["disable", "min"]).ends(1, &["did you mean `mine`?"]);
    place.say(&["enable"]).ends(2, &[]);
}

// O11
#[test]
fn a_disabled_hook_does_not_run() {
    let place = Place::new();
    let script = place.script("hook.sh", "log ran");
    place.say(&["add", "script", &script, "--manual", "--event", "before_vm_launch"]).is_done();
    for (command, log) in [("disable", &[][..]), ("enable", &["ran"])] {
        place.say(&[command, "hook-before_vm_launch"]).is_done();
        place.host.guest("start begin").run().succeeds();
        assert_eq!(place.host.log(), log, "{command}");
    }
}

#[test]
fn what_lies_elsewhere_is_masked() {
    let place = Place::with_root();
    let text = "events: before_vm_start\ncommand: /bin/true\n";
    let low = place.registration("low", "pkg", text);
    let mask = place.file("pkg");
    place.say(&["disable", "pkg"]).is_done().ends(0, &["masks"]);
    assert_eq!(fs::read_link(&mask).unwrap(), Path::new("/dev/null"));
    place.say(&["disable", "pkg"]).is_done().ends(0, &["is disabled already"]);
    place.say(&["enable", "pkg"]).is_done().ends(0, &["counts again"]);
    assert!(mask.symlink_metadata().is_err());
    place.say(&["enable", "pkg"]).is_done().ends(0, &["is enabled already"]);
    assert_eq!(fs::read_to_string(&low).unwrap(), text);
    // a broken one can be masked too
    fs::write(&low, "broken").unwrap();
    place.say(&["disable", "pkg"]).is_done();
    place.say(&["enable", "pkg"]).ends(1, &["counts again", "pkg.yaml:1:1"]);
    // its own `enabled: false` is not ours to change
    fs::write(&low, format!("{text}enabled: false\n")).unwrap();
    place.say(&["disable", "pkg"]).is_done().ends(0, &["is disabled already"]);
    place.say(&["enable", "pkg"]).ends(1, &["says `enabled: false`", "copy it to"]);
    // a mask of nothing
    std::os::unix::fs::symlink("/dev/null", place.file("ghost")).unwrap();
    place.say(&["enable", "ghost"]).is_done().ends(0, &["no registration behind it"]);
    assert!(place.file("ghost").symlink_metadata().is_err());
}

// --- the rest ------------------------------------------------------------------------------------

#[test]
fn the_schema_is_json_and_names_every_key() {
    let place = Place::new();
    let schema = place.say(&["schema"]).is_done().json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let keys: Vec<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, hookmux::for_tests::config::registration::keys());
}

#[test]
fn words_without_sense_are_wrong_usage() {
    let place = Place::new();
    for (words, told) in [
        (&["add"][..], "required"),
        (&["add", "script"], "needs the script's path"),
        (&["add", "module"], "needs the module's name"),
        (&["add", "scrip", "x"], "did you mean `script`?"),
        (&["add", "x.yaml", "y"], "neither"),
        (&["add", "script", "x", "--weight", "heavy"], "invalid value"),
    ] {
        place.say(words).ends(2, &[told]);
    }
}

#[test]
fn a_registry_that_others_could_change_is_refused() {
    let place = Place::new();
    let script = place.script("hook.sh", "");
    fs::create_dir(place.host.hook("hooks.d")).unwrap();
    fs::set_permissions(place.host.hook("hooks.d"), fs::Permissions::from_mode(0o777)).unwrap();
    let line = ["add", "script", &script, "--manual", "--event", "before_vm_start"];
    place.say(&line).ends(1, &["would be refused", "chmod go-w"]);
    place.nothing_is_registered();
    // nor is anything changed while nobody knows where the roots are
    place.host.settings("oops");
    place.say(&line).ends(1, &["hookmux.yaml:", "until the settings can be read"]);
}

// C11
#[test]
fn the_help_of_all_commands_can_be_had_at_once() {
    let output = std::process::Command::new(crate::support::host::binary_under_test())
        .args(["help", "--all"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for word in
        ["hookmux add", "--describe", "hookmux list", "--hooks-dir", "hookmux queue", "--flush"]
    {
        assert!(output.status.success() && text.contains(word), "{word} is missing in:\n{text}");
    }
}

#[test]
fn what_can_never_run_is_refused_or_warned_about() {
    let host = Host::new();
    host.script("bin/x", ":");
    let script = host.hook("bin/x").display().to_string();
    let add = |more: &[&str], status| {
        let words =
            [&["add", "script", &script, "--manual", "--replace", "--name", "x"], more].concat();
        host.text(&words, status)
    };
    for (more, status, words) in [
        (&["--event", "before_vm_start", "--when", "driver=qmeu"][..], 2, "did you mean `qemu`?"),
        (&["--event", "before_vm_start", "--when", "origin=frsh"], 2, "did you mean `fresh`?"),
        (&["--event", "on_qemu_prepare"], 2, "before_vm_start"),
        (&["--event", "qemu/prepre"], 0, "did you mean qemu/prepare?"),
        (
            &["--event", "before_vm_start", "--when", "reason=saved"],
            0,
            "it never runs: `when.reason` is saved",
        ),
        (
            &["--event", "before_network_start", "--when", "driver=qemu"],
            0,
            "triggered only at calls of network",
        ),
        (
            &["--event", "before_network_start", "--when", "origin=fresh"],
            0,
            "the origin is never that",
        ),
        (
            &["--event", "before_vm_start", "--run-as", "no-such-user"],
            1,
            "there is no user `no-such-user`",
        ),
    ] {
        let said = add(more, status);
        assert!(said.contains(words), "{more:?} must say {words:?}: {said}");
    }
    let said =
        add(&["--event", "after_vm_destroy", "--when", "reason=saved", "--when", "driver=q*"], 0);
    assert!(!said.contains("never runs"), "{said}");
}

#[test]
fn editors_and_habits_are_met_half_way() {
    let host = Host::new();
    host.script("bin/x", "log x");
    host.file(
        "hooks.d/x.yaml",
        "\u{feff}events: [before_vm_start]\r\ncommand: bin/x\r\nlimits: {as: 1 GiB}\r\n",
    );
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["x"]);
    for (text, words) in [
        ("events: [before_vm_start]\n---\nevents: []\n", "x.yaml:2:1: a file holds one document"),
        ("events: [before_vm_start]\ncommand: bin/x\non_failure: kil\n", "did you mean `kill`?"),
        ("events: [before_vm_start]\ncommand: bin/x\nlock: ..\n", "x.yaml:3:1: a lock's name"),
        ("events: [before_vm_start]\ncommand: bin/x\nrun_as: [a]\n", "a user: `nobody`"),
        (
            "events: [before_vm_start]\ncommand: bin/x\nenvironment: {A: ~}\n",
            "there is nothing here",
        ),
    ] {
        host.file("hooks.d/x.yaml", text);
        let said = host.text(&["list"], 0);
        assert!(said.contains(words), "{text:?} must say {words:?}: {said}");
    }
    host.file("hooks.d/x.yaml", "events: [before_vm_start]\ncommand: bin/x\n");
    host.file(
        "hooks.d/y.yaml",
        "events: [before_vm_start]\ncommand: bin/x\nargs: [$NAME]\nweight: 3\n",
    );
    assert!(host.text(&["disable", "x", "y"], 0).contains("y: disabled"));
    let listed = host.json(&["list"], 0);
    let y = listed["hooks"].as_array().unwrap().iter().find(|hook| hook["name"] == "y").unwrap();
    assert_eq!(
        (&y["registered"]["args"][0], &y["registered"]["enabled"]),
        (&json!("$NAME"), &json!(false))
    );
    // another condition is another hook
    host.file("k.yaml", "events: [before_vm_start]\ncommand: bin/x\nwhen: {name: web}\n");
    let file = host.hook("k.yaml").display().to_string();
    host.text(&["add", &file], 0);
    // a description that is broken isn't none
    host.script("bin/bad", "echo '[{\"events\": [\"before_vm_start\"],]'");
    let bad = host.hook("bin/bad").display().to_string();
    let said = host.text(&["add", "script", &bad, "--describe"], 1);
    assert!(said.contains("nothing was registered"), "{said}");
}
