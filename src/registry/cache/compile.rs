//! Compiles the cache: unchanged sources are taken from the previous cache, changed ones are read and
//! parsed.

use std::fs;
use std::io;
use std::path::Path;

use super::answer::{RelevantSource, StoredDiagnostic, answer};
use super::index::{Index, SourceFinding};
use super::previous::PreviousCache;
use super::signature::{Directory, EntrySignature, Root};
use super::store::{self, CacheFile, Pieces};
use super::writer::{self, GoodForm, NewRoot, NewSource};
use super::{CacheQuery, not_trusted, reading};
use crate::config::diagnostic::Diagnostic;
use crate::config::registration::{EXTENSION, Registration};
use crate::registry::{self, Registry};
use crate::search::EntryState;
use crate::search::directory::{self, FoundEntry};
use crate::trust::{Trust, TrustFault};

/// How many times all sources are read because one was removed meanwhile.
const MAX_ATTEMPTS: usize = 16;
/// How many of these attempts may be because a source can't be read that still exists.
const MAX_ATTEMPTS_IF_PRESENT: usize = 3;

/// The compiled cache, and what isn't stored in it.
struct Compiled {
    image: Vec<u8>,
    /// Positions of sources, and why their path isn't trusted.
    refused: Vec<(usize, Diagnostic)>,
    /// Whether no source was left out that could reappear unnoticed.
    is_whole: bool,
}

/// Where a source lies, and what it is.
struct SourceLocation<'a> {
    entry: &'a FoundEntry,
    root: &'a Root,
    directory: &'a Directory,
    is_directory_trusted: bool,
}

/// A source was removed while it was read.
struct SourceVanished;

