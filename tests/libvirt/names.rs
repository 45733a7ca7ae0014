//! Guests may be called nearly anything.

use std::collections::BTreeSet;
use std::fs;

use crate::host::{HOOKS, Host};

/// Everything where a name taken for a path, an option or a command could have left something.
fn listing(host: &Host) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for directory in ["", "/etc/libvirt", HOOKS, "/run", "/var/lib", "/var/lib/libvirt"] {
        let entries = fs::read_dir(host.path(&format!("{directory}/"))).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        found.extend(names.map(|name| format!("{directory}/{name}")));
    }
    found
}

#[test]
fn odd_names_reach_the_scripts_verbatim_and_nothing_else() {
    let host = Host::new();
    let long = "n".repeat(200);
    let names =
        ["--help", "a;touch x;b", "$(touch x)", " lead", "*", "..x", &long, "zürich-☃", "-x y"];
    host.script(
        "before_vm_start/10-x",
        r#"printf '%s\n' "event <$HOOKMUX_OBJECT>" >>/run/hooks.log"#,
    );
    for name in names {
        // The tree of each guest stands there from the start: `*` must match no other.
        host.script(
            &format!("qemu.d/{name}/prepare/begin/10-x"),
            &format!("printf '%s\\n' \"$# <$1> $2 $3 $4 of '{name}'\" >>/run/hooks.log")
                .replace("$(touch x)", "\\$(touch x)"),
        );
    }
    // hookmux makes its directories at the first call.
    let first = host.guest("first");
    first.start().ok();
    first.destroy().ok();
    drop(host.guest("defined"));
    fs::write(host.path("/run/hooks.log"), "").unwrap();
    let before = listing(&host);

    for name in names {
        let vm = host.guest(name);
        vm.start().ok();
        vm.destroy().ok();
        let said = [format!("event <{name}>"), format!("4 <{name}> prepare begin - of '{name}'")];
        assert_eq!(host.log(), said, "{name:?}");
        fs::write(host.path("/run/hooks.log"), "").unwrap();
    }
    assert_eq!(listing(&host), before);
}

#[test]
fn a_failing_guest_of_an_odd_name_is_told_so() {
    let host = Host::new();
    host.script("qemu.d/--help/prepare/begin/10-x", "exit 3");
    let vm = host.guest("--help");
    vm.start().fails_with(&["qemu.d/--help/prepare/begin/10-x: exit status 3 after "]);
    assert_eq!(vm.state(), "shut off");
}
