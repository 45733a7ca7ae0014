//! Recognises a hookmux binary by a marker that is compiled into it, whatever its name and place.

use std::io::{self, Read};
use std::path::Path;

use crate::machine::files;

/// The marker: every hookmux binary contains it.
#[used]
static MARKER: [u8; 24] = *b"\x7fhookmux-hook-program\x7f\x01\x7f";

/// The largest binary that is searched, in bytes: a debug build has 90 MB.
const MAX_BINARY_BYTES: u64 = 512 * 1024 * 1024;
/// The size of the blocks that are searched one by one.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Tells whether a file is a hookmux binary, of this or of another version.
pub(crate) fn is_hookmux(path: &Path) -> bool {
    let Ok((mut file, _)) = files::open_regular(path) else { return false };
    let mut magic = [0; 4];
    let is_program = file.read_exact(&mut magic).is_ok() && magic == *b"\x7fELF";
    is_program && has_marker(file.take(MAX_BINARY_BYTES)).unwrap_or(false)
}

fn has_marker(mut file: impl Read) -> io::Result<bool> {
    let mut block = Vec::with_capacity(BLOCK_BYTES + MARKER.len());
    loop {
        // the end of the last block stays: the marker may begin in it
        let kept = block.len().min(MARKER.len() - 1);
        block.drain(..block.len() - kept);
        if file.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)? == 0 {
            return Ok(false);
        }
        if memchr::memmem::find(&block, &MARKER).is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_ours_are_known_and_others_are_not() {
        assert!(is_hookmux(&std::env::current_exe().unwrap()));
        assert!(!is_hookmux(Path::new("/bin/true")));
        assert!(!is_hookmux(Path::new("/etc/passwd")));
        assert!(!is_hookmux(Path::new("/nonexistent")));
        assert!(!is_hookmux(Path::new("/")));
        for before in [0, 5, BLOCK_BYTES - 10, BLOCK_BYTES, 2 * BLOCK_BYTES - 1] {
            let bytes = [&vec![0; before], &MARKER[..], b"x"].concat();
            assert!(has_marker(bytes.as_slice()).unwrap(), "{before}");
            assert!(!has_marker(&bytes[..before + MARKER.len() - 1]).unwrap(), "{before}");
        }
    }
}
