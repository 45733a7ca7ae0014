//! Random changes to bytes, without regard to what they mean.

use crate::random::Random;

/// The longest input, in bytes.
pub const MAX_INPUT_BYTES: usize = 64 * 1024;

/// Bytes that many formats give a meaning.
const MARKS: &[u8] = b"\0\xff\n\r\t '\"<>&-:;,.{}[]()=/\\#!*?|%@`~$09aA_";

/// Changes bytes in one to six places. `words` are what the format is made of, `others` are inputs
/// to take parts from.
pub fn mutate(random: &mut Random, bytes: &mut Vec<u8>, words: &[&str], others: &[Vec<u8>]) {
    for _ in 0..1 + random.below(6) {
        change(random, bytes, words, others);
        bytes.truncate(MAX_INPUT_BYTES);
    }
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, words: &[&str], others: &[Vec<u8>]) {
    let length = bytes.len();
    let at = random.below(length + 1);
    let part =
        |random: &mut Random, most: usize| at..at + random.below((length - at).min(most) + 1);
    match random.below(10) {
        0 if at < length => bytes[at] = random.byte(),
        1 if at < length => bytes[at] ^= 1 << random.below(8),
        2 if at < length => bytes[at] = *random.item(MARKS),
        3 if !words.is_empty() => {
            let word = *random.item(words);
            bytes.splice(at..at, word.bytes());
        }
        4 if !words.is_empty() => {
            let word = *random.item(words);
            let place = part(random, 8);
            bytes.splice(place, word.bytes());
        }
        5 => drop(bytes.drain(part(random, 64))),
        6 => {
            let copy = bytes[part(random, 200)].to_vec();
            let to = random.below(length + 1);
            bytes.splice(to..to, copy);
        }
        7 if random.once_in(8) => bytes.truncate(at),
        8 if !others.is_empty() => {
            let other = random.item(others);
            let start = random.below(other.len() + 1);
            let end = start + random.below((other.len() - start).min(300) + 1);
            bytes.splice(at..at, other[start..end].iter().copied());
        }
        9 => {
            // the same again and again
            let copy = bytes[part(random, 16)].to_vec();
            let times = 1 + random.below(200);
            bytes.splice(at..at, copy.repeat(times));
        }
        _ => bytes.insert(at, *random.item(MARKS)),
    }
}
