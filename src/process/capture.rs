//! What a hook printed: read without bound, kept bounded.

use std::collections::VecDeque;

/// How much of the beginning is kept, in bytes.
pub(crate) const HEAD: usize = 256 * 1024;
/// How much of the end is kept beside it.
pub(crate) const TAIL: usize = 64 * 1024;

/// The beginning and the end of a stream.
#[derive(Clone, Debug)]
pub struct Capture {
    head: Vec<u8>,
    head_limit: usize,
    tail: VecDeque<u8>,
    /// All that came, in bytes.
    total: u64,
}

impl Default for Capture {
    fn default() -> Capture {
        Capture::with_head(HEAD)
    }
}

impl Capture {
    /// Keeps `limit` bytes of the beginning.
    pub fn with_head(limit: usize) -> Capture {
        Capture { head: Vec::new(), head_limit: limit, tail: VecDeque::new(), total: 0 }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = self.head_limit - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        // of what came at once no more than the end can stay
        let rest = &rest[rest.len().saturating_sub(TAIL)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// How much in the middle wasn't kept, in bytes.
    pub fn lost(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    /// The beginning.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// All of it, where nothing was lost.
    pub fn whole(&self) -> Option<Vec<u8>> {
        (self.lost() == 0).then(|| self.head.iter().chain(&self.tail).copied().collect())
    }

    /// The last bytes, at most `limit`.
    pub fn end(&self, limit: usize) -> Vec<u8> {
        let kept = self.tail.len();
        if kept >= limit || self.lost() > 0 {
            return self.tail.range(kept.saturating_sub(limit)..).copied().collect();
        }
        let from_head = self.head.len().saturating_sub(limit - kept);
        self.head[from_head..].iter().chain(&self.tail).copied().collect()
    }

    /// The beginning, how many bytes in the middle weren't kept, and the end.
    pub fn parts(&self) -> (&[u8], u64, Vec<u8>) {
        (&self.head, self.lost(), self.tail.iter().copied().collect())
    }

    /// The line that stands in place of what wasn't kept.
    pub fn gap(left_out: u64) -> Vec<u8> {
        format!("\n[… {left_out} bytes left out …]\n").into_bytes()
    }

    /// What was kept, with a line in place of what wasn't.
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
        assert_eq!(capture.lost(), 200_000 - 10 - TAIL as u64);
        assert_eq!(capture.whole(), None);
        assert_eq!(capture.end(100), all[all.len() - 100..]);
        assert!(capture.kept().starts_with(&all[..10]));
        assert!(capture.kept().ends_with(&all[all.len() - TAIL..]));
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
        capture.push(&vec![b'x'; 10 * TAIL]);
        assert_eq!(
            capture.kept().len() as u64 + capture.lost(),
            10 * TAIL as u64 + 4 + (capture.kept().len() as u64 - 4 - TAIL as u64) - 4
        );
    }
}
