//! `hookmux import opennebula`: registers the hooks of OpenNebula's templates. All of them are registered or
//! none, and nothing is run.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::super::add::collect;
use super::super::add::draft_checks::DraftChecker;
use super::super::written::{self, WriteOptions};
use super::super::{add, registry};
use crate::cli::args::{Format, ImportArgs};
use crate::cli::install::libvirt_version;
use crate::cli::json::change::ChangeSummary;
use crate::cli::json::message::{EntryProblem, Message};
use crate::cli::json::registration::Added;
use crate::cli::output::Output;
use crate::cli::register::draft::{Draft, DraftContext};
use crate::cli::register::translate::DescriptionEntry;
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace, pattern, usage};
use crate::command::{self, Fix};
use crate::config::triggers::CallPattern;
use crate::config::{Registration, Settings};
use crate::registry::RegistrationFile;
use crate::trust::Trust;
use template::Attribute;

mod hook;
mod states;
pub(crate) mod template;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &ImportArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    for word in &arguments.event {
        match word.contains('/') {
            false => pattern::event(word)?,
            true => drop(CallPattern::parse(word).map_err(usage::wrong)?),
        }
    }
    let settings = registry::settings(place, output)?;
    let user = place.surroundings.user;
    let mut templates = Vec::new();
    for file in &arguments.files {
        templates.extend(read(file)?);
    }
    let import = Import { settings: &settings, arguments };
    let (mut hooks, mut refused) = (Vec::new(), Vec::new());
    for template in &templates {
        let events = &arguments.event;
        let total = settings.most_of_a_call();
        match hook::import(&template.attributes, events, &settings.hooks_dir, total) {
            Ok(hook) => hooks.push((template, hook)),
            Err(problem) => refused.push((template, problem)),
        }
    }
    let mut problems: Vec<EntryProblem> = refused
        .iter()
        .map(|(template, problem)| import.problem(template, problem, &refused))
        .collect();
    let mut notes: Vec<Remark> = Vec::new();
    if arguments.skip && !hooks.is_empty() {
        let skipped =
            |problem: EntryProblem| Remark::from(format!("left out: {}", problem.message.message));
        notes.extend(problems.drain(..).map(skipped));
    }
    // from here on no other process changes the registry
    let lock = match arguments.dry_run || !problems.is_empty() {
        true => None,
        false => Some(registry::lock(&settings, user)?),
    };
    let sources = registry::scan(&settings, user)?;
    let mut drafts: Vec<Draft> = Vec::new();
    let checker = DraftChecker {
        settings: &settings,
        user,
        replaces: arguments.replace,
        is_nameable: false,
        libvirt: libvirt_version::of_host(),
    };
    let mut told: Vec<(Vec<String>, Remark)> = Vec::new();
    for (template, hook) in hooks {
        for note in hook.notes {
            match told.iter_mut().find(|(_, known)| known.words == note.words) {
                Some((names, _)) => names.push(hook.name.clone()),
                None => told.push((vec![hook.name.clone()], note)),
            }
        }
        let name = &hook.name;
        let earlier = drafts.iter().any(|draft| draft.name == *name);
        let obstacle = match earlier {
            true => Err(format!("{name} is the name of an earlier template too")),
            false => import.draft(template, name, hook.keys, &sources, &drafts),
        };
        let obstacle = obstacle.and_then(|draft| match checker.obstacle(&draft, &sources) {
            Some(obstacle) => Err(obstacle),
            None => Ok(draft),
        });
        match obstacle {
            Ok(draft) => drafts.push(draft),
            Err(message) => problems.push(template.problem(None, message, None)),
        }
    }
    // what holds for several hooks is told once
    let named = |(names, note): (Vec<String>, Remark)| Remark {
        words: format!("{}: {}", names.join(", "), note.words),
        fix: note.fix,
    };
    notes.extend(told.into_iter().map(named));
    if !problems.is_empty() {
        return Ok(import.refuse(problems, &notes, output));
    }
    if arguments.output.format == Format::Text {
        add::show(&drafts, output);
    }
    let mut trust = Trust::new(user);
    for draft in &drafts {
        checker.warn(draft, &mut trust, &mut notes);
    }
    let options = WriteOptions {
        is_dry_run: arguments.dry_run,
        has_diff: arguments.diff.is_wanted,
        format: arguments.output.format,
    };
    written::write(lock.as_ref(), &drafts, &sources, &notes, options, output)
}

/// A template, and where it is from.
struct ImportedTemplate {
    file: PathBuf,
    /// Its number among all templates of the file, from 1.
    number: usize,
    attributes: Vec<Attribute>,
}

