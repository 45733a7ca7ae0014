//! `check`: each finding on a host that is made to have it, and on none that isn't; where its fix is
//! a command, that mends it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::finding::{provoked, seen};
use crate::support::host::{DRIVERS, binary_under_test, writing};
use crate::support::{Host, is_root, schema, skip};

/// What a command says. None is started while a program is written: see `writing`.
fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = {
        let _writing = writing();
        command.spawn().unwrap()
    };
    child.wait_with_output().unwrap()
}

fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let _writing = writing();
    fs::copy(from, to).unwrap();
}

/// A host that has nothing to complain about, with `/proc` and `/sys` of its own.
struct Place {
    host: Host,
    _memory: TempDir,
    settings: String,
}

impl Place {
    #[track_caller]
    fn clean() -> Place {
        let host = Host::new();
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        for name in ["bin", "save", "root", "root/proc", "root/sys"] {
            fs::create_dir(host.path(name)).unwrap();
            host.mode(name, 0o755);
        }
        host.mode("state", 0o700).mode(memory.path(), 0o700);
        // the build's own may be writable by its group
        copy(binary_under_test(), host.path("bin/hookmux"));
        host.mode("bin/hookmux", 0o755);
        for driver in DRIVERS {
            fs::remove_file(host.hook(driver)).unwrap();
            symlink(host.path("bin/hookmux"), host.hook(driver)).unwrap();
        }
        let run = host.path("run").display().to_string();
        let settings = host.private_settings().replace(&run, &memory.path().display().to_string());
        let place = Place { host, _memory: memory, settings };
        place.settings("");
        place
    }

    fn settings(&self, more: &str) -> &Place {
        self.host.raw_settings(&format!("{}{more}", self.settings));
        self
    }

    fn script(&self, place: &str, text: &str) -> &Place {
        self.host.file(place, text);
        self
    }

    fn file(&self, place: &str, text: &str) -> &Place {
        self.host.file(place, text);
        self.host.mode(Path::new("hooks").join(place), 0o644);
        self
    }

    fn mode(&self, place: &str, mode: u32) -> &Place {
        self.host.mode(Path::new("hooks").join(place), mode);
        self
    }

    fn link(&self, target: &str, place: &str) -> &Place {
        self.host.link(target, place);
        self
    }

    /// Something below the root that stands for `/`.
    fn fake(&self, place: &str, text: &str) -> &Place {
        let path = self.host.path("root").join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// A daemon of libvirt's that started so many seconds ago.
    fn daemon(&self, name: &str, age: u64, user: u32) -> &Place {
        let uptime = 1_000_000;
        self.fake("proc/uptime", &format!("{uptime}.00 5.00\n"));
        self.daemon_at(77, name, uptime - age, user)
    }

    /// A daemon with this process number, that has started so many seconds after the boot.
    fn daemon_at(&self, pid: u32, name: &str, start: u64, user: u32) -> &Place {
        let start = start * 100;
        self.fake(&format!("proc/{pid}/comm"), &format!("{name}\n"));
        let fields = format!("S 1 {pid} {pid} 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0");
        self.fake(&format!("proc/{pid}/stat"), &format!("{pid} ({name}) {fields} {start} 0 0\n"));
        let ids = format!("Uid:\t0\t{user}\t0\t0\nGid:\t0\t{user}\t0\t0\nGroups:\t{user}\n");
        self.fake(&format!("proc/{pid}/status"), &ids)
    }

    fn run(&self, more: &[&str]) -> Output {
        output(
            Command::new(self.host.path("bin/hookmux"))
                .arg("--hooks-dir")
                .arg(self.host.hooks())
                .arg("check")
                .arg("--root")
                .arg(self.host.path("root"))
                .args(more),
        )
    }

    #[track_caller]
    fn findings(&self) -> Vec<Value> {
        let output = self.run(&["--output", "json"]);
        assert!(output.stderr.is_empty(), "{output:?}");
        let said = schema::read(&["check"], &output.stdout);
        let findings = said["findings"].as_array().unwrap().clone();
        let mut has_errors = false;
        for finding in &findings {
            let word = |key: &str| finding[key].as_str().unwrap().to_owned();
            assert!(!word("fix").is_empty() && word("path").starts_with('/'), "{finding:#}");
            let message = word("message").replace("SELinux", "it");
            assert!(!message.starts_with(char::is_uppercase), "{finding:#}");
            has_errors |= word("severity") == "error";
        }
        assert_eq!(output.status.code(), Some(i32::from(has_errors)), "{findings:#?}");
        findings
    }

    #[track_caller]
    fn is_clean(&self) -> &Place {
        let findings = self.findings();
        assert!(findings.is_empty(), "{findings:#?}");
        self
    }

    /// The only finding of a code, which names this path and says these words.
    #[track_caller]
    fn finds(&self, code: &str, path: impl AsRef<Path>, words: &[&str]) -> Found<'_> {
        let findings = self.findings();
        let path = self.host.hook(path);
        let mut own = findings.iter().filter(|finding| finding["code"] == code);
        let finding = own.next().unwrap_or_else(|| panic!("no {code} in {findings:#?}"));
        assert!(own.next().is_none(), "{findings:#?}");
        seen(finding);
        assert_eq!(finding["path"].as_str(), path.to_str(), "{finding:#}");
        let said = format!("{}\n{}", finding["message"], finding["fix"]);
        for word in words {
            assert!(said.contains(word), "must say {word:?}: {finding:#}");
        }
        Found {
            place: self,
            code: code.to_owned(),
            fix: finding["fix"].as_str().unwrap().to_owned(),
            command: finding["fix_command"].clone(),
        }
    }

    #[track_caller]
    fn has_not(&self, code: &str) -> &Place {
        let findings = self.findings();
        assert!(findings.iter().all(|finding| finding["code"] != code), "{findings:#?}");
        self
    }
}

struct Found<'p> {
    place: &'p Place,
    code: String,
    fix: String,
    command: Value,
}

impl Found<'_> {
    /// The fix is a command, and after it the finding is gone.
    #[track_caller]
    fn is_mended(&self) {
        self.has_the_same_words();
        self.run(Command::new("/bin/sh").args(["-c", &self.fix]));
    }

    /// The same by the words that programs are given.
    #[track_caller]
    fn is_mended_by_its_words(&self) {
        let words = self.words();
        self.run(Command::new(&words[0]).args(&words[1..]));
    }

    #[track_caller]
    fn run(&self, command: &mut Command) {
        let path =
            format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.place.host.path("bin").display());
        // what a name in it does on its own would be seen there
        let output = output(command.env("PATH", path).current_dir(self.place.host.directory()));
        assert!(output.status.success(), "{}: {output:?}", self.fix);
        assert!(!self.place.host.path("pwned").exists(), "{}", self.fix);
        self.place.has_not(&self.code);
    }

    #[track_caller]
    fn words(&self) -> Vec<String> {
        let words = self.command.as_array().unwrap_or_else(|| panic!("no command: {}", self.fix));
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn has_the_same_words(&self) {
        let words = self.words();
        if words.len() == 3 && words[..2] == ["sh", "-c"] {
            assert_eq!(words[2], self.fix);
        } else if !self.fix.contains("$(printf") {
            assert_eq!(shlex::split(&self.fix), Some(words));
        }
    }

    /// The fix is words: a person has to decide.
    #[track_caller]
    fn is_words(&self, words: &[&str]) {
        assert_eq!(self.command, Value::Null, "{}", self.fix);
        for word in words {
            assert!(self.fix.contains(word), "must say {word:?}: {}", self.fix);
        }
    }
}

fn registration(more: &str) -> String {
    format!("events: before_vm_start\ncommand: /bin/true\n{more}\n")
}

// --- the report ---------------------------------------------------------------------------------

