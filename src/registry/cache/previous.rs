//! What is taken from the previous cache: findings about unchanged sources, and the last good forms.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::CacheQuery;
use super::index::{Index, SourceFinding, SourceRecord};
use super::store::Pieces;
use super::writer::GoodForm;
use crate::config::registration::Registration;

/// The previous cache.
#[derive(Default)]
pub(super) struct PreviousCache<'a> {
    parts: Option<(Index<'a>, Pieces<'a>)>,
    /// Whether its findings are valid for unchanged sources.
    pub is_current: bool,
    /// Whether its compiled forms are of this version.
    is_compiled: bool,
    by_path: HashMap<PathBuf, SourceRecord<'a>>,
}

impl<'a> PreviousCache<'a> {
    pub(super) fn new(image: &'a [u8], task: &CacheQuery<'_>) -> Option<PreviousCache<'a>> {
        let index = Index::decode(image)?;
        let origin = task.origin();
        if !index.origin.is_as_strict_as(&origin) {
            return None;
        }
        let sources = index.sources.clone();
        Some(PreviousCache {
            is_current: index.origin == origin,
            is_compiled: index.origin.version == origin.version,
            by_path: sources
                .map(|source| source.and_then(|source| Some((index.path_of(&source)?, source))))
                .collect::<Option<_>>()?,
            parts: Some((index, Pieces::of(image)?)),
        })
    }

    pub(super) fn find(&self, path: &Path) -> Option<&SourceRecord<'a>> {
        self.by_path.get(path)
    }

    pub(super) fn finding(&self, source: &SourceRecord<'_>) -> Option<SourceFinding<Vec<u8>>> {
        let (_, pieces) = self.parts.as_ref()?;
        Some(match source.finding {
            SourceFinding::Unread => SourceFinding::Unread,
            SourceFinding::Good => SourceFinding::Good,
            SourceFinding::Broken(span) => SourceFinding::Broken(pieces.get(span)?.into_owned()),
        })
    }

    /// Returns the last good form. That of another version is compiled again from its text; if this
    /// version can't parse the text, there is none.
    pub(super) fn good(
        &self,
        source: &SourceRecord<'_>,
        path: &Path,
        root: &Path,
    ) -> Option<GoodForm> {
        let (index, pieces) = self.parts.as_ref()?;
        let good = source.good.as_ref()?;
        let text = pieces.get(good.text)?.into_owned();
        let compiled = if self.is_compiled { pieces.get(good.compiled) } else { None };
        if let Some(compiled) = compiled.filter(|compiled| is_form(compiled)) {
            let triggers = index.triggers.get(good.triggers)?.clone();
            return Some(GoodForm { triggers, compiled: compiled.into_owned(), text });
        }
        let text = String::from_utf8(text).ok()?;
        let registration = Registration::parse(path, root, &text).ok()?;
        Some(GoodForm::new(&registration, text))
    }
}

/// Tells whether a compiled form can be read: builds of the same version may differ.
fn is_form(compiled: &[u8]) -> bool {
    compiled.is_empty() || serde_json::from_slice::<Registration>(compiled).is_ok()
}
