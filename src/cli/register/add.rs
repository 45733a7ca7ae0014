//! `hookmux add`: registers what a script or a module describes, what options say, or what a file says.
//! Everything is shown before it is written, and all of it is written or nothing.

use super::{registered, registry};
use crate::cli::args::{AddArgs, Format};
use crate::cli::install::libvirt_version;
use crate::cli::json::change::ChangeSummary;
use crate::cli::json::message::{EntryProblem, Message};
use crate::cli::json::registration::Added;
use crate::cli::output::{Cell, Output};
use crate::cli::register::description::DescriptionProblem;
use crate::cli::register::draft::{self, Draft, DraftContext};
use crate::cli::register::written::{self, WriteOptions};
use crate::cli::register::{contrib, module};
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::{Registration, Settings};
use crate::registry::RegistrationFile;
use crate::trust::Trust;
use collect::{
    AddSource, Checked, Collector, ContribRegistration, EntrySource, NewFile, NewRegistrations,
    add_source, program_alone,
};
use draft_checks::DraftChecker;

pub(super) mod collect;
pub(super) mod draft_checks;
pub(super) mod given;
pub(super) mod options;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &AddArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let alone = program_alone(arguments).map(|path| AddArgs {
        what: "script".into(),
        reference: Some(path.to_path_buf()),
        ..arguments.clone()
    });
    let is_script_typed = alone.is_none();
    let arguments = alone.as_ref().unwrap_or(arguments);
    let source = add_source(arguments)?;
    let settings = registry::settings(place, output)?;
    let user = place.surroundings.user;
    let mut collector = Collector {
        place,
        settings: &settings,
        arguments,
        is_script_typed,
        source: EntrySource::of(arguments),
        trust: Trust::new(user),
        warnings: Vec::new(),
    };
    let new = match source {
        AddSource::File(path) => Some(NewRegistrations::File(collector.file(&path)?)),
        AddSource::Files(paths) => {
            let files = paths.iter().map(|path| collector.file(path)).collect::<Result<_, _>>();
            Some(NewRegistrations::Files(files?))
        }
        AddSource::Stdin => Some(collector.stdin()?),
        AddSource::Contrib(name) => Some(collector.contrib(&name)?),
        AddSource::ScriptOrModule(subject) => {
            let stem = subject.stem();
            collector
                .entries(&subject, output)?
                .map(|found| NewRegistrations::Entries { found, stem })
        }
    };
    let Collector { mut trust, warnings, source, .. } = collector;
    let has_options = source == EntrySource::Options;
    let metadata = match &new {
        Some(NewRegistrations::Contrib(hook, _)) => hook.metadata.clone(),
        _ => None,
    };
    let mut command = AddCommand { settings: &settings, arguments, has_options, warnings };
    let Some(new) = new else {
        command.tell_nothing_asked(output);
        return Ok(CommandEnd::Idle);
    };
    // from here on no other process changes the registry
    let lock =
        if arguments.register.dry_run { None } else { Some(registry::lock(&settings, user)?) };
    let sources = registry::scan(&settings, user)?;
    let drafts = match command.draft(new, &sources)? {
        Ok(drafts) => drafts,
        Err(problems) => return Ok(command.refuse(&problems, output)),
    };
    // a description and a ready-made hook give the names of their registrations themselves
    let is_nameable = has_options
        || (arguments.reference.is_none()
            && !arguments.what.is_dir()
            && contrib::asked_for(&arguments.what).is_none());
    let checker = DraftChecker {
        settings: &settings,
        user,
        replaces: arguments.register.replace,
        is_nameable,
        libvirt: libvirt_version::of_host(),
    };
    let obstacles: Vec<DescriptionProblem> = drafts
        .iter()
        .filter_map(|draft| checker.obstacle(draft, &sources))
        .map(|message| DescriptionProblem { entry: None, key: None, message })
        .collect();
    if arguments.register.output.format == Format::Text {
        show(&drafts, output);
    }
    if !obstacles.is_empty() {
        return Ok(command.refuse(&obstacles, output));
    }
    command.warnings.extend(checker.warnings(&drafts, &mut trust));
    command.tell_of_rights(&drafts, user);
    let options = WriteOptions::of(&arguments.register);
    let end = written::write(lock.as_ref(), &drafts, &sources, &command.warnings, options, output)?;
    if let (Some(metadata), Format::Text) = (metadata, arguments.register.output.format) {
        output.line("It does nothing before a guest asks for it. `virsh edit GUEST` takes this in <domain>:");
        output.line("");
        output.write(&metadata);
    }
    Ok(end)
}

/// Prepares several files: all of them, or every mistake.
fn several(context: &DraftContext<'_>, files: &[NewFile]) -> Checked<Vec<Draft>> {
    let (mut drafts, mut problems) = (Vec::<Draft>::new(), Vec::new());
    for NewFile { source, text, mode, name } in files {
        let made = context.draft_file(source, text, name, false, &drafts);
        let made = made.map_err(|diagnostic| diagnostic.to_string());
        let is_second = drafts.iter().any(|draft| draft.name == *name);
        match made {
            Ok(_) if is_second => {
                let message = format!("{}: another file has the same name", source.display());
                problems.push(DescriptionProblem { entry: None, key: None, message });
            }
            Ok(draft) => drafts.push(Draft { mode: *mode, ..draft }),
            Err(message) => {
                problems.push(DescriptionProblem { entry: None, key: None, message });
            }
        }
    }
    if problems.is_empty() { Ok(drafts) } else { Err(problems) }
}