#[test]
fn a_clean_host_has_nothing_to_complain_about() {
    let place = Place::clean();
    place.is_clean();
    place.script("before_vm_start/10-x", "#!/bin/sh\ntrue\n");
    place.script("qemu.d/win10/prepare/begin/10-x", "#!/usr/bin/env sh\ntrue\n");
    place.script("qemu.adopted", "#!/bin/sh\ntrue\n");
    place.file("hooks.d/x.yaml", &registration("check: [/bin/true]\nwhen: {driver: qemu}"));
    place.file("hooks.d/y.yaml", "events: after_vm_start\ncommand: /bin/true\nmode: detached\n");
    place.is_clean();
    let output = place.run(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("nothing to complain about"), "{said}");
    let left: Vec<_> = ["state", "save"]
        .iter()
        .flat_map(|name| fs::read_dir(place.host.path(name)).unwrap().flatten())
        .filter(|entry| entry.file_name().to_string_lossy().contains("check"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn people_see_the_worst_first_and_aligned() {
    let place = Place::clean();
    place.file("before_vm_start/10-plain", "#!/bin/sh\n").script("before_vm_start/20-x", "echo\n");
    place.script("before_vm_start/30.bak", "#!/bin/sh\n");
    let output = place.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let heads: Vec<&str> =
        said.lines().filter(|line| line.starts_with(char::is_uppercase)).collect();
    assert_eq!(heads, ["ERROR", "WARNING", "NOTE"], "{said}");
    assert!(
        said.contains("\nnot-executable       before_vm_start/10-plain has no x bit"),
        "{said}"
    );
    assert!(said.contains("\n                     → chmod a+x "), "{said}");
    assert!(said.contains("1 error, 1 warning, 1 note in "), "{said}");
    // warnings alone are no reason to fail
    fs::remove_file(place.host.hook("before_vm_start/20-x")).unwrap();
    assert_eq!(place.run(&[]).status.code(), Some(0));
}

#[test]
fn every_code_has_a_test_that_makes_it_true() {
    let documented: Vec<&str> = include_str!("../docs/check.md")
        .lines()
        .filter_map(|line| {
            let (code, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            ["error", "warning", "note"].iter().any(|it| rest.starts_with(it)).then_some(code)
        })
        .collect();
    let provoked =
        [PROVOKED, crate::check_files::PROVOKED, crate::entries::PROVOKED, crate::tree::PROVOKED]
            .concat();
    let untested: Vec<_> = documented.iter().filter(|code| !provoked.contains(code)).collect();
    assert!(untested.is_empty(), "no test provokes {untested:?}");
    let unknown: Vec<_> = provoked.iter().filter(|code| !documented.contains(code)).collect();
    assert!(unknown.is_empty(), "docs/check.md doesn't know {unknown:?}");
}

provoked! {
    what_stands_under_a_drivers_name:
        "not-installed" "hooks-without-driver" "foreign-script" "dangling-install" "odd-install"
        "unreachable-binary";
    nothing_is_served_twice: "installed-twice" "tree-left-alone";
    what_libvirt_runs_itself_is_no_hook_of_ours: "loose-executable";
    an_adopted_script_that_asks_for_its_own_name_is_told: "own-name";
    a_link_that_the_daemon_has_not_seen_is_no_hook: "unproven-link";
    apparmor_lets_libvirt_run_little: "apparmor-place" "apparmor-copy";
    selinux_knows_programs_by_their_place: "selinux-place";
    labels_that_are_not_the_policys_are_told: "selinux-label";
    daemons_that_selinux_confines_need_a_type_and_a_boolean: "selinux-domain" "selinux-boolean";
    scripts_that_would_not_run_are_told_and_mended:
        "not-executable" "dangling-link" "no-interpreter-line" "shell-text" "crlf"
        "interpreter-missing";
    nothing_runs_where_nothing_may_be_executed: "noexec";
    who_waits_for_a_script_must_not_be_called_by_it: "libvirt-call";
    what_is_no_script_is_told:
        "left-behind" "left-behind-runs" "subdirectory" "not-regular" "empty-script";
    a_mask_must_hide_something_and_be_roots: "idle-mask" "untrusted-mask";
    bare_names_that_a_script_does_not_get_are_named_with_the_line_that_gives_them: "bare-name";
    a_script_that_will_not_find_hooking_is_told: "missing-module";
    modules_for_python_are_as_good_as_the_hooks_that_import_them: "untrusted" "missing-module";
    moments_that_never_come_are_told: "unknown-event" "never-called";
    what_this_libvirt_never_fires_is_told: "never-here";
    names_that_no_guest_has_are_told: "unknown-guest";
    conditions_that_no_guest_meets_are_told: "no-such-guest";
    executables_that_never_run_are_told_and_moved: "misplaced-script" "unknown-event";
    scripts_for_another_way_to_be_called_are_told: "missing-input" "bashism";
    a_name_that_is_there_already_is_told: "same-name";
    whatever_others_could_change_is_told_and_mended: "untrusted";
    trust_that_was_relaxed_is_a_warning: "untrusted-but-run";
    an_interpreter_is_as_good_as_its_script: "untrusted-interpreter";
    broken_settings_are_told_with_their_copy: "broken-settings";
    broken_registrations_are_told_with_their_stand_ins: "broken-registration" "not-a-registration";
    registrations_that_never_run_are_told:
        "never-matches" "meaningless-key" "command-missing" "command-not-executable" "unknown-user"
        "environment-file";
    a_hook_of_another_users_must_be_open_to_it: "unreachable-command";
    names_that_no_hook_gets_bare_are_told: "steering-name";
    keys_that_an_older_version_refuses_are_listed: "refused-key";
    a_directory_that_cannot_be_read_is_told: "unreadable" "not-a-directory";
    who_is_not_root_is_told_what_stays_unseen: "unseen";
    places_must_be_directories_of_our_own: "open-directory";
    a_runtime_directory_on_a_disk_is_told: "runtime-on-disk";
    places_must_be_writable_and_have_room: "not-writable" "little-space";
    what_lies_among_our_files_and_isnt_ours_is_told: "odd-file";
    saves_that_were_left_are_told_and_brought_back: "dangling-save" "spare-save";
    what_is_not_undone_is_told: "undo-owed" "broken-undo" "no-virsh";
    what_is_remembered_and_cannot_be_read_is_told: "broken-guest-state";
    jobs_that_wait_too_long_and_files_that_are_none_are_told:
        "old-job" "broken-job" "job-put-aside" "newer-job";
    what_hooks_left_is_counted: "trash-left";
    a_queue_that_is_nearly_full_is_told: "queue-nearly-full";
    records_that_could_not_be_kept_and_calls_that_died_are_told:
        "records-dropped" "records-stuck" "lost-executions" "journal-dropped";
    counters_of_a_newer_version_are_told: "newer-file";
    events_that_nobody_sends_are_told: "outbox-not-sent" "outbox-nearly-full" "odd-cursor";
    what_is_for_other_hosts_and_nobody_takes_is_told: "not-consumed";
    that_hooks_are_switched_off_is_an_error: "bypassed" "broken-bypass";
}

// --- libvirt's way to hookmux -------------------------------------------------------------------

fn what_stands_under_a_drivers_name() {
    let place = Place::clean();
    let qemu = place.host.hook("qemu");
    let clear = || drop(fs::remove_file(&qemu).or_else(|_| fs::remove_dir(&qemu)));

    clear();
    place.is_clean();
    place.script("qemu.d/g/prepare/begin/x", "#!/bin/sh\n");
    place.finds("hooks-without-driver", "qemu.d/g/prepare/begin/x", &["for qemu"]).is_mended();
    clear();
    symlink("/nowhere/hookmux", &qemu).unwrap();
    place.finds("dangling-install", "qemu", &["/nowhere/hookmux, which is not there"]).is_mended();
    clear();
    symlink("/nowhere/else", &qemu).unwrap();
    place.finds("dangling-install", "qemu", &["a link to nothing"]).is_mended();
    clear();
    place.script("qemu", "#!/bin/sh\nexit 0\n");
    place.finds("foreign-script", "qemu", &["somebody else's", "--adopt"]).is_mended();
    fs::remove_file(place.host.hook("qemu.adopted")).unwrap();
    clear();
    fs::create_dir(&qemu).unwrap();
    place.finds("odd-install", "qemu", &["neither a file nor a link"]).is_mended();
    fs::remove_dir(place.host.hook("qemu.old")).unwrap();
    place.is_clean();
    clear();
    copy(place.host.path("bin/hookmux"), &qemu);
    place.is_clean();
    place.mode("qemu", 0o644);
    place.finds("unreachable-binary", "qemu", &["no x bit"]).is_mended();
    for driver in DRIVERS {
        fs::remove_file(place.host.hook(driver)).unwrap();
    }
    place.finds("not-installed", place.host.hooks(), &["no driver"]).is_mended();
}

#[test]
fn a_hook_of_all_guests_needs_one_of_their_drivers() {
    let place = Place::clean();
    place.script("before_vm_start/x", "#!/bin/sh\n").file("hooks.d/x.yaml", &registration(""));
    fs::remove_file(place.host.hook("lxc")).unwrap();
    place.is_clean();
    place.file("hooks.d/y.yaml", &registration("when: {driver: lxc}"));
    place.finds("hooks-without-driver", "hooks.d/y.yaml", &["for lxc"]).is_mended();
    fs::remove_file(place.host.hook("network")).unwrap();
    place.script("after_network_start/x", "#!/bin/sh\n");
    place.finds("hooks-without-driver", "after_network_start/x", &["for network"]).is_mended();
    place.is_clean();
}

fn nothing_is_served_twice() {
    let place = Place::clean();
    let binary = place.host.path("bin/hookmux");
    place.link(binary.to_str().unwrap(), "qemu.d/50-hookmux");
    place.finds("installed-twice", "qemu.d/50-hookmux", &["every hook runs twice"]).is_mended();
    place.link(binary.to_str().unwrap(), "qemu.d/hookmux");
    place.finds("installed-twice", "qemu.d/hookmux", &[]).is_mended();
    // an adopted script that runs the tree, and a tree for it to run
    place.script("qemu.adopted", "#!/bin/sh\nls qemu.d\n");
    place.is_clean();
    place.script("qemu.d/g/start/begin/x", "#!/bin/sh\n");
    place.finds("tree-left-alone", "qemu.adopted", &["mentions qemu.d"]).is_mended();
}

fn what_libvirt_runs_itself_is_no_hook_of_ours() {
    let place = Place::clean();
    place.file("qemu.d/README", "x").is_clean();
    place.script("qemu.d/10-loose", "#!/bin/sh\n");
    place.finds("loose-executable", "qemu.d/10-loose", &["beside hookmux", "add script"]);
    // what can't be executed is no hook anywhere
    for (text, how) in [("", "rm "), ("Rename this folder\n", "chmod a-x ")] {
        place.script("qemu.d/10-loose", text);
        let found = place.finds("loose-executable", "qemu.d/10-loose", &["every call fails", how]);
        assert!(!found.fix.contains("add script"), "{}", found.fix);
        found.is_mended();
    }
}

fn an_adopted_script_that_asks_for_its_own_name_is_told() {
    let place = Place::clean();
    place.script("qemu.adopted", "#!/bin/sh\ncd \"$(dirname \"$0\")\"\n").is_clean();
    place.script("qemu.adopted", "#!/bin/sh\ncase ${0##*/} in qemu) exit 1 ;; esac\n");
    place
        .finds("own-name", "qemu.adopted", &["line 2: case", "--beside", "uninstall --driver qemu"])
        .is_mended();
    // libvirt's main script again, and hookmux after it
    assert!(!place.host.hook("qemu.adopted").exists());
    assert!(fs::read_to_string(place.host.hook("qemu")).unwrap().contains("case ${0##*/}"));
    assert!(place.host.hook("qemu.d/50-hookmux").exists());
    // one that doesn't run
    let place = Place::clean();
    place.file("lxc.adopted", "#!/bin/sh\ncase ${0##*/} in lxc) exit 1 ;; esac\n");
    place.has_not("own-name");
}

#[test]
fn an_interpreter_is_looked_for_from_the_root_as_a_hook_does() {
    let place = Place::clean();
    place.script("before_vm_start/x", "#!bin/sh\n").is_clean();
    place.script("before_vm_start/x", "#!nowhere/sh\n");
    place.finds("interpreter-missing", "before_vm_start/x", &["/nowhere/sh"]);
}

fn a_link_that_the_daemon_has_not_seen_is_no_hook() {
    let place = Place::clean();
    for driver in DRIVERS {
        if driver != "qemu" {
            fs::remove_file(place.host.hook(driver)).unwrap();
        }
    }
    place.daemon("virtnetworkd", 3600, 0).is_clean();
    // a session daemon of somebody else's is theirs to reload
    place.daemon("virtqemud", 3600, 1234).has_not("unproven-link");
    place.daemon("virtqemud", 3600, 0);
    place.finds("unproven-link", "qemu", &["virtqemud", "reload it to be sure", "kill -HUP 77"]);
    fs::create_dir_all(place.host.path("root/run/systemd/system")).unwrap();
    place.finds("unproven-link", "qemu", &["systemctl reload virtqemud"]);
    // what is heard of a reload, and a call that is recorded, are proof
    let run = place._memory.path();
    fs::create_dir(run.join("daemons")).unwrap();
    fs::write(run.join("daemons/virtqemud"), "").unwrap();
    place.is_clean();
    fs::remove_dir_all(run.join("daemons")).unwrap();
    place.finds("unproven-link", "qemu", &[]);
    place.settings("record: all\n");
    place.host.guest("prepare begin").run().succeeds();
    place.is_clean();
    place.host.text(&["prune"], 0);
    fs::remove_dir_all(place.host.path("state/records")).unwrap();
    place.finds("unproven-link", "qemu", &[]);
    // one that has started since
    std::thread::sleep(Duration::from_millis(100));
    place.daemon("virtqemud", 0, 0).is_clean();
}

#[test]
fn a_daemon_that_is_not_roots_must_get_to_the_binary() {
    if !is_root() {
        return skip("only root can play another user's daemon");
    }
    let place = Place::clean();
    for driver in DRIVERS {
        if driver != "qemu" {
            fs::remove_file(place.host.hook(driver)).unwrap();
        }
    }
    std::thread::sleep(Duration::from_millis(100));
    place.daemon("virtqemud", 0, 0).is_clean();
    fs::set_permissions(place.host.directory(), PermissionsExt::from_mode(0o755)).unwrap();
    place.daemon("virtqemud", 0, 1234).is_clean();
    place.host.mode("bin", 0o700);
    // where it lies is not hookmux's to change
    let found = place.finds("unreachable-binary", "qemu", &["user 1234", "/bin is shut"]);
    assert!(found.fix.starts_with("install -m 755 ") && !found.fix.contains("chmod"));
    place.host.mode("bin", 0o755);
    place.host.mode("bin/hookmux", 0o700);
    place.finds("unreachable-binary", "qemu", &["bin/hookmux is shut"]).is_mended();
}

// --- confinement --------------------------------------------------------------------------------

fn apparmor_lets_libvirt_run_little() {
    let place = Place::clean();
    place.fake("sys/module/apparmor/parameters/enabled", "Y\n");
    place.fake("sys/kernel/security/apparmor/profiles", "virt-aa-helper (enforce)\n").is_clean();
    place.fake("sys/kernel/security/apparmor/profiles", "x (enforce)\nlibvirtd (enforce)\n");
    for driver in DRIVERS {
        if driver != "qemu" {
            fs::remove_file(place.host.hook(driver)).unwrap();
        }
    }
    place.finds("apparmor-place", "qemu", &["bin/hookmux", "profile libvirtd", "/usr/sbin"]);
    place.has_not("selinux-place");
    fs::remove_file(place.host.hook("qemu")).unwrap();
    copy(place.host.path("bin/hookmux"), place.host.hook("qemu"));
    place.finds("apparmor-copy", "qemu", &["not a link", "ln -sfn /usr/sbin/hookmux"]);
    place.fake("sys/module/apparmor/parameters/enabled", "N\n").is_clean();
}

fn selinux_knows_programs_by_their_place() {
    let place = Place::clean();
    for driver in DRIVERS {
        if driver != "qemu" {
            fs::remove_file(place.host.hook(driver)).unwrap();
        }
    }
    place.fake("sys/fs/selinux/enforce", "0").is_clean();
    place.fake("sys/fs/selinux/enforce", "1");
    place.finds("selinux-place", "qemu", &["not in a place of system programs", "restorecon"]);
}

/// Gives a file a label, where this user and this file system can.
fn label(path: &Path, context: &str) -> bool {
    let set = "import os, sys; os.setxattr(sys.argv[1], 'security.selinux', sys.argv[2].encode())";
    let output = output(Command::new("python3").args(["-c", set]).arg(path).arg(context));
    let is_set = output.status.success();
    if !is_set {
        skip("labels can't be set here: that takes root, and a file system that keeps them");
    }
    is_set
}

impl Place {
    /// SELinux enforces a policy in which the hooks and hookmux itself have the type of hook programs.
    fn enforces_selinux(&self) -> &Place {
        let pattern = |name: &str| self.host.path(name).display().to_string().replace('.', "\\.");
        let contexts = format!(
            "# comment\n/.* system_u:object_r:default_t:s0\n\
             {}(/.*)?\tsystem_u:object_r:virt_etc_rw_t:s0\n\
             {}(/.*)?\tsystem_u:object_r:virt_hook_t:s0\n\
             {}/.* -d system_u:object_r:virt_etc_t:s0\n\
             {}/.*\t--\tsystem_u:object_r:virt_hook_t:s0\n",
            pattern("hooks"),
            pattern("hooks"),
            pattern("hooks"),
            pattern("bin"),
        );
        let files = "etc/selinux/targeted/contexts/files";
        self.fake(
            "etc/selinux/config",
            "SELINUX=enforcing\n# SELINUXTYPE=mls\nSELINUXTYPE=targeted\n",
        );
        self.fake(&format!("{files}/file_contexts"), &contexts);
        self.fake("etc/selinux/targeted/contexts/customizable_types", "container_file_t\n");
        self.fake("sys/fs/selinux/enforce", "1")
    }
}

fn labels_that_are_not_the_policys_are_told() {
    let place = Place::clean();
    let program = place.host.path("bin/hookmux");
    let script = place.host.hook("before_vm_start/10-x");
    place.script("before_vm_start/10-x", "#!/bin/sh\n");
    let right = "system_u:object_r:virt_hook_t:s0";
    if !label(&program, right) || !label(&script, right) {
        return;
    }
    place.enforces_selinux().has_not("selinux-label");
    label(&script, "unconfined_u:object_r:admin_home_t:s0");
    let words = ["before_vm_start/10-x", "admin_home_t", "virt_hook_t"];
    let found = place.finds("selinux-label", &script, &words);
    assert_eq!(found.words(), ["restorecon", "-v", script.to_str().unwrap()]);
    // of such types an administrator is thought to know, and restorecon changes nothing
    label(&script, "unconfined_u:object_r:container_file_t:s0");
    place.has_not("selinux-label");
    // as after `semanage fcontext -a`
    let local = "etc/selinux/targeted/contexts/files/file_contexts.local";
    let escaped = script.display().to_string().replace('.', "\\.");
    place.fake(local, &format!("{escaped} system_u:object_r:bin_t:s0\n"));
    label(&script, right);
    place.finds("selinux-label", &script, &["virt_hook_t", "policy it is bin_t"]);
    place.fake(local, &format!("{escaped} <<none>>\n")).has_not("selinux-label");
    place.fake(local, "");

    copy(&program, place.host.path("bin/new"));
    fs::rename(place.host.path("bin/new"), &program).unwrap();
    place.finds("selinux-label", &program, &["has no SELinux label", "virt_hook_t"]);
    // what is mounted without labels, and a policy that can't be read, are no reason
    place.fake("etc/selinux/config", "SELINUXTYPE=\n").has_not("selinux-label");
    place.enforces_selinux().fake("sys/fs/selinux/enforce", "0").is_clean();
}

fn daemons_that_selinux_confines_need_a_type_and_a_boolean() {
    let place = Place::clean();
    let program = place.host.path("bin/hookmux");
    if !label(&program, "system_u:object_r:bin_t:s0") {
        return;
    }
    let runs_in = |domain: &str| {
        place.fake("proc/77/attr/current", &format!("system_u:system_r:{domain}:s0\0"));
    };
    let boolean = "sys/fs/selinux/booleans/virt_hooks_unconfined";
    let hook = "system_u:object_r:virt_hook_t:s0";
    place.fake("sys/fs/selinux/enforce", "1").daemon("libvirtd", 10, 0);
    runs_in("virtd_t");
    place.has_not("selinux-domain");
    for driver in DRIVERS {
        if driver != "network" {
            fs::remove_file(place.host.hook(driver)).unwrap();
        }
    }
    for (daemon, driver, domain) in
        [("virtnetworkd", "network", "virtnetworkd_t"), ("virtqemud", "qemu", "virtqemud_t")]
    {
        if driver == "qemu" {
            fs::rename(place.host.hook("network"), place.host.hook("qemu")).unwrap();
        }
        place.daemon(daemon, 10, 0);
        runs_in(domain);
        label(&program, "system_u:object_r:bin_t:s0");
        place.fake(boolean, "0 0");
        let fix = ["semodule -i ", "restorecon -v ", "setsebool -P virt_hooks_unconfined on"];
        place.finds("selinux-domain", driver, &[&[daemon, domain], fix.as_slice()].concat());
        place.has_not("selinux-boolean");
        // what is on already isn't proposed
        place.fake(boolean, "1 1");
        assert!(!place.finds("selinux-domain", driver, &fix[..2]).fix.contains("setsebool"));
        // the type is right, so that the boolean is all that is missing
        label(&program, hook);
        place.has_not("selinux-domain").has_not("selinux-boolean");
        place.fake(boolean, "0 0").has_not("selinux-domain");
        let found = place.finds("selinux-boolean", Path::new("/").join(boolean), &[daemon, domain]);
        assert_eq!(found.words(), ["setsebool", "-P", "virt_hooks_unconfined", "on"]);
    }
    place.fake("sys/fs/selinux/enforce", "0").has_not("selinux-boolean");
}

// --- scripts ------------------------------------------------------------------------------------

fn scripts_that_would_not_run_are_told_and_mended() {
    let place = Place::clean();
    for at in ["before_vm_start/10-x", "qemu.d/g/prepare/begin/10-x", "lxc.adopted"] {
        place.file(at, "#!/bin/sh\n");
        place.finds("not-executable", at, &[at, "no x bit"]).is_mended();
        place.is_clean();
        let code = if at.starts_with("qemu.d") { "shell-text" } else { "no-interpreter-line" };
        for text in ["echo\n", "\u{feff}#!/bin/sh\n"] {
            place.script(at, text);
            place.finds(code, at, &[at]).is_mended();
            place.is_clean();
        }
        place.script(at, "#!/bin/sh\r\ntrue\r\n");
        place.finds("crlf", at, &["Windows line ends"]).is_mended();
        place.is_clean();
        place.script(at, "#!/usr/bin/env sh -e\n");
        place.finds("interpreter-missing", at, &["`sh -e`"]).is_mended();
        place.is_clean();
        for interpreter in ["/opt/no/python9", "/usr/bin/env python9"] {
            place.script(at, &format!("#!{interpreter}\n"));
            place.finds("interpreter-missing", at, &["python9"]);
        }
        fs::remove_file(place.host.hook(at)).unwrap();
        place.link("/nowhere", at);
        place.finds("dangling-link", at, &["/nowhere is not there"]).is_mended();
        place.is_clean();
    }
}

fn what_is_no_script_is_told() {
    let place = Place::clean();
    for name in ["x.bak", "x~", "x.rpmsave", "x.dpkg-old", ".x"] {
        let at = format!("before_vm_start/{name}");
        place.script(&at, "#!/bin/sh\n");
        place.finds("left-behind", &at, &["by its name"]).is_mended();
    }
    place.script("qemu.d/g/start/begin/x~", "#!/bin/sh\n");
    place.finds("left-behind-runs", "qemu.d/g/start/begin/x~", &["any name"]);
    fs::remove_file(place.host.hook("qemu.d/g/start/begin/x~")).unwrap();
    place.script("before_vm_start/more/10-x", "#!/bin/sh\n");
    place.finds("subdirectory", "before_vm_start/more", &["never runs"]);
    fs::remove_dir_all(place.host.hook("before_vm_start/more")).unwrap();
    let fifo = place.host.hook("before_vm_start/pipe");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    place.finds("not-regular", "before_vm_start/pipe", &[]).is_mended();
    place.script("before_vm_start/10-x", "");
    place.finds("empty-script", "before_vm_start/10-x", &["disables nothing"]).is_mended();
    place.is_clean();
}

fn a_mask_must_hide_something_and_be_roots() {
    let place = Place::clean();
    let lower = place.host.path("lower");
    let settings = place.settings.replace("roots: []", &format!("roots: ['{}']", lower.display()));
    place.host.raw_settings(&settings);
    place.script("../lower/before_vm_start/x", "#!/bin/sh\n");
    place.file("../lower/hooks.d/x.yaml", &registration(""));
    place.link("/dev/null", "before_vm_start/x").link("/dev/null", "hooks.d/x.yaml").is_clean();
    place.link("/dev/null", "before_vm_start/y");
    place.finds("idle-mask", "before_vm_start/y", &["/dev/null"]).is_mended();
    place.link("/dev/null", "hooks.d/y.yaml");
    place.finds("idle-mask", "hooks.d/y.yaml", &["no registration"]).is_mended();
    place.is_clean();
    place.mode("before_vm_start", 0o777);
    place.finds("untrusted-mask", "before_vm_start/x", &["hides nothing"]).is_mended();
    place.is_clean();
}

fn who_waits_for_a_script_must_not_be_called_by_it() {
    let place = Place::clean();
    let virsh = "#!/bin/sh\n# virsh is told below\nvirsh list\n";
    for at in ["before_vm_start/x", "qemu.d/g/prepare/begin/x", "qemu.adopted"] {
        place.script(at, virsh);
        place.finds("libvirt-call", at, &["virsh in line 3", "--mode detached"]);
        place.script(at, "#!/bin/sh\n# virsh list\n").is_clean();
        fs::remove_file(place.host.hook(at)).unwrap();
    }
    place.script("bin/x", virsh);
    let of = |more: &str| format!("events: after_vm_start\ncommand: {more}\n");
    place.file("hooks.d/x.yaml", &of("bin/x"));
    place.finds("libvirt-call", "bin/x", &["`command` of hooks.d/x.yaml", "mode: detached"]);
    place.file("hooks.d/x.yaml", &of("bin/x\nmode: detached")).is_clean();
    place.file(
        "hooks.d/x.yaml",
        &of(&format!("[/bin/sh, '{}']", place.host.hook("bin/x").display())),
    );
    place.finds("libvirt-call", "bin/x", &["`command` of hooks.d/x.yaml"]);
    place.file("hooks.d/x.yaml", &of("[/bin/sh, -c, 'exec virsh list']"));
    place.finds("libvirt-call", "hooks.d/x.yaml", &["mode: detached"]);
}

#[test]
fn what_only_lies_beside_hooks_is_not_made_one() {
    let place = Place::clean();
    for at in ["before_vm_start/README.md", "before_vm_start/gpu.conf", "hooks.d/README"] {
        place.file(at, "how it works\n").is_clean();
    }
    place.file("before_vm_start/__pycache__/x.cpython-311.pyc", "x").is_clean();
    for (at, text) in [
        ("before_vm_start/helper_utils.py", "x = 1\n"),
        ("before_vm_start/helper.py", ""),
        ("before_vm_start/__init__.py", ""),
        ("before_vm_start/NEWS.md", ""),
    ] {
        place.file(at, text).is_clean();
    }
    // what may have been meant as a hook
    place.file("before_vm_start/words", "how it works\n");
    place.finds("not-executable", "before_vm_start/words", &["mv "]).is_mended();
    place.file("hooks.d/text", "how it works\n");
    place.finds("not-a-registration", "hooks.d/text", &["mv "]).is_mended();
    place.file("hooks.d/x.yml", &registration(""));
    place.finds("not-a-registration", "hooks.d/x.yml", &["x.yaml"]).is_mended();
    place
        .script("qemu.d/g/prepare/begin/gpu", "#!/bin/sh\nvirsh nodedev-detach pci_0000_01_00_0\n");
    place.has_not("libvirt-call");
}

#[test]
fn odd_names_are_shown_as_they_are_and_mended() {
    let place = Place::clean();
    for name in ["it's", "a b", "$(touch x)", "-rf", "n\nl", "\u{1b}[31mred"] {
        let at = format!("before_vm_start/{name}");
        place.file(&at, "#!/bin/sh\n");
        let said = String::from_utf8(place.run(&[]).stdout).unwrap();
        assert!(!said.contains('\u{1b}'), "{said}");
        place.finds("not-executable", &at, &[]).is_mended();
        place.is_clean();
    }
}

fn who_is_not_root_is_told_what_stays_unseen() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let place = Place::clean();
    place.script("before_vm_start/x", "#!/bin/sh\n").script("after_vm_start/x", "#!/bin/sh\n");
    place.host.raw_settings(&place.settings.replace("session: true", "session: false"));
    place.mode("after_vm_start", 0o700).mode("before_vm_start", 0o700);
    // whether it has seen its links is in files of root's too
    place.daemon("libvirtd", 3600, 0);
    assert!(place.findings().iter().any(|one| one["code"] == "unproven-link"));
    fs::set_permissions(place.host.directory(), PermissionsExt::from_mode(0o755)).unwrap();
    let output = output(
        Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(place.host.path("bin/hookmux"))
            .arg("--hooks-dir")
            .arg(place.host.hooks())
            .args(["check", "--output", "json", "--root"])
            .arg(place.host.path("root")),
    );
    let said = schema::read(&["check"], &output.stdout);
    let unseen = said["findings"].as_array().unwrap().iter();
    let unseen = unseen.filter(|one| one["code"] == "unseen").inspect(|one| seen(one));
    assert_eq!(unseen.count(), 4, "{said:#}");
    assert_eq!(output.status.code(), Some(1));
    let all = said["findings"].as_array().unwrap();
    assert!(all.iter().all(|one| one["severity"] == "note"), "{said:#}");
}

fn nothing_runs_where_nothing_may_be_executed() {
    if !is_root() {
        return skip("only root may mount");
    }
    let place = Place::clean();
    place.script("before_vm_start/x", "#!/bin/sh\n").is_clean();
    let directory = place.host.hook("before_vm_start");
    let script = format!(
        "mount -t tmpfs -o noexec,mode=755 tmpfs {0}; printf '#!/bin/sh\\n' >{0}/y; chmod 755 {0}/y; {1} --hooks-dir {2} check --root {3} --output json",
        directory.display(),
        place.host.path("bin/hookmux").display(),
        place.host.hooks().display(),
        place.host.path("root").display()
    );
    let output = output(Command::new("unshare").args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        &script,
    ]));
    let said = schema::read(&["check"], &output.stdout);
    assert_eq!(said["findings"][0]["code"], "noexec", "{said:#}");
    seen(&said["findings"][0]);
}

// --- moments ------------------------------------------------------------------------------------

fn moments_that_never_come_are_told() {
    let place = Place::clean();
    place.script("before_vm_strat/x", "#!/bin/sh\n");
    place.finds("unknown-event", "before_vm_strat", &["did you mean before_vm_start?"]).is_mended();
    place.is_clean();
    // where there is the right directory, the content is moved into it, and not the directory
    place.script("before_vm_strat/y", "#!/bin/sh\n");
    place.finds("unknown-event", "before_vm_strat", &["did you mean before_vm_start?"]).is_mended();
    assert!(place.host.hook("before_vm_start/y").is_file());
    place.is_clean();
    place.script("before_nic_hotplug/x", "#!/bin/sh\n");
    place.finds(
        "unknown-event",
        "before_nic_hotplug",
        &["a vdsm event", "before_network_port_create"],
    );
    fs::remove_dir_all(place.host.hook("before_nic_hotplug")).unwrap();
    place.script("on_qemu_paused/x", "#!/bin/sh\n").is_clean();
    place.script("on_qemu_stopped/x", "#!/bin/sh\n");
    place.finds("never-called", "on_qemu_stopped", &["after_vm_stop"]).is_mended();
    place.script("qemu.d/g/prepair/begin/x", "#!/bin/sh\n");
    place
        .finds("never-called", "qemu.d/g/prepair/begin", &["did you mean prepare/begin?"])
        .is_mended();
    // what scripts keep beside them
    place.file("qemu.d/g/README", "x").file("qemu.d/g/data/x.conf", "x").is_clean();
    for at in ["qemu.d/g/10-x", "qemu.d/g/started/x", "qemu.d/g/started/end"] {
        place.script(at, "#!/bin/sh\n");
        place.finds("never-called", at, &["libvirt has no"]);
        fs::remove_file(place.host.hook(at)).unwrap();
    }
    place.is_clean();
    place.file("hooks.d/x.yaml", "calls: qemu/prepair\ncommand: /bin/true\n");
    place.finds("never-called", "hooks.d/x.yaml", &["did you mean qemu/prepare?"]);
}

fn what_this_libvirt_never_fires_is_told() {
    let place = Place::clean();
    place.script("after_vm_hibernate/x", "#!/bin/sh\n").is_clean();
    place.script("../root/usr/sbin/libvirtd", "#!/bin/sh\necho 'libvirtd (libvirt) 10.6.0'\n");
    place.is_clean();
    place.script("../root/usr/sbin/libvirtd", "#!/bin/sh\necho 'libvirtd (libvirt) 9.0.0'\n");
    place.finds("never-here", "after_vm_hibernate/x", &["needs libvirt 10.5.0, here is 9.0.0"]);
    fs::remove_file(place.host.hook("after_vm_hibernate/x")).unwrap();
    place.file("hooks.d/x.yaml", "events: after_vm_attach\ncommand: /bin/true\n");
    place.finds("never-here", "hooks.d/x.yaml", &["libvirt 9.0.0 never calls it"]);
    place.file("hooks.d/x.yaml", "calls: network/plugged\ncommand: /bin/true\n");
    place.finds("never-here", "hooks.d/x.yaml", &["network/plugged/*", "until 5.4 does"]);
    fs::remove_file(place.host.hook("hooks.d/x.yaml")).unwrap();
    place.script("qemu.d/g/attach/begin/x", "#!/bin/sh\n");
    place.finds("never-here", "qemu.d/g/attach/begin/x", &["qemu's attach"]);
}

fn names_that_no_guest_has_are_told() {
    let place = Place::clean();
    place.script("qemu.d/Win10/start/begin/x", "#!/bin/sh\n").is_clean();
    fs::create_dir_all(place.host.path("qemu/networks")).unwrap();
    fs::write(place.host.path("qemu/win10.xml"), "").unwrap();
    place.finds("unknown-guest", "qemu.d/Win10", &["did you mean win10?"]).is_mended();
    place.script("qemu.d/other/start/begin/x", "#!/bin/sh\n");
    place.finds("unknown-guest", "qemu.d/other", &["no guest of that name"]);
    fs::remove_dir_all(place.host.hook("qemu.d/other")).unwrap();
    fs::write(place.host.path("qemu/networks/default.xml"), "").unwrap();
    place.script("network.d/default/start/begin/x", "#!/bin/sh\n").is_clean();
    place.script("network.d/defualt/start/begin/x", "#!/bin/sh\n");
    place.finds("unknown-guest", "network.d/defualt", &["no network", "did you mean default?"]);
}

fn conditions_that_no_guest_meets_are_told() {
    let place = Place::clean();
    let with = |when: &str| {
        place.file("hooks.d/x.yaml", &registration(&format!("when: {{name: {when}}}")));
    };
    // where no definition can be read, nothing is known
    with("\"Web*\"");
    place.is_clean();
    fs::create_dir_all(place.host.path("qemu/networks")).unwrap();
    for name in ["web1", "web2", "db"] {
        fs::write(place.host.path(format!("qemu/{name}.xml")), "").unwrap();
    }
    let words = ["a name like `Web*`", "db, web1, web2", "did you mean web1?"];
    place.finds("no-such-guest", "hooks.d/x.yaml", &words).is_words(&["correct `when`"]);
    with("win10");
    place.finds("no-such-guest", "hooks.d/x.yaml", &["a name like `win10`"]);
    for met in ["\"web*\"", "db", "[win10, db]", "\"!db\"", "[\"*\", \"!web1\"]"] {
        with(met);
        place.is_clean();
    }
    with("[\"*\", \"!web*\", \"!db\"]");
    place.finds("no-such-guest", "hooks.d/x.yaml", &[]);
    // a network has another name, and so has a container
    place.file(
        "hooks.d/x.yaml",
        "events: before_network_start\ncommand: /bin/true\nwhen: {name: web1}\n",
    );
    place.is_clean();
    fs::write(place.host.path("qemu/networks/default.xml"), "").unwrap();
    place.finds("no-such-guest", "hooks.d/x.yaml", &["no network", "there are default"]);
    place.file("hooks.d/x.yaml", &registration("when: {name: c1, driver: lxc}")).is_clean();
    fs::create_dir(place.host.path("lxc")).unwrap();
    fs::write(place.host.path("lxc/c2.xml"), "").unwrap();
    place.finds("no-such-guest", "hooks.d/x.yaml", &["there are c2"]);
    // one that is disabled isn't meant to run
    place.file("hooks.d/x.yaml", &registration("when: {name: c1, driver: lxc}\nenabled: false"));
    place.is_clean();
}

/// A tree of files in the hooks directory; the code and the file of the finding; what is said; whether the fix is a
/// command, after which all is well.
type Misplaced =
    (&'static [&'static str], &'static str, &'static str, &'static [&'static str], bool);

