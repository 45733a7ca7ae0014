//! Finds many words in one pass over bytes (the automaton of Aho and Corasick).

/// The length limit of a word, in bytes.
pub(crate) const MAX_NEEDLE_BYTES: usize = 512;

const ROOT: u32 = 0;

/// A range in the searched bytes: its beginning and its end.
pub(crate) type Span = (usize, usize);

/// One decoded byte, with the range in the searched bytes that it was decoded from.
pub(crate) type Symbol = (u8, Span);

/// Words to look for.
#[derive(Clone, Debug)]
pub(crate) struct Needles {
    nodes: Vec<Node>,
    /// The children of the root, by their byte: most bytes lead there.
    first: Vec<u32>,
}

/// A state of the automaton: the beginning of a word, as the path from the root.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    byte: u8,
    depth: u32,
    /// The index of the first child and the number of children, which are sorted by their bytes.
    children: (u32, u32),
    /// The node of the longest suffix that begins a word too.
    fallback: u32,
    /// The length of the longest word that ends here, in bytes; 0 for none.
    word: u32,
}

impl Needles {
    /// Builds the automaton. Words that are too long are cut off.
    pub(crate) fn new(words: impl IntoIterator<Item = Vec<u8>>) -> Needles {
        let mut words: Vec<Vec<u8>> = words.into_iter().collect();
        words.iter_mut().for_each(|word| word.truncate(MAX_NEEDLE_BYTES));
        words.sort_unstable();
        words.dedup();
        let mut needles = Needles { nodes: vec![Node::default()], first: vec![ROOT; 256] };
        // level by level: the words of a node are neighbours
        let mut level = vec![(ROOT, 0..words.len())];
        let mut depth = 0;
        while !level.is_empty() {
            let mut below = Vec::new();
            for (parent, range) in level {
                needles.grow(parent, &words, range, depth, &mut below);
            }
            depth += 1;
            level = below;
        }
        needles.link();
        needles
    }

    /// Adds the children of a node for these words.
    fn grow(
        &mut self,
        parent: u32,
        words: &[Vec<u8>],
        range: std::ops::Range<usize>,
        depth: usize,
        below: &mut Vec<(u32, std::ops::Range<usize>)>,
    ) {
        let begin = number(self.nodes.len());
        let mut at = range.start;
        while at < range.end {
            let Some(&byte) = words.get(at).and_then(|word| word.get(depth)) else {
                // the word ends at the parent
                at += 1;
                continue;
            };
            let rest = words.get(at..range.end).unwrap_or_default();
            let count = rest.partition_point(|word| word.get(depth).is_none_or(|b| *b <= byte));
            let is_word = words.get(at).is_some_and(|word| word.len() == depth + 1);
            let child = number(self.nodes.len());
            let depth = number(depth + 1);
            let word = if is_word { depth } else { 0 };
            self.nodes.push(Node { byte, depth, word, ..Node::default() });
            if parent == ROOT {
                self.first[usize::from(byte)] = child;
            }
            below.push((child, at..at + count));
            at += count;
        }
        let count = number(self.nodes.len()) - begin;
        if let Some(parent) = self.nodes.get_mut(parent as usize) {
            parent.children = (begin, count);
        }
    }

    /// Sets the fallbacks. Nodes are sorted by depth, so those of shorter words are set already.
    fn link(&mut self) {
        for parent in 0..number(self.nodes.len()) {
            let (begin, count) = self.node(parent).children;
            for child in begin..begin + count {
                let fallback = match parent {
                    ROOT => ROOT,
                    _ => self.step(self.node(parent).fallback, self.node(child).byte),
                };
                let inherited = self.node(fallback).word;
                if let Some(node) = self.nodes.get_mut(child as usize) {
                    node.fallback = fallback;
                    node.word = node.word.max(inherited);
                }
            }
        }
    }

    fn node(&self, index: u32) -> Node {
        self.nodes.get(index as usize).copied().unwrap_or_default()
    }

