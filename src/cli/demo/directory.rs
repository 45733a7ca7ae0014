//! The demo's own directory.

use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::machine::ulid;
use crate::trust::Trust;

/// How often a removal is tried, and the time between two tries.
const MAX_REMOVALS: u32 = 40;
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

pub(super) struct DemoDirectory {
    path: PathBuf,
    program: PathBuf,
}

impl DemoDirectory {
    /// Makes the directory where scripts can be executed, and other users can't change them.
    ///
    /// # Errors
    /// There is no such directory.
    pub(super) fn make() -> anyhow::Result<DemoDirectory> {
        let program = env::current_exe().context("hookmux's own file can't be found")?;
        let named = ["XDG_RUNTIME_DIR", "HOME"].into_iter().filter_map(env::var_os);
        let places = [env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
        let mut reasons: Vec<String> = Vec::new();
        for above in places.into_iter().chain(named.map(PathBuf::from)) {
            match make_below(&above) {
                Ok(path) => return Ok(DemoDirectory { path, program }),
                Err(reason) if reasons.contains(&reason) => {}
                Err(reason) => reasons.push(reason),
            }
        }
        bail!("there is no directory for the demo, set TMPDIR to one: {}", reasons.join("; "))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of this program.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn hooks(&self) -> PathBuf {
        self.path.join("hooks")
    }

    /// Returns the entry that libvirt would call.
    pub(super) fn entry(&self) -> PathBuf {
        self.hooks().join("qemu")
    }

    pub(super) fn runtime_dir(&self) -> PathBuf {
        self.path.join("run")
    }

    pub(super) fn document(&self) -> PathBuf {
        self.path.join("prepare.xml")
    }

    /// Returns what hooks have written since the last time.
    pub(super) fn written(&self) -> Vec<u8> {
        let file = self.path.join("said");
        let written = fs::read(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        written
    }

    /// Makes the entry, and settings that keep everything in this directory.
    ///
    /// # Errors
    /// Those of `mkdir(2)`, `symlink(2)`, `write(2)`.
    pub(super) fn prepare(&self) -> io::Result<()> {
        make_directory(&self.hooks())?;
        symlink(&self.program, self.entry())?;
        let settings = format!(
            "session: true                # run hooks although this is not root\n\
             roots: []                    # and look for them in this directory only\n\
             state_dir: {0}/state\n\
             runtime_dir: {0}/run\n\
             save_dir: {0}/save\n",
            self.path.display()
        );
        self.write("hookmux.yaml", &settings, 0o644)
    }

    /// Makes a hook.
    ///
    /// # Errors
    /// Those of `mkdir(2)` and `write(2)`.
    pub(super) fn script(&self, place: &str, text: &str) -> io::Result<()> {
        self.write(place, text, 0o755)
    }

    /// Removes a hook and its directory.
    ///
    /// # Errors
    /// Those of `unlink(2)` and `rmdir(2)`.
    pub(super) fn remove_script(&self, place: &str) -> io::Result<()> {
        let path = self.hooks().join(place);
        fs::remove_file(&path)?;
        path.parent().map_or(Ok(()), fs::remove_dir)
    }

    /// Writes a file in the hooks directory, whatever the umask is.
    fn write(&self, place: &str, text: &str, mode: u32) -> io::Result<()> {
        let path = self.hooks().join(place);
        if let Some(parent) = path.parent() {
            make_directories(parent)?;
        }
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))
    }

    /// Returns the files of the hooks directory, sorted.
    pub(super) fn files(&self) -> Vec<String> {
        let (mut found, mut todo) = (Vec::new(), vec![self.hooks()]);
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => todo.push(entry.path()),
                    _ => found.push(entry.path()),
                }
            }
        }
        let hooks = self.hooks();
        let name = |path: &PathBuf| path.strip_prefix(&hooks).unwrap_or(path).display().to_string();
        let mut names: Vec<String> = found.iter().map(name).collect();
        names.sort();
        names
    }

    /// Removes everything.
    ///
    /// # Errors
    /// Those of `unlink(2)` and `rmdir(2)`.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        let mut removed = Ok(());
        for _ in 0..MAX_REMOVALS {
            removed = fs::remove_dir_all(&self.path);
            if removed.is_ok() || !self.path.exists() {
                return Ok(());
            }
            thread::sleep(RETRY_INTERVAL);
        }
        removed.with_context(|| format!("{} can't be removed", self.path.display()))
    }
}

/// Makes the demo's directory in another one.
///
/// # Errors
/// Why it can't be made there, or why hooks in it couldn't run.
fn make_below(above: &Path) -> Result<PathBuf, String> {
    let shown = above.display();
    let why = |why: &dyn std::fmt::Display| format!("{shown}: {why}");
    let above = fs::canonicalize(above).map_err(|error| why(&error))?;
    let user = nix::unistd::geteuid().as_raw();
    Trust::new(user).directory(&above).map_err(|refusal| why(&refusal))?;
    if statvfs(&above).is_ok_and(|system| system.flags().contains(FsFlags::ST_NOEXEC)) {
        return Err(why(&"it is mounted noexec"));
    }
    let id = ulid::new().to_ascii_lowercase();
    let path = above.join(format!("hookmux-demo.{}", id.get(16..).unwrap_or(&id)));
    DirBuilder::new().mode(0o700).create(&path).map_err(|error| why(&error))?;
    Ok(path)
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn make_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    make_directory(path)
}