const MISPLACED: &[Misplaced] = &[
    (
        &["myhook.sh"],
        "misplaced-script",
        "myhook.sh",
        &["lies directly in", "--event EVENT"],
        false,
    ),
    (&["a.sh", "b"], "misplaced-script", "a.sh", &["a.sh, b lie directly in", "never run"], false),
    (
        &["qemu.sh"],
        "misplaced-script",
        "qemu.sh",
        &["libvirt runs only qemu", "qemu.adopted"],
        true,
    ),
    (&["network.py"], "misplaced-script", "network.py", &["network.adopted"], true),
    (
        &["before_vm_start.sh"],
        "misplaced-script",
        "before_vm_start.sh",
        &["scripts for before_vm_start"],
        true,
    ),
    (&["10-AfterVmStop.sh"], "misplaced-script", "10-AfterVmStop.sh", &["after_vm_stop"], true),
    (
        &["BeforeVmStart/10-x"],
        "unknown-event",
        "BeforeVmStart",
        &["did you mean before_vm_start?"],
        true,
    ),
    (
        &["before-vm-start/10-x"],
        "unknown-event",
        "before-vm-start",
        &["did you mean before_vm_start?"],
        true,
    ),
    (
        &["vm_start/10-x"],
        "unknown-event",
        "vm_start",
        &["before_vm_start? (or after_vm_start)"],
        true,
    ),
    (&["vm_start/10-x", "before_vm_start/20-y"], "unknown-event", "vm_start", &["mv -n"], true),
    (
        &["prepare/begin/10-x"],
        "misplaced-script",
        "prepare",
        &["without a driver and a guest", "before_vm_prepare"],
        true,
    ),
    (
        &["prepare/begin/10-x", "prepare/begin/20-y"],
        "misplaced-script",
        "prepare",
        &["begin/10-x, begin/20-y never run"],
        true,
    ),
    (&["stopped/end/x"], "misplaced-script", "stopped", &["after_vm_stop"], true),
    (&["start/x"], "misplaced-script", "start", &["before_vm_launch"], true),
    (
        &["win10/prepare/begin/x"],
        "misplaced-script",
        "win10",
        &["the per-guest tree of qemu is qemu.d"],
        true,
    ),
    (
        &["win10/prepare/begin/x", "win10/release/end/y", "qemu.d/win10/started/begin/z"],
        "misplaced-script",
        "win10",
        &["mkdir -p"],
        true,
    ),
    (
        &["myhooks/10-x"],
        "misplaced-script",
        "myhooks",
        &["neither an event's directory nor the per-guest tree"],
        false,
    ),
];

