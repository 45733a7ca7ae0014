//! What is to be registered: what a script or a module says of itself, what options say, or a file.
//! What would be run to ask is checked first.
//!
//! A script that never heard of `--describe` would do its work when it is asked. So only one that has
//! the word in its text is asked, or one for which the user says so; under `--dry-run` none is.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::options;
use crate::call::door;
use crate::cli::Place;
use crate::cli::args::{self, AddArgs, Format, HookOptions};
use crate::cli::output::Output;
use crate::cli::register::ask::{self, Silence};
use crate::cli::register::description::{self, Problem, Unread};
use crate::cli::register::module::{self, Language, Module};
use crate::cli::register::translate::{self, Entry, Subject};
use crate::cli::remark::Remark;
use crate::command::{self, Fix, words};
use crate::config::registration::EXTENSION;
use crate::config::suggest::suggestion;
use crate::config::{Settings, TrustPolicy};
use crate::machine::files;
use crate::mend::{self, Ground};
use crate::trust::{Refusal, Trust};

/// A registration is a page, not a book.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What is named.
pub(super) enum Wanted {
    File(PathBuf),
    Subject(Subject),
}

/// What is found wrong is told by entry and key; there may be more than one of it.
pub(super) type Checked<T> = Result<T, Vec<Problem>>;

/// What there is to be registered.
pub(super) enum Offer {
    File { source: PathBuf, text: String, name: String },
    Entries { found: Checked<Vec<Entry>>, stem: String },
}

/// What the words mean; where they mean nothing the process ends as clap does.
pub(super) fn wanted(arguments: &AddArgs) -> anyhow::Result<Wanted> {
    let usage = |message: &str| -> ! { args::wrong_usage("add", message) };
    let what = arguments.what.to_string_lossy();
    let is_file = arguments.what.extension().is_some_and(|end| end == EXTENSION || end == "yml");
    match (what.as_ref(), &arguments.reference) {
        ("script", Some(path)) => {
            let path = std::path::absolute(path).context("the script's path can't be used")?;
            let Some(path) = path.to_str() else {
                bail!("{} is no UTF-8, which a registration has to be", path.display())
            };
            Ok(Wanted::Subject(Subject::Script(path.to_owned())))
        }
        ("module", Some(name)) => match Module::parse(&name.to_string_lossy()) {
            Ok(module) => Ok(Wanted::Subject(Subject::Module(module))),
            Err(message) => usage(&message),
        },
        ("script", None) => usage("`add script` needs the script's path"),
        ("module", None) => usage("`add module` needs the module's name"),
        (_, None) if is_file => {
            let name_alone =
                HookOptions { name: arguments.options.name.clone(), ..HookOptions::default() };
            let is_asking = arguments.manual || arguments.describe;
            if is_asking || arguments.options != name_alone {
                usage("a file says all itself: only --name goes with it");
            }
            Ok(Wanted::File(std::path::absolute(&arguments.what)?))
        }
        (word, _) => {
            let hint = suggestion(word, ["script", "module"]);
            usage(&format!("`{word}` is neither `script` nor `module` nor a .yaml file{hint}"))
        }
    }
}

/// Finds out what is to be registered.
pub(super) struct Asker<'a> {
    pub place: &'a Place,
    pub settings: &'a Settings,
    pub arguments: &'a AddArgs,
    /// Whether the options say what is registered.
    pub by_options: bool,
    pub trust: Trust,
    pub warnings: Vec<Remark>,
}

