//! Making the cache anew: what is unchanged is taken over, what has changed is read and parsed.

use std::fs;
use std::io;
use std::path::Path;

use super::answer::{Meant, Problem, answer};
use super::index::{Finding, Index};
use super::old::Old;
use super::signature::{Directory, Root, Seen};
use super::store::{self, CacheFile, Pieces};
use super::writer::{self, Good, NewRoot, NewSource};
use super::{Task, not_trusted, reading};
use crate::config::diagnostic::Diagnostic;
use crate::config::registration::{EXTENSION, Registration};
use crate::registry::{self, Registry};
use crate::search::EntryState;
use crate::search::directory::{self, FoundEntry};
use crate::trust::{Trust, TrustFault};

/// How often everything is looked at because a source went away meanwhile.
const ATTEMPTS: usize = 16;
/// How often of these because a source couldn't be read that is there as before.
const ATTEMPTS_IF_THERE: usize = 3;

/// What was found, and the cache that says so.
struct Compiled {
    image: Vec<u8>,
    /// Sources by their positions, and why the way to them isn't trusted.
    refused: Vec<(usize, Diagnostic)>,
    /// Whether nothing was left out that could come back unseen.
    is_whole: bool,
}

/// Where a source lies, and what it is.
struct Place<'a> {
    entry: &'a FoundEntry,
    root: &'a Root,
    directory: &'a Directory,
    is_directory_trusted: bool,
}

/// A source went away while it was looked at.
struct Gone;

