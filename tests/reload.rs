//! `install --reload`: daemons are told to look for their hook programs, and waited for. The daemons
//! are scripts with their names, in a place where no other process is seen.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, is_root, schema, skip};

/// What every test's script begins with. `daemon NAME [WHAT IT DOES AT SIGHUP]` starts one.
const BEGIN: &str = r#"
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
export PATH="$T/path:/usr/sbin:/usr/bin:/sbin:/bin"
mkdir -p "$T/path" "$T/d"
mkdir -p -m 777 "$T/up"
call() { echo "'$HOOKS/daemon' - reload begin SIGHUP </dev/null"; }
daemon() {
    cat >"$T/d/$1" <<END
#!/bin/sh
trap "echo $1 >>'$T/told'; ${2-$(call)}" HUP
: >'$T/up/$1'
while :; do sleep 0.05 & wait; done
END
    chmod 755 "$T/d/$1"
    ${3:-} "$T/d/$1" 2>/dev/null &
    pid=$!
    while [ ! -e "$T/up/$1" ]; do sleep 0.02; done
    rm "$T/up/$1"
}
hookmux() { "$HOOKMUX" --hooks-dir "$HOOKS" "$@"; }
"#;

/// A host without entries, whose scripts see no process but their own.
fn host() -> Option<Host> {
    if !is_root() {
        skip("only root can make a place where no other daemon is seen");
        return None;
    }
    let host = Host::new();
    for driver in crate::support::host::DRIVERS {
        fs::remove_file(host.hook(driver)).unwrap();
    }
    host.mode("", 0o755);
    Some(host)
}

fn run(host: &Host, script: &str) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]);
    command.args(["sh", "-c", &format!("{BEGIN}{script}")]);
    command.env("T", host.directory()).env("HOOKS", host.hooks());
    command.env("HOOKMUX", binary_under_test());
    let child = {
        let _writing = writing();
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    child.wait_with_output().unwrap()
}

