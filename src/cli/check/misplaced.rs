//! Finds executables in the hooks directory and in roots that no call can run, because they lie in the wrong
//! place.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::commands::commands;
use super::finding::{Code, Findings, Fix, words};
use super::survey::Survey;
use super::{content, inputs};
use crate::cli::register::module;
use crate::config::registration::DIRECTORY;
use crate::config::suggest::did_you_mean;
use crate::event;
use crate::hook::adopted;
use crate::libvirt::{Call, Driver, operation};
use crate::machine::{files, own_binary};
use crate::repair::PROGRAMS_DIRECTORY;
use crate::search::directory::leftover_reason;

/// How deep executables are looked for below a directory: `GUEST/prepare/begin/NAME`.
const MAX_DEPTH: usize = 4;
/// How many are looked at.
const MAX_FOUND: usize = 1000;
/// How many are told by their names.
const MAX_TOLD: usize = 5;
/// Names of directories for what hooks use. What lies there is no hook.
const HELPERS: [&str; 8] = [
    PROGRAMS_DIRECTORY,
    module::DIRECTORY,
    DIRECTORY,
    "lib",
    "libexec",
    "share",
    "contrib",
    "sbin",
];
/// The endings of scripts.
const SCRIPT_ENDINGS: [&str; 6] = ["sh", "bash", "py", "pl", "rb", "script"];

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    let known = KnownPaths::of(survey);
    for root in survey.settings.all_roots() {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort_unstable();
        let mut loose = Vec::new();
        for path in paths {
            let name = path.file_name().unwrap_or_default();
            if leftover_reason(name).is_some() || known.has(&path) {
                continue;
            }
            if path.is_dir() {
                directory(survey, &known, root, &path, findings);
            } else if files::is_executable(&path) && !is_of_driver(root, survey, &path) {
                loose.push(path);
            }
        }
        files_of_root(survey, root, loose, findings);
    }
}

/// Tells whether a directory of a root is for what hooks use, or a file in it is used by one.
pub(super) fn is_for_helpers(survey: &Survey<'_>, directory: &Path, file: &Path) -> bool {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let known = KnownPaths::of(survey);
    HELPERS.contains(&name) || known.has(directory) || known.is_used(file)
}

/// Tells whether a file directly in a root has a use there: it is of libvirt's drivers, or a hook uses it.
pub(super) fn has_use_in_root(survey: &Survey<'_>, root: &Path, file: &Path) -> bool {
    let is_event = file.file_name().and_then(|name| name.to_str()).is_some_and(event::is_known);
    (!is_event && is_of_driver(root, survey, file)) || KnownPaths::of(survey).is_used(file)
}

/// What hooks use, and what is looked at elsewhere.
struct KnownPaths {
    /// Programs and files that registrations name.
    named: BTreeSet<PathBuf>,
    /// Directories of another meaning.
    places: Vec<PathBuf>,
    /// The texts of all hooks and registrations.
    texts: Vec<String>,
}

