//! Proposes one command that fixes everything on a path that isn't trusted, or moves a program that
//! can't be run where it lies. Such a command changes owner and mode only of what is hookmux's own: the
//! hooks directory, the roots, the state and the runtime directory, and what lies below them. Anything
//! else (a home, a mount point, `/`) is left as it is: what lies there is copied.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::command::{Fix, words};
use crate::config::Settings;
use crate::libvirt::program;
use crate::machine::own_binary;
use crate::trust::{Refusal, Trust};

/// The directory for copies of registered programs, below the hooks directory: AppArmor's profile for
/// libvirtd allows it.
pub(crate) const PROGRAMS_DIRECTORY: &str = "bin";

/// A path that is to be repaired. A copy is used only at this path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RepairTarget {
    /// The path that hookmux uses.
    pub path: PathBuf,
    /// The file that names this path, if hookmux doesn't look there by itself.
    pub named_in: Option<PathBuf>,
}

impl RepairTarget {
    /// Makes one for a path where hookmux looks by itself.
    pub(crate) fn at(path: &Path) -> RepairTarget {
        RepairTarget { path: path.to_path_buf(), named_in: None }
    }

    /// Makes one for a path that a registration or the settings name.
    pub(crate) fn named(path: &Path, file: &Path) -> RepairTarget {
        RepairTarget { path: path.to_path_buf(), named_in: Some(file.to_path_buf()) }
    }
}

/// The paths that are hookmux's own.
pub(crate) struct OwnPaths<'a> {
    hooks_dir: &'a Path,
    others: Vec<&'a Path>,
    /// Where the installed program has its data.
    data: Option<PathBuf>,
    trust: Trust,
}