/// What both streams say; the script has to end with a status.
#[track_caller]
fn text(host: &Host, script: &str, status: i32) -> String {
    let output = run(host, script);
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[track_caller]
fn json(host: &Host, script: &str, status: i32) -> Value {
    let output = run(host, &format!("{script} --output json"));
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let words: Vec<&str> =
        script.split(' ').filter(|word| ["install", "uninstall"].contains(word)).collect();
    schema::read(&words, &output.stdout)
}

/// Who was sent SIGHUP since it was last asked.
fn told(host: &Host) -> Vec<String> {
    let text = host.read_text("told");
    let _ = fs::remove_file(host.path("told"));
    let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
    names.sort();
    names
}

fn states(said: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let daemons = said["daemons"].as_array().unwrap();
    let mut states: Vec<String> =
        daemons.iter().map(|it| format!("{} {}", word(&it["name"]), word(&it["state"]))).collect();
    states.sort();
    states
}

#[test]
fn a_reload_is_waited_for_until_it_is_seen() {
    let Some(host) = host() else { return };
    let said = text(&host, "daemon libvirtd; hookmux install --reload", 0);
    assert!(said.contains("libvirtd was reloaded, and has looked"), "{said}");
    assert!(!said.contains("Now let the daemon"), "{said}");
    assert_eq!(told(&host), ["libvirtd"]);
    // also where nothing had to be installed
    let said = json(&host, "daemon libvirtd; hookmux install --reload", 0);
    assert_eq!(
        (states(&said), &said["reload"]),
        (vec!["libvirtd looked".into()], &Value::Array(vec![]))
    );
    // one that takes its time
    let slow = r#"daemon libvirtd "sleep 1; $(call)"; hookmux install --reload"#;
    assert_eq!(states(&json(&host, slow, 0)), ["libvirtd looked"]);
    // nobody is told without being asked
    told(&host);
    let said = text(&host, "daemon libvirtd; hookmux uninstall; hookmux install", 0);
    assert!(
        said.contains("Now let the daemon look again") && said.contains("kill -HUP "),
        "{said}"
    );
    assert!(told(&host).is_empty());
    let said = text(&host, "hookmux install --reload", 0);
    assert!(said.contains("No libvirt daemon runs that looks here"), "{said}");
}

/// A daemon of root's is there, and isn't told: that none runs would be wrong.
#[test]
fn who_may_not_reload_a_daemon_is_told_how_to_ask() {
    let Some(host) = host() else { return };
    let nobody = r#"cp "$HOOKMUX" "$T/hookmux"; chmod 755 "$T/hookmux"; HOOKMUX=$T/hookmux
        daemon libvirtd; hookmux install >/dev/null
        nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$HOOKMUX" --hooks-dir "$HOOKS" "$@"; }
        nobody install --reload"#;
    let said = text(&host, nobody, 1);
    assert!(
        said.contains("libvirtd is root's, and can't be reloaded by this user; sudo hookmux ")
            && said.contains(" install --reload\n")
            && !said.contains("No libvirt daemon runs"),
        "{said}"
    );
    let said = json(&host, nobody, 1);
    let problem = &said["problems"][0];
    assert_eq!(problem["fix_command"][0], "sudo", "{said:#}");
    assert!(told(&host).is_empty() && states(&said).is_empty(), "{said:#}");
    // it doesn't look in a directory of that user's
    let own = format!(
        "{nobody} >/dev/null; cp -r \"$HOOKS\" \"$T/own\"; chown -R 65534 \"$T/own\"; HOOKS=$T/own; nobody install --reload"
    );
    let said = text(&host, &own, 0);
    assert!(said.contains("No libvirt daemon runs that looks here"), "{said}");
}

#[test]
fn those_are_told_that_serve_the_drivers() {
    let Some(host) = host() else { return };
    let three = "daemon virtqemud; daemon virtnetworkd; daemon virtsecretd;";
    let said = json(&host, &format!("{three} hookmux install --reload"), 0);
    assert_eq!(states(&said), ["virtnetworkd looked", "virtqemud looked", "virtsecretd looked"]);
    told(&host);
    let said = json(&host, &format!("{three} hookmux install --driver qemu --reload"), 0);
    assert_eq!(states(&said), ["virtqemud looked"]);
    assert_eq!(told(&host), ["virtqemud"]);
    // the advice is about the same ones
    fs::remove_file(host.hook("network")).unwrap();
    let said =
        json(&host, "daemon virtnetworkd; echo $pid >$T/pid; daemon virtqemud; hookmux install", 0);
    let pid = host.read_text("pid");
    let pid = pid.trim();
    assert_eq!(said["reload"].as_array().unwrap().len(), 1, "{said:#}");
    let one = &said["reload"][0];
    assert_eq!(one["fix"], format!("kill -HUP {pid}"));
    assert_eq!(one["fix_command"], serde_json::json!(["kill", "-HUP", pid]));
}

#[test]
fn one_that_does_not_look_in_time_is_a_problem_with_a_way_out() {
    let Some(host) = host() else { return };
    let deaf = "daemon libvirtd :; hookmux install --reload --reload-timeout 1s";
    let said = text(&host, deaf, 1);
    assert!(
        said.contains("hasn't answered within 1 s") && said.contains("install --reload"),
        "{said}"
    );
    let said = json(&host, deaf, 1);
    assert_eq!(states(&said), ["libvirtd late"]);
    assert_eq!(said["reload"].as_array().unwrap().len(), 1);
    assert_eq!(said["daemons"][0]["fix_command"][1], "-HUP");
    for words in ["install --reload --reload-timeout 0s", "uninstall --reload --reload-timeout 0"] {
        let said = text(&host, &format!("hookmux {words}"), 2);
        assert!(said.contains("at least a second"), "{said}");
    }
    // one that would die of the signal isn't sent it, and one that ends will look when it starts
    let naked = "cp /bin/sleep $T/d/libvirtd; $T/d/libvirtd 60 & \
        until grep -q libvirtd /proc/$!/comm; do sleep 0.02; done\n\
        hookmux install --reload --reload-timeout 1s; s=$?; kill -0 $! || exit 9; exit $s";
    assert!(text(&host, naked, 1).contains("hasn't answered"));
    let ends = "daemon libvirtd 'exit 0'; hookmux install --reload";
    assert_eq!(states(&json(&host, ends, 0)), ["libvirtd ended"]);
}

#[test]
fn what_cannot_be_seen_is_said() {
    let Some(host) = host() else { return };
    let said = text(&host, "daemon libvirtd; hookmux install --driver qemu --reload", 0);
    assert!(
        said.contains("can't be seen: hookmux is not installed as the hook `daemon`"),
        "{said}"
    );
    assert_eq!(told(&host), ["libvirtd"]);
    text(&host, "hookmux install", 0);
    let said = json(&host, "daemon libvirtd; hookmux uninstall --driver qemu --reload", 0);
    assert_eq!(states(&said), ["libvirtd looked"]);
    let said = json(&host, "daemon libvirtd; hookmux uninstall --reload", 0);
    assert_eq!(states(&said), ["libvirtd unseen"]);
}

/// A systemctl that knows one service, and a directory by which systemd is known.
const SYSTEMD: &str = r#"
mkdir -p /run/systemd/system
cat >"$T/path/systemctl" <<END
#!/bin/sh
echo "\$*" >>'$T/asked'
case "\$*" in
*show*) echo "$TYPE" ;;
*reload*) [ -n "$REFUSES" ] && { echo "Unit is masked." >&2; exit 1; }; kill -HUP "\$(cat '$T/pid')" ;;
esac
END
chmod 755 "$T/path/systemctl"
service() {
    daemon libvirtd "$1"
    echo "$pid" >"$T/pid"
    echo "0::$2" >"$T/cgroup"
    mount --bind "$T/cgroup" "/proc/$pid/cgroup"
}
"#;

