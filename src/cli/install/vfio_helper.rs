//! Recognises the VFIO community's helper script by what it does: hookmux runs the same tree and does all
//! its work. A script that does more is adopted.

use crate::machine::files;

/// The SHA-256 of the published versions, reduced: the newer one runs a file only if it is executable and
/// not empty, the older one runs any file.
const KNOWN_SHA256: [&str; 2] = [
    "bd4d1c98d7351b21898f92f15f5ae425cda97c5f2b693c0f4689c1d40018606d",
    "b5a5171355dbf99e66655e48ebff4072200a1da728db455ccbab8b3d1387deac",
];

/// The largest file that is compared with it.
pub(super) const MAX_HELPER_BYTES: u64 = 64 * 1024;

/// Tells whether a script is the helper and does nothing else.
pub(super) fn is_vfio_helper(script: &[u8]) -> bool {
    is_among(script, &KNOWN_SHA256)
}

fn is_among(script: &[u8], known: &[&str]) -> bool {
    let Ok(text) = std::str::from_utf8(script) else { return false };
    known.contains(&files::sha256(reduce(text).as_bytes()).as_str())
}

/// Returns a script without what differs between copies of it: comments, blanks, quotes, and whether it
/// keeps standard input for the scripts that it calls (hookmux always does).
fn reduce(text: &str) -> String {
    let mut reduced = String::with_capacity(text.len());
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let code = line.split(" # ").next().unwrap_or_default();
        let plain: String = code
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\' | ';'))
            .collect();
        let plain = plain.strip_suffix("<<<$STDIN").unwrap_or(&plain);
        if !plain.is_empty() && plain != "MISC=${@:4}" && plain != "STDIN=$(cat)" {
            reduced.push_str(plain);
            reduced.push('\n');
        }
    }
    reduced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_known_and_what_does_more_is_not() {
        let script = "#!/bin/bash\nSTDIN=$(cat)\nrun \"$1\" <<< \"$STDIN\" # why\n";
        let known = files::sha256(b"run$1\n");
        for copy in [script, "#! /bin/bash\n\n# mine\n  run $1;\n", "run '$1'"] {
            assert!(is_among(copy.as_bytes(), &[&known]), "{copy}");
        }
        for other in
            [format!("{script}systemctl stop sddm\n"), script.replace("run", "walk"), String::new()]
        {
            assert!(!is_among(other.as_bytes(), &[&known]), "{other}");
        }
        assert!(!is_among(b"\xff", &[&known]));
    }
}
