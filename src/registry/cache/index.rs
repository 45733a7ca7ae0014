//! The layout of the cache: a header, the index, and behind it the pieces that the index names.
//!
//! The header has the index's length and checksum, the index each piece's. So a call that finds
//! everything unchanged reads the index and what it wants, and whatever is torn or damaged shows.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::signature::{Seen, Signature};
use super::wire::{Decoder, Span, checksum};
use crate::config::registration::DIRECTORY;
use crate::config::settings::TrustPolicy;
use crate::config::triggers::{CallPattern, Triggers};

pub(super) const MAGIC: &[u8; 12] = b"hookmuxcache";
/// Whoever raises it reads the last good bytes of the former one too.
pub(super) const FORMAT: u32 = 1;
/// Magic, format, and the index's length and checksum.
pub(super) const HEADER: usize = 32;
/// Of all that the compiled forms depend on, what no source's signature shows.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Who wrote it, and under which rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maker<'a> {
    pub version: &'a [u8],
    pub user: u32,
    pub trust: TrustPolicy,
}

impl Maker<'static> {
    /// This program, for a user.
    pub(super) fn current(user: u32, trust: TrustPolicy) -> Maker<'static> {
        Maker { version: VERSION.as_bytes(), user, trust }
    }
}

impl Maker<'_> {
    /// Whether what this one held good is good under the rules of another one too.
    pub(super) fn is_as_strict_as(&self, other: &Maker<'_>) -> bool {
        self.user == other.user && (self.trust == other.trust || self.trust == TrustPolicy::Refuse)
    }
}

/// What became of a source, apart from the way that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding<P> {
    /// It isn't active, or the way to it was refused.
    Unread,
    Good,
    /// What is wrong with it.
    Broken(P),
}

/// The last good form of a source: its current one, or what stands in for a broken one.
#[derive(Clone, Copy, Debug)]
pub(super) struct GoodRecord {
    /// Index into the triggers.
    pub triggers: usize,
    /// Empty where the form has no serialised one that comes back the same.
    pub compiled: Span,
    pub text: Span,
}

#[derive(Debug)]
pub(super) struct SourceRecord<'a> {
    pub root: usize,
    pub name: &'a OsStr,
    pub is_active: bool,
    /// Whether an unchanged signature means an unchanged source.
    pub is_settled: bool,
    pub seen: Seen,
    pub finding: Finding<Span>,
    pub good: Option<GoodRecord>,
}

#[derive(Debug)]
pub(super) struct RootRecord<'a> {
    pub path: &'a Path,
    pub is_settled: bool,
    /// Whether nobody else could have put there what is in its directory: a mask counts only then.
    pub is_trusted: bool,
    pub signature: Option<Signature>,
}

/// The index, read.
#[derive(Debug)]
pub(super) struct Index<'a> {
    pub maker: Maker<'a>,
    pub roots: Vec<RootRecord<'a>>,
    /// Each once, however many sources share it.
    pub triggers: Vec<Triggers>,
    pub sources: Sources<'a>,
}

/// The sources, each read when its turn comes: a call looks at most of them but once.
#[derive(Clone, Debug)]
pub(super) struct Sources<'a> {
    count: usize,
    rest: Decoder<'a>,
}

impl<'a> Iterator for Sources<'a> {
    /// `None` where what follows is no source.
    type Item = Option<SourceRecord<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        Some(decode_source(&mut self.rest))
    }
}

/// The length of the index, as of the header.
pub(super) fn index_length(header: &[u8]) -> Option<usize> {
    let mut rest = Decoder(header.strip_prefix(MAGIC)?.strip_prefix(&FORMAT.to_le_bytes())?);
    rest.fixed()?.try_into().ok()
}

impl<'a> Index<'a> {
    /// Reads header and index; `None` where they aren't whole.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Index<'a>> {
        let length = index_length(bytes)?;
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let index = rest.get(..length)?;
        let sum = header.last_chunk().copied().map(u64::from_le_bytes)?;
        if sum != checksum(index) {
            return None;
        }
        let mut from = Decoder(index);
        let index = Index {
            maker: decode_maker(&mut from)?,
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

fn decode_maker<'a>(from: &mut Decoder<'a>) -> Option<Maker<'a>> {
    let version = from.bytes()?;
    let user = from.small()?;
    let trust = if from.flag()? { TrustPolicy::Refuse } else { TrustPolicy::Warn };
    Some(Maker { version, user, trust })
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
        seen: Seen { own: Signature::decode(from)?, target: from.optional(Signature::decode)? },
        finding: match from.byte()? {
            0 => Finding::Unread,
            1 => Finding::Good,
            2 => Finding::Broken(from.span()?),
            _ => return None,
        },
        good: from.optional(|from| {
            Some(GoodRecord { triggers: from.count()?, compiled: from.span()?, text: from.span()? })
        })?,
    })
}
