//! Reading a source, and knowing what it is that was read.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::not_trusted;
use super::signature::Signature;
use crate::config::diagnostic::Kind;
use crate::config::settings::TrustPolicy;
use crate::trust::{Fault, Trust};

/// How often a file is read again because it was written to meanwhile.
const READS: usize = 3;

/// Why a file can't be read.
pub struct Trouble {
    pub message: String,
    pub kind: Kind,
    /// Whether it may end without the file changing.
    pub may_pass: bool,
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        let may_pass = error.kind() != io::ErrorKind::InvalidData;
        Trouble { message: error.to_string(), kind: Kind::Unreadable, may_pass }
    }
}

/// The text of a source, and the signature of the file that it is the text of.
///
/// # Errors
/// It isn't trusted, or can't be read.
pub fn read(
    path: &Path,
    policy: TrustPolicy,
    trust: &mut Trust,
) -> Result<(String, Signature), Trouble> {
    if policy == TrustPolicy::Refuse {
        trust.file(path).map_err(|refusal| Trouble {
            message: not_trusted(path, &refusal).message,
            kind: Kind::NotTrusted,
            may_pass: matches!(refusal.fault, Fault::Unreadable(_)),
        })?;
    }
    #[cfg(test)]
    super::tests::note_read(path);
    // should it have become a pipe, it isn't waited for
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut reads = 1;
    loop {
        let before = Signature::of(&file)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // in the worst case the signature is older than the text, and the next call reads it again
        if reads == READS || Signature::of(&file)? == before {
            return Ok((text, before));
        }
        file.rewind()?;
        reads += 1;
    }
}
