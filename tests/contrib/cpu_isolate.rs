//! cpu-isolate: the host's processes leave the CPUs of guests.

use std::fs;

use super::made_up::{Contrib, Guest};

/// systemctl, as far as AllowedCPUs goes: a unit's list, and the drop-in that keeps it.
const SYSTEMCTL: &str = r#"
for unit; do :; done
case $1 in
    show)
        test "$2 $3 $4" = '--property=AllowedCPUs --value --'
        tr , ' ' <"$F/units/$unit"
        ;;
    set-property)
        test "$2 $3" = '--runtime --'
        name=$4
        value=${5#AllowedCPUs=}
        log "$name '$value'"
        if [ -e "$T/broken" ] && [ "$name" = "$(cat "$T/broken")" ]; then
            echo "Failed to set unit properties on $name" >&2
            exit 1
        fi
        printf '%s\n' "$value" >"$F/units/$name"
        place=$F/run/systemd/system.control/$name.d
        # a unit without a file
        [ "$name" != init.scope ] || place=$F/run/systemd/transient/$name.d
        mkdir -p "$place"
        printf '[Slice]\nAllowedCPUs=\nAllowedCPUs=%s\n' "$value" >"$place/50-AllowedCPUs.conf"
        ;;
    *) exit 9 ;;
esac
"#;

const UNITS: [&str; 3] = ["system.slice", "user.slice", "init.scope"];

/// A host of eight CPUs whose units have these lists.
fn host(lists: [&str; 3]) -> Contrib {
    let contrib = Contrib::new("cpu-isolate", "");
    contrib.tool("systemctl", SYSTEMCTL).files(&[
        ("sys/devices/system/cpu/possible", "0-7"),
        ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory"),
        ("run/systemd/system.control/other", ""),
        ("run/systemd/transient/other", ""),
    ]);
    for (unit, list) in UNITS.iter().zip(lists) {
        contrib.files(&[(&format!("units/{unit}"), list)]);
    }
    contrib
}

fn lists(contrib: &Contrib) -> [String; 3] {
    UNITS.map(|unit| contrib.read(&format!("units/{unit}")))
}

/// A guest whose vCPUs are pinned to these CPUs, a list for each.
fn pinned(name: &'static str, lists: &[&str]) -> Guest {
    let pins: String =
        lists.iter().map(|list| format!("<vcpupin vcpu='0' cpuset='{list}'/>")).collect();
    let elements = format!("<cputune>{pins}<emulatorpin cpuset='0'/></cputune>");
    Guest::new(name, &[("cpu_isolate", "yes")], &elements)
}

fn asks(value: &str) -> Guest {
    Guest::new("g", &[("cpu_isolate", value)], "<vcpu cpuset='6-7'>2</vcpu>")
}

#[test]
fn the_host_leaves_the_cpus_of_a_guest_while_it_runs() {
    let contrib = host(["", "0-5", ""]);
    contrib.lives(&pinned("g", &["2-4,^3", "3", "7"]), || {
        assert_eq!(lists(&contrib), ["0-1,5-6", "0-1,5", "0-1,5-6"]);
        assert_eq!(contrib.host.log().len(), 3);
    });
    // systemd may leave the kernel's list when a unit's becomes empty
    let log = contrib.host.log();
    let system: Vec<_> = log.iter().filter(|line| line.starts_with("system.slice")).collect();
    assert_eq!(system, ["system.slice '0-7'", "system.slice ''"]);
}

#[test]
fn guests_share_and_each_gives_up_its_own() {
    let contrib = host(["", "", ""]);
    let [one, two] = [pinned("one", &["1", "2"]), pinned("two", &["2", "3"])];
    contrib.share([&one, &two], |running| {
        let wanted = match running {
            ["one"] => "0,3-7",
            ["two"] => "0-1,4-7",
            _ => "0,4-7",
        };
        assert_eq!(lists(&contrib), [wanted; 3], "{running:?}");
    });
}

#[test]
fn a_guest_that_does_not_ask_changes_nothing() {
    let guest = pinned("g", &["2"]);
    host(["", "", ""]).leaves_alone(&[guest.with(&[]), guest.with(&[("cpu_isolate", "no")])]);
}

