//! Checks whether a file may be executed or believed: only root, and the user as whom hookmux runs, may be able to
//! change it, or any component of the path that leads to it.
//!
//! A POSIX ACL that grants write access shows in the group bits of the mode (they are its mask), so it is
//! refused with them.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// How many links are followed before a path counts as a loop: the kernel's own limit.
const MAX_LINKS: usize = 40;

/// The reason why a path isn't trusted: the component, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub path: PathBuf,
    pub fault: TrustFault,
}

/// What is wrong with a component of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustFault {
    Owner(u32),
    GroupWrites,
    OthersWrite,
    SetId,
    NotRegular,
    NotDirectory,
    LinkLoop,
    Relative,
    Missing,
    /// It can't be examined; the text of the system's error.
    Unreadable(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            TrustFault::Owner(uid) => write!(f, "{path} is owned by uid {uid}"),
            TrustFault::GroupWrites => write!(f, "{path} is writable by group"),
            TrustFault::OthersWrite => write!(f, "{path} is writable by others"),
            TrustFault::SetId => write!(f, "{path} is setuid or setgid"),
            TrustFault::NotRegular => write!(f, "{path} is not a regular file"),
            TrustFault::NotDirectory => write!(f, "{path} is not a directory"),
            TrustFault::LinkLoop => write!(f, "{path} has too many levels of links"),
            TrustFault::Relative => write!(f, "{path} is not an absolute path"),
            TrustFault::Missing => write!(f, "{path}: does not exist"),
            TrustFault::Unreadable(error) => write!(f, "{path}: {error}"),
        }
    }
}

impl Refusal {
    /// Returns the message for a file that is to be read: it isn't trusted, or isn't a file.
    pub fn words(&self) -> String {
        match self.fault {
            TrustFault::NotRegular => self.to_string(),
            _ => format!("not trusted: {self}"),
        }
    }
}

/// Checks paths, and remembers the directories that were checked.
#[derive(Clone)]
pub struct Trust {
    user: u32,
    checked: Vec<(PathBuf, Result<PathBuf, Refusal>)>,
}

impl Trust {
    /// Makes one that trusts root and `user`, the effective uid.
    pub fn new(user: u32) -> Trust {
        Trust { user, checked: Vec::new() }
    }

    /// Returns the user who is trusted besides root.
    pub fn user(&self) -> u32 {
        self.user
    }

    /// Checks a regular file: every component of its path, and of the targets of links.
    ///
    /// # Errors
    /// The first component that somebody other than root and the user could change.
    pub fn file(&mut self, path: &Path) -> Result<Metadata, Refusal> {
        let (end, metadata) = self.walk(path)?;
        if !metadata.is_file() {
            return Err(Refusal { path: end, fault: TrustFault::NotRegular });
        }
        if metadata.mode() & 0o6000 != 0 {
            return Err(Refusal { path: end, fault: TrustFault::SetId });
        }
        Ok(metadata)
    }

    /// Checks who could have made a directory entry of any kind: its directory and itself. A link isn't followed.
    ///
    /// # Errors
    /// As for [`Trust::file`].
    pub fn entry(&mut self, path: &Path) -> Result<(), Refusal> {
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        self.inspect(path).map(drop)
    }

