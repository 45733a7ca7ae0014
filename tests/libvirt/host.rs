//! One private libvirt host: its own libvirtd, configuration, state and network, and hookmux.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::reply::Reply;
use crate::schema;

pub const HOOKS: &str = "/etc/libvirt/hooks";
pub const HOOKMUX: &str = "/run/hookmux-bin/hookmux";
const LOG: &str = "/run/hooks.log";
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// No single command of a test may take longer; a hung libvirt is a failure, not a hung test.
const PATIENCE: &str = "60";
const NEEDED: &[&str] = &[
    "virtlogd",
    "virsh",
    "qemu-system-x86_64",
    "unshare",
    "nsenter",
    "ip",
    "timeout",
    "setsid",
    "python3",
];

/// The daemons of a host, in the order in which they are started. `LIBVIRT_DAEMONS=modular` has one for each
/// driver, as Fedora has; Debian builds none of these.
pub fn daemons() -> &'static [&'static str] {
    match std::env::var("LIBVIRT_DAEMONS").is_ok_and(|kind| kind == "modular") {
        true => &["virtnetworkd", "virtqemud", "virtlxcd"],
        false => &["libvirtd"],
    }
}

/// Whether each driver has a daemon of its own.
pub fn is_modular() -> bool {
    daemons().len() > 1
}

/// A shell's words that kill the daemons, and wait for their end.
pub fn kill_daemons() -> String {
    let files: Vec<String> = daemons().iter().map(|daemon| format!("/run/{daemon}.pid")).collect();
    let wait = "while kill -0 $p 2>/dev/null; do sleep 0.05; done";
    format!("for p in $(cat {}); do kill -KILL $p; {wait}; done", files.join(" "))
}

pub struct Host {
    directory: TempDir,
    namespace: Child,
    control: Option<ChildStdin>,
    pid: u32,
}

impl Host {
    /// A host with hookmux linked under the names of its drivers, libvirtd running.
    pub fn new() -> Host {
        let host = Host::boot(None, "hidden");
        host.link_hookmux();
        host.start_daemon();
        host
    }

    /// A host on which hookmux is there, but not installed, and libvirtd doesn't run yet.
    pub fn without_hookmux() -> Host {
        Host::boot(None, "hidden")
    }

    /// A host that sees control groups, which containers can't do without.
    pub fn for_containers() -> Host {
        let host = Host::boot(None, "shown");
        host.link_hookmux();
        host.start_daemon();
        host
    }

    /// A second host on the network of this one.
    pub fn neighbour(&self) -> Host {
        let host = Host::boot(Some(self.pid), "hidden");
        host.link_hookmux();
        host.start_daemon();
        host
    }

