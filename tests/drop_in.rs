//! Scripts that were libvirt's: an adopted one and the per-guest tree can't tell hookmux from libvirt,
//! but by what docs/drop-in.md lists. A program that prints all it can see is run plain and below
//! hookmux. Needs a C compiler (`cc`), as building hookmux does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::call::Call;
use crate::support::host::{binary_under_test, writing};
use crate::support::{GUEST, Host, is_root, skip};

/// The VFIO helper of the community, as libvirt hosts have it.
pub const HELPER: &str = include_str!("captures/vfio-helper.sh");

/// What libvirt passes, and what nobody would expect it to.
const ENVIRONMENT: [&str; 12] = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL=C",
    "HOME=/root",
    "USER=root",
    "LOGNAME=root",
    "TMPDIR=/var/tmp",
    "LD_LIBRARY_PATH=/nowhere",
    "LD_PRELOAD=",
    "odd-name=a b\tc",
    "EMPTY=",
    "NOT=UTF-8 \u{e9}",
    "_hook_domxml=/forged",
];

// --- the probe ----------------------------------------------------------------------------------

/// Puts the probe at a place in the hooks directory; what it sees comes to `seen` beside that.
fn put_probe(host: &Host, place: &str) {
    let path = host.hook(place);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let out = format!("-DOUT=\"{}\"", host.path("seen").display());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe.c");
    let _writing = writing();
    let built = Command::new("cc").args(["-O1", "-o"]).arg(&path).arg(out).arg(source).output();
    let built = built.expect("this test needs a C compiler, `cc`");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

/// A call as libvirt makes it, from a daemon with settings of its own.
fn as_libvirt(call: Call<'_>) -> Call<'_> {
    let clean = ["env", "-i", "--default-signal"].into_iter().chain(ENVIRONMENT);
    // as libvirt does: no other descriptors
    let settle = "cd /var/tmp; umask 0027; ulimit -n 517; ulimit -c 0; ulimit -s 4096
        for fd in /proc/$$/fd/*; do fd=${fd##*/}; [ \"$fd\" -lt 3 ] || eval \"exec $fd>&-\"; done
        exec nice -n 3 \"$@\"";
    call.through(clean).through(["bash", "-c", settle, "bash"])
}

/// The facts that the probe printed.
fn facts(host: &Host) -> BTreeMap<String, String> {
    let bytes = host.read("seen");
    let _ = fs::remove_file(host.path("seen"));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut facts = BTreeMap::new();
    for line in text.lines() {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
        let (name, value) = match name.strip_prefix("variable ") {
            // by its own name: the order is compared apart
            Some(_) => {
                let (name, value) = value.trim_start().split_once('=').unwrap_or((value, ""));
                (format!("variable {name}"), value.to_owned())
            }
            None if ["SigIgn", "SigBlk", "SigCgt"].contains(&name) => {
                // 32 to 34 are the C libraries' own: no program can ask for them
                let set = u64::from_str_radix(value.trim(), 16).unwrap() & !(7 << 31);
                (name.to_owned(), format!("{set:x}"))
            }
            None => (name.to_owned(), value.trim_start().to_owned()),
        };
        facts.insert(name, value);
    }
    assert!(facts.contains_key("document"), "the probe ran to its end: {text}");
    facts
}

fn differences(
    plain: &BTreeMap<String, String>,
    ours: &BTreeMap<String, String>,
) -> BTreeSet<String> {
    let names: BTreeSet<&String> = plain.keys().chain(ours.keys()).collect();
    names.into_iter().filter(|name| plain.get(*name) != ours.get(*name)).cloned().collect()
}

/// The facts that the documentation lists as different there.
fn listed(place: &str) -> BTreeSet<String> {
    let page = include_str!("../docs/drop-in.md");
    let (_, list) = page.split_once("| fact | where | what |\n").unwrap();
    let rows = list.lines().take_while(|line| line.starts_with('|')).skip(1);
    let rows: Vec<Vec<&str>> =
        rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>()).collect();
    assert!(rows.len() > 8, "{rows:?}");
    rows.iter()
        .filter(|row| row[1] != "-" && (row[2] == "both" || row[2] == place))
        .map(|row| row[1].trim_matches('`').to_owned())
        .collect()
}

/// What libvirt may pass: the driver, its arguments and the document.
fn calls() -> Vec<(&'static str, Vec<&'static str>, String)> {
    let large = |bytes: usize| {
        GUEST.replace("</domain>", &format!("<!--{}--></domain>", "x".repeat(bytes)))
    };
    vec![
        ("qemu", vec!["g", "prepare", "begin", "-"], GUEST.to_owned()),
        ("qemu", vec!["g", "migrate", "begin", "-"], GUEST.to_owned()),
        ("qemu", vec!["g", "started", "begin", "-"], large(200_000)),
        ("qemu", vec!["g", "release", "end", "saved"], large(3 << 20)),
        ("qemu", vec!["g", "reconnect", "begin", "-"], String::new()),
        (
            "network",
            vec!["n", "start", "begin", "-"],
            "<hookData><network><name>n</name></network></hookData>".to_owned(),
        ),
        ("daemon", vec!["-", "reload", "begin", "SIGHUP"], String::new()),
    ]
}

/// As libvirt opens it.
fn null() -> fs::File {
    fs::File::options().read(true).write(true).open("/dev/null").unwrap()
}

#[test]
fn an_adopted_script_sees_what_it_saw_before_but_for_what_is_listed() {
    let host = Host::new();
    host.settings("environment: {EMPTY: ours, SITE: ours}\ncustom_properties: [zone]");
    let listed = listed("adopted");
    for (driver, words, document) in calls() {
        let shown = format!("{driver} {words:?}");
        let call = || {
            let call = as_libvirt(host.call(driver, words.iter()));
            match driver {
                // libvirt gives the daemon's hook no document, and no pipe
                "daemon" => call.stdin_is(null()),
                _ => call.stdin(document.clone()),
            }
        };
        fs::remove_file(host.hook(driver)).unwrap();
        put_probe(&host, driver);
        call().run().succeeds();
        let plain = facts(&host);
        fs::rename(host.hook(driver), host.hook(format!("{driver}.adopted"))).unwrap();
        host.link(binary_under_test(), driver);
        call().run().succeeds();
        let ours = facts(&host);
        assert_eq!(differences(&plain, &ours), listed, "{shown}: {plain:#?} {ours:#?}");
        let kind = if driver == "daemon" { "device both" } else { "pipe reads" };
        assert_eq!(ours["descriptor 0"], kind, "{shown}");
        assert_eq!(ours["document"].split(' ').next(), Some(&*document.len().to_string()));
        assert_eq!((&*ours["umask"], &*ours["directory"]), ("0027", "/var/tmp"), "{shown}");
    }
}

#[test]
fn a_script_of_the_tree_sees_what_it_saw_under_the_helper_but_for_what_is_listed() {
    let host = Host::new();
    host.settings("environment: {EMPTY: ours, SITE: ours}\ncustom_properties: [zone]");
    let listed = listed("tree");
    let mut seen = BTreeSet::new();
    for (driver, words, document) in calls() {
        if driver != "qemu" {
            continue;
        }
        let place = format!("qemu.d/g/{}/{}", words[1], words[2]);
        put_probe(&host, &place);
        let call = || as_libvirt(host.call(driver, words.iter())).stdin(document.clone());
        fs::remove_file(host.hook("qemu")).unwrap();
        host.file("qemu", HELPER);
        call().run().succeeds();
        let plain = facts(&host);
        fs::remove_file(host.hook("qemu")).unwrap();
        host.link(binary_under_test(), "qemu");
        call().run().succeeds();
        let ours = facts(&host);
        let found = differences(&plain, &ours);
        let odd: Vec<&String> = found.difference(&listed).collect();
        assert!(odd.is_empty(), "{words:?}: {odd:?} in {plain:#?} {ours:#?}");
        seen.extend(found);
    }
    for name in ["session", "group", "HOOKMUX_*", "variable SHLVL"] {
        assert!(seen.contains(name), "{name} differs: {seen:?}");
    }
}

#[test]
fn the_environment_is_libvirts_in_its_order_and_nothing_of_the_guest() {
    let host = Host::new();
    let guest = GUEST.replace(
        "</domain>",
        "<metadata><h:properties xmlns:h='urn:hookmux:properties:1'><h:property name='zone'>dmz</h:property></h:properties></metadata></domain>",
    );
    host.settings("environment: {SITE: ours}\ncustom_properties: [zone]");
    host.script("before_vm_prepare/10-x", "log \"zone $zone\"");
    for place in ["qemu.adopted", "qemu.d/g/prepare/begin/10-x"] {
        host.file(
            place,
            format!("#!/bin/sh\ncat /proc/self/environ >'{}'\n", host.path("env").display()),
        );
        let call = as_libvirt(host.guest("prepare begin")).stdin(guest.clone());
        call.run().succeeds();
        let bytes = host.read("env");
        let text = String::from_utf8(bytes).unwrap();
        let (own, passed): (Vec<&str>, Vec<&str>) =
            text.split_terminator('\0').partition(|variable| variable.starts_with("HOOKMUX_"));
        // the shell between adds its own
        let passed: Vec<&str> = passed
            .into_iter()
            .filter(|variable| {
                !["PWD=", "OLDPWD=", "_="].iter().any(|own| variable.starts_with(own))
            })
            .collect();
        let mut expected: Vec<&str> = ENVIRONMENT.to_vec();
        // a shell doesn't export what is no name of its own
        expected.retain(|variable| passed.contains(variable) || !variable.starts_with("odd-name"));
        let sorted = |mut all: Vec<&str>| {
            all.sort_unstable();
            all.join("\n")
        };
        assert_eq!(sorted(passed), sorted(expected), "{place}");
        for variable in ["HOOKMUX_PROPERTY_zone=dmz", "HOOKMUX_DEPTH=1"] {
            assert!(own.contains(&variable), "{place}: {own:?}");
        }
        assert!(own.contains(&&*format!("HOOKMUX_HOOK={place}")), "{place}: {own:?}");
        assert_eq!(host.log(), ["zone dmz"]);
        fs::remove_file(host.hook(place)).unwrap();
    }
}

/// A copy of a program that the kernel starts as one with more rights than its caller (`AT_SECURE`), as it
/// does where AppArmor has the environment scrubbed.
fn secure_copy(host: &Host, program: &Path, name: &str) -> PathBuf {
    let copy = host.path(name);
    let _writing = writing();
    fs::copy(program, &copy).unwrap();
    chown(&copy, None, Some(65534)).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o2755)).unwrap();
    copy
}

