use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tempfile::TempDir;

use super::call::Call;

pub const DRIVERS: [&str; 6] = ["daemon", "qemu", "lxc", "libxl", "network", "bhyve"];

/// Held while a script is written, and while a process is made: a child between fork and exec has
/// the script open too, and whoever executes it then meets ETXTBSY.
static WRITING: Mutex<()> = Mutex::new(());

pub fn writing() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn binary_under_test() -> PathBuf {
    std::env::var_os("HOOKMUX_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_hookmux")), PathBuf::from)
}

/// A hooks directory of its own with hookmux under the names of all drivers, and its state.
pub struct Host {
    directory: TempDir,
    root: PathBuf,
}

impl Host {
    /// One with hookmux linked, settings that keep everything private, and no hook.
    pub fn new() -> Host {
        LazyLock::force(&BEGAN);
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let host = Host { directory, root };
        for name in ["hooks", "run", "state"] {
            fs::create_dir(host.path(name)).unwrap();
            host.mode(name, 0o755);
        }
        for driver in DRIVERS {
            symlink(binary_under_test(), host.hooks().join(driver)).unwrap();
        }
        host.settings("");
        host
    }

    // --- places ---------------------------------------------------------------------------------

    /// A place beside the hooks directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    pub fn hooks(&self) -> PathBuf {
        self.root.join("hooks")
    }

    /// A place in the hooks directory, if it isn't an absolute one.
    pub fn hook(&self, place: impl AsRef<Path>) -> PathBuf {
        self.hooks().join(place)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    // --- what lies there ------------------------------------------------------------------------

    /// Settings beside those that keep the host private.
    pub fn settings(&self, text: &str) -> &Host {
        self.raw_settings(&format!("{}{text}\n", self.private_settings()))
    }

    /// What every host's settings begin with.
    pub fn private_settings(&self) -> String {
        format!(
            "roots: []\nsession: true\nstate_dir: {}\nruntime_dir: {}\nsave_dir: {}\n",
            self.path("state").display(),
            self.path("run").display(),
            self.path("save").display(),
        )
    }

    /// The settings file as a whole.
    pub fn raw_settings(&self, text: &str) -> &Host {
        let path = self.hook("hookmux.yaml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    /// A script. Without a `#!` line it is the shell's, with `log WORDS`, `$T` (the host's own
    /// directory) and `me` (its name) at hand.
    pub fn script(&self, place: impl AsRef<Path>, text: &str) -> &Host {
        if text.starts_with("#!") {
            return self.file(place, text);
        }
        let text = format!(
            "#!/bin/sh\nT='{}'\nlog() {{ printf '%s\\n' \"$*\" >>\"$T/log\"; }}\nme=${{0##*/}}\n{text}\n",
            self.root.display()
        );
        self.file(place, &text)
    }

    /// An executable file.
    pub fn file(&self, place: impl AsRef<Path>, text: impl AsRef<[u8]>) -> &Host {
        let path = self.hook(place);
        let _writing = writing();
        make_directories(path.parent().unwrap());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// A script at each place that logs the place it lies at.
    pub fn follow(&self, places: &[&str]) -> &Host {
        for place in places {
            self.script(place, &format!("log '{place}'"));
        }
        self
    }

    pub fn mode(&self, place: impl AsRef<Path>, mode: u32) -> &Host {
        fs::set_permissions(self.path(place), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn link(&self, target: impl AsRef<Path>, place: impl AsRef<Path>) -> &Host {
        let path = self.hook(place);
        make_directories(path.parent().unwrap());
        symlink(target, path).unwrap();
        self
    }

    // --- what happens ---------------------------------------------------------------------------

    /// A call of libvirt's, with a small guest's document on standard input.
    pub fn call<A: AsRef<OsStr>>(
        &self,
        driver: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Call<'_> {
        Call::new(self, driver, arguments)
    }

    /// A call about the guest `g` of qemu's: `prepare begin`, `release end saved`.
    pub fn guest(&self, call: &str) -> Call<'_> {
        let mut words: Vec<&str> = vec!["g"];
        words.extend(call.split(' '));
        if words.len() == 3 {
            words.push("-");
        }
        self.call("qemu", words)
    }

    /// What scripts logged since it was last asked.
    pub fn log(&self) -> Vec<String> {
        let bytes = self.log_bytes();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }

    pub fn log_bytes(&self) -> Vec<u8> {
        let log = self.path("log");
        let bytes = fs::read(&log).unwrap_or_default();
        // what is written after an empty look is for the next one
        if !bytes.is_empty() {
            let _ = fs::remove_file(log);
        }
        bytes
    }

    /// What is in a file that a script wrote; empty where there is none.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_default()
    }

    pub fn read_text(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.read(name)).into_owned()
    }

    /// Every file below the host's directory, sorted.
    pub fn everything(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut todo = vec![self.directory().to_path_buf()];
        while let Some(directory) = todo.pop() {
            // what works in the background may remove it meanwhile
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let entry = entry.unwrap();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    todo.push(entry.path());
                }
                found.push(entry.path());
            }
        }
        found.sort();
        found
    }
}

/// The machine's own state, which no test may touch.
const MACHINES: [&str; 2] = ["/var/lib/hookmux", "/run/hookmux"];

/// The files of the machine's own state that speak of a directory, made since these tests began.
fn machines_files_about(directory: &Path) -> Vec<PathBuf> {
    let word = directory.as_os_str().as_bytes();
    let mut found = Vec::new();
    let mut todo: Vec<PathBuf> = MACHINES.iter().map(PathBuf::from).collect();
    while let Some(place) = todo.pop() {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                todo.push(entry.path());
            } else if metadata.is_file()
                && metadata.modified().is_ok_and(|time| time >= *BEGAN)
                && fs::read(entry.path())
                    .is_ok_and(|bytes| memchr::memmem::find(&bytes, word).is_some())
            {
                found.push(entry.path());
            }
        }
    }
    found
}

/// A little before the first host was made.
static BEGAN: LazyLock<SystemTime> =
    LazyLock::new(|| SystemTime::now() - std::time::Duration::from_secs(2));

impl Drop for Host {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let found = machines_files_about(&self.root);
            assert!(found.is_empty(), "left in the machine's own state: {found:?}");
        }
        // who moves records, or works on the queue, may be about to write
        for _ in 0..20 {
            if fs::remove_dir_all(self.directory()).is_ok() || !self.directory().exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// Directories as a package would make them, whatever the umask is.
fn make_directories(path: &Path) {
    if path.is_dir() {
        return;
    }
    make_directories(path.parent().unwrap());
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
