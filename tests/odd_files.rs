//! Whatever hookmux reads from may be a pipe, a device, a directory, gigabytes or garbage: nothing
//! waits for ever, takes all memory, or ends in a fault; and `check` says what is wrong.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::documents::UUID;
use crate::support::host::{binary_under_test, writing};
use crate::support::{GUEST, Host, is_root};

/// What a process may take, in KiB: gigabytes that are read at once don't fit.
const MEMORY_KIB: u64 = 1_500_000;
/// Only guards against what never ends.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fifo,
    LinkToFifo,
    Device,
    Directory,
    Gigabytes,
    Garbage,
}

const KINDS: [Kind; 6] =
    [Kind::Fifo, Kind::LinkToFifo, Kind::Device, Kind::Directory, Kind::Gigabytes, Kind::Garbage];

impl Kind {
    /// Puts it at a path, in place of what is there.
    fn put(self, path: &Path, mode: u32) {
        // who moves records may make its own file again meanwhile
        for _ in 0..100 {
            match self.try_to_put(path, mode) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => return other.unwrap(),
            }
        }
        panic!("{} comes back again and again", path.display());
    }

    fn try_to_put(self, path: &Path, mode: u32) -> std::io::Result<()> {
        let _writing = writing();
        make_directories(path.parent().unwrap());
        let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
        let fifo = |path: &Path| -> std::io::Result<()> {
            let _ = fs::remove_file(path);
            Ok(nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU)?)
        };
        match self {
            Kind::Fifo => fifo(path)?,
            Kind::LinkToFifo => {
                let target = path.with_file_name(".the-fifo");
                fifo(&target)?;
                symlink(target, path)?;
            }
            Kind::Device => symlink("/dev/zero", path)?,
            Kind::Directory => fs::create_dir(path)?,
            Kind::Gigabytes => fs::File::create_new(path)?.set_len(5 << 30)?,
            Kind::Garbage => {
                let bytes: Vec<u8> = (0..5000_u32).map(|n| (n * 7919 % 251 + 5) as u8).collect();
                fs::write(path, bytes)?;
            }
        }
        if matches!(self, Kind::Fifo | Kind::Gigabytes | Kind::Garbage) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

fn make_directories(path: &Path) {
    if !path.is_dir() {
        make_directories(path.parent().unwrap());
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A host that has something everywhere.
fn host() -> Host {
    let host = Host::new();
    host.settings("environment_file: env\nrecord: all");
    fs::write(host.hook("env"), "A=1\n").unwrap();
    fs::set_permissions(host.hook("env"), fs::Permissions::from_mode(0o644)).unwrap();
    host.follow(&["before_vm_start/10-x", "after_vm_launch/10-x", "bin/x"]);
    host.follow(&["qemu.d/g/prepare/begin/10-x"]);
    host.file("hooks.d/x.yaml", "events: [before_vm_start, after_vm_launch]\ncommand: bin/x\n");
    host.file("hooks.d/y.yaml", "events: before_vm_prepare\ncommand: bin/x\nlock: gpu\n");
    host.file("hooks.d/z.yaml", "events: after_vm_reconnect\ncommand: bin/x\nmode: detached\n");
    fs::write(host.path("offer.yaml"), "events: after_vm_stop\ncommand: /bin/true\n").unwrap();
    make_directories(&host.path("qemu"));
    fs::write(host.path("qemu/g.xml"), GUEST).unwrap();
    fs::write(host.path("doc.xml"), GUEST).unwrap();
    host
}

struct Ended {
    status: Option<i32>,
    said: String,
}

/// Runs a program with little memory, and where the settings may be lost, away from the machine's
/// own state.
#[track_caller]
fn run(host: &Host, program: &Path, words: &[&str], input: &str, what: &str) -> Ended {
    let mut script = format!("ulimit -v {MEMORY_KIB}\nexec \"$@\"");
    let mut all: Vec<OsString> = Vec::new();
    if is_root() && what.starts_with("hooks/hookmux.yaml") {
        script = format!(
            "set -e\nmount -t tmpfs -o mode=755 tmpfs /run\nmount -t tmpfs -o mode=755 tmpfs /var/lib\n{script}"
        );
        all.extend(["unshare", "--mount", "--propagation", "private"].map(OsString::from));
    }
    all.extend(["/bin/sh", "-c", &script, "sh"].map(OsString::from));
    all.push(program.into());
    all.extend(words.iter().map(OsString::from));
    let input_file = host.path("stdin");
    fs::write(&input_file, input).unwrap();
    let mut command = Command::new(&all[0]);
    command.args(&all[1..]).current_dir(host.path(""));
    for name in ["XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"] {
        command.env(name, host.path("xdg"));
    }
    let stderr = fs::File::create(host.path("said")).unwrap();
    command.stdin(fs::File::open(input_file).unwrap()).stdout(stderr.try_clone().unwrap());
    command.stderr(stderr);
    let mut child = {
        let _writing = writing();
        command.spawn().unwrap()
    };
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{what}: it had no end within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut bytes = Vec::new();
    // a stray megabyte would be a fault too, and would fill the report
    fs::File::open(host.path("said")).unwrap().take(1 << 20).read_to_end(&mut bytes).unwrap();
    Ended { status: status.code(), said: String::from_utf8_lossy(&bytes).into_owned() }
}

/// All commands that read; the last ones change something.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["list"],
    &["plan", "qemu", "g", "prepare"],
    &["plan", "qemu", "g", "started", "--xml", "doc.xml"],
    &["log"],
    &["show", "last"],
    &["queue"],
    &["metrics"],
    &["bypass"],
    &["run", "qemu", "g", "started"],
    &["retry", "last", "--force"],
    &["disable", "x"],
    &["enable", "x"],
    &["add", "offer.yaml"],
    &["add", "script", "bin/x", "--manual", "--event", "after_vm_stop", "--name", "s"],
    &["delete", "x"],
    &["prune"],
    &["check", "--output", "json"],
];

/// Calls: what a live call must never give is anything but 0.
const CALLS: &[&str] = &["prepare begin", "started begin", "reconnect begin", "release end"];

/// Where a file is expected, and whether `check` has to name it: for every kind, only where it is
/// no file with text in it, or never.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Always,
    IfOdd,
    Never,
}

