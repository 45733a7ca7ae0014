//! Programs that the host has other programs for: `binfmt_misc` of the kernel knows them by their first
//! bytes or by the end of their name.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::machine::files;

const PLACE: &str = "/proc/sys/fs/binfmt_misc";
/// The files there that are no formats.
const CONTROLS: [&str; 2] = ["register", "status"];

/// Whether the host has something that runs this file.
pub(super) fn takes(path: &Path, beginning: &[u8]) -> bool {
    let place = Path::new(PLACE);
    let is_on = fs::read(place.join("status")).is_ok_and(|status| status.starts_with(b"enabled"));
    is_on
        && files::read_dir(place).into_iter().flatten().flatten().any(|entry| {
            let name = entry.file_name();
            !CONTROLS.iter().any(|control| name == *control)
                && fs::read_to_string(entry.path())
                    .is_ok_and(|format| fits(&format, path, beginning))
        })
}

/// Whether a file is of a format, as the kernel writes formats down.
fn fits(format: &str, path: &Path, beginning: &[u8]) -> bool {
    let value = |key: &str| format.lines().find_map(|line| line.strip_prefix(key).map(str::trim));
    if !format.starts_with("enabled") {
        return false;
    }
    if let Some(extension) = value("extension .") {
        return path.as_os_str().as_bytes().ends_with(format!(".{extension}").as_bytes());
    }
    let offset = value("offset ").and_then(|offset| offset.parse::<usize>().ok());
    let Some(magic) = value("magic ").and_then(digits) else { return false };
    let mask = value("mask ").and_then(digits);
    let Some(there) = beginning.get(offset.unwrap_or_default()..) else { return false };
    !magic.is_empty()
        && there.len() >= magic.len()
        && magic.iter().zip(there).enumerate().all(|(index, (wanted, found))| {
            let mask = mask.as_ref().and_then(|mask| mask.get(index)).unwrap_or(&0xff);
            (wanted ^ found) & mask == 0
        })
}

fn digits(text: &str) -> Option<Vec<u8>> {
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
        let fits = |format: &str, name: &str, bytes: &[u8]| fits(format, Path::new(name), bytes);
        assert!(fits(magic, "/a", b"xAB") && fits(magic, "/a", b"xAC!"));
        assert!(!fits(magic, "/a", b"AB") && !fits(magic, "/a", b"xAD") && !fits(magic, "/a", b""));
        assert!(!fits(&magic.replace("enabled", "disabled"), "/a", b"xAB"));
        let extension = "enabled\ninterpreter /usr/bin/x\nflags: \nextension .jar\n";
        assert!(fits(extension, "/a.jar", b"") && !fits(extension, "/a.jars", b""));
        assert!(!fits("enabled\n", "/a", b"x"));
    }
}
