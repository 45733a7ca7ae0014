//! What a call is told, from the index and the pieces that it wants.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::index::{Finding, GoodRecord, Index, SourceRecord};
use super::store::Pieces;
use crate::config::diagnostic::{Diagnostic, DiagnosticKind};
use crate::config::recovered_registration::RecoveredRegistration;
use crate::config::registration::Registration;
use crate::registry::{Broken, Registry};

/// A source that a call's answer tells something of.
pub(super) struct Meant<'a> {
    source: SourceRecord<'a>,
    /// Why the way to it isn't trusted.
    refusal: Option<Diagnostic>,
}

impl<'a> Meant<'a> {
    /// `None` where there is nothing to be told.
    pub(super) fn new(
        source: SourceRecord<'a>,
        refusal: Option<Diagnostic>,
        wanted: &[bool],
    ) -> Option<Meant<'a>> {
        let is_meant = source.is_active
            && (refusal.is_some() || source.finding != Finding::Good || is_wanted(&source, wanted));
        is_meant.then_some(Meant { source, refusal })
    }
}

fn is_wanted(source: &SourceRecord<'_>, wanted: &[bool]) -> bool {
    // an index that tells of no such triggers is asked for the source, and then found out
    source.good.is_none_or(|good| wanted.get(good.triggers).copied().unwrap_or(true))
}

/// What an index that is up to date says; `None` where one of its pieces isn't whole.
pub(super) fn answer(
    index: &Index<'_>,
    pieces: &Pieces<'_>,
    wanted: &[bool],
    meant: Vec<Meant<'_>>,
) -> Option<Registry> {
    let mut registry = Registry::default();
    for Meant { source, refusal } in meant {
        let problem = match refusal {
            Some(refusal) => Some(refusal),
            None => problem(index, pieces, &source)?,
        };
        if let Some(diagnostic) = problem {
            registry.broken.push(Broken { diagnostic, has_stand_in: source.good.is_some() });
        }
        let Some(good) = &source.good else { continue };
        if *wanted.get(good.triggers)? {
            registry.registrations.push(registration(index, pieces, &source, good)?);
        }
    }
    Some(registry)
}

/// What is wrong with a source, if anything.
fn problem(
    index: &Index<'_>,
    pieces: &Pieces<'_>,
    source: &SourceRecord<'_>,
) -> Option<Option<Diagnostic>> {
    match source.finding {
        Finding::Good if source.good.is_some() => Some(None),
        Finding::Good | Finding::Unread => None,
        Finding::Broken(span) => {
            let problem = serde_json::from_slice::<Problem>(&pieces.get(span)?).ok()?;
            Some(Some(problem.of(index.path_of(source)?)))
        }
    }
}

fn registration(
    index: &Index<'_>,
    pieces: &Pieces<'_>,
    source: &SourceRecord<'_>,
    good: &GoodRecord,
) -> Option<Registration> {
    if good.compiled.length > 0 {
        return serde_json::from_slice(&pieces.get(good.compiled)?).ok();
    }
    let text = pieces.get(good.text)?;
    let root = index.roots.get(source.root)?.path;
    Registration::parse(&index.path_of(source)?, root, std::str::from_utf8(&text).ok()?).ok()
}

/// A diagnostic without its path, as the cache keeps it.
#[derive(Serialize, Deserialize)]
pub(super) struct Problem {
    place: Option<(usize, usize)>,
    message: String,
    line: Option<Box<str>>,
    kind: DiagnosticKind,
    key: Option<Box<str>>,
    #[serde(default, rename = "meaning")]
    recovered: Option<Box<RecoveredRegistration>>,
}

impl Problem {
    fn of(self, path: PathBuf) -> Diagnostic {
        let Problem { place, message, line, kind, key, recovered } = self;
        Diagnostic { path, place, message, line, kind, key, recovered }
    }
}

impl From<Diagnostic> for Problem {
    fn from(diagnostic: Diagnostic) -> Problem {
        let Diagnostic { path: _, place, message, line, kind, key, recovered } = diagnostic;
        Problem { place, message, line, kind, key, recovered }
    }
}
