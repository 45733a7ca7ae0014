//! The registry as a call has it: what is unchanged comes from a cache, what is broken from the
//! cache's last good form of it.
//!
//! `registry::load` is the truth; this says the same, sooner. The cache is one file in the state
//! directory. Whoever finds that something changed compiles anew what did, and if nobody else is
//! at it, replaces the file. A file that is missing, torn, damaged, foreign or can't be written
//! costs time, and the last good forms, and nothing else.

mod answer;
mod compile;
mod index;
mod old;
mod reading;
mod signature;
mod store;
#[cfg(test)]
mod tests;
mod wire;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::answer::{Meant, answer};
use self::index::{Finding, Index, Maker};
use self::signature::{Directory, Root, Seen};
use self::store::{CacheFile, Pieces};
use crate::config::diagnostic::Diagnostic;
use crate::config::settings::{Settings, TrustPolicy};
use crate::config::triggers::Triggers;
use crate::machine::clock;
use crate::registry::{self, Registry};
use crate::trust::{Refusal, Trust, TrustFault};

/// What a call could mean. `trust` may have walked directories just before.
pub fn load(settings: &Settings, trust: &Trust, wants: &dyn Fn(&Triggers) -> bool) -> Registry {
    // before 1970 nothing counts as settled
    let start = clock::unix_time();
    load_at(settings, trust, wants, start)
}

/// The same for who only looks: nothing is kept.
pub(crate) fn look(
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
    let mut task = Task { settings, user, start, wants, trust, keeps };
    let Ok(roots) = Root::open_all(settings) else {
        // it says which one, and why
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

/// A call's question.
struct Task<'a> {
    settings: &'a Settings,
    user: u32,
    /// When it began: what changed later may not have been seen.
    start: Duration,
    wants: &'a dyn Fn(&Triggers) -> bool,
    trust: Trust,
    /// Whether what is compiled is kept.
    keeps: bool,
}

impl Task<'_> {
    fn maker(&self) -> Maker<'static> {
        Maker::current(self.user, self.settings.trust)
    }

    /// The answer from the cache, if nothing has changed since it was written.
    fn unchanged(&mut self, place: &CacheFile, roots: &[Root]) -> Option<Registry> {
        let (file, bytes) = store::open(place)?;
        let index = Index::decode(&bytes)?;
        let trusted = self.trusted(roots);
        if index.maker != self.maker() || !has_roots(&index, roots, &trusted) {
            return None;
        }
        let wanted = self.wanted(&index);
        let meant = self.meant(&index, roots, &trusted, &wanted)?;
        answer(&index, &Pieces::File(&file, bytes.len() as u64), &wanted, meant)
    }

    /// Which of the triggers are wanted.
    fn wanted(&self, index: &Index<'_>) -> Vec<bool> {
        index.triggers.iter().map(self.wants).collect()
    }

    /// The sources that the answer is made of; `None` where any source has changed.
    fn meant<'i>(
        &mut self,
        index: &Index<'i>,
        roots: &[Root],
        trusted: &[bool],
        wanted: &[bool],
    ) -> Option<Vec<Meant<'i>>> {
        let mut meant = Vec::new();
        for source in index.sources.clone() {
            let source = source?;
            let directory = roots.get(source.root)?.directory.as_ref()?;
            if !source.is_settled || directory.look(source.name)? != source.seen {
                return None;
            }
            if !source.is_active {
                continue;
            }
            if source.seen.leads_nowhere() {
                // there is no way to check
                meant.extend(Meant::new(source, None, wanted));
                continue;
            }
            let is_trusted = *trusted.get(source.root)?;
            let path = || directory.join(source.name);
            let refusal = match self.check_way(path, &source.seen, is_trusted) {
                Ok(()) if source.finding == Finding::Unread => return None,
                // it may just have gone away
                Err((
                    _,
                    Refusal { fault: TrustFault::Missing | TrustFault::Unreadable(_), .. },
                )) => {
                    return None;
                }
                checked => checked.err().map(|(path, refusal)| not_trusted(&path, &refusal)),
            };
            meant.extend(Meant::new(source, refusal, wanted));
        }
        Some(meant)
    }

    /// Whose directories others couldn't have changed.
    fn trusted(&mut self, roots: &[Root]) -> Vec<bool> {
        let mut is_trusted = |directory: &Directory| self.trust.directory(&directory.path).is_ok();
        roots.iter().map(|root| root.directory.as_ref().is_none_or(&mut is_trusted)).collect()
    }

    /// What no source's signature shows: the directories that lead to it, and where it is a link,
    /// the whole way to what it leads to.
    fn check_way(
        &mut self,
        path: impl FnOnce() -> PathBuf,
        seen: &Seen,
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

/// Whether the roots are those of the index, and nothing has changed about their directories.
fn has_roots(index: &Index<'_>, roots: &[Root], trusted: &[bool]) -> bool {
    index.roots.len() == roots.len()
        && index.roots.iter().zip(roots).zip(trusted).all(|((record, root), is_trusted)| {
            record.is_settled
                && record.is_trusted == *is_trusted
                && record.path == root.path
                && record.signature == root.directory.as_ref().map(|now| now.signature)
        })
}

/// As the registry says it.
fn not_trusted(path: &Path, refusal: &Refusal) -> Diagnostic {
    Diagnostic::not_trusted(path, refusal)
}
