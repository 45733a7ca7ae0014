//! Python hooks in vdsm's style, which find `hooking` and what vdsm's hooks use beside it without a setting. (V6)
//!
//! They run under `python3`, and under each of the interpreters that `HOOKMUX_PYTHONS` names (paths, with `:`
//! between them).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::support::documents::{UUID, guest};
use crate::support::host::{DRIVERS, binary_under_test, writing};
use crate::support::{GUEST, Host, is_root, skip};

const OWN: &str = "xmlns:hookmux='urn:hookmux:properties:1'";

/// The real paths of the interpreters: what stands in for them in `PATH` may need variables that no hook has.
static PYTHONS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let named = std::env::var_os("HOOKMUX_PYTHONS").unwrap_or_default();
    let named = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty());
    let mut found: Vec<PathBuf> = Vec::new();
    for program in std::iter::once(PathBuf::from("python3")).chain(named) {
        let asked =
            Command::new(&program).args(["-c", "import sys; print(sys.executable)"]).output();
        let Ok(said) = asked else {
            assert_eq!(program, Path::new("python3"), "HOOKMUX_PYTHONS");
            continue;
        };
        assert!(said.status.success(), "{}: {said:?}", program.display());
        let path = PathBuf::from(String::from_utf8(said.stdout).unwrap().trim());
        if !found.contains(&path) {
            found.push(path);
        }
    }
    found
});

/// The interpreters; none, and the test is skipped, where there is no Python.
fn pythons() -> &'static [PathBuf] {
    if PYTHONS.is_empty() {
        skip("no python3");
    }
    &PYTHONS
}

fn contrib(place: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/hooking").join(place)
}

