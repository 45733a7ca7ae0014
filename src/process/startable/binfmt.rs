//! Formats registered with the kernel's `binfmt_misc`: it recognises files by their first bytes or by
//! the end of their name, and runs them with another program.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::machine::files;

const BINFMT_DIRECTORY: &str = "/proc/sys/fs/binfmt_misc";
/// The files there that are not formats.
const CONTROLS: [&str; 2] = ["register", "status"];

/// Tells whether `binfmt_misc` has a format for this file.
pub(super) fn handles(path: &Path, beginning: &[u8]) -> bool {
    let place = Path::new(BINFMT_DIRECTORY);
    let is_on = fs::read(place.join("status")).is_ok_and(|status| status.starts_with(b"enabled"));
    is_on
        && files::read_dir(place).into_iter().flatten().flatten().any(|entry| {
            let name = entry.file_name();
            !CONTROLS.iter().any(|control| name == *control)
                && fs::read_to_string(entry.path())
                    .is_ok_and(|format| is_of_format(&format, path, beginning))
        })
}

/// Tells whether a file has a format, given the kernel's description of the format.
fn is_of_format(format: &str, path: &Path, beginning: &[u8]) -> bool {
    let value = |key: &str| format.lines().find_map(|line| line.strip_prefix(key).map(str::trim));
    if !format.starts_with("enabled") {
        return false;
    }
    if let Some(extension) = value("extension .") {
        return path.as_os_str().as_bytes().ends_with(format!(".{extension}").as_bytes());
    }
    let offset = value("offset ").and_then(|offset| offset.parse::<usize>().ok());
    let Some(magic) = value("magic ").and_then(parse_hex) else { return false };
    let mask = value("mask ").and_then(parse_hex);
    let Some(there) = beginning.get(offset.unwrap_or_default()..) else { return false };
    !magic.is_empty()
        && there.len() >= magic.len()
        && magic.iter().zip(there).enumerate().all(|(index, (wanted, found))| {
            let mask = mask.as_ref().and_then(|mask| mask.get(index)).unwrap_or(&0xff);
            (wanted ^ found) & mask == 0
        })
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_bytes_or_by_a_names_end() {
        let magic = "enabled\ninterpreter /usr/bin/x\nflags: \noffset 1\nmagic 4142\nmask fffe\n";
        let is_of_format =
            |format: &str, name: &str, bytes: &[u8]| is_of_format(format, Path::new(name), bytes);
        assert!(is_of_format(magic, "/a", b"xAB") && is_of_format(magic, "/a", b"xAC!"));
        assert!(
            !is_of_format(magic, "/a", b"AB")
                && !is_of_format(magic, "/a", b"xAD")
                && !is_of_format(magic, "/a", b"")
        );
        assert!(!is_of_format(&magic.replace("enabled", "disabled"), "/a", b"xAB"));
        let extension = "enabled\ninterpreter /usr/bin/x\nflags: \nextension .jar\n";
        assert!(is_of_format(extension, "/a.jar", b"") && !is_of_format(extension, "/a.jars", b""));
        assert!(!is_of_format("enabled\n", "/a", b"x"));
    }
}