impl CacheQuery<'_> {
    /// Returns the answer where something has changed. Replaces the cache, unless another process is doing
    /// so.
    pub(super) fn renew(&mut self, place: &CacheFile, roots: &[Root]) -> Registry {
        let lock = if self.keeps { store::lock(place) } else { None };
        // the former `trust` remembers the state before the lock was taken
        self.trust = Trust::new(self.user);
        // another process may have done it meanwhile
        let renewed = if lock.is_some() { self.unchanged(place, roots) } else { None };
        if let Some(registry) = renewed {
            return registry;
        }
        let old_image = store::read(place);
        let old = old_image
            .as_deref()
            .and_then(|image| PreviousCache::new(image, self))
            .unwrap_or_default();
        let Some(compiled) = self.compile(&old) else {
            // this reports what can't be read, and why
            return registry::load(self.settings, &mut self.trust, self.wants);
        };
        let is_new = compiled.is_whole && old_image.as_ref() != Some(&compiled.image);
        if let Some(lock) = lock.filter(|_| is_new) {
            // if this fails, the next call compiles again
            let _ = store::replace(place, &lock, &compiled.image);
        }
        self.answer_from(compiled)
            .unwrap_or_else(|| registry::load(self.settings, &mut self.trust, self.wants))
    }

    fn answer_from(&self, compiled: Compiled) -> Option<Registry> {
        let index = Index::decode(&compiled.image)?;
        let wanted = self.wanted(&index);
        let mut refused = compiled.refused.into_iter().peekable();
        let mut relevant = Vec::new();
        for (position, source) in index.sources.clone().enumerate() {
            let refusal = refused.next_if(|(refused, _)| *refused == position);
            relevant.extend(RelevantSource::new(
                source?,
                refusal.map(|(_, refusal)| refusal),
                &wanted,
            ));
        }
        answer(&index, &Pieces::of(&compiled.image)?, &wanted, relevant)
    }

    /// Compiles the cache; `None` where something exists and can't be examined.
    fn compile(&mut self, old: &PreviousCache<'_>) -> Option<Compiled> {
        let mut attempt = 1;
        loop {
            let compiled = self.compile_once(old, attempt)?;
            if compiled.is_whole || attempt == MAX_ATTEMPTS {
                return Some(compiled);
            }
            attempt += 1;
        }
    }

    fn compile_once(&mut self, old: &PreviousCache<'_>, attempt: usize) -> Option<Compiled> {
        // the `trust` of a former attempt remembers what was missing then
        self.trust = Trust::new(self.user);
        // directories before their entries, entries before their contents: a change meanwhile then
        // differs from what was recorded before it, or the source isn't settled
        let roots = Root::open_all(self.settings).ok()?;
        let trusted = self.trusted(&roots);
        let mut compiled = Compiled { image: Vec::new(), refused: Vec::new(), is_whole: true };
        let mut sources = Vec::new();
        for entry in registry::entries(self.settings).ok()?.iter().filter(is_registration) {
            let place = SourceLocation::find(entry, &roots, &trusted);
            match place.ok_or(SourceVanished).and_then(|place| self.source(old, &place, attempt)) {
                Ok((source, refusal)) => {
                    let refusal = refusal.map(|diagnostic| (sources.len(), diagnostic));
                    compiled.refused.extend(refusal);
                    sources.push(source);
                }
                Err(SourceVanished) if attempt == MAX_ATTEMPTS && !is_missing(&entry.path) => {
                    return None;
                }
                Err(SourceVanished) => compiled.is_whole = false,
            }
        }
        let settled = |root: &Root| {
            root.directory.as_ref().is_none_or(|now| now.signature.is_settled(self.start))
        };
        let roots = roots.iter().zip(trusted);
        let roots: Vec<NewRoot<'_>> = roots
            .map(|(root, is_trusted)| NewRoot { root, is_settled: settled(root), is_trusted })
            .collect();
        compiled.image = writer::encode(&self.origin(), &roots, &sources);
        Some(compiled)
    }

    /// Compiles one source. Also returns why its path isn't trusted.
    fn source(
        &mut self,
        old: &PreviousCache<'_>,
        place: &SourceLocation<'_>,
        attempt: usize,
    ) -> Result<(NewSource, Option<Diagnostic>), SourceVanished> {
        let SourceLocation { entry, root, directory, is_directory_trusted } = *place;
        let seen = directory.look(&entry.name).ok_or(SourceVanished)?;
        let known = old.find(&entry.path);
        let mut source = NewSource {
            root: entry.root,
            name: entry.name.clone(),
            is_active: entry.state == EntryState::Active,
            is_settled: seen.is_settled(self.start)
                && !is_doubtful(entry, seen.leads_to_regular_file()),
            seen,
            finding: SourceFinding::Unread,
            good: known.and_then(|known| old.good(known, &entry.path, &root.path)),
        };
        if !source.is_active {
            return Ok((source, None));
        }
        if seen.is_dangling() {
            source.finding = SourceFinding::Broken(problem(registry::dangling_link(&entry.path)));
            return Ok((source, None));
        }
        if let Err((path, refusal)) =
            self.check_path(|| entry.path.clone(), &seen, is_directory_trusted)
        {
            let may_be_gone =
                matches!(refusal.fault, TrustFault::Missing | TrustFault::Unreadable(_));
            if may_be_gone && place.is_worth_another(attempt, &seen) {
                return Err(SourceVanished);
            }
            return Ok((source, Some(not_trusted(&path, &refusal))));
        }
        let unchanged =
            known.filter(|known| old.is_current && known.is_settled && known.seen == seen);
        match unchanged.and_then(|known| old.finding(known)) {
            Some(SourceFinding::Good) if source.good.is_some() => {
                source.finding = SourceFinding::Good
            }
            Some(SourceFinding::Broken(problem)) => source.finding = SourceFinding::Broken(problem),
            _ => self.read(&mut source, place, attempt)?,
        }
        Ok((source, None))
    }

    /// Reads and parses a source.
    fn read(
        &mut self,
        source: &mut NewSource,
        place: &SourceLocation<'_>,
        attempt: usize,
    ) -> Result<(), SourceVanished> {
        let path = &place.entry.path;
        let found = match reading::read(path, self.settings.trust, &mut self.trust) {
            Ok((text, signature)) => {
                if source.seen.own.is_link() {
                    source.seen.target = Some(signature);
                    source.is_settled &= signature.is_settled(self.start);
                }
                Registration::parse(path, &place.root.path, &text)
                    .map(|registration| GoodForm::new(&registration, text))
            }
            Err(error) => {
                if error.is_transient && place.is_worth_another(attempt, &source.seen) {
                    return Err(SourceVanished);
                }
                source.is_settled &= !error.is_transient;
                Err(Diagnostic { kind: error.kind, ..Diagnostic::whole(path, error.message) })
            }
        };
        match found {
            Ok(good) => {
                source.finding = SourceFinding::Good;
                source.good = Some(good);
            }
            Err(diagnostic) => source.finding = SourceFinding::Broken(problem(diagnostic)),
        }
        Ok(())
    }
}

impl<'a> SourceLocation<'a> {
    fn find(
        entry: &'a FoundEntry,
        roots: &'a [Root],
        trusted: &[bool],
    ) -> Option<SourceLocation<'a>> {
        let root = roots.get(entry.root)?;
        let directory = root.directory.as_ref()?;
        Some(SourceLocation {
            entry,
            root,
            directory,
            is_directory_trusted: *trusted.get(entry.root)?,
        })
    }

    /// Tells whether to take an error with a source for its removal, and to read everything again.
    fn is_worth_another(&self, attempt: usize, seen: &EntrySignature) -> bool {
        attempt <= MAX_ATTEMPTS_IF_PRESENT
            || self.directory.look(&self.entry.name).as_ref() != Some(seen)
    }
}

fn problem(diagnostic: Diagnostic) -> Vec<u8> {
    // it has only strings and numbers: this can't fail
    serde_json::to_vec(&StoredDiagnostic::from(diagnostic)).unwrap_or_default()
}

/// Tells whether an entry can become a registration without a change of its directory.
fn is_registration(entry: &&FoundEntry) -> bool {
    Path::new(&entry.name).extension().is_some_and(|end| end == EXTENSION)
        && directory::leftover_reason(&entry.name).is_none()
}

/// Tells whether a file was skipped although it is a regular file now: it couldn't be examined, or
/// didn't exist yet.
fn is_doubtful(entry: &FoundEntry, is_file: bool) -> bool {
    is_file && matches!(entry.state, EntryState::Skipped(_))
}

fn is_missing(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}
