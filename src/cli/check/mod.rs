//! `hookmux check`: finds everything that can be wrong, each with what to do about it.

mod bare_names;
mod bashisms;
pub(super) mod code;
mod commands;
mod confinement;
mod content;
mod entries;
pub(super) mod files;
pub(super) mod finding;
mod guests;
mod habits;
mod inputs;
mod installed;
pub(super) mod link;
mod misplaced;
mod moments;
mod nulls;
mod old_tree;
mod older;
mod outbox;
mod places;
pub(super) mod proof;
mod python_hooks;
mod records;
mod registrations;
mod report;
mod scripts;
mod selinux;
mod survey;
mod trust;
mod unreadable;
mod variables;
mod version;
mod waiting;

use std::path::Path;

use super::args::CheckArgs;
use super::output::Output;
use super::{CommandEnd, CommandPlace};
use crate::config;
use crate::trust::Trust;
use finding::{Code, Finding, Findings};
use survey::Survey;

pub(super) fn run(
    place: &CommandPlace,
    arguments: &CheckArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    if arguments.entries {
        return Ok(entries::check(place, arguments.output.format, output));
    }
    if !arguments.files.is_empty() {
        let user = place.surroundings.user;
        let loaded = config::load(&place.surroundings, &mut Trust::new(user), false);
        return files::run(place, &loaded, arguments, output);
    }
    let findings = match arguments.version {
        Some(version) => {
            let user = place.surroundings.user;
            let loaded = config::load(&place.surroundings, &mut Trust::new(user), false);
            let survey =
                Survey::new(&loaded.settings, user, &arguments.root, &mut Findings::default());
            let mut findings = Findings::default();
            older::examine(&survey, version, &mut findings);
            findings.sorted()
        }
        None => findings(place, &arguments.root, true),
    };
    Ok(report(&findings, &place.surroundings.hooks_dir, arguments, output))
}

/// Finds everything that is wrong, the most severe first. `makes_files` tells whether a file may be made in the
/// directories, to see whether they can be written to.
pub(super) fn findings(place: &CommandPlace, root: &Path, makes_files: bool) -> Vec<Finding> {
    let user = place.surroundings.user;
    let loaded = config::load(&place.surroundings, &mut Trust::new(user), false);
    let mut findings = Findings::default();
    let mut survey = Survey::new(&loaded.settings, user, root, &mut findings);
    survey.makes_files = makes_files;
    registrations::examine_settings(&survey, &loaded, &mut findings);
    records::examine_bypass(&survey, &mut findings);
    unreadable::report_state(&loaded.settings, user, &mut findings);
    installed::examine(&survey, &mut findings);
    confinement::examine(&survey, &mut findings);
    moments::examine(&survey, &mut findings);
    version::examine(&survey, &mut findings);
    guests::examine(&survey, &mut findings);
    misplaced::examine(&survey, &mut findings);
    old_tree::examine(&survey, &mut findings);
    scripts::examine(&survey, &mut findings);
    habits::examine(&survey, &mut findings);
    registrations::examine(&survey, &mut findings);
    python_hooks::examine(&survey, &mut findings);
    trust::examine(&survey, &loaded, &mut findings);
    // without the settings the directories are unknown
    if !loaded.is_lost() {
        places::examine(&survey, &place.surroundings, &mut findings);
        waiting::examine(&survey, &place.surroundings, &mut findings);
        records::examine(&survey, &mut findings);
        outbox::examine(&survey, &mut findings);
        bare_names::examine(&survey, &mut findings);
    }
    findings.guard(&survey.ground());
    findings.sorted()
}

fn report(
    findings: &[Finding],
    hooks_dir: &Path,
    arguments: &CheckArgs,
    output: &mut Output,
) -> CommandEnd {
    report::show(findings, hooks_dir, arguments.output.format, output);
    // what couldn't be checked doesn't count as good
    let is_bad = |finding: &Finding| {
        report::is_bad(finding, arguments.strict) || finding.code == Code::Unseen
    };
    if findings.iter().any(is_bad) { CommandEnd::Problem } else { CommandEnd::Good }
}