#[test]
fn what_the_c_library_takes_out_of_a_confined_programs_environment_is_passed_on() {
    const TAKEN_OUT: [&str; 3] = ["TMPDIR=/var/tmp", "LD_LIBRARY_PATH=/nowhere", "LD_PRELOAD="];
    if !is_root() {
        return skip("only root can give a program another group");
    }
    let host = Host::new();
    let env = secure_copy(&host, Path::new("/usr/bin/env"), "env");
    let left = Command::new(env).env_clear().envs([("TMPDIR", "/var/tmp"), ("A", "b")]).output();
    let left = left.unwrap().stdout;
    if left != b"A=b\n" {
        return skip("this file system or this C library knows no programs with more rights");
    }
    fs::remove_file(host.hook("qemu")).unwrap();
    host.link(secure_copy(&host, &binary_under_test(), "hookmux"), "qemu");
    for place in ["qemu.adopted", "qemu.d/g/prepare/begin/10-x"] {
        // the shell's own, as it was started: its C library takes them out, too
        host.script(place, "cat /proc/$$/environ >\"$T/seen\"");
        as_libvirt(host.guest("prepare begin")).run().succeeds();
        let seen = String::from_utf8_lossy(&host.read("seen")).into_owned();
        for variable in TAKEN_OUT {
            assert!(seen.split('\0').any(|one| one == variable), "{place}: {variable}: {seen:?}");
        }
        fs::remove_file(host.hook(place)).unwrap();
    }
}

