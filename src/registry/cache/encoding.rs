//! Encodes and decodes the bytes of the cache: numbers, and strings after their length.

/// Odd, so that multiplying by it loses nothing.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns the checksum by which a damaged piece is found. Every step is reversible, so a piece that
/// differs in a single word never has the same sum. It doesn't protect against forgery; the file's mode
/// does.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, word: u64| {
        let mixed = (sum ^ word).wrapping_mul(MULTIPLIER);
        mixed ^ (mixed >> 32)
    };
    let mut sum = MULTIPLIER ^ bytes.len() as u64;
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk() {
        sum = step(sum, u64::from_le_bytes(*word));
        rest = after;
    }
    rest.iter().fold(sum, |sum, byte| step(sum, u64::from(*byte)))
}

/// Where a piece lies after the index, and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PieceSpan {
    pub offset: u64,
    pub length: u64,
    pub sum: u64,
}

/// Appends values to bytes.
#[derive(Default)]
pub(super) struct Encoder(pub Vec<u8>);

impl Encoder {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Appends a number with seven bits in a byte, the lowest first: most numbers are small, so there is
    /// less to read.
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Appends a number that is likely to be large.
    pub(super) fn fixed(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Appends how many values follow.
    pub(super) fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Appends whether there is a value, and the value.
    pub(super) fn optional<T>(&mut self, value: Option<T>, encode: impl FnOnce(&mut Encoder, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            encode(self, value);
        }
    }

    pub(super) fn span(&mut self, span: PieceSpan) {
        self.number(span.offset);
        self.number(span.length);
        self.fixed(span.sum);
    }
}

/// Reads values from the front; `None` where the bytes don't fit.
#[derive(Clone, Debug)]
pub(super) struct Decoder<'a>(pub &'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn fixed(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    pub(super) fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    pub(super) fn count(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn optional<T>(
        &mut self,
        decode: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.flag()? { decode(self).map(Some) } else { Some(None) }
    }

    pub(super) fn list<T>(
        &mut self,
        mut decode: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        (0..self.count()?).map(|_| decode(self)).collect()
    }

    pub(super) fn span(&mut self) -> Option<PieceSpan> {
        Some(PieceSpan { offset: self.number()?, length: self.number()?, sum: self.fixed()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let numbers =
            [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), i64::MAX as u64, u64::MAX];
        let mut to = Encoder::default();
        for number in numbers {
            to.number(number);
            to.fixed(number);
            to.bytes(&number.to_le_bytes());
            to.optional(Some(number), Encoder::number);
        }
        let whole = to.0.clone();
        let mut from = Decoder(&whole);
        for number in numbers {
            assert_eq!(from.number(), Some(number));
            assert_eq!(from.fixed(), Some(number));
            assert_eq!(from.bytes(), Some(&number.to_le_bytes()[..]));
            assert_eq!(from.optional(Decoder::number), Some(Some(number)));
        }
        assert_eq!(
            (from.byte(), from.number(), from.fixed(), from.bytes()),
            (None, None, None, None)
        );
        assert_eq!(Decoder(&[0xff; 20]).number(), None);
        assert_eq!(Decoder(&[5, 1, 2]).bytes(), None);
        assert_eq!(Decoder(&[2]).flag(), None);
    }

    #[test]
    fn every_bit_counts_for_the_sum() {
        let bytes: Vec<u8> = (0..61).collect();
        for at in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[at / 8] ^= 1 << (at % 8);
            assert_ne!(checksum(&other), checksum(&bytes), "bit {at}");
        }
        for length in 0..bytes.len() {
            assert_ne!(checksum(&bytes[..length]), checksum(&bytes), "{length} bytes");
        }
        assert_ne!(checksum(&[0; 8]), checksum(&[0; 16]));
    }
}
