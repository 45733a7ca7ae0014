//! The hooks.json of another hook system: JSON as people write it. With comments and last commas it is the same.

use hookmux::for_tests::cli::register::import::relaxed_json::parse;
use serde_json::Value;

use super::{Checked, Target, must, same};
use crate::growth::Frame;
use crate::random::Random;
use crate::seeds::{self, Seed};

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\\"",
    "/",
    "//",
    "/*",
    "*/",
    "*",
    "/**/",
    "// comment\n",
    "/* a \" comment, } */",
    "\n",
    "\r\n",
    " ",
    "\"a\"",
    "\"a//b\": ",
    "\"k{n}\": 1,",
    "[1, 2,],",
    "1",
    "-2.5e3",
    "1e999",
    "null",
    "true",
    "\"\\u00e4\\ud83d\\ude00\"",
    "\u{feff}",
    "\u{e4}",
    "\"private_ip\": \"192.168.122.10\",",
    "\"port_map\": {\"tcp\": [[8022, 22], 80]},",
];

const FRAMES: &[Frame] = &[
    Frame { before: "{", after: "}" },
    Frame { before: "[", after: "]" },
    Frame { before: "{\"a\": \"", after: "\"}" },
    Frame { before: "/*", after: "*/ {}" },
    Frame { before: "", after: "" },
];

pub struct RelaxedJson {
    seeds: Vec<Vec<u8>>,
}

impl RelaxedJson {
    pub fn new(all: &[Seed]) -> RelaxedJson {
        RelaxedJson { seeds: seeds::bytes(all, |seed| seed.has_extension("json")) }
    }
}

impl Target for RelaxedJson {
    fn name(&self) -> &'static str {
        "relaxed_json"
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn frames(&self) -> &'static [Frame] {
        FRAMES
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut bytes = match (random.once_in(2), self.seeds.is_empty()) {
            (true, false) => random.item(&self.seeds).clone(),
            _ => {
                let value = value(random, 0);
                decorated(&value, &mut || random.below(8)).into_bytes()
            }
        };
        if random.once_in(2) {
            crate::bytes::mutate(random, &mut bytes, WORDS, &self.seeds);
        }
        bytes
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
        let read = parse(text);
        if let Ok(strict) = serde_json::from_str::<Value>(text) {
            same("strict JSON means something else", &read, &Ok(strict))?;
        }
        let value = match read {
            Ok(value) => value,
            Err(why) => {
                // lines and columns are those of the text
                let line = why.rsplit(" at line ").next().and_then(|it| it.split(' ').next());
                let line = line.and_then(|it| it.parse::<usize>().ok()).unwrap_or_default();
                let is_there = (1..=text.split('\n').count()).contains(&line);
                must(is_there, "a mistake in a line that isn't there", || why)?;
                return Ok(false);
            }
        };
        let plain = value.to_string();
        let wanted = serde_json::from_str::<Value>(&plain).map_err(|error| error.to_string());
        for kind in 0..8 {
            let written = decorated(&value, &mut || kind);
            let again = parse(&written);
            must(again == wanted, "comments change what is read", || {
                format!("{plain}\n{written}\n{again:?}")
            })?;
        }
        Ok(true)
    }
}

fn value(random: &mut Random, depth: usize) -> Value {
    let word = |random: &mut Random| {
        let words =
            ["a", "", "//", "/* x */", "\"", "\\", ",]", "*/", "\u{e4}", "private_ip", "port_map"];
        (*random.item(&words)).to_owned()
    };
    match random.below(if depth < 4 { 7 } else { 4 }) {
        0 => Value::Null,
        1 => random.once_in(2).into(),
        2 => (random.below(70_000) as u64).into(),
        3 => word(random).into(),
        4 => (0..random.below(4)).map(|_| value(random, depth + 1)).collect(),
        _ => {
            let pairs = (0..random.below(4)).map(|_| (word(random), value(random, depth + 1)));
            Value::Object(pairs.collect())
        }
    }
}

/// Writes a value with what is taken beside JSON. `kind` says what stands at each place.
fn decorated(value: &Value, kind: &mut dyn FnMut() -> usize) -> String {
    let gap = |kind: usize| match kind {
        1 => "// \" , } ]\n",
        2 => "/* \" , } ] // */",
        3 => "/**/",
        4 => " \r\n\t",
        5 => "/*/ x */",
        6 => "// * /\r\n",
        _ => "",
    };
    let mut text = String::from(gap(kind()));
    let (open, items, close): (&str, Vec<String>, &str) = match value {
        Value::Array(items) => ("[", items.iter().map(|it| decorated(it, kind)).collect(), "]"),
        Value::Object(pairs) => {
            let mut pair = |(name, value): (&String, &Value)| {
                let name = Value::from(name.as_str());
                format!("{}{name}{}:{}", gap(kind()), gap(kind()), decorated(value, kind))
            };
            ("{", pairs.iter().map(&mut pair).collect(), "}")
        }
        single => return format!("{text}{single}{}", gap(kind())),
    };
    text.push_str(open);
    text.push_str(&items.join(","));
    if !items.is_empty() && kind() % 2 == 0 {
        text.push_str(&format!("{},", gap(kind())));
    }
    format!("{text}{}{close}{}", gap(kind()), gap(kind()))
}
