//! Checks arguments and environment against the limits of Linux.

use std::ffi::{CStr, CString};

use nix::sys::resource::{Resource, getrlimit};

use super::obstacle::{ObstacleCause, OversizedWord, StartObstacle, TooLong};
use crate::process::job::Job;
use crate::process::job::Part;

/// The limit of one argument or variable, in pages, with the NUL at its end (`MAX_ARG_STRLEN`).
const MAX_WORD_PAGES: usize = 32;
/// The total limit is at least `ARG_MAX` and at most three quarters of `_STK_LIM`.
const MIN_TOTAL_BYTES: u64 = 128 << 10;
const MAX_TOTAL_BYTES: u64 = 6 << 20;
/// A pointer to each of them counts too.
const POINTER_BYTES: u64 = size_of::<usize>() as u64;

/// Returns what of a job is too long for the kernel.
pub(super) fn of(job: &Job) -> Option<StartObstacle> {
    let max_word_bytes = MAX_WORD_PAGES * page_bytes();
    let bytes = |string: &CString| string.as_bytes_with_nul().len();
    let strings = || job.arguments.iter().chain(&job.environment);
    let (index, longest) = strings().enumerate().max_by_key(|(_, string)| bytes(string))?;
    let too_long = |total| {
        let word = match index.checked_sub(job.arguments.len()) {
            Some(_) => OversizedWord::Variable(name(longest)),
            None => word(job, index),
        };
        let length = bytes(longest) - 1;
        StartObstacle::new(ObstacleCause::TooLong(TooLong {
            longest: word,
            bytes: length,
            total,
            max_word_bytes: max_word_bytes - 1,
        }))
    };
    if bytes(longest) > max_word_bytes {
        return Some(too_long(None));
    }
    let (count, sum) =
        strings().fold((0, 0), |(count, sum), string| (count + 1, sum + bytes(string) as u64));
    // the path is passed too
    let sum = sum + count * POINTER_BYTES + bytes(&job.path) as u64;
    let stack = getrlimit(Resource::RLIMIT_STACK).map_or(u64::MAX, |(soft, _)| soft);
    let most = (stack / 4).clamp(MIN_TOTAL_BYTES, MAX_TOTAL_BYTES);
    (sum > most).then(|| too_long(Some((sum, most))))
}

fn page_bytes() -> usize {
    let asked = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    asked.ok().flatten().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(4096)
}

fn name(variable: &CStr) -> String {
    let name = variable.to_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// Describes where an argument comes from.
fn word(job: &Job, index: usize) -> OversizedWord {
    let Some((registration, part)) = &job.registered else { return OversizedWord::Argument(index) };
    let key = match part {
        Part::Hook => "command",
        Part::Check => "check",
        Part::Rollback => "rollback",
        Part::Undo => "undo",
    };
    let words = part.words(registration).unwrap_or_default();
    if let Some(written) = words.get(index) {
        let number = index + 1;
        return OversizedWord::OfKey {
            key,
            number,
            written: written.chars().take(MAX_SHOWN_CHARS).collect(),
        };
    }
    let rest = index - words.len();
    let has_args = *part == Part::Hook && !registration.args_stdin;
    match registration.args.get(rest).filter(|_| has_args) {
        Some(written) => {
            let written = written.as_str().chars().take(MAX_SHOWN_CHARS).collect();
            OversizedWord::OfKey { key: "args", number: rest + 1, written }
        }
        None => {
            OversizedWord::OfLibvirt(rest + 1 - if has_args { registration.args.len() } else { 0 })
        }
    }
}

/// How many characters of a word a message shows.
const MAX_SHOWN_CHARS: usize = 40;