#[test]
fn a_service_is_reloaded_by_systemd() {
    let Some(host) = host() else { return };
    let with = |before: &str, after: &str| format!("{before}\n{SYSTEMD}\n{after}");
    let own = "service \"$(call)\" /system.slice/libvirtd.service; hookmux install --reload";
    let said = json(&host, &with("TYPE=notify REFUSES=", own), 0);
    assert_eq!(states(&said), ["libvirtd looked"]);
    assert_eq!(said["daemons"][0]["fix"], "systemctl reload libvirtd");
    let asked = host.read_text("asked");
    assert!(asked.contains("reload libvirtd"), "{asked}");
    // one that says when it is over is believed, without an entry too
    let silent = "service : /system.slice/libvirtd.service; hookmux install --driver qemu --reload";
    text(&host, "hookmux uninstall", 0);
    assert_eq!(
        states(&json(&host, &with("TYPE=notify-reload REFUSES=", silent), 0)),
        ["libvirtd looked"]
    );
    assert_eq!(states(&json(&host, &with("TYPE=notify REFUSES=", silent), 0)), ["libvirtd unseen"]);
    let said = text(&host, &with("TYPE=notify REFUSES=1", own), 1);
    assert!(
        said.contains("can't be reloaded: `systemctl reload libvirtd`")
            && said.contains("Unit is masked."),
        "{said}"
    );
    // one that somebody has started by hand is no service
    let by_hand =
        "service \"$(call)\" /user.slice/user-0.slice/session-1.scope; hookmux install --reload";
    let said = json(&host, &with("TYPE=notify REFUSES=1", by_hand), 0);
    assert!(said["daemons"][0]["fix"].as_str().unwrap().starts_with("kill -HUP"), "{said}");
}

#[test]
fn session_daemons_and_those_with_an_etc_of_their_own_are_left_alone() {
    let Some(host) = host() else { return };
    let session = "touch $T/told; chmod 666 $T/told\n\
        daemon libvirtd \"$(call)\" 'setpriv --reuid=1234 --clear-groups'; hookmux install --reload";
    let said = text(&host, session, 0);
    assert!(said.contains("No libvirt daemon runs that looks here"), "{said}");
    fs::create_dir(host.path("other")).unwrap();
    let private = "cat >$T/path/apart <<'END'\n#!/bin/sh\nmount --bind \"$T/other\" \"$HOOKS\"\nexec \"$@\"\nEND\n\
        chmod 755 $T/path/apart\n\
        daemon libvirtd \"$(call)\" 'unshare --mount --propagation private apart'; hookmux install --reload";
    let said = text(&host, private, 0);
    assert!(said.contains("No libvirt daemon runs that looks here"), "{said}");
    assert!(told(&host).is_empty());
    let said = json(&host, &private.replace("install --reload", "install --driver qemu"), 0);
    assert_eq!(said["reload"], Value::Array(vec![]));
}
