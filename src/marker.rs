//! By which a file is known as hookmux, whatever it is called and wherever it lies.

use std::io::Read;
use std::path::Path;

use crate::files;

/// In every binary of hookmux's.
#[used]
static MARKER: [u8; 24] = *b"\x7fhookmux-hook-program\x7f\x01\x7f";

/// The largest binary that is looked through, in bytes.
const MOST: u64 = 64 * 1024 * 1024;

/// Whether a file is a hookmux: of this or of another version.
pub fn is_hookmux(path: &Path) -> bool {
    let Ok((mut file, _)) = files::open_regular(path) else { return false };
    let mut magic = [0; 4];
    let is_program = file.read_exact(&mut magic).is_ok() && magic == *b"\x7fELF";
    if !is_program {
        return false;
    }
    let mut bytes = Vec::new();
    let read = file.take(MOST).read_to_end(&mut bytes);
    read.is_ok() && bytes.windows(MARKER.len()).any(|window| window == MARKER)
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
    }
}