    /// Returns the next state after one more byte.
    fn step(&self, mut from: u32, byte: u8) -> u32 {
        loop {
            if from == ROOT {
                return self.first[usize::from(byte)];
            }
            let (begin, count) = self.node(from).children;
            let children = self.nodes.get(begin as usize..(begin + count) as usize);
            let found = children.unwrap_or_default().binary_search_by_key(&byte, |node| node.byte);
            if let Ok(place) = found {
                return begin + number(place);
            }
            from = self.node(from).fallback;
        }
    }

    /// Calls `found` for each match, in the order of their ends; for the same end only the longest.
    pub(crate) fn find(&self, symbols: impl Iterator<Item = Symbol>, found: &mut dyn FnMut(Span)) {
        // where the last symbols are written
        let mut places = [0; MAX_NEEDLE_BYTES];
        let mut state = ROOT;
        for (count, (byte, (begin, end))) in symbols.enumerate() {
            places[count % MAX_NEEDLE_BYTES] = begin;
            state = self.step(state, byte);
            let length = self.node(state).word as usize;
            if length > 0 {
                found((places[(count + 1 - length) % MAX_NEEDLE_BYTES], end));
            }
        }
    }

    /// Calls `read` after each byte with the length of the word's beginning that ends there, in bytes.
    pub(crate) fn follow(&self, bytes: impl Iterator<Item = u8>, read: &mut dyn FnMut(usize)) {
        let mut state = ROOT;
        for byte in bytes {
            state = self.step(state, byte);
            read(self.node(state).depth as usize);
        }
    }
}

/// Converts an index. There are far fewer nodes than fit: a few hundred words of at most 512 bytes.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: &[u8]) -> impl Iterator<Item = Symbol> {
        bytes.iter().enumerate().map(|(at, byte)| (*byte, (at, at + 1)))
    }

    fn found(words: &[&str], text: &str) -> Vec<String> {
        let needles = Needles::new(words.iter().map(|word| word.as_bytes().to_vec()));
        let mut all = Vec::new();
        needles.find(plain(text.as_bytes()), &mut |(begin, end)| {
            all.push(text[begin..end].to_owned());
        });
        all
    }

    #[test]
    fn all_words_are_found_at_their_places() {
        assert_eq!(found(&["he", "she", "his", "hers"], "ushers his"), ["she", "hers", "his"]);
        assert_eq!(found(&["a", "ab", "bab", "bc", "bca", "c", "caa"], "abccab").len(), 6);
        assert_eq!(found(&["aaa"], "aaaaa"), ["aaa"; 3]);
        assert_eq!(found(&["abcd", "bc"], "abce"), ["bc"]);
        assert_eq!(found(&[], "x"), [""; 0]);
        assert_eq!(found(&["\u{ff}x"], "a\u{ff}x"), ["\u{ff}x"]);
    }

    #[test]
    fn it_agrees_with_the_plain_way() {
        // all texts over two letters, all sets of two words
        let texts = |length: u32| {
            (0..1_u32 << length).map(move |n| {
                (0..length).map(|at| if (n >> at) & 1 == 0 { 'a' } else { 'b' }).collect::<String>()
            })
        };
        for one in texts(3) {
            for other in texts(2) {
                for text in texts(7) {
                    let seen = found(&[&one, &other], &text);
                    let expected: Vec<String> = (1..=text.len())
                        .filter_map(|end| {
                            [&one, &other].into_iter().find(|word| text[..end].ends_with(*word))
                        })
                        .cloned()
                        .collect();
                    assert_eq!(seen, expected, "{one} {other} in {text}");
                }
            }
        }
    }

    #[test]
    fn how_much_of_a_word_is_read_is_told() {
        let needles = Needles::new([b"abc".to_vec(), b"bd".to_vec()]);
        let mut depths = Vec::new();
        needles.follow(b"abdabcx".iter().copied(), &mut |depth| depths.push(depth));
        assert_eq!(depths, [1, 2, 2, 1, 2, 3, 0]);
    }
}
