//! ULIDs: identifiers that sort by time. They have 48 bits of milliseconds and 80 random bits, in
//! Crockford's base 32.

use std::fs::File;
use std::io::Read;

use crate::machine::{clock, sys};

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Returns a new ULID.
pub(crate) fn new() -> String {
    let time = clock::unix_time();
    let mut random = [0u8; 10];
    let is_read = sys::fill_with_random(&mut random)
        || File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).is_ok();
    if !is_read {
        // still unique on this host: process id and nanoseconds
        random[..4].copy_from_slice(&std::process::id().to_be_bytes());
        random[4..8].copy_from_slice(&time.subsec_nanos().to_be_bytes());
    }
    encode(u64::try_from(time.as_millis()).unwrap_or_default(), random)
}

/// Tells whether a word is a ULID, in capital letters.
pub fn is_valid(word: &str) -> bool {
    word.len() == 26
        && word.as_bytes()[0] <= b'7'
        && word.bytes().all(|byte| DIGITS.contains(&byte))
}

/// Returns the time at which a ULID was made, in milliseconds since 1970.
pub(crate) fn unix_milliseconds(id: &str) -> Option<u64> {
    id.bytes().take(10).try_fold(0, |value, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        Some((value << 5) | digit as u64)
    })
}

/// Returns the smallest ULID of a time, in milliseconds since 1970.
pub(crate) fn smallest_at(milliseconds: u64) -> String {
    encode(milliseconds.min((1 << 48) - 1), [0; 10])
}

fn encode(milliseconds: u64, random: [u8; 10]) -> String {
    let random = random.iter().fold(0u128, |value, byte| (value << 8) | u128::from(*byte));
    let value = (u128::from(milliseconds) << 80) | random;
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
        assert!(is_valid(&new()) && !is_valid("8ZZZZZZZZZZZZZZZZZZZZZZZZZ") && !is_valid("01ARY"));
        assert!(!is_valid("01ARYZ6S4100000000000000i0"));
        assert_eq!(unix_milliseconds("01ARYZ6S410000000000000000"), Some(1_469_918_176_385));
        assert!(smallest_at(1_469_918_176_385) <= encode(1_469_918_176_385, [3; 10]));
    }
}
