//! The per-guest tree under another name.

use crate::host::{HOOKS, Host};

#[test]
fn a_tree_of_another_name_is_run_and_libvirts_own_directory_is_not() {
    let host = Host::new();
    host.settings("tree: hooks.guests");
    for moment in ["prepare/begin", "started/begin", "release/end"] {
        let place = |tree: &str| format!("{HOOKS}/{tree}/vm/{moment}/10-x");
        host.script(&place("hooks.guests/qemu"), r#"say "new $1 $2""#);
        host.script(&place("qemu.d"), r#"say "old $1 $2""#);
    }
    let vm = host.guest("vm");
    vm.start().ok();
    vm.destroy().ok();
    assert_eq!(host.log(), ["new vm prepare", "new vm started", "new vm release"]);
    // one that can't be started keeps the guest from its start, as plan says
    host.write(
        &format!("{HOOKS}/hooks.guests/qemu/vm/prepare/begin/20-x"),
        "#!/nowhere/sh\n",
        0o755,
    );
    let words = "there is no `/nowhere/sh`";
    let planned = host.hookmux(&["plan", "qemu", "vm", "prepare", "--hooks-dir", HOOKS]);
    assert!(planned.code == Some(1) && planned.out.contains(words), "{planned:?}");
    vm.start().fails_with(&[words]);
}