fn executables_that_never_run_are_told_and_moved() {
    for (files, code, path, words, is_mended) in MISPLACED {
        let place = Place::clean();
        for file in *files {
            place.script(file, "#!/bin/sh\ntrue\n");
        }
        let found = place.finds(code, path, words);
        if *is_mended {
            found.is_mended();
            // it doesn't just hide it
            place.is_clean();
        } else {
            found.is_words(&[]);
        }
    }
}

#[test]
fn what_hooks_use_is_not_misplaced() {
    let place = Place::clean();
    for helper in
        ["bin/x", "lib/common.sh", "modules/x.py", "tools/x", "vfio/rebind", "qemu.retired"]
    {
        place.script(helper, "#!/bin/sh\n");
    }
    place.script(
        "before_vm_start/10-x",
        "#!/bin/sh\n. \"${0%/*}/../lib/y\"; /etc/libvirt/hooks/vfio/rebind\n",
    );
    place.file("hooks.d/x.yaml", "events: after_vm_stop\ncommand: [tools/x]\n");
    place.file("README", "text\n").file("notes/README", "text\n");
    place.script(".hidden", "#!/bin/sh\n").script(".git/hooks/x", "#!/bin/sh\n");
    place.is_clean();
    // the old form of libvirt's arguments is kept, where a script reads them
    place.script("prepare/begin/10-x", "#!/bin/sh\n[ \"$2\" = prepare ] && true\n");
    let found = place.finds("misplaced-script", "prepare", &["--style libvirt"]);
    found.is_mended();
    place.is_clean();
    assert!(place.host.read_text("hooks/hooks.d/10-x-before_vm_prepare.yaml").contains("libvirt"));
    // a tree of another name, and another root
    place.settings("tree: hooks.guests\n");
    place.script("hooks.guests/qemu/win10/prepare/begin/x", "#!/bin/sh\n").is_clean();
    let roots = place.settings.replace("roots: []", "roots: [../more]");
    place.host.raw_settings(&roots);
    place.script("../more/qemu", "#!/bin/sh\n");
    place.host.mode("more", 0o755);
    place.finds("misplaced-script", "../more/qemu", &["lies directly in"]);
}

