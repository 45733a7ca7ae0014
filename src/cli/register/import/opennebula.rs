//! `hookmux import opennebula`: registers the hooks of OpenNebula's templates.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::super::add::given;
use super::super::{draft, registry};
use super::imported::{ImportOrigin, Imported, ImportedHook};
use crate::cli::args::ImportArgs;
use crate::cli::json::message::EntryProblem;
use crate::cli::output::Output;
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace, pattern, usage};
use crate::command::Fix;
use crate::config::triggers::CallPattern;
use template::{Attribute, TemplateValue};

mod hook;
mod states;
pub(crate) mod template;

pub(super) fn run(
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
    let mut templates = Vec::new();
    for file in &arguments.files {
        templates.extend(read(file)?);
    }
    let mut imported = Imported::default();
    let mut refused = Vec::new();
    for template in templates {
        let (events, total) = (&arguments.event, settings.most_of_a_call());
        match hook::import(&template.attributes, events, &settings.hooks_dir, total) {
            Ok(hook) => {
                for note in hook.notes {
                    imported.notes_of_hooks.add(&hook.name, note);
                }
                imported.hooks.push(ImportedHook {
                    header: header(&template),
                    origin: template.origin,
                    name: hook.name,
                    keys: hook.keys,
                });
            }
            Err(problem) => refused.push((template, problem)),
        }
    }
    let problems =
        refused.iter().map(|one| problem(one, &refused, &settings.hooks_dir)).collect::<Vec<_>>();
    if arguments.skip && !imported.hooks.is_empty() {
        let skipped =
            |problem: &EntryProblem| Remark::from(format!("left out: {}", problem.message.message));
        imported.notes = problems.iter().map(skipped).collect();
    } else {
        imported.problems = problems;
    }
    imported.register(place, &settings, &arguments.register, output)
}

/// A template, and where it is from.
struct ImportedTemplate {
    file: PathBuf,
    origin: ImportOrigin,
    attributes: Vec<Attribute>,
}

/// Reads the templates of a file; `-` is standard input.
fn read(file: &Path) -> anyhow::Result<Vec<ImportedTemplate>> {
    let (shown, text) = given::read_given(file, "a template")?;
    let templates = match template::parse(&text) {
        Ok(templates) => templates,
        Err(mistake) => bail!("{shown}:{}: {}", mistake.line, mistake.message),
    };
    if templates.is_empty() {
        bail!("{shown} has no template: a template is lines of NAME = VALUE");
    }
    let numbered = templates.into_iter().zip(1..);
    Ok(numbered
        .map(|(attributes, number)| {
            let line = attributes.first().map_or(1, |attribute| attribute.line);
            ImportedTemplate {
                file: file.to_path_buf(),
                origin: ImportOrigin { place: format!("{shown}:{line}"), entry: Some(number) },
                attributes,
            }
        })
        .collect())
}

type RefusedTemplate = (ImportedTemplate, hook::ImportProblem);

/// Describes why a template is refused. Where it is the only one of its file without an event, a command imports it
/// for the nearest one.
fn problem(
    (template, problem): &RefusedTemplate,
    refused: &[RefusedTemplate],
    hooks_dir: &Path,
) -> EntryProblem {
    let is_alike =
        |(other, why): &&RefusedTemplate| other.file == template.file && why.is_without_event;
    let is_alone = refused.iter().filter(is_alike).count() == 1;
    let nearest = problem.nearest.filter(|_| is_alone).map(|event| {
        let file = template.file.to_string_lossy().into_owned();
        Fix::hookmux(hooks_dir, &["import", "opennebula", "--event", event, &file])
    });
    let apart = problem.nearest.is_some() && !is_alone;
    let hint = if apart { " (with --event, in a file of its own)" } else { "" };
    let message = format!("{}{hint}", problem.message);
    template.origin.problem(Some(problem.key), &message, nearest.as_ref())
}

/// Returns the comment that says where the registration is from.
fn header(template: &ImportedTemplate) -> String {
    let from = format!("Made from OpenNebula's template in {}:", template.origin.place);
    let lines = template.attributes.iter().map(|attribute| match &attribute.value {
        TemplateValue::Single(text) => format!("  {} = {text}", attribute.name),
        TemplateValue::Vector(_) => format!("  {} = [ … ]", attribute.name),
    });
    draft::header(&std::iter::once(from).chain(lines).collect::<Vec<_>>())
}
