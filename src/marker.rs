//! By which a file is known as hookmux, whatever it is called and wherever it lies.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::files;

/// In every binary of hookmux's.
#[used]
static MARKER: [u8; 24] = *b"\x7fhookmux-hook-program\x7f\x01\x7f";

/// The marker without the byte that it begins with, in the two parts that end with that byte.
const PARTS: [&[u8]; 2] = [b"hookmux-hook-program\x7f", b"\x01\x7f"];
const DELIMITER: u8 = 0x7f;

/// How much of a program is looked through, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// How much of it is read at once, in bytes.
const BUFFER_BYTES: usize = 128 * 1024;

/// Whether a file is a hookmux: of this or of another version.
pub fn is_hookmux(path: &Path) -> bool {
    let Ok((mut file, _)) = files::open_regular(path) else { return false };
    let mut magic = [0; 4];
    let is_program = file.read_exact(&mut magic).is_ok() && magic == *b"\x7fELF";
    is_program
        && has_marker(BufReader::with_capacity(BUFFER_BYTES, file.take(MAX_BYTES))).unwrap_or(false)
}

fn has_marker(mut program: impl BufRead) -> io::Result<bool> {
    let mut part = Vec::new();
    let mut is_begun = false;
    loop {
        part.clear();
        if program.read_until(DELIMITER, &mut part)? == 0 {
            return Ok(false);
        }
        if is_begun && part == PARTS[1] {
            return Ok(true);
        }
        is_begun = part == PARTS[0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_ours_are_known_and_others_are_not() {
        assert!(is_hookmux(&std::env::current_exe().unwrap()));
        let marker = MARKER.as_slice();
        for (before, after) in [("", ""), ("\x7f", "\x7f"), ("a\x7fb", "c")] {
            let bytes = [before.as_bytes(), marker, after.as_bytes()].concat();
            assert!(has_marker(bytes.as_slice()).unwrap(), "{before:?} {after:?}");
        }
        for bytes in [&marker[..marker.len() - 1], b"", b"\x7fhookmux-hook-program\x7f\x7f\x01\x7f"]
        {
            assert!(!has_marker(bytes).unwrap(), "{bytes:?}");
        }
        assert!(!is_hookmux(Path::new("/bin/true")));
        assert!(!is_hookmux(Path::new("/etc/passwd")));
        assert!(!is_hookmux(Path::new("/nonexistent")));
        assert!(!is_hookmux(Path::new("/")));
    }
}
