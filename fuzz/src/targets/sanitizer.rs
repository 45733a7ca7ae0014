//! Text for people: nothing in it steers a terminal, and what is clean stays as it is.

use hookmux::for_tests::machine::sanitize;

use super::{Checked, Target, must, same};
use crate::random::Random;
use crate::seeds::{self, Seed};

const WORDS: &[&str] = &[
    "\u{1b}[31m",
    "\u{1b}]0;x\u{7}",
    "\u{9b}31m",
    "\u{7f}",
    "\u{0}",
    "\r",
    "\n",
    "\t",
    "\u{85}",
    "\u{ad}",
    "\u{61c}",
    "\u{180e}",
    "\u{200b}",
    "\u{200e}",
    "\u{2028}",
    "\u{202e}",
    "\u{2066}",
    "\u{2069}",
    "\u{feff}",
    "\u{fff9}",
    "\u{e0041}",
    "\u{10ffff}",
    "\\u{1b}",
    "\\n",
    "\\x1b",
    "\u{e4}",
    "plain",
    "\u{301}",
];

pub struct Sanitizer {
    seeds: Vec<Vec<u8>>,
}

impl Sanitizer {
    pub fn new(all: &[Seed]) -> Sanitizer {
        Sanitizer { seeds: seeds::bytes(all, |seed| seed.bytes.len() < 4096) }
    }
}

impl Target for Sanitizer {
    fn name(&self) -> &'static str {
        "sanitizer"
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        if random.once_in(4) {
            // any character
            return (0..random.below(40))
                .filter_map(|_| {
                    let number = match random.below(3) {
                        0 => random.below(0x300),
                        1 => random.below(0x1_0000),
                        _ => random.below(0x11_0000),
                    };
                    char::from_u32(u32::try_from(number).ok()?)
                })
                .collect::<String>()
                .into_bytes();
        }
        let mut bytes =
            if random.once_in(2) { Vec::new() } else { random.item(&self.seeds).clone() };
        for _ in 0..1 + random.below(3) {
            crate::bytes::mutate(random, &mut bytes, WORDS, &self.seeds);
        }
        bytes
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let text = sanitize::text(input);
        let line = sanitize::line(input);
        for (clean, line_ends) in [(&text, "\n\t"), (&line, "")] {
            let bad = clean.chars().find(|c| steers(*c) && !line_ends.contains(*c));
            must(bad.is_none(), "a character that steers a terminal or hides", || {
                format!("{:?}", bad.unwrap_or_default())
            })?;
        }
        same("text that is clean was changed", &sanitize::text(text.as_bytes()), &text)?;
        same("a line that is clean was changed", &sanitize::line(line.as_bytes()), &line)?;
        let is_plain = input.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t'));
        if is_plain {
            same("plain text was changed", &text.as_bytes(), &input)?;
        }
        Ok(is_plain || text.as_bytes() != input)
    }
}

/// Control characters, what sets the direction of text, and what is invisible.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}
