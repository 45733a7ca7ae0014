//! The output of a hook: all of it is read, a bounded part is kept.

use std::collections::VecDeque;

/// How many bytes of the beginning are kept.
pub(crate) const HEAD_BYTES: usize = 256 * 1024;
/// How many bytes of the end are kept besides.
pub(crate) const TAIL_BYTES: usize = 64 * 1024;

/// One of the two streams on which a hook writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

/// The beginning and the end of a stream.
#[derive(Clone, Debug)]
pub struct Capture {
    head: Vec<u8>,
    head_limit: usize,
    tail: VecDeque<u8>,
    /// How many bytes were written in all.
    total: u64,
}

impl Default for Capture {
    fn default() -> Capture {
        Capture::with_head(HEAD_BYTES)
    }
}

impl Capture {
    /// Makes one that keeps `limit` bytes of the beginning.
    pub fn with_head(limit: usize) -> Capture {
        Capture { head: Vec::new(), head_limit: limit, tail: VecDeque::new(), total: 0 }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = self.head_limit - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        // of one write, at most this much can be kept as the end
        let rest = &rest[rest.len().saturating_sub(TAIL_BYTES)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// Returns how many bytes in the middle weren't kept.
    pub fn lost(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    /// Returns the beginning.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Returns the whole output if nothing was lost.
    pub fn whole(&self) -> Option<Vec<u8>> {
        (self.lost() == 0).then(|| self.head.iter().chain(&self.tail).copied().collect())
    }

    /// Returns the last bytes, at most `limit`.
    pub fn end(&self, limit: usize) -> Vec<u8> {
        let kept = self.tail.len();
        if kept >= limit || self.lost() > 0 {
            return self.tail.range(kept.saturating_sub(limit)..).copied().collect();
        }
        let from_head = self.head.len().saturating_sub(limit - kept);
        self.head[from_head..].iter().chain(&self.tail).copied().collect()
    }

    /// Returns the beginning, how many bytes in the middle weren't kept, and the end.
    pub fn parts(&self) -> (&[u8], u64, Vec<u8>) {
        (&self.head, self.lost(), self.tail.iter().copied().collect())
    }

    /// Returns the line that replaces what wasn't kept.
    pub fn gap(left_out: u64) -> Vec<u8> {
        format!("\n[… {left_out} bytes left out …]\n").into_bytes()
    }

    /// Returns what was kept, with a line that replaces the rest.
    pub fn kept(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        if self.lost() > 0 {
            bytes.extend_from_slice(&Capture::gap(self.lost()));
        }
        bytes.extend(&self.tail);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_and_end_are_kept_and_the_middle_is_counted() {
        let mut capture = Capture::with_head(10);
        for chunk in (0..50_000u32).map(u32::to_le_bytes) {
            capture.push(&chunk);
        }
        let all: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(capture.total(), 200_000);
        assert_eq!(capture.lost(), 200_000 - 10 - TAIL_BYTES as u64);
        assert_eq!(capture.whole(), None);
        assert_eq!(capture.end(100), all[all.len() - 100..]);
        assert!(capture.kept().starts_with(&all[..10]));
        assert!(capture.kept().ends_with(&all[all.len() - TAIL_BYTES..]));
    }

    #[test]
    fn little_is_kept_whole() {
        let mut capture = Capture::with_head(4);
        capture.push(b"ab");
        capture.push(b"cdefg");
        assert_eq!(capture.whole().as_deref(), Some(&b"abcdefg"[..]));
        assert_eq!(capture.end(5), b"cdefg");
        assert_eq!(capture.end(100), b"abcdefg");
    }

    #[test]
    fn one_huge_piece_is_bounded_too() {
        let mut capture = Capture::with_head(4);
        capture.push(&vec![b'x'; 10 * TAIL_BYTES]);
        assert_eq!(
            capture.kept().len() as u64 + capture.lost(),
            10 * TAIL_BYTES as u64 + 4 + (capture.kept().len() as u64 - 4 - TAIL_BYTES as u64) - 4
        );
    }
}
