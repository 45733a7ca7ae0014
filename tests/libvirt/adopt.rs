//! Coming to a host that has hooks already, and going again.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use crate::host::{HOOKMUX, HOOKS, Host, set_mode};

const QEMU: &str = "/etc/libvirt/hooks/qemu";

/// All that `uninstall` has to bring back.
fn fingerprint(host: &Host, path: &str) -> (Vec<u8>, u32, u32, u32, i64, i64) {
    let metadata = fs::symlink_metadata(host.path(path)).unwrap();
    let bytes = fs::read(host.path(path)).unwrap();
    let (uid, gid) = (metadata.uid(), metadata.gid());
    (bytes, metadata.mode(), uid, gid, metadata.mtime(), metadata.mtime_nsec())
}

fn link(host: &Host, path: &str) -> Option<String> {
    let target = fs::read_link(host.path(path)).ok()?;
    Some(target.into_os_string().into_string().unwrap())
}

/// A host whose admin wrote a hook for QEMU, libvirtd running with it.
fn host_with_hook(body: &str) -> Host {
    let host = Host::without_hookmux();
    host.script(QEMU, body);
    host.start_daemon();
    host
}

/// What the admin's script says of the calls of a start and a destroy.
const CALLS: [&str; 5] = [
    "vm prepare begin - in /etc/libvirt/hooks: <domain",
    "vm start begin - in /etc/libvirt/hooks: <domain",
    "vm started begin - in /etc/libvirt/hooks: <domain",
    "vm stopped end - in /etc/libvirt/hooks: <domain",
    "vm release end - in /etc/libvirt/hooks: <domain",
];
const SAY_CALL: &str = r#"say "$1 $2 $3 - in $(dirname "$0"): $(head -c 7)""#;

#[test]
fn install_adopts_a_script_and_uninstall_puts_it_back_byte_for_byte() {
    let host = host_with_hook(SAY_CALL);
    // No newline at the end, bytes that are no text, a group and a mode of its own.
    let mut bytes = fs::read(host.path(QEMU)).unwrap();
    bytes.extend(b"exit 0\n# \xff\xfe\r\n\x00 the end");
    fs::write(host.path(QEMU), bytes).unwrap();
    chown(host.path(QEMU), Some(0), Some(1234)).unwrap();
    set_mode(&host.path(QEMU), 0o750);
    let before = fingerprint(&host, QEMU);

    let vm = host.guest("vm");
    vm.start().ok();
    vm.destroy().ok();
    assert_eq!(host.log(), CALLS, "the admin's hook, before hookmux");

    host.clear_log();
    let told = host.hookmux(&["install", "--adopt", "--driver", "qemu", "--hooks-dir", HOOKS]).ok();
    assert!(told.contains("reload"), "{told}");
    assert_eq!(link(&host, QEMU).as_deref(), Some(HOOKMUX));
    assert_eq!(fingerprint(&host, "/etc/libvirt/hooks/qemu.adopted"), before);
    host.script("before_vm_start/10-new", "say 'a new one'");
    vm.start().ok();
    vm.destroy().ok();
    let log = host.log();
    let (new, adopted): (Vec<_>, Vec<_>) = log.iter().partition(|line| *line == "a new one");
    assert_eq!(new.len(), 1);
    assert_eq!(adopted, CALLS, "each call of the adopted one once");

    host.hookmux(&["uninstall", "--driver", "qemu", "--hooks-dir", HOOKS]).ok();
    assert_eq!(fingerprint(&host, QEMU), before);
    assert!(!host.exists("/etc/libvirt/hooks/qemu.adopted"));
    host.clear_log();
    vm.start().ok();
    vm.destroy().ok();
    assert_eq!(host.log(), CALLS, "the admin's hook, after hookmux");
}

#[test]
fn an_adopted_script_keeps_libvirts_meaning() {
    let host =
        host_with_hook("[ \"$2\" != \"$(cat /run/fails)\" ] || { echo broken >&2; exit 3; }");
    host.write("/run/fails", "none\n", 0o644);
    host.hookmux(&["install", "--adopt", "--driver", "qemu", "--hooks-dir", HOOKS]).ok();
    let vm = host.guest("vm");
    for operation in ["prepare", "start", "started"] {
        host.write("/run/fails", operation, 0o644);
        vm.start().fails_with(&["unexpected exit status 3: ", "qemu.adopted", "broken"]);
        assert_eq!(vm.state(), "shut off", "{operation}");
    }
    // But never this: libvirt would kill the guest.
    host.write("/run/fails", "none", 0o644);
    vm.start().ok();
    let pid = vm.pid();
    host.write("/run/fails", "reconnect", 0o644);
    host.restart_daemon();
    assert!(vm.is_running());
    assert_eq!(vm.pid(), pid);
    vm.destroy().ok();
}

