//! How much Linux hands over to a program: arguments and environment.

use std::ffi::{CStr, CString};

use nix::sys::resource::{Resource, getrlimit};

use super::obstacle::{Cause, Obstacle, TooLong, Word};
use crate::process::job::Job;
use crate::process::job::Part;

/// One argument or variable, in pages with the NUL at its end (`MAX_ARG_STRLEN`).
const PAGES_IN_ONE: usize = 32;
/// All together at least (`ARG_MAX`), and at most (three quarters of `_STK_LIM`), in bytes.
const LEAST_IN_ALL: u64 = 128 << 10;
const MOST_IN_ALL: u64 = 6 << 20;
/// A pointer to each of them counts, in bytes.
const POINTER: u64 = size_of::<usize>() as u64;

/// What of a job is too long for the kernel.
pub(super) fn of(job: &Job) -> Option<Obstacle> {
    let most_in_one = PAGES_IN_ONE * page_bytes();
    let bytes = |string: &CString| string.as_bytes_with_nul().len();
    let strings = || job.arguments.iter().chain(&job.environment);
    let (index, longest) = strings().enumerate().max_by_key(|(_, string)| bytes(string))?;
    let too_long = |in_all| {
        let word = match index.checked_sub(job.arguments.len()) {
            Some(_) => Word::Variable(name(longest)),
            None => word(job, index),
        };
        let length = bytes(longest) - 1;
        Obstacle::new(Cause::TooLong(TooLong {
            longest: word,
            bytes: length,
            in_all,
            most_in_one: most_in_one - 1,
        }))
    };
    if bytes(longest) > most_in_one {
        return Some(too_long(None));
    }
    let (count, sum) =
        strings().fold((0, 0), |(count, sum), string| (count + 1, sum + bytes(string) as u64));
    // the path is handed over too
    let sum = sum + count * POINTER + bytes(&job.path) as u64;
    let stack = getrlimit(Resource::RLIMIT_STACK).map_or(u64::MAX, |(soft, _)| soft);
    let most = (stack / 4).clamp(LEAST_IN_ALL, MOST_IN_ALL);
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

/// Where an argument comes from.
fn word(job: &Job, index: usize) -> Word {
    let Some((registration, part)) = &job.registered else { return Word::Argument(index) };
    let key = match part {
        Part::Hook => "command",
        Part::Check => "check",
        Part::Rollback => "rollback",
    };
    let words = part.words(registration).unwrap_or_default();
    if let Some(written) = words.get(index) {
        let number = index + 1;
        return Word::OfKey { key, number, written: written.chars().take(MAX_SHOWN).collect() };
    }
    let rest = index - words.len();
    let has_args = *part == Part::Hook && !registration.args_stdin;
    match registration.args.get(rest).filter(|_| has_args) {
        Some(written) => {
            let written = written.as_str().chars().take(MAX_SHOWN).collect();
            Word::OfKey { key: "args", number: rest + 1, written }
        }
        None => Word::OfLibvirt(rest + 1 - if has_args { registration.args.len() } else { 0 }),
    }
}

/// How much of a word is shown as it is written, in characters.
const MAX_SHOWN: usize = 40;
