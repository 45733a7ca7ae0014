//! `hookmux add`: registers what a script or a module describes, what options say, or what a file says.
//! Everything is shown before it is written, and all of it is written or nothing.

use super::{registered, registry};
use crate::cli::args::{AddArgs, Format};
use crate::cli::install::libvirt_version;
use crate::cli::json::message::{EntryProblem, Message};
use crate::cli::json::registration::RegistrationAction;
use crate::cli::json::registration::{Added, ChangedRegistration};
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::register::description::DescriptionProblem;
use crate::cli::register::draft::{self, Draft, DraftContext};
use crate::cli::register::{contrib, hooks_d, module};
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::{Registration, Settings};
use crate::registry::RegistrationFile;
use crate::trust::Trust;
use collect::{
    AddSource, Checked, Collector, ContribRegistration, EntrySource, NewRegistrations, add_source,
};
use draft_checks::DraftChecker;

pub(super) mod collect;
pub(super) mod draft_checks;
mod options;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &AddArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let source = add_source(arguments)?;
    let settings = registry::settings(place, output)?;
    let user = place.surroundings.user;
    let mut collector = Collector {
        place,
        settings: &settings,
        arguments,
        source: EntrySource::of(arguments),
        trust: Trust::new(user),
        warnings: Vec::new(),
    };
    let new = match source {
        AddSource::File(path) => Some(collector.file(&path)?),
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
        command.report(&[], &[], output);
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
        || (arguments.reference.is_none() && contrib::asked_for(&arguments.what).is_none());
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
    let actions: Vec<RegistrationAction> =
        drafts.iter().map(|draft| action(draft, arguments.register.dry_run)).collect();
    if let Some(lock) = &lock {
        hooks_d::write_all(lock, &drafts)?;
    }
    command.report(&drafts, &actions, output);
    if let (Some(metadata), Format::Text) = (metadata, arguments.register.output.format) {
        output.line("It does nothing before a guest asks for it. `virsh edit GUEST` takes this in <domain>:");
        output.line("");
        output.write(&metadata);
    }
    Ok(CommandEnd::Good)
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
            NewRegistrations::File { source, text, name } => {
                let is_named = self.arguments.options.name.is_some();
                let draft = context
                    .draft_file(&source, &text, &name, is_named)
                    .map_err(|diagnostic| anyhow::anyhow!("{diagnostic}"))?;
                Ok(Ok(vec![draft]))
            }
            NewRegistrations::Contrib(_, found) => {
                let draft = |new: ContribRegistration| {
                    context.draft_file(&new.source, &new.text, &new.name, true)
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
            "{}: escalateprivs isn't given, and {runs} as {who} here all the same; \
             to run it as nobody, give escalateprivs 0 (run_as: nobody)",
            names.join(", ")
        );
        self.warnings.push(words.into());
    }

    fn refuse(&self, problems: &[DescriptionProblem], output: &mut Output) -> CommandEnd {
        if self.arguments.register.output.format == Format::Json {
            let shown_problem = |problem: &DescriptionProblem| EntryProblem {
                key: self.key(problem),
                ..EntryProblem::from(problem)
            };
            output.json(&Added {
                registrations: Vec::new(),
                notes: Message::all(&self.warnings),
                problems: problems.iter().map(shown_problem).collect(),
            });
            return CommandEnd::Problem;
        }
        for warning in &self.warnings {
            output.print_error(&warning.words);
        }
        for problem in problems {
            let shown_problem = DescriptionProblem { key: self.key(problem), ..problem.clone() };
            output.print_error(&shown_problem.to_string());
        }
        output.print_error("nothing was registered");
        CommandEnd::Problem
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
            key => format!("--{}", key.replace('_', "-")),
        })
    }

    fn report(&self, drafts: &[Draft], actions: &[RegistrationAction], output: &mut Output) {
        let format = self.arguments.register.output.format;
        report(drafts, actions, &self.warnings, format, output);
        if self.arguments.register.dry_run && drafts.is_empty() && format == Format::Text {
            output.line(DRY_RUN);
        }
    }
}

const DRY_RUN: &str = "nothing was registered: --dry-run";

/// Reports what was registered, or shown by a dry run.
pub(super) fn report(
    drafts: &[Draft],
    actions: &[RegistrationAction],
    warnings: &[Remark],
    format: Format,
    output: &mut Output,
) {
    if format == Format::Json {
        output.json(&Added {
            registrations: drafts.iter().zip(actions).map(registered).collect(),
            notes: Message::all(warnings),
            problems: Vec::new(),
        });
        return;
    }
    for warning in warnings {
        output.print_error(&warning.words);
    }
    for (draft, action) in drafts.iter().zip(actions) {
        if *action != RegistrationAction::None {
            output.toned(Tone::Good, &format!("{} {}", action.name(), draft.path.display()));
        }
    }
    if actions.contains(&RegistrationAction::None) {
        output.line(DRY_RUN);
    }
}

pub(super) fn action(draft: &Draft, is_dry_run: bool) -> RegistrationAction {
    match draft.path.symlink_metadata() {
        _ if is_dry_run => RegistrationAction::None,
        Ok(_) => RegistrationAction::Replaced,
        Err(_) => RegistrationAction::Registered,
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

fn registered((draft, action): (&Draft, &RegistrationAction)) -> ChangedRegistration {
    let path = draft.path.display();
    ChangedRegistration {
        name: draft.name.clone(),
        registration: draft.path.as_path().into(),
        action: *action,
        message: match action {
            RegistrationAction::None => format!("{path} was not written: --dry-run"),
            action => format!("{} {path}", action.name()),
        },
        registered: Some((&draft.registration).into()),
    }
}
