//! Entries of the hooks directory, and who writes to them: a driver's program changes, and nothing
//! else does. On a machine with an /etc, /run, /var/lib and /usr/sbin of its own: a mount namespace.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use serde_json::Value;

use crate::argv::odd_names;
use crate::support::documents::GUEST;
use crate::support::finding::{provoked, seen};
use crate::support::host::{binary_under_test, writing};
use crate::support::{is_root, schema, skip, until};

const HOOKS: &str = "/etc/libvirt/hooks";
const PROGRAM: &str = "/usr/sbin/hookmux";

/// Lets every name of a directory lead to where it was, in a directory that may be changed.
const BOOT: &str = r#"
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
umask 022
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /usr/local/sbin
for name in etc usr/sbin; do
    mkdir -p "/run/real/$name" "/run/own/$name"
    mount --bind "/$name" "/run/real/$name"
    for file in "/$name"/*; do ln -s "/run/real$file" "/run/own$file"; done
    mount --bind "/run/own/$name" "/$name"
done
rm -f /etc/libvirt /usr/sbin/hookmux*
mkdir -p /etc/libvirt/hooks
echo booted
read -r _ || exit 0
"#;

/// What an installer brings.
const FOREIGN: &str = "#!/bin/sh\necho \"foreign $2\" >> /run/log\n";

struct Machine {
    namespace: Child,
    stdin: Option<ChildStdin>,
}

impl Machine {
    /// One on which hookmux lies in /usr/sbin, and has a hook for guests and one for networks.
    fn new() -> Option<Machine> {
        if !is_root() {
            skip("only root can make mounts");
            return None;
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", BOOT]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut namespace = {
            let _writing = writing();
            command.spawn().unwrap()
        };
        let mut line = String::new();
        BufReader::new(namespace.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "booted\n" {
            skip("no mounts can be made here");
            let _ = namespace.wait();
            return None;
        }
        let stdin = namespace.stdin.take();
        let machine = Machine { namespace, stdin };
        machine.put_program(PROGRAM);
        machine.script("before_vm_start/10-x", "echo \"hook $HOOKMUX_DRIVER\" >> /run/log");
        machine.script("before_network_start/10-x", "echo hook network >> /run/log");
        machine.write("/run/foreign", FOREIGN, 0o755);
        Some(machine)
    }

    /// A path of the machine's, as this test reaches it.
    fn path(&self, place: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{place}", self.namespace.id()))
    }

    fn write(&self, place: &str, text: impl AsRef<[u8]>, mode: u32) {
        let path = self.path(place);
        let _writing = writing();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn script(&self, place: &str, text: &str) {
        self.write(&format!("{HOOKS}/{place}"), format!("#!/bin/sh\n{text}\n"), 0o755);
    }

    /// The program, without what only debuggers read: there are many copies of it, in memory.
    fn put_program(&self, place: &str) {
        let _writing = writing();
        let path = self.path(place);
        let stripped = Command::new("strip").arg("-o").arg(&path).arg(binary_under_test()).status();
        if !stripped.is_ok_and(|status| status.success()) {
            fs::copy(binary_under_test(), &path).unwrap();
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run<W: AsRef<OsStr>>(&self, words: &[W]) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--mount", &format!("--target={}", self.namespace.id()), "--"]);
        // a command that hangs is a fault, and no hung test
        command.args(["timeout", "-s", "KILL", "60"]).args(words);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env_remove("HOOKMUX_HOOKS_DIR");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = {
            let _writing = writing();
            command.spawn().unwrap()
        };
        let mut stdin = child.stdin.take().unwrap();
        // who doesn't read it closes the pipe
        let _ = std::io::Write::write_all(&mut stdin, GUEST.as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    #[track_caller]
    fn sh(&self, script: &str) -> String {
        text(&self.run(&["/bin/sh", "-c", script]), script, 0)
    }

    /// What a command says on both streams.
    #[track_caller]
    fn hookmux(&self, words: &str, status: i32) -> String {
        let all: Vec<&str> = [PROGRAM].into_iter().chain(words.split(' ')).collect();
        text(&self.run(&all), words, status)
    }

    #[track_caller]
    fn findings(&self) -> Vec<Value> {
        let output = self.run(&[PROGRAM, "check", "--output", "json"]);
        let said = schema::read(&["check"], &output.stdout);
        said["findings"].as_array().unwrap().clone()
    }

    #[track_caller]
    fn has_no_code(&self, code: &str) {
        let findings = self.findings();
        assert!(findings.iter().all(|finding| finding["code"] != code), "{findings:#?}");
    }

    #[track_caller]
    fn has_code(&self, code: &str) -> String {
        let findings = self.findings();
        let found = findings.iter().find(|finding| finding["code"] == code);
        let found = found.unwrap_or_else(|| panic!("no {code} among {findings:#?}"));
        seen(found);
        found["fix"].as_str().unwrap().to_owned()
    }

    /// The start of a guest or a network as libvirt calls it; returns what was logged.
    #[track_caller]
    fn call(&self, driver: &str) -> Vec<String> {
        let operation = if driver == "network" { "start" } else { "prepare" };
        let entry = format!("{HOOKS}/{driver}");
        let output = self.run(&[entry.as_str(), "g", operation, "begin", "-"]);
        assert_eq!(output.status.code(), Some(0), "{driver}: {output:?}");
        self.logged()
    }

    /// What scripts logged since it was last asked.
    fn logged(&self) -> Vec<String> {
        let log = self.path("/run/log");
        let said = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        said.lines().map(str::to_owned).collect()
    }

    fn link(&self, place: &str) -> Option<String> {
        let target = fs::read_link(self.path(place)).ok()?;
        Some(target.into_os_string().into_string().unwrap())
    }

    fn read(&self, place: &str) -> Vec<u8> {
        fs::read(self.path(place)).unwrap_or_default()
    }

    fn exists(&self, place: &str) -> bool {
        self.path(place).symlink_metadata().is_ok()
    }

    /// All names of hookmux's in /usr/sbin.
    fn programs(&self) -> Vec<String> {
        let mut found: Vec<String> = fs::read_dir(self.path("/usr/sbin"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("hookmux"))
            .collect();
        found.sort();
        found
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.namespace.wait();
    }
}

#[track_caller]
fn text(output: &Output, what: &str, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{what}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

provoked! {
    who_writes_to_an_entry_changes_one_driver_and_is_told_and_adopted_and_put_back:
        "overwritten-entry";
    what_is_appended_to_the_program_is_told: "appended-copy";
    renew_renews_copies_and_links_old_entries_and_leaves_the_rest: "stale-copy" "shared-entry";
}

const COPIES: [&str; 5] =
    ["hookmux", "hookmux-daemon", "hookmux-lxc", "hookmux-network", "hookmux-qemu"];

#[test]
fn each_driver_has_a_copy_of_its_own() {
    let Some(machine) = Machine::new() else { return };
    let said = machine.hookmux("install", 0);
    assert!(said.contains("qemu: linked to /usr/sbin/hookmux-qemu"), "{said}");
    assert_eq!(machine.programs(), COPIES);
    for driver in ["daemon", "qemu", "lxc", "network"] {
        let copy = format!("{PROGRAM}-{driver}");
        assert_eq!(machine.link(&format!("{HOOKS}/{driver}")).as_deref(), Some(copy.as_str()));
        let metadata = fs::symlink_metadata(machine.path(&copy)).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.nlink()), (0o755, 0, 1));
        assert_eq!(machine.read(&copy), machine.read(PROGRAM), "{driver}");
    }
    assert_eq!(machine.call("qemu"), ["hook qemu"]);
    assert_eq!(machine.call("network"), ["hook network"]);
    // by its own name too, as the driver, in the usual hooks directory; nothing is an option
    for name in odd_names() {
        let name = OsStr::from_bytes(&name);
        let words = ["/usr/sbin/hookmux-qemu", "", "prepare", "begin", "-"].map(OsStr::new);
        let words = words.map(|word| if word.is_empty() { name } else { word });
        let output = machine.run(&words);
        let is_silent = output.stdout.is_empty() && output.stderr.is_empty();
        assert!(output.status.success() && is_silent, "{name:?}: {output:?}");
        assert_eq!(machine.logged(), ["hook qemu"], "{name:?}");
    }
    assert_eq!(machine.hookmux("check --entries", 0), "");
    for code in ["overwritten-entry", "stale-copy", "shared-entry", "foreign-script"] {
        machine.has_no_code(code);
    }
    let said = machine.hookmux("install", 0);
    assert!(said.contains("already") && !said.contains("reload"), "{said}");

    machine.hookmux("uninstall", 0);
    assert_eq!(machine.programs(), ["hookmux"]);
    assert!(!machine.exists(&format!("{HOOKS}/qemu")));
}

#[test]
fn there_is_no_copy_elsewhere_nor_beside_nor_where_usr_is_read_only() {
    let Some(machine) = Machine::new() else { return };
    machine.hookmux("install --hooks-dir /run/hooks --driver qemu", 0);
    assert_eq!(machine.link("/run/hooks/qemu").as_deref(), Some(PROGRAM));
    machine.put_program("/run/hookmux-elsewhere");
    text(&machine.run(&["/run/hookmux-elsewhere", "install", "--driver", "lxc"]), "elsewhere", 0);
    assert_eq!(machine.link(&format!("{HOOKS}/lxc")).as_deref(), Some("/run/hookmux-elsewhere"));
    machine.write(&format!("{HOOKS}/network"), FOREIGN, 0o755);
    machine.hookmux("install --driver network --beside", 0);
    let beside = format!("{HOOKS}/network.d/50-hookmux");
    assert_eq!(machine.link(&beside).as_deref(), Some(PROGRAM));
    assert_eq!(machine.programs(), ["hookmux"]);

    machine.sh("mount -o remount,bind,ro /usr/sbin");
    let said = machine.hookmux("install --driver qemu", 0);
    assert!(said.contains("hookmux-qemu can't be made"), "{said}");
    assert_eq!(machine.link(&format!("{HOOKS}/qemu")).as_deref(), Some(PROGRAM));
    assert_eq!(machine.call("qemu"), ["hook qemu"]);
}

fn who_writes_to_an_entry_changes_one_driver_and_is_told_and_adopted_and_put_back() {
    let Some(machine) = Machine::new() else { return };
    let qemu = &format!("{HOOKS}/qemu");
    let write_through = "/usr/sbin/hookmux-qemu";
    for (writer, changed) in [
        ("cp -a /run/foreign ENTRY", write_through),
        ("tee ENTRY < /run/foreign", write_through),
        // as `wget -O` and open(…, "w") do
        ("cat /run/foreign > ENTRY", write_through),
        ("install -m 755 /run/foreign ENTRY", qemu.as_str()),
        ("cp /run/foreign /run/new && mv /run/new ENTRY", qemu.as_str()),
        ("cp --remove-destination /run/foreign ENTRY", qemu.as_str()),
    ] {
        machine.hookmux("install", 0);
        machine.sh(&writer.replace("ENTRY", qemu));
        assert_eq!(machine.read(changed), FOREIGN.as_bytes(), "{writer}");

        // it is that driver's script, and the others keep their hooks
        assert_eq!(machine.call("qemu"), ["foreign prepare"], "{writer}");
        assert_eq!(machine.call("lxc"), ["hook lxc"], "{writer}");
        assert_eq!(machine.call("network"), ["hook network"], "{writer}");

        let fix = machine.has_code("overwritten-entry");
        assert_eq!(fix, "hookmux install --adopt --driver qemu", "{writer}");
        let output = machine.run(&[PROGRAM, "list"]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let first = stderr.lines().next().unwrap_or_default();
        assert!(first.contains(qemu) && first.contains("install --adopt"), "{writer}: {stderr}");
        let metrics = machine.hookmux("metrics", 0);
        assert!(metrics.contains("\nhookmux_entries_overwritten 1\n"), "{metrics}");
        assert!(metrics.contains("\nhookmux_entry_intact{driver=\"qemu\"} 0\n"), "{metrics}");
        assert!(metrics.contains("\nhookmux_entry_intact{driver=\"lxc\"} 1\n"), "{metrics}");
        let said = machine.hookmux("status", 0);
        assert!(said.contains("was hookmux, and somebody has") && said.contains(&fix), "{said}");
        let said = machine.hookmux("check --entries", 1);
        assert!(said.lines().count() == 1 && said.contains(changed), "{writer}: {said}");
        // nothing puts it back by itself
        let said = machine.hookmux("install --renew", 0);
        assert!(said.contains("left as it is"), "{writer}: {said}");
        let said = machine.hookmux("install", 1);
        assert!(said.contains("--adopt keeps that program"), "{writer}: {said}");
        assert_eq!(machine.call("qemu"), ["foreign prepare"], "{writer}");

        machine.sh(&fix);
        assert_eq!(machine.call("qemu"), ["hook qemu", "foreign prepare"], "{writer}");
        assert_eq!(machine.link(qemu).as_deref(), Some(write_through), "{writer}");
        assert_eq!(machine.read(write_through), machine.read(PROGRAM), "{writer}");
        assert_eq!(machine.hookmux("check --entries", 0), "", "{writer}");
        let metrics = machine.hookmux("metrics", 0);
        assert!(metrics.contains("\nhookmux_entries_overwritten 0\n"), "{metrics}");
        assert!(metrics.contains("\nhookmux_entry_intact{driver=\"qemu\"} 1\n"), "{metrics}");
        // a removed entry, of which the copy is left
        machine.sh(&format!("rm {qemu}"));
        let metrics = machine.hookmux("metrics", 0);
        assert!(metrics.contains("\nhookmux_entry_intact{driver=\"qemu\"} 0\n"), "{metrics}");
        machine.hookmux("install --driver qemu", 0);

        machine.hookmux("uninstall", 0);
        assert_eq!(machine.read(qemu), FOREIGN.as_bytes(), "{writer}");
        assert!(!machine.path(qemu).is_symlink(), "{writer}");
        assert_eq!(machine.programs(), ["hookmux"], "{writer}");
        assert_eq!(machine.call("qemu"), ["foreign prepare"], "{writer}");
        machine.sh(&format!("rm {qemu}"));
    }
}

#[test]
fn an_edit_in_place_of_the_program_is_one_drivers_too() {
    let Some(machine) = Machine::new() else { return };
    machine.hookmux("install", 0);
    let qemu = format!("{HOOKS}/qemu");
    let lines = r"1i #!/bin/sh\necho edited >> /run/log\nexit 0";
    machine.sh(&format!("sed -i '{lines}' {qemu}"));
    assert_eq!(machine.call("qemu"), ["edited"]);
    assert_eq!(machine.call("lxc"), ["hook lxc"]);
    machine.sh(&machine.has_code("overwritten-entry"));
    assert_eq!(machine.call("qemu"), ["hook qemu", "edited"]);
    machine.hookmux("uninstall", 0);
    assert_eq!(machine.call("qemu"), ["edited"]);
}

fn what_is_appended_to_the_program_is_told() {
    let Some(machine) = Machine::new() else { return };
    machine.hookmux("install", 0);
    machine.sh(&format!("cat /run/foreign >> {HOOKS}/qemu"));
    assert_eq!(machine.call("qemu"), ["hook qemu"], "it is hookmux still");
    assert_eq!(machine.hookmux("check --entries", 0), "");
    let fix = machine.has_code("appended-copy");
    machine.sh(&fix);
    assert_eq!(machine.read(&format!("{HOOKS}/bin/qemu-hook")), FOREIGN.as_bytes());
    machine.sh("rm /etc/libvirt/hooks/bin/qemu-hook");
    machine.has_no_code("appended-copy");
    assert_eq!(machine.read("/usr/sbin/hookmux-qemu"), machine.read(PROGRAM));
}

#[test]
fn an_overwritten_copy_is_moved_to_its_entry_by_uninstall_and_never_deleted() {
    let Some(machine) = Machine::new() else { return };
    machine.hookmux("install", 0);
    let qemu = format!("{HOOKS}/qemu");
    machine.write("/run/foreign", FOREIGN, 0o750);
    machine.sh(&format!(
        "chown 3:4 /run/foreign && touch -d @1700000000 /run/foreign && cp -a /run/foreign {qemu}"
    ));
    let said = machine.hookmux("uninstall", 0);
    assert!(said.contains("restored") || said.contains("is the script now"), "{said}");
    let metadata = fs::symlink_metadata(machine.path(&qemu)).unwrap();
    assert!(metadata.is_file());
    assert_eq!(
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid(), metadata.mtime()),
        (0o750, 3, 4, 1_700_000_000)
    );
    assert_eq!(machine.read(&qemu), FOREIGN.as_bytes());
    assert_eq!(machine.programs(), ["hookmux"]);

    // somebody's own program of that name, to which no entry leads
    machine.sh(&format!("rm {qemu}"));
    machine.write("/usr/sbin/hookmux-qemu", FOREIGN, 0o755);
    let said = machine.hookmux("install --driver qemu", 1);
    assert!(said.contains("hookmux-qemu is somebody else's: move it away"), "{said}");
    machine.hookmux("install --driver lxc", 0);
    let said = machine.hookmux("uninstall", 0);
    assert!(said.contains("hookmux-qemu is somebody else's, and stays"), "{said}");
    assert_eq!(machine.read("/usr/sbin/hookmux-qemu"), FOREIGN.as_bytes());
}

#[test]
fn adoption_where_usr_is_read_only_loses_nothing() {
    let Some(machine) = Machine::new() else { return };
    machine.hookmux("install --driver qemu", 0);
    machine.sh(&format!("tee {HOOKS}/qemu < /run/foreign; mount -o remount,bind,ro /usr/sbin"));
    let said = machine.hookmux("install --driver qemu --adopt", 0);
    assert!(said.contains("hookmux-qemu can't be made"), "{said}");
    assert_eq!(machine.call("qemu"), ["hook qemu", "foreign prepare"]);
    machine.hookmux("uninstall", 0);
    assert_eq!(machine.call("qemu"), ["foreign prepare"]);
}

#[test]
fn earlier_adopted_scripts_are_kept_numbered_and_not_run() {
    let Some(machine) = Machine::new() else { return };
    let qemu = format!("{HOOKS}/qemu");
    machine.write(&qemu, "#!/bin/sh\necho first >> /run/log\n", 0o755);
    machine.hookmux("install --driver qemu --adopt", 0);
    assert_eq!(machine.call("qemu"), ["hook qemu", "first"]);
    for word in ["second", "third"] {
        machine.sh(&format!("printf '#!/bin/sh\\necho {word} >> /run/log\\n' > {qemu}"));
        machine.hookmux("install --driver qemu --adopt", 0);
        assert_eq!(machine.call("qemu"), ["hook qemu", word]);
    }
    // the same once more, as a package's upgrade brings it, is no other script
    machine.sh(&format!("printf '#!/bin/sh\\necho third >> /run/log\\n' > {qemu}"));
    machine.hookmux("install --driver qemu --adopt", 0);
    assert!(machine.read(&format!("{qemu}.adopted.1")).ends_with(b"first >> /run/log\n"));
    assert!(machine.read(&format!("{qemu}.adopted.2")).ends_with(b"second >> /run/log\n"));
    assert!(!machine.exists(&format!("{qemu}.adopted.3")));

    let said = machine.hookmux("uninstall", 0);
    for number in [1, 2] {
        let other = format!("{qemu}.adopted.{number}");
        assert!(said.contains(&format!("{other} is an earlier script, and stays")), "{said}");
        assert!(machine.exists(&other));
    }
    assert_eq!(machine.call("qemu"), ["third"]);
}

#[test]
fn an_entry_that_was_replaced_is_left_by_uninstall_and_the_adopted_script_named() {
    let Some(machine) = Machine::new() else { return };
    let qemu = format!("{HOOKS}/qemu");
    machine.write(&qemu, "#!/bin/sh\necho first >> /run/log\n", 0o755);
    machine.hookmux("install --driver qemu --adopt", 0);
    machine.sh(&format!("cp /run/foreign /run/new && mv /run/new {qemu}"));
    // what an installation died over
    machine.write("/usr/sbin/hookmux-qemu.4711.new", "half", 0o600);
    machine.write("/usr/sbin/hookmux-qemu.mine.new", "mine", 0o600);
    let said = machine.hookmux("uninstall", 0);
    assert!(said.contains("qemu.adopted is an earlier script, and stays"), "{said}");
    assert_eq!(machine.call("qemu"), ["foreign prepare"]);
    assert!(machine.exists(&format!("{qemu}.adopted")));
    assert_eq!(machine.programs(), ["hookmux", "hookmux-qemu.mine.new"]);
}

#[test]
fn odd_things_in_the_place_of_a_copy_hold_nobody_up_and_stay() {
    let Some(machine) = Machine::new() else { return };
    let copy = "/usr/sbin/hookmux-qemu";
    for make in ["mkfifo COPY", "mkdir COPY", "ln -s /dev/zero COPY", "ln -s /nowhere COPY"] {
        machine.sh(&make.replace("COPY", copy));
        let said = machine.hookmux("install --driver qemu", 1);
        assert!(said.contains("hookmux-qemu is somebody else's: move it away"), "{make}: {said}");
        machine.hookmux("install --renew", 0);
        machine.hookmux("check --entries", 0);
        machine.hookmux("uninstall", 0);
        assert!(machine.exists(copy), "{make}");
        // the same where the entry leads to it
        machine.sh(&format!("ln -s {copy} {HOOKS}/qemu"));
        for words in ["install --driver qemu --adopt", "uninstall", "list", "install --renew"] {
            let output =
                machine.run(&[&[PROGRAM][..], &words.split(' ').collect::<Vec<_>>()].concat());
            let is_done = matches!(output.status.code(), Some(0 | 1));
            assert!(is_done, "{make}: {words}: {output:?}");
        }
        machine.sh(&format!("rm -rf {copy} {HOOKS}/qemu {HOOKS}/qemu.*"));
    }
}

fn renew_renews_copies_and_links_old_entries_and_leaves_the_rest() {
    let Some(machine) = Machine::new() else { return };
    // nothing is installed
    let said = machine.hookmux("install --renew", 0);
    assert!(!said.contains("linked"), "{said}");
    assert_eq!(machine.programs(), ["hookmux"]);
    machine.sh("rmdir /etc/libvirt/hooks/none 2> /dev/null; rm -rf /run/none");
    machine.hookmux("install --renew --hooks-dir /run/none", 0);
    assert!(!machine.exists("/run/none"));

    // entries as 0.1.0 made them, one of another place, one of somebody else's
    machine.sh(
        "cd /etc/libvirt/hooks; ln -s /usr/sbin/hookmux qemu; ln -s ../../../usr/sbin/hookmux lxc
         cp /usr/sbin/hookmux /run/own-hookmux; ln -s /run/own-hookmux daemon
         cp /run/foreign network",
    );
    let fix = machine.has_code("shared-entry");
    assert_eq!(fix, "hookmux install --renew");
    let said = machine.sh(&fix);
    assert!(!said.contains("reload"), "libvirt calls the same names: {said}");
    assert_eq!(machine.programs(), ["hookmux", "hookmux-lxc", "hookmux-qemu"]);
    for driver in ["qemu", "lxc"] {
        let copy = format!("{PROGRAM}-{driver}");
        assert_eq!(machine.link(&format!("{HOOKS}/{driver}")).as_deref(), Some(copy.as_str()));
        assert_eq!(machine.call(driver), [format!("hook {driver}")]);
    }
    assert_eq!(machine.link(&format!("{HOOKS}/daemon")).as_deref(), Some("/run/own-hookmux"));
    assert_eq!(machine.read(&format!("{HOOKS}/network")), FOREIGN.as_bytes());

    // an upgrade: the copies are of the version before, and one is gone
    machine.sh("cd /usr/sbin; rm hookmux-lxc; cp hookmux new; printf yy >> new; mv new hookmux");
    assert_eq!(machine.has_code("stale-copy"), "hookmux install --renew");
    let said = machine.hookmux("check --entries", 1);
    assert!(said.contains("hookmux-lxc, which is not there"), "{said}");
    let old = fs::metadata(machine.path("/usr/sbin/hookmux-qemu")).unwrap().ino();
    let said = machine.hookmux("install --renew", 0);
    assert!(said.contains("hookmux-qemu: renewed"), "{said}");
    let new = fs::metadata(machine.path("/usr/sbin/hookmux-qemu")).unwrap().ino();
    assert_ne!(old, new, "by rename");
    for driver in ["qemu", "lxc"] {
        assert_eq!(machine.read(&format!("{PROGRAM}-{driver}")), machine.read(PROGRAM));
        assert_eq!(machine.call(driver), [format!("hook {driver}")]);
    }
    machine.has_no_code("stale-copy");
}

#[test]
fn link_is_the_way_back_below_0_2_0() {
    let Some(machine) = Machine::new() else { return };
    machine.hookmux("install", 0);
    machine.sh(&format!("cp -a /run/foreign {HOOKS}/lxc"));
    let said = machine.hookmux("install --link", 0);
    assert!(said.contains("qemu: linked to /usr/sbin/hookmux"), "{said}");
    for driver in ["daemon", "qemu", "network"] {
        assert_eq!(machine.link(&format!("{HOOKS}/{driver}")).as_deref(), Some(PROGRAM));
    }
    // what somebody has written stays libvirt's script, and can be adopted without a copy
    assert_eq!(machine.programs(), ["hookmux", "hookmux-lxc"]);
    assert_eq!(machine.call("lxc"), ["foreign prepare"]);
    machine.hookmux("install --link --adopt --driver lxc", 0);
    assert_eq!(machine.programs(), ["hookmux"]);
    assert_eq!(machine.call("lxc"), ["hook lxc", "foreign prepare"]);
    assert_eq!(machine.call("qemu"), ["hook qemu"]);
}

#[test]
fn what_outlives_a_call_leaves_the_copy_alone() {
    let Some(machine) = Machine::new() else { return };
    machine.hookmux("install --driver qemu", 0);
    assert_eq!(machine.call("qemu"), ["hook qemu"]);
    // the mover waits for more records
    let find = "here=$(readlink /proc/self/ns/mnt)
        for one in /proc/[0-9]*; do
            [ \"$(readlink $one/ns/mnt)\" = \"$here\" ] || continue
            case $(tr '\\0' ' ' 2> /dev/null < $one/cmdline) in
            'hookmux --hooks-dir /etc/libvirt/hooks prune'*) readlink $one/exe ;;
            esac
        done 2> /dev/null; :";
    let mut programs = String::new();
    until("a mover runs", || {
        if programs.is_empty() {
            programs = machine.sh(find);
        }
        !programs.is_empty()
    });
    assert!(programs.lines().all(|program| program == PROGRAM), "{programs}");
    machine.sh(&format!("cp -a /run/foreign {HOOKS}/qemu"));
}

#[test]
fn purge_removes_what_hookmux_wrote_for_itself_and_says_what_it_keeps() {
    let Some(machine) = Machine::new() else { return };
    machine.write(
        &format!("{HOOKS}/hookmux.yaml"),
        "state_dir: /var/lib/x\nruntime_dir: /run/x\nsave_dir: /var/lib/save\n",
        0o644,
    );
    machine.hookmux("install", 0);
    machine.call("qemu");
    machine.hookmux("prune", 0);
    machine.write("/var/lib/x/others", "mine", 0o644);
    machine.write("/var/lib/save/vm.save.hookmux", "state", 0o600);
    assert!(machine.exists("/var/lib/x/records"));
    fs::create_dir(machine.path("/run/x/hooks")).unwrap();

    let said = machine.hookmux("uninstall --purge", 2);
    assert!(said.contains("--yes"), "{said}");
    assert!(machine.exists("/var/lib/x/records") && machine.exists(&format!("{HOOKS}/qemu")));
    // the mover of the call may be about to write
    until("it is purged", || {
        let output = machine.run(&[PROGRAM, "uninstall", "--purge", "--yes"]);
        let said = text(&output, "purge", output.status.code().unwrap());
        let kept =
            ["/var/lib/x has files", HOOKS, "/var/lib/save/vm.save.hookmux is a second name"];
        assert!(kept.iter().all(|words| said.contains(words)), "{said}");
        output.status.success() && !machine.exists("/run/x")
    });
    let left: Vec<_> = fs::read_dir(machine.path("/var/lib/x")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(machine.programs(), ["hookmux"]);
    for kept in ["hookmux.yaml", "before_vm_start/10-x"] {
        assert!(machine.exists(&format!("{HOOKS}/{kept}")), "{kept}");
    }
}

#[test]
fn purge_leaves_what_others_could_have_put_there() {
    let Some(machine) = Machine::new() else { return };
    let settings = "state_dir: /var/lib/x\nruntime_dir: /run/none\n";
    machine.write(&format!("{HOOKS}/hookmux.yaml"), settings, 0o644);
    machine.write("/var/lib/x/records/others", "mine", 0o644);
    machine.sh("chown 65534 /var/lib/x");
    let said = machine.hookmux("uninstall --purge --yes", 1);
    assert!(said.contains("/var/lib/x was not removed"), "{said}");
    assert!(machine.exists("/var/lib/x/records/others"));
}

#[test]
fn a_unit_looks_at_entry_and_copy_of_each_driver() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd");
    let path_unit = fs::read_to_string(directory.join("hookmux-entries.path")).unwrap();
    for driver in crate::support::host::DRIVERS {
        for watched in [format!("{HOOKS}/{driver}"), format!("{PROGRAM}-{driver}")] {
            assert!(path_unit.contains(&format!("\nPathChanged={watched}\n")), "{watched}");
        }
    }
    // at boot as well: what was written while nobody watched
    assert!(path_unit.contains("\nWants=hookmux-entries.service\n"), "{path_unit}");
    let service = fs::read_to_string(directory.join("hookmux-entries.service")).unwrap();
    assert!(service.contains("\nExecStart=/usr/sbin/hookmux check --entries\n"), "{service}");
    let Ok(output) = Command::new("systemd-analyze").arg("--version").output() else {
        return skip("systemd-analyze is not installed");
    };
    assert!(output.status.success());
    let units =
        ["hookmux-entries.path", "hookmux-entries.service"].map(|name| directory.join(name));
    let verify = ["verify", "--man=no"];
    let output = Command::new("systemd-analyze").args(verify).args(units).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // neither the man page nor the program need be installed where this is built
    let faults: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("hookmux-entries") && !line.contains("/usr/sbin/hookmux"))
        .collect();
    assert!(faults.is_empty(), "{said}");
}
