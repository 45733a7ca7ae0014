//! What is in libvirt's document, as far as it is read.

use crate::libvirt::Document;
use crate::libvirt::document::{self, DocumentIdentity, Malformed};
use crate::libvirt::metadata::{self, Metadata};

/// libvirt's document, read and judged.
#[derive(Debug)]
pub struct Facts {
    pub document: Document,
    pub identity: DocumentIdentity,
    pub metadata: Metadata,
}

impl Facts {
    /// Judges a document. One that isn't well-formed counts as absent, and its reason is kept. One
    /// that is over a limit is kept too, and known by its name and uuid alone.
    pub fn of(document: Document) -> Facts {
        let bytes = match document {
            Document::Whole(bytes) | Document::NotRead { bytes, .. } => bytes,
            Document::Absent | Document::Broken(_) => return Facts::without_content(document),
        };
        let read = document::parse(&bytes).and_then(|tree| {
            let metadata = metadata::read(&tree).map_err(Malformed::OverLimit)?;
            Ok((document::identity(&tree), metadata))
        });
        match read {
            Ok((identity, metadata)) => {
                Facts { document: Document::Whole(bytes), identity, metadata }
            }
            Err(limit @ Malformed::OverLimit(_)) => {
                let identity = document::read_identity(&bytes).unwrap_or_default();
                let document = Document::NotRead { bytes, why: limit.to_string() };
                Facts { identity, ..Facts::without_content(document) }
            }
            Err(why) => Facts::without_content(Document::Broken(why.to_string())),
        }
    }

    /// Reads no more than name and uuid: for calls that run no hook.
    pub fn of_head(document: Document) -> Facts {
        let identity = document.bytes().and_then(document::read_identity).unwrap_or_default();
        Facts { identity, ..Facts::without_content(document) }
    }

    fn without_content(document: Document) -> Facts {
        Facts { document, identity: DocumentIdentity::default(), metadata: Metadata::default() }
    }

    /// The XML of a device, out of the document.
    pub fn device_xml(&self, device: usize) -> Option<&[u8]> {
        let range = self.metadata.devices.get(device)?.range.clone();
        self.document.bytes()?.get(range)
    }
}
