//! Writes the cache in the layout of `index`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::encoding::{Encoder, PieceSpan, checksum};
use super::index::{CacheOrigin, FORMAT, MAGIC, SourceFinding};
use super::signature::{EntrySignature, Root};
use crate::config::registration::Registration;
use crate::config::settings::TrustPolicy;
use crate::config::triggers::{CallPattern, Triggers};

/// The last good form of a source, with everything that the cache stores of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GoodForm {
    pub triggers: Triggers,
    pub compiled: Vec<u8>,
    pub text: Vec<u8>,
}

impl GoodForm {
    pub(super) fn new(registration: &Registration, text: String) -> GoodForm {
        GoodForm {
            triggers: registration.triggers.clone(),
            compiled: compile(registration).unwrap_or_default(),
            text: text.into_bytes(),
        }
    }
}

/// Serialises a registration, if reading it back gives the same: not with a path that isn't UTF-8.
fn compile(registration: &Registration) -> Option<Vec<u8>> {
    let compiled = serde_json::to_vec(registration).ok()?;
    let again: Registration = serde_json::from_slice(&compiled).ok()?;
    (again == *registration).then_some(compiled)
}

/// A source to be written; its diagnostic is serialised already.
#[derive(Debug)]
pub(super) struct NewSource {
    pub root: usize,
    pub name: OsString,
    pub is_active: bool,
    pub is_settled: bool,
    pub seen: EntrySignature,
    pub finding: SourceFinding<Vec<u8>>,
    pub good: Option<GoodForm>,
}

/// A root to be written.
pub(super) struct NewRoot<'a> {
    pub root: &'a Root,
    pub is_settled: bool,
    pub is_trusted: bool,
}

/// Encodes the whole file.
pub(super) fn encode(
    origin: &CacheOrigin<'_>,
    roots: &[NewRoot<'_>],
    sources: &[NewSource],
) -> Vec<u8> {
    let mut writer = Writer::default();
    for source in sources {
        writer.source(source);
    }
    let mut index = Encoder::default();
    index.bytes(origin.version);
    index.number(origin.user.into());
    index.byte(u8::from(origin.trust == TrustPolicy::Refuse));
    index.count(roots.len());
    for NewRoot { root, is_settled, is_trusted } in roots {
        index.bytes(root.path.as_os_str().as_bytes());
        index.byte(u8::from(*is_settled));
        index.byte(u8::from(*is_trusted));
        index.optional(root.directory.as_ref(), |to, directory| directory.signature.encode(to));
    }
    index.count(writer.known.len());
    index.0.append(&mut writer.triggers.0);
    index.count(sources.len());
    index.0.append(&mut writer.sources.0);
    let mut file = Encoder(MAGIC.to_vec());
    file.0.extend_from_slice(&FORMAT.to_le_bytes());
    file.fixed(index.0.len() as u64);
    file.fixed(checksum(&index.0));
    file.0.append(&mut index.0);
    file.0.append(&mut writer.pieces);
    file.0
}

#[derive(Default)]
struct Writer {
    /// The encoded triggers, and their positions.
    known: HashMap<Vec<u8>, usize>,
    triggers: Encoder,
    sources: Encoder,
    pieces: Vec<u8>,
}

impl Writer {
    fn source(&mut self, source: &NewSource) {
        let problem = match &source.finding {
            SourceFinding::Broken(problem) => Some(self.piece(problem)),
            _ => None,
        };
        let good = source.good.as_ref().map(|good| {
            (self.triggers(&good.triggers), self.piece(&good.compiled), self.piece(&good.text))
        });
        let to = &mut self.sources;
        to.count(source.root);
        to.bytes(source.name.as_bytes());
        to.byte(u8::from(source.is_active));
        to.byte(u8::from(source.is_settled));
        source.seen.own.encode(to);
        to.optional(source.seen.target, |to, target| target.encode(to));
        match (&source.finding, problem) {
            (SourceFinding::Unread, _) => to.byte(0),
            (_, None) => to.byte(1),
            (_, Some(problem)) => {
                to.byte(2);
                to.span(problem);
            }
        }
        to.optional(good, |to, (triggers, compiled, text)| {
            to.count(triggers);
            to.span(compiled);
            to.span(text);
        });
    }

    fn triggers(&mut self, triggers: &Triggers) -> usize {
        let mut to = Encoder::default();
        to.byte(u8::from(triggers.every_event));
        to.count(triggers.events.len());
        for event in &triggers.events {
            to.bytes(event.as_bytes());
        }
        to.count(triggers.calls.len());
        for CallPattern { driver, operation, sub } in &triggers.calls {
            for part in [driver, operation, sub] {
                to.optional(part.as_ref(), |to, part| to.bytes(part.as_bytes()));
            }
        }
        let next = self.known.len();
        *self.known.entry(to.0).or_insert_with_key(|encoded| {
            self.triggers.0.extend_from_slice(encoded);
            next
        })
    }

    fn piece(&mut self, bytes: &[u8]) -> PieceSpan {
        let offset = self.pieces.len() as u64;
        self.pieces.extend_from_slice(bytes);
        PieceSpan { offset, length: bytes.len() as u64, sum: checksum(bytes) }
    }
}