impl KnownPaths {
    fn of(survey: &Survey<'_>) -> KnownPaths {
        let settings = survey.settings;
        let mut named = BTreeSet::new();
        let mut texts = Vec::new();
        for registration in &survey.registrations {
            for (_, words) in commands(registration) {
                named.extend(words.iter().filter(|word| word.starts_with('/')).map(PathBuf::from));
            }
            named.extend(registration.environment_file.clone());
            texts.push(registration.written.text.clone());
        }
        for path in survey.scripts.iter().map(|script| &script.path).chain(&named) {
            let text = content::beginning(path).filter(|bytes| bytes.starts_with(b"#!"));
            texts.extend(text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        }
        let mut places: Vec<PathBuf> = settings.roots.clone();
        places.extend(
            [&settings.state_dir, &settings.runtime_dir]
                .map(|dir| dir.unchecked_path().to_path_buf()),
        );
        for driver in Driver::ALL {
            places.push(settings.tree_of(driver));
            places.push(settings.hooks_dir.join(format!("{driver}.d")));
            places.extend(settings.tree_of(driver).parent().map(Path::to_path_buf));
        }
        places.retain(|place| *place != settings.hooks_dir);
        KnownPaths { named, places, texts }
    }

    /// Tells whether something isn't looked at here.
    fn has(&self, path: &Path) -> bool {
        self.places.iter().any(|place| place.starts_with(path)) || self.is_used(path)
    }

    /// Tells whether a registration names it, or a hook's text has its name.
    fn is_used(&self, path: &Path) -> bool {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        if self.named.iter().any(|named| named.starts_with(path) || named.starts_with(&real)) {
            return true;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let with_slash = format!("/{name}");
        self.texts.iter().any(|text| text.contains(&with_slash))
    }
}

/// Tells whether a file of the hooks directory is an entry, or was kept or put aside by hookmux.
fn is_of_driver(root: &Path, survey: &Survey<'_>, path: &Path) -> bool {
    if own_binary::is_hookmux(path) {
        return true;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_drivers = |driver: Driver| {
        let Some(rest) = name.strip_prefix(driver.name()) else { return false };
        let kept = [".adopted", ".retired", ".old"];
        rest.is_empty() || kept.iter().any(|kept| rest.starts_with(kept))
    };
    // a script with an event's name is reported elsewhere
    (root == survey.settings.hooks_dir && Driver::ALL.into_iter().any(is_drivers))
        || event::TABLE.iter().any(|row| row.name == name)
}

/// Returns a name as an event's would be written: `BeforeVmStart` and `before-vm-start.sh` are
/// `before_vm_start`.
fn as_event_name(name: &str) -> String {
    let mut plain = String::new();
    let mut was_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && was_lower {
            plain.push('_');
        }
        was_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        plain.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    }
    plain
}

/// Returns the events that a name probably means, the likeliest first.
fn meant_events(name: &str) -> Vec<&'static str> {
    let plain = as_event_name(name);
    let known = || event::TABLE.iter().map(|row| row.name);
    if let Some(exact) = known().find(|known| *known == plain) {
        return vec![exact];
    }
    // `vm_start`
    let end = format!("_{plain}");
    let mut longer: Vec<&str> = known().filter(|known| known.ends_with(&end)).collect();
    longer.sort_by_key(|name| !name.starts_with("before_"));
    if plain.contains('_') && !longer.is_empty() {
        return longer;
    }
    let is_like_event = plain.matches('_').count() >= 1;
    did_you_mean(&plain, known()).filter(|_| is_like_event).into_iter().collect()
}

/// Returns the executables below a directory, relative to it.
fn executables(directory: &Path) -> Vec<PathBuf> {
    fn add(base: &Path, below: &Path, depth: usize, found: &mut Vec<PathBuf>) {
        let entries = fs::read_dir(base.join(below)).into_iter().flatten().flatten();
        let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
        names.sort_unstable();
        for name in names.into_iter().filter(|name| leftover_reason(name).is_none()) {
            let path = below.join(name);
            let whole = base.join(&path);
            // a link to a directory may lead in a circle
            if whole.is_dir() && !whole.is_symlink() && depth > 1 {
                add(base, &path, depth - 1, found);
            } else if files::is_executable(&whole) && found.len() < MAX_FOUND {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    add(directory, Path::new(""), MAX_DEPTH, &mut found);
    found
}

/// Reports a directory that belongs to no event and holds executables.
fn directory(
    survey: &Survey<'_>,
    known: &KnownPaths,
    root: &Path,
    path: &Path,
    findings: &mut Findings,
) {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
    let is_told_elsewhere =
        ["before_", "after_", "on_"].iter().any(|start| name.starts_with(start));
    if HELPERS.contains(&name) || is_told_elsewhere || event::is_known(name) {
        return;
    }
    let found = executables(path);
    let unused: Vec<&PathBuf> =
        found.iter().filter(|below| !known.is_used(&path.join(below))).collect();
    if unused.is_empty() {
        return;
    }
    let label = survey.label(path);
    let is_direct = unused.iter().any(|below| below.components().count() == 1);
    let events = meant_events(name);
    if let (true, Some(event)) = (is_direct, events.first()) {
        let others = match events.get(1..) {
            Some([]) | None => String::new(),
            Some(others) => format!(" (or {})", others.join(", ")),
        };
        let words = format!(
            "{} has not the name of an event: nothing in it runs; did you mean {event}?{others}",
            path.display()
        );
        let right = root.join(event);
        let fix = match right.symlink_metadata() {
            Err(_) => Fix::run(&words!["mv", path, right]),
            Ok(_) => move_all(path, &unused, &right),
        };
        return findings.add(Code::UnknownEvent, path, words, fix);
    }
    if let Some(call) = operation_of(Path::new(name), &unused) {
        return tree_of_all(survey, root, path, &call, &unused, findings);
    }
    let moments: Vec<PathBuf> = unused
        .iter()
        .filter_map(|below| {
            let mut parts = below.components();
            let operation = parts.next()?;
            let rest = parts.as_path().to_path_buf();
            operation_of(operation.as_ref(), &[&rest])
                .map(|_| below.parent().map(Path::to_path_buf))?
        })
        .collect();
    if !moments.is_empty() {
        return tree_without_driver(survey, path, &moments, findings);
    }
    let words = format!(
        "{label} is neither an event's directory nor the per-guest tree: {} never {}",
        told(&unused, Path::new("")),
        if unused.len() == 1 { "runs" } else { "run" },
    );
    let first = path.join(unused[0]);
    let fix = match unused.len() {
        1 => survey.register(&first).into(),
        _ => several(survey, &first),
    };
    findings.add(Code::MisplacedScript, path, words, fix);
}

/// Says what becomes of several scripts without an event.
fn several(survey: &Survey<'_>, first: &Path) -> Fix {
    format!(
        "put each into the directory of its event (`hookmux events` shows them), or register it: {}",
        survey.register(first)
    )
    .into()
}

/// Returns the command that moves files into another directory, and removes theirs.
fn move_all(path: &Path, below: &[&PathBuf], into: &Path) -> Fix {
    let mut mv = words!["mv", "-n"];
    let direct = below.iter().filter(|below| below.components().count() == 1);
    mv.extend(direct.map(|below| path.join(below).into_os_string()));
    mv.push(into.into());
    Fix::run(&mv)
}

/// Returns the operation if a directory has the name of one, and what lies below it can be its scripts.
fn operation_of(name: &Path, below: &[&PathBuf]) -> Option<Vec<(String, PathBuf)>> {
    let name = name.to_str()?;
    let rows: Vec<_> = operation::TABLE.iter().filter(|row| row.name == name).collect();
    if rows.is_empty() {
        return None;
    }
    // `begin/NAME`, or NAME
    let subs = below.iter().map(|below| {
        let sub = below.parent().unwrap_or(Path::new("")).to_path_buf();
        (name.to_owned(), sub)
    });
    Some(subs.collect())
}

/// Reports `prepare/begin/NAME` in the hooks directory: a tree without a driver and a guest.
fn tree_of_all(
    survey: &Survey<'_>,
    root: &Path,
    path: &Path,
    calls: &[(String, PathBuf)],
    below: &[&PathBuf],
    findings: &mut Findings,
) {
    let label = survey.label(path);
    let first = calls.first();
    let event = first.and_then(|(operation, sub)| {
        let row = operation::TABLE.iter().find(|row| row.name == operation)?;
        let driver = row.drivers.first()?;
        let sub = match sub.as_os_str().is_empty() {
            true => row.sub.unwrap_or("begin").into(),
            false => sub.into(),
        };
        let words = ["guest".into(), operation.into(), sub, OsString::from("-")];
        let call = Call::new(*driver, words.to_vec());
        event::candidates(&call).into_iter().find(|event| !event.per_device)
    });
    let words = format!(
        "{label} is the per-guest tree without a driver and a guest ({}/GUEST/{label}): {} never {}",
        survey.label(&survey.settings.tree_of(Driver::Qemu)),
        told(below, Path::new("")),
        if below.len() == 1 { "runs" } else { "run" },
    );
    let Some(event) = event else {
        return findings.add(Code::MisplacedScript, path, words, "move it to the tree of a guest");
    };
    let scripts: Vec<PathBuf> = below.iter().map(|below| path.join(below)).collect();
    let needs_inputs = scripts.iter().any(|script| {
        let text =
            content::beginning(script).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        text.map(|text| inputs::of(&text))
            .is_some_and(|read| read.argument.is_some() || read.stdin.is_some())
    });
    let words = format!("{words}; for all guests, {} is the event", event.name);
    let fix = match needs_inputs {
        false => {
            let right = root.join(&*event.name);
            let mut mv = words!["mv", "-n"];
            mv.extend(scripts.iter().map(|script| script.clone().into_os_string()));
            mv.push(right.clone().into());
            Fix::all(&[words!["mkdir", "-p", right], mv])
        }
        // as in the tree it gets libvirt's arguments and document
        true => {
            let ground = survey.ground();
            let mut commands = Vec::new();
            let mut taken: BTreeSet<PathBuf> = BTreeSet::new();
            for script in &scripts {
                let place = ground.free_path_for(script);
                if !taken.insert(place.clone()) {
                    continue;
                }
                if let (true, Some(directory)) = (commands.is_empty(), place.parent()) {
                    commands.push(words!["mkdir", "-p", directory]);
                }
                commands.push(words!["mv", "-n", script, &place]);
                let mut add = survey.words("add script");
                add.extend(words![&place, "--event", &*event.name, "--style", "libvirt"]);
                commands.push(add);
            }
            Fix::all(&commands)
        }
    };
    findings.add(Code::MisplacedScript, path, words, fix);
}

/// Reports `GUEST/prepare/begin/NAME` in the hooks directory: a tree without its driver's directory.
fn tree_without_driver(
    survey: &Survey<'_>,
    path: &Path,
    moments: &[PathBuf],
    findings: &mut Findings,
) {
    let guest = path.file_name().unwrap_or_default();
    let is_of = |driver: &Driver| {
        crate::cli::guests::defined(&survey.settings.hooks_dir, *driver)
            .is_some_and(|names| names.iter().any(|name| guest == name.as_str()))
    };
    let driver = Driver::ALL.into_iter().find(is_of).unwrap_or(Driver::Qemu);
    let tree = survey.settings.tree_of(driver);
    let words = format!(
        "{} never runs: the per-guest tree of {driver} is {}",
        survey.label(path),
        survey.label(&tree)
    );
    let right = tree.join(guest);
    let fix = match right.symlink_metadata() {
        Err(_) => Fix::all(&[words!["mkdir", "-p", &tree], words!["mv", "-n", path, &tree]]),
        Ok(_) => {
            let moments: BTreeSet<&PathBuf> = moments.iter().collect();
            let commands = moments.into_iter().flat_map(|moment| {
                let from = path.join(moment);
                let to = right.join(moment);
                let mut mv = words!["mv", "-n"];
                let entries = fs::read_dir(&from).into_iter().flatten().flatten();
                let mut names: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
                names.sort_unstable();
                mv.extend(names.into_iter().map(PathBuf::into_os_string));
                mv.push(to.clone().into());
                [words!["mkdir", "-p", to], mv]
            });
            Fix::all(&commands.collect::<Vec<_>>())
        }
    };
    findings.add(Code::MisplacedScript, path, words, fix);
}

/// Reports executables that lie directly in the hooks directory or in a root.
fn files_of_root(survey: &Survey<'_>, root: &Path, loose: Vec<PathBuf>, findings: &mut Findings) {
    let mut others = Vec::new();
    for path in loose {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = match name.rsplit_once('.') {
            Some((stem, end)) if SCRIPT_ENDINGS.contains(&end) => stem,
            _ => name.as_str(),
        };
        let label = survey.label(&path);
        let adopted = Driver::from_name(stem)
            .map(|driver| (driver, adopted::place(&survey.settings.hooks_dir, driver)));
        let free = adopted.filter(|(_, place)| place.symlink_metadata().is_err());
        if let (Some((driver, place)), true) = (free, root == survey.settings.hooks_dir) {
            let words = format!(
                "{label} never runs: libvirt runs only {driver}, which is hookmux, and hookmux runs {} beside the hooks as libvirt would",
                survey.label(&place)
            );
            let fix = Fix::run(&words!["mv", "-n", &path, place]);
            findings.add(Code::MisplacedScript, &path, words, fix);
            continue;
        }
        // `10-before_vm_start.sh`
        let bare = stem.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '_');
        let plain = as_event_name(bare);
        match event::TABLE.iter().find(|row| row.name == plain) {
            Some(row) => {
                let right = root.join(row.name);
                let words = format!(
                    "{label} lies directly in {}, and never runs: scripts for {} are in a directory with that name",
                    root.display(),
                    row.name
                );
                let fix = Fix::all(&[
                    words!["mkdir", "-p", &right],
                    words!["mv", "-n", &path, right.join(&name)],
                ]);
                findings.add(Code::MisplacedScript, &path, words, fix);
            }
            None => others.push(path),
        }
    }
    let Some(first) = others.first() else { return };
    let all: Vec<&PathBuf> = others.iter().collect();
    let verb = if others.len() == 1 { ("lies", "runs") } else { ("lie", "run") };
    let words = format!(
        "{} {} directly in {}, and never {}: a script is in the directory of its event, or registered",
        told(&all, root),
        verb.0,
        root.display(),
        verb.1,
    );
    let fix = match others.len() {
        1 => survey.register(first).into(),
        _ => several(survey, first),
    };
    findings.add(Code::MisplacedScript, first, words, fix);
}

/// Returns the names of the first of some files, and how many more there are.
fn told(paths: &[&PathBuf], below: &Path) -> String {
    let name = |path: &&PathBuf| path.strip_prefix(below).unwrap_or(path).display().to_string();
    let names: Vec<String> = paths.iter().take(MAX_TOLD).map(name).collect();
    let more = paths.len().saturating_sub(MAX_TOLD);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_that_are_meant_are_found() {
        for (name, expected) in [
            ("BeforeVmStart", Some("before_vm_start")),
            ("before-vm-start", Some("before_vm_start")),
            ("Before_VM_Start", Some("before_vm_start")),
            ("before vm start", Some("before_vm_start")),
            ("vm_start", Some("before_vm_start")),
            ("VmStop", Some("after_vm_stop")),
            ("beforeVMStart", Some("before_vm_start")),
            ("befor_vm_start", Some("before_vm_start")),
            ("scripts", None),
            ("vfio", None),
            ("start", None),
            ("my_hooks", None),
        ] {
            assert_eq!(meant_events(name).first().copied(), expected, "{name}");
        }
        assert_eq!(meant_events("vm_start"), ["before_vm_start", "after_vm_start"]);
    }
}
