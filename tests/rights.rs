//! Hooks with `run_as`: what of root's they don't keep, and what of theirs root doesn't take.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use crate::support::host::binary_under_test;
use crate::support::{GUEST, Host, is_root, schema, skip, until};

const NOBODY: u32 = 65534;
const AS_NOBODY: &str = "run_as: {user: nobody, group: nogroup}";

/// A host whose scripts any user can get to, with a directory `home` of nobody's; `None`, and words,
/// for whoever isn't root.
fn host() -> Option<Host> {
    if !is_root() {
        skip("only root can become somebody else");
        return None;
    }
    let host = Host::new();
    host.mode("", 0o755);
    fs::create_dir(host.path("home")).unwrap();
    chown(host.path("home"), Some(NOBODY), Some(NOBODY)).unwrap();
    Some(host)
}

fn register(host: &Host, event: &str, name: &str, script: &str, more: &str) {
    host.script(format!("bin/{name}"), script);
    let text = format!("events: {event}\ncommand: bin/{name}\n{more}\n");
    host.file(format!("hooks.d/{name}.yaml"), text);
}

/// What each hook printed, in order; all must have succeeded.
fn printed(host: &Host) -> Vec<String> {
    let object = host.json(&["run", "qemu", "g", "prepare", "--xml", "guest.xml"], 0);
    let runs = object["runs"].as_array().unwrap();
    let stdout = |run: &Value| run["stdout"].as_str().unwrap().trim_end().to_owned();
    runs.iter().map(stdout).collect()
}

// --- what a user may not look at ----------------------------------------------------------------

/// A command of hookmux's by nobody.
fn ask(host: &Host, words: &[&str]) -> std::process::Output {
    let binary = host.path("hookmux");
    if !binary.exists() {
        let _writing = crate::support::host::writing();
        fs::copy(binary_under_test(), &binary).unwrap();
        fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).unwrap();
    }
    Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(binary)
        .arg("--hooks-dir")
        .arg(host.hooks())
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn is_denied(host: &Host, words: &[&str], is_json: bool) {
    let output = ask(host, words);
    let (said, told) =
        (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(1), "{words:?}: {said}{told}");
    assert!(told.is_empty(), "{words:?} answers: {told}");
    let how = format!("sudo hookmux --hooks-dir {}", host.hooks().display());
    assert!(said.contains("root's") && said.contains(&how), "{words:?}: {said}");
    if !is_json {
        return;
    }
    let output = ask(host, &[words, &["--output", "json"]].concat());
    assert_eq!(output.status.code(), Some(1), "{words:?}");
    let value = schema::read(words, &output.stdout);
    let error = &value["error"];
    assert_eq!((&error["code"], &error["fix_command"][0]), (&"no-rights".into(), &"sudo".into()));
    assert!(error["message"].as_str().unwrap().contains("root's"), "{value:#}");
    assert!(error["fix"].as_str().unwrap().starts_with("sudo hookmux "), "{value:#}");
}

/// A host without hooks in sessions, which has run something.
fn system_host() -> Option<Host> {
    let host = host()?;
    host.raw_settings(&host.private_settings().replace("session: true", "session: false"));
    host.script("before_vm_start/10-x", "true");
    host.guest("prepare begin").run().succeeds();
    Some(host)
}

