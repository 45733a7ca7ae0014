//! The registry for calls: unchanged registrations come from a cache; for a broken one the cache's last
//! good form is used.
//!
//! `registry::load` is the reference; this gives the same result, only faster. The cache is one file in
//! the state directory. A process that finds a change compiles what has changed, and replaces the file
//! unless another process is doing so. If the file is missing, incomplete, damaged, not hookmux's own or
//! can't be written, that costs only time and the last good forms.

mod answer;
mod compile;
mod encoding;
mod index;
mod previous;
mod reading;
mod signature;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::answer::{RelevantSource, answer};
use self::index::{CacheOrigin, Index, SourceFinding};
use self::signature::{Directory, EntrySignature, Root};
use self::store::{CacheFile, Pieces};
use crate::config::diagnostic::Diagnostic;
use crate::config::settings::{Settings, TrustPolicy};
use crate::config::triggers::Triggers;
use crate::machine::clock;
use crate::registry::{self, Registry};
use crate::trust::{Refusal, Trust, TrustFault};

/// Loads what concerns a call. `trust` may have checked directories just before.
pub fn load(settings: &Settings, trust: &Trust, wants: &dyn Fn(&Triggers) -> bool) -> Registry {
    // with a clock before 1970 nothing counts as settled
    let start = clock::unix_time();
    load_at(settings, trust, wants, start)
}

/// Does the same without writing the cache.
pub(crate) fn load_read_only(
    settings: &Settings,
    trust: &Trust,
    wants: &dyn Fn(&Triggers) -> bool,
) -> Registry {
    let start = clock::unix_time();
    answer_at(settings, trust, wants, start, false)
}

fn load_at(
    settings: &Settings,
    trust: &Trust,
    wants: &dyn Fn(&Triggers) -> bool,
    start: Duration,
) -> Registry {
    answer_at(settings, trust, wants, start, true)
}

fn answer_at(
    settings: &Settings,
    trust: &Trust,
    wants: &dyn Fn(&Triggers) -> bool,
    start: Duration,
    keeps: bool,
) -> Registry {
    let (user, trust) = (trust.user(), trust.clone());
    let mut task = CacheQuery { settings, user, start, wants, trust, keeps };
    let Ok(roots) = Root::open_all(settings) else {
        // this reports which directory, and why
        return registry::load(settings, &mut task.trust, wants);
    };
    if roots.iter().all(|root| root.directory.is_none()) {
        return Registry::default();
    }
    let place = CacheFile::new(settings);
    match task.unchanged(&place, &roots) {
        Some(registry) => registry,
        None => task.renew(&place, &roots),
    }
}

/// The query of one call.
struct CacheQuery<'a> {
    settings: &'a Settings,
    user: u32,
    /// When it began: later changes may not have been seen.
    start: Duration,
    wants: &'a dyn Fn(&Triggers) -> bool,
    trust: Trust,
    /// Whether the compiled cache is written.
    keeps: bool,
}

impl CacheQuery<'_> {
    fn origin(&self) -> CacheOrigin<'static> {
        CacheOrigin::current(self.user, self.settings.trust)
    }

    /// Returns the answer from the cache, if nothing has changed since it was written.
    fn unchanged(&mut self, place: &CacheFile, roots: &[Root]) -> Option<Registry> {
        let (file, bytes) = store::open(place)?;
        let index = Index::decode(&bytes)?;
        let trusted = self.trusted(roots);
        if index.origin != self.origin() || !has_roots(&index, roots, &trusted) {
            return None;
        }
        let wanted = self.wanted(&index);
        let relevant = self.relevant(&index, roots, &trusted, &wanted)?;
        answer(&index, &Pieces::File(&file, bytes.len() as u64), &wanted, relevant)
    }

    /// Tells which of the triggers are wanted.
    fn wanted(&self, index: &Index<'_>) -> Vec<bool> {
        index.triggers.iter().map(self.wants).collect()
    }

    /// Returns the sources that matter for the answer; `None` where any source has changed.
    fn relevant<'i>(
        &mut self,
        index: &Index<'i>,
        roots: &[Root],
        trusted: &[bool],
        wanted: &[bool],
    ) -> Option<Vec<RelevantSource<'i>>> {
        let mut relevant = Vec::new();
        for source in index.sources.clone() {
            let source = source?;
            let directory = roots.get(source.root)?.directory.as_ref()?;
            if !source.is_settled || directory.look(source.name)? != source.seen {
                return None;
            }
            if !source.is_active {
                continue;
            }
            if source.seen.is_dangling() {
                // a dangling link has no path to check
                relevant.extend(RelevantSource::new(source, None, wanted));
                continue;
            }
            let is_trusted = *trusted.get(source.root)?;
            let path = || directory.join(source.name);
            let refusal = match self.check_path(path, &source.seen, is_trusted) {
                Ok(()) if source.finding == SourceFinding::Unread => return None,
                // it may just have been removed
                Err((
                    _,
                    Refusal { fault: TrustFault::Missing | TrustFault::Unreadable(_), .. },
                )) => {
                    return None;
                }
                checked => checked.err().map(|(path, refusal)| not_trusted(&path, &refusal)),
            };
            relevant.extend(RelevantSource::new(source, refusal, wanted));
        }
        Some(relevant)
    }

    /// Tells which roots have a directory that others couldn't have changed.
    fn trusted(&mut self, roots: &[Root]) -> Vec<bool> {
        let mut is_trusted = |directory: &Directory| self.trust.directory(&directory.path).is_ok();
        roots.iter().map(|root| root.directory.as_ref().is_none_or(&mut is_trusted)).collect()
    }

    /// Checks what a source's signature doesn't show: the directories on its path, and for a link the
    /// whole path of its target.
    fn check_path(
        &mut self,
        path: impl FnOnce() -> PathBuf,
        seen: &EntrySignature,
        is_directory_trusted: bool,
    ) -> Result<(), (PathBuf, Refusal)> {
        if self.settings.trust == TrustPolicy::Warn || (is_directory_trusted && !seen.own.is_link())
        {
            return Ok(());
        }
        let path = path();
        match self.trust.file(&path) {
            Ok(_) => Ok(()),
            Err(refusal) => Err((path, refusal)),
        }
    }
}

/// Tells whether the roots are those of the index, with unchanged directories.
fn has_roots(index: &Index<'_>, roots: &[Root], trusted: &[bool]) -> bool {
    index.roots.len() == roots.len()
        && index.roots.iter().zip(roots).zip(trusted).all(|((record, root), is_trusted)| {
            record.is_settled
                && record.is_trusted == *is_trusted
                && record.path == root.path
                && record.signature == root.directory.as_ref().map(|now| now.signature)
        })
}

/// Makes the same diagnostic as the registry.
fn not_trusted(path: &Path, refusal: &Refusal) -> Diagnostic {
    Diagnostic::not_trusted(path, refusal)
}
