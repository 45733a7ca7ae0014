//! Collects what is to be registered: from a script or a module that describes itself, from options, or
//! from a file. A program is checked before it is run to describe itself.
//!
//! A script that doesn't know `--describe` would do its work when it is run. So only a script that has this
//! word in its text is run, or one for which the user gives --describe; `--dry-run` runs none.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::given::{self, MAX_FILE_BYTES, STDIN};
use super::options;
use crate::call::door;
use crate::cli::CommandPlace;
use crate::cli::args::{AddArgs, EXECTYPES, Format, HookOptions};
use crate::cli::output::Output;
use crate::cli::parse_error;
use crate::cli::register::ask::{self, DescribeError};
use crate::cli::register::contrib::{self, ContribHook};
use crate::cli::register::description::{self, DescriptionError, DescriptionProblem};
use crate::cli::register::draft;
use crate::cli::register::module::{self, Language, Module};
use crate::cli::register::translate::{self, DescriptionEntry, ScriptOrModule};
use crate::cli::remark::Remark;
use crate::cli::usage;
use crate::command::{self, Fix, words};
use crate::config::suggest::suggestion;
use crate::config::{Registration, Settings, TrustPolicy};
use crate::machine::files;
use crate::repair::{self, OwnPaths};
use crate::trust::{Refusal, Trust};

/// What the command line names.
pub(super) enum AddSource {
    File(PathBuf),
    /// Several files.
    Files(Vec<PathBuf>),
    Stdin,
    /// The name of a ready-made hook.
    Contrib(String),
    ScriptOrModule(ScriptOrModule),
}

/// A value, or every mistake with its entry and key.
pub(super) type Checked<T> = Result<T, Vec<DescriptionProblem>>;

/// What is to be registered.
pub(super) enum NewRegistrations {
    File(NewFile),
    Files(Vec<NewFile>),
    Contrib(ContribHook, Vec<ContribRegistration>),
    Entries { found: Checked<Vec<DescriptionEntry>>, stem: String },
}

/// A file that is registered as it is.
pub(super) struct NewFile {
    pub source: PathBuf,
    pub text: String,
    /// Who may read it: it may hold a password.
    pub mode: u32,
    pub name: String,
}

/// A registration of a ready-made hook.
pub(super) struct ContribRegistration {
    pub source: PathBuf,
    /// Its text, with absolute paths.
    pub text: String,
    pub name: String,
}

/// Returns the path of a program that stands where `script` was left out.
pub(super) fn program_alone(arguments: &AddArgs) -> Option<&Path> {
    let what = &arguments.what;
    let is_word = EXECTYPES.iter().any(|kind| what == Path::new(kind))
        || given::is_stdin(what)
        || given::is_file(what)
        || contrib::asked_for(what).is_some();
    if is_word || arguments.reference.is_some() {
        return None;
    }
    let metadata = fs::metadata(what).ok().filter(Metadata::is_file)?;
    let is_program = files::has_x_bit(&metadata)
        || files::read_beginning(what, 2).is_ok_and(|beginning| beginning == b"#!");
    is_program.then_some(what)
}

