//! ULIDs: 48 bits of time and 80 of chance, in 26 characters that sort by time.

use ring::rand::{SecureRandom, SystemRandom};

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A fresh one.
pub(crate) fn fresh() -> String {
    let milliseconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    let mut chance = [0; 16];
    // without chance the time alone has to do: a heartbeat's id only
    let _ = SystemRandom::new().fill(&mut chance[6..]);
    text((milliseconds << 80) | u128::from_be_bytes(chance))
}

/// One that follows from another and a word, with the other's time: the same each time it is asked for.
pub(crate) fn derived(id: &str, word: &str) -> Option<String> {
    let time = bits(id)? >> 80 << 80;
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{id}{word}").as_bytes());
    let mut chance = [0; 16];
    chance[6..].copy_from_slice(digest.as_ref().get(..10)?);
    Some(text(time | u128::from_be_bytes(chance)))
}

/// Its 128 bits, if it is one.
pub(crate) fn bits(id: &str) -> Option<u128> {
    if id.len() != 26 || id.as_bytes()[0] > b'7' {
        return None;
    }
    let mut value = 0_u128;
    for byte in id.bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        value = (value << 5) | digit as u128;
    }
    Some(value)
}

fn text(mut value: u128) -> String {
    let mut digits = [0_u8; 26];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(value & 31) as usize];
        value >>= 5;
    }
    String::from_utf8_lossy(&digits).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{bits, derived, fresh, text};

    #[test]
    fn text_and_bits_are_the_same_number() {
        let id = "01JDZ3M8X5Q2K7R9T4V6W8Y0AB";
        assert_eq!(bits(id).map(text).as_deref(), Some(id));
        assert!(bits(&fresh()).is_some());
        for wrong in [
            "",
            "01JDZ3M8X5Q2K7R9T4V6W8Y0A",
            "81JDZ3M8X5Q2K7R9T4V6W8Y0AB",
            "01JDZ3M8X5Q2K7R9T4V6W8Y0IL",
            "../../etc/passwd/../../etc",
        ] {
            assert_eq!(bits(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_derived_one_is_always_the_same_and_another() {
        let id = "01JDZ3M8X5Q2K7R9T4V6W8Y0AB";
        let gap = derived(id, "gap");
        assert_eq!(gap, derived(id, "gap"));
        assert_ne!(gap.as_deref(), Some(id));
        assert_eq!(gap.map(|gap| gap[..10].to_owned()).as_deref(), Some(&id[..10]));
    }
}
