//! The way out where something isn't trusted, or can't be run where it lies: one command for all that
//! is wrong on its path. Owner and mode are changed only of what is hookmux's: of the hooks
//! directory, the roots, the state and the runtime directory, and what lies below them. Anything else
//! (a home, a mount point, `/`) is left as it is: what lies there is copied.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::command::{Fix, words};
use crate::config::Settings;
use crate::machine::own_binary;
use crate::trust::{Refusal, Trust};

/// The programs of registrations that are copied lie here, below the hooks directory: AppArmor's
/// profile for libvirtd allows that place.
const PROGRAMS: &str = "bin";

/// Where something is looked for, and so where a copy of it would count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The path by which it is looked at.
    pub path: PathBuf,
    /// The file in which this path is written, if it isn't a place that hookmux looks at by itself.
    pub named_in: Option<PathBuf>,
}

impl Subject {
    /// What lies where hookmux looks by itself.
    pub(crate) fn at(path: &Path) -> Subject {
        Subject { path: path.to_path_buf(), named_in: None }
    }

    /// What a registration or the settings name.
    pub(crate) fn named(path: &Path, file: &Path) -> Subject {
        Subject { path: path.to_path_buf(), named_in: Some(file.to_path_buf()) }
    }
}

/// What is hookmux's own.
pub(crate) struct Ground<'a> {
    hooks_dir: &'a Path,
    others: Vec<&'a Path>,
    trust: Trust,
}