/// Reads the words of the command line. Ends the process as clap does if they are wrong.
pub(super) fn add_source(arguments: &AddArgs) -> anyhow::Result<AddSource> {
    let usage = |message: &str| -> ! { parse_error::wrong_usage("add", message) };
    let what = arguments.what.to_string_lossy();
    parse_error::check_exectype("add", arguments.exectype.as_deref(), &what);
    if let (Some(name), None) = (contrib::asked_for(&arguments.what), &arguments.reference) {
        let has_ask_option =
            arguments.manual.is_some() || arguments.describe || arguments.exectype.is_some();
        if has_ask_option || arguments.options != HookOptions::default() {
            usage("a ready-made hook says everything itself: its file in hooks.d can be edited");
        }
        return Ok(AddSource::Contrib(name.to_owned()));
    }
    if arguments.register.from.is_some() {
        usage("--from says where the ready-made hooks lie: `add contrib/NAME --from DIR`");
    }
    given::must_be_there(arguments)?;
    if let Some(files) = given::files(arguments)? {
        let is_plain = arguments.manual.is_none() && !arguments.describe;
        if !is_plain || arguments.options != HookOptions::default() {
            usage("files say everything themselves: no options describe several of them");
        }
        return Ok(AddSource::Files(files));
    }
    if !arguments.more.is_empty() {
        usage(
            "only files of registrations can be several: write a command for each script or module",
        );
    }
    let is_stdin = given::is_stdin(&arguments.what);
    let is_file = is_stdin || given::is_file(&arguments.what);
    match (what.as_ref(), &arguments.reference) {
        ("script", Some(path)) => {
            let path = std::path::absolute(path).context("the script's path can't be used")?;
            let Some(path) = path.to_str() else {
                bail!("{} is not UTF-8, which a registration has to be", path.display())
            };
            Ok(AddSource::ScriptOrModule(ScriptOrModule::Script(path.to_owned())))
        }
        ("module", Some(name)) => match Module::parse(&name.to_string_lossy()) {
            Ok(module) => Ok(AddSource::ScriptOrModule(ScriptOrModule::Module(module))),
            Err(message) => usage(&message),
        },
        ("script", None) => usage("`add script` needs the script's path"),
        ("module", None) => usage("`add module` needs the module's name"),
        (_, None) if is_file => {
            let name_alone =
                HookOptions { name: arguments.options.name.clone(), ..HookOptions::default() };
            let has_ask_option = arguments.manual.is_some() || arguments.describe;
            if has_ask_option || arguments.options != name_alone {
                usage("a file says everything itself: only --name can be used with it");
            }
            if is_stdin && arguments.options.name.is_none() {
                usage(
                    "standard input has no file name: `--name NAME` says what the registration is called",
                );
            }
            if is_stdin {
                return Ok(AddSource::Stdin);
            }
            Ok(AddSource::File(std::path::absolute(&arguments.what)?))
        }
        (word, _) => {
            let hint = suggestion(word, ["script", "module"]);
            let message = format!(
                "`{word}` is neither `script` nor `module` nor contrib/NAME nor a .yaml file nor the path of a program{hint}"
            );
            parse_error::wrong_action("add", &message)
        }
    }
}

/// Where it is said what is registered. Options and a description are never mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntrySource {
    Options,
    /// The script or the module describes itself.
    Description,
    /// The description; the options if there is none.
    DescriptionElseOptions,
}

impl EntrySource {
    pub(super) fn of(arguments: &AddArgs) -> EntrySource {
        let has_options = arguments.options != HookOptions::default();
        match (arguments.manual, has_options) {
            (Some(true), _) | (None, true) => EntrySource::Options,
            (Some(false), true) => EntrySource::DescriptionElseOptions,
            (None | Some(false), false) => EntrySource::Description,
        }
    }
}

/// Finds out what is to be registered.
pub(super) struct Collector<'a> {
    pub place: &'a CommandPlace,
    pub settings: &'a Settings,
    pub arguments: &'a AddArgs,
    /// Whether the user has written `script`, where a script is registered.
    pub is_script_typed: bool,
    pub source: EntrySource,
    pub trust: Trust,
    pub warnings: Vec<Remark>,
}

