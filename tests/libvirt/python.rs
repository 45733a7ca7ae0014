//! Hooks of vdsm's in Python, on a host as a package leaves it: no setting tells where `hooking` is. (V6)

use std::fs;
use std::path::Path;

use crate::host::{HOOKMUX, HOOKS, Host};

const PROGRAM: &str = "/usr/sbin/hookmux";
const MODULES: &str = "/usr/share/hookmux/python";

fn write_modules(host: &Host, from: &Path, to: &str) {
    for entry in fs::read_dir(from).unwrap().flatten() {
        let place = format!("{to}/{}", entry.file_name().to_str().unwrap());
        match entry.path() {
            path if path.is_dir() => write_modules(host, &path, &place),
            path => host.write(&place, &fs::read_to_string(path).unwrap(), 0o644),
        }
    }
}

/// A host with the program and the modules where packages put them, and its entries made.
fn host() -> Host {
    let host = Host::without_hookmux();
    host.run(&["install", "-m", "755", HOOKMUX, PROGRAM]).ok();
    host.own_share();
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/hooking/python");
    write_modules(&host, &modules, MODULES);
    host.run(&[PROGRAM, "install"]).ok();
    host.start_daemon();
    host
}

fn python(host: &Host, place: &str, text: &str) {
    host.write(&format!("{HOOKS}/{place}"), &format!("#!/usr/bin/python3\n{text}\n"), 0o755);
}

// V6
#[test]
fn a_python_hook_of_vdsms_refuses_a_start_with_its_words() {
    let host = host();
    let vm = host.guest("vm");
    // as vdsm's own do: one name, and the other
    python(&host, "before_vm_start/10_log", "import hooking\nhooking.log('seen')");
    let veto = "import os\nfrom vdsm.hook import hooking\n\
        name = hooking.read_domxml().getElementsByTagName('name')[0].firstChild.nodeValue\n\
        if not os.path.exists('/run/licence'):\n    \
            hooking.exit_hook('%s has no licence: caf\\xe9' % name)";
    python(&host, "before_vm_start/50_licence", veto);
    vm.start().fails_with(&[
        "unexpected exit status 2: ",
        "hookmux: before_vm_start/50_licence: exit status 2 after ",
        " s: vm has no licence: caf\u{e9}",
    ]);
    assert_eq!(vm.state(), "shut off");
    host.write("/run/licence", "", 0o644);
    vm.start().ok();
    vm.destroy().ok();
    let findings = host.run(&[PROGRAM, "check", "--output", "json"]);
    assert!(!findings.out.contains("missing-module"), "{findings:?}");
    assert!(
        !host.sh("find /etc/libvirt/hooks /usr/share/hookmux -name __pycache__").ok().contains('/')
    );

    // who may write to the modules could do what root can: nobody gets them
    host.sh(&format!("chmod g+w {MODULES}")).ok();
    vm.start().fails_with(&["before_vm_start/10_log: ", "No module named 'hooking'"]);
    let findings = host.run(&[PROGRAM, "check", "--output", "json"]);
    assert!(findings.out.contains("missing-module"), "{findings:?}");
}

// V6
#[test]
fn a_restored_guest_has_what_a_python_hook_changed_and_an_unchanged_document_is_none() {
    let host = host();
    let vm = host.guest("vm");
    let same = "import hooking\nhooking.write_domxml(hooking.read_domxml())";
    python(&host, "before_vm_dehibernate/10_same", same);
    vm.start().ok();
    vm.managed_save().ok();
    vm.start().ok();
    let record = host.run(&[PROGRAM, "log", "--output", "json"]).ok();
    assert!(
        record.contains("\"restore\"") && !record.contains("\"changed_document\": true"),
        "{record}"
    );
    let title = "import hooking\nd = hooking.read_domxml()\n\
        t = d.createElement('title')\nt.appendChild(d.createTextNode('caf\\xe9 <1>'))\n\
        name = d.getElementsByTagName('name')[0]\nname.parentNode.insertBefore(t, name)\nhooking.write_domxml(d)";
    python(&host, "before_vm_dehibernate/20_title", title);
    vm.managed_save().ok();
    vm.start().ok();
    assert!(vm.xml().contains("<title>caf\u{e9} &lt;1&gt;</title>"), "{}", vm.xml());
    vm.destroy().ok();
}