impl Asker<'_> {
    pub(super) fn file(&self, source: &Path) -> anyhow::Result<Offer> {
        let metadata =
            fs::metadata(source).with_context(|| format!("{} can't be read", source.display()))?;
        if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
            bail!("{} is no registration: a regular file of at most 1 MiB", source.display());
        }
        let text = files::read_regular(source, MAX_FILE_BYTES)
            .and_then(files::into_text)
            .with_context(|| format!("{} can't be read", source.display()))?;
        let stem = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let given = self.arguments.options.name.as_deref().map(options::bare_name);
        let name = given.unwrap_or(stem);
        if let Err(message) = translate::check_name(&name) {
            bail!("{message}; --name gives it another");
        }
        Ok(Offer::File { source: source.to_path_buf(), text, name })
    }

    /// What is to be registered of a script or module: by options, or by what it says itself. `None`
    /// where only asking it would tell, and nothing may be run.
    pub(super) fn entries(
        &mut self,
        subject: &Subject,
        output: &mut Output,
    ) -> anyhow::Result<Option<Checked<Vec<Entry>>>> {
        if self.by_options {
            self.check_options();
        }
        let (name, command) = match subject {
            Subject::Script(path) => {
                self.check_script(path)?;
                if !self.by_options && !self.arguments.describe && !speaks_of_describing(path)? {
                    bail!(
                        "{path} has no `--describe` in its text, so it isn't run to ask it\n\
                         options say what it is: {}\n\
                         or, if it describes itself all the same: {}",
                        own(self.settings, &["add", "script", path, "--event", "EVENT"]),
                        own(self.settings, &["add", "script", path, "--describe"]),
                    );
                }
                (path.as_str(), vec![path.clone(), "--describe".to_owned()])
            }
            Subject::Module(module) => {
                let interpreter = module.language.find_interpreter().map_err(anyhow::Error::msg)?;
                self.check_module(module, &interpreter)?;
                (module.name.as_str(), module.describing_command(&interpreter))
            }
        };
        if self.by_options {
            return self.entry_of_options(subject).map(Some);
        }
        let asking = match subject {
            Subject::Script(_) => format!("run to ask it: {}", command::text(&command)),
            Subject::Module(_) => "loaded to ask it, which runs its code".to_owned(),
        };
        if self.arguments.dry_run {
            let words = format!(
                "{name} would be {asking}; a dry run runs nothing, so what it registers isn't known"
            );
            self.warnings.push(words.into());
            return Ok(None);
        }
        if self.arguments.output.format == Format::Text {
            output.line(&format!("{name} is {asking}"));
        }
        let why = match self.ask(&command) {
            Err(Silence::Interrupted) => bail!("interrupted; nothing was registered"),
            Err(Silence::Failed(why)) => why,
            Ok(printed) => {
                match description::read(&printed, subject, &Language::find_interpreter) {
                    Err(Unread::NoDescription(why)) => why,
                    Err(Unread::Wrong(problems)) => return Ok(Some(Err(problems))),
                    Ok(entries) => return Ok(Some(Ok(entries))),
                }
            }
        };
        bail!(
            "{name} doesn't describe itself: {why}\noptions say what it is: --event and more; \
             `hookmux help add` names them"
        );
    }

    /// Ends the process as clap does where the options can't say all.
    fn check_options(&self) {
        if self.arguments.describe {
            args::wrong_usage(
                "add",
                "a description is never mixed with options: leave them out, or --describe",
            );
        }
        if self.arguments.options.event.is_empty() {
            args::wrong_usage("add", "options say all of a hook, so they need --event at least");
        }
    }

    /// Asks a script or module; it runs where hooks do.
    fn ask(&self, command: &[String]) -> Result<Vec<u8>, Silence> {
        door::settle();
        let home = self.place.surroundings.home.as_deref().unwrap_or(Path::new("/"));
        ask::ask(command, &self.settings.hooks_dir, home)
    }

    fn check_script(&mut self, path: &str) -> anyhow::Result<()> {
        let metadata = match self.trust.file(Path::new(path)) {
            Ok(metadata) => metadata,
            Err(refusal) => {
                self.refusal(&refusal, Path::new(path))?;
                fs::metadata(path).with_context(|| format!("{path} can't be read"))?
            }
        };
        if !metadata.is_file() {
            bail!("{path} is not a regular file: it can't be a hook");
        }
        if !files::has_x_bit(&metadata) {
            let path = Path::new(path);
            let fix = match self.ground().has(path) {
                true => self.ground().guard(Fix::run(&words!["chmod", "a+x", path])),
                false => self.take_over(path),
            };
            bail!(Remark::and(&format!("{} is not executable", path.display()), Some(fix)));
        }
        Ok(())
    }

    /// A module is trusted as scripts are, in all files that loading it runs. Its language finds
    /// them, so a dry run, which runs nothing, goes without.
    fn check_module(&mut self, module: &Module, interpreter: &Path) -> anyhow::Result<()> {
        let modules = self.settings.hooks_dir.join(module::DIRECTORY);
        if modules.symlink_metadata().is_ok() {
            if let Err(refusal) = self.trust.directory(&modules) {
                self.refusal(&refusal, &modules)?;
            }
        }
        if self.arguments.dry_run {
            return Ok(());
        }
        let printed = match self.ask(&module.locating_command(interpreter)) {
            Ok(printed) => printed,
            Err(Silence::Interrupted) => bail!("interrupted; nothing was registered"),
            Err(Silence::Failed(why)) => {
                bail!("the {} module {} can't be found: {why}", module.language.name(), module.name)
            }
        };
        for file in String::from_utf8_lossy(&printed).lines() {
            if let Err(refusal) = self.trust.file(Path::new(file)) {
                self.refusal(&refusal, Path::new(file))?;
            }
        }
        Ok(())
    }

    fn ground(&self) -> Ground<'_> {
        Ground::of(self.settings, self.place.surroundings.user)
    }

    /// The command that makes a script root's own and registers it: a copy, and this command again.
    fn take_over(&self, script: &Path) -> Fix {
        let real = fs::canonicalize(script).unwrap_or_else(|_| script.to_path_buf());
        let place = self.ground().place_for(script);
        let is_ours = self.arguments.reference.as_ref();
        let mut again: Vec<OsString> = std::env::args_os().skip(1).collect();
        // the first behind `add script`: an option that says the same stands behind it
        let mut at = 0;
        let mut find = |wanted: &OsStr| {
            let found = again.iter().skip(at).position(|word| word == wanted)?;
            at += found + 1;
            Some(at - 1)
        };
        let position = ["add", "script"]
            .iter()
            .try_for_each(|word| find(OsStr::new(word)).map(drop))
            .and_then(|()| is_ours.and_then(|path| find(OsStr::new(path))));
        if let Some(word) = position.and_then(|position| again.get_mut(position)) {
            *word = place.clone().into();
        }
        again.insert(0, "hookmux".into());
        Fix::all(&[mend::install(&real, &place), again])
    }

    fn refusal(&mut self, refusal: &Refusal, path: &Path) -> anyhow::Result<()> {
        let ground = self.ground();
        let faults = self.trust.all_faults(path);
        let is_script = self.arguments.what == Path::new("script");
        let fix = match faults.iter().all(|fault| ground.has(&fault.path)) {
            false if is_script && path.is_file() => Some(self.take_over(path)),
            _ => ground.fix(&[mend::Subject::at(path)]),
        };
        if self.settings.trust == TrustPolicy::Refuse {
            bail!(Remark::and(&format!("refused: {refusal}"), fix));
        }
        self.warnings.push(Remark::and(&refusal.to_string(), fix));
        Ok(())
    }

    fn entry_of_options(&self, subject: &Subject) -> anyhow::Result<Checked<Vec<Entry>>> {
        let problem = |(key, message): (String, String)| Problem {
            entry: None,
            key: (!key.is_empty()).then_some(key),
            message,
        };
        let keys = match options::keys_of(&self.arguments.options, subject) {
            Ok(keys) => keys,
            Err(fault) => return Ok(Err(vec![problem(fault)])),
        };
        Ok(translate::translate(0, keys, subject, &Language::find_interpreter)
            .map(|entry| vec![entry])
            .map_err(|faults| faults.into_iter().map(problem).collect()))
    }
}

/// A command of hookmux's own, as a shell takes it.
pub(super) fn own(settings: &Settings, words: &[&str]) -> String {
    Fix::hookmux(&settings.hooks_dir, words).text
}

/// Whether a program's text has the word `--describe`, of whatever size and kind the program is.
fn speaks_of_describing(path: &str) -> anyhow::Result<bool> {
    const WORD: &[u8] = b"--describe";
    let context = || format!("{path} can't be read");
    let mut file = fs::File::open(path).with_context(context)?;
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).with_context(context),
        };
        bytes.extend_from_slice(&chunk[..count]);
        if bytes.windows(WORD.len()).any(|part| part == WORD) {
            return Ok(true);
        }
        // the word may lie across two chunks
        bytes.drain(..bytes.len().saturating_sub(WORD.len() - 1));
    }
}