fn text_of(place: &str) -> String {
    fs::read_to_string(contrib(place)).unwrap()
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_tree(&path, &copy);
        } else {
            fs::write(&copy, fs::read(&path).unwrap()).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

/// A host whose hookmux is installed below a prefix of its own, `usr`, with the modules or without.
fn without_modules() -> Host {
    let host = Host::new();
    let program = host.path("usr/sbin/hookmux");
    for name in ["usr", "usr/sbin"] {
        fs::create_dir(host.path(name)).unwrap();
        host.mode(name, 0o755);
    }
    {
        let _writing = writing();
        // a binary of 100 MB need not be copied for each test
        if fs::hard_link(fs::canonicalize(binary_under_test()).unwrap(), &program).is_err() {
            fs::copy(binary_under_test(), &program).unwrap();
        }
    }
    for driver in DRIVERS {
        fs::remove_file(host.hook(driver)).unwrap();
        symlink(&program, host.hook(driver)).unwrap();
    }
    host
}

const MODULES: &str = "usr/share/hookmux/python";

fn with_modules() -> Host {
    let host = without_modules();
    copy_tree(&contrib("python"), &host.path(MODULES));
    for name in ["usr/share", "usr/share/hookmux"] {
        host.mode(name, 0o755);
    }
    host
}

/// Puts a Python script at a place; `@T@` in it is the host's own directory.
fn python(host: &Host, interpreter: &Path, place: &str, text: &str) {
    let body = text.strip_prefix("#!/usr/bin/python3\n").unwrap_or(text);
    let own = host.path("");
    let text = format!("#!{}\n{body}", interpreter.display());
    host.file(place, text.replace("@T@", own.to_str().unwrap().trim_end_matches('/')));
}

fn properties(list: &[(&str, &str)]) -> String {
    let list: String = list
        .iter()
        .map(|(name, value)| {
            let value = value.replace('&', "&amp;").replace('<', "&lt;");
            format!("<hookmux:property name='{name}'>{value}</hookmux:property>")
        })
        .collect();
    format!("<hookmux:properties {OWN}>{list}</hookmux:properties>")
}

/// No hook and no module may leave what Python compiled of it.
fn assert_nothing_was_compiled(host: &Host) {
    let left: Vec<_> =
        host.everything().into_iter().filter(|path| path.ends_with("__pycache__")).collect();
    assert!(left.is_empty(), "{left:?}");
}

// --- who finds them -----------------------------------------------------------------------------

const SEEN: &str = r#"
import os, sys
with open("@T@/log", "a") as log:
    path = os.environ.get("PYTHONPATH", "none").replace("@T@", "T")
    log.write("%s %s\n" % (os.environ["HOOKMUX_HOOK"], path))
"#;

// V6
#[test]
fn hooks_in_vdsms_style_find_the_modules_without_a_setting_and_others_get_what_libvirt_gives() {
    let Some(interpreter) = pythons().first() else { return };
    let host = with_modules();
    for place in [
        "before_vm_start/10-x",
        "qemu.d/g/prepare/begin/10-x",
        "qemu.adopted",
        "bin/registered",
        "root/before_vm_start/20-x",
    ] {
        python(&host, interpreter, place, SEEN);
    }
    python(&host, interpreter, "bin/imports", &format!("import hooking\n{SEEN}"));
    let registration = |name: &str, more: &str| {
        let text = format!(
            "events: before_vm_start\ncommand: {}\n{more}\n",
            host.hook("bin/registered").display()
        );
        host.file(format!("hooks.d/{name}.yaml"), text);
    };
    registration("vdsm", "");
    registration("libvirt", "style: libvirt");
    registration("own", "environment: {PYTHONPATH: /mine}");
    let imports = host.hook("bin/imports");
    let imports = imports.display();
    let rollback = format!(
        "events: before_vm_start\ncommand: {imports}\ncheck: [{imports}]\nrollback: [{imports}]\n"
    );
    host.file("hooks.d/parts.yaml", rollback);
    // the last one fails, and the rollback runs
    host.file(
        "hooks.d/zz.yaml",
        "events: before_vm_start\ncommand: /bin/false\nweight: 200\non_failure: stop\n",
    );
    let roots = format!("roots: [{}]", host.hook("root").display());
    let settings = host.private_settings().replace("roots: []", &roots);
    host.raw_settings(&settings);
    host.guest("prepare begin").run().fails(1, &["before_vm_start/zz"]);
    let mut log = host.log();
    log.sort_unstable();
    let modules = "T/usr/share/hookmux/python";
    let expected = [
        format!("before_vm_start/10-x {modules}"),
        format!("before_vm_start/20-x {modules}"),
        "before_vm_start/libvirt none".to_owned(),
        format!("before_vm_start/own /mine:{modules}"),
        format!("before_vm_start/parts {modules}"),
        format!("before_vm_start/parts {modules}"),
        format!("before_vm_start/parts {modules}"),
        format!("before_vm_start/vdsm {modules}"),
    ];
    assert_eq!(log, expected);
    // a call in which nothing of ours fails runs the others too
    fs::remove_file(host.hook("hooks.d/zz.yaml")).unwrap();
    host.guest("prepare begin").run().succeeds();
    let log = host.log();
    for name in ["qemu.d/g/prepare/begin/10-x none", "qemu.adopted none"] {
        assert!(log.iter().any(|line| line == name), "{name}: {log:#?}");
    }
    assert_nothing_was_compiled(&host);
}

// V6
#[test]
fn what_the_administrator_sets_comes_first_and_a_guest_sets_nothing() {
    let Some(interpreter) = pythons().first() else { return };
    let host = with_modules();
    python(&host, interpreter, "before_vm_start/10-x", SEEN);
    fs::write(host.path("env"), "PYTHONPATH=/of/the/file\n").unwrap();
    host.mode("env", 0o600);
    let file = format!("environment_file: {}", host.path("env").display());
    let document =
        guest(&properties(&[("PYTHONPATH", "/evil"), ("PYTHONDONTWRITEBYTECODE", "")]), "");
    for (settings, expected) in [
        ("", "T/usr/share/hookmux/python"),
        ("environment: {PYTHONPATH: /a:/b}", "/a:/b:T/usr/share/hookmux/python"),
        ("environment: {PYTHONPATH: ''}", "T/usr/share/hookmux/python"),
        ("custom_properties: [PYTHONPATH]", "T/usr/share/hookmux/python"),
        (&file, "/of/the/file:T/usr/share/hookmux/python"),
    ] {
        host.settings(settings);
        // libvirt's own environment counts for nothing
        let call =
            host.guest("prepare begin").stdin(document.as_str()).env("PYTHONPATH", "/daemons");
        call.run().succeeds();
        assert_eq!(host.log(), [format!("before_vm_start/10-x {expected}")], "{settings}");
    }
}

// V6
#[test]
fn vdsms_own_tree_and_detached_hooks_find_them_too() {
    let Some(interpreter) = pythons().first() else { return };
    let host = with_modules();
    let text = format!(
        "import hooking\nfrom vdsm.hook import hooking as same\nassert hooking is same\n{SEEN}"
    );
    python(&host, interpreter, "bin/later", &text);
    let later = format!(
        "events: after_vm_start\ncommand: {}\nmode: detached\n",
        host.hook("bin/later").display()
    );
    host.file("hooks.d/later.yaml", later);
    host.guest("started begin").run().succeeds();
    let mut log = Vec::new();
    crate::support::until("the detached hook has run", || {
        log.extend(host.log());
        !log.is_empty()
    });
    assert_eq!(log, ["after_vm_start/later T/usr/share/hookmux/python"]);

    if !is_root() {
        return skip("only root can put a tree where vdsm's is");
    }
    python(&host, interpreter, "vdsm/before_vm_start/50_x", &text);
    let mounts = format!(
        "mkdir -p /usr/libexec; mount -t tmpfs -o mode=755 tmpfs /usr/libexec; mkdir -p /usr/libexec/vdsm\n\
         cp -r '{}' /usr/libexec/vdsm/hooks",
        host.hook("vdsm").display()
    );
    host.settings("vdsm_hooks: true");
    host.guest("prepare begin").with_mounts(&mounts).run().succeeds();
    assert_eq!(host.log(), ["before_vm_start/50_x T/usr/share/hookmux/python"]);
    assert_nothing_was_compiled(&host);
}

// V6
#[test]
fn modules_that_others_could_change_are_given_to_no_hook() {
    let Some(interpreter) = pythons().first() else { return };
    let host = with_modules();
    python(&host, interpreter, "before_vm_start/10-x", SEEN);
    python(&host, interpreter, "before_vm_start/20-x", SEEN);
    for (place, mode) in
        [(MODULES, 0o775), (MODULES, 0o757), ("usr/share/hookmux", 0o777), ("usr/share", 0o775)]
    {
        host.mode(place, mode);
        host.guest("prepare begin").run().succeeds();
        assert_eq!(
            host.log(),
            ["before_vm_start/10-x none", "before_vm_start/20-x none"],
            "{place} {mode:o}"
        );
        let warnings = host.text(&["show", "last"], 0);
        if warnings.len() < 5000 {
            println!("{warnings}");
        }
        let refused = format!("{} is writable by", host.path(place).display());
        assert!(
            warnings.contains(&refused) && warnings.matches("is writable by").count() == 1,
            "{warnings}"
        );
        host.mode(place, 0o755);
    }
    fs::remove_dir_all(host.path(MODULES)).unwrap();
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["before_vm_start/10-x none", "before_vm_start/20-x none"]);
    assert!(!host.text(&["show", "last"], 0).contains("warning"), "none where there are none");
}

