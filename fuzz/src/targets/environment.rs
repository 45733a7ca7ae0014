//! Environment files: whatever they say, names are names, and values hold no NUL.

use std::os::unix::ffi::OsStrExt;

use hookmux::for_tests::config::values::is_variable_name;
use hookmux::for_tests::run::environment;

use super::{Checked, Target, must};
use crate::random::Random;

pub struct Environments;

const WORDS: &[&str] = &[
    "=",
    "'",
    "\"",
    "\\\n",
    "\\",
    "\0",
    "HOOKMUX_RUN=",
    "\n",
    "\r\n",
    "#",
    ";",
    "A=1\n",
    "B = two words \n",
    "C='single \\ $x'\n",
    "D=\"dou\\\"ble\\\\\"\n",
    "E=a\\\nb\n",
    "\u{feff}",
    " ",
    "\t",
    "export F=1\n",
    "G{n}=\n",
    "\u{e4}=1\n",
    "$HOME",
    "`",
    "=\n",
    "1A=b\n",
];

impl Target for Environments {
    fn name(&self) -> &'static str {
        "environment"
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..random.below(12) {
            bytes.extend_from_slice(random.pick(WORDS).as_bytes());
        }
        if random.once_in(2) {
            crate::bytes::mutate(random, &mut bytes, WORDS, &[]);
        }
        bytes
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let lines = input.split(|byte| *byte == b'\n').count();
        let variables = match environment::parse_file(input) {
            Ok(variables) => variables,
            Err((line, why)) => {
                let is_there = (1..=lines).contains(&line) && !why.is_empty();
                must(is_there, "a problem in a line that isn't there", || {
                    format!("{line}: {why}")
                })?;
                return Ok(false);
            }
        };
        for (name, value) in &variables {
            let is_name = name.to_str().is_some_and(is_variable_name);
            must(is_name, "a variable's name that is none", || format!("{name:?}"))?;
            let is_value = !value.as_bytes().contains(&0);
            must(is_value, "a variable's value with a NUL", || format!("{name:?}={value:?}"))?;
        }
        Ok(!variables.is_empty())
    }
}