impl<'a> OwnPaths<'a> {
    /// Takes the directories of the settings; `user` is trusted besides root.
    pub(crate) fn of(settings: &'a Settings, user: u32) -> OwnPaths<'a> {
        let roots = settings.roots.iter().map(|root| root.as_path());
        let dirs = [settings.state_dir.unchecked_path(), settings.runtime_dir.unchecked_path()];
        let others = roots.chain(dirs).collect();
        OwnPaths { others, ..OwnPaths::of_hooks_dir(&settings.hooks_dir, user) }
    }

    /// Takes the hooks directory only, where no settings are known.
    pub(crate) fn of_hooks_dir(hooks_dir: &'a Path, user: u32) -> OwnPaths<'a> {
        let data = program::own_data_directory();
        OwnPaths { hooks_dir, others: Vec::new(), data, trust: Trust::new(user) }
    }

    fn places(&self) -> impl Iterator<Item = &Path> {
        let data = self.data.as_deref();
        std::iter::once(self.hooks_dir).chain(self.others.iter().copied()).chain(data)
    }

    /// Tells whether a path, as written, is hookmux's own.
    pub(crate) fn has(&self, path: &Path) -> bool {
        let is_below = |place: &Path| {
            path.starts_with(place)
                // the target of a link is hookmux's own too
                || fs::canonicalize(place).is_ok_and(|real| {
                    path.starts_with(&real) && self.is_named_by_trusted_links(place)
                })
        };
        // `/` as a root would make every path hookmux's own
        self.places().filter(|place| place.parent().is_some()).any(is_below)
            || own_binary::is_hookmux(path)
    }

    /// Tells whether only links of root lead from a directory's name to where it lies.
    fn is_named_by_trusted_links(&self, place: &Path) -> bool {
        self.trust.clone().directory(place.parent().unwrap_or(place)).is_ok()
            && place.symlink_metadata().is_ok_and(|found| !found.is_symlink())
    }

    /// Returns the fix for refused paths. `None` where there is nothing to fix on them: a path that
    /// doesn't exist, or is not a file.
    pub(crate) fn fix(&self, targets: &[RepairTarget]) -> Option<Fix> {
        let mut own: Vec<Refusal> = Vec::new();
        let mut copies = Vec::new();
        let mut advice = Vec::new();
        for target in targets {
            let faults = self.trust.all_refusals(&target.path);
            let (inside, outside): (Vec<_>, Vec<_>) =
                faults.into_iter().partition(|refusal| self.has(&refusal.path));
            if let Some(first) = outside.first() {
                match self.copy(target, first) {
                    Ok(commands) => copies.extend(commands),
                    Err(words) => advice.push(words),
                }
            }
            for refusal in inside {
                if !own.contains(&refusal) {
                    own.push(refusal);
                }
            }
        }
        if let Some(words) = advice.into_iter().next() {
            return Some(words.into());
        }
        // first owner and mode, then the copies
        let mut commands = self.owner_and_mode_commands(&own, &copies);
        for copy in copies {
            if !commands.contains(&copy) {
                commands.push(copy);
            }
        }
        (!commands.is_empty()).then(|| Fix::all(&commands))
    }

    /// Returns the same fix if it changes only what is hookmux's own and trusted; else a fix for the path
    /// that it would change. A name of hookmux's may be a link to a file of somebody else, and `chmod` and
    /// `sed` follow links.
    pub(crate) fn guard(&self, fix: Fix) -> Fix {
        let bad =
            fix.parts.iter().flat_map(|words| changed_paths(words)).find(|(path, is_in_place)| {
                let at = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                let is_of_others = |fault: &Refusal| !is_in_place || fault.path != at;
                (*is_in_place && !self.has(&at))
                    || self.trust.all_refusals(path).iter().any(is_of_others)
            });
        let Some((path, is_in_place)) = bad else { return fix };
        if let Some(repaired) = self.fix(&[RepairTarget::at(&path)]) {
            return repaired;
        }
        let Ok(real) = fs::canonicalize(&path) else { return fix };
        let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
        let is_own_name = path.is_symlink() && parent.is_some_and(|parent| self.has(&parent));
        if is_in_place && is_own_name && real.is_file() {
            // replace the link with a copy, then do what was to be done
            let mut commands = vec![install(&real, &path)];
            commands.extend(fix.parts);
            return Fix::all(&commands);
        }
        let words =
            "isn't hookmux's own, and is left as it is: put a copy into the hooks directory";
        format!("{} {words}", real.display()).into()
    }

    /// Returns the commands that set owner and mode of hookmux's own paths.
    fn owner_and_mode_commands(
        &self,
        faults: &[Refusal],
        copies: &[Vec<OsString>],
    ) -> Vec<Vec<OsString>> {
        let is_replaced =
            |path: &Path| copies.iter().any(|copy| copy.last().is_some_and(|last| last == path));
        let mut owners = words!["chown", "-h", "root"];
        let mut modes = words!["chmod", "go-w"];
        let mut marks = words!["chmod", "ug-s"];
        for path in faults.iter().map(|refusal| &refusal.path).filter(|path| !is_replaced(path)) {
            let Ok(found) = fs::symlink_metadata(path) else { continue };
            if found.uid() != 0 && found.uid() != self.trust.user() {
                owners.push(path.into());
            }
            if found.is_symlink() {
                continue;
            }
            if found.mode() & 0o022 != 0 {
                modes.push(path.into());
            }
            if found.is_file() && found.mode() & 0o6000 != 0 {
                marks.push(path.into());
            }
        }
        [(owners, 3), (modes, 2), (marks, 2)]
            .into_iter()
            .filter(|(words, bare)| words.len() > *bare)
            .map(|(words, _)| words)
            .collect()
    }

    /// Returns the commands that put a copy at the target's path.
    ///
    /// # Errors
    /// What a person has to do: no copy would be trusted, or its place can't be found out.
    fn copy(&self, target: &RepairTarget, fault: &Refusal) -> Result<Vec<Vec<OsString>>, String> {
        let path = target.path.as_path();
        let shut = fault.path.display();
        if self.places().any(|place| place.starts_with(&fault.path)) {
            return Err(format!(
                "{fault}, and hookmux's own directories lie below it: move them to where only root can write"
            ));
        }
        let Ok(real) = fs::canonicalize(path) else {
            return Err(format!("{fault}: look at {shut}"));
        };
        if !self.places().any(|place| path.starts_with(place)) {
            let Some(file) = &target.named_in else {
                return Err(format!(
                    "{fault}: reinstall {} from the system's packages, or name another file",
                    path.display()
                ));
            };
            return self.copy_and_name(&real, path, file);
        }
        // the first link that leads out of hookmux's own paths
        let link = path
            .ancestors()
            .filter(|part| self.places().any(|place| part.starts_with(place)))
            .filter(|part| part.is_symlink())
            .last();
        let Some(link) = link else { return Err(format!("{fault}: look at {shut}")) };
        if link == path && real.is_file() {
            let mode = mode_of(&real);
            return Ok(vec![words!["install", "-m", mode, real, path]]);
        }
        let (Ok(end), true) = (fs::canonicalize(link), self.is_below_own_path(link)) else {
            return Err(format!(
                "{} leads to where others than root can write: move it to where only root can write",
                link.display()
            ));
        };
        let mut copy = link.as_os_str().to_owned();
        copy.push(".copy");
        Ok(vec![
            words!["cp", "-a", &end, &copy],
            words!["chown", "-Rh", "root", &copy],
            words!["chmod", "-R", "go-w", &copy],
            words!["rm", link],
            words!["mv", &copy, link],
        ])
    }

    /// Tells whether a path lies below one of hookmux's own directories, and isn't one itself.
    fn is_below_own_path(&self, link: &Path) -> bool {
        link.parent().is_some_and(|parent| self.places().any(|place| parent.starts_with(place)))
    }

    /// Returns the commands that copy a file below the hooks directory, and name the copy in the file that
    /// names the original.
    fn copy_and_name(
        &self,
        real: &Path,
        path: &Path,
        file: &Path,
    ) -> Result<Vec<Vec<OsString>>, String> {
        let place = self.free_path_for(path);
        let install = install(real, &place);
        let rename = fs::read_to_string(file)
            .ok()
            .and_then(|text| rename(&text, path, &place))
            .map(|program| words!["sed", "-i", program, file]);
        match rename {
            Some(rename) => Ok(vec![install, rename]),
            None => Err(format!(
                "{}, and name {} in {}",
                crate::command::text(&install),
                place.display(),
                file.display()
            )),
        }
    }

    /// Returns a free name below the hooks directory for a copy.
    pub(crate) fn free_path_for(&self, path: &Path) -> PathBuf {
        let directory = self.hooks_dir.join(PROGRAMS_DIRECTORY);
        let name = path.file_name().unwrap_or_default();
        let numbered = (2..100).map(|number| {
            let mut other = name.to_owned();
            other.push(format!("-{number}"));
            directory.join(other)
        });
        std::iter::once(directory.join(name))
            .chain(numbered)
            .find(|place| place.symlink_metadata().is_err())
            .unwrap_or_else(|| directory.join(name))
    }

    /// Returns the fix that copies a program below the hooks directory, and names the copy in the file
    /// that names the program.
    pub(crate) fn move_into_hooks_dir(&self, path: &Path, file: &Path) -> Option<Fix> {
        let real = fs::canonicalize(path).ok()?;
        Some(match self.copy_and_name(&real, path, file) {
            Ok(commands) => Fix::all(&commands),
            Err(words) => words.into(),
        })
    }
}

/// Returns what a command changes: files in place (`true`), or entries of directories (`false`).
fn changed_paths(words: &[OsString]) -> Vec<(PathBuf, bool)> {
    let tool = words.first().and_then(|word| word.to_str()).unwrap_or_default();
    let paths = words.iter().skip(1).map(PathBuf::from).filter(|word| word.is_absolute());
    match tool {
        "chmod" | "sed" => paths.map(|path| (path, true)).collect(),
        "mv" | "rm" | "mkdir" | "rmdir" => {
            let parents = paths.filter_map(|path| path.parent().map(Path::to_path_buf));
            parents.filter(|path| path.is_dir()).map(|path| (path, false)).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the command that makes a copy owned by root.
pub(crate) fn install(real: &Path, place: &Path) -> Vec<OsString> {
    words!["install", "-D", "-m", mode_of(real), real, place]
}

/// Returns the mode of a copy: everybody may read it only if that holds for the original; only the owner
/// may write.
fn mode_of(real: &Path) -> String {
    let mode = fs::metadata(real).map_or(0o755, |found| found.permissions().mode());
    let is_program = mode & 0o111 != 0 || starts_as_script(real);
    match (is_program, mode & 0o044 != 0) {
        (true, true) => "755",
        (true, false) => "700",
        (false, true) => "644",
        (false, false) => "600",
    }
    .to_owned()
}

fn starts_as_script(real: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 2];
    fs::File::open(real).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *b"#!"
}

/// Returns a sed program that replaces a path wherever it occurs as a whole; `None` where it doesn't, or
/// a name has characters with a meaning in sed or YAML.
fn rename(text: &str, old: &Path, new: &Path) -> Option<String> {
    let is_plain = |path: &OsStr| {
        let plain = |c: char| c.is_alphanumeric() || "/._+-@ ".contains(c);
        path.to_str().filter(|path| path.chars().all(plain)).map(|path| path.replace('.', "\\."))
    };
    let (escaped, written) = (is_plain(old.as_os_str())?, is_plain(new.as_os_str())?);
    let follows =
        |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || "/._+@-".contains(c));
    let old = old.to_str()?;
    let is_there = text.match_indices(old).any(|(at, _)| follows(&text[at + old.len()..]));
    let written = written.replace("\\.", ".");
    is_there.then(|| format!("s,{escaped}\\([^[:alnum:]/._+@-]\\|$\\),{written}\\1,g"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_renamed_only_where_it_stands_as_a_whole() {
        let (old, new) = (Path::new("/opt/x"), Path::new("/etc/hooks/bin/x"));
        assert!(rename("command: /opt/x\n", old, new).is_some());
        assert!(rename("command: [/opt/x, a]\n", old, new).is_some());
        assert_eq!(rename("command: /opt/x2\n", old, new), None);
        assert_eq!(rename("command: /opt/x.sh\n", old, new), None);
        assert_eq!(rename("command: \"/opt/it's\"\n", Path::new("/opt/it's"), new), None);
    }
}