    /// Returns all components of a path that aren't trusted, each once, in the order in which the kernel follows
    /// them. Ends where a component can't be examined.
    pub fn all_refusals(&self, path: &Path) -> Vec<Refusal> {
        let mut found: Vec<Refusal> = Vec::new();
        let mut add = |path: &Path, fault: Option<TrustFault>| {
            let is_new = !found.iter().any(|known| known.path == path);
            if let Some(fault) = fault.filter(|_| is_new) {
                found.push(Refusal { path: path.to_path_buf(), fault });
            }
        };
        let mut at = PathBuf::from("/");
        let mut rest = components(path);
        let mut links = 0;
        if let Ok(metadata) = fs::symlink_metadata(&at) {
            add(&at, fault(&metadata, self.user));
        }
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            at.push(&name);
            let Ok(metadata) = fs::symlink_metadata(&at) else { break };
            add(&at, fault(&metadata, self.user));
            if metadata.is_file() && metadata.mode() & 0o6000 != 0 {
                add(&at, Some(TrustFault::SetId));
            }
            if !metadata.is_symlink() {
                continue;
            }
            links += 1;
            let Some(target) = fs::read_link(&at).ok().filter(|_| links <= MAX_LINKS) else {
                break;
            };
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(components(&target));
        }
        found
    }

    /// Checks a directory, in the same way.
    ///
    /// # Errors
    /// As for [`Trust::file`].
    pub fn directory(&mut self, path: &Path) -> Result<(), Refusal> {
        self.resolve_directory(path).map(drop)
    }

    /// Checks a directory and returns its metadata. Only the result for its parents is remembered.
    ///
    /// # Errors
    /// As for [`Trust::file`].
    pub fn directory_metadata(&mut self, path: &Path) -> Result<Metadata, Refusal> {
        let (end, metadata) = self.walk(path)?;
        match metadata.is_dir() {
            true => Ok(metadata),
            false => Err(Refusal { path: end, fault: TrustFault::NotDirectory }),
        }
    }

    /// Checks a directory and returns its real path.
    fn resolve_directory(&mut self, path: &Path) -> Result<PathBuf, Refusal> {
        if let Some((_, known)) = self.checked.iter().find(|(seen, _)| seen == path) {
            return known.clone();
        }
        let result = self.walk(path).and_then(|(end, metadata)| {
            if metadata.is_dir() {
                Ok(end)
            } else {
                Err(Refusal { path: end, fault: TrustFault::NotDirectory })
            }
        });
        self.checked.push((path.to_path_buf(), result.clone()));
        result
    }

    /// Follows a path component by component, as the kernel would.
    fn walk(&mut self, path: &Path) -> Result<(PathBuf, Metadata), Refusal> {
        if !path.is_absolute() {
            return Err(Refusal { path: path.to_path_buf(), fault: TrustFault::Relative });
        }
        // the parent is looked up once for all its files
        let (mut at, mut rest) = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => (self.resolve_directory(parent)?, vec![name.to_owned()]),
            _ => (PathBuf::from("/"), components(path)),
        };
        // the metadata of `at`; `None` for a directory that was checked
        let mut metadata = None;
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                metadata = None;
                continue;
            }
            if metadata.as_ref().is_some_and(|metadata: &Metadata| !metadata.is_dir()) {
                return Err(Refusal { path: at, fault: TrustFault::NotDirectory });
            }
            at.push(&name);
            let found = self.inspect(&at)?;
            if found.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Refusal { path: at, fault: TrustFault::LinkLoop });
                }
                let target = fs::read_link(&at).map_err(|error| unreadable(&at, &error))?;
                at.pop();
                if target.is_absolute() {
                    at = PathBuf::from("/");
                    self.inspect(&at)?;
                }
                metadata = None;
                rest.extend(components(&target));
            } else {
                metadata = Some(found);
            }
        }
        match metadata {
            Some(metadata) => Ok((at, metadata)),
            None => self.inspect(&at).map(|metadata| (at, metadata)),
        }
    }

    fn inspect(&self, path: &Path) -> Result<Metadata, Refusal> {
        let metadata = fs::symlink_metadata(path).map_err(|error| unreadable(path, &error))?;
        match fault(&metadata, self.user) {
            Some(fault) => Err(Refusal { path: path.to_path_buf(), fault }),
            None => Ok(metadata),
        }
    }
}

/// Returns what is wrong with one component by itself.
fn fault(metadata: &Metadata, user: u32) -> Option<TrustFault> {
    let owner = metadata.uid();
    if owner != 0 && owner != user {
        return Some(TrustFault::Owner(owner));
    }
    let mode = metadata.mode();
    // the mode of a link has no meaning; devices and pipes aren't scripts; in root's sticky directories
    // nobody else can replace an entry
    let has_content = metadata.is_file() || metadata.is_dir();
    if !has_content || (metadata.is_dir() && owner == 0 && mode & 0o1000 != 0) {
        return None;
    }
    if mode & 0o020 != 0 {
        return Some(TrustFault::GroupWrites);
    }
    (mode & 0o002 != 0).then_some(TrustFault::OthersWrite)
}

