//! `hookmux add`: registers what a script or a module says of itself, what options say, or what a
//! file says. It is shown before it counts, and it counts as a whole or not at all.
//!
//! A script that never heard of `--describe` would do its work when it is asked. So only one that has
//! the word in its text is asked, or one for which the user says so; under `--dry-run` none is.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{registered, registry};
use crate::call::door;
use crate::cli::args::{self, AddArgs, Format, HookOptions};
use crate::cli::json::message::{EntryProblem, Message};
use crate::cli::json::registration::{Added, ChangedRegistration};
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::register::ask::{self, Silence};
use crate::cli::register::description::{self, Entry, Problem, Subject, Unread};
use crate::cli::register::draft::{Desk, Draft};
use crate::cli::register::hooks_d;
use crate::cli::register::module::{self, Language, Module};
use crate::cli::remark::Remark;
use crate::cli::{End, Place};
use crate::command::{self, Fix, words};
use crate::config::diagnostic::did_you_mean;
use crate::config::registration::{EXTENSION, RunAs};
use crate::config::{Registration, Settings, TrustPolicy};
use crate::event;
use crate::hook::State;
use crate::machine::files;
use crate::mend::{self, Ground};
use crate::process::supervise::Supervisor;
use crate::process::users;
use crate::registry::{Source, called, matching};
use crate::trust::{Refusal, Trust};

mod options;

/// A registration is a page, not a book, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

pub fn run(place: &Place, arguments: &AddArgs, output: &mut Output) -> anyhow::Result<End> {
    let wanted = wanted(arguments)?;
    let settings = registry::settings(place, output)?;
    let user = place.surroundings.user;
    let mut adding = Adding {
        place,
        settings: &settings,
        arguments,
        trust: Trust::new(user),
        warnings: Vec::new(),
        by_options: arguments.manual || arguments.options != HookOptions::default(),
    };
    let offer = match wanted {
        Wanted::File(path) => adding.file(&path)?,
        Wanted::Subject(subject) => {
            let stem = subject.stem();
            let Some(found) = adding.entries(&subject, output)? else {
                adding.report(&[], &[], output);
                return Ok(End::Idle);
            };
            Offer::Entries { found, stem }
        }
    };
    // from here on nobody else changes the registry
    let lock = if arguments.dry_run { None } else { Some(registry::lock(&settings, user)?) };
    let sources = registry::scan(&settings, user)?;
    let drafts = match adding.draft(offer, &sources)? {
        Ok(drafts) => drafts,
        Err(problems) => return Ok(adding.refuse(&problems, output)),
    };
    let obstacles: Vec<Problem> = drafts
        .iter()
        .filter_map(|draft| adding.obstacle(draft, &sources))
        .map(|message| Problem { entry: None, key: None, message })
        .collect();
    if arguments.output == Format::Text {
        show(&drafts, output);
    }
    if !obstacles.is_empty() {
        return Ok(adding.refuse(&obstacles, output));
    }
    for draft in &drafts {
        adding.warn(draft);
    }
    let actions: Vec<&'static str> = drafts.iter().map(|draft| action(draft, arguments)).collect();
    if let Some(lock) = &lock {
        hooks_d::write_all(lock, &drafts)?;
    }
    adding.report(&drafts, &actions, output);
    Ok(End::Good)
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

enum Wanted {
    File(PathBuf),
    Subject(Subject),
}

/// What is found wrong is told by entry and key; there may be more than one of it.
type Checked<T> = Result<T, Vec<Problem>>;

enum Offer {
    File { source: PathBuf, text: String, name: String },
    Entries { found: Checked<Vec<Entry>>, stem: String },
}

/// What the words mean; where they mean nothing the process ends as clap does.
fn wanted(arguments: &AddArgs) -> anyhow::Result<Wanted> {
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
            let hint = did_you_mean(word, ["script", "module"].into_iter())
                .map(|meant| format!("; did you mean `{meant}`?"))
                .unwrap_or_default();
            usage(&format!("`{word}` is neither `script` nor `module` nor a .yaml file{hint}"))
        }
    }
}