#[track_caller]
fn try_all(places: &[(&str, u32, Told)]) {
    for (place, mode, told) in places {
        // links are followed to what others wrote only
        let is_followed = place.starts_with("hooks/") || place.contains(".xml");
        for kind in KINDS.into_iter().filter(|kind| is_followed || *kind != Kind::LinkToFifo) {
            let host = host();
            // something of everything is remembered
            host.guest("prepare begin").run();
            host.guest("started begin").run();
            let path = resolve(&host, place);
            kind.put(&path, *mode);
            for call in CALLS {
                let what = format!("{place} is {kind:?}: call {call}");
                let mut words = vec!["g"];
                words.extend(call.split(' '));
                words.push("-");
                let ended = run(&host, &host.hook("qemu"), &words, GUEST, &what);
                // an adopted script answers for itself at `started`, as it did before hookmux came
                let is_own_answer = *place == "hooks/qemu.adopted" && *call == "started begin";
                let is_live =
                    matches!(*call, "started begin" | "reconnect begin") && !is_own_answer;
                let is_good = match is_live {
                    true => ended.status == Some(0),
                    false => ended.status.is_some_and(|status| status < 128),
                };
                assert!(
                    is_good && !ended.said.contains("fault of hookmux"),
                    "{what}: {:?} {}",
                    ended.status,
                    ended.said
                );
            }
            // what calls have replaced is put back for the commands
            kind.put(&path, *mode);
            for words in COMMANDS {
                let what = format!("{place} is {kind:?}: hookmux {words:?}");
                let hooks = host.hooks();
                let mut all = vec!["--hooks-dir", hooks.to_str().unwrap()];
                all.extend(*words);
                if words.first() == Some(&"check") {
                    kind.put(&path, *mode);
                }
                let ended = run(&host, &binary_under_test(), &all, "", &what);
                assert!(
                    matches!(ended.status, Some(0 | 1)) && !ended.said.contains("panicked"),
                    "{what}: {:?} {}",
                    ended.status,
                    ended.said
                );
                let is_to_tell = match told {
                    Told::Always => true,
                    Told::IfOdd => kind != Kind::Garbage,
                    Told::Never => false,
                };
                if words.first() == Some(&"check") && is_to_tell {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    assert!(ended.said.contains(name), "{what} doesn't tell: {}", ended.said);
                }
            }
        }
    }
}

/// A place of a host's; `ID` is the newest record's there, `CACHE` the file's.
fn resolve(host: &Host, place: &str) -> PathBuf {
    let first = |directory: &Path, is: &dyn Fn(&str) -> bool| -> Option<PathBuf> {
        let mut names: Vec<PathBuf> =
            fs::read_dir(directory).ok()?.flatten().map(|e| e.path()).collect();
        names.sort();
        names.into_iter().find(|path| is(path.file_name().unwrap().to_str().unwrap()))
    };
    match place {
        "STORED" => {
            host.text(&["prune"], 0);
            let group = first(&host.path("state/records"), &|name| name.len() == 6).unwrap();
            first(&group, &|name| name.len() == 26).unwrap()
        }
        "TEXT" => first(&host.path("run/records/registrations"), &|_| true).unwrap(),
        "KEPT TEXT" => {
            host.text(&["prune"], 0);
            first(&host.path("state/records/registrations"), &|_| true).unwrap()
        }
        "SPOOLED" => {
            make_directories(&host.path("run/records/done"));
            host.path("run/records/done/01KH3Z0000000000000000000A")
        }
        "RUNNING" => host.path("run/records/running/01KH3Z0000000000000000000A"),
        "CACHE" => first(&host.path("state/cache"), &|name| !name.contains('.')).unwrap(),
        "LAST-GOOD" => first(&host.path("state/last-good"), &|_| true).unwrap(),
        _ => match place.strip_prefix("hooks/") {
            Some(place) => host.hook(place),
            None => host.path(place.replace("UUID", UUID)),
        },
    }
}