fn scripts_for_another_way_to_be_called_are_told() {
    let place = Place::clean();
    let event = "before_vm_start/10-x";
    let of_libvirt = "#!/bin/sh\n[ \"$1\" = web1 ] && [ \"$2\" = prepare ] && true\n";
    place.script(event, of_libvirt);
    let words = ["reads $2 (line 2)", "gets neither arguments nor a document", "--style libvirt"];
    place.finds("missing-input", event, &words).is_mended();
    place.is_clean();
    let registered = place.host.hook("hooks.d/10-x-before_vm_start.yaml");
    assert!(fs::read_to_string(&registered).unwrap().contains("style: libvirt"));
    fs::remove_file(registered).unwrap();
    place.script(event, "#!/usr/bin/python3\nimport sys\nx = sys.stdin.read()\n");
    place.finds("missing-input", event, &["standard input (sys.stdin, line 3)"]).is_mended();
    fs::remove_dir_all(place.host.hook("hooks.d")).unwrap();
    fs::remove_dir_all(place.host.hook("bin")).unwrap();
    // one that is registered
    place.script("bin/guard", of_libvirt);
    let hook = "events: before_vm_start\ncommand: bin/guard\n";
    place.file("hooks.d/guard.yaml", hook);
    place.finds("missing-input", "hooks.d/guard.yaml", &["`style: libvirt`"]).is_mended();
    place.is_clean();
    for given in ["args: [a, b]", "command: [bin/guard, a, b]", "style: libvirt"] {
        let hook = match given.starts_with("command") {
            true => format!("events: before_vm_start\n{given}\n"),
            false => format!("{hook}{given}\n"),
        };
        place.file("hooks.d/guard.yaml", &hook).is_clean();
    }
    place.file("hooks.d/guard.yaml", &format!("{hook}args: [a]\n"));
    place.finds("missing-input", "hooks.d/guard.yaml", &["reads $2"]).is_words(&["edit guard"]);
    fs::remove_dir_all(place.host.hook("hooks.d")).unwrap();
    // in the tree and under a driver's name it gets them
    place.script("qemu.d/win10/prepare/begin/x", of_libvirt).script("qemu.adopted", of_libvirt);
    place.is_clean();

    for bashism in ["[[ -e /x ]]", "a=(b c)", "function f {\n:\n}", "source /x", "echo ${a^^}"] {
        place.script("qemu.adopted", &format!("#!/bin/sh\n{bashism}\n"));
        let found =
            place.finds("bashism", "qemu.adopted", &["for sh by its first line", "in line 2"]);
        if Path::new("/bin/bash").exists() {
            found.is_mended();
            place.is_clean();
        }
    }
    place.script("qemu.adopted", "#!/bin/bash\n[[ -e /x ]]\n").is_clean();
}