// --- each function ------------------------------------------------------------------------------

// V6
#[test]
fn each_function_keeps_its_contract() {
    let mut names: Vec<_> = fs::read_dir(contrib("tests/functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert!(names.len() >= 9, "{names:?}");
    for interpreter in pythons() {
        for locale in ["C.UTF-8", "C"] {
            let host = with_modules();
            host.settings(&format!("environment: {{LC_ALL: {locale}}}\ntimeout: 5m"));
            for name in &names {
                let text = text_of(&format!("tests/functions/{name}"));
                python(&host, interpreter, &format!("before_vm_start/{name}"), &text);
            }
            let answer = host.guest("prepare begin").run();
            assert_eq!(answer.status, Some(0), "{}, {locale}: {answer:?}", interpreter.display());
            assert_nothing_was_compiled(&host);
        }
    }
}

/// The script that says what the whole package needs: it reads the package as a text.
const NEEDS: &str = r#"
import ast, os, sys
top = sys.argv[1]
own = {"hooking", "hookmux_vdsm", "vdsm"}
standard = {"collections", "errno", "importlib", "json", "logging", "os", "subprocess", "sys", "urllib", "xml"}
for directory, _, names in os.walk(top):
    for name in names:
        assert name.endswith(".py"), name
        path = os.path.join(directory, name)
        with open(path, "rb") as file:
            text = file.read().decode("ascii")
        assert "SPDX-License-Identifier: Apache-2.0 OR MIT" in text, path
        version = {"feature_version": (3, 6)} if sys.version_info >= (3, 8) else {}
        tree = ast.parse(text, path, **version)
        assert ast.get_docstring(tree), path
        for node in ast.walk(tree):
            named = []
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                named = [node.module]
            for module in named:
                assert module.split(".")[0] in own | standard, (path, module)
"#;

// V6
#[test]
fn the_modules_are_for_python_3_6_and_use_the_standard_library_only() {
    for interpreter in pythons() {
        let said =
            Command::new(interpreter).args(["-c", NEEDS]).arg(contrib("python")).output().unwrap();
        assert!(said.status.success(), "{}: {said:?}", interpreter.display());
    }
}

// --- the document -------------------------------------------------------------------------------

// V6
#[test]
fn a_document_that_is_written_unchanged_is_not_sent_to_libvirt() {
    let same = "import hooking\nd = hooking.read_domxml()\nhooking.write_domxml(d)\nhooking.write_domxml(d)\n";
    for interpreter in pythons() {
        let host = with_modules();
        host.settings("environment: {LC_ALL: C}");
        python(&host, interpreter, "before_vm_migrate_destination/10-same", same);
        let document =
            guest("", "<x:y xmlns:x='urn:x'  a = '1'><![CDATA[a<b]]></x:y><!-- \u{e9} -->");
        host.guest("migrate begin").stdin(document.as_str()).run().succeeds();
        // a real change goes on to the next hook, and to libvirt
        let title = "import hooking\nd = hooking.read_domxml()\n\
             e = d.createElement('title'); e.appendChild(d.createTextNode('caf\\xe9 <&'))\n\
             d.documentElement.appendChild(e); hooking.write_domxml(d)\n";
        python(&host, interpreter, "before_vm_migrate_destination/20-title", title);
        python(&host, interpreter, "before_vm_migrate_destination/30-same", same);
        let answer = host.guest("migrate begin").stdin(document.as_str()).run();
        let said = String::from_utf8(answer.stdout).unwrap();
        for part in [
            "<title>caf\u{e9} &lt;&amp;</title>",
            "<x:y xmlns:x=\"urn:x\" a=\"1\"><![CDATA[a<b]]></x:y><!-- \u{e9} -->",
            UUID,
        ] {
            // before 3.8 attributes come by their names
            let sorted = part.replace("xmlns:x=\"urn:x\" a=\"1\"", "a=\"1\" xmlns:x=\"urn:x\"");
            assert!(said.contains(part) || said.contains(&sorted), "{part} in {said}");
        }
    }
}

// V6
#[test]
fn a_hook_refuses_a_start_with_its_words_and_its_status() {
    let Some(interpreter) = pythons().first() else { return };
    let host = with_modules();
    for (text, status, words, goes_on) in [
        ("hooking.exit_hook('no licence: caf\\xe9')", 2, "no licence: caf\u{e9}", false),
        ("hooking.exit_hook('not today', 1)", 1, "not today", true),
        ("hooking.exit_hook('not today', return_code=5)", 5, "not today", true),
        ("hooking.log('told'); sys.exit(2)", 2, "told", false),
        ("hooking.read_json()", 1, "KeyError: '_hook_json'", true),
        (
            "open(os.environ['_hook_domxml'], 'w'); hooking.read_domxml()",
            1,
            "ExpatError: no element found",
            true,
        ),
        ("raise RuntimeError('broken')", 1, "RuntimeError: broken", true),
    ] {
        let text = format!("import os, sys\nimport hooking\n{text}\n");
        python(&host, interpreter, "before_vm_start/10-x", &text);
        host.follow(&["before_vm_start/20-next"]);
        host.guest("prepare begin")
            .run()
            .fails(status, &["before_vm_start/10-x: exit status", words]);
        assert_eq!(!host.log().is_empty(), goes_on, "{text}");
    }
    python(
        &host,
        interpreter,
        "before_vm_start/10-x",
        "import hooking\nhooking.exit_hook('enough', 0)\n",
    );
    host.guest("prepare begin").run().succeeds();
    // no document at all
    python(
        &host,
        interpreter,
        "after_network_stop/10-x",
        "import hooking\nhooking.read_domxml()\n",
    );
    let answer = host.call("network", ["net", "stopped", "end", "-"]).stdin("").run();
    answer.fails(1, &["KeyError: '_hook_domxml'"]);
}

// --- hooks as vdsm ships them -------------------------------------------------------------------

const DEVICES: &str = "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
    <source file='@T@/disk.img'/><target dev='sda' bus='scsi'/></disk>\
    <interface type='network'><mac address='52:54:00:11:22:33'/><source network='default'/></interface>\
    <hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x17' slot='0x00' function='0x0'/></source></hostdev>\
    <serial type='pty'><target port='0'/></serial>";

// V6
#[test]
fn hooks_that_call_as_vdsms_do_run_together() {
    let properties_of_all = [
        ("boot_order", "0x17"),
        ("cpu_features", "+aes,-x2apic"),
        ("unmap", "on"),
        ("serial_number", r#"{"serial": "a <1>", "family": "caf\u00e9"}"#),
        ("more_arguments", r#"["-smbios", "type=1,serial=\"x\""]"#),
        ("console_log_guests", "^g$"),
        ("throw_away_disk", "1048576,@T@/scratch.img"),
        ("image_sizes", "1"),
        ("host_metrics", "True"),
        ("remote_iso", "https://host.example/iso/x.iso?a=b"),
        ("bridge_port", "true"),
        ("other_network", "blue"),
    ];
    let names: Vec<&str> = properties_of_all.iter().map(|(name, _)| *name).collect();
    let hooks = [
        "boot_order",
        "bridge_port",
        "console_log",
        "cpu_features",
        "host_metrics",
        "image_sizes",
        "more_arguments",
        "nested_guests",
        "no_migration",
        "remote_iso",
        "serial_number",
        "throw_away_disk",
        "unmap",
    ];
    for interpreter in pythons() {
        let host = with_modules();
        host.settings(&format!(
            "custom_properties: [{}, stays_here]\ntimeout: 5m",
            names.join(", ")
        ));
        for event in ["before_vm_start", "before_vm_migrate_destination"] {
            for name in hooks {
                let text = text_of(&format!("tests/hooks/{name}.py"));
                python(&host, interpreter, &format!("{event}/50_{name}"), &text);
            }
            let helper = format!("{event}/bridge_port_helper.py");
            host.file(&helper, text_of("tests/hooks/bridge_port_helper.py"));
            host.mode(Path::new("hooks").join(&helper), 0o644);
        }
        // as vdsm ships it: a relative link from the one directory to the other
        fs::remove_file(host.hook("before_vm_start/50_host_metrics")).unwrap();
        host.link(
            "../before_vm_migrate_destination/50_host_metrics",
            "before_vm_start/50_host_metrics",
        );
        let scratch = text_of("tests/hooks/throw_away_disk.py");
        python(&host, interpreter, "after_vm_destroy/50_throw_away_disk", &scratch);
        python(&host, interpreter, "bin/other_network", &text_of("tests/hooks/other_network.py"));
        // a shell's hook finds them too, for what it starts
        let device = r#""$T/hooks/bin/other_network" && cp "$_hook_domxml" "$T/device.xml""#;
        host.script("before_device_create/50_other_network", device);
        fs::write(host.path("disk.img"), "x").unwrap();

        let here = host.path("").display().to_string();
        let here = here.trim_end_matches('/');
        let fill = |text: &str| text.replace("@T@", here);
        let list: Vec<_> =
            properties_of_all.iter().map(|(name, value)| (*name, fill(value))).collect();
        let list: Vec<_> = list.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let devices = format!("{}</devices><cpu mode='custom'/><devices>", fill(DEVICES));
        let device_property = "<hookmux:property name='other_network' device='52:54:00:11:22:33'>red</hookmux:property></hookmux:properties>";
        let metadata = properties(&list).replace("</hookmux:properties>", device_property);
        let document = guest(&metadata, &devices).replace("<devices>\n  </devices>", "");

        // what libvirt takes: every edit is there
        let answer = host.guest("migrate begin").stdin(document.as_str()).run();
        assert_eq!(answer.status, Some(0), "{}: {answer:?}", interpreter.display());
        let said = String::from_utf8(answer.stdout).unwrap();
        for part in [
            "<boot order=\"1\"/>",
            "<feature name=\"aes\" policy=\"require\"/><feature name=\"x2apic\" policy=\"disable\"/>",
            "discard=\"unmap\"",
            "<entry name=\"family\">caf\u{e9}</entry><entry name=\"serial\">a &lt;1",
            "<smbios mode=\"sysinfo\"/>",
            "<qemu:arg value=\"-smbios\"/><qemu:arg value=\"type=1,serial=&quot;x&quot;\"/>",
            "<log file=\"/var/log/g.log\"/>",
            &fill("<source file=\"@T@/scratch.img\"/>"),
            "<!-- see /etc/host_metrics/host_metrics.conf -->",
            "name=\"/iso/x.iso\" protocol=\"https\"",
        ] {
            let other = "protocol=\"https\" name=\"/iso/x.iso\"";
            let is_there = said.contains(part) || (part.contains("https") && said.contains(other));
            assert!(is_there, "{}: {part} in {said}", interpreter.display());
        }
        assert!(
            !said.contains("not a document"),
            "what a hook prints is nothing of libvirt's: {said}"
        );
        assert_eq!(fs::metadata(host.path("scratch.img")).unwrap().len(), 1 << 20);

        // what it doesn't take: the effects beside it
        host.guest("release end").stdin(document.as_str()).run().succeeds();
        assert!(!host.path("scratch.img").exists());
        host.guest("prepare begin").stdin(document.as_str()).run().succeeds();
        assert!(host.path("scratch.img").exists());
        assert!(
            host.read_text("device.xml").contains("<source network=\"red\"/>"),
            "the device's own property"
        );
        let seen = host.text(&["show", "last"], 0);
        assert!(seen.contains(&format!("{UUID} gets red")), "{seen}");
        host.guest("release end").stdin(document.as_str()).run().succeeds();
        assert!(!host.path("scratch.img").exists());

        // each refuses what it should
        fs::create_dir(host.hook("aside")).unwrap();
        fs::rename(host.hook("before_vm_start"), host.hook("aside/start")).unwrap();
        for (name, value, status, words) in [
            ("boot_order", "0x99", 1, "boot_order: no device at bus 0x99"),
            (
                "cpu_features",
                "aes",
                1,
                "ValueError: cpu_features: 'aes' begins with neither + nor -",
            ),
            ("more_arguments", "[", 2, "exit status 2"),
            ("throw_away_disk", "-7,/nowhere/x", 2, "exit status 2"),
            ("image_sizes", "0", 2, "has more than 0 GiB"),
            ("serial_number", "x", 1, "JSONDecodeError"),
        ] {
            let place = format!("before_vm_start/50_{name}");
            python(&host, interpreter, &place, &text_of(&format!("tests/hooks/{name}.py")));
            let metadata = properties(&[(name, value)]);
            let document = guest(&metadata, &devices).replace("<devices>\n  </devices>", "");
            let answer = host.guest("prepare begin").stdin(document.as_str()).run();
            answer.fails(status, &[&format!("{place}: exit status {status}"), words]);
            fs::remove_file(host.hook(&place)).unwrap();
        }
        fs::remove_dir(host.hook("before_vm_start")).unwrap();
        fs::rename(host.hook("aside/start"), host.hook("before_vm_start")).unwrap();
        host.guest("release end").run().succeeds();
        let document = guest(&properties(&[("stays_here", "")]), "");
        let answer = host.guest("migrate begin").stdin(document).run();
        answer.fails(2, &["50_no_migration", "a guest with `stays_here` can't migrate"]);
        // and without any property all of them leave everything as it is
        host.guest("release end").run().succeeds();
        host.guest("prepare begin").run().succeeds();
        host.guest("migrate begin").run().succeeds();
        assert_nothing_was_compiled(&host);
    }
}

// V6
#[test]
fn the_script_in_the_documentation_does_what_it_says() {
    let Some(interpreter) = pythons().first() else { return };
    let page = include_str!("../docs/python.md");
    let script = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let host = with_modules();
    host.settings("custom_properties: [disks]");
    python(&host, interpreter, "before_vm_start/50-one-disk", script);
    let document = |count: usize| guest(&properties(&[("disks", "1")]), &"<disk/>".repeat(count));
    host.guest("prepare begin").stdin(document(1)).run().succeeds();
    let words = ["before_vm_start/50-one-disk: exit status 2", "2 disks, and 1 are allowed"];
    host.guest("prepare begin").stdin(document(2)).run().fails(2, &words);
    host.guest("prepare begin").run().succeeds();
}

/// The page and the modules know each other's functions and names.
#[test]
fn the_documentation_has_every_function() {
    let page = include_str!("../docs/python.md");
    let module = text_of("python/vdsm/hook/hooking.py");
    let list = module.split("__all__ = [").nth(1).unwrap().split(']').next().unwrap();
    let names: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert!(names.len() == 10, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}(")), "docs/python.md lacks {name}");
        assert!(module.contains(&format!("\ndef {name}(")), "{name}");
    }
    let parameters = module.split("def execCmd(").nth(1).unwrap().split("):").next().unwrap();
    for parameter in parameters.lines().filter_map(|line| line.trim().split_once('=')) {
        assert!(page.contains(&format!("`{}", parameter.0)), "docs/python.md lacks {parameter:?}");
    }
}

// --- a real vdsm --------------------------------------------------------------------------------

/// Makes an environment of Python's, as its module venv does, and returns the interpreter and the directory
/// for packages, which is behind hookmux's modules in the search path.
fn venv(host: &Host, interpreter: &Path) -> (PathBuf, PathBuf) {
    let ask = "import sys; print(sys.base_prefix + '/bin'); print('lib/python%d.%d/site-packages' % sys.version_info[:2])";
    let said = Command::new(interpreter).args(["-c", ask]).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let (home, packages) = said.trim().split_once('\n').unwrap();
    let place = host.path("venv");
    fs::create_dir_all(place.join("bin")).unwrap();
    let packages = place.join(packages);
    fs::create_dir_all(&packages).unwrap();
    fs::write(place.join("pyvenv.cfg"), format!("home = {home}\n")).unwrap();
    let own = place.join("bin/python3");
    symlink(fs::canonicalize(interpreter).unwrap(), &own).unwrap();
    (own, packages)
}

fn package(directory: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

// V6
#[test]
fn a_real_vdsm_further_down_wins_and_what_it_lacks_is_here() {
    let whole: &[(&str, &str)] = &[
        ("vdsm/__init__.py", "import vdsm.network\nwho = 'real'\n"),
        ("vdsm/network/__init__.py", "who = 'real'\n"),
        ("vdsm/common/__init__.py", ""),
        ("vdsm/common/units.py", "GiB = 'real'\n"),
        ("vdsm/hook/__init__.py", ""),
        ("vdsm/hook/hooking.py", "from vdsm.common.units import GiB\nwho = 'real'\n"),
    ];
    // a part of it, as some packages bring it; without __init__.py in places
    let part: &[(&str, &str)] = &[
        ("vdsm/__init__.py", "who = 'real'\n"),
        ("vdsm/network/__init__.py", "who = 'real'\n"),
        ("vdsm/common/__init__.py", ""),
        ("vdsm/common/more.py", "who = 'real'\n"),
    ];
    let bare: &[(&str, &str)] = &[
        ("vdsm/network/x.py", ""),
        ("vdsm/network/__init__.py", "who = 'real'\n"),
        ("vdsm/common/more.py", "who = 'real'\n"),
    ];
    let third: &[(&str, &str)] =
        &[("hooking.py", "who = 'a stranger'\n"), ("vdsm.py", "who = 'a stranger'\n")];
    let failing: &[(&str, &str)] = &[("vdsm/__init__.py", "raise ImportError('broken vdsm')\n")];
    let text = "
import sys
import hooking
import vdsm
import vdsm.hook.hooking
from vdsm.hook import hooking as same
from vdsm.common import cmdutils, constants, units
from vdsm import osinfo
assert hooking is same is vdsm.hook.hooking is sys.modules['hooking'] is sys.modules['vdsm.hook.hooking']
def who(module): return getattr(module, 'who', 'hookmux')
def of(name):
    try:
        __import__(name)
    except ImportError:
        return 'none'
    return who(sys.modules[name])
said = [who(hooking), who(vdsm), of('vdsm.network'), of('vdsm.common.more'), str(units.GiB), of('vdsm.nothing')]
with open('@T@/log', 'a') as log:
    log.write(' '.join(said) + '\\n')
";
    for interpreter in pythons() {
        for (files, expected) in [
            (&[][..], "hookmux hookmux none none 1073741824 none"),
            (whole, "real real real none real none"),
            (part, "hookmux real real real 1073741824 none"),
            (bare, "hookmux hookmux real real 1073741824 none"),
            (third, "hookmux hookmux none none 1073741824 none"),
        ] {
            let host = with_modules();
            let (own, packages) = venv(&host, interpreter);
            package(&packages, files);
            python(&host, &own, "before_vm_start/10-x", text);
            // whichever name comes first
            let other = text.replace(
                "import hooking\nimport vdsm\n",
                "import vdsm\nfrom vdsm.common.units import GiB\nimport hooking\n",
            );
            python(&host, &own, "before_vm_start/20-x", &other);
            // where the modules are there twice
            copy_tree(&contrib("python"), &host.path("twice"));
            let answer = host.guest("prepare begin").run();
            assert_eq!(answer.status, Some(0), "{}: {answer:?}", own.display());
            assert_eq!(host.log(), [expected; 2], "{}: {files:?}", interpreter.display());
            host.settings(&format!(
                "environment: {{PYTHONPATH: {}}}",
                host.path("twice").display()
            ));
            host.guest("prepare begin").run().succeeds();
            assert_eq!(host.log(), [expected; 2], "{}: {files:?}", interpreter.display());
            // what the administrator names comes before them, and they before all else
            host.settings(&format!("environment: {{PYTHONPATH: {}}}", packages.display()));
            if files == third {
                python(
                    &host,
                    &own,
                    "before_vm_start/10-x",
                    "import hooking\nassert hooking.who == 'a stranger'\n",
                );
                fs::remove_file(host.hook("before_vm_start/20-x")).unwrap();
                host.guest("prepare begin").run().succeeds();
            } else if files != bare {
                // a part of vdsm that comes first is filled up when `hooking` is imported
                python(&host, &own, "before_vm_start/20-x", text);
                host.guest("prepare begin").run().succeeds();
                assert_eq!(host.log(), [expected; 2], "{}: {files:?}", interpreter.display());
            }
        }
        // a broken one is no reason to take another
        let host = with_modules();
        let (own, packages) = venv(&host, interpreter);
        package(&packages, failing);
        python(&host, &own, "before_vm_start/10-x", "import hooking\n");
        host.guest("prepare begin").run().fails(1, &["ImportError: broken vdsm"]);
    }
}

// V6
#[test]
fn a_module_beside_the_script_comes_first_as_ever() {
    let Some(interpreter) = pythons().first() else { return };
    let host = with_modules();
    host.file("before_vm_start/hooking.py", "who = 'beside'\n");
    host.mode("hooks/before_vm_start/hooking.py", 0o644);
    python(
        &host,
        interpreter,
        "before_vm_start/10-x",
        "import hooking\nassert hooking.who == 'beside'\n",
    );
    host.guest("prepare begin").stdin(GUEST).run().succeeds();
}
