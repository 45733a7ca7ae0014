//! Whether a guest, a network or a port still lives. Only libvirt knows: it is asked by virsh, in the worker,
//! never while libvirt waits. An entry is taken back only where the answer is certain.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::owner::Owner;
use crate::config::Surroundings;
use crate::libvirt::Driver;
use crate::machine::{files, proc};
use crate::process::job::{Job, ProcessOutcome, c_string};
use crate::process::supervise::Supervisor;
use crate::process::{DEFAULT_PATH, members};
use crate::trust::Trust;

/// The time limit of one question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Whether something lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Lives,
    /// libvirt answered that it is shut off or unknown, and no process of it runs.
    Gone,
    /// `is_silent`: libvirt didn't answer, and may do so later.
    Unknown {
        why: String,
        is_silent: bool,
    },
}

impl Life {
    fn unknown(why: impl Into<String>) -> Life {
        Life::Unknown { why: why.into(), is_silent: false }
    }
}

/// What libvirt has answered so far.
pub(crate) struct Libvirt {
    virsh: Option<PathBuf>,
    is_root: bool,
    /// The active guests or networks of each connection.
    active: HashMap<String, Result<HashSet<String>, String>>,
}

/// Finds virsh as its caller would.
pub(crate) fn virsh(surroundings: &Surroundings) -> Option<PathBuf> {
    let path = surroundings.path.clone().unwrap_or_else(|| DEFAULT_PATH.into());
    let mut trust = Trust::new(surroundings.user);
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join("virsh"))
        .find(|program| files::is_executable(program) && trust.file(program).is_ok())
}

impl Libvirt {
    pub(crate) fn new(surroundings: &Surroundings) -> Libvirt {
        let (virsh, is_root) = (virsh(surroundings), surroundings.is_root());
        Libvirt { virsh, is_root, active: HashMap::new() }
    }

    /// Tells whether a daemon of this name serves the driver of an entry.
    pub(crate) fn serves(&self, daemon: &str, entry: &Entry) -> bool {
        let driver = Driver::from_name(&entry.driver);
        match daemon.trim_start_matches('.') {
            "virtqemud" => driver == Some(Driver::Qemu),
            "virtlxcd" => driver == Some(Driver::Lxc),
            "virtxend" => driver == Some(Driver::Libxl),
            "virtbhyved" => driver == Some(Driver::Bhyve),
            "virtnetworkd" => driver == Some(Driver::Network),
            // libvirtd serves all of them
            _ => true,
        }
    }

    /// Asks whether the owner of an entry lives.
    pub(crate) fn ask(&mut self, owner: &Owner, entry: &Entry) -> Life {
        let Some(uuid) = &entry.uuid else {
            return Life::unknown("its uuid isn't known");
        };
        let Some(driver) = Driver::from_name(&entry.driver) else {
            return Life::unknown(format!("its driver `{}` isn't known", entry.driver));
        };
        if self.virsh.is_none() {
            return Life::unknown("there is no virsh to ask libvirt with");
        }
        let uri = uri(driver, self.is_root);
        let list = if driver == Driver::Network { "net-list" } else { "list" };
        match self.listed(&uri, &[list, "--uuid"]) {
            Err(why) => return Life::Unknown { why, is_silent: true },
            Ok(active) if !active.contains(uuid) => {}
            Ok(_) if driver != Driver::Network => return Life::Lives,
            Ok(_) if !owner.is_port() => return Life::Lives,
            Ok(_) => match self.listed(&uri, &["net-port-list", uuid, "--uuid"]) {
                Err(why) => return Life::Unknown { why, is_silent: true },
                Ok(ports) if ports.iter().any(|port| owner.is_port_named(port)) => {
                    return Life::Lives;
                }
                Ok(_) => {}
            },
        }
        if driver == Driver::Network {
            return Life::Gone;
        }
        match process_of(uuid, &entry.object) {
            Some(pid) => {
                Life::unknown(format!("libvirt doesn't list it, but process {pid} may be its own"))
            }
            None => Life::Gone,
        }
    }

    /// Returns the uuids that virsh lists.
    fn listed(&mut self, uri: &str, words: &[&str]) -> Result<HashSet<String>, String> {
        let key = format!("{uri} {}", words.join(" "));
        if let Some(known) = self.active.get(&key) {
            return known.clone();
        }
        let answer = self.question(uri, words);
        self.active.insert(key, answer.clone());
        answer
    }

