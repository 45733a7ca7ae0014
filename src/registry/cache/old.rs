//! What an older cache still tells: findings on what is unchanged, and the last good forms.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Task;
use super::index::{Finding, Index, SourceRecord};
use super::store::Pieces;
use super::writer::Good;
use crate::config::registration::Registration;

/// What the cache says so far.
#[derive(Default)]
pub(super) struct Old<'a> {
    parts: Option<(Index<'a>, Pieces<'a>)>,
    /// Whether its findings hold for what is unchanged.
    pub is_current: bool,
    /// Whether its compiled forms are of this version.
    is_compiled: bool,
    by_path: HashMap<PathBuf, SourceRecord<'a>>,
}

impl<'a> Old<'a> {
    pub(super) fn new(image: &'a [u8], task: &Task<'_>) -> Option<Old<'a>> {
        let index = Index::decode(image)?;
        let maker = task.maker();
        if !index.maker.is_as_strict_as(&maker) {
            return None;
        }
        let sources = index.sources.clone();
        Some(Old {
            is_current: index.maker == maker,
            is_compiled: index.maker.version == maker.version,
            by_path: sources
                .map(|source| source.and_then(|source| Some((index.path_of(&source)?, source))))
                .collect::<Option<_>>()?,
            parts: Some((index, Pieces::of(image)?)),
        })
    }

    pub(super) fn find(&self, path: &Path) -> Option<&SourceRecord<'a>> {
        self.by_path.get(path)
    }

    pub(super) fn finding(&self, source: &SourceRecord<'_>) -> Option<Finding<Vec<u8>>> {
        let (_, pieces) = self.parts.as_ref()?;
        Some(match source.finding {
            Finding::Unread => Finding::Unread,
            Finding::Good => Finding::Good,
            Finding::Broken(span) => Finding::Broken(pieces.get(span)?.into_owned()),
        })
    }

    /// The last good form. Another version's is compiled anew from its bytes; where these don't
    /// mean anything to this version, there is none.
    pub(super) fn good(&self, source: &SourceRecord<'_>, path: &Path, root: &Path) -> Option<Good> {
        let (index, pieces) = self.parts.as_ref()?;
        let good = source.good.as_ref()?;
        let text = pieces.get(good.text)?.into_owned();
        let compiled = if self.is_compiled { pieces.get(good.compiled) } else { None };
        if let Some(compiled) = compiled.filter(|compiled| is_form(compiled)) {
            let triggers = index.triggers.get(good.triggers)?.clone();
            return Some(Good { triggers, compiled: compiled.into_owned(), text });
        }
        let text = String::from_utf8(text).ok()?;
        let registration = Registration::parse(path, root, &text).ok()?;
        Some(Good::new(&registration, text))
    }
}

/// Whether a compiled form still means something: a build may differ under the same version.
fn is_form(compiled: &[u8]) -> bool {
    compiled.is_empty() || serde_json::from_slice::<Registration>(compiled).is_ok()
}