    fn boot(network: Option<u32>, cgroups: &str) -> Host {
        complain_about_what_is_missing();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        let binary = directory.path().join("bin/hookmux");
        fs::copy(binary_under_test(), &binary).unwrap();
        set_mode(&directory.path().join("bin"), 0o755);
        set_mode(&binary, 0o755);
        fs::write(directory.path().join("boot.sh"), include_str!("boot.sh")).unwrap();

        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("host{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut command;
        match network {
            None => {
                command = Command::new("unshare");
                command.arg("--net");
            }
            Some(pid) => {
                command = Command::new("nsenter");
                command.args(["--net", "--target", &pid.to_string(), "unshare"]);
            }
        }
        command.args(["--mount", "--uts", "--pid", "--fork", "--kill-child", "sh"]);
        command.arg(directory.path().join("boot.sh")).arg(directory.path()).args([&name, cgroups]);
        let complaints = fs::File::create(directory.path().join("boot.err")).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(complaints);
        let mut namespace = command.spawn().unwrap();

        let mut pid = String::new();
        BufReader::new(namespace.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let Ok(pid) = pid.trim().parse() else {
            let complaints = fs::read_to_string(directory.path().join("boot.err")).unwrap();
            panic!(
                "no private libvirt host: {complaints}\n\
                 (these tests need a root that may mount and unshare: CAP_SYS_ADMIN)"
            );
        };
        let control = namespace.stdin.take();
        Host { directory, namespace, control, pid }
    }

    fn link_hookmux(&self) {
        for driver in ["daemon", "qemu", "lxc", "network"] {
            symlink(HOOKMUX, self.path(&format!("{HOOKS}/{driver}"))).unwrap();
        }
    }

    // --- commands -------------------------------------------------------------------------------

    /// Runs a command inside the host.
    pub fn run(&self, words: &[&str]) -> Reply {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--uts", "--pid", "--net", "--target", &self.pid.to_string()]);
        command.args(["timeout", "-k", "5", PATIENCE]).args(words);
        // What the daemon has from systemd, too: PATH, and no HOME.
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        let begin = Instant::now();
        let output = command.output().unwrap();
        Reply::new(&output, begin.elapsed())
    }

    pub fn sh(&self, script: &str) -> Reply {
        self.run(&["sh", "-c", script])
    }

    pub fn virsh(&self, words: &[&str]) -> Reply {
        self.run(&[&["virsh", "--connect", "qemu:///system"], words].concat())
    }

    pub fn hookmux(&self, words: &[&str]) -> Reply {
        let reply = self.run(&[&[HOOKMUX], words].concat());
        schema::judge(words, reply.out.as_bytes());
        reply
    }

    // --- the daemon -----------------------------------------------------------------------------

    pub fn start_daemon(&self) {
        self.sh("pidof virtlogd >/dev/null || virtlogd -d").ok();
        // libvirtd's AppArmor profile, where there is one, lets it execute nothing in /run.
        for daemon in daemons() {
            self.start(daemon);
        }
    }

    /// Starts one of the daemons.
    pub fn start(&self, daemon: &str) {
        self.sh(&format!(
            "echo 'exec unconfined' 2>/dev/null >/proc/self/attr/exec; exec {daemon} -d"
        ))
        .ok();
        let uri = match daemon {
            "virtlxcd" => "lxc:///system",
            "virtnetworkd" => "network:///system",
            _ => "qemu:///system",
        };
        wait_for(daemon, || self.run(&["virsh", "--connect", uri, "uri"]).code == Some(0));
    }

    pub fn stop_daemon(&self) {
        for daemon in daemons().iter().rev() {
            self.stop(daemon);
        }
    }

    /// Stops one of the daemons, and waits for its end.
    pub fn stop(&self, daemon: &str) {
        self.sh(&format!(
            "p=$(cat /run/{daemon}.pid); kill $p; while kill -0 $p 2>/dev/null; do sleep 0.05; done"
        ))
        .ok();
    }

    /// Guests live on meanwhile; libvirt calls `reconnect` for each.
    pub fn restart_daemon(&self) {
        self.stop_daemon();
        self.start_daemon();
    }

    pub fn reload_daemon(&self) {
        for daemon in daemons() {
            self.sh(&format!("kill -HUP $(cat /run/{daemon}.pid)")).ok();
        }
    }

    /// What the daemons have to complain about: there go the failures that they ignore.
    pub fn daemon_log(&self) -> String {
        let log = |daemon: &&str| {
            let path = self.path(&format!("/var/log/libvirt/{daemon}.log"));
            fs::read_to_string(path).unwrap_or_default()
        };
        daemons().iter().map(log).collect()
    }

    pub fn libvirt_at_least(&self, major: u32, minor: u32) -> bool {
        let version = self.run(&[daemons()[0], "--version"]).ok();
        let mut numbers = version.rsplit(' ').next().unwrap().split('.').map(|n| n.trim().parse());
        let mut next = || numbers.next().unwrap().unwrap();
        (next(), next()) >= (major, minor)
    }

    /// Where a neighbour reaches this host's libvirt.
    pub fn address(&self) -> String {
        let socket = if is_modular() { "virtqemud-sock" } else { "libvirt-sock" };
        format!("qemu+unix:///system?socket={}/run/{socket}", self.directory.path().display())
    }

    // --- files ----------------------------------------------------------------------------------

    /// A path of the host, as seen from the test.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.pid))
    }

    pub fn exists(&self, inside: &str) -> bool {
        fs::symlink_metadata(self.path(inside)).is_ok()
    }

    pub fn read(&self, inside: &str) -> String {
        fs::read_to_string(self.path(inside))
            .unwrap_or_else(|error| panic!("cannot read {inside}: {error}"))
    }

    /// Writes a file, replacing what was there, whatever the umask.
    pub fn write(&self, inside: &str, text: &str, mode: u32) {
        let path = self.path(inside);
        make_directories(path.parent().unwrap());
        // A new file each time: the old one may be running.
        drop(fs::remove_file(&path));
        fs::write(&path, text).unwrap();
        set_mode(&path, mode);
    }

    /// A script below the hooks directory (or, with an absolute name, elsewhere). `say` in it
    /// appends a line to what `log` returns.
    pub fn script(&self, name: &str, body: &str) {
        let path = if name.starts_with('/') { name.into() } else { format!("{HOOKS}/{name}") };
        let say = format!("say() {{ printf '%s\\n' \"$*\" >>{LOG}; }}");
        self.write(&path, &format!("#!/bin/sh\n{say}\n{body}\n"), 0o755);
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(&format!("{HOOKS}/{name}"))).unwrap();
    }

