//! The surroundings of a call: the hooks directory, the user, and the user's default directories.

use std::cell::OnceCell;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::machine::{files, proc};

/// The runtime directory of root's daemons, where the settings name no other.
pub(crate) const DEFAULT_RUNTIME_DIR: &str = "/run/hookmux";

/// What the defaults depend on.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub hooks_dir: PathBuf,
    /// The effective uid.
    pub user: u32,
    /// Whether a user asks about the system's hookmux, not about that of their own session.
    pub is_about_system: bool,
    pub home: Option<PathBuf>,
    pub xdg_state: Option<PathBuf>,
    pub xdg_runtime: Option<PathBuf>,
    pub xdg_config: Option<PathBuf>,
    /// The daemon's PATH, which its hooks get.
    pub path: Option<OsString>,
    pub daemons_home: Option<OsString>,
    /// The name of the calling process: it tells which of the modular daemons called.
    pub daemon: OnceCell<String>,
}

impl Surroundings {
    /// Reads the environment. A relative hooks directory is taken from the current directory.
    pub fn here(hooks_dir: &Path) -> Surroundings {
        let absolute =
            |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let hooks_dir = std::path::absolute(hooks_dir).unwrap_or_else(|_| hooks_dir.to_path_buf());
        let user = nix::unistd::geteuid().as_raw();
        // libvirt passes no XDG variables to a hook: the default directories are used
        let home = absolute("HOME").or_else(|| home_of(user));
        Surroundings {
            hooks_dir,
            user,
            is_about_system: false,
            home,
            xdg_state: absolute("XDG_STATE_HOME"),
            xdg_runtime: absolute("XDG_RUNTIME_DIR"),
            xdg_config: absolute("XDG_CONFIG_HOME"),
            path: env::var_os("PATH"),
            daemons_home: env::var_os("HOME"),
            daemon: OnceCell::new(),
        }
    }

    pub fn daemon(&self) -> String {
        self.daemon.get_or_init(|| proc::name_of_parent().to_owned()).clone()
    }

    pub fn is_root(&self) -> bool {
        self.user == 0
    }

    /// Tells whether the default directories are those of the system.
    fn has_system_places(&self) -> bool {
        self.is_root() || self.is_about_system
    }

    fn home(&self, below: &str) -> PathBuf {
        self.home.clone().unwrap_or_else(|| PathBuf::from("/")).join(below)
    }

    pub fn state_dir(&self) -> PathBuf {
        if self.has_system_places() {
            return PathBuf::from("/var/lib/hookmux");
        }
        self.xdg_state.clone().unwrap_or_else(|| self.home(".local/state")).join("hookmux")
    }

    pub fn runtime_dir(&self) -> PathBuf {
        if self.has_system_places() {
            return PathBuf::from(DEFAULT_RUNTIME_DIR);
        }
        let base = self.xdg_runtime.clone();
        base.unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", self.user))).join("hookmux")
    }

    /// Returns libvirt's directory for managed saves, of the system or of a session daemon.
    pub fn save_dir(&self) -> PathBuf {
        if self.has_system_places() {
            return PathBuf::from("/var/lib/libvirt/qemu/save");
        }
        self.xdg_config.clone().unwrap_or_else(|| self.home(".config")).join("libvirt/qemu/save")
    }
}

/// How many bytes of `/etc/passwd` are read at most.
const MAX_USERS_BYTES: u64 = 16 << 20;

/// Returns a user's home directory from `/etc/passwd`: a static binary has no other source.
fn home_of(user: u32) -> Option<PathBuf> {
    let passwd = files::read_regular(Path::new("/etc/passwd"), MAX_USERS_BYTES).ok()?;
    let passwd = String::from_utf8_lossy(&passwd);
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let uid: u32 = fields.next()?.parse().ok()?;
        (uid == user).then(|| fields.nth(2).map(PathBuf::from)).flatten()
    })
}