impl<'a> Ground<'a> {
    /// The places of the settings; `user` is trusted beside root.
    pub(crate) fn of(settings: &'a Settings, user: u32) -> Ground<'a> {
        let roots = settings.roots.iter().map(|root| root.as_path());
        let dirs = [settings.state_dir.unchecked_path(), settings.runtime_dir.unchecked_path()];
        let others = roots.chain(dirs).collect();
        Ground { hooks_dir: &settings.hooks_dir, others, trust: Trust::new(user) }
    }

    /// The hooks directory alone: no settings are known.
    pub(crate) fn of_hooks_dir(hooks_dir: &'a Path, user: u32) -> Ground<'a> {
        Ground { hooks_dir, others: Vec::new(), trust: Trust::new(user) }
    }

    fn places(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.hooks_dir).chain(self.others.iter().copied())
    }

    /// Whether a path is hookmux's own, as it is written.
    pub(crate) fn has(&self, path: &Path) -> bool {
        let is_below = |place: &Path| {
            path.starts_with(place)
                // a place that a link leads to is as much ours as its name
                || fs::canonicalize(place).is_ok_and(|real| {
                    path.starts_with(&real) && self.is_named_by_trusted_links(place)
                })
        };
        // `/` as a root would make all of the machine hookmux's
        self.places().filter(|place| place.parent().is_some()).any(is_below)
            || own_binary::is_hookmux(path)
    }

    /// Whether nothing but root's own links lead from a place's name to where it lies.
    fn is_named_by_trusted_links(&self, place: &Path) -> bool {
        self.trust.clone().directory(place.parent().unwrap_or(place)).is_ok()
            && place.symlink_metadata().is_ok_and(|found| !found.is_symlink())
    }

    /// The way out for all of these, which are refused. `None` where nothing is wrong on their paths
    /// that could be told: what isn't there, or is no file.
    pub(crate) fn fix(&self, subjects: &[Subject]) -> Option<Fix> {
        let mut own: Vec<Refusal> = Vec::new();
        let mut copies = Vec::new();
        let mut advice = Vec::new();
        for subject in subjects {
            let faults = self.trust.all_refusals(&subject.path);
            let (inside, outside): (Vec<_>, Vec<_>) =
                faults.into_iter().partition(|refusal| self.has(&refusal.path));
            if let Some(first) = outside.first() {
                match self.copy(subject, first) {
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
        // first who may write at all, then what is put there
        let mut commands = self.put_right(&own, &copies);
        for copy in copies {
            if !commands.contains(&copy) {
                commands.push(copy);
            }
        }
        (!commands.is_empty()).then(|| Fix::all(&commands))
    }

    /// The same command, where it changes only what is hookmux's own and nobody else could have made;
    /// else the way out for what it is about. A name of ours may be a link to somebody else's file, which
    /// `chmod` and `sed` follow.
    pub(crate) fn guard(&self, fix: Fix) -> Fix {
        let bad =
            fix.parts.iter().flat_map(|words| changed_by(words)).find(|(path, is_in_place)| {
                let at = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                let is_of_others = |fault: &Refusal| !is_in_place || fault.path != at;
                (*is_in_place && !self.has(&at))
                    || self.trust.all_refusals(path).iter().any(is_of_others)
            });
        let Some((path, is_in_place)) = bad else { return fix };
        if let Some(mended) = self.fix(&[Subject::at(&path)]) {
            return mended;
        }
        let Ok(real) = fs::canonicalize(&path) else { return fix };
        let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
        let is_own_name = path.is_symlink() && parent.is_some_and(|parent| self.has(&parent));
        if is_in_place && is_own_name && real.is_file() {
            // a copy of ours in the place of the link, then what was to be done
            let mut commands = vec![install(&real, &path)];
            commands.extend(fix.parts);
            return Fix::all(&commands);
        }
        let words = "isn't hookmux's own, and is left as it is: put a copy where hooks lie";
        format!("{} {words}", real.display()).into()
    }

    /// Owner and mode of what is ours.
    fn put_right(&self, faults: &[Refusal], copies: &[Vec<OsString>]) -> Vec<Vec<OsString>> {
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

    /// The commands that put a copy where the subject is looked for.
    ///
    /// # Errors
    /// In words what a person has to do: no copy would be trusted, or nobody knows where it belongs.
    fn copy(&self, subject: &Subject, fault: &Refusal) -> Result<Vec<Vec<OsString>>, String> {
        let path = subject.path.as_path();
        let shut = fault.path.display();
        if self.places().any(|place| place.starts_with(&fault.path)) {
            return Err(format!(
                "{fault}, and hookmux's own directories lie below it: let them lie where only root can write"
            ));
        }
        let Ok(real) = fs::canonicalize(path) else {
            return Err(format!("{fault}: look at {shut}"));
        };
        if !self.places().any(|place| path.starts_with(place)) {
            let Some(file) = &subject.named_in else {
                return Err(format!(
                    "{fault}: let the system's packages install {} anew, or name another one",
                    path.display()
                ));
            };
            return self.copy_and_name(&real, path, file);
        }
        // the first name of ours that leads out
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
        let (Ok(end), true) = (fs::canonicalize(link), self.has_above(link)) else {
            return Err(format!(
                "{} leads to where others than root can write: let it lie where only root can write",
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

    /// Whether a name lies below a place of ours, and isn't one itself.
    fn has_above(&self, link: &Path) -> bool {
        link.parent().is_some_and(|parent| self.places().any(|place| parent.starts_with(place)))
    }

    /// A copy below the hooks directory, and its name in the file that names the original.
    fn copy_and_name(
        &self,
        real: &Path,
        path: &Path,
        file: &Path,
    ) -> Result<Vec<Vec<OsString>>, String> {
        let place = self.place_for(path);
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

    /// A free name below the hooks directory for a copy of this.
    pub(crate) fn place_for(&self, path: &Path) -> PathBuf {
        let directory = self.hooks_dir.join(PROGRAMS);
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

    /// Puts a program below the hooks directory, and names the copy in the file that names it.
    pub(crate) fn moved(&self, path: &Path, file: &Path) -> Option<Fix> {
        let real = fs::canonicalize(path).ok()?;
        Some(match self.copy_and_name(&real, path, file) {
            Ok(commands) => Fix::all(&commands),
            Err(words) => words.into(),
        })
    }
}

/// What a command changes: files in their places, or names in directories.
fn changed_by(words: &[OsString]) -> Vec<(PathBuf, bool)> {
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

/// The command that makes a copy which is root's own.
pub(crate) fn install(real: &Path, place: &Path) -> Vec<OsString> {
    words!["install", "-D", "-m", mode_of(real), real, place]
}

/// A copy is for everybody to read only where the original is; nobody but its owner writes.
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

/// The program for sed that writes another path in a file, wherever the old one stands as a whole;
/// `None` where it doesn't, or a name has what sed or YAML would read otherwise.
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