impl Collector<'_> {
    pub(super) fn file(&self, source: &Path) -> anyhow::Result<NewFile> {
        let text = given::read_text(source, "a registration")?;
        let mode = fs::metadata(source)?.mode() & draft::FILE_MODE;
        let stem = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let given = self.arguments.options.name.as_deref().map(options::bare_name);
        let is_given = given.is_some();
        let name = given.unwrap_or(stem);
        if let Err(message) = translate::check_name(&name) {
            bail!(match is_given {
                true => usage::wrong(format!("--name: {message}")),
                false => anyhow::anyhow!("{message}; --name gives it another"),
            });
        }
        Ok(NewFile { source: source.to_path_buf(), text, mode, name })
    }

    pub(super) fn stdin(&self) -> anyhow::Result<NewRegistrations> {
        let given = self.arguments.options.name.as_deref().unwrap_or_default();
        let name = options::bare_name(given);
        translate::check_name(&name)
            .map_err(|message| usage::wrong(format!("--name: {message}")))?;
        let text = given::read_stdin()?;
        let (source, mode) = (PathBuf::from(STDIN), draft::FILE_MODE);
        Ok(NewRegistrations::File(NewFile { source, text, mode, name }))
    }

    /// Collects the registrations of a ready-made hook, whose programs and files are judged as those of
    /// `add script` are.
    pub(super) fn contrib(&mut self, name: &str) -> anyhow::Result<NewRegistrations> {
        let directory = contrib::directory(self.arguments.register.from.as_deref())?;
        let hook = contrib::find(&directory, name)?;
        let mut found = Vec::new();
        for source in &hook.registrations {
            if let Err(refusal) = self.trust.file(source) {
                self.refusal(&refusal, source)?;
            }
            let written = files::read_regular(source, MAX_FILE_BYTES)
                .and_then(files::into_text)
                .with_context(|| format!("{} can't be read", source.display()))?;
            let text = contrib::text(source, &written, &self.settings.hooks_dir)?;
            let parsed = Registration::parse(source, &self.settings.hooks_dir, &text);
            let registration = parsed.map_err(|diagnostic| anyhow::anyhow!("{diagnostic}"))?;
            if let Some(program) = registration.command.first() {
                self.check_script(program)?;
            }
            let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            translate::check_name(&name).map_err(anyhow::Error::msg)?;
            found.push(ContribRegistration { source: source.clone(), text, name });
        }
        Ok(NewRegistrations::Contrib(hook, found))
    }

    /// Collects the entries of a script or module: from options, or from its own description. Returns
    /// `None` if it would have to be run, and nothing may be run.
    pub(super) fn entries(
        &mut self,
        subject: &ScriptOrModule,
        output: &mut Output,
    ) -> anyhow::Result<Option<Checked<Vec<DescriptionEntry>>>> {
        if self.source != EntrySource::Description {
            self.check_options();
        }
        let (name, command) = match subject {
            ScriptOrModule::Script(path) => {
                self.check_script(path)?;
                let is_described = self.arguments.describe || mentions_describe(path)?;
                if !is_described && self.source == EntrySource::DescriptionElseOptions {
                    self.use_options(format!("{path} has no `--describe` in its text"));
                }
                if is_described && self.source == EntrySource::Options {
                    self.tell_of_description(path);
                }
                if !is_described && self.source == EntrySource::Description {
                    bail!(
                        "{path} has no `--describe` in its text, so it isn't run to ask it\n\
                         options say what it is: {}\n\
                         or, if it can describe itself anyway: {}",
                        own(self.settings, &["add", "script", path, "--event", "EVENT"]),
                        own(self.settings, &["add", "script", path, "--describe"]),
                    );
                }
                (path.as_str(), vec![path.clone(), "--describe".to_owned()])
            }
            ScriptOrModule::Module(module) => {
                let interpreter = module.language.find_interpreter().map_err(anyhow::Error::msg)?;
                self.check_module(module, &interpreter)?;
                (module.name.as_str(), module.describing_command(&interpreter))
            }
        };
        if self.source == EntrySource::Options {
            return self.entry_of_options(subject).map(Some);
        }
        let asking = match subject {
            ScriptOrModule::Script(_) => format!("run to ask it: {}", command::text(&command)),
            ScriptOrModule::Module(_) => "loaded to ask it, which runs its code".to_owned(),
        };
        if self.arguments.register.dry_run {
            let words = format!(
                "{name} would be {asking}; a dry run runs nothing, so what it registers isn't known"
            );
            self.warnings.push(words.into());
            return Ok(None);
        }
        if self.arguments.register.output.format == Format::Text {
            output.line(&format!("{name} is {asking}"));
        }
        let why = match self.ask(&command) {
            Err(DescribeError::Interrupted) => bail!("interrupted; nothing was registered"),
            Err(DescribeError::Failed(why)) => why,
            Ok(printed) => {
                match description::read(&printed, subject, &Language::find_interpreter) {
                    Err(DescriptionError::NotADescription(why)) => why,
                    Err(DescriptionError::Invalid(problems)) => return Ok(Some(Err(problems))),
                    Ok(_) if self.source == EntrySource::DescriptionElseOptions => bail!(
                        "{name} describes itself, and options can't be combined with that: leave the \
                         options out, or write --manual 1 to use only them"
                    ),
                    Ok(entries) => return Ok(Some(Ok(entries))),
                }
            }
        };
        if self.source == EntrySource::DescriptionElseOptions {
            self.use_options(format!("{name} doesn't describe itself ({why})"));
            return self.entry_of_options(subject).map(Some);
        }
        bail!(
            "{name} doesn't describe itself: {why}\noptions say what it is: --event and more; \
             `hookmux help add` names them"
        );
    }

    /// Takes the options where there is no description.
    fn use_options(&mut self, why: String) {
        self.source = EntrySource::Options;
        self.warnings.push(format!("{why}: the options are used, as with --manual 1").into());
    }

    /// Warns that a script which can describe itself isn't asked.
    fn tell_of_description(&mut self, path: &str) {
        if self.arguments.manual.is_none() {
            let words = format!(
                "{path} has `--describe` in its text, but options are given, so it isn't asked; \
                 --manual 1 confirms that, and without options its own description is used"
            );
            self.warnings.push(words.into());
        }
    }

    /// Ends the process as clap does if the options are incomplete.
    fn check_options(&self) {
        if self.arguments.describe {
            parse_error::wrong_usage(
                "add",
                "a description can't be combined with options: leave out the options or --describe",
            );
        }
        if self.arguments.options.event.is_empty() {
            parse_error::wrong_usage(
                "add",
                "options describe the whole hook, so --event is required",
            );
        }
    }

    /// Runs a script or module to describe itself, in the directory in which hooks run.
    fn ask(&self, command: &[String]) -> Result<Vec<u8>, DescribeError> {
        door::prepare_process();
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
            bail!(Remark::followed_by(&format!("{} is not executable", path.display()), Some(fix)));
        }
        Ok(())
    }

    /// Checks a module as scripts are checked: all files that run when it is loaded. Its language has to find
    /// them, so a dry run, which runs nothing, doesn't check them.
    fn check_module(&mut self, module: &Module, interpreter: &Path) -> anyhow::Result<()> {
        let modules = self.settings.hooks_dir.join(module::DIRECTORY);
        if modules.symlink_metadata().is_ok() {
            if let Err(refusal) = self.trust.directory(&modules) {
                self.refusal(&refusal, &modules)?;
            }
        }
        if self.arguments.register.dry_run {
            return Ok(());
        }
        let printed = match self.ask(&module.locating_command(interpreter)) {
            Ok(printed) => printed,
            Err(DescribeError::Interrupted) => bail!("interrupted; nothing was registered"),
            Err(DescribeError::Failed(why)) => {
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

    fn ground(&self) -> OwnPaths<'_> {
        OwnPaths::of(self.settings, self.place.surroundings.user)
    }

    /// Returns the command that copies a script to a place of root's, and registers the copy.
    fn take_over(&self, script: &Path) -> Fix {
        let real = fs::canonicalize(script).unwrap_or_else(|_| script.to_path_buf());
        let place = self.ground().free_path_for(script);
        let is_ours = self.arguments.reference.as_ref();
        let mut again: Vec<OsString> = std::env::args_os().skip(1).collect();
        // the first word after `add script`, or `add`: an option with the same value comes later
        let mut at = 0;
        let mut find = |wanted: &OsStr| {
            let found = again.iter().skip(at).position(|word| word == wanted)?;
            at += found + 1;
            Some(at - 1)
        };
        let words: &[&str] = if self.is_script_typed { &["add", "script"] } else { &["add"] };
        let position = words
            .iter()
            .try_for_each(|word| find(OsStr::new(word)).map(drop))
            .and_then(|()| is_ours.and_then(|path| find(OsStr::new(path))));
        if let Some(word) = position.and_then(|position| again.get_mut(position)) {
            *word = place.clone().into();
        }
        again.insert(0, "hookmux".into());
        Fix::all(&[repair::install(&real, &place), again])
    }

    fn refusal(&mut self, refusal: &Refusal, path: &Path) -> anyhow::Result<()> {
        let ground = self.ground();
        let faults = self.trust.all_refusals(path);
        let is_script = self.arguments.what == Path::new("script");
        let fix = match faults.iter().all(|fault| ground.has(&fault.path)) {
            false if is_script && path.is_file() => Some(self.take_over(path)),
            _ => ground.fix(&[repair::RepairTarget::at(path)]),
        };
        if self.settings.trust == TrustPolicy::Refuse {
            bail!(Remark::followed_by(&format!("refused: {refusal}"), fix));
        }
        self.warnings.push(Remark::followed_by(&refusal.to_string(), fix));
        Ok(())
    }

    fn entry_of_options(
        &self,
        subject: &ScriptOrModule,
    ) -> anyhow::Result<Checked<Vec<DescriptionEntry>>> {
        let problem = |(key, message): (String, String)| DescriptionProblem {
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

/// Returns a hookmux command, as a shell takes it.
pub(super) fn own(settings: &Settings, words: &[&str]) -> String {
    Fix::hookmux(&settings.hooks_dir, words).text
}

/// Tells whether a program's bytes contain the word `--describe`, whatever its size and kind.
fn mentions_describe(path: &str) -> anyhow::Result<bool> {
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
        // the word may be split between two chunks
        bytes.drain(..bytes.len().saturating_sub(WORD.len() - 1));
    }
}