#[test]
fn a_list_or_the_whole_guests_pinning_says_which_cpus() {
    for (value, left) in [("2-5,^4", "0-1,4,6-7"), (" 1, 3 ", "0,2,4-7"), ("yes", "0-5")] {
        let contrib = host(["", "", ""]);
        contrib.starts(&asks(value));
        assert_eq!(lists(&contrib)[0], left, "{value:?}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let contrib = host(["", "", "2-3"]);
    let unpinned = Guest::new("g", &[("cpu_isolate", "yes")], "<vcpu>2</vcpu>");
    contrib.refuses(&[
        (asks("maybe"), "cpu_isolate has 'maybe'; it is yes, no, or a list of CPUs such as 2-5,8"),
        (asks("3-1"), "cpu_isolate has '3-1'"),
        (asks("1;id"), "cpu_isolate has '1;id'"),
        (asks("0-99999999"), "cpu_isolate has '0-99999999'"),
        (asks("1,^1"), "cpu_isolate names no CPU"),
        (asks("7-8"), "it wants the CPUs 7-8, and this host has 0-7"),
        (asks("0-7"), "no CPU is left for "),
        (asks("1-3"), "no CPU is left for init.scope"),
        (unpinned, "no vCPU is pinned"),
        (pinned("g", &["2", "a"]), "its <vcpupin> has 'a', which is no list of CPUs"),
    ]);
    fs::remove_file(contrib.fake("sys/fs/cgroup/cgroup.controllers")).unwrap();
    contrib.refuses(&[(asks("2"), "no cgroup v2")]);
}

#[test]
fn a_second_guest_that_leaves_no_cpu_is_refused_and_the_first_keeps_its_own() {
    let contrib = host(["", "", ""]);
    let [one, two] = [pinned("one", &["0-3"]), pinned("two", &["4-7"])];
    contrib.starts(&one);
    let before = contrib.everything();
    contrib.prepare(&two).fails(1, &["guest two: no CPU is left for init.scope"]);
    assert_eq!(contrib.everything(), before);
}

#[test]
fn a_start_that_fails_half_way_takes_back_what_it_did() {
    // units are worked on in the order of their names
    let words = ["guest g: systemctl can't set AllowedCPUs of user.slice"];
    let done = "system.slice '0-1,3-7'";
    host(["", "0-6", ""]).fails_half_way(&asks("2"), "user.slice", &words, done);
}

#[test]
fn what_an_administrator_sets_in_between_is_kept() {
    let contrib = host(["", "0-5", ""]);
    let drop_in = "run/systemd/system.control/user.slice.d/50-AllowedCPUs.conf";
    contrib.files(&[(drop_in, "[Slice]\nAllowedCPUs=\nAllowedCPUs=0-5")]);
    let mut wanted = contrib.everything();
    let guest = asks("5");
    contrib.starts(&guest);
    contrib.files(&[("units/init.scope", "0-2")]);
    wanted.insert("units/init.scope".to_owned(), "0-2\n".to_owned());
    contrib.release(&guest).tells("AllowedCPUs of init.scope has become '0-2'");
    let mut found = contrib.everything();
    // systemd made it when the hook set the list, and it is the administrator's now
    found.retain(|place, _| !place.contains("init.scope.d"));
    assert_eq!(found, wanted);
    assert!(contrib.kept().is_empty(), "{:?}", contrib.kept());
}

#[test]
fn an_undo_that_fails_can_be_tried_again() {
    let contrib = host(["", "", ""]);
    let words = "systemctl can't set AllowedCPUs of init.scope";
    contrib.is_undone_later(&asks("5"), "init.scope", words, || {
        // the others have what they had
        assert_eq!(lists(&contrib), ["", "", "0-4,6-7"]);
    });
}

#[test]
fn whoever_is_killed_nothing_is_left() {
    let contrib = host(["", "0-5", ""]);
    contrib.bears_deaths(&pinned("g", &["2-4", "7"]));
}