struct Adding<'a> {
    place: &'a Place,
    settings: &'a Settings,
    arguments: &'a AddArgs,
    trust: Trust,
    warnings: Vec<Remark>,
    /// Whether the options say what is registered.
    by_options: bool,
}

impl Adding<'_> {
    fn file(&self, source: &Path) -> anyhow::Result<Offer> {
        let metadata =
            fs::metadata(source).with_context(|| format!("{} can't be read", source.display()))?;
        if !metadata.is_file() || metadata.len() > MAX_FILE {
            bail!("{} is no registration: a regular file of at most 1 MiB", source.display());
        }
        let text = files::read_regular(source, MAX_FILE)
            .and_then(files::into_text)
            .with_context(|| format!("{} can't be read", source.display()))?;
        let stem = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let given = self.arguments.options.name.as_deref().map(options::bare_name);
        let name = given.unwrap_or(stem);
        if let Err(message) = description::check_name(&name) {
            bail!("{message}; --name gives it another");
        }
        Ok(Offer::File { source: source.to_path_buf(), text, name })
    }

    /// What is to be registered of a script or module: by options, or by what it says itself. `None`
    /// where only asking it would tell, and nothing may be run.
    fn entries(
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
                        self.own(&["add", "script", path, "--event", "EVENT"]),
                        self.own(&["add", "script", path, "--describe"]),
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
        if self.arguments.output == Format::Text {
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
        if metadata.permissions().mode() & 0o111 == 0 {
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
        Ok(description::translate(0, keys, subject, &Language::find_interpreter)
            .map(|entry| vec![entry])
            .map_err(|faults| faults.into_iter().map(problem).collect()))
    }

    fn draft(&self, offer: Offer, sources: &[Source]) -> anyhow::Result<Checked<Vec<Draft>>> {
        let registered: Vec<&Registration> = sources.iter().filter_map(registry::read).collect();
        let header = self.header();
        let desk = Desk { hooks_dir: &self.settings.hooks_dir, registered: &registered, header };
        match offer {
            Offer::File { source, text, name } => {
                let is_named = self.arguments.options.name.is_some();
                let draft = desk
                    .draft_file(&source, &text, &name, is_named)
                    .map_err(|diagnostic| anyhow::anyhow!("{diagnostic}"))?;
                Ok(Ok(vec![draft]))
            }
            Offer::Entries { found: Err(problems), .. } => Ok(Err(problems)),
            Offer::Entries { found: Ok(entries), stem } => Ok(desk.draft(entries, &stem)),
        }
    }

    /// How a file came to be.
    fn header(&self) -> String {
        let typed: Vec<String> =
            std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let words = std::iter::once("hookmux".to_owned()).chain(typed).collect::<Vec<_>>();
        format!(
            "Registered by: {}\nThis file may be edited; libvirt's next call goes by what it says then.\nWhat may be in it is told by `hookmux schema`.",
            module::shown(&words)
        )
    }

    /// Why a draft can't be written.
    fn obstacle(&self, draft: &Draft, sources: &[Source]) -> Option<String> {
        let name = &draft.name;
        // a description names its registrations itself
        let is_nameable = self.by_options || self.arguments.reference.is_none();
        let or_name = |words: &str| {
            if is_nameable { format!(", {words}") } else { String::new() }
        };
        if !self.arguments.replace {
            if let Some(top) = registry::find(sources, name).first() {
                let path = top.path.display();
                return Some(match (registry::read(top), &top.state) {
                    (_, State::Disabled(_)) => format!(
                        "{path} disables `{name}`: `{}` first, or give --replace",
                        self.own(&["enable", name])
                    ),
                    _ if !registry::is_own(top, self.settings) => format!(
                        "`{name}` is registered in {path}, which would be masked: give --replace{}",
                        or_name("or another --name")
                    ),
                    (Some(known), _)
                        if known.command.first() == draft.registration.command.first() =>
                    {
                        format!(
                            "this is registered already, as `{name}` in {path}: --replace writes it anew{}",
                            or_name("--name registers it once more")
                        )
                    }
                    _ => format!(
                        "`{name}` is the name of another registration, {path}: give --replace{}",
                        or_name("or another --name")
                    ),
                });
            }
            if draft.path.symlink_metadata().is_ok() {
                return Some(format!(
                    "{} is there already, and is no registration: move it away, or give --replace",
                    draft.path.display()
                ));
            }
        }
        match fs::symlink_metadata(&draft.path) {
            Ok(file) if file.is_dir() => {
                return Some(format!("{} is a directory: move it away", draft.path.display()));
            }
            Ok(file) if file.is_symlink() => {}
            // what is replaced has to be put back where a later one can't be written
            Ok(file) if !file.is_file() || file.len() > MAX_FILE => {
                return Some(format!(
                    "{} is no registration (a regular file of at most 1 MiB): move it away",
                    draft.path.display()
                ));
            }
            _ => {}
        }
        let is_again = |source: &&Source| {
            source.path != draft.path
                && registry::read(source).is_some_and(|known| {
                    // all that it does, apart from what it is called and when its turn is
                    let new = Registration {
                        name: known.name.clone(),
                        source: known.source.clone(),
                        root: known.root.clone(),
                        weight: known.weight,
                        enabled: known.enabled,
                        ..draft.registration.clone()
                    };
                    *known == new
                })
        };
        let again = sources.iter().find(is_again).filter(|_| !draft.is_named)?;
        Some(format!(
            "this is registered already, as `{}` in {}: `{}` first{}",
            registry::name_of(again),
            again.path.display(),
            self.own(&["delete", &registry::name_of(again)]),
            or_name("or --name registers it once more")
        ))
    }

    /// A command of hookmux's own, as a shell takes it.
    fn own(&self, words: &[&str]) -> String {
        Fix::hookmux(&self.settings.hooks_dir, words).text
    }

    /// What is allowed, and will hardly do what is meant.
    fn warn(&mut self, draft: &Draft) {
        let registration = &draft.registration;
        let mut found: Vec<String> = registration.warnings();
        found.extend(
            matching::impossibility(registration).map(|why| format!("it never runs: {why}")),
        );
        found.extend(registration.triggers.calls.iter().filter_map(called::uncalled));
        let programs = [
            Some(&registration.command),
            registration.check.as_ref(),
            registration.rollback.as_ref(),
        ];
        for program in programs.into_iter().flatten().filter_map(|words| words.first()) {
            if let Err(refusal) = self.trust.file(Path::new(program)) {
                let fix =
                    self.ground().fix(&[mend::Subject::named(Path::new(program), &draft.path)]);
                let words = match self.settings.trust {
                    TrustPolicy::Refuse => {
                        format!(
                            "{}: it will be refused, and count as failed: {refusal}",
                            draft.name
                        )
                    }
                    TrustPolicy::Warn => format!("{}: {refusal}", draft.name),
                };
                let remark = Remark::and(&words, fix);
                if self.warnings.iter().all(|known| known.words != remark.words) {
                    self.warnings.push(remark);
                }
            }
        }
        let refused = registration.run_as.as_ref().and_then(|run_as| self.find_user(run_as).err());
        found.extend(refused.map(|why| format!("it will be refused, and count as failed: {why}")));
        if let Some(program) = registration.command.first() {
            found.extend(self.event_of(Path::new(program)).map(|event| {
                format!("{program} lies in an event's directory: it runs at {event} without being registered too")
            }));
        }
        found.dedup();
        let named = |words: String| Remark::from(format!("{}: {words}", draft.name));
        self.warnings.extend(found.into_iter().map(named));
    }

    /// The event in whose directory a program lies.
    fn event_of<'a>(&self, program: &'a Path) -> Option<&'a str> {
        let directory = program.parent()?;
        let root = directory.parent()?;
        let mut roots = std::iter::once(&self.settings.hooks_dir).chain(&self.settings.roots);
        let event = directory.file_name()?.to_str()?;
        (roots.any(|known| known == root) && event::is_known(event)).then_some(event)
    }

    fn find_user(&self, run_as: &RunAs) -> Result<(), String> {
        let mut supervisor = Supervisor::new(&[]).map_err(|error| error.to_string())?;
        users::resolve(run_as, self.place.surroundings.user, &mut supervisor)
            .map(drop)
            .map_err(|why| why.to_string())
    }

    fn refuse(&self, problems: &[Problem], output: &mut Output) -> End {
        if self.arguments.output == Format::Json {
            let told = |problem: &Problem| EntryProblem {
                key: self.key(problem),
                ..EntryProblem::from(problem)
            };
            output.json(&Added {
                registrations: Vec::new(),
                notes: Message::all(&self.warnings),
                problems: problems.iter().map(told).collect(),
            });
            return End::Problem;
        }
        for warning in &self.warnings {
            output.complain(&warning.words);
        }
        for problem in problems {
            let told = Problem { key: self.key(problem), ..problem.clone() };
            output.complain(&told.to_string());
        }
        output.complain("nothing was registered");
        End::Problem
    }

    /// A key, or the option that it came from.
    fn key(&self, problem: &Problem) -> Option<String> {
        let key = problem.key.as_ref()?;
        if !self.by_options {
            return Some(key.clone());
        }
        Some(match key.as_str() {
            "events" | "calls" => "--event".to_owned(),
            "hook" | "command" => "--action".to_owned(),
            key => format!("--{}", key.replace('_', "-")),
        })
    }

    fn report(&self, drafts: &[Draft], actions: &[&'static str], output: &mut Output) {
        if self.arguments.output == Format::Json {
            output.json(&Added {
                registrations: drafts.iter().zip(actions).map(registered).collect(),
                notes: Message::all(&self.warnings),
                problems: Vec::new(),
            });
            return;
        }
        for warning in &self.warnings {
            output.complain(&warning.words);
        }
        for (draft, action) in drafts.iter().zip(actions) {
            if *action != "none" {
                output.toned(Tone::Good, &format!("{action} {}", draft.path.display()));
            }
        }
        if self.arguments.dry_run {
            output.line("nothing was registered: --dry-run");
        }
    }
}