    pub fn settings(&self, yaml: &str) {
        self.write(&format!("{HOOKS}/hookmux.yaml"), yaml, 0o644);
    }

    /// Gives the host a /usr/share of its own over the machine's.
    pub fn own_share(&self) {
        self.sh("mkdir -p /run/share/upper /run/share/work && mount -t overlay overlay \
             -o lowerdir=/usr/share,upperdir=/run/share/upper,workdir=/run/share/work /usr/share")
            .ok();
    }

    /// What the scripts have said so far.
    pub fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path(LOG)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn clear_log(&self) {
        drop(fs::remove_file(self.path(LOG)));
    }

    #[track_caller]
    pub fn wait_for_log(&self, line: &str) {
        wait_for(&format!("{line:?} in the log"), || self.log().iter().any(|said| said == line));
    }

    /// The command lines of everything that runs on the host, words joined by blanks.
    pub fn processes(&self) -> Vec<String> {
        let shown = self.sh("for p in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$p; echo; done").ok();
        shown.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the scripts said: {:#?}\nlibvirtd: {}", self.log(), self.daemon_log());
        }
        // Pid 1 ends with its stdin, and the kernel ends all others with pid 1.
        drop(self.control.take());
        drop(self.namespace.wait());
    }
}

/// Waits up to 20 s.
#[track_caller]
pub fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn binary_under_test() -> PathBuf {
    // cargo names none where the suite is built apart from the binary, to run it against another.
    match (std::env::var_os("HOOKMUX_BIN"), option_env!("CARGO_BIN_EXE_hookmux")) {
        (Some(path), _) => path.into(),
        (None, Some(path)) => path.into(),
        (None, None) => panic!("HOOKMUX_BIN must name the hookmux to test"),
    }
}

fn complain_about_what_is_missing() {
    let found = |program: &&&str| PATH.split(':').any(|d| Path::new(d).join(program).exists());
    let missing: Vec<_> =
        NEEDED.iter().chain(daemons()).filter(|program| !found(program)).collect();
    assert!(
        missing.is_empty(),
        "the libvirt tests miss {missing:?}: `make test` installs what they need \
         (Debian: libvirt-daemon-system libvirt-clients qemu-system-x86 iproute2 util-linux python3)"
    );
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let uids = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    assert_eq!(uids.split_whitespace().nth(2), Some("0"), "the libvirt tests must run as root");
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn make_directories(path: &Path) {
    if path.is_dir() {
        return;
    }
    make_directories(path.parent().unwrap());
    fs::DirBuilder::new().mode(0o755).create(path).unwrap();
    set_mode(path, 0o755);
}
