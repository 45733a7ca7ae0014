//! cpu-governor: the CPUs of guests have another governor while they run.

use std::fs;
use std::os::unix::fs::symlink;

use super::made_up::{Contrib, Guest};

const CPUFREQ: &str = "sys/devices/system/cpu/cpufreq";

/// A host of eight CPUs, two a policy, the last two offline. The driver of policy4 has another preference for each
/// governor.
fn host() -> Contrib {
    let contrib = Contrib::new("cpu-governor", "");
    contrib.files(&[
        ("sys/devices/system/cpu/possible", "0-7"),
        ("sys/devices/system/cpu/online", "0-5"),
    ]);
    for (policy, governor) in [(0, "schedutil"), (2, "powersave"), (4, "powersave")] {
        let place = format!("{CPUFREQ}/policy{policy}");
        contrib.files(&[
            (&format!("{place}/scaling_governor"), governor),
            (&format!("{place}/scaling_available_governors"), "schedutil powersave performance "),
        ]);
    }
    contrib
        .files(&[(&format!("{CPUFREQ}/policy4/energy_performance_preference"), "balance_power")]);
    for cpu in 0..8 {
        fs::create_dir(contrib.fake(&format!("sys/devices/system/cpu/cpu{cpu}"))).unwrap();
        if cpu < 6 {
            let link = contrib.fake(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq"));
            symlink(format!("../cpufreq/policy{}", cpu / 2 * 2), link).unwrap();
        }
    }
    // the kernel's answer to a write
    contrib.tool(
        "tee",
        r#"
value=$(cat)
log "${1#"$F/sys/devices/system/cpu/cpufreq/"} $value"
if [ -e "$T/broken" ] && [ "${1%/*}" = "${1%/*/*}/$(cat "$T/broken")" ]; then
    echo "tee: $1: Device or resource busy" >&2
    exit 1
fi
printf '%s\n' "$value" >"$1"
preference=${1%/*}/energy_performance_preference
if [ "${1##*/}" = scaling_governor ] && [ -e "$preference" ]; then
    echo "preference of $value" >"$preference"
fi"#,
    );
    contrib
}

fn governors(contrib: &Contrib) -> [String; 3] {
    [0, 2, 4].map(|policy| contrib.read(&format!("{CPUFREQ}/policy{policy}/scaling_governor")))
}

fn guest(name: &'static str, governor: &str, cpus: Option<&str>, pinned: &str) -> Guest {
    let mut properties = vec![("cpu_governor", governor)];
    properties.extend(cpus.map(|cpus| ("cpu_governor_cpus", cpus)));
    let pins = format!("<cputune><vcpupin vcpu='0' cpuset='{pinned}'/></cputune>");
    Guest::new(name, &properties, if pinned.is_empty() { "" } else { &pins })
}

#[test]
fn policies_have_another_governor_while_a_guest_runs() {
    let contrib = host();
    // CPUs of one policy, an offline one among them
    contrib.lives(&guest("g", "performance", None, "2-7,^5"), || {
        assert_eq!(governors(&contrib), ["schedutil", "performance", "performance"]);
        assert_eq!(contrib.host.log().len(), 2);
    });
}

#[test]
fn settings_say_which_cpus_and_which_governor() {
    for (governor, cpus, pinned, wanted) in [
        ("yes", None, "", ["performance", "performance", "performance"]),
        ("yes", Some("all"), "0", ["performance", "performance", "performance"]),
        ("yes", Some("pinned"), "0", ["performance", "powersave", "powersave"]),
        ("powersave", Some("0, 5"), "", ["powersave", "powersave", "powersave"]),
        ("no", Some("all"), "0", ["schedutil", "powersave", "powersave"]),
        ("", Some("all"), "0", ["schedutil", "powersave", "powersave"]),
    ] {
        let contrib = host();
        contrib.starts(&guest("g", governor, cpus, pinned));
        assert_eq!(governors(&contrib), wanted, "{governor} {cpus:?} {pinned}");
    }
}

#[test]
fn a_policy_gets_its_governor_back_with_the_last_guest() {
    let contrib = host();
    let one = guest("one", "performance", None, "0-3");
    let two = guest("two", "performance", None, "3-5");
    contrib.share([&one, &two], |running| {
        let wanted = match running {
            ["one"] => ["performance", "performance", "powersave"],
            ["two"] => ["schedutil", "performance", "performance"],
            _ => ["performance"; 3],
        };
        assert_eq!(governors(&contrib), wanted, "{running:?}");
    });
    // both can't have their way
    contrib.starts(&one);
    let set = contrib.everything();
    let other = guest("other", "schedutil", None, "2");
    let words =
        "it wants the governor schedutil for policy2, and guest one, which runs, wants performance";
    contrib.prepare(&other).fails(1, &["cpu-governor: guest other: ", words]);
    assert_eq!(contrib.everything(), set);
}

#[test]
fn a_guest_that_does_not_ask_changes_nothing() {
    let guest = guest("g", "no", None, "0");
    host().leaves_alone(&[guest.with(&[("cpu_governor_cpus", "nonsense")]), guest]);
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let contrib = host();
    contrib.refuses(&[
        (
            guest("g", "../x", None, ""),
            "cpu_governor has '../x'; it is yes, no, or the name of a governor",
        ),
        (
            guest("g", "turbo", None, "0"),
            "policy0 has no governor turbo, but: schedutil powersave performance",
        ),
        (
            guest("g", "yes", Some("some"), ""),
            "cpu_governor_cpus has 'some'; it is pinned, all, or a list",
        ),
        (guest("g", "yes", Some("1,^1"), ""), "cpu_governor_cpus names no CPU"),
        (guest("g", "yes", Some("8"), ""), "it wants CPU 8, and this host has 0-7"),
        (guest("g", "yes", Some("pinned"), ""), "cpu_governor_cpus is pinned, but no vCPU is"),
        (guest("g", "yes", None, "1-x"), "its <vcpupin> has '1-x'"),
    ]);
    fs::remove_file(contrib.fake("sys/devices/system/cpu/cpu0/cpufreq")).unwrap();
    contrib.refuses(&[(guest("g", "yes", None, "0"), "CPU 0 has no governor")]);
}

#[test]
fn a_start_that_fails_half_way_takes_back_what_it_did() {
    let words =
        ["scaling_governor: Device or resource busy", "the governor of policy2 can't be set"];
    let done = "policy0/scaling_governor performance";
    host().fails_half_way(&guest("g", "yes", None, "0-3"), "policy2", &words, done);
}

#[test]
fn what_somebody_sets_in_between_is_kept() {
    let contrib = host();
    let mut wanted = contrib.everything();
    let guest = guest("g", "yes", None, "0-3");
    contrib.starts(&guest);
    let place = format!("{CPUFREQ}/policy0/scaling_governor");
    contrib.files(&[(&place, "powersave")]);
    wanted.insert(place, "powersave\n".to_owned());
    contrib.release(&guest).tells("the governor of policy0 has become powersave");
    contrib.is_again(&wanted);
}

#[test]
fn an_undo_that_fails_can_be_tried_again() {
    let contrib = host();
    let words = "what these had before can't be set: policy0";
    contrib.is_undone_later(&guest("g", "yes", None, "0-3"), "policy0", words, || {
        assert_eq!(governors(&contrib), ["performance", "powersave", "powersave"]);
    });
}

#[test]
fn whoever_is_killed_nothing_is_left() {
    let contrib = host();
    contrib.bears_deaths(&guest("g", "performance", None, "0-3"));
}