    fn question(&self, uri: &str, words: &[&str]) -> Result<HashSet<String>, String> {
        let virsh = self.virsh.as_ref().ok_or("there is no virsh to ask libvirt with")?;
        let failed = |error: std::io::Error| format!("virsh can't be run: {error}");
        let mut supervisor = Supervisor::new(&[]).map_err(failed)?;
        let run = format!("virsh-{}", std::process::id());
        let ends = Instant::now() + QUESTION_TIMEOUT;
        let stdin = supervisor.null().map_err(failed)?;
        let mut job = Job::new(virsh.as_os_str(), stdin, run.clone(), ends);
        let before = ["-q", "-r", "-c", uri];
        let words = before.iter().chain(words);
        job.arguments.extend(words.map(|word| c_string(word.as_bytes())));
        let variable = |name: &str, value: &OsStr| {
            c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat())
        };
        job.environment = vec![
            variable("PATH", OsStr::new(DEFAULT_PATH)),
            variable("LC_ALL", OsStr::new("C")),
            variable(members::RUN_VARIABLE, OsStr::new(&run)),
        ];
        let of_user = ["HOME", "XDG_RUNTIME_DIR"];
        let of_user = of_user.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        job.environment.extend(of_user.map(|(name, value)| variable(name, &value)));
        let ended = supervisor.run(vec![job], &mut |_| {}).pop();
        let _ = supervisor.release_leftovers();
        let ended = ended.ok_or("virsh didn't run")?;
        let stderr = ended.stderr.end(300);
        match ended.outcome {
            ProcessOutcome::Exited(0) => {}
            ProcessOutcome::TimedOut { .. } => return Err("virsh didn't answer".to_owned()),
            _ => {
                let words = String::from_utf8_lossy(&stderr);
                return Err(format!("libvirt doesn't answer: {}", words.trim()));
            }
        }
        let output = ended.stdout.whole().ok_or("virsh listed too much")?;
        let output = String::from_utf8(output).map_err(|error| error.to_string())?;
        let uuids = output.split_whitespace().map(str::to_ascii_lowercase);
        let is_uuid = |word: &String| word.len() == 36 && word.contains('-');
        let all: HashSet<String> = uuids.collect();
        match all.iter().all(is_uuid) {
            true => Ok(all),
            false => Err("virsh listed something else than uuids".to_owned()),
        }
    }
}

fn uri(driver: Driver, is_root: bool) -> String {
    let scheme = match driver {
        Driver::Libxl => "xen",
        other => other.name(),
    };
    format!("{scheme}:///{}", if is_root { "system" } else { "session" })
}

/// Finds a process that may be that of a guest: one with its uuid, or with its name behind libvirt's words,
/// in its command line.
fn process_of(uuid: &str, name: &str) -> Option<i32> {
    let own = std::process::id();
    let named = [format!("guest={name},"), format!("\0--name\0{name}\0")];
    let is_it = |line: &[u8]| {
        let has = |part: &str| memchr::memmem::find(line, part.as_bytes()).is_some();
        has(uuid) || named.iter().any(|part| has(part))
    };
    proc::all()
        .filter(|(pid, stat)| !stat.is_dead() && u32::try_from(*pid) != Ok(own))
        .map(|(pid, _)| pid)
        .find(|pid| is_it(&proc::command_line(*pid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_daemon_serves_its_drivers() {
        let libvirt = Libvirt { virsh: None, is_root: true, active: HashMap::new() };
        let served = |daemon: &str| -> Vec<&str> {
            let all = Driver::ALL.iter().map(|driver| driver.name());
            let entry = |driver: &str| Entry { driver: driver.to_owned(), ..Entry::default() };
            all.filter(|driver| libvirt.serves(daemon, &entry(driver))).collect()
        };
        assert_eq!(served("virtqemud"), ["qemu"]);
        assert_eq!(served("virtlxcd"), ["lxc"]);
        assert_eq!(served(".virtxend"), ["libxl"]);
        assert_eq!(served("virtnetworkd"), ["network"]);
        assert_eq!(served("libvirtd").len(), 6);
        assert_eq!(uri(Driver::Libxl, true), "xen:///system");
        assert_eq!(uri(Driver::Qemu, false), "qemu:///session");
    }

    #[test]
    fn without_an_answer_nothing_is_known() {
        let mut libvirt = Libvirt { virsh: None, is_root: true, active: HashMap::new() };
        let owner = Owner::of_directory("qemu-1".to_owned());
        let uuid = "91126ceb-8184-4a0b-b79f-0f3d17ecc836".to_owned();
        let entry =
            Entry { driver: "qemu".to_owned(), uuid: Some(uuid.clone()), ..Entry::default() };
        let Life::Unknown { why, is_silent: false } = libvirt.ask(&owner, &entry) else {
            panic!("nobody was asked");
        };
        assert!(why.contains("no virsh"), "{why}");
        libvirt.virsh = Some("/nonexistent".into());
        assert!(matches!(libvirt.ask(&owner, &entry), Life::Unknown { is_silent: true, .. }));
        let mut answer = |active: Result<&[&str], &str>| {
            let active = active.map(|all| all.iter().map(|uuid| (*uuid).to_owned()).collect());
            let key = "qemu:///system list --uuid".to_owned();
            libvirt.active.insert(key, active.map_err(str::to_owned));
            libvirt.ask(&owner, &entry)
        };
        assert_eq!(answer(Ok(&[&uuid])), Life::Lives);
        assert!(matches!(answer(Err("no")), Life::Unknown { is_silent: true, .. }));
        assert!(matches!(answer(Ok(&[])), Life::Gone | Life::Unknown { is_silent: false, .. }));
        let unnamed = Entry { uuid: None, ..entry.clone() };
        assert!(matches!(libvirt.ask(&owner, &unnamed), Life::Unknown { is_silent: false, .. }));
    }
}
