//! Reads a source together with the signature of the file that was read.

use std::io::{self, Seek};
use std::path::Path;

use super::not_trusted;
use super::signature::Signature;
use crate::config::diagnostic::{Diagnostic, DiagnosticKind};
use crate::config::registration::MAX_REGISTRATION_BYTES;
use crate::config::settings::TrustPolicy;
use crate::machine::files;
use crate::trust::{Trust, TrustFault};

/// How many times a file is read because it was changed meanwhile.
const MAX_READS: usize = 3;

/// Why a file can't be read.
pub(super) struct ReadError {
    pub message: String,
    pub kind: DiagnosticKind,
    /// Whether it may go away without a change of the file.
    pub is_transient: bool,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        let is_transient = error.kind() != io::ErrorKind::InvalidData;
        ReadError { message: error.to_string(), kind: DiagnosticKind::Unreadable, is_transient }
    }
}

/// Returns the text of a source, and the signature of the file that it was read from.
///
/// # Errors
/// It isn't trusted, or can't be read.
pub(super) fn read(
    path: &Path,
    policy: TrustPolicy,
    trust: &mut Trust,
) -> Result<(String, Signature), ReadError> {
    if policy == TrustPolicy::Refuse {
        trust.file(path).map_err(|refusal| {
            let Diagnostic { message, kind, .. } = not_trusted(path, &refusal);
            let is_transient =
                matches!(refusal.fault, TrustFault::Missing | TrustFault::Unreadable(_));
            ReadError { message, kind, is_transient }
        })?;
    }
    #[cfg(test)]
    super::tests::note_read(path);
    // if it has become a pipe, don't wait for it
    let (mut file, _) = match policy {
        TrustPolicy::Refuse => files::open_known_regular(path)?,
        TrustPolicy::Warn => files::open_regular(path)?,
    };
    let mut reads = 1;
    loop {
        let before = Signature::of(&file)?;
        let text = files::into_text(files::read_open(&file, MAX_REGISTRATION_BYTES)?)?;
        // in the worst case the signature is older than the text, and the next call reads it again
        if reads == MAX_READS || Signature::of(&file)? == before {
            return Ok((text, before));
        }
        file.rewind()?;
        reads += 1;
    }
}
