//! `inhibit-sleep`, with a systemd that is a few scripts.

use std::fs;

use super::package::{Guest, Package};
use crate::support::{is_alive, until};

/// A host whose systemd has one unit: the process in the file `unit`.
fn package() -> Package {
    let package = Package::new("inhibit-sleep");
    package
        .program(
            "systemd-run",
            r#"while [ "${1#--}" != "$1" ]; do
                case $1 in --unit=hookmux-inhibit-sleep.service) name=1 ;; --property=Restart=always) restart=1 ;; esac
                shift
            done
            [ "$name$restart" = 11 ] && [ ! -e "$T/unit" ] || { echo "unit is there already" >&2; exit 1; }
            "$@" < /dev/null > /dev/null 2>&1 &
            echo $! > "$T/unit""#,
        )
        .program("systemd-inhibit", r#"log "inhibit $*"; exec sleep 600"#)
        .program(
            "systemctl",
            r#"for unit in "$@"; do :; done
            [ "$unit" = hookmux-inhibit-sleep.service ] || exit 4
            case $1 in
            show)
                [ "$2 $3 $4" = "--property=ActiveState --value --" ]
                if [ -e "$T/waits" ]; then echo activating
                elif [ -e "$T/unit" ] && grep -q . "/proc/$(cat "$T/unit")/cmdline"; then echo active
                else echo inactive; fi ;;
            reset-failed) rm -f "$T/unit" ;;
            stop) log stop; [ -e "$T/waits" ] || kill "$(cat "$T/unit")"; rm -f "$T/unit" "$T/waits" ;;
            esac"#,
        );
    package
}

/// The process that holds the inhibitor.
fn holder(package: &Package) -> Option<i32> {
    let pid = package.host.read_text("unit").trim().parse().ok()?;
    is_alive(pid).then_some(pid)
}

const INHIBIT: &str =
    "inhibit --what=sleep --mode=block --who=hookmux --why=guests are running sleep infinity";

fn asking<'p>(package: &'p Package, name: &str) -> Guest<'p> {
    package.guest(name, &[("inhibit_sleep", "yes")], "")
}

#[track_caller]
fn is_logged(package: &Package, lines: &[&str]) {
    let mut log = Vec::new();
    until(&format!("{lines:?} is logged"), || {
        log.extend(package.host.log());
        log.len() >= lines.len()
    });
    assert_eq!(log, lines);
}

/// The first guest that asks for it starts: the inhibitor is held, by this process.
#[track_caller]
fn takes_it(package: &Package, guest: &Guest<'_>) -> i32 {
    guest.call("started begin").succeeds();
    is_logged(package, &[INHIBIT]);
    holder(package).expect("it is held")
}

/// The last guest that asks for it ends.
#[track_caller]
fn gives_it_up(package: &Package, guest: &Guest<'_>) {
    guest.ends();
    is_logged(package, &["stop"]);
}

#[track_caller]
fn kill(pid: i32) {
    let kill = nix::sys::signal::Signal::SIGKILL;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), kill).unwrap();
    until("it has ended", || !is_alive(pid));
}

/// Changes the registration.
#[track_caller]
fn rewrite(package: &Package, from: &str, to: &str) {
    let path = package.host.hook("hooks.d/inhibit-sleep.yaml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

#[test]
fn the_inhibitor_is_held_while_a_guest_runs() {
    let package = package();
    let before = package.host.path("unit").exists();
    let guest = asking(&package, "g");
    guest.call("prepare begin").succeeds();
    assert_eq!(holder(&package), None);
    let pid = takes_it(&package, &guest);
    // libvirt's daemon starts again
    guest.call("reconnect begin").succeeds();
    assert_eq!(holder(&package), Some(pid), "by the same process");
    gives_it_up(&package, &guest);
    until("it has ended", || !is_alive(pid));
    assert_eq!(package.host.path("unit").exists(), before);
    guest.ends();
    assert!(package.host.log().is_empty(), "nothing to undo");
}

#[test]
fn one_that_has_ended_by_itself_is_no_obstacle() {
    let package = package();
    let guest = asking(&package, "g");
    kill(takes_it(&package, &guest));
    guest.ends();
    assert!(package.host.log().is_empty(), "nothing to undo");
    takes_it(&package, &guest);
    gives_it_up(&package, &guest);
}

/// systemd starts it again where it ends, and waits before it does: it isn't to come back after the last guest.
#[test]
fn one_that_waits_for_its_next_start_is_stopped() {
    let package = package();
    let guest = asking(&package, "g");
    kill(takes_it(&package, &guest));
    fs::write(package.host.path("waits"), "").unwrap();
    // no second one meanwhile
    guest.call("reconnect begin").succeeds();
    assert!(package.host.log().is_empty());
    gives_it_up(&package, &guest);
    assert!(!package.host.path("waits").exists());
}

#[test]
fn a_guest_that_does_not_ask_changes_nothing() {
    let package = package();
    for properties in [&[] as &[_], &[("inhibit_sleep", "no")]] {
        let guest = package.guest("g", properties, "");
        guest.starts();
        assert_eq!(holder(&package), None);
        guest.ends();
    }
    assert!(package.host.log().is_empty());
}

#[test]
fn wrong_settings_are_refused_and_say_why() {
    for (name, value, reason) in [
        ("INHIBIT_SLEEP_WHAT", "sleep:tea", "systemd-inhibit(1) knows no `tea`"),
        ("INHIBIT_SLEEP_MODE", "never", "INHIBIT_SLEEP_MODE is block or delay, not `never`"),
    ] {
        let package = package().env(name, value);
        let guest = asking(&package, "g");
        guest.call("started begin").succeeds();
        assert_eq!(holder(&package), None);
        let log = package.host.text(&["show", "last"], 0);
        assert!(log.contains("inhibit-sleep: guest g: ") && log.contains(reason), "{log}");
    }
    let package = package();
    rewrite(&package, "[\"yes\", \"true\"]", "\"*\"");
    let guest = package.guest("g", &[("inhibit_sleep", "perhaps")], "");
    guest.call("started begin").succeeds();
    let log = package.host.text(&["show", "last"], 0);
    assert!(log.contains("inhibit_sleep is yes or no, not `perhaps`"), "{log}");
}

/// For all guests: who says no isn't the first one, for whom what is shared is set up.
#[test]
fn it_can_be_the_default_and_a_guest_can_say_no() {
    let package = package().env("INHIBIT_SLEEP", "yes");
    let program = package.directory().join("bin/inhibit-sleep");
    let when = "when: {property: {inhibit_sleep: [\"yes\", \"true\"]}}";
    rewrite(&package, when, &format!("check: [{}, asks]", program.display()));
    let no = package.guest("no", &[("inhibit_sleep", "no")], "");
    let silent = package.guest("silent", &[], "");
    no.call("started begin").succeeds();
    assert_eq!(holder(&package), None);
    takes_it(&package, &silent);
    no.ends();
    assert!(package.host.log().is_empty());
    gives_it_up(&package, &silent);
}

/// The first guest that asks takes it, and the last one gives it up.
#[test]
fn two_guests_share_it() {
    let package = package();
    let (one, two) = (asking(&package, "one"), asking(&package, "two"));
    let pid = takes_it(&package, &one);
    two.call("started begin").succeeds();
    one.ends();
    assert_eq!(holder(&package), Some(pid), "the other one still runs");
    one.call("started begin").succeeds();
    two.ends();
    assert_eq!(holder(&package), Some(pid));
    assert!(package.host.log().is_empty());
    gives_it_up(&package, &one);
    until("it has ended", || !is_alive(pid));
}
