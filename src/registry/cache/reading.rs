//! Reading a source, and knowing what it is that was read.

use std::io::{self, Seek};
use std::path::Path;

use super::not_trusted;
use super::signature::Signature;
use crate::config::diagnostic::{Diagnostic, DiagnosticKind};
use crate::config::registration::MAX_REGISTRATION_BYTES;
use crate::config::settings::TrustPolicy;
use crate::machine::files;
use crate::trust::{Fault, Trust};

/// How often a file is read again because it was written to meanwhile.
const READS: usize = 3;

/// Why a file can't be read.
pub(super) struct Trouble {
    pub message: String,
    pub kind: DiagnosticKind,
    /// Whether it may end without the file changing.
    pub may_pass: bool,
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        let may_pass = error.kind() != io::ErrorKind::InvalidData;
        Trouble { message: error.to_string(), kind: DiagnosticKind::Unreadable, may_pass }
    }
}

/// The text of a source, and the signature of the file that it is the text of.
///
/// # Errors
/// It isn't trusted, or can't be read.
pub(super) fn read(
    path: &Path,
    policy: TrustPolicy,
    trust: &mut Trust,
) -> Result<(String, Signature), Trouble> {
    if policy == TrustPolicy::Refuse {
        trust.file(path).map_err(|refusal| {
            let Diagnostic { message, kind, .. } = not_trusted(path, &refusal);
            let may_pass = matches!(refusal.fault, Fault::Missing | Fault::Unreadable(_));
            Trouble { message, kind, may_pass }
        })?;
    }
    #[cfg(test)]
    super::tests::note_read(path);
    // should it have become a pipe, it isn't waited for
    let (mut file, _) = match policy {
        TrustPolicy::Refuse => files::open_asked(path)?,
        TrustPolicy::Warn => files::open_regular(path)?,
    };
    let mut reads = 1;
    loop {
        let before = Signature::of(&file)?;
        let text = files::into_text(files::read_open(&file, MAX_REGISTRATION_BYTES)?)?;
        // in the worst case the signature is older than the text, and the next call reads it again
        if reads == READS || Signature::of(&file)? == before {
            return Ok((text, before));
        }
        file.rewind()?;
        reads += 1;
    }
}
