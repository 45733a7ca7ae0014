//! The layout of the cache: a header, the index, and after it the pieces that the index refers to.
//!
//! The header has length and checksum of the index; the index has those of each piece. So a call that
//! finds everything unchanged reads only the index and the pieces that it needs, and notices whatever is
//! incomplete or damaged.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::encoding::{Decoder, PieceSpan, checksum};
use super::signature::{EntrySignature, Signature};
use crate::config::registration::DIRECTORY;
use crate::config::settings::TrustPolicy;
use crate::config::triggers::{CallPattern, Triggers};

pub(super) const MAGIC: &[u8; 12] = b"hookmuxcache";
/// When raising this, keep a reader for the last good copies of the previous format.
pub(super) const FORMAT: u32 = 1;
/// The length of magic, format, and the index's length and checksum.
pub(super) const HEADER_BYTES: usize = 32;
/// The program's version: compiled forms depend on it, and no source's signature shows it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Which version wrote the cache, for which user, and with which trust policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CacheOrigin<'a> {
    pub version: &'a [u8],
    pub user: u32,
    pub trust: TrustPolicy,
}

impl CacheOrigin<'static> {
    /// Makes that of this program, for a user.
    pub(super) fn current(user: u32, trust: TrustPolicy) -> CacheOrigin<'static> {
        CacheOrigin { version: VERSION.as_bytes(), user, trust }
    }
}

impl CacheOrigin<'_> {
    /// Tells whether what was good under these rules is good under those of `other` too.
    pub(super) fn is_as_strict_as(&self, other: &CacheOrigin<'_>) -> bool {
        self.user == other.user && (self.trust == other.trust || self.trust == TrustPolicy::Refuse)
    }
}

/// The result of reading a source, apart from the trust in its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceFinding<P> {
    /// It isn't active, or its path isn't trusted.
    Unread,
    Good,
    /// What is wrong with it.
    Broken(P),
}

/// The last good form of a source: the current one, or the one used in place of a broken one.
#[derive(Clone, Copy, Debug)]
pub(super) struct GoodRecord {
    /// Index into the triggers.
    pub triggers: usize,
    /// Empty where serialising the form and reading it back doesn't give the same.
    pub compiled: PieceSpan,
    pub text: PieceSpan,
}

#[derive(Debug)]
pub(super) struct SourceRecord<'a> {
    pub root: usize,
    pub name: &'a OsStr,
    pub is_active: bool,
    /// Whether an unchanged signature means an unchanged source.
    pub is_settled: bool,
    pub seen: EntrySignature,
    pub finding: SourceFinding<PieceSpan>,
    pub good: Option<GoodRecord>,
}

#[derive(Debug)]
pub(super) struct RootRecord<'a> {
    pub path: &'a Path,
    pub is_settled: bool,
    /// Whether others couldn't have changed its directory: a mask counts only then.
    pub is_trusted: bool,
    pub signature: Option<Signature>,
}

/// The decoded index.
#[derive(Debug)]
pub(super) struct Index<'a> {
    pub origin: CacheOrigin<'a>,
    pub roots: Vec<RootRecord<'a>>,
    /// Each occurs once, even if several sources share it.
    pub triggers: Vec<Triggers>,
    pub sources: Sources<'a>,
}

/// The sources, decoded one after the other: a call needs most of them only once.
#[derive(Clone, Debug)]
pub(super) struct Sources<'a> {
    count: usize,
    rest: Decoder<'a>,
}

impl<'a> Iterator for Sources<'a> {
    /// `None` where what follows is not a source.
    type Item = Option<SourceRecord<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        Some(decode_source(&mut self.rest))
    }
}

/// Reads the length of the index from the header.
pub(super) fn index_length(header: &[u8]) -> Option<usize> {
    let mut rest = Decoder(header.strip_prefix(MAGIC)?.strip_prefix(&FORMAT.to_le_bytes())?);
    rest.fixed()?.try_into().ok()
}

impl<'a> Index<'a> {
    /// Reads header and index; `None` where they are incomplete or damaged.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Index<'a>> {
        let length = index_length(bytes)?;
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let index = rest.get(..length)?;
        let sum = header.last_chunk().copied().map(u64::from_le_bytes)?;
        if sum != checksum(index) {
            return None;
        }
        let mut from = Decoder(index);
        let index = Index {
            origin: decode_origin(&mut from)?,
            roots: from.list(decode_root)?,
            triggers: from.list(decode_triggers)?,
            sources: Sources { count: from.count()?, rest: from },
        };
        Some(index)
    }

    pub(super) fn path_of(&self, source: &SourceRecord<'_>) -> Option<PathBuf> {
        let root = self.roots.get(source.root)?.path;
        Some(root.join(DIRECTORY).join(source.name))
    }
}

fn decode_origin<'a>(from: &mut Decoder<'a>) -> Option<CacheOrigin<'a>> {
    let version = from.bytes()?;
    let user = from.small()?;
    let trust = if from.flag()? { TrustPolicy::Refuse } else { TrustPolicy::Warn };
    Some(CacheOrigin { version, user, trust })
}

fn decode_root<'a>(from: &mut Decoder<'a>) -> Option<RootRecord<'a>> {
    Some(RootRecord {
        path: Path::new(OsStr::from_bytes(from.bytes()?)),
        is_settled: from.flag()?,
        is_trusted: from.flag()?,
        signature: from.optional(Signature::decode)?,
    })
}

fn decode_triggers(from: &mut Decoder<'_>) -> Option<Triggers> {
    let owned = |from: &mut Decoder<'_>| from.text().map(str::to_owned);
    Some(Triggers {
        every_event: from.flag()?,
        events: from.list(owned)?,
        calls: from.list(|from| {
            Some(CallPattern {
                driver: from.optional(owned)?,
                operation: from.optional(owned)?,
                sub: from.optional(owned)?,
            })
        })?,
    })
}

fn decode_source<'a>(from: &mut Decoder<'a>) -> Option<SourceRecord<'a>> {
    Some(SourceRecord {
        root: from.count()?,
        name: OsStr::from_bytes(from.bytes()?),
        is_active: from.flag()?,
        is_settled: from.flag()?,
        seen: EntrySignature {
            own: Signature::decode(from)?,
            target: from.optional(Signature::decode)?,
        },
        finding: match from.byte()? {
            0 => SourceFinding::Unread,
            1 => SourceFinding::Good,
            2 => SourceFinding::Broken(from.span()?),
            _ => return None,
        },
        good: from.optional(|from| {
            Some(GoodRecord { triggers: from.count()?, compiled: from.span()?, text: from.span()? })
        })?,
    })
}
