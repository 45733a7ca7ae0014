//! `hookmux demo`: what it shows, as any user, and that it leaves nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, is_root, skip};

/// A directory that it is given for its own, and a copy of the program that everybody may execute.
struct Place {
    host: Host,
    user: u32,
}

impl Place {
    fn new(user: u32) -> Place {
        let host = Host::new();
        fs::create_dir(host.path("tmp")).unwrap();
        {
            let _writing = writing();
            fs::copy(binary_under_test(), host.path("hookmux")).unwrap();
        }
        host.mode("", 0o755).mode("hookmux", 0o755).mode("tmp", 0o755);
        if is_root() {
            chown(host.path("tmp"), Some(user), Some(user)).unwrap();
        }
        Place { host, user }
    }

    fn tmp(&self) -> PathBuf {
        self.host.path("tmp")
    }

    /// A shell's line, in which `$HOOKMUX` is the program.
    fn run(&self, line: &str) -> Output {
        let mut command = Command::new("setpriv");
        if is_root() {
            let (uid, gid) = (format!("--reuid={}", self.user), format!("--regid={}", self.user));
            command.args([&uid, &gid, "--clear-groups"]);
        }
        command.args(["sh", "-c", line]).env("HOOKMUX", self.host.path("hookmux"));
        command.env("TMPDIR", self.tmp()).env_remove("HOOKMUX_HOOKS_DIR").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = {
            let _writing = writing();
            command.spawn().unwrap()
        };
        child.wait_with_output().unwrap()
    }

    /// Neither a file nor a process is left.
    #[track_caller]
    fn is_empty(&self) {
        let left: Vec<_> = fs::read_dir(self.tmp()).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        let place = self.tmp();
        let place = place.to_str().unwrap();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            assert!(!words.contains(place), "{words}");
        }
    }
}

/// What docs/install.md shows of it, in parts that follow each other, without times.
fn shown() -> Vec<String> {
    let page = include_str!("../docs/install.md");
    let after = page.split_once("\n`hookmux demo` needs nothing").unwrap().1;
    let block = after.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    block.trim().split("…\n").map(without_times).collect()
}

fn without_times(text: &str) -> String {
    let mut parts = text.split(" after ");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| match part.split_once(" s") {
        Some((number, rest)) if number.parse::<f64>().is_ok() => format!("{text} after N s{rest}"),
        _ => format!("{text} after {part}"),
    })
}

#[track_caller]
fn shows_it_all(place: &Place) {
    let before: Vec<PathBuf> = place.host.everything();
    let output = place.run("\"$HOOKMUX\" demo");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut rest = without_times(&said);
    for part in shown() {
        let at = rest.find(&part).unwrap_or_else(|| panic!("{part}\nis missing in\n{rest}"));
        rest = rest.split_off(at + part.len());
    }
    for words in [
        "wants 65536 KiB",
        "called with 'vm prepare begin -' and 1583 bytes",
        "reason: shutdown",
        "$ hookmux --hooks-dir HOOKS list",
        "before_vm_start             1  10-memory ",
        "$ hookmux --hooks-dir HOOKS log",
        "failed, libvirt not told: after_vm_start/60-metrics",
        "$ hookmux --hooks-dir HOOKS show last",
        "stderr: no route to the metrics host",
        "Nothing is left behind.",
    ] {
        assert!(said.contains(words), "{words} is missing in\n{said}");
    }
    assert!(!said.contains("!!"), "{said}");
    place.is_empty();
    assert_eq!(place.host.everything(), before);
}

#[test]
fn it_leads_a_guests_life_and_leaves_nothing() {
    shows_it_all(&Place::new(nix::unistd::geteuid().as_raw()));
}

#[test]
fn any_user_may_run_it() {
    if !is_root() {
        return skip("only root can be somebody else");
    }
    shows_it_all(&Place::new(54321));
}

#[test]
fn whoever_ends_it_or_stops_reading_finds_nothing_left() {
    let place = Place::new(nix::unistd::geteuid().as_raw());
    // one that comes before the first step
    let output =
        place.run("exec env --block-signal=TERM sh -c 'kill -TERM $$; exec \"$HOOKMUX\" demo'");
    assert_eq!(output.status.code(), Some(143), "{output:?}");
    place.is_empty();
    let output = place.run("\"$HOOKMUX\" demo | head -n 1");
    assert!(output.status.success(), "{output:?}");
    place.is_empty();
    // whatever the umask is
    let output = place.run("umask 000; \"$HOOKMUX\" demo");
    assert!(output.status.success(), "{output:?}");
    place.is_empty();
}

#[test]
fn it_can_be_kept_to_look_around() {
    let place = Place::new(nix::unistd::geteuid().as_raw());
    let output = place.run("\"$HOOKMUX\" demo --keep");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let line = said.lines().find(|line| line.trim().starts_with("hookmux --hooks-dir ")).unwrap();
    let line = line.trim().replacen("hookmux", "\"$HOOKMUX\"", 1);
    let output = place.run(&line);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("50-firewall"), "{output:?}");
    let kept = fs::read_dir(place.tmp()).unwrap().next().unwrap().unwrap();
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    // one where hooks couldn't be trusted isn't used
    fs::remove_dir_all(kept.path()).unwrap();
    place.host.mode("tmp", 0o777);
    let output = place.run("\"$HOOKMUX\" demo");
    assert!(
        output.status.success() || String::from_utf8_lossy(&output.stderr).contains("TMPDIR"),
        "{output:?}"
    );
    assert!(!String::from_utf8_lossy(&output.stdout).contains(place.tmp().to_str().unwrap()));
}