#[test]
fn no_script_runs_twice_where_the_adopted_one_has_the_tree_already() {
    // What many hosts have: a dispatcher for the tree that hookmux reads, too.
    let dispatcher = r#"
base=/etc/libvirt/hooks/qemu.d/$1/$2/$3
[ -d "$base" ] || exit 0
for script in "$base"/*; do "$script" "$@" || exit $?; done
"#;
    let host = host_with_hook(dispatcher);
    host.script("qemu.d/vm/prepare/begin/10-x", "say \"once $*\"");
    host.hookmux(&["install", "--adopt", "--driver", "qemu", "--hooks-dir", HOOKS]).ok();
    host.script("before_vm_start/10-new", "say 'a new one'");
    let vm = host.guest("vm");
    vm.start().ok();
    vm.destroy().ok();
    let mut log = host.log();
    log.sort();
    assert_eq!(log, ["a new one", "once vm prepare begin -"]);

    host.hookmux(&["uninstall", "--driver", "qemu", "--hooks-dir", HOOKS]).ok();
    host.clear_log();
    vm.start().ok();
    vm.destroy().ok();
    assert_eq!(host.log(), ["once vm prepare begin -"]);
}

#[test]
fn install_is_never_over_a_foreign_file() {
    let host = host_with_hook("say foreign");
    let before = fingerprint(&host, QEMU);
    let reply = host.hookmux(&["install", "--driver", "qemu", "--hooks-dir", HOOKS]);
    assert_eq!(reply.code, Some(1), "{reply:?}");
    assert!(
        format!("{}{}", reply.out, reply.err).contains("--adopt"),
        "names the way out: {reply:?}"
    );
    assert_eq!(fingerprint(&host, QEMU), before);
    // Nor is it taken away.
    drop(host.hookmux(&["uninstall", "--driver", "qemu", "--hooks-dir", HOOKS]));
    assert_eq!(fingerprint(&host, QEMU), before);
}

#[test]
fn installed_beside_a_foreign_script_both_run() {
    let host = host_with_hook("say \"foreign $2\"");
    let before = fingerprint(&host, QEMU);
    host.hookmux(&["install", "--beside", "--driver", "qemu", "--hooks-dir", HOOKS]).ok();
    assert_eq!(fingerprint(&host, QEMU), before);
    assert_eq!(link(&host, "/etc/libvirt/hooks/qemu.d/50-hookmux").as_deref(), Some(HOOKMUX));
    host.script("before_vm_start/10-x", "say \"hookmux $HOOKMUX_DRIVER $HOOKMUX_HOOKS_DIR\"");
    host.script("qemu.d/vm/started/begin/10-x", "say \"tree $2\"");
    let vm = host.guest("vm");
    vm.start().ok();
    let said = [
        "foreign prepare",
        "hookmux qemu /etc/libvirt/hooks",
        "foreign start",
        "foreign started",
        "tree started",
    ];
    assert_eq!(host.log(), said);
    vm.destroy().ok();

    host.hookmux(&["uninstall", "--driver", "qemu", "--hooks-dir", HOOKS]).ok();
    assert_eq!(fingerprint(&host, QEMU), before);
    assert!(!host.exists("/etc/libvirt/hooks/qemu.d/50-hookmux"));
}

#[test]
fn install_waits_until_libvirtd_has_looked() {
    let host = Host::without_hookmux();
    host.start_daemon();
    host.script("before_vm_start/10-x", "say starts");
    // one that libvirtd doesn't look into
    host.run(&["mkdir", "-p", "/run/elsewhere/hooks"]).ok();
    let elsewhere = ["--hooks-dir", "/run/elsewhere/hooks", "install", "--reload"];
    let told = host.hookmux(&elsewhere).ok();
    assert!(told.contains("No libvirt daemon runs that looks here"), "{told}");
    // without an entry for the daemon nobody sees it
    let told = host.hookmux(&["install", "--driver", "network", "--reload"]).ok();
    assert!(told.contains("can't be seen"), "{told}");
    let told = host.hookmux(&["install", "--reload"]).ok();
    assert!(told.contains("libvirtd was reloaded, and has looked"), "{told}");
    let vm = host.guest("vm");
    vm.start().ok();
    assert_eq!(host.log(), ["starts"], "nothing had to be waited for");
    vm.destroy().ok();

    let told = host.hookmux(&["uninstall", "--driver", "qemu", "--reload"]).ok();
    assert!(told.contains("libvirtd was reloaded, and has looked"), "{told}");
    host.clear_log();
    vm.start().ok();
    vm.destroy().ok();
    assert!(host.log().is_empty());
}

#[test]
fn install_on_an_empty_host_takes_a_reload_and_uninstall_leaves_it_empty() {
    let host = Host::without_hookmux();
    host.start_daemon();
    let told = host.hookmux(&["install"]).ok();
    assert!(told.contains("reload"), "{told}");
    for driver in ["daemon", "qemu", "lxc", "network"] {
        assert_eq!(link(&host, &format!("{HOOKS}/{driver}")).as_deref(), Some(HOOKMUX), "{driver}");
    }
    host.script("before_daemon_reload/10-x", "say reloaded");
    host.script("before_vm_start/10-x", "say starts");
    host.reload_daemon();
    host.wait_for_log("reloaded");
    let vm = host.guest("vm");
    vm.start().ok();
    assert_eq!(host.log(), ["reloaded", "starts"]);
    vm.destroy().ok();

    host.hookmux(&["uninstall"]).ok();
    for driver in ["daemon", "qemu", "lxc", "network"] {
        assert!(!host.exists(&format!("{HOOKS}/{driver}")), "{driver}");
    }
    assert!(host.exists("/etc/libvirt/hooks/before_vm_start/10-x"), "scripts are the admin's");
    // libvirt passes over a hook that is gone.
    vm.start().ok();
    vm.destroy().ok();
}

#[test]
fn an_adoption_that_would_break_guests_is_refused_and_leaves_the_host_as_it_was() {
    let by_name = "case ${0##*/} in qemu) say \"as qemu: $2\" ;; *) exit 0 ;; esac";
    for (body, owner, reason) in [(by_name, 0, "its own name"), ("say \"$2\"", 1000, "uid 1000")] {
        let host = host_with_hook(body);
        chown(host.path(QEMU), Some(owner), None).unwrap();
        let before = fingerprint(&host, QEMU);
        let vm = host.guest("vm");
        vm.start().ok();
        vm.destroy().ok();
        let said = host.log();
        assert_eq!(said.len(), 5, "{said:?}");

        let names = || host.sh(&format!("ls -la --time-style=+ {HOOKS} /usr/sbin/hookmux*")).out;
        let listed = names();
        let install = ["install", "--adopt", "--driver", "qemu"];
        let refused = host.hookmux(&install);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let told = format!("{}{}", refused.out, refused.err);
        assert!(told.contains(reason) && told.contains("nothing was changed"), "{told}");
        assert_eq!(fingerprint(&host, QEMU), before);
        assert_eq!(names(), listed);
        host.clear_log();
        vm.start().ok();
        vm.destroy().ok();
        assert_eq!(host.log(), said, "{reason}");
    }
}