/// Reads the templates of a file; `-` is standard input.
fn read(file: &Path) -> anyhow::Result<Vec<ImportedTemplate>> {
    let text = match collect::is_stdin(file) {
        true => collect::read_stdin()?,
        false => collect::read_text(file, "a template")?,
    };
    let shown = match collect::is_stdin(file) {
        true => "standard input".to_owned(),
        false => file.display().to_string(),
    };
    let templates = match template::parse(&text) {
        Ok(templates) => templates,
        Err(mistake) => bail!("{shown}:{}: {}", mistake.line, mistake.message),
    };
    if templates.is_empty() {
        bail!("{shown} has no template: a template is lines of NAME = VALUE");
    }
    let numbered = templates.into_iter().zip(1..);
    Ok(numbered
        .map(|(attributes, number)| ImportedTemplate {
            file: file.to_path_buf(),
            number,
            attributes,
        })
        .collect())
}

impl ImportedTemplate {
    /// Says where it is: the file and its line.
    fn place(&self) -> String {
        let line = self.attributes.first().map_or(1, |attribute| attribute.line);
        match collect::is_stdin(&self.file) {
            true => format!("standard input:{line}"),
            false => format!("{}:{line}", self.file.display()),
        }
    }

    fn problem(&self, key: Option<&str>, message: String, fix: Option<&Fix>) -> EntryProblem {
        let named = key.map(|key| format!("{key}: ")).unwrap_or_default();
        let proposed = fix.map(|fix| format!("; `{fix}` takes that")).unwrap_or_default();
        let message = format!("{}: {named}{message}{proposed}", self.place());
        EntryProblem {
            message: Message { message, code: None, fix_keys: fix.into() },
            entry: Some(self.number),
            key: key.map(str::to_owned),
        }
    }
}

struct Import<'a> {
    settings: &'a Settings,
    arguments: &'a ImportArgs,
}

impl Import<'_> {
    /// Describes why a template is refused. Where it is the only one of its file without an event, a command
    /// imports it for the nearest one.
    fn problem(
        &self,
        template: &ImportedTemplate,
        problem: &hook::ImportProblem,
        refused: &[(&ImportedTemplate, hook::ImportProblem)],
    ) -> EntryProblem {
        let is_alike = |(other, why): &&(&ImportedTemplate, hook::ImportProblem)| {
            other.file == template.file && why.is_without_event
        };
        let is_alone = refused.iter().filter(is_alike).count() == 1;
        let nearest = problem.nearest.filter(|_| is_alone).map(|event| {
            let file = template.file.to_string_lossy().into_owned();
            let words = ["import", "opennebula", "--event", event, &file];
            Fix::hookmux(&self.settings.hooks_dir, &words)
        });
        let apart = problem.nearest.is_some() && !is_alone;
        let hint = if apart { " (with --event, in a file of its own)" } else { "" };
        let message = format!("{}{hint}", problem.message);
        template.problem(Some(problem.key), message, nearest.as_ref())
    }

    /// Prepares the file of a hook.
    fn draft(
        &self,
        template: &ImportedTemplate,
        name: &str,
        keys: serde_json::Map<String, serde_json::Value>,
        sources: &[RegistrationFile],
        earlier: &[Draft],
    ) -> Result<Draft, String> {
        let own = earlier.iter().map(|draft| &draft.registration);
        let registered: Vec<&Registration> =
            sources.iter().filter_map(registry::read).chain(own).collect();
        let hooks_dir = &self.settings.hooks_dir;
        let context =
            DraftContext { hooks_dir, registered: &registered, header: self.header(template) };
        let entry_name = Some(name.to_owned());
        let entry = DescriptionEntry { number: 1, name: entry_name, keys, is_unescalated: false };
        let drafts = context.draft(vec![entry], name).map_err(|problems| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        })?;
        drafts.into_iter().next().ok_or_else(|| "nothing comes of it".to_owned())
    }

    /// Returns the comment that says where the registration is from.
    fn header(&self, template: &ImportedTemplate) -> String {
        let lines = template.attributes.iter().map(|attribute| match &attribute.value {
            template::TemplateValue::Single(text) => format!("  {} = {text}", attribute.name),
            template::TemplateValue::Vector(_) => format!("  {} = [ … ]", attribute.name),
        });
        let lines: Vec<String> = lines.map(|line| line.replace('\n', " ")).collect();
        let typed = std::env::args_os().skip(1);
        let words: Vec<_> = std::iter::once("hookmux".into()).chain(typed).collect();
        format!(
            "Registered by: {}\nMade from OpenNebula's template in {}:\n{}\nYou may edit this file; the next call of libvirt uses it as it is then.\n`hookmux schema` shows which keys it may have.",
            command::text(&words),
            template.place(),
            lines.join("\n"),
        )
    }

    fn refuse(
        &self,
        problems: Vec<EntryProblem>,
        notes: &[Remark],
        output: &mut Output,
    ) -> CommandEnd {
        if self.arguments.output.format == Format::Json {
            output.json(&Added {
                registrations: Vec::new(),
                notes: Message::all(notes),
                problems,
                summary: ChangeSummary::new(false, self.arguments.dry_run),
            });
            return CommandEnd::Problem;
        }
        for problem in &problems {
            output.print_error(&problem.message.message);
        }
        output.print_error("nothing was registered");
        CommandEnd::Problem
    }
}
