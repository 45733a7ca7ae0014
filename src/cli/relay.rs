//! `hookmux watch --from URL`: the events of other hosts are hookmux-relay's, which a package of its own has. hookmux
//! itself never uses the network.

use std::convert::Infallible;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::bail;

const PROGRAM: &str = "hookmux-relay";
const FROM: &str = "--from";

/// Returns the words of `watch`, if they name a server: hookmux-relay reads all of them.
pub(super) fn words_of_watch(words: &[OsString]) -> Option<&[OsString]> {
    let mut place = 1;
    while words.get(place).is_some_and(|word| word.to_string_lossy().starts_with('-')) {
        // the only option before a command that takes a word
        place += if words[place] == "--hooks-dir" || words[place] == "--color" { 2 } else { 1 };
    }
    let rest = words.get(place..).filter(|rest| rest.first().is_some_and(|it| it == "watch"))?;
    let is_from = |word: &OsString| word == FROM || word.to_string_lossy().starts_with("--from=");
    rest.iter().any(is_from).then_some(rest)
}

/// Executes hookmux-relay with these words. Returns only where that isn't possible.
///
/// # Errors
/// It isn't there, or can't be executed.
pub(super) fn execute(words: &[OsString]) -> anyhow::Result<Infallible> {
    // beside this program, as it may not be in the PATH
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(|directory| directory.join(PROGRAM));
    let beside = beside.filter(|path| path.exists());
    let program = beside.as_deref().map_or(OsStr::new(PROGRAM), Path::as_os_str);
    let error = Command::new(program).args(words).exec();
    match error.kind() {
        ErrorKind::NotFound => bail!(
            "events of other hosts are shown by {PROGRAM}, which isn't there: install the package {PROGRAM}"
        ),
        _ => bail!("{} can't be executed: {error}", program.to_string_lossy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_watch_from_somewhere_is_the_relays() {
        for (words, expected) in [
            ("hookmux watch --from nats://a", Some("watch --from nats://a")),
            (
                "hookmux --no-pager watch qemu --from=tls://a -o json",
                Some("watch qemu --from=tls://a -o json"),
            ),
            ("hookmux --hooks-dir watch watch --from x", Some("watch --from x")),
            ("hookmux watch", None),
            ("hookmux log --from x", None),
            ("hookmux", None),
            ("hookmux --hooks-dir", None),
            ("hookmux list watch --from x", None),
        ] {
            let all: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            let found = words_of_watch(&all).map(|rest| {
                let rest: Vec<_> = rest.iter().map(|word| word.to_string_lossy()).collect();
                rest.join(" ")
            });
            assert_eq!(found.as_deref(), expected, "{words}");
        }
    }
}