fn a_name_that_is_there_already_is_told() {
    let host = Host::new();
    host.file("hooks.d/x.yaml", registration(""));
    fs::write(host.path("x.yaml"), registration("weight: 3")).unwrap();
    let said = host.json(&["check", "x.yaml"], 0);
    let findings = said["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["code"] == "same-name"), "{said:#}");
    findings.iter().for_each(seen);
}

#[test]
fn what_is_alike_is_one_finding_with_one_command() {
    let place = Place::clean();
    for name in ["10-a", "20-b", "30-c"] {
        place.script(&format!("before_vm_start/{name}"), "#!/bin/sh\n");
        place.mode(&format!("before_vm_start/{name}"), 0o644);
    }
    place.file("after_vm_stop/x", "#!/bin/sh\n");
    let words = ["20-b, before_vm_start/30-c, after_vm_stop/x: each has no x bit"];
    let found = place.finds("not-executable", "before_vm_start/10-a", &words);
    assert_eq!(found.words()[..2], ["chmod", "a+x"]);
    assert_eq!(found.words().len(), 6);
    let findings = place.findings();
    assert_eq!(findings[0]["paths"].as_array().unwrap().len(), 4, "{findings:#?}");
    found.is_mended();
    for name in ["10-a", "20-b", "30-c"] {
        place.script(&format!("before_vm_start/{name}"), "#!/bin/sh\r\ntrue\r\n");
    }
    place.finds("crlf", "before_vm_start/10-a", &["30-c: each has Windows line ends"]).is_mended();
    // links to nothing lead to different things: the words differ, and so they are told apart
    place.link("/nowhere/a", "before_vm_start/a").link("/nowhere/b", "before_vm_start/b");
    let findings = place.findings();
    assert_eq!(findings.iter().filter(|one| one["code"] == "dangling-link").count(), 2);
    for name in ["a", "b"] {
        fs::remove_file(place.host.hook(Path::new("before_vm_start").join(name))).unwrap();
    }
    // a daemon that has seen none of its links is reloaded once
    place.daemon("libvirtd", 3600, 0);
    let findings = place.findings();
    let unproven: Vec<_> = findings.iter().filter(|one| one["code"] == "unproven-link").collect();
    assert_eq!(unproven.len(), 1, "{unproven:#?}");
    assert!(unproven[0]["paths"].as_array().unwrap().len() > 2, "{unproven:#?}");
    // and so are several daemons, by one command
    place.daemon("virtqemud", 3600, 0);
    place.daemon_at(78, "virtnetworkd", 990_000, 0).daemon_at(79, "virtlxcd", 990_000, 0);
    let one = |has_systemd: bool| {
        if has_systemd {
            fs::create_dir_all(place.host.path("root/run/systemd/system")).unwrap();
        }
        let findings = place.findings();
        let mut unproven = findings.into_iter().filter(|one| one["code"] == "unproven-link");
        let finding = unproven.next().unwrap();
        assert_eq!(unproven.count(), 0);
        finding
    };
    let finding = one(false);
    assert_eq!(finding["fix"], "kill -HUP 77 78 79");
    let (message, hooks) = (finding["message"].as_str().unwrap(), place.host.hooks());
    let mut links = BTreeSet::new();
    for (driver, daemons) in [
        ("daemon", "virtqemud, virtnetworkd, virtlxcd"),
        ("qemu", "virtqemud"),
        ("lxc", "virtlxcd"),
        ("network", "virtnetworkd"),
    ] {
        let link = hooks.join(driver).display().to_string();
        assert!(message.contains(&format!("{link} ({daemons})")), "{message}");
        links.insert(link);
    }
    let paths = finding["paths"].as_array().unwrap().iter();
    assert_eq!(paths.map(|path| path.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(), links);
    assert!(message.contains(": each is newer than the start of its daemon"), "{message}");
    assert_eq!(message.matches("reload it to be sure").count(), 1, "{message}");
    let finding = one(true);
    assert_eq!(finding["fix"], "systemctl reload virtqemud virtnetworkd virtlxcd");
    assert_eq!(finding["fix_command"].as_array().unwrap().len(), 5);
}

// --- modules for Python -------------------------------------------------------------------------

/// Stands in for the real modules, which `check` doesn't look into.
fn python_modules(place: &Place) {
    for name in ["share", "share/hookmux", "share/hookmux/python", "share/hookmux/python/vdsm"] {
        fs::create_dir(place.host.path(name)).unwrap();
        place.host.mode(name, 0o755);
    }
    for name in ["hooking.py", "vdsm/__init__.py"] {
        let path = Path::new("share/hookmux/python").join(name);
        fs::write(place.host.path(&path), "").unwrap();
        place.host.mode(&path, 0o644);
    }
}

const IMPORTS: &str = "#!/usr/bin/python3\nimport hooking\n";

// V6
fn a_script_that_will_not_find_hooking_is_told() {
    let place = Place::clean();
    place.script("before_vm_start/10-x", IMPORTS);
    let directory = place.host.path("share/hookmux/python");
    let missing = format!("{} is not there", directory.display());
    place
        .finds("missing-module", "before_vm_start/10-x", &["`hooking` (line 2)", &missing])
        .is_words(&["install hookmux again"]);
    // what is found elsewhere needs none of hookmux's
    place.file("before_vm_start/hooking.py", "");
    place.has_not("missing-module");
    fs::remove_file(place.host.hook("before_vm_start/hooking.py")).unwrap();
    place.file("own/hooking.py", "").settings(&format!(
        "environment: {{PYTHONPATH: '/nowhere:{}'}}\n",
        place.host.hook("own").display()
    ));
    place.has_not("missing-module");
    place.settings("environment: {PYTHONPATH: /nowhere}\n");
    place.finds("missing-module", "before_vm_start/10-x", &[&missing]);
    place.settings("");
    python_modules(&place);
    place.is_clean();

    // who doesn't get them
    place.script("before_vm_start/10-x", "#!/usr/bin/python3 -I\nfrom vdsm.hook import hooking\n");
    place
        .finds("missing-module", "before_vm_start/10-x", &["`-I`", "ignore PYTHONPATH"])
        .is_words(&["take -I out"]);
    place.script("before_vm_start/10-x", IMPORTS);
    for drop_in in ["qemu.d/g/prepare/begin/10-x", "qemu.adopted"] {
        place.script(drop_in, IMPORTS);
        place
            .finds("missing-module", drop_in, &["gets libvirt's environment alone"])
            .is_words(&["an event's directory"]);
        fs::remove_file(place.host.hook(drop_in)).unwrap();
    }
    place.script("bin/x", IMPORTS);
    place.file("hooks.d/x.yaml", &registration("style: libvirt").replace("/bin/true", "bin/x"));
    place
        .finds("missing-module", "bin/x", &["`command` of hooks.d/x.yaml", "`style: libvirt`"])
        .is_words(&["take `style: libvirt` out of", "hooks.d/x.yaml"]);
    let own = place.host.hook("own");
    let more = format!("style: libvirt\nenvironment: {{PYTHONPATH: '{}'}}", own.display());
    place.file("hooks.d/x.yaml", &registration(&more).replace("/bin/true", "bin/x"));
    place.is_clean();
    place.file("hooks.d/x.yaml", &registration("").replace("/bin/true", "bin/x"));
    place.is_clean();
}

// V6
fn modules_for_python_are_as_good_as_the_hooks_that_import_them() {
    let place = Place::clean();
    place.script("before_vm_start/10-x", IMPORTS);
    python_modules(&place);
    place.is_clean();
    let is_writable = "writable by group";
    for (at, usual) in [("share/hookmux/python", 0o755), ("share/hookmux", 0o755)] {
        place.host.mode(at, usual | 0o020);
        let path = place.host.path(at);
        // also where other scripts are taken as they are
        for settings in ["trust: warn\n", ""] {
            place.settings(settings);
            place.finds("untrusted", &path, &[is_writable, "modules that lie there", "refused"]);
            place.finds("missing-module", "before_vm_start/10-x", &["is refused", is_writable]);
        }
        place.finds("missing-module", "before_vm_start/10-x", &[]).is_mended();
        place.is_clean();
        place.host.mode(at, usual | 0o020);
        place.finds("untrusted", &path, &[]).is_mended_by_its_words();
        place.is_clean();
    }
    for (at, usual) in [
        ("share/hookmux/python/hooking.py", 0o644),
        ("share/hookmux/python/vdsm/__init__.py", 0o644),
        ("share/hookmux/python/vdsm", 0o755),
    ] {
        place.host.mode(at, usual | 0o002);
        let words = ["writable by others", "who changes it changes what hooks do"];
        place.finds("untrusted", place.host.path(at), &words).is_mended();
        place.is_clean();
    }
}

// --- trust --------------------------------------------------------------------------------------

fn whatever_others_could_change_is_told_and_mended() {
    let place = Place::clean();
    place.script("before_vm_start/x", "#!/bin/sh\n").script("bin/x", "#!/bin/sh\n");
    place.script("qemu.d/g/start/begin/x", "#!/bin/sh\n").script("qemu.adopted", "#!/bin/sh\n");
    place.file("modules/pkg/mod.py", "").file("env", "A=1\n");
    place.file(
        "hooks.d/x.yaml",
        &registration("check: bin/x\nrollback: bin/x\nenvironment_file: env"),
    );
    place.is_clean();
    for (at, usual, words) in [
        ("before_vm_start/x", 0o755, "before_vm_start/x"),
        ("qemu.d/g/start/begin/x", 0o755, "qemu.d/g"),
        ("qemu.adopted", 0o755, "qemu.adopted"),
        ("bin/x", 0o755, "`check` of hooks.d/x.yaml and 1 other are"),
        ("hooks.d/x.yaml", 0o644, "hooks.d/x.yaml"),
        ("hookmux.yaml", 0o644, "hookmux.yaml"),
        ("env", 0o644, "`environment_file` of hooks.d/x.yaml"),
        ("modules/pkg/mod.py", 0o644, "a module that hooks load"),
        ("modules/pkg", 0o755, "modules that lie there"),
        ("before_vm_start", 0o755, "before_vm_start/x"),
        ("", 0o755, "hookmux.yaml and"),
    ] {
        place.mode(at, usual | 0o020);
        // without its settings the host looks at the machine's own places
        let settled = at != "hookmux.yaml" && !at.is_empty();
        if settled {
            place.finds("untrusted", at, &["writable by group", words]).is_mended();
            place.is_clean();
        } else {
            let findings = place.findings();
            let own = findings.iter().any(|it| {
                it["code"] == "untrusted" && it["message"].as_str().unwrap().contains(words)
            });
            assert!(own, "{findings:#?}");
            place.mode(at, usual);
        }
    }
    place.mode("before_vm_start/x", 0o4755);
    place.finds("untrusted", "before_vm_start/x", &["setuid"]).is_mended();
    place.host.mode("bin/hookmux", 0o775);
    let binary = place.host.path("bin/hookmux");
    place.finds("untrusted", binary, &["hookmux itself"]).is_mended();
}

/// Names that a shell would read as more than a name.
const NAMES: [&str; 9] = [
    "it's",
    "a b",
    "$(touch pwned)",
    "`touch pwned`",
    "z';touch pwned;'",
    "x;touch pwned",
    "-rf",
    "n\nl",
    "\u{1b}[31m\"$HOME\"",
];

#[test]
fn every_fix_takes_any_name() {
    let place = Place::clean();
    for (index, name) in NAMES.into_iter().enumerate() {
        let mends = |found: Found<'_>| match index % 2 {
            0 => found.is_mended(),
            _ => found.is_mended_by_its_words(),
        };
        let at = format!("before_vm_start/{name}");
        place.script(&at, "#!/bin/sh\n").mode(&at, 0o777);
        mends(place.finds("untrusted", &at, &[]));
        place.mode(&at, 0o4755);
        mends(place.finds("untrusted", &at, &["setuid"]));
        place.script(&at, "#!/bin/sh\r\n");
        mends(place.finds("crlf", &at, &[]));
        place.script(&at, "");
        mends(place.finds("empty-script", &at, &[]));
        let guest = format!("qemu.d/{name}/prepare/begin/x");
        place.script(&guest, "#!/bin/sh\n").mode(&format!("qemu.d/{name}"), 0o775);
        mends(place.finds("untrusted", format!("qemu.d/{name}"), &[]));
        fs::remove_dir_all(place.host.hook("qemu.d")).unwrap();
        let file = format!("hooks.d/{name}.yaml");
        place.file(&file, &registration("")).mode(&file, 0o666);
        mends(place.finds("untrusted", &file, &[]));
        fs::remove_file(place.host.hook(&file)).unwrap();
        place.file(&format!("hooks.d/{name}.yml"), &registration(""));
        mends(place.finds("not-a-registration", format!("hooks.d/{name}.yml"), &[]));
        fs::remove_file(place.host.hook(&file)).unwrap();
        place.link("/nowhere", &at);
        mends(place.finds("dangling-link", &at, &[]));
        place.is_clean();
    }
}

/// A directory of another user's, open to all, with a script of his.
fn home(place: &Place, script: &str) -> PathBuf {
    let home = place.host.path("home/u");
    fs::create_dir_all(&home).unwrap();
    place.host.mode("home", 0o755);
    let path = home.join(script);
    place.host.script(&path, "true");
    for path in [&path, &home] {
        std::os::unix::fs::chown(path, Some(4321), Some(4321)).unwrap();
    }
    fs::set_permissions(&home, PermissionsExt::from_mode(0o777)).unwrap();
    path
}

#[track_caller]
fn is_left_alone(place: &Place, script: &Path) {
    use std::os::unix::fs::MetadataExt;
    for path in [place.host.path("home/u"), script.to_path_buf()] {
        assert_eq!(fs::metadata(&path).unwrap().uid(), 4321, "{}", path.display());
    }
    assert_eq!(fs::metadata(place.host.path("home/u")).unwrap().mode() & 0o7777, 0o777);
}

#[test]
fn what_is_not_hookmuxs_is_copied_and_left_alone() {
    if !is_root() {
        return skip("only root can give a file away");
    }
    for name in ["x", "it's", "z';touch pwned;'"] {
        let place = Place::clean();
        let script = home(&place, name);
        let home = place.host.path("home/u");
        // a link in an event's directory, and one that an adopted script is
        for at in ["before_vm_start/x", "qemu.adopted"] {
            place.link(script.to_str().unwrap(), at);
            place.finds("untrusted", &home, &[]).is_mended();
            assert!(!place.host.hook(at).is_symlink(), "{at} is no copy");
            is_left_alone(&place, &script);
            place.is_clean();
        }
        // an event's directory that lies there
        let hooks = home.join("hooks");
        fs::create_dir(&hooks).unwrap();
        place.host.script(hooks.join(name), "true");
        place.link(hooks.to_str().unwrap(), "after_vm_stop");
        place.finds("untrusted", &home, &[]).is_mended();
        assert!(place.host.hook("after_vm_stop").join(name).is_file());
        is_left_alone(&place, &script);
        place.is_clean();
    }
    // a program that a registration names
    let place = Place::clean();
    let script = home(&place, "guard.sh");
    let home = place.host.path("home/u");
    for text in ["command: @", "command: [@, a b]", "command: '@'"] {
        let text = format!("events: before_vm_start\n{text}\nrollback: [@]\n");
        let text = text.replace('@', script.to_str().unwrap());
        place.file("hooks.d/x.yaml", &text);
        place.finds("untrusted", &home, &[]).is_mended();
        is_left_alone(&place, &script);
        place.is_clean();
        let text = fs::read_to_string(place.host.hook("hooks.d/x.yaml")).unwrap();
        assert!(!text.contains("home/u"), "{text}");
    }
    // one without an x bit
    fs::set_permissions(&script, PermissionsExt::from_mode(0o644)).unwrap();
    let text = format!("events: after_vm_start\ncommand: {}\n", script.display());
    place.file("hooks.d/x.yaml", &text);
    place.finds("command-not-executable", "hooks.d/x.yaml", &["no x bit"]).is_mended();
    is_left_alone(&place, &script);
}

#[test]
fn one_command_mends_all_of_a_path() {
    if !is_root() {
        return skip("only root can give a file away");
    }
    let place = Place::clean();
    place.script("before_vm_start/x", "#!/bin/sh\n");
    for at in ["before_vm_start", "before_vm_start/x"] {
        std::os::unix::fs::chown(place.host.hook(at), Some(4321), None).unwrap();
        place.mode(at, 0o777);
    }
    place.finds("untrusted", "before_vm_start", &["owned by uid 4321"]).is_mended();
    place.is_clean();
}

#[test]
fn hooks_that_lie_below_somebody_elses_directory_are_no_commands_matter() {
    if !is_root() {
        return skip("only root can give a file away");
    }
    let place = Place::clean();
    place.script("before_vm_start/x", "#!/bin/sh\n");
    std::os::unix::fs::chown(place.host.directory(), Some(4321), None).unwrap();
    let findings = place.findings();
    let found = findings.iter().filter(|found| found["code"] == "untrusted");
    for finding in found.inspect(|found| assert!(found["message"].is_string())) {
        let fix = finding["fix"].as_str().unwrap();
        assert!(finding["fix_command"].is_null() && !fix.contains("chown"), "{finding:#}");
    }
}

#[test]
fn a_script_among_registrations_is_registered() {
    let place = Place::clean();
    place.script("hooks.d/x.sh", "#!/bin/sh\n");
    let at = "hooks.d/x.sh";
    let found = place.finds("not-a-registration", at, &[]);
    found.is_words(&["add script", "bin/x.sh --event EVENT"]);
    let line = found.fix.split(" (`").next().unwrap().replace("EVENT", "after_vm_start");
    found.run(Command::new("/bin/sh").args(["-c", &line]));
    place.is_clean();
    assert!(place.host.hook("hooks.d/x-after_vm_start.yaml").is_file());
}

fn trust_that_was_relaxed_is_a_warning() {
    let place = Place::clean();
    place.settings("trust: warn\n").script("before_vm_start/x", "#!/bin/sh\n").is_clean();
    place.mode("before_vm_start/x", 0o777);
    place.finds("untrusted-but-run", "before_vm_start/x", &["`trust: warn`"]).is_mended();
}

fn an_interpreter_is_as_good_as_its_script() {
    let place = Place::clean();
    let shell = place.host.path("bin/sh");
    copy("/bin/sh", &shell);
    place.script("before_vm_start/x", &format!("#!{}\n", shell.display())).is_clean();
    place.host.mode("bin/sh", 0o777);
    // an interpreter is the system's
    place
        .finds("untrusted-interpreter", "before_vm_start/x", &["bin/sh is writable"])
        .is_words(&["packages"]);
}

// --- settings and registrations -----------------------------------------------------------------

fn broken_settings_are_told_with_their_copy() {
    let place = Place::clean();
    place.host.guest("stopped end").run().succeeds();
    place.settings("timout: 3s\n");
    let words = ["did you mean `timeout`?", "its last good copy", "hookmux.yaml"];
    place.finds("broken-settings", "hookmux.yaml", &words);
    fs::remove_dir_all(place.host.path("state/last-good")).unwrap();
    let output = place.run(&["--output", "json"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("no good copy of it, and gates fail"), "{said}");
}

fn broken_registrations_are_told_with_their_stand_ins() {
    let place = Place::clean();
    place.file("hooks.d/x.yaml", &registration("")).is_clean();
    place.host.guest("prepare begin").run().succeeds();
    place.file("hooks.d/x.yaml", "evnts: before_vm_start\ncommand: /bin/true\n");
    let words = ["did you mean `events`?", "its last good form runs"];
    place.finds("broken-registration", "hooks.d/x.yaml", &words);
    fs::remove_file(place.host.hook("hooks.d/x.yaml")).unwrap();
    place.file("hooks.d/y.yaml", "events: before_vm_strat\ncommand: /bin/true\n");
    let words = ["did you mean `before_vm_start`?", "gates fail"];
    place.finds("broken-registration", "hooks.d/y.yaml", &words);
    fs::remove_file(place.host.hook("hooks.d/y.yaml")).unwrap();
    place.link("/nowhere", "hooks.d/z.yaml");
    place.finds("broken-registration", "hooks.d/z.yaml", &["a link to nothing"]).is_mended();
    place.file("hooks.d/a.yml", &registration(""));
    place.finds("not-a-registration", "hooks.d/a.yml", &[".yaml"]).is_mended();
    place.file("hooks.d/a.yaml.rpmnew", "");
    place.finds("left-behind", "hooks.d/a.yaml.rpmnew", &[]).is_mended();
    place.is_clean();
}

fn a_hook_of_another_users_must_be_open_to_it() {
    if !is_root() {
        return skip("only root can give rights to others");
    }
    let place = Place::clean();
    fs::set_permissions(place.host.directory(), PermissionsExt::from_mode(0o755)).unwrap();
    place.script("bin/x", "#!/bin/sh\n");
    let hook = "events: before_vm_start\ncommand: bin/x\nrun_as: {user: 65534, group: 65534}\n";
    place.file("hooks.d/x.yaml", hook).is_clean();
    place.mode("bin", 0o700);
    place
        .finds("unreachable-command", "hooks.d/x.yaml", &["user 65534", "bin is shut"])
        .is_mended();
    for mode in [0o700, 0o711] {
        place.mode("bin/x", mode);
        place.finds("unreachable-command", "hooks.d/x.yaml", &["bin/x is shut"]).is_mended();
    }
    place.is_clean();
}

fn registrations_that_never_run_are_told() {
    let place = Place::clean();
    for (code, more, words) in [
        ("never-matches", "when: {driver: network}", "calls of bhyve, libxl, lxc, qemu"),
        ("never-matches", "when: {reason: saved}", "at release only"),
        ("never-matches", "when: {origin: migration}", "never that"),
        ("meaningless-key", "on_failure: kill", "none of its events is live"),
        ("meaningless-key", "mode: detached", "can't stop anything"),
        ("command-missing", "check: [/nowhere/x]", "`check` of hooks.d/x.yaml is /nowhere/x"),
        ("command-missing", "rollback: bin/gone", "`rollback` of hooks.d/x.yaml"),
        ("unknown-user", "run_as: {user: nobody-at-all}", "no user `nobody-at-all`"),
    ] {
        place.file("hooks.d/x.yaml", &registration(more));
        place.finds(code, "hooks.d/x.yaml", &["hooks.d/x.yaml", words]);
    }
    place.file("hooks.d/x.yaml", &registration("run_as: {user: nobody, group: no-such-group}"));
    let found = place.finds("unknown-user", "hooks.d/x.yaml", &["no group `no-such-group`"]);
    assert_eq!(found.fix, "groupadd --system no-such-group");
    place.file("hooks.d/x.yaml", &registration("enabled: false\ncheck: /nowhere/x")).is_clean();
    place.file("hooks.d/x.yaml", "events: before_vm_start\ncommand: /nowhere/x\n");
    place.finds("command-missing", "hooks.d/x.yaml", &["`command`", "/nowhere/x"]);
    place.file("bin/x", "#!/bin/sh\n").file("hooks.d/x.yaml", &registration("check: bin/x"));
    place.finds("command-not-executable", "hooks.d/x.yaml", &["no x bit"]).is_mended();
    place.script("bin/x", "true\n");
    place.finds("no-interpreter-line", "bin/x", &["`check` of hooks.d/x.yaml"]).is_mended();
    place.is_clean();
    place.file("hooks.d/x.yaml", &registration("environment_file: env"));
    place.finds("environment-file", "env", &["hooks.d/x.yaml"]);
    place.file("env", "no variable\n");
    place.finds("environment-file", "env", &["env:1"]);
    place.file("env", "A=1\n").is_clean();
}

// --- places -------------------------------------------------------------------------------------

fn places_must_be_directories_of_our_own() {
    let place = Place::clean();
    let state = place.host.path("state");
    place.host.mode("state", 0o755);
    place.finds("open-directory", &state, &["state_dir"]).is_mended();
    // as packages make the runtime directory: others pass through, and see nothing
    place.host.mode("state", 0o711);
    place.is_clean();
    place.host.mode("state", 0o770);
    place.finds("untrusted", &state, &["writable by group", "state_dir"]).is_mended();
    fs::set_permissions(&state, PermissionsExt::from_mode(0o700)).unwrap();
    fs::remove_dir_all(&state).unwrap();
    place.is_clean();
    fs::write(&state, "").unwrap();
    place.finds("not-a-directory", &state, &["state_dir"]).is_mended();
    place.is_clean();
}

fn a_runtime_directory_on_a_disk_is_told() {
    let place = Place::clean();
    let run = place.host.path("run");
    if is_in_memory(&run) {
        return skip("temporary files are in memory here");
    }
    place.host.raw_settings(&host_settings(&place.host));
    place.host.mode("run", 0o700);
    place.finds("runtime-on-disk", &run, &["not in memory"]);
}

fn what_lies_among_our_files_and_isnt_ours_is_told() {
    let place = Place::clean();
    let records = place.host.path("state/records/01KH3Z");
    for directory in ["state", "state/records", "state/records/01KH3Z", "state/last-good"] {
        fs::create_dir_all(place.host.path(directory)).unwrap();
        place.host.mode(directory, 0o700);
    }
    place.is_clean();
    let record = records.join("01KH3Z0000000000000000000A");
    nix::unistd::mkfifo(&record, nix::sys::stat::Mode::S_IRWXU).unwrap();
    place.finds("odd-file", &record, &["isn't read", "not a regular file"]).is_mended();
    fs::write(&record, "").unwrap();
    fs::set_permissions(&record, PermissionsExt::from_mode(0o602)).unwrap();
    place.finds("odd-file", &record, &["others may write to it"]).is_mended();
    symlink("/dev/zero", place.host.path("state/last-good/x.yaml")).unwrap();
    place
        .finds("odd-file", place.host.path("state/last-good/x.yaml"), &["it is a link"])
        .is_mended();
    place.is_clean();
}

fn host_settings(host: &Host) -> String {
    host.private_settings()
}

fn is_in_memory(path: &Path) -> bool {
    let output = output(Command::new("stat").args(["-f", "-c", "%T"]).arg(path));
    output.stdout.starts_with(b"tmpfs") || output.stdout.starts_with(b"ramfs")
}

fn places_must_be_writable_and_have_room() {
    if !is_root() {
        return skip("only root may mount");
    }
    let place = Place::clean();
    let inside = |mounts: &str| -> Value {
        let script = format!(
            "{mounts}; {} --hooks-dir {} check --root {} --output json",
            place.host.path("bin/hookmux").display(),
            place.host.hooks().display(),
            place.host.path("root").display()
        );
        let unshare = ["--mount", "--propagation", "private", "sh", "-c", &script];
        let output = output(Command::new("unshare").args(unshare));
        schema::read(&["check"], &output.stdout)
    };
    for name in ["state", "save"] {
        let path = place.host.path(name);
        let said = inside(&format!("mount -t tmpfs -o ro,mode=700 tmpfs {}", path.display()));
        let finding = &said["findings"][0];
        assert_eq!(finding["code"], "not-writable", "{said:#}");
        seen(finding);
        assert_eq!(finding["path"].as_str(), path.to_str());
        assert!(finding["message"].as_str().unwrap().contains("Read-only"), "{said:#}");
        let said = inside(&format!("mount -t tmpfs -o size=1m,mode=700 tmpfs {}", path.display()));
        assert_eq!(said["findings"][0]["code"], "little-space", "{said:#}");
        seen(&said["findings"][0]);
        let said = inside(&format!("mount -t tmpfs -o size=99m,mode=700 tmpfs {}", path.display()));
        assert_eq!(said["findings"].as_array().unwrap().len(), 0, "{said:#}");
    }
}

fn a_directory_that_cannot_be_read_is_told() {
    let place = Place::clean();
    place.link("/nowhere", "before_vm_start");
    place.finds("unreadable", "before_vm_start", &["gates fail"]).is_mended();
    place.is_clean();
    place.script("before_vm_start", "#!/bin/sh\n");
    place.finds("not-a-directory", "before_vm_start", &["never runs"]).is_mended();
    assert!(place.host.hook("before_vm_start/10-script").exists());
    place.is_clean();
}

// --- what waits ---------------------------------------------------------------------------------

fn saves_that_were_left_are_told_and_brought_back() {
    let place = Place::clean();
    let (save, second): (PathBuf, PathBuf) =
        (place.host.path("save/vm.save"), place.host.path("save/vm.save.hookmux"));
    fs::write(&save, "state").unwrap();
    place.is_clean();
    fs::hard_link(&save, &second).unwrap();
    place.finds("spare-save", &second, &["still there"]).is_mended();
    fs::rename(&save, &second).unwrap();
    place.finds("dangling-save", &second, &["the only name left"]).is_mended();
    assert_eq!(fs::read(&save).unwrap(), b"state");
    fs::write(&second, "earlier").unwrap();
    place.finds("dangling-save", &second, &["an earlier managed save"]).is_mended();
    assert_eq!(fs::read(&save).unwrap(), b"state");
}

fn jobs_that_wait_too_long_and_files_that_are_none_are_told() {
    let place = Place::clean();
    let queue = place.host.path("state/queue");
    let job = queue.join("01J00000000000000000000000.json");
    fs::create_dir(&queue).unwrap();
    place.host.mode("state/queue", 0o700);
    fs::write(&job, "{").unwrap();
    place.finds("broken-job", &job, &["as a job"]).is_mended();
    fs::write(queue.join("x.broken"), "{").unwrap();
    place.finds("broken-job", queue.join("x.broken"), &[]).is_mended();
    place.is_clean();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    fs::write(&job, item(now)).unwrap();
    place.is_clean();
    fs::write(&job, item(now - 1200)).unwrap();
    place.finds("old-job", &job, &["after_vm_start/x", "20 min", "queue --work"]);
    fs::write(&job, item(now)).unwrap();
    place.is_clean();
    let newer = item(now).replacen('{', "{\"format\":99,", 1);
    fs::write(&job, newer).unwrap();
    place.finds("newer-job", &job, &["a later version of hookmux wrote it (format 99)", "update"]);
    fs::remove_file(&job).unwrap();
    let aside =
        item(now).replacen('{', "{\"put_aside\":\"its worker died 3 times while it ran\",", 1);
    let broken = job.with_extension("broken");
    fs::write(&broken, aside).unwrap();
    place
        .finds(
            "job-put-aside",
            &broken,
            &["after_vm_start/x for qemu g", "its worker died 3 times"],
        )
        .is_mended();
    assert!(!broken.exists());
}

fn a_queue_that_is_nearly_full_is_told() {
    let place = Place::clean();
    let settings = fs::read_to_string(place.host.hook("hookmux.yaml")).unwrap();
    place.host.raw_settings(&format!("{settings}queue: {{jobs: 5}}\n"));
    let queue = place.host.path("state/queue");
    fs::create_dir(&queue).unwrap();
    place.host.mode("state/queue", 0o700);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let put = |number: usize| {
        let id = format!("01J0000000000000000000000{number}");
        let job = item(now).replace("01J00000000000000000000000", &id);
        fs::write(queue.join(format!("{id}.json")), job).unwrap();
    };
    (0..3).for_each(put);
    place.is_clean();
    put(3);
    place.finds("queue-nearly-full", &queue, &["4 of the 5 jobs", "detached hooks fail"]);
    place.host.raw_settings(&format!("{settings}queue: {{size: 2 KiB}}\n"));
    place.finds("queue-nearly-full", &queue, &["of the 2048 bytes"]);
}

fn events_that_nobody_sends_are_told() {
    let place = Place::clean();
    place.settings("outbox: true\noutbox_max: {events: 100}\n");
    let outbox = place.host.path("state/outbox");
    place.finds("outbox-not-sent", &outbox, &["nothing sends the events", "at most 100"]);
    place.fake("etc/systemd/system/multi-user.target.wants/hookmux-relay.service", "");
    place.is_clean();
    fs::create_dir(&outbox).unwrap();
    place.host.mode("state/outbox", 0o700);
    let put = |number: usize| {
        let name = format!("{number:020}-01J000000000000000000000{number:02}.json");
        fs::write(outbox.join(name), "{}").unwrap();
    };
    (1..90).for_each(put);
    place.is_clean();
    put(90);
    place.finds("outbox-nearly-full", &outbox, &["90 events wait", "at most 100"]);
    fs::remove_dir_all(&outbox).unwrap();
    let relay = place.host.path("state-relay");
    fs::create_dir(&relay).unwrap();
    fs::write(relay.join("cursor.nats"), format!("{:020}\n", 0)).unwrap();
    place.is_clean();
    fs::write(relay.join("cursor.nats"), format!("{:020}\n", 5)).unwrap();
    place.finds("odd-cursor", relay.join("cursor.nats"), &["is no number up to 0"]);
}

fn what_is_for_other_hosts_and_nobody_takes_is_told() {
    let place = Place::clean();
    place.file("hooks.d/x.yaml", "events: after_vm_stop\ncommand: /bin/true\nremote: true\n");
    place.finds("not-consumed", "hooks.d/x.yaml", &["never runs", "/etc/hookmux/remote"]);
    place.file(
        "hooks.d/x.yaml",
        "events: after_vm_stop\ncommand: /bin/true\nremote: true\nenabled: false\n",
    );
    place.is_clean();
    // where the consumer reads
    let broken = "events: after_vm_stop\ncomand: /bin/true\n";
    place.fake("etc/hookmux/remote/hooks.d/y.yaml", broken);
    let path = place.host.path("root/etc/hookmux/remote/hooks.d/y.yaml");
    place.finds("broken-registration", &path, &["no event of another host runs anything"]);
    fs::remove_file(&path).unwrap();
    place.fake("etc/systemd/system/multi-user.target.wants/hookmux-consume.service", "");
    place.is_clean();
    place.host.mode("root/etc/hookmux/remote", 0o700);
    let shut = place.host.path("root/etc/hookmux/remote");
    place.finds("unreadable", &shut, &["can't be read by the user hookmux-consume"]);
}

fn what_is_remembered_and_cannot_be_read_is_told() {
    let place = Place::clean();
    let run = place._memory.path();
    for directory in ["pending", "guests"] {
        let path = run.join(directory).join("qemu-3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a901.json");
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "{\"format\":2}").unwrap();
        let words = ["a newer hookmux wrote it", "isn't started for another"];
        place.finds("broken-guest-state", &path, &words).is_mended();
        fs::create_dir(&path).unwrap();
        place.finds("broken-guest-state", &path, &["not a regular file", "rm -r "]).is_mended();
    }
    place.is_clean();
}

fn what_is_not_undone_is_told() {
    let place = Place::clean();
    place.file("hooks.d/x.yaml", "events: before_vm_prepare\ncommand: /bin/true\nundo: bin/undo\n");
    place.host.script("bin/undo", "test ! -e \"$T/fails\"");
    let fails = place.host.path("fails");
    fs::write(&fails, "").unwrap();
    place.host.guest("prepare begin").run().succeeds();
    place.host.guest("release end").run().fails(1, &["x (undo)"]);
    let ledger = place._memory.path().join("undo");
    let words = ["before_vm_prepare/x has set up for qemu g", "exit status 1"];
    let found = place.finds("undo-owed", &ledger, &words);
    fs::remove_file(&fails).unwrap();
    found.is_mended();
    place.host.guest("prepare begin").run().succeeds();
    let mut directories = fs::read_dir(&ledger).unwrap().map(|entry| entry.unwrap().path());
    let owner = directories.find(|path| path.to_str().unwrap().contains("qemu-")).unwrap();
    let mut files = fs::read_dir(&owner).unwrap().map(|entry| entry.unwrap().path());
    let entry = files.find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    // what lies beside the entries, and what lies in the place of one
    let owner = entry.parent().unwrap();
    for odd in [owner.join("x"), ledger.join("x")] {
        symlink("/dev/zero", &odd).unwrap();
        place.finds("odd-file", &odd, &["isn't read", "it is a link"]).is_mended();
    }
    let other = owner.join("0.json");
    symlink("/dev/zero", &other).unwrap();
    place.finds("broken-undo", &other, &["it is a link"]).is_mended();
    fs::write(&entry, "{\"format\":2}").unwrap();
    place.finds("broken-undo", &entry, &["a newer hookmux wrote it"]).is_mended();
    let output = output(
        Command::new(place.host.path("bin/hookmux"))
            .arg("--hooks-dir")
            .arg(place.host.hooks())
            .args(["check", "--output", "json"])
            .env("PATH", "/nonexistent"),
    );
    let said = schema::read(&["check"], &output.stdout);
    let findings = said["findings"].as_array().unwrap();
    let finding = findings.iter().find(|one| one["code"] == "no-virsh").unwrap();
    seen(finding);
}

fn keys_that_an_older_version_refuses_are_listed() {
    let place = Place::clean();
    let of = |version: &str| {
        let output = place.run(&["--for", version, "--output", "json"]);
        let said = schema::read(&["check"], &output.stdout);
        (output.status.code(), said["findings"].as_array().unwrap().clone())
    };
    place.settings("timeout: 5s\nretention: {per_hook: 5}\nenvironment: {NEW: x}\n");
    place.file(
        "hooks.d/a.yaml",
        &registration("when:\n  property: {anything: x}\nlimits: {cpu: 5}"),
    );
    assert_eq!(of("0.1.0"), (Some(0), Vec::new()));
    assert_eq!(of("0.2.0"), (Some(0), Vec::new()));
    let output = place.run(&["--for", "0.1.0"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("nothing to complain about"), "{said}");
    // other things that are wrong are not its business
    place.script("before_vm_start/10-x", "no interpreter\n");
    place.file("hooks.d/a.yaml", &registration("limits: {cpu: 5, memory: 7}\nundo_all: /x"));
    let (status, findings) = of("0.1.0");
    assert_eq!((status, findings.len()), (Some(1), 2), "{findings:#?}");
    for (finding, words) in findings.iter().zip([
        "hooks.d/a.yaml:3: hookmux 0.1.0 refuses the key `limits.memory`: it is unknown in every version",
        "hooks.d/a.yaml:4: hookmux 0.1.0 refuses the key `undo_all`: it is unknown in every version",
    ]) {
        assert_eq!(finding["code"], "refused-key");
        seen(finding);
        assert_eq!(finding["message"], words);
        assert_eq!(finding["path"].as_str(), place.host.hook("hooks.d/a.yaml").to_str());
    }
    place.file("hooks.d/a.yaml", "events: [\n");
    assert!(of("0.1.0").1[0]["message"].as_str().unwrap().contains("its keys can't be read"));
    for version in ["9.9.9", "", "0.1"] {
        let output = place.run(&["--for", version]);
        assert_eq!(output.status.code(), Some(2), "{version}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("known are 0.1.0, 0.2.0"), "{said}");
        assert!(output.stdout.is_empty());
    }
}

/// A job that was queued then.
fn item(queued_at: u64) -> String {
    serde_json::json!({
        "id": "01J00000000000000000000000", "execution": "01J00000000000000000000001",
        "hook": "after_vm_start/x", "event": "after_vm_start", "driver": "qemu", "object": "g",
        "operation": "started", "uuid": null, "registration": "x",
        "caller": {"pid": 1, "start": 0}, "path": "L2Jpbi90cnVl", "arguments": [],
        "environment": [], "stdin": null, "document": null, "identity": null,
        "limits": {}, "nice": null, "timeout": null, "kill_leftovers": false, "lock": null,
        "max_parallel": null, "retries": 3, "queued_at": queued_at, "not_before": 0,
        "attempts": 0, "run": null, "last": null,
    })
    .to_string()
}

fn records_that_could_not_be_kept_and_calls_that_died_are_told() {
    let place = Place::clean();
    place.script("before_vm_start/10-x", "#!/bin/sh\nkill -KILL $PPID\n");
    let spool = place._memory.path().join("records");
    place.host.guest("prepare begin").run();
    place.finds(
        "lost-executions",
        place.host.path("state/records"),
        &["died in 1 call", "log --lost"],
    );
    // a retry that worked is what was missing
    let id = place.host.json(&["log"], 0)["executions"][0]["id"].as_str().unwrap().to_owned();
    place.script("before_vm_start/10-x", "#!/bin/sh\nexit 1\n");
    place.host.text(&["retry", "--force", &id], 1);
    place.finds("lost-executions", place.host.path("state/records"), &["died in 1 call"]);
    place.script("before_vm_start/10-x", "#!/bin/sh\n");
    place.host.text(&["retry", "--force", &id], 0);
    place.has_not("lost-executions");
    place.script("before_vm_start/10-x", "#!/bin/sh\nkill -KILL $PPID\n");
    place.host.text(&["prune"], 0);
    fs::remove_dir_all(place.host.path("state/records")).unwrap();
    place.is_clean();
    fs::write(spool.join("dropped"), "{\"records\":3,\"journal\":0}").unwrap();
    place.finds("records-dropped", &spool, &["3 records could not be kept"]);
    fs::write(spool.join("dropped"), "{\"records\":0,\"journal\":2}").unwrap();
    place.finds("journal-dropped", &spool, &["no room for 2 messages"]);
    fs::write(spool.join("dropped"), "{\"records\":0,\"journal\":0}").unwrap();
    // a state directory that takes nothing
    place.script("before_vm_start/10-x", "#!/bin/sh\nexit 0\n");
    fs::write(place.host.path("state/records"), "").unwrap();
    place.host.guest("prepare begin").run().succeeds();
    place.host.text(&["prune"], 1);
    place.finds("records-stuck", &spool, &["1 record", "can't be moved"]);
    fs::remove_file(place.host.path("state/records")).unwrap();
    place.host.text(&["prune"], 0);
    place.is_clean();
}

fn counters_of_a_newer_version_are_told() {
    let place = Place::clean();
    let records = place.host.path("state/records");
    fs::create_dir(&records).unwrap();
    place.host.mode("state/records", 0o700);
    let counters = records.join("counters.json");
    fs::write(&counters, "{\"format\":2}").unwrap();
    place.finds("newer-file", &counters, &["a newer hookmux wrote it, in format 2"]).is_mended();
    place.is_clean();
}

fn that_hooks_are_switched_off_is_an_error() {
    let place = Place::clean();
    place.host.text(&["bypass", "on", "--guest", "web 1", "--yes"], 0);
    place
        .finds("bypassed", "hookmux.bypass", &["the emergency switch is on", "calls about web 1"])
        .is_mended();
    place.host.text(&["bypass", "on", "--yes"], 0);
    place.mode("hookmux.bypass", 0o666);
    place.finds("broken-bypass", "hookmux.bypass", &["is ignored"]).is_mended();
    place.is_clean();
}

fn bare_names_that_a_script_does_not_get_are_named_with_the_line_that_gives_them() {
    let place = Place::clean();
    let document = |words: &str| {
        format!(
            "<domain><name>g</name><metadata><h:properties xmlns:h='urn:hookmux:properties:1'>\
             {words}</h:properties></metadata></domain>"
        )
    };
    let property = |name: &str| format!("<h:property name='{name}'>1</h:property>");
    // one of vdsm's usual ones, and nothing that is set, steers, or is no guest's
    place.script("before_vm_start/10-x", "#!/bin/sh\ntrue \"$macspoof\" $unknown $PATH $TMOUT\n");
    let words = ["before_vm_start/10-x reads `macspoof`,", "custom_properties: [macspoof]"];
    place.finds("bare-name", "before_vm_start/10-x", &words);
    place.settings("custom_properties: [macspoof]\n").is_clean();
    place.settings("environment: {macspoof: x}\n").is_clean();
    place.settings("");
    place.script("before_vm_start/10-x", "#!/bin/sh\nmacspoof=1; true $macspoof $VLAN $zone\n");
    place.is_clean();
    // one of a guest that libvirt knows
    let known = place.host.path("qemu/g.xml");
    fs::create_dir(place.host.path("qemu")).unwrap();
    let mut text = property("VLAN");
    fs::write(&known, document(&text)).unwrap();
    let words = ["reads `VLAN`,", "custom_properties: [VLAN]", "HOOKMUX_PROPERTY_VLAN"];
    place.finds("bare-name", "before_vm_start/10-x", &words);
    // the line has all that is missing, and what is there
    place.script("bin/y", "#!/usr/bin/python3\nimport os\nos.environ.get('role')\n");
    place.host.mode("hooks/bin", 0o755);
    place.file("hooks.d/y.yaml", "events: before_vm_start\ncommand: bin/y\n");
    text += &property("role");
    fs::write(&known, document(&text)).unwrap();
    place.settings("custom_properties: [a]\n");
    let findings = place.findings();
    let bare: Vec<_> = findings.iter().filter(|one| one["code"] == "bare-name").collect();
    assert_eq!(bare.len(), 2, "{findings:#?}");
    for finding in bare {
        let fix = finding["fix"].as_str().unwrap();
        assert!(fix.contains("custom_properties: [VLAN, a, role] "), "{fix}");
    }
    place.settings("custom_properties: [VLAN, a, role]\n").is_clean();
    place.settings("custom_properties: {VLAN: '?'}\n");
    place.finds("bare-name", "hooks.d/y.yaml", &["hooks.d/y.yaml reads `role`", r#"role: \"*\""#]);
    fs::remove_file(place.host.hook("hooks.d/y.yaml")).unwrap();
    fs::remove_dir_all(place.host.path("qemu")).unwrap();
    // of a record
    place.settings("");
    place.host.guest("prepare begin").stdin(document(&property("zone"))).run().succeeds();
    place.finds("bare-name", "before_vm_start/10-x", &["reads `zone`,"]);
    fs::remove_file(place.host.hook("before_vm_start/10-x")).unwrap();
    // what was libvirt's own gets none at all
    place.settings("custom_properties: [zone]\n");
    place.script("qemu.adopted", "#!/bin/sh\necho $zone\n");
    place.finds("bare-name", "qemu.adopted", &["read HOOKMUX_PROPERTY_zone in the script"]);
}

fn names_that_no_hook_gets_bare_are_told() {
    let place = Place::clean();
    place.settings("custom_properties: [TMOUT, vlan]\n");
    place.finds("steering-name", "hookmux.yaml", &["names `TMOUT`", "HOOKMUX_PROPERTY_TMOUT"]);
    place.settings("custom_properties: {http_proxy: '*', a.b: x}\n");
    place.finds("steering-name", "hookmux.yaml", &["names `http_proxy`"]);
    place.settings("custom_properties: [a.b]\n");
    place.finds("steering-name", "hookmux.yaml", &["names `a.b`", "can't be a variable's name"]);
    place.settings("custom_properties: [vlan]\n").is_clean();
}

fn what_hooks_left_is_counted() {
    let place = Place::clean();
    let trash = place._memory.path().join("trash");
    fs::create_dir_all(trash.join("x/deeper/deepest")).unwrap();
    fs::set_permissions(&trash, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(trash.join("x/file"), "").unwrap();
    place.finds("trash-left", &trash, &["3 ", "hooks left"]).is_mended();
    place.is_clean();
}

#[test]
fn what_a_link_leads_to_is_not_changed_by_a_way_out() {
    if !is_root() {
        return skip("who isn't root gives nothing away");
    }
    let place = Place::clean();
    let secret = place.host.path("secret");
    fs::write(&secret, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
    let link = place.host.hook("before_vm_start/x");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    place.mode("before_vm_start", 0o755);
    symlink(&secret, &link).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let found = place.finds("not-executable", "before_vm_start/x", &["install"]);
    found.is_mended();
    let mode = fs::metadata(&secret).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "the file of the link is left alone");
    assert!(!link.is_symlink());
}
