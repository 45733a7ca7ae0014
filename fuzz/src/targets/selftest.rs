//! Targets that go wrong on purpose: by them it is tested that what goes wrong is found.

use super::{Checked, Disagreement, Target, holds};
use crate::random::Random;

/// What they are called, and after that what goes wrong.
pub const NAMES: &[&str] = &[
    "selftest_fine",
    "selftest_wrong",
    "selftest_panic",
    "selftest_abort",
    "selftest_stack",
    "selftest_memory",
    "selftest_loop",
    "selftest_square",
];

/// The input that makes it go wrong holds this.
const BAD: &[u8] = b"BAD";

pub struct SelfTest {
    name: &'static str,
}

impl SelfTest {
    pub fn find(name: &str) -> Option<SelfTest> {
        let name = NAMES.iter().find(|known| **known == name)?;
        Some(SelfTest { name })
    }
}

impl Target for SelfTest {
    fn name(&self) -> &'static str {
        self.name
    }

    fn words(&self) -> &'static [&'static str] {
        if self.name == "selftest_square" { &["q"] } else { &[] }
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut bytes = vec![b'.'; random.below(100)];
        if random.once_in(20) {
            let at = random.below(bytes.len() + 1);
            bytes.splice(at..at, BAD.iter().copied());
        }
        bytes
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        if self.name == "selftest_square" {
            let mut count = 0_u64;
            for _ in input.iter().step_by(32) {
                count +=
                    std::hint::black_box(input).iter().filter(|byte| **byte == b'z').count() as u64;
            }
            return Ok(count == 0);
        }
        if !holds(input, BAD) {
            return Ok(true);
        }
        match self.name {
            "selftest_wrong" => {
                return Err(Disagreement { what: "wrong on purpose", detail: super::shown(input) });
            }
            "selftest_panic" => panic!("on purpose"),
            "selftest_abort" => std::process::abort(),
            "selftest_stack" => drop(deeper(input, 0)),
            "selftest_memory" => {
                let mut all: Vec<Vec<u8>> = Vec::new();
                loop {
                    all.push(vec![1; 1 << 24]);
                    std::hint::black_box(&all);
                }
            }
            "selftest_loop" => loop {
                std::hint::black_box(input);
            },
            _ => {}
        }
        Ok(true)
    }
}

/// Calls itself until there is no stack left.
fn deeper(input: &[u8], depth: u64) -> Vec<u8> {
    let mut bytes = std::hint::black_box(input).to_vec();
    if depth < u64::MAX {
        bytes.extend(deeper(&bytes.clone(), depth + 1).first());
    }
    bytes
}
