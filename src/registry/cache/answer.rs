//! Makes a call's answer from the index and the pieces that it needs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::index::{GoodRecord, Index, SourceFinding, SourceRecord};
use super::store::Pieces;
use crate::config::diagnostic::{Diagnostic, DiagnosticKind};
use crate::config::recovered_registration::RecoveredRegistration;
use crate::config::registration::Registration;
use crate::registry::{Broken, Registry};

/// A source with a registration for this call, or with an error to report.
pub(super) struct RelevantSource<'a> {
    source: SourceRecord<'a>,
    /// Why its path isn't trusted.
    refusal: Option<Diagnostic>,
}

impl<'a> RelevantSource<'a> {
    /// Makes one; `None` where the source doesn't matter for the answer.
    pub(super) fn new(
        source: SourceRecord<'a>,
        refusal: Option<Diagnostic>,
        wanted: &[bool],
    ) -> Option<RelevantSource<'a>> {
        let is_relevant = source.is_active
            && (refusal.is_some()
                || source.finding != SourceFinding::Good
                || is_wanted(&source, wanted));
        is_relevant.then_some(RelevantSource { source, refusal })
    }
}

fn is_wanted(source: &SourceRecord<'_>, wanted: &[bool]) -> bool {
    // if the index has no such triggers, the source is read, and the error is found then
    source.good.is_none_or(|good| wanted.get(good.triggers).copied().unwrap_or(true))
}

/// Makes the answer from an index that is up to date; `None` where a piece is damaged.
pub(super) fn answer(
    index: &Index<'_>,
    pieces: &Pieces<'_>,
    wanted: &[bool],
    relevant: Vec<RelevantSource<'_>>,
) -> Option<Registry> {
    let mut registry = Registry::default();
    for RelevantSource { source, refusal } in relevant {
        let problem = match refusal {
            Some(refusal) => Some(refusal),
            None => problem(index, pieces, &source)?,
        };
        if let Some(diagnostic) = problem {
            registry.broken.push(Broken { diagnostic, has_last_good: source.good.is_some() });
        }
        let Some(good) = &source.good else { continue };
        if *wanted.get(good.triggers)? {
            registry.registrations.push(registration(index, pieces, &source, good)?);
        }
    }
    Some(registry)
}

/// Returns what is wrong with a source, if anything.
fn problem(
    index: &Index<'_>,
    pieces: &Pieces<'_>,
    source: &SourceRecord<'_>,
) -> Option<Option<Diagnostic>> {
    match source.finding {
        SourceFinding::Good if source.good.is_some() => Some(None),
        SourceFinding::Good | SourceFinding::Unread => None,
        SourceFinding::Broken(span) => {
            let problem = serde_json::from_slice::<StoredDiagnostic>(&pieces.get(span)?).ok()?;
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

/// A diagnostic without its path, as the cache stores it.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredDiagnostic {
    place: Option<(usize, usize)>,
    message: String,
    line: Option<Box<str>>,
    kind: DiagnosticKind,
    key: Option<Box<str>>,
    #[serde(default, rename = "meaning")]
    recovered: Option<Box<RecoveredRegistration>>,
}

impl StoredDiagnostic {
    fn of(self, path: PathBuf) -> Diagnostic {
        let StoredDiagnostic { place, message, line, kind, key, recovered } = self;
        Diagnostic { path, place, message, line, kind, key, recovered }
    }
}

impl From<Diagnostic> for StoredDiagnostic {
    fn from(diagnostic: Diagnostic) -> StoredDiagnostic {
        let Diagnostic { path: _, place, message, line, kind, key, recovered } = diagnostic;
        StoredDiagnostic { place, message, line, kind, key, recovered }
    }
}