#[test]
fn no_hook_ignores_a_signal_that_libvirt_does_not_ignore() {
    for place in ["before_vm_prepare/10-x", "qemu.adopted", "qemu.d/g/prepare/begin/10-x"] {
        let host = Host::new();
        // the C libraries' own are among them, 32 and 33
        host.script(place, "log $(grep SigIgn /proc/$$/status)");
        as_libvirt(host.guest("prepare begin")).run().succeeds();
        assert_eq!(host.log(), ["SigIgn: 0000000000000000"], "{place}");
    }
}

#[test]
fn a_call_from_a_hook_of_another_call_tells_its_own() {
    let host = Host::new();
    host.script(
        "before_vm_prepare/10-x",
        r#""$T/hooks/network" n start begin - </dev/null; log "$HOOKMUX_OBJECT $HOOKMUX_DEPTH""#,
    );
    host.script("network.adopted", r#"log "$HOOKMUX_OBJECT $HOOKMUX_DEPTH $HOOKMUX_HOOK $vmId""#);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log()[0].split(' ').collect::<Vec<_>>()[..3], ["n", "2", "network.adopted"]);
}

#[test]
fn a_person_gives_what_libvirt_would() {
    let host = Host::new();
    host.file(
        "qemu.adopted",
        format!(
            "#!/bin/sh\ncat /proc/self/environ >'{}'\n[ \"$(pwd) $(umask)\" = '/ 0022' ]\n",
            host.path("env").display()
        ),
    );
    let words =
        ["--hooks-dir", host.hooks().to_str().unwrap(), "run", "qemu", "g", "prepare", "begin"]
            .map(str::to_owned);
    let call = Call::new(&host, "qemu", words);
    let call = call.called(binary_under_test().to_str().unwrap(), "/var/tmp").stdin("");
    let call = call.env("SECRET", "x").env("USER", "u").env("LC_ALL", "de_DE").env("TMPDIR", "/t");
    assert_eq!(call.run().status, Some(0));
    let text = String::from_utf8(host.read("env")).unwrap();
    let passed: Vec<&str> = text
        .split_terminator('\0')
        .filter(|variable| {
            !["HOOKMUX_", "PWD=", "OLDPWD=", "_="].iter().any(|own| variable.starts_with(own))
        })
        .collect();
    for variable in ["LC_ALL=C", "USER=u", "TMPDIR=/t"] {
        assert!(passed.contains(&variable), "{variable}: {passed:?}");
    }
    assert!(!text.contains("SECRET") && !text.contains("de_DE"), "{passed:?}");
}

// --- the document -------------------------------------------------------------------------------

#[test]
fn a_document_is_read_in_whole_in_half_or_not_at_all() {
    let document = GUEST.replace("</domain>", &format!("<!--{}--></domain>", "y".repeat(3 << 20)));
    let length = document.len();
    for (script, said) in [
        ("sleep 0.2; log $(wc -c)", format!("{length}")),
        ("log $(head -c 100000 | wc -c)", "100000".to_owned()),
        ("log none", "none".to_owned()),
        ("exec 0<&-; sleep 0.2; log closed", "closed".to_owned()),
        ("[ -p /dev/stdin ] && log pipe $(cat | wc -c)", format!("pipe {length}")),
        ("(sleep 0.1; cat) | wc -c | { read n; log $n; }", format!("{length}")),
    ] {
        for place in ["qemu.adopted", "qemu.d/g/prepare/begin/10-x"] {
            let host = Host::new();
            host.script(place, script);
            host.script("qemu.d/g/prepare/begin/20-next", "log $(wc -c)");
            host.guest("prepare begin").stdin(document.clone()).run().succeeds();
            assert_eq!(host.log(), [said.clone(), length.to_string()], "{place}: {script}");
            // where no pipe can be made as large: it is fed
            if is_root() {
                let call = host.guest("prepare begin").stdin(document.clone());
                call.through(["setpriv", "--bounding-set", "-sys_resource,-sys_admin"])
                    .run()
                    .succeeds();
                assert_eq!(host.log(), [said.clone(), length.to_string()], "{place}: {script}");
            }
        }
    }
}

// --- texts without #! ---------------------------------------------------------------------------

#[test]
fn a_text_without_an_interpreters_line_runs_in_the_tree_as_under_the_helper() {
    let call = ["g", "prepare", "begin", "-"];
    let texts: [(&[u8], i32); 5] = [
        (b"set -x\n[[ 1 == 1 ]] && source /dev/null\necho \"$0 $* $#\" >>\"$T/log\"\n", 0),
        (b"# a comment first\ntype -t shopt >>\"$T/log\"; exit 7\n", 7),
        (b"\n\n\ncat | wc -c >>\"$T/log\"\n", 0),
        (b"#!\necho \"bare ${BASH_VERSION:+bash}\" >>\"$T/log\"\n", 0),
        (&[b"echo begin >>\"$T/log\"; : ".as_slice(), &[b'x'; 200], b"\0\nexit 0\n"].concat(), 0),
    ];
    for (text, status) in texts {
        let mut seen = Vec::new();
        for is_helper in [true, false] {
            let host = Host::new();
            let place = "qemu.d/g/prepare/begin";
            host.file(place, text);
            if is_helper {
                fs::remove_file(host.hook("qemu")).unwrap();
                host.file("qemu", HELPER);
            }
            let answer = host.call("qemu", call).env("T", host.directory()).run();
            assert_eq!(answer.status, Some(status), "{answer:?}");
            let root = host.directory().display().to_string();
            seen.push(host.log().iter().map(|line| line.replace(&root, "T")).collect::<Vec<_>>());
        }
        assert!(!seen[0].is_empty());
        assert_eq!(seen[0], seen[1], "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn what_is_no_text_and_what_is_no_script_of_the_tree_is_not_given_to_a_shell() {
    for (place, bytes) in [
        ("qemu.d/g/prepare/begin/10-x", &b"echo x\0\n"[..]),
        ("qemu.d/g/prepare/begin/10-x", b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0"),
        ("qemu.adopted", b"exit 0\n"),
        ("before_vm_start/10-x", b"exit 0\n"),
    ] {
        let host = Host::new();
        host.file(place, bytes);
        host.guest("prepare begin").run().fails(126, &[place, "can't be executed"]);
    }
}

// --- a user's own daemon ------------------------------------------------------------------------

/// A call of a user's own daemon.
fn as_user<'h>(host: &'h Host, call: Call<'h>) -> Call<'h> {
    let home = host.path("home");
    let call = call.env("HOME", &home).without_env("XDG_RUNTIME_DIR").without_env("XDG_STATE_HOME");
    call.through(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
}

#[test]
fn a_users_own_daemon_runs_its_drop_ins_whatever_session_says() {
    if !is_root() {
        eprintln!("needs root: becomes another user");
        return;
    }
    for settings in [
        "",
        "session: false\n",
        "session: true\n",
        "timout: 3\n",
        "state_dir: /nowhere/s\nruntime_dir: /nowhere/r\n",
    ] {
        let host = Host::new();
        host.mode("", 0o755).raw_settings(&format!("roots: []\n{settings}"));
        fs::create_dir(host.path("home")).unwrap();
        chown(host.path("home"), Some(65534), Some(65534)).unwrap();
        fs::write(host.path("log"), "").unwrap();
        fs::set_permissions(host.path("log"), std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .unwrap();
        let say = "cat >/dev/null; log \"$(id -u) $me $2\"";
        host.script("qemu.adopted", say);
        host.script("qemu.d/g/prepare/begin/tree", say);
        host.script("before_vm_prepare/event", "log event");
        let is_all = settings.contains("session: true");
        let mut expected = vec!["65534 qemu.adopted prepare", "65534 tree prepare"];
        if is_all {
            expected.insert(0, "event");
        }
        as_user(&host, host.guest("prepare begin")).run().succeeds();
        let said = host.read_text("log");
        assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{settings:?}");
        // a failure means what it meant
        host.script("qemu.adopted", "exit 3");
        as_user(&host, host.guest("prepare begin")).run().fails(3, &["qemu.adopted"]);
    }
}

#[test]
fn a_users_own_daemon_without_drop_ins_leaves_nothing_and_plan_knows() {
    if !is_root() {
        eprintln!("needs root: becomes another user");
        return;
    }
    let host = Host::new();
    host.mode("", 0o755).raw_settings("roots: []\n");
    fs::create_dir(host.path("home")).unwrap();
    chown(host.path("home"), Some(65534), Some(65534)).unwrap();
    host.script("before_vm_prepare/event", "exit 3");
    as_user(&host, host.guest("prepare begin")).run().succeeds();
    assert!(fs::read_dir(host.path("home")).unwrap().next().is_none());
    // what a person is told is what happens
    host.script("qemu.adopted", "exit 0");
    let words =
        ["--hooks-dir", host.hooks().to_str().unwrap(), "plan", "qemu", "g", "prepare", "begin"]
            .map(str::to_owned);
    let plan = as_user(
        &host,
        Call::new(&host, "qemu", words).called(binary_under_test().to_str().unwrap(), "/"),
    );
    let answer = plan.stdin("").run();
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(
        said.contains("qemu.adopted") && !said.contains("before_vm_prepare"),
        "{answer:?} {said}"
    );
    assert!(said.contains("`session` is false"), "{said}");
}

// --- refusals at live calls ---------------------------------------------------------------------

#[test]
fn what_hookmux_refuses_ends_no_guest() {
    for place in ["qemu.adopted", "qemu.d/g/started/begin/10-x", "qemu.d/g/started/begin"] {
        let host = Host::new();
        host.script(place, "log ran; exit 1");
        host.mode(format!("hooks/{place}"), 0o777);
        let answer = host.guest("started begin").run();
        answer.succeeds();
        assert!(host.log().is_empty(), "{place}: others could have changed it");
        // its own failure is another matter
        host.mode(format!("hooks/{place}"), 0o755);
        host.guest("started begin").run().fails(1, &[place]);
        // and at a gate a refusal shuts it
        let gate = place.replace("started/begin", "prepare/begin");
        let other = Host::new();
        other.script(&gate, "log ran");
        other.mode(format!("hooks/{gate}"), 0o777);
        other.guest("prepare begin").run().fails(126, &[&gate, "refused"]);
    }
    for (key, hint) in
        [("run_as: no-such-user-at-all", "no user"), ("environment_file: /nowhere", "")]
    {
        let host = Host::new();
        host.script("bin/x", "log ran");
        host.file(
            "hooks.d/x.yaml",
            format!("events: after_vm_launch\ncommand: bin/x\non_failure: kill\n{key}\n"),
        );
        host.mode("hooks/hooks.d/x.yaml", 0o644);
        host.guest("started begin").run().succeeds();
        assert!(host.log().is_empty(), "{key} {hint}");
    }
}

// --- calls within calls -------------------------------------------------------------------------

/// Counts its runs, and ends the script after 50 of them whatever hookmux does.
const BOUND: &str = r#"echo x >>"$T/rounds"; [ "$(wc -l <"$T/rounds")" -lt 50 ] || exit 0
"#;

fn rounds(host: &Host) -> usize {
    let rounds = host.read_text("rounds").lines().count();
    let _ = fs::remove_file(host.path("rounds"));
    rounds
}

#[test]
fn a_hook_that_causes_its_own_call_runs_once() {
    for place in ["qemu.adopted", "qemu.d/g/CALL/10-x", "EVENT/10-x"] {
        for way in [
            r#"exec "$T/hooks/qemu" g OPERATION -"#,
            r#""$T/hooks/qemu" g OPERATION - </dev/null"#,
            r#"env -i "$T/hooks/qemu" g OPERATION - </dev/null"#,
            r#"exec env -i "$T/hooks/qemu" g OPERATION - </dev/null"#,
            r#"setsid -w "$T/hooks/qemu" g OPERATION - </dev/null"#,
            r#"env -u HOOKMUX_EXECUTION -u HOOKMUX_DEPTH "$T/hooks/qemu" g OPERATION - </dev/null"#,
            r#"HOOKMUX_OBJECT=other; export HOOKMUX_OBJECT; "$T/hooks/qemu" g OPERATION - </dev/null"#,
            r#"sh -c 'sh -c "env -i $T/hooks/qemu g OPERATION - </dev/null; exit \$?"; exit $?'"#,
        ] {
            for (call, event, status) in [
                ("prepare begin", "before_vm_prepare", 125),
                ("started begin", "after_vm_launch", 0),
                ("stopped end", "after_vm_destroy", 0),
            ] {
                let host = Host::new();
                let event = if call == "stopped end" { "after_vm_stop" } else { event };
                let place = place.replace("CALL", &call.replace(' ', "/")).replace("EVENT", event);
                let way = way.replace("OPERATION", call);
                // what the inner call answered is the script's own status
                host.script(&place, &format!("export T\n{BOUND}{way}"));
                let answer = host.guest(call).run();
                assert_eq!(rounds(&host), 1, "{place}: {way}: {answer:?}");
                if status != 0 {
                    answer.fails(status, &[&place, "would never end"]);
                } else {
                    answer.succeeds();
                }
            }
        }
    }
}

#[test]
fn hookmux_run_of_its_own_call_runs_nothing() {
    let host = Host::new();
    let run = format!(
        "{BOUND}exec '{}' --hooks-dir \"$T/hooks\" run qemu g prepare begin </dev/null >\"$T/said\" 2>&1",
        binary_under_test().display()
    );
    host.script("before_vm_prepare/10-x", &run);
    host.guest("prepare begin").run().fails(1, &["10-x"]);
    assert_eq!(rounds(&host), 1);
    let said = host.read_text("said");
    assert!(
        said.contains("before_vm_prepare/10-x caused the call") && said.contains("125"),
        "{said}"
    );
}

#[test]
fn other_calls_within_a_call_end_at_depth_four() {
    // every call causes one for the next guest
    let host = Host::new();
    host.script(
        "qemu.adopted",
        &format!("{BOUND}log \"$HOOKMUX_DEPTH $1\"\nexec \"$T/hooks/qemu\" \"${{1}}x\" prepare begin - </dev/null"),
    );
    let answer = host.guest("prepare begin").stdin("").run();
    answer.fails(125, &["4 calls deep"]);
    assert_eq!(host.log(), ["1 g", "2 gx", "3 gxx", "4 gxxx"]);
    assert_eq!(rounds(&host), 4);
    // the same where each drops what it was told
    host.script(
        "qemu.adopted",
        &format!("{BOUND}exec env -i \"$T/hooks/qemu\" \"${{1}}x\" prepare begin - </dev/null"),
    );
    host.guest("prepare begin").stdin("").run().fails(125, &["4 calls deep"]);
    assert_eq!(rounds(&host), 4);
    // two calls in turn
    host.script(
        "qemu.adopted",
        &format!("{BOUND}[ $2 = prepare ] && next=start || next=prepare\nexec \"$T/hooks/qemu\" g $next begin - </dev/null"),
    );
    host.guest("prepare begin").stdin("").run().fails(125, &["would never end"]);
    assert_eq!(rounds(&host), 2);
}

#[test]
fn calls_that_come_back_through_a_daemon_are_other_calls() {
    let host = Host::new();
    // a process called as libvirt's daemon makes the call
    let daemon = host.path("libvirtd");
    fs::copy("/bin/sh", &daemon).unwrap();
    host.script(
        "before_vm_prepare/10-x",
        &format!("{BOUND}[ $HOOKMUX_DEPTH = 1 ] && [ ! -e \"$T/again\" ] || exit 0\n: >\"$T/again\"\nenv -i '{}' -c '\"$1\" g prepare begin - </dev/null; exit $?' sh \"$T/hooks/qemu\"", daemon.display()),
    );
    host.guest("prepare begin").stdin("").run().succeeds();
    assert_eq!(rounds(&host), 2);
}

#[test]
fn detached_jobs_that_queue_themselves_end_too() {
    let host = Host::new();
    let run = format!(
        "{BOUND}log \"$HOOKMUX_DEPTH\"\nexec '{}' --hooks-dir \"$T/hooks\" run qemu \"${{HOOKMUX_OBJECT}}x\" started begin </dev/null",
        binary_under_test().display()
    );
    host.script("bin/x", &run);
    host.file(
        "hooks.d/x.yaml",
        "events: after_vm_launch\ncommand: bin/x\nmode: detached\nretries: 0\n",
    );
    host.mode("hooks/hooks.d/x.yaml", 0o644);
    host.guest("started begin").run().succeeds();
    crate::support::until("four jobs have run", || rounds_so_far(&host) >= 4);
    crate::support::until("no job waits", || {
        host.text(&["queue"], 0).contains("No detached hook waits")
    });
    assert_eq!(host.log(), ["1", "2", "3", "4"]);
}

fn rounds_so_far(host: &Host) -> usize {
    host.read_text("rounds").lines().count()
}

#[test]
fn worker_and_mover_start_with_a_clean_environment() {
    let host = Host::new();
    host.script("bin/x", r#"tr '\0' '\n' </proc/$PPID/environ >"$T/worker"; exec sleep 0.1"#);
    host.file("hooks.d/x.yaml", "events: after_vm_launch\ncommand: bin/x\nmode: detached\n");
    host.mode("hooks/hooks.d/x.yaml", 0o644);
    let call = host
        .guest("started begin")
        .env("HOOKMUX_DEPTH", "3")
        .env("SECRET", "x")
        .env("LD_LIBRARY_PATH", "/nowhere");
    call.run().succeeds();
    crate::support::until("the job has run", || !host.read_text("worker").is_empty());
    let names: BTreeSet<String> = host
        .read_text("worker")
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
        .collect();
    assert_eq!(names, BTreeSet::from(["HOME".to_owned(), "PATH".to_owned()]));
}

// --- a lock's holder ----------------------------------------------------------------------------

#[test]
fn a_lock_that_is_waited_for_in_vain_names_its_holder() {
    let host = Host::new();
    let registration = |command: &str, event: &str| {
        format!("events: {event}\ncommand: bin/{command}\nlock: gpu\ntimeout: 1s\n")
    };
    host.script("bin/holds", "log holds; until [ -e \"$T/go\" ]; do sleep 0.05; done");
    host.script("bin/waits", "log waits");
    host.file(
        "hooks.d/holds.yaml",
        registration("holds", "before_vm_prepare").replace("1s", "60s"),
    );
    host.file("hooks.d/waits.yaml", registration("waits", "before_network_start"));
    for name in ["holds", "waits"] {
        host.mode(format!("hooks/hooks.d/{name}.yaml"), 0o644);
    }
    let mut holding = host.guest("prepare begin").start();
    holding.until_logged("holds");
    let call = host.call("network", ["n", "start", "begin", "-"]).stdin("");
    call.run().fails(
        124,
        &[
            "lock `gpu`",
            "before_vm_prepare/holds holds it since",
            "(execution 0",
            &format!("process {})", holding.pid()),
        ],
    );
    fs::write(host.path("go"), "").unwrap();
    holding.wait().succeeds();
}
