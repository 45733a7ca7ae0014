//! Finds the file of a module without running anything: in the directories that its language searches, in that
//! order.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::module::{DIRECTORY, Language, Module, called_function};
use crate::config::Registration;

/// A function of a module that a registration calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CalledFunction {
    pub language: Language,
    /// `pkg.mod`, `Pkg::Mod`.
    pub module: String,
    pub function: String,
    /// The module's file; `None` where it isn't found.
    pub file: Option<PathBuf>,
}

/// Where Perl looks, on Debian, Fedora and their relatives; `*` is any name.
const PERL_PLACES: &[&str] = &[
    "etc/perl",
    "usr/local/lib/*/perl/*",
    "usr/local/share/perl/*",
    "usr/local/lib64/perl5/*",
    "usr/local/lib64/perl5",
    "usr/local/share/perl5/*",
    "usr/local/share/perl5",
    "usr/lib64/perl5/vendor_perl",
    "usr/share/perl5/vendor_perl",
    "usr/lib/*/perl5/*",
    "usr/share/perl5",
    "usr/lib/*/perl-base",
    "usr/lib/*/perl/*",
    "usr/share/perl/*",
    "usr/lib64/perl5",
    "usr/local/lib/site_perl",
];

impl CalledFunction {
    /// Returns the function that a registration of `add module` calls.
    pub(crate) fn of(registration: &Registration, hooks_dir: &Path) -> Option<CalledFunction> {
        CalledFunction::below(Path::new("/"), &registration.command, hooks_dir)
    }

    /// Does the same with another root directory for the languages' own places.
    fn below(root: &Path, command: &[String], hooks_dir: &Path) -> Option<CalledFunction> {
        let (name, function) = called_function(command)?;
        let is_python = command.get(2).is_some_and(|flag| flag == "-c");
        let language = if is_python { Language::Python } else { Language::Perl };
        let interpreter = Path::new(command.first()?);
        let module = Module { language, name: name.to_owned() };
        let file = module.file(root, interpreter, hooks_dir);
        Some(CalledFunction { language, module: module.name, function: function.to_owned(), file })
    }
}

impl Module {
    fn file(&self, root: &Path, interpreter: &Path, hooks_dir: &Path) -> Option<PathBuf> {
        let mut places = match self.language {
            Language::Python => python_places(root, interpreter),
            Language::Perl => {
                PERL_PLACES.iter().flat_map(|pattern| expanded(root, pattern)).collect()
            }
        };
        places.push(hooks_dir.join(DIRECTORY));
        match self.language {
            Language::Python => python_file(&self.name, places),
            Language::Perl => {
                let file = format!("{}.pm", self.name.replace("::", "/"));
                places.into_iter().map(|place| place.join(&file)).find(|path| path.is_file())
            }
        }
    }
}

/// Returns where Python looks: its own modules, then what is installed for it.
fn python_places(root: &Path, interpreter: &Path) -> Vec<PathBuf> {
    // `python3` is a link to the program of its version
    let program = fs::canonicalize(interpreter).unwrap_or_else(|_| interpreter.to_path_buf());
    let Some(version) = program.file_name().and_then(OsStr::to_str) else { return Vec::new() };
    let prefix = program.parent().and_then(Path::parent).unwrap_or(Path::new("/usr"));
    let prefix = root.join(prefix.strip_prefix("/").unwrap_or(prefix));
    let (lib, lib64) = (prefix.join("lib"), prefix.join("lib64"));
    let local = root.join("usr/local");
    let mut places = vec![lib.join(version), lib64.join(version)];
    for above in [local.join("lib64"), local.join("lib"), lib64, lib.clone()] {
        for name in ["site-packages", "dist-packages"] {
            places.push(above.join(version).join(name));
        }
    }
    places.push(lib.join("python3/dist-packages"));
    places
}

/// Finds a module as Python does: of several places, the first with a package or a module of a name; else all
/// directories of that name together.
fn python_file(name: &str, mut places: Vec<PathBuf>) -> Option<PathBuf> {
    let mut found = None;
    for part in name.split('.') {
        let init = |place: &PathBuf| place.join(part).join("__init__.py");
        let file = |place: &PathBuf| place.join(format!("{part}.py"));
        let first = places.iter().find(|place| init(place).is_file() || file(place).is_file());
        (found, places) = match first {
            Some(place) if init(place).is_file() => (Some(init(place)), vec![place.join(part)]),
            Some(place) => (Some(file(place)), Vec::new()),
            None => {
                let directories = places.iter().map(|place| place.join(part));
                (None, directories.filter(|path| path.is_dir()).collect())
            }
        };
    }
    found
}

/// Returns the directories that a pattern means, in the order of their names.
fn expanded(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut all = vec![root.to_path_buf()];
    for part in pattern.split('/') {
        all = all
            .into_iter()
            .flat_map(|above| match part {
                "*" => {
                    let entries = fs::read_dir(&above).into_iter().flatten().flatten();
                    let mut below: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
                    below.sort_unstable();
                    below
                }
                part => vec![above.join(part)],
            })
            .collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn a_module_is_found_where_its_language_looks_first() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let hooks_dir = root.join("hooks");
        let interpreter = |language| match language {
            Language::Python => "/nowhere/bin/python3.11",
            Language::Perl => "/nowhere/bin/perl",
        };
        for (name, files) in [
            ("gpu", &["hooks/modules/gpu.py"][..]),
            ("pkg", &["hooks/modules/pkg/__init__.py"]),
            ("pkg.mod", &["hooks/modules/pkg/mod.py"]),
            ("space.deep.mod", &["hooks/modules/space/deep/mod.py"]),
            ("json2", &["nowhere/lib/python3.11/json2.py", "hooks/modules/json2.py"]),
            ("site", &["usr/local/lib/python3.11/site-packages/site.py", "hooks/modules/site.py"]),
            ("deb", &["nowhere/lib/python3/dist-packages/deb.py"]),
            // another version's
            ("old", &["hooks/modules/old.py", "nowhere/lib/python3.9/site-packages/old.py"]),
            ("MyApp::Hooks", &["hooks/modules/MyApp/Hooks.pm"]),
            ("Net::X", &["usr/share/perl5/Net/X.pm", "hooks/modules/Net/X.pm"]),
            ("Arch::X", &["usr/lib/x86_64-linux-gnu/perl/5.36/Arch/X.pm"]),
        ] {
            files.iter().for_each(|file| write(&root.join(file)));
            let module = Module::parse(name).unwrap();
            let command = module.command(Path::new(interpreter(module.language)), "add");
            let found = CalledFunction::below(root, &command, &hooks_dir).unwrap();
            assert_eq!(found.file, Some(root.join(files[0])), "{name}");
            assert_eq!((found.language, found.module.as_str()), (module.language, name));
        }
        let gone = Module::parse("pkg.gone").unwrap();
        let command = gone.command(Path::new("/nowhere/bin/python3.11"), "add");
        assert_eq!(CalledFunction::below(root, &command, &hooks_dir).unwrap().file, None);
        let script = ["/bin/true".to_owned()];
        assert_eq!(CalledFunction::below(root, &script, &hooks_dir), None);
    }
}
