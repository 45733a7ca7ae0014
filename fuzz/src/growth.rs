//! Inputs of one shape in growing sizes: the time for one of four times the size must not grow by
//! much more than four.

use serde_json::{Value, json};

use crate::random::Random;

/// The sizes, in bytes.
pub const SIZES_BYTES: [usize; 3] = [16 * 1024, 64 * 1024, 256 * 1024];
/// By how much the time may grow from one size to the next, which is four times as large. What
/// costs the square grows by 16.
pub const MAX_RATIO: u32 = 10;
/// Times below this tell nothing, in microseconds.
pub const MIN_TIME_US: u32 = 10_000;

/// What surrounds the part that is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub before: &'static str,
    pub after: &'static str,
}

/// One shape. `{n}` in a repeated part stands for its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub before: String,
    pub repeated: String,
    pub between: String,
    /// Repeated as often, after `between`: what closes what `repeated` opens.
    pub closing: String,
    pub after: String,
}

impl Shape {
    /// A random shape out of a format's words.
    pub fn random(random: &mut Random, frames: &[Frame], words: &[&str]) -> Shape {
        let frame = *random.item(frames);
        let some = |random: &mut Random, most: usize| -> String {
            (0..random.below(most + 1)).map(|_| *random.item(words)).collect()
        };
        let mut repeated = random.pick(words).to_owned() + &some(random, 2);
        if random.once_in(3) {
            repeated.push_str("{n}");
        }
        Shape {
            before: frame.before.to_owned() + &some(random, 1),
            repeated,
            between: some(random, 1),
            closing: if random.once_in(3) { some(random, 2) } else { String::new() },
            after: some(random, 1) + frame.after,
        }
    }

    /// The input of a size.
    pub fn fill(&self, size_bytes: usize) -> Vec<u8> {
        let one = self.repeated.len() + self.closing.len();
        let count = size_bytes / one.max(1) + 1;
        let mut text = self.before.clone();
        let numbered = |text: &mut String, part: &str, numbers: &mut dyn Iterator<Item = usize>| {
            for number in numbers {
                if part.contains("{n}") {
                    text.push_str(&part.replace("{n}", &number.to_string()));
                } else {
                    text.push_str(part);
                }
            }
        };
        numbered(&mut text, &self.repeated, &mut (0..count));
        text.push_str(&self.between);
        if !self.closing.is_empty() {
            numbered(&mut text, &self.closing, &mut (0..count).rev());
        }
        text.push_str(&self.after);
        text.into_bytes()
    }

    pub fn to_json(&self) -> Value {
        json!({
            "before": self.before,
            "repeated": self.repeated,
            "between": self.between,
            "closing": self.closing,
            "after": self.after,
        })
    }

    /// Reads what [`Shape::to_json`] wrote.
    pub fn from_json(bytes: &[u8]) -> Option<Shape> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let part = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Shape {
            before: part("before")?,
            repeated: part("repeated")?,
            between: part("between")?,
            closing: part("closing")?,
            after: part("after")?,
        })
    }
}
