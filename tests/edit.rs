//! `edit`: a copy is changed, checked and put in place as a whole; in every other case nothing changes.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, is_root, schema, skip};

const GOOD: &str = "events: before_vm_start\ncommand: /bin/true\n";

/// `edit` with an editor that is a line for a shell: `$1` is the file.
fn edit(host: &Host, editor: &str, words: &[&str]) -> Output {
    run(host, command(host, editor, words), None)
}

fn command(host: &Host, editor: &str, words: &[&str]) -> Command {
    let script = host.path("editor");
    {
        let _writing = writing();
        fs::write(&script, format!("#!/bin/sh\n{editor}\n")).unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(binary_under_test());
    command.arg("--hooks-dir").arg(host.hooks()).arg("edit").args(words);
    command.env_remove("VISUAL").env("EDITOR", script).env("TMPDIR", host.path("copies"));
    command.current_dir(host.directory());
    command
}

fn run(host: &Host, mut command: Command, typed: Option<&str>) -> Output {
    let _ = fs::create_dir(host.path("copies"));
    command.stdin(if typed.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = {
        let _writing = writing();
        command.spawn().unwrap()
    };
    if let (Some(typed), Some(mut stdin)) = (typed, child.stdin.take()) {
        stdin.write_all(typed.as_bytes()).unwrap();
    }
    child.wait_with_output().unwrap()
}

/// `edit` on a terminal of its own, where somebody types; `None` where there is no `script`.
fn on_a_terminal(host: &Host, editor: &str, words: &[&str], typed: &str) -> Option<String> {
    let inner = command(host, editor, words);
    let mut line = String::new();
    for (name, value) in inner.get_envs() {
        let value = value.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
        line.push_str(&format!(
            "{}={} ",
            name.to_string_lossy(),
            shlex::try_quote(&value).unwrap()
        ));
    }
    let all = std::iter::once(inner.get_program()).chain(inner.get_args());
    let all: Vec<String> =
        all.map(|word| shlex::try_quote(&word.to_string_lossy()).unwrap().into_owned()).collect();
    line.push_str(&all.join(" "));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]).current_dir(host.directory());
    if Command::new("script").arg("--version").output().is_err() {
        skip("there is no script(1), which gives a terminal");
        return None;
    }
    let output = run(host, terminal, Some(typed));
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(seen.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// The copies that were left.
fn copies(host: &Host) -> Vec<String> {
    let entries = fs::read_dir(host.path("copies")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string()).collect()
}

fn acts(host: &Host) -> Vec<Value> {
    host.json(&["log", "--audit"], 0)["acts"].as_array().unwrap().clone()
}

#[test]
fn a_registration_is_changed_as_a_whole_and_it_is_noted_who_did_it() {
    let host = Host::new();
    host.file("hooks.d/guard.yaml", GOOD).mode("hooks/hooks.d/guard.yaml", 0o640);
    let path = host.hook("hooks.d/guard.yaml");
    let before = fs::metadata(&path).unwrap();
    let output = edit(&host, "echo 'weight: 7' >> \"$1\"", &["guard", "--reason", "ticket 4711"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said(&output).contains("guard.yaml: saved"), "{output:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{GOOD}weight: 7\n"));
    let after = fs::metadata(&path).unwrap();
    assert_eq!(
        (after.mode(), after.uid(), after.gid()),
        (before.mode(), before.uid(), before.gid())
    );
    assert_ne!(after.ino(), before.ino(), "it was renamed into place");
    assert!(copies(&host).is_empty(), "{:?}", copies(&host));
    let acts = acts(&host);
    assert_eq!((&acts[0]["action"], &acts[0]["reason"]), (&"edit".into(), &"ticket 4711".into()));
    // the copy is this user's alone, has the file's name, and isn't in the hooks directory
    let editor = "stat -c '%a %n' \"$1\" \"${1%/*}\" > modes; echo '# x' >> \"$1\"";
    edit(&host, editor, &["guard"]);
    let modes = host.read_text("modes");
    let lines: Vec<&str> = modes.lines().collect();
    assert!(lines[0].starts_with("600 ") && lines[0].ends_with("/guard.yaml"), "{modes}");
    assert!(lines[1].starts_with("700 ") && !lines[1].contains("/hooks/"), "{modes}");
}

#[test]
fn what_is_not_changed_is_not_written() {
    let host = Host::new();
    host.file("hooks.d/guard.yaml", GOOD).mode("hooks/hooks.d/guard.yaml", 0o644);
    let path = host.hook("hooks.d/guard.yaml");
    let inode = fs::metadata(&path).unwrap().ino();
    let output = edit(&host, ":", &["guard"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said(&output).contains("nothing was changed"), "{output:?}");
    let output = edit(&host, ":", &["guard", "--output", "json"]);
    let answer = schema::read(&["edit"], &output.stdout);
    assert_eq!((&answer["action"], &answer["kind"]), (&"none".into(), &"registration".into()));
    // an editor that fails, or isn't there
    let output = edit(&host, "exit 3", &["guard"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("exit status 3: nothing was changed"), "{output:?}");
    assert!(copies(&host).is_empty(), "{:?}", copies(&host));
    let mut gone = command(&host, ":", &["guard"]);
    gone.env("EDITOR", "/nowhere/editor");
    let output = run(&host, gone, None);
    assert!(said(&output).contains("there is no editor `/nowhere/editor`"), "{output:?}");
    // without an editor there has to be a terminal for one
    let mut none = command(&host, ":", &["guard"]);
    none.env_remove("EDITOR");
    let output = run(&host, none, None);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("no terminal for an editor"), "{output:?}");
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    assert!(copies(&host).is_empty(), "{:?}", copies(&host));
}

/// Where a text is said to be; its directory is removed.
fn take_kept(host: &Host, said: &str) -> String {
    let (_, rest) = said.split_once("your text is in ").unwrap_or_else(|| panic!("{said}"));
    let path = Path::new(rest.split([':', '\n', '\r', '"', ' ']).next().unwrap());
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert!(copies(host).is_empty(), "{:?}", copies(host));
    text
}

#[test]
fn a_text_that_is_not_saved_is_kept_and_told() {
    let host = Host::new();
    host.file("hooks.d/guard.yaml", GOOD).mode("hooks/hooks.d/guard.yaml", 0o644);
    let wrong = "echo 'timout: 3' >> \"$1\"";
    let text = format!("{GOOD}timout: 3\n");
    // the editor fails, or is killed, after the user has written something
    for end in ["exit 3", "kill -9 $$"] {
        let editor = format!("{wrong}; {end}");
        let output = edit(&host, &editor, &["guard"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(take_kept(&host, &said(&output)), text);
        let output = edit(&host, &editor, &["guard", "--output", "json"]);
        let answer = schema::read(&["edit"], &output.stdout);
        assert_eq!(take_kept(&host, answer["error"]["message"].as_str().unwrap()), text);
    }
    // there is a mistake, and nobody to ask
    let output = edit(&host, wrong, &["guard"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(take_kept(&host, &said(&output)), text);
    let output = edit(&host, wrong, &["guard", "--output", "json"]);
    let answer = schema::read(&["edit"], &output.stdout);
    let kept = answer["kept"].as_str().unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), text);
    fs::remove_dir_all(Path::new(kept).parent().unwrap()).unwrap();
    // nothing is kept of what is not the user's
    let output = edit(&host, ":", &["guard", "--output", "json"]);
    assert_eq!(schema::read(&["edit"], &output.stdout)["kept"], Value::Null);
    // an editor that removes its file, or leaves something else in its place
    let output = edit(&host, "rm \"$1\"", &["guard"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("the editor removed "), "{output:?}");
    let output = edit(&host, "rm -r \"${1%/*}\"", &["guard"]);
    assert!(said(&output).contains("the editor removed "), "{output:?}");
    assert!(copies(&host).is_empty(), "{:?}", copies(&host));
    assert_eq!(host.read_text("hooks/hooks.d/guard.yaml"), GOOD);
    // the terminal goes away while it asks
    let Some(seen) = on_a_terminal(&host, wrong, &["guard"], "\u{4}") else { return };
    assert_eq!(take_kept(&host, &seen), text);
}

#[test]
fn an_error_is_told_and_without_a_terminal_nothing_changes() {
    let host = Host::new();
    host.file("hooks.d/guard.yaml", GOOD).mode("hooks/hooks.d/guard.yaml", 0o644);
    for (line, words) in [
        ("timout: 3", "unknown key `timout`; did you mean `timeout`?"),
        ("enabled: yes", "write true"),
        ("check: /nowhere/x", "/nowhere/x, which is not there"),
        ("run_as: no-such-user", "there is no user `no-such-user`"),
        ("when: {driver: network}", "never runs"),
    ] {
        let output = edit(&host, &format!("echo '{line}' >> \"$1\""), &["guard"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = said(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(words) && said.contains("nothing was changed"), "{said}");
        assert_eq!(host.read_text("hooks/hooks.d/guard.yaml"), GOOD);
    }
    assert!(acts(&host).iter().all(|act| act["state"] != "done"), "{:?}", acts(&host));
    // a warning is told, and saved
    let output = edit(&host, "echo 'on_failure: kill' >> \"$1\"", &["guard", "--output", "json"]);
    let answer = schema::read(&["edit"], &output.stdout);
    assert_eq!((output.status.code(), &answer["action"]), (Some(0), &"saved".into()));
    assert_eq!(answer["findings"][0]["code"], "meaningless-key");
}

#[test]
fn after_an_error_the_user_is_asked() {
    let host = Host::new();
    let start = || {
        host.file("hooks.d/guard.yaml", GOOD).mode("hooks/hooks.d/guard.yaml", 0o644);
    };
    start();
    // the first time wrong, the second time right
    let editor = "if [ -e once ]; then sed -i 's/timout/timeout/' \"$1\"; echo \"$#: $1\" >> once; else echo 'timout: 3' >> \"$1\"; touch once; fi";
    let Some(seen) = on_a_terminal(&host, editor, &["guard"], "e\n") else { return };
    assert!(seen.contains("[e]dit again, [q]uit without saving, [s]ave anyway"), "{seen}");
    assert!(seen.contains("did you mean `timeout`?") && seen.contains("saved"), "{seen}");
    assert_eq!(host.read_text("hooks/hooks.d/guard.yaml"), format!("{GOOD}timeout: 3\n"));
    start();
    let wrong = "echo 'timout: 3' >> \"$1\"";
    let seen = on_a_terminal(&host, wrong, &["guard"], "what\nq\n").unwrap();
    assert!(seen.contains("nothing was changed"), "{seen}");
    assert_eq!(host.read_text("hooks/hooks.d/guard.yaml"), GOOD);
    let seen = on_a_terminal(&host, wrong, &["guard"], "s\n").unwrap();
    assert!(seen.contains("saved"), "{seen}");
    assert_eq!(host.read_text("hooks/hooks.d/guard.yaml"), format!("{GOOD}timout: 3\n"));
    assert!(copies(&host).is_empty(), "{:?}", copies(&host));
}

#[test]
fn a_change_of_somebody_elses_is_not_lost() {
    let host = Host::new();
    host.file("hooks.d/guard.yaml", GOOD).mode("hooks/hooks.d/guard.yaml", 0o644);
    let theirs = host.hook("hooks.d/guard.yaml");
    let editor = format!("echo 'weight: 1' >> '{}'; echo 'weight: 2' >> \"$1\"", theirs.display());
    let output = edit(&host, &editor, &["guard"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = said(&output);
    assert!(said.contains("was changed by somebody else in the meantime"), "{said}");
    assert_eq!(fs::read_to_string(&theirs).unwrap(), format!("{GOOD}weight: 1\n"));
    // and neither is this one
    let (_, rest) = said.split_once("your text is in ").unwrap();
    let copy = rest.split(':').next().unwrap();
    assert_eq!(fs::read_to_string(copy).unwrap(), format!("{GOOD}weight: 2\n"));
    // a file that was removed
    host.file("hooks.d/guard.yaml", GOOD);
    let output =
        edit(&host, &format!("rm '{}'; echo 'weight: 2' >> \"$1\"", theirs.display()), &["guard"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!theirs.exists());
}

#[test]
fn settings_are_edited_and_begin_with_an_example() {
    let host = Host::new();
    let path = host.hook("hookmux.yaml");
    let private = host.private_settings();
    let output = edit(&host, "echo 'timeout: 7s' >> \"$1\"", &["--settings"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(fs::read_to_string(&path).unwrap().ends_with("timeout: 7s\n"));
    let output = edit(&host, "echo 'timout: 7s' >> \"$1\"", &["--settings"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("timout: 7s\n"), "the line is shown: {output:?}");
    // a broken file can be mended
    host.raw_settings(&format!("{private}timout: 3\n"));
    let output = edit(&host, "sed -i 's/timout/timeout/' \"$1\"", &["--settings"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // where there is none, an example; left as it is, no file is made
    fs::remove_file(&path).unwrap();
    let output = edit(&host, "cp \"$1\" seen", &["--settings"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!path.exists());
    assert!(host.read_text("seen").contains("#timeout: 120s\n"), "{}", host.read_text("seen"));
    let add =
        format!("cat >> \"$1\" <<'E'\n{private}E\nsed -i 's/^#timeout:.*/timeout: 9s/' \"$1\"");
    let output = edit(&host, &add, &["--settings"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(fs::read_to_string(&path).unwrap().contains("\ntimeout: 9s\n"));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn scripts_are_edited_by_their_names() {
    let host = Host::new();
    host.file("before_vm_start/10-net", "#!/bin/sh\ntrue\n");
    host.file("qemu.d/win10/prepare/begin/10-x", "#!/bin/sh\n").file("qemu.adopted", "#!/bin/sh\n");
    for (name, file) in [
        ("before_vm_start/10-net", "before_vm_start/10-net"),
        ("10-net", "before_vm_start/10-net"),
        ("qemu.d/win10/prepare/begin/10-x", "qemu.d/win10/prepare/begin/10-x"),
        ("qemu.adopted", "qemu.adopted"),
    ] {
        let output = edit(&host, "echo '# changed' >> \"$1\"", &[name]);
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
        let path = Path::new("hooks").join(file);
        assert!(host.read_text(path.to_str().unwrap()).ends_with("# changed\n"), "{name}");
        assert_eq!(fs::metadata(host.path(&path)).unwrap().mode() & 0o777, 0o755, "{name}");
    }
    for (change, words) in [
        ("1s,.*,#!/nowhere/sh,", "needs /nowhere/sh"),
        ("s/$/\\r/", "Windows line ends"),
        ("1d", "no #! line"),
    ] {
        let output = edit(&host, &format!("sed -i '{change}' \"$1\""), &["before_vm_start/10-net"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said(&output).contains(words), "{change}: {output:?}");
    }
    // one name of several
    host.file("after_vm_stop/10-net", "#!/bin/sh\n");
    let said = host.text(&["edit", "10-net"], 1);
    assert!(said.contains("write before_vm_start/10-net or after_vm_stop/10-net"), "{said}");
    let said = host.text(&["edit", "gaurd"], 1);
    assert!(said.contains("there is no registration `gaurd`"), "{said}");
    host.text(&["edit"], 2);
    host.text(&["edit", "x", "--settings"], 2);
    let said = host.text(&["edit", "x", "--settings", "--output", "json"], 2);
    assert!(said.contains("\"usage\""), "{said}");
}

#[test]
fn a_hook_of_another_root_is_masked_by_the_result() {
    let host = Host::new();
    host.raw_settings(&host.private_settings().replace("roots: []", "roots: [../more]"));
    host.file("../more/hooks.d/dns.yaml", GOOD).mode("more/hooks.d/dns.yaml", 0o644);
    host.file("../more/after_vm_stop/50-x", "#!/bin/sh\n");
    let output = edit(&host, "echo 'weight: 3' >> \"$1\"", &["dns"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said(&output).contains("which masks it"), "{output:?}");
    assert_eq!(host.read_text("more/hooks.d/dns.yaml"), GOOD);
    assert_eq!(host.read_text("hooks/hooks.d/dns.yaml"), format!("{GOOD}weight: 3\n"));
    let output = edit(&host, "echo '# x' >> \"$1\"", &["after_vm_stop/50-x"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(host.read_text("hooks/after_vm_stop/50-x"), "#!/bin/sh\n# x\n");
    assert_eq!(fs::metadata(host.hook("after_vm_stop/50-x")).unwrap().mode() & 0o777, 0o755);
    // one that is disabled by a mask has no text
    symlink("/dev/null", host.hook("hooks.d/off.yaml")).unwrap();
    let said = host.text(&["edit", "off"], 1);
    assert!(said.contains("enable off` first"), "{said}");
    // a link of one's own is followed
    fs::write(host.path("mine.yaml"), GOOD).unwrap();
    symlink(host.path("mine.yaml"), host.hook("hooks.d/mine.yaml")).unwrap();
    let output = edit(&host, "echo 'weight: 3' >> \"$1\"", &["mine"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(host.hook("hooks.d/mine.yaml").is_symlink());
    assert!(host.read_text("mine.yaml").ends_with("weight: 3\n"));
}

/// What is relative in a registration is below its own root: it means the same in the copy.
#[test]
fn a_copy_from_another_root_runs_what_the_original_runs() {
    let host = Host::new();
    let roots = format!("roots: ['{}']", host.path("more").display());
    host.raw_settings(&host.private_settings().replace("roots: []", &roots));
    host.script("../more/bin/x", ":").script("../more/bin/undo", ":");
    host.file("../more/env", "A=b\n");
    let text = "# mine\nevents: before_vm_prepare\ncommand: [bin/x, bin/x]\nundo: bin/undo\nenvironment_file: env\n";
    host.file("../more/hooks.d/dns.yaml", text).mode("more/hooks.d/dns.yaml", 0o600);
    let output = edit(&host, "echo 'weight: 3' >> \"$1\"", &["dns"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let more = host.path("more").display().to_string();
    let expected = text
        .replace("[bin/x,", &format!("[\"{more}/bin/x\","))
        .replace("undo: bin", &format!("undo: {more}/bin"))
        .replace(": env", &format!(": {more}/env"));
    let written = host.read_text("hooks/hooks.d/dns.yaml");
    let plain = |text: &str| text.replace('"', "");
    assert_eq!(plain(&written), format!("{}weight: 3\n", plain(&expected)));
    assert_eq!(fs::metadata(host.hook("hooks.d/dns.yaml")).unwrap().mode() & 0o777, 0o600);
    let listed = host.json(&["list", "--hook", "dns"], 0);
    assert_eq!(listed["hooks"][0]["state"], "active", "{listed:#}");
    // where that can't be done, it is told before
    fs::remove_file(host.hook("hooks.d/dns.yaml")).unwrap();
    host.file(
        "../more/hooks.d/dns.yaml",
        text.replace("undo: bin/undo", "undo:\n- \"bin\\u002fundo\""),
    );
    let output = edit(&host, ":", &["dns"]);
    let said = said(&output);
    assert!(said.contains("what is relative in it is below ") && said.contains("`undo`"), "{said}");
}

#[test]
fn it_is_said_what_keeps_a_hook_from_being_edited() {
    let host = Host::new();
    host.file("before_vm_start/10-net", "#!/bin/sh\n");
    host.link("/dev/null", "before_vm_start/20-off");
    fs::write(host.path("mine.yaml"), GOOD).unwrap();
    host.link(host.path("mine.yaml"), "hooks.d/mine.yaml");
    let off = host.hook("before_vm_start/20-off").display().to_string();
    for (name, words) in [
        ("before_vm_start/10-nte", "there is no script `before_vm_start/10-nte`; did you mean"),
        ("before_vm_start/nothing", "there is no script `before_vm_start/nothing`"),
        ("before_vm_start/20-off", &format!("a link to /dev/null: `rm {off}` first")),
        ("20-off", &format!("a link to /dev/null: `rm {off}` first")),
        ("hooks.d/nothing", "there is no registration `hooks.d/nothing`"),
        ("nothing", "there is no registration `nothing`"),
    ] {
        let said = host.text(&["edit", name], 1);
        assert!(said.contains(words), "{name}: {said}");
        assert!(!said.contains("not a registration but"), "{name}: {said}");
    }
    // whoever edits a link learns what is changed
    let output = edit(&host, "echo 'weight: 3' >> \"$1\"", &["mine"]);
    let said = said(&output);
    let target = fs::canonicalize(host.path("mine.yaml")).unwrap();
    assert!(
        said.contains(&format!("is a link: the result goes to {}", target.display())),
        "{said}"
    );
}

#[test]
fn the_editor_may_have_arguments_and_owners_stay() {
    let host = Host::new();
    host.file("hooks.d/guard.yaml", GOOD).mode("hooks/hooks.d/guard.yaml", 0o644);
    let mut with_words = command(&host, ":", &["guard"]);
    with_words.env("VISUAL", "sed -i -e 's/true/false/'");
    let output = run(&host, with_words, None);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(host.read_text("hooks/hooks.d/guard.yaml").contains("/bin/false"));
    if !is_root() {
        return skip("only root can give files away");
    }
    std::os::unix::fs::chown(host.hook("hooks.d/guard.yaml"), Some(0), Some(65534)).unwrap();
    edit(&host, "echo '# x' >> \"$1\"", &["guard"]);
    assert_eq!(fs::metadata(host.hook("hooks.d/guard.yaml")).unwrap().gid(), 65534);
}