struct AddCommand<'a> {
    settings: &'a Settings,
    arguments: &'a AddArgs,
    /// Whether the options say what is registered.
    has_options: bool,
    warnings: Vec<Remark>,
}

impl AddCommand<'_> {
    fn draft(
        &self,
        new: NewRegistrations,
        sources: &[RegistrationFile],
    ) -> anyhow::Result<Checked<Vec<Draft>>> {
        let registered: Vec<&Registration> = sources.iter().filter_map(registry::read).collect();
        let context = DraftContext {
            hooks_dir: &self.settings.hooks_dir,
            registered: &registered,
            header: draft::header(&[]),
        };
        match new {
            NewRegistrations::File(NewFile { source, text, mode, name }) => {
                let is_named = self.arguments.options.name.is_some();
                let draft = context
                    .draft_file(&source, &text, &name, is_named, &[])
                    .map_err(|diagnostic| anyhow::anyhow!("{diagnostic}"))?;
                Ok(Ok(vec![Draft { mode, ..draft }]))
            }
            NewRegistrations::Files(files) => Ok(several(&context, &files)),
            NewRegistrations::Contrib(_, found) => {
                let draft = |new: ContribRegistration| {
                    context.draft_file(&new.source, &new.text, &new.name, true, &[])
                };
                let drafts: Result<Vec<Draft>, _> = found.into_iter().map(draft).collect();
                drafts.map(Ok).map_err(|diagnostic| anyhow::anyhow!("{diagnostic}"))
            }
            NewRegistrations::Entries { found: Err(problems), .. } => Ok(Err(problems)),
            NewRegistrations::Entries { found: Ok(entries), stem } => {
                Ok(context.draft(entries, &stem))
            }
        }
    }

    /// Warns of hooks in cPanel's words that would have no root's rights there.
    fn tell_of_rights(&mut self, drafts: &[Draft], user: u32) {
        let names: Vec<&str> = drafts
            .iter()
            .filter(|draft| draft.is_unescalated)
            .map(|draft| draft.name.as_str())
            .collect();
        if names.is_empty() {
            return;
        }
        let runs = if names.len() == 1 { "it runs" } else { "they run" };
        let who = if user == 0 { "root" } else { "the user of libvirt's daemon" };
        let words = format!(
            "{}: escalateprivs isn't given, and {runs} as {who} here anyway; \
             to run it as nobody, give escalateprivs 0 (run_as: nobody)",
            names.join(", ")
        );
        self.warnings.push(words.into());
    }

    fn refuse(&self, problems: &[DescriptionProblem], output: &mut Output) -> CommandEnd {
        // a wrong key of options is a wrong word; a name that is taken is not
        let is_usage = self.has_options && problems.iter().any(|problem| problem.key.is_some());
        let end = if is_usage { CommandEnd::WrongUsage } else { CommandEnd::Problem };
        if self.arguments.register.output.format == Format::Json {
            let shown_problem = |problem: &DescriptionProblem| EntryProblem {
                key: self.key(problem),
                ..EntryProblem::from(problem)
            };
            output.json(&Added {
                registrations: Vec::new(),
                notes: Message::all(&self.warnings),
                problems: problems.iter().map(shown_problem).collect(),
                summary: ChangeSummary::new(false, self.arguments.register.dry_run),
            });
            return end;
        }
        for warning in &self.warnings {
            output.print_error(&warning.words);
        }
        for problem in problems {
            let shown_problem = DescriptionProblem { key: self.key(problem), ..problem.clone() };
            output.print_error(&shown_problem.to_string());
        }
        output.print_error("nothing was registered");
        end
    }

    /// Returns the key of a problem, or the option that it came from.
    fn key(&self, problem: &DescriptionProblem) -> Option<String> {
        let key = problem.key.as_ref()?;
        if !self.has_options {
            return Some(key.clone());
        }
        Some(match key.as_str() {
            "events" | "calls" => "--event".to_owned(),
            "hook" | "command" => "--action".to_owned(),
            "driver" | "uuid" | "title" | "reason" | "origin" | "network" | "property" => {
                "--when".to_owned()
            }
            key => format!("--{}", key.replace('_', "-")),
        })
    }

    /// Reports a dry run that would have to run a script or a module to know more.
    fn tell_nothing_asked(&self, output: &mut Output) {
        if self.arguments.register.output.format == Format::Json {
            output.json(&Added {
                registrations: Vec::new(),
                notes: Message::all(&self.warnings),
                problems: Vec::new(),
                summary: ChangeSummary { changed: None, dry_run: true },
            });
            return;
        }
        for warning in &self.warnings {
            output.print_error(&warning.words);
        }
        output.line(written::DRY_RUN);
    }
}

pub(super) fn show(drafts: &[Draft], output: &mut Output) {
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
                module::command_line(&command).into(),
                registered::more(registration).into(),
            ]
        })
        .collect();
    output.table(&["NAME", "EVENT", "WEIGHT", "COMMAND", "MORE"], &rows);
}
