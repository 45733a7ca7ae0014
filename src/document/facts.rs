//! The content of libvirt's document, as far as hookmux reads it.

use std::ops::Range;

use crate::libvirt::Document;
use crate::libvirt::document::{self, DocumentIdentity, Malformed};
use crate::libvirt::metadata::{self, Metadata};

/// libvirt's document, with what was read from it.
#[derive(Debug)]
pub struct DocumentFacts {
    pub document: Document,
    pub identity: DocumentIdentity,
    pub metadata: Metadata,
}

impl DocumentFacts {
    /// Reads a document. One that isn't well-formed counts as absent; the reason is kept. Of one that
    /// is over a limit only name and uuid are read; the document itself is kept.
    pub fn of(document: Document) -> DocumentFacts {
        let bytes = match document {
            Document::Whole(bytes) | Document::NotRead { bytes, .. } => bytes,
            Document::Absent | Document::Broken(_) => {
                return DocumentFacts::without_content(document);
            }
        };
        let read = document::parse(&bytes).and_then(|tree| {
            let metadata = metadata::read(&tree).map_err(Malformed::OverLimit)?;
            Ok((document::identity(&tree), metadata))
        });
        match read {
            Ok((identity, metadata)) => {
                DocumentFacts { document: Document::Whole(bytes), identity, metadata }
            }
            Err(limit @ Malformed::OverLimit(_)) => {
                let identity = document::read_identity(&bytes).unwrap_or_default();
                let document = Document::NotRead { bytes, why: limit.to_string() };
                DocumentFacts { identity, ..DocumentFacts::without_content(document) }
            }
            Err(why) => DocumentFacts::without_content(Document::Broken(why.to_string())),
        }
    }

    /// Reads only name and uuid, for calls that run no hook.
    pub fn of_head(document: Document) -> DocumentFacts {
        let identity = document.bytes().and_then(document::read_identity).unwrap_or_default();
        DocumentFacts { identity, ..DocumentFacts::without_content(document) }
    }

    /// As [`DocumentFacts::of_head`], with what the document says of the guest as far as it can be read: for the event of a
    /// call that runs no hook.
    pub(crate) fn of_head_for_event(document: Document) -> DocumentFacts {
        let tree = document.bytes().and_then(|bytes| document::parse(bytes).ok());
        let read =
            tree.map(|tree| (document::identity(&tree), metadata::read(&tree).unwrap_or_default()));
        match read {
            Some((identity, metadata)) => DocumentFacts { document, identity, metadata },
            None => DocumentFacts::of_head(document),
        }
    }

    /// Reads nothing of a document.
    pub(crate) fn without_content(document: Document) -> DocumentFacts {
        DocumentFacts {
            document,
            identity: DocumentIdentity::default(),
            metadata: Metadata::default(),
        }
    }

    /// Returns where a device's element is in the document, in bytes.
    pub fn device_place(&self, device: usize) -> Option<&Range<usize>> {
        Some(&self.metadata.devices.get(device)?.range)
    }
}