/// The commonest script of all: it runs the executable files of a guest's directory, by `find` and
/// the shell, which runs those without a `#!` line too.
#[test]
fn the_helpers_tree_without_interpreter_lines_starts_its_guest() {
    let helper = include_str!("../captures/vfio-helper.sh");
    let host = Host::without_hookmux();
    host.write(QEMU, helper, 0o755);
    let start = "set -x\n[[ $2 == prepare ]] && source /dev/null\n\
                 echo \"start $1 $2\" >> /run/hooks.log\n";
    host.write(&format!("{HOOKS}/qemu.d/vm/prepare/begin/start.sh"), start, 0o755);
    let stop = "function stop { echo \"stop $3\" >> /run/hooks.log; }\nstop \"$@\"\n";
    host.write(&format!("{HOOKS}/qemu.d/vm/release/end/stop.sh"), stop, 0o755);
    host.start_daemon();
    let vm = host.guest("vm");
    let said = ["start vm prepare", "stop end"];
    vm.start().ok();
    vm.destroy().ok();
    assert_eq!(host.log(), said, "by the helper");

    let told = host.hookmux(&["install", "--adopt", "--driver", "qemu"]).ok();
    assert!(told.contains("VFIO helper"), "{told}");
    host.clear_log();
    vm.start().ok();
    vm.destroy().ok();
    assert_eq!(host.log(), said, "by hookmux");
}

/// The daemon of a session is its user's, and calls the same names in /etc.
#[test]
fn a_users_session_daemon_runs_its_adopted_script() {
    let host = host_with_hook("say \"$(id -u) $1 $2\"");
    host.write("/run/hooks.log", "", 0o666);
    host.sh("mkdir -p /run/user/1000 /run/home && chown 1000 /run/user/1000 /run/home").ok();
    let domain = crate::documents::Domain::new("vm");
    host.write("/run/domain.xml", &domain.xml(), 0o644);
    let virsh = |words: &str| {
        host.sh(&format!(
            "cd / && exec setpriv --reuid=1000 --regid=1000 --clear-groups env \
             HOME=/run/home XDG_RUNTIME_DIR=/run/user/1000 virsh -c qemu:///session {words}"
        ))
    };
    let said = ["prepare", "start", "started", "stopped", "release"]
        .map(|operation| format!("1000 vm {operation}"));
    virsh("define /run/domain.xml").ok();
    virsh("start vm").ok();
    virsh("destroy vm").ok();
    assert_eq!(host.log(), said, "before hookmux");

    host.hookmux(&["install", "--adopt", "--driver", "qemu"]).ok();
    host.script("before_vm_start/10-x", "say 'of the administrator'");
    host.write("/run/hooks.log", "", 0o666);
    virsh("start vm").ok();
    virsh("destroy vm").ok();
    assert_eq!(host.log(), said, "adopted");
}