/// Returns the components in reverse order, so that `pop` takes the first.
fn components(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

fn unreadable(path: &Path, error: &io::Error) -> Refusal {
    let fault = match error.kind() {
        io::ErrorKind::NotFound => TrustFault::Missing,
        _ => TrustFault::Unreadable(error.to_string()),
    };
    Refusal { path: path.to_path_buf(), fault }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Tree {
            let tree = Tree(tempfile::tempdir().unwrap());
            fs::create_dir_all(tree.path("a/b")).unwrap();
            fs::write(tree.path("a/b/file"), "x").unwrap();
            tree.mode("a/b/file", 0o755).mode("a", 0o755).mode("a/b", 0o755);
            tree
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().canonicalize().unwrap().join(name)
        }

        fn mode(&self, name: &str, mode: u32) -> &Tree {
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
            self
        }

        fn link(&self, target: &str, name: &str) -> &Tree {
            symlink(target, self.path(name)).unwrap();
            self
        }

        fn fault(&self, name: &str) -> Option<(PathBuf, TrustFault)> {
            let mut trust = Trust::new(nix::unistd::geteuid().as_raw());
            trust.file(&self.path(name)).err().map(|refusal| (refusal.path, refusal.fault))
        }
    }

    #[test]
    fn a_well_kept_file_is_trusted_through_links_too() {
        let tree = Tree::new();
        tree.link("b/../b/file", "a/link").link("link", "a/again");
        let absolute = tree.path("a/again");
        tree.link(absolute.to_str().unwrap(), "absolute");
        for name in ["a/b/file", "a/link", "a/again", "absolute", "a/../a/b/file"] {
            assert_eq!(tree.fault(name), None, "{name}");
        }
    }

    #[test]
    fn every_component_counts() {
        for (name, mode, fault) in [
            ("a/b/file", 0o775, TrustFault::GroupWrites),
            ("a/b/file", 0o757, TrustFault::OthersWrite),
            ("a/b/file", 0o4755, TrustFault::SetId),
            ("a/b/file", 0o2755, TrustFault::SetId),
            ("a/b", 0o775, TrustFault::GroupWrites),
            ("a", 0o757, TrustFault::OthersWrite),
        ] {
            let tree = Tree::new();
            tree.mode(name, mode);
            assert_eq!(tree.fault("a/b/file"), Some((tree.path(name), fault)), "{name} {mode:o}");
        }
    }

    #[test]
    fn the_way_behind_a_link_counts() {
        let tree = Tree::new();
        fs::create_dir(tree.path("open")).unwrap();
        fs::write(tree.path("open/file"), "x").unwrap();
        tree.mode("open/file", 0o755).mode("open", 0o757).link("../open/file", "a/link");
        assert_eq!(tree.fault("a/link"), Some((tree.path("open"), TrustFault::OthersWrite)));
        // a way in and out again counts as well: who owns it decides what comes next
        tree.link("../open/../a/b/file", "a/detour");
        assert_eq!(tree.fault("a/detour"), Some((tree.path("open"), TrustFault::OthersWrite)));
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let tree = Tree::new();
        tree.link("loop", "a/loop").link("nothing", "a/dangling");
        assert_eq!(tree.fault("a/b"), Some((tree.path("a/b"), TrustFault::NotRegular)));
        assert_eq!(tree.fault("a/loop"), Some((tree.path("a/loop"), TrustFault::LinkLoop)));
        assert!(matches!(tree.fault("a/dangling"), Some((_, TrustFault::Missing))));
        assert_eq!(
            tree.fault("a/b/file/x"),
            Some((tree.path("a/b/file"), TrustFault::NotDirectory))
        );
        let relative = Trust::new(0).file(Path::new("a/b")).unwrap_err();
        assert_eq!(relative.fault, TrustFault::Relative);
    }

    #[test]
    fn another_owner_is_refused() {
        if !nix::unistd::geteuid().is_root() {
            return; // only root can give a file away
        }
        let tree = Tree::new();
        std::os::unix::fs::chown(tree.path("a/b/file"), Some(4321), None).unwrap();
        assert_eq!(tree.fault("a/b/file"), Some((tree.path("a/b/file"), TrustFault::Owner(4321))));
    }
}