fn action(draft: &Draft, arguments: &AddArgs) -> &'static str {
    match draft.path.symlink_metadata() {
        _ if arguments.dry_run => "none",
        Ok(_) => "replaced",
        Err(_) => "registered",
    }
}

fn show(drafts: &[Draft], output: &mut Output) {
    let rows: Vec<Vec<Cell>> = drafts
        .iter()
        .map(|draft| {
            let registration = &draft.registration;
            let (events, calls) = registered::moments(registration);
            let moments: Vec<String> = events.into_iter().chain(calls).collect();
            let args = registration.args.iter().map(|arg| arg.as_str().to_owned());
            let command: Vec<String> = registration.command.iter().cloned().chain(args).collect();
            vec![
                draft.name.clone().into(),
                moments.join(", ").into(),
                registration.weight.to_string().into(),
                module::shown(&command).into(),
                registered::more(registration).into(),
            ]
        })
        .collect();
    output.table(&["NAME", "EVENT", "WEIGHT", "COMMAND", "MORE"], &rows);
}

fn registered((draft, action): (&Draft, &&'static str)) -> ChangedRegistration {
    let path = draft.path.display();
    ChangedRegistration {
        name: draft.name.clone(),
        registration: draft.path.as_path().into(),
        action,
        message: match *action {
            "none" => format!("{path} was not written: --dry-run"),
            action => format!("{action} {path}"),
        },
        registered: Some((&draft.registration).into()),
    }
}