#[test]
fn who_may_not_look_is_told_how_to_ask() {
    let Some(host) = system_host() else { return };
    host.mode("state", 0o700).mode("run", 0o711);
    for words in
        [&["log"][..], &["show", "last"], &["queue"], &["watch"], &["plan", "qemu", "g", "prepare"]]
    {
        is_denied(&host, words, true);
    }
    // never zeros in place of what can't be read
    is_denied(&host, &["metrics"], true);
    is_denied(&host, &["status"], true);
    is_denied(&host, &[], false);
    // hooks are no secret, unless their directory is shut
    assert_eq!(ask(&host, &["list"]).status.code(), Some(0));
    assert_eq!(ask(&host, &["list", "--digest"]).status.code(), Some(0));
    // a digest that leaves out a script would be another host's
    host.script("before_vm_start/20-shut", ":").mode("hooks/before_vm_start/20-shut", 0o700);
    assert_eq!(ask(&host, &["list"]).status.code(), Some(0));
    is_denied(&host, &["list", "--digest"], true);
    fs::remove_file(host.hook("before_vm_start/20-shut")).unwrap();
    host.mode("hooks/before_vm_start", 0o700);
    is_denied(&host, &["list"], true);
    is_denied(&host, &[], false);
    assert_eq!(ask(&host, &["check"]).status.code(), Some(1));
    host.mode("hooks/before_vm_start", 0o755);
    host.file("hookmux.bypass", "events: before_vm_start\ncommand: /bin/true\n");
    host.mode("hooks/hookmux.bypass", 0o600);
    is_denied(&host, &["list"], true);
    fs::remove_file(host.hook("hookmux.bypass")).unwrap();
    a_shut_registration_hides_no_other(&host);
    host.mode("hooks/hookmux.yaml", 0o600);
    is_denied(&host, &["list"], true);
}

