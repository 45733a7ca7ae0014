//! Identifiers that sort by time: ULIDs, 48 bits of milliseconds and 80 of chance in Crockford's
//! base 32.

use std::fs::File;
use std::io::Read;

use crate::machine::clock;

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new one.
pub(crate) fn new() -> String {
    let time = clock::unix_time();
    let mut chance = [0u8; 10];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut chance));
    if read.is_err() {
        // unique on this host still: the process and the finer part of the time
        chance[..4].copy_from_slice(&std::process::id().to_be_bytes());
        chance[4..8].copy_from_slice(&time.subsec_nanos().to_be_bytes());
    }
    encode(u64::try_from(time.as_millis()).unwrap_or_default(), chance)
}

/// Whether a word has the form of one, in capitals.
pub fn is_one(word: &str) -> bool {
    word.len() == 26
        && word.as_bytes()[0] <= b'7'
        && word.bytes().all(|byte| DIGITS.contains(&byte))
}

/// When it was made, in milliseconds since 1970.
pub(crate) fn milliseconds(id: &str) -> Option<u64> {
    id.bytes().take(10).try_fold(0, |value, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        Some((value << 5) | digit as u64)
    })
}

/// The smallest that could have been made at a time, in milliseconds since 1970.
pub(crate) fn first_of(milliseconds: u64) -> String {
    encode(milliseconds.min((1 << 48) - 1), [0; 10])
}

fn encode(milliseconds: u64, chance: [u8; 10]) -> String {
    let chance = chance.iter().fold(0u128, |value, byte| (value << 8) | u128::from(*byte));
    let value = (u128::from(milliseconds) << 80) | chance;
    (0..26).rev().map(|digit| char::from(DIGITS[(value >> (5 * digit)) as usize & 31])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_standards_and_sort_by_time() {
        assert_eq!(encode(1_469_918_176_385, [0; 10]), "01ARYZ6S410000000000000000");
        assert_eq!(encode((1 << 48) - 1, [255; 10]), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert!(encode(5, [255; 10]) < encode(6, [0; 10]));
        assert_ne!(new(), new());
        assert!(is_one(&new()) && !is_one("8ZZZZZZZZZZZZZZZZZZZZZZZZZ") && !is_one("01ARY"));
        assert!(!is_one("01ARYZ6S4100000000000000i0"));
        assert_eq!(milliseconds("01ARYZ6S410000000000000000"), Some(1_469_918_176_385));
        assert!(first_of(1_469_918_176_385) <= encode(1_469_918_176_385, [3; 10]));
    }
}