impl Task<'_> {
    /// The answer where something has changed. The cache is replaced, unless somebody else is at it.
    pub(super) fn renew(&mut self, place: &CacheFile, roots: &[Root]) -> Registry {
        let lock = if self.keeps { store::lock(place) } else { None };
        // the former one remembers what was there before the lock was
        self.trust = Trust::new(self.user);
        // somebody else may have been quicker
        let renewed = if lock.is_some() { self.unchanged(place, roots) } else { None };
        if let Some(registry) = renewed {
            return registry;
        }
        let old_image = store::read(place);
        let old = old_image.as_deref().and_then(|image| Old::new(image, self)).unwrap_or_default();
        let Some(compiled) = self.compile(&old) else {
            // it says what can't be looked at, and why
            return registry::load(self.settings, &mut self.trust, self.wants);
        };
        let is_new = compiled.is_whole && old_image.as_ref() != Some(&compiled.image);
        if let Some(lock) = lock.filter(|_| is_new) {
            // without it the next call compiles as this one did
            let _ = store::replace(place, &lock, &compiled.image);
        }
        self.answer_from(compiled)
            .unwrap_or_else(|| registry::load(self.settings, &mut self.trust, self.wants))
    }

    fn answer_from(&self, compiled: Compiled) -> Option<Registry> {
        let index = Index::decode(&compiled.image)?;
        let wanted = self.wanted(&index);
        let mut refused = compiled.refused.into_iter().peekable();
        let mut meant = Vec::new();
        for (position, source) in index.sources.clone().enumerate() {
            let refusal = refused.next_if(|(refused, _)| *refused == position);
            meant.extend(Meant::new(source?, refusal.map(|(_, refusal)| refusal), &wanted));
        }
        answer(&index, &Pieces::of(&compiled.image)?, &wanted, meant)
    }

    /// `None` where something is there and can't be looked at.
    fn compile(&mut self, old: &Old<'_>) -> Option<Compiled> {
        let mut attempt = 1;
        loop {
            let compiled = self.survey(old, attempt)?;
            if compiled.is_whole || attempt == ATTEMPTS {
                return Some(compiled);
            }
            attempt += 1;
        }
    }

    fn survey(&mut self, old: &Old<'_>, attempt: usize) -> Option<Compiled> {
        // a former attempt's remembers what wasn't there
        self.trust = Trust::new(self.user);
        // directories before their entries, entries before their contents: whatever changes
        // meanwhile differs from what was seen before it, or isn't settled
        let roots = Root::open_all(self.settings).ok()?;
        let trusted = self.trusted(&roots);
        let mut compiled = Compiled { image: Vec::new(), refused: Vec::new(), is_whole: true };
        let mut sources = Vec::new();
        for entry in registry::entries(self.settings).ok()?.iter().filter(is_registration) {
            let place = Place::find(entry, &roots, &trusted);
            match place.ok_or(Gone).and_then(|place| self.source(old, &place, attempt)) {
                Ok((source, refusal)) => {
                    let refusal = refusal.map(|diagnostic| (sources.len(), diagnostic));
                    compiled.refused.extend(refusal);
                    sources.push(source);
                }
                Err(Gone) if attempt == ATTEMPTS && !is_missing(&entry.path) => return None,
                Err(Gone) => compiled.is_whole = false,
            }
        }
        let settled = |root: &Root| {
            root.directory.as_ref().is_none_or(|now| now.signature.is_settled(self.start))
        };
        let roots = roots.iter().zip(trusted);
        let roots: Vec<NewRoot<'_>> = roots
            .map(|(root, is_trusted)| NewRoot { root, is_settled: settled(root), is_trusted })
            .collect();
        compiled.image = writer::encode(&self.maker(), &roots, &sources);
        Some(compiled)
    }

    /// One source, and why the way to it isn't trusted.
    fn source(
        &mut self,
        old: &Old<'_>,
        place: &Place<'_>,
        attempt: usize,
    ) -> Result<(NewSource, Option<Diagnostic>), Gone> {
        let Place { entry, root, directory, is_directory_trusted } = *place;
        let seen = directory.look(&entry.name).ok_or(Gone)?;
        let known = old.find(&entry.path);
        let mut source = NewSource {
            root: entry.root,
            name: entry.name.clone(),
            is_active: entry.state == EntryState::Active,
            is_settled: seen.is_settled(self.start)
                && !is_doubtful(entry, seen.leads_to_regular_file()),
            seen,
            finding: Finding::Unread,
            good: known.and_then(|known| old.good(known, &entry.path, &root.path)),
        };
        if !source.is_active {
            return Ok((source, None));
        }
        if seen.leads_nowhere() {
            source.finding = Finding::Broken(problem(registry::leads_nowhere(&entry.path)));
            return Ok((source, None));
        }
        if let Err((path, refusal)) =
            self.check_way(|| entry.path.clone(), &seen, is_directory_trusted)
        {
            let may_be_gone =
                matches!(refusal.fault, TrustFault::Missing | TrustFault::Unreadable(_));
            if may_be_gone && place.is_worth_another(attempt, &seen) {
                return Err(Gone);
            }
            return Ok((source, Some(not_trusted(&path, &refusal))));
        }
        let unchanged =
            known.filter(|known| old.is_current && known.is_settled && known.seen == seen);
        match unchanged.and_then(|known| old.finding(known)) {
            Some(Finding::Good) if source.good.is_some() => source.finding = Finding::Good,
            Some(Finding::Broken(problem)) => source.finding = Finding::Broken(problem),
            _ => self.read(&mut source, place, attempt)?,
        }
        Ok((source, None))
    }

    /// Reads and parses a source.
    fn read(
        &mut self,
        source: &mut NewSource,
        place: &Place<'_>,
        attempt: usize,
    ) -> Result<(), Gone> {
        let path = &place.entry.path;
        let found = match reading::read(path, self.settings.trust, &mut self.trust) {
            Ok((text, signature)) => {
                if source.seen.own.is_link() {
                    source.seen.target = Some(signature);
                    source.is_settled &= signature.is_settled(self.start);
                }
                Registration::parse(path, &place.root.path, &text)
                    .map(|registration| Good::new(&registration, text))
            }
            Err(trouble) => {
                if trouble.may_pass && place.is_worth_another(attempt, &source.seen) {
                    return Err(Gone);
                }
                source.is_settled &= !trouble.may_pass;
                Err(Diagnostic { kind: trouble.kind, ..Diagnostic::whole(path, trouble.message) })
            }
        };
        match found {
            Ok(good) => {
                source.finding = Finding::Good;
                source.good = Some(good);
            }
            Err(diagnostic) => source.finding = Finding::Broken(problem(diagnostic)),
        }
        Ok(())
    }
}

impl<'a> Place<'a> {
    fn find(entry: &'a FoundEntry, roots: &'a [Root], trusted: &[bool]) -> Option<Place<'a>> {
        let root = roots.get(entry.root)?;
        let directory = root.directory.as_ref()?;
        Some(Place { entry, root, directory, is_directory_trusted: *trusted.get(entry.root)? })
    }

    /// Whether trouble with a source is taken for its going away, and everything looked at again.
    fn is_worth_another(&self, attempt: usize, seen: &Seen) -> bool {
        attempt <= ATTEMPTS_IF_THERE || self.directory.look(&self.entry.name).as_ref() != Some(seen)
    }
}

fn problem(diagnostic: Diagnostic) -> Vec<u8> {
    // strings and numbers: it can't fail
    serde_json::to_vec(&Problem::from(diagnostic)).unwrap_or_default()
}

/// What could become a registration without its directory changing.
fn is_registration(entry: &&FoundEntry) -> bool {
    Path::new(&entry.name).extension().is_some_and(|end| end == EXTENSION)
        && directory::leftover_reason(&entry.name).is_none()
}

/// A file that was passed over though it is one now: it couldn't be looked at, or wasn't there yet.
fn is_doubtful(entry: &FoundEntry, is_file: bool) -> bool {
    is_file && matches!(entry.state, EntryState::Skipped(_))
}

fn is_missing(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}