fn a_shut_registration_hides_no_other(host: &Host) {
    let shut = "hooks.d/shut.yaml";
    host.file(shut, "events: before_vm_start\ncommand: /bin/true\n");
    host.mode(Path::new("hooks").join(shut), 0o600);
    let output = ask(host, &["list"]);
    let told = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("10-x") && told.contains("shut"), "{told}");
    assert!(said.contains("shut.yaml is root's") && said.contains("sudo hookmux"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    for words in [&["list", "--digest"][..], &["plan", "qemu", "g", "prepare"], &["status"]] {
        is_denied(host, words, true);
    }
    let checked = ask(host, &["check", "--output", "json"]);
    let checked = schema::read(&["check"], &checked.stdout);
    let about = |one: &&Value| one["path"].as_str().is_some_and(|path| path.ends_with(shut));
    let findings = checked["findings"].as_array().unwrap().iter().filter(about);
    let codes: Vec<&Value> = findings.map(|one| &one["code"]).collect();
    assert_eq!(codes, ["unseen"], "{checked:#}");
    fs::remove_file(host.hook(shut)).unwrap();
    // the lock that every change of the registry leaves is root's alone
    host.file("hooks.d/.lock", "");
    host.mode("hooks/hooks.d/.lock", 0o600);
    assert_eq!(ask(host, &["list"]).status.code(), Some(0));
    // what isn't there needs no rights to be told
    let output = ask(host, &["enable", "nonsense"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there is no registration `nonsense`"), "{said}");
}

/// One message is enough for who has no rights.
#[test]
fn who_may_not_change_is_told_once_how_to_ask() {
    let Some(host) = system_host() else { return };
    host.mode("state", 0o711).mode("run", 0o711).mode("hooks", 0o755);
    host.script("bin/x", ":");
    let script = host.hook("bin/x").display().to_string();
    for words in [
        &["new", "after_vm_start", "10-y"][..],
        &["add", "script", &script, "--event", "before_vm_start"],
        &["uninstall"],
        &["bypass", "on", "--for", "1h"],
    ] {
        let output = ask(&host, words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("; sudo hookmux "), "{words:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
    }
}

/// What docs/json.md says of a dashboard that isn't root's (JSON 10).
#[test]
fn what_needs_no_rights_is_answered_and_sudo_takes_the_rest() {
    let page = include_str!("../docs/json.md");
    let (_, section) = page.split_once("## Without root").unwrap();
    let (words, rules) = section.split_once("```text\n").unwrap();
    let rules = rules.split("```").next().unwrap();
    let Some(host) = system_host() else { return };
    host.mode("state", 0o700).mode("run", 0o711);
    host.file("../guard.yaml", "events: before_vm_start\ncommand: /bin/true\n");
    host.text(&["list"], 0);
    let (file, guest) = (host.path("guard.yaml"), host.path("guest.xml"));
    let (file, guest) = (file.to_str().unwrap(), guest.to_str().unwrap());
    host.mode("guard.yaml", 0o644).mode("guest.xml", 0o644);
    for (named, line) in [
        ("`events`", &["events", "--output", "json"][..]),
        ("`schema`", &["schema", "list"]),
        ("`check FILE`", &["check", file, "--output", "json"]),
        ("`xml get`", &["xml", "get", "--file", guest, "name"]),
        ("`list`", &["list", "--output", "json"]),
    ] {
        assert!(words.contains(named), "{named} is not in the page");
        let output = ask(&host, line);
        assert_eq!(output.status.code(), Some(0), "{line:?}: {output:?}");
        assert!(!output.stdout.is_empty(), "{line:?}");
    }
    // what the rules allow are commands of hookmux, and each whole
    let commands: Vec<&str> = rules.split("/usr/sbin/hookmux ").skip(1).collect();
    assert!(commands.len() > 4 && !rules.contains('*'), "{rules}");
    for command in commands {
        let line: Vec<&str> =
            command.split([',', '\n']).next().unwrap().split_whitespace().collect();
        if line[0] == "watch" {
            continue;
        }
        let output = host.hookmux(&line);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{line:?}: {output:?}");
        schema::judge(&line, &output.stdout);
    }
    fs::write(host.path("sudoers"), rules).unwrap();
    let visudo = Command::new("visudo").args(["-c", "-q", "-f"]).arg(host.path("sudoers")).output();
    match visudo {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(_) => skip("there is no visudo, which judges the rules"),
    }
}

#[test]
fn what_a_user_cant_execute_runs_for_the_systems_daemon() {
    let Some(host) = system_host() else { return };
    host.script("before_vm_start/20-x", "true").mode("hooks/before_vm_start/20-x", 0o700);
    host.file("hooks.d/x.yaml", "events: before_vm_start\ncommand: ../private/x\n");
    host.script("../private/x", "true").mode("private", 0o700);
    host.mode("hooks/hooks.d/x.yaml", 0o644);
    let output = ask(&host, &["list", "--output", "json"]);
    let said = schema::read(&["list"], &output.stdout);
    let hooks = said["hooks"].as_array().unwrap().iter();
    let states =
        hooks.map(|hook| (hook["name"].as_str().unwrap(), hook["state"].as_str().unwrap()));
    let states: Vec<_> = states.filter(|(name, _)| *name != "x").collect();
    assert_eq!(states, [("10-x", "active"), ("20-x", "active")], "{said:#}");
}

#[test]
fn the_runtime_directory_can_be_passed_through_and_not_listed() {
    let Some(host) = system_host() else { return };
    // the mover may still be at work there
    until("it is gone", || fs::remove_dir_all(host.path("run")).is_ok());
    host.guest("prepare begin").run().succeeds();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&host.path("run")), 0o711);
    for entry in fs::read_dir(host.path("run")).unwrap().flatten() {
        // what is moved away meanwhile is nobody's any more
        let Ok(found) = entry.metadata() else { continue };
        assert_eq!(found.mode() & 0o077, 0, "{}", entry.path().display());
    }
    // one of an older version's, at the next start of a daemon
    host.mode("run", 0o700);
    host.call("daemon", ["-", "start", "begin", "-"]).stdin("").run().succeeds();
    assert_eq!(mode(&host.path("run")), 0o711);
}

#[test]
fn a_root_that_is_shut_to_a_session_is_passed_over() {
    let Some(host) = host() else { return };
    let own = host.path("home").display().to_string();
    fs::create_dir_all(host.path("shut/hooks/before_vm_start")).unwrap();
    host.mode("shut", 0o700);
    let settings = format!(
        "session: true\nstate_dir: {own}/s\nruntime_dir: {own}/r\nroots: ['{}']\n",
        host.path("shut/hooks").display()
    );
    host.raw_settings(&settings);
    host.script("before_vm_start/10-x", &format!("echo ran >>'{own}/said'"));
    ask(&host, &["events"]);
    fs::remove_file(host.hook("qemu")).unwrap();
    std::os::unix::fs::symlink(host.path("hookmux"), host.hook("qemu")).unwrap();
    let call = || {
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(host.hook("qemu"))
            .args(["g", "prepare", "begin", "-"])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = call();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(host.read_text("home/said"), "ran\n");
    // a root of one's own that can't be read is trouble
    chown(host.path("shut/hooks"), Some(NOBODY), Some(NOBODY)).unwrap();
    host.mode("shut", 0o711).mode("shut/hooks", 0);
    assert_eq!(call().status.code(), Some(125));
}

// --- what is root's -----------------------------------------------------------------------------

/// Gives this thread a session keyring with a key; `false` where the kernel has no keys.
#[allow(unsafe_code)]
fn hold_a_key(name: &std::ffi::CStr) -> bool {
    // SAFETY: the strings outlive the calls; they change the keyring of this thread alone.
    unsafe {
        let joined = libc::syscall(libc::SYS_keyctl, 1, c"hookmux-tests".as_ptr());
        let (kind, value) = (c"user".as_ptr(), c"x".as_ptr());
        joined > 0 && libc::syscall(libc::SYS_add_key, kind, name.as_ptr(), value, 1, -3) > 0
    }
}

#[test]
fn the_keys_of_roots_session_are_not_theirs() {
    let Some(host) = host() else { return };
    if !Path::new("/proc/keys").exists() || !hold_a_key(c"hookmux-tests-secret") {
        return skip("this kernel has no keys, or lets nobody have them");
    }
    let script = "grep -c hookmux-tests-secret /proc/keys; true";
    register(&host, "before_vm_start", "a-root", script, "");
    register(&host, "before_vm_start", "b-nobody", script, AS_NOBODY);
    assert_eq!(printed(&host), ["1", "0"]);
}

/// Makes CAP_CHOWN inheritable and ambient in this thread.
#[allow(unsafe_code)]
fn pass_a_capability_on() {
    let header = [0x2008_0522u32, 0];
    let mut sets = [0u32; 6];
    // SAFETY: a header and two words for each of three sets; only this thread's sets change.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()), 0);
        sets[2] |= 1;
        assert_eq!(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()), 0);
        let raise = libc::PR_CAP_AMBIENT_RAISE;
        assert_eq!(libc::prctl(libc::PR_CAP_AMBIENT, raise, 0, 0, 0), 0);
    }
}

#[test]
fn no_capability_stays_or_can_come_back() {
    let Some(host) = host() else { return };
    pass_a_capability_on();
    let script = "grep -E '^(Cap|NoNewPrivs|Groups)' /proc/self/status | tr -d ' \\t'";
    register(&host, "before_vm_start", "a-root", script, "");
    register(&host, "before_vm_start", "b-nobody", script, AS_NOBODY);
    let printed = printed(&host);
    let lines: Vec<Vec<&str>> = printed.iter().map(|text| text.lines().collect()).collect();
    let none = "0000000000000000";
    let expected = ["Inh", "Prm", "Eff", "Bnd", "Amb"].map(|set| format!("Cap{set}:{none}"));
    assert_eq!(lines[1][..2], ["Groups:65534", &expected[0]]);
    assert_eq!(lines[1][2..6], expected[1..]);
    assert_eq!(lines[1][6], "NoNewPrivs:1");
    // root's own hooks keep what they were given
    assert_ne!(lines[0][1], expected[0]);
    assert_ne!(lines[0][4], expected[3]);
}

#[test]
fn their_streams_can_be_opened_again() {
    let Some(host) = host() else { return };
    let script = r#"
set -e
echo 1 >/dev/stderr
echo 2 | tee /dev/stderr >/dev/null
echo 3 >>/proc/self/fd/2
echo 4 >/dev/fd/2
echo 5 >/dev/stdout
echo 6 | tee /proc/$$/fd/1 >/dev/null
sh -c 'echo 7 >/dev/stdout'
wc -c </dev/stdin | tr -d ' '
"#;
    let expected = |size: usize| format!("5\n6\n7\n{size}\n");
    let size = GUEST.len();
    for (style, stdin, read) in
        [("vdsm", "none", 0), ("vdsm", "xml", size), ("libvirt", "none", size)]
    {
        for user in [AS_NOBODY, "", "nice: 1"] {
            let more = format!("style: {style}\nstdin: {stdin}\n{user}");
            register(&host, "before_vm_start", "x", script, &more);
            let object = host.json(&["run", "qemu", "g", "prepare", "--xml", "guest.xml"], 0);
            let run = &object["runs"][0];
            assert_eq!(run["stdout"].as_str(), Some(expected(read).as_str()), "{more}: {run}");
            assert_eq!(run["stderr"].as_str(), Some("1\n2\n3\n4\n"), "{more}: {run}");
        }
    }
}

// --- what root doesn't take ---------------------------------------------------------------------

/// A document that may be taken, and is nobody's to read.
fn roots_document(host: &Host) {
    let text = GUEST.replace("</domain>", "<description>ROOTS</description></domain>");
    fs::write(host.path("home/private"), text).unwrap();
    host.mode("home/private", 0o600);
}

#[test]
fn a_file_of_roots_in_place_of_the_document_is_not_read() {
    let Some(host) = host() else { return };
    let event = "before_vm_migrate_destination";
    let seen = r#"grep -c ROOTS "$_hook_domxml" >>"$T/log"; true"#;
    register(&host, event, "z-later", seen, "weight: 900");
    for (how, words) in [
        (r#"mv "$T/home/private" "$_hook_domxml""#, "it belongs to uid 0"),
        (r#"ln -sf "$T/home/private" "$_hook_domxml""#, "not a regular file"),
        (r#"rm "$_hook_domxml"; mkfifo "$_hook_domxml""#, "not a regular file"),
        (r#"rm "$_hook_domxml"; mkdir "$_hook_domxml""#, "not a regular file"),
        (
            r#"ln "$_hook_domxml" "${_hook_domxml%/*}/other"; echo >>"$_hook_domxml""#,
            "more than one name",
        ),
    ] {
        roots_document(&host);
        register(&host, event, "x", how, AS_NOBODY);
        let answer = host.guest("migrate begin").run();
        answer.fails(1, &[words]);
        assert!(answer.stdout.is_empty() && !answer.stderr.contains("ROOTS"), "{how}");
        assert_eq!(host.log(), ["0"], "{how}");
    }
    // what the user wrote is taken, by whatever way of writing
    for how in [
        r#"sed -i 's,</domain>,<a/></domain>,' "$_hook_domxml""#,
        r#"sed 's,</domain>,<a/></domain>,' "$_hook_domxml" >"$T/home/new"; mv "$T/home/new" "$_hook_domxml""#,
        r#"new=$(sed 's,</domain>,<a/></domain>,' "$_hook_domxml"); echo "$new" >"$_hook_domxml""#,
    ] {
        register(&host, event, "x", how, AS_NOBODY);
        let answer = host.guest("migrate begin").run();
        assert_eq!(answer.status, Some(0), "{how}: {}", answer.stderr);
        let document = String::from_utf8(answer.stdout).unwrap();
        assert_eq!(document.trim_end(), GUEST.replace("</domain>", "<a/></domain>").trim_end());
    }
}

#[test]
fn a_document_that_others_own_or_another_directory_is_not_read_from_roots_hooks_either() {
    let Some(host) = host() else { return };
    let edit = r#"sed -i 's,</domain>,<a/></domain>,' "$_hook_domxml""#;
    for more in ["", "parallel: true"] {
        for (how, words) in [
            (r#"chown nobody "$_hook_domxml""#, "it belongs to uid 65534"),
            (
                r#"d=${_hook_domxml%/*}; mv "$d" "$d.x"; mkdir "$d"; cp "$d.x/document.xml" "$d"; rm -r "$d.x""#,
                "not the one that was made",
            ),
        ] {
            let script = format!("{edit}; {how}");
            register(&host, "before_vm_migrate_destination", "x", &script, more);
            host.guest("migrate begin").run().fails(1, &[words]);
        }
        register(&host, "before_vm_migrate_destination", "x", edit, more);
        host.guest("migrate begin").run().answers(GUEST.replace("</domain>", "<a/></domain>"));
    }
}

// --- what they leave ----------------------------------------------------------------------------

/// Keeps every mover away, for as long as it lives.
fn no_mover(host: &Host) -> Flock<File> {
    fs::create_dir_all(host.path("run/records")).unwrap();
    let lock = File::create(host.path("run/records/.mover")).unwrap();
    Flock::lock(lock, FlockArg::LockExclusive).unwrap()
}

fn entries(directory: impl AsRef<Path>) -> Vec<fs::DirEntry> {
    fs::read_dir(directory).into_iter().flatten().flatten().collect()
}

/// Many files, and directories deeper than a path can be long.
const LEAVES: &str = r#"
cd "${_hook_domxml%/*}"
i=0; while [ $i -lt 300 ]; do : >"f$i"; i=$((i+1)); done
deep=$(printf 'd/%.0s' $(seq 1500))
mkdir -p "$deep" "other/$deep"
mv d "other/$deep"
ln -s /etc other/link; ln -s / link
chmod 0 other
"#;

#[test]
fn what_is_left_is_put_aside_in_the_call_and_removed_afterwards() {
    let Some(host) = host() else { return };
    let lock = no_mover(&host);
    register(&host, "before_vm_start", "x", LEAVES, AS_NOBODY);
    host.guest("prepare begin").run().succeeds();
    assert!(entries(host.path("run/data")).is_empty());
    let left = entries(host.path("run/trash"));
    assert_eq!(left.len(), 1);
    assert!(entries(left[0].path()).len() > 300, "nothing was removed in the call");
    for path in [host.path("run/trash"), left[0].path()] {
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o777), (0, 0o700), "{}", path.display());
    }
    let done = host.json(&["prune"], 0);
    assert!(done["trash_removed"].as_u64().unwrap() > 3300, "{done}");
    assert_eq!(done["trash_left"], false);
    assert!(entries(host.path("run/trash")).is_empty());
    // by itself, as soon as a mover can
    host.guest("prepare begin").run().succeeds();
    assert_eq!(entries(host.path("run/trash")).len(), 1);
    drop(lock);
    register(&host, "before_vm_start", "x", "true", AS_NOBODY);
    host.guest("prepare begin").run().succeeds();
    until("the mover has removed it", || entries(host.path("run/trash")).is_empty());
}

#[test]
fn without_records_it_is_removed_all_the_same() {
    let Some(host) = host() else { return };
    host.settings("record: none");
    register(&host, "before_vm_start", "x", LEAVES, AS_NOBODY);
    host.guest("prepare begin").run().succeeds();
    assert!(entries(host.path("run/data")).is_empty() && host.path("run/trash").exists());
    until("a mover has removed it", || entries(host.path("run/trash")).is_empty());
}

#[test]
fn a_document_of_usual_size_is_removed_at_once_and_a_large_one_later() {
    let Some(host) = host() else { return };
    let _lock = no_mover(&host);
    register(&host, "before_vm_start", "x", r#"echo >>"$_hook_domxml""#, AS_NOBODY);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(
        (entries(host.path("run/data")).len(), entries(host.path("run/trash")).len()),
        (0, 0)
    );
    register(&host, "before_vm_start", "x", r#"truncate -s 1G "$_hook_domxml""#, AS_NOBODY);
    host.guest("prepare begin").run();
    assert_eq!(
        (entries(host.path("run/data")).len(), entries(host.path("run/trash")).len()),
        (0, 1)
    );
}

#[test]
fn who_goes_on_making_files_keeps_nobody() {
    let Some(host) = host() else { return };
    let lock = no_mover(&host);
    // in two directories, until it is told to stop
    let script = r#"
cd "${_hook_domxml%/*}"
mkdir sub
(
    n=0
    while [ ! -e "$T/home/stop" ] && [ $n -lt 100000 ]; do
        n=$((n+1)); : >"f$n"; : >"sub/f$n"; mkdir "sub/d$n"; [ -e "sub/d$n" ] || sleep 0.01
    done
) </dev/null >/dev/null 2>&1 &
while [ ! -e f20 ]; do sleep 0.01; done
"#;
    register(&host, "before_vm_start", "x", script, AS_NOBODY);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(entries(host.path("run/trash")).len(), 1);
    until("it is all removed", || {
        host.json(&["prune"], 0);
        entries(host.path("run/trash")).is_empty()
    });
    fs::write(host.path("home/stop"), "").unwrap();
    drop(lock);
}

#[test]
fn what_a_dead_call_left_is_put_aside_when_the_daemon_starts() {
    let Some(host) = host() else { return };
    let lock = no_mover(&host);
    let mut dead = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
    let number = dead.id();
    dead.wait().unwrap();
    for name in [format!("run/data/x.{number}"), format!("run/data/x.{number}-1")] {
        fs::create_dir_all(host.path(&name).join("deeper")).unwrap();
        fs::write(host.path(&name).join("document.xml"), GUEST).unwrap();
    }
    fs::create_dir(host.path(format!("run/data/y.{number}"))).unwrap();
    fs::set_permissions(host.path("run/data"), fs::Permissions::from_mode(0o711)).unwrap();
    let start = || host.call("daemon", ["-", "start", "-", "start"]).stdin("").run();
    start().succeeds();
    assert!(entries(host.path("run/data")).is_empty());
    assert_eq!(entries(host.path("run/trash")).len(), 2);
    drop(lock);
    start().succeeds();
    until("a mover has removed it", || entries(host.path("run/trash")).is_empty());
}

#[test]
fn what_is_mounted_there_is_not_removed() {
    let Some(host) = host() else { return };
    for name in ["kept", "run/trash", "run/trash/x", "run/trash/x/sub", "run/trash/y"] {
        fs::create_dir_all(host.path(name)).unwrap();
    }
    host.mode("run/trash", 0o700);
    fs::write(host.path("kept/file"), "").unwrap();
    fs::write(host.path("run/trash/x/file"), "").unwrap();
    fs::write(host.path("run/trash/x/bound"), "").unwrap();
    let script = r#"
set -e
cd "$1"
mount --bind kept run/trash/x/sub
mount --bind kept/file run/trash/x/bound
mount -t tmpfs tmpfs run/trash/y; : >run/trash/y/file
"$2" --hooks-dir hooks prune
[ -e run/trash/y/file ]
"#;
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"])
        .arg(host.path(""))
        .arg(binary_under_test())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("something is left"), "{output:?}");
    assert!(host.path("kept/file").exists());
    assert!(!host.path("run/trash/x/file").exists());
    // nothing is mounted here
    let done = host.json(&["prune"], 0);
    assert_eq!((&done["trash_removed"], &done["trash_left"]), (&4.into(), &false.into()));
}