#[test]
fn in_a_settings_files_place() {
    try_all(&[("hooks/hookmux.yaml", 0o644, Told::Always)]);
}

#[test]
fn in_the_place_of_a_switch_or_of_variables() {
    try_all(&[("hooks/hookmux.bypass", 0o644, Told::Always), ("hooks/env", 0o644, Told::Always)]);
}

#[test]
fn in_a_registrations_place() {
    try_all(&[("hooks/hooks.d/x.yaml", 0o644, Told::Always)]);
}

#[test]
fn in_the_place_of_a_directory_of_hooks() {
    try_all(&[
        ("hooks/hooks.d", 0o644, Told::Never),
        ("hooks/before_vm_start", 0o644, Told::Never),
        ("hooks/hooks.d/.lock", 0o600, Told::Never),
    ]);
}

#[test]
fn in_a_scripts_place() {
    try_all(&[
        ("hooks/before_vm_start/10-x", 0o755, Told::Always),
        ("hooks/bin/x", 0o755, Told::IfOdd),
    ]);
}

#[test]
fn in_the_place_of_a_script_of_the_tree_or_an_adopted_one() {
    try_all(&[
        ("hooks/qemu.d/g/prepare/begin/10-x", 0o755, Told::Never),
        ("hooks/qemu.adopted", 0o755, Told::Never),
    ]);
}

#[test]
fn under_a_drivers_name() {
    try_all(&[
        ("hooks/network", 0o755, Told::Never),
        ("hooks/network.d/50-hookmux", 0o755, Told::Never),
    ]);
}

#[test]
fn among_records() {
    try_all(&[
        ("STORED", 0o600, Told::IfOdd),
        ("SPOOLED", 0o600, Told::Never),
        ("RUNNING", 0o600, Told::IfOdd),
    ]);
}

#[test]
fn among_the_texts_that_records_refer_to() {
    try_all(&[("TEXT", 0o600, Told::Never), ("KEPT TEXT", 0o600, Told::Never)]);
}

#[test]
fn among_what_is_kept_beside_records() {
    try_all(&[
        ("state/records/counters.json", 0o600, Told::IfOdd),
        ("run/records/sizes", 0o600, Told::Never),
        ("run/records/dropped", 0o600, Told::IfOdd),
        ("run/records/.moving", 0o600, Told::IfOdd),
    ]);
}

#[test]
fn in_the_place_of_a_mover_s_marks() {
    try_all(&[
        ("run/records/.mover", 0o600, Told::IfOdd),
        ("run/records/.stuck", 0o600, Told::Never),
        ("state/records/.pruned", 0o600, Told::Never),
    ]);
}

#[test]
fn in_the_place_of_what_stands_in_for_settings_and_registrations() {
    try_all(&[("CACHE", 0o600, Told::Never), ("LAST-GOOD", 0o600, Told::Never)]);
}

#[test]
fn among_what_is_remembered_of_guests() {
    try_all(&[
        ("run/guests/qemu-UUID.json", 0o600, Told::Never),
        ("run/guests/qemu-UUID.xml", 0o600, Told::Never),
        ("run/pending/qemu-UUID.json", 0o600, Told::Never),
    ]);
}

#[test]
fn among_jobs_and_locks() {
    try_all(&[
        ("state/queue/01KH3Z0000000000000000000A.json", 0o600, Told::Never),
        ("state/queue/.worker", 0o600, Told::Never),
        ("run/locks/gpu", 0o600, Told::IfOdd),
    ]);
}

#[test]
fn what_a_person_names() {
    try_all(&[
        ("offer.yaml", 0o644, Told::Never),
        ("doc.xml", 0o644, Told::Never),
        ("qemu/g.xml", 0o644, Told::Never),
    ]);
    // a shell's `<(virsh dumpxml g)` is a pipe, and is read
    let host = host();
    let fifo = host.path("pipe");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!(
        "exec 3<>pipe; (sleep 0.2; cat guest.xml >&3; exec 3>&-) & exec '{}' --hooks-dir '{}' plan qemu g prepare --xml pipe 3>&-",
        binary_under_test().display(),
        host.hooks().display()
    );
    fs::write(host.path("guest.xml"), GUEST).unwrap();
    let output = Command::new("/bin/sh")
        .args(["-c", &script])
        .current_dir(host.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("document: pipe"), "{output:?}");
}
