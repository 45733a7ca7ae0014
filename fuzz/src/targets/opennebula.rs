//! OpenNebula's templates: what was read and is written again is read as the same.

use hookmux::for_tests::cli::register::import::template::{Attribute, TemplateValue, parse};

use super::{Checked, Target, must, same};
use crate::random::Random;

pub struct Templates;

const WORDS: &[&str] = &[
    "=",
    "\"",
    "\\\"",
    "\\",
    "#",
    "[",
    "]",
    ",",
    "\n",
    "\r\n",
    " ",
    "\t",
    "<",
    "\u{feff}",
    "\u{e4}",
    "\u{a0}",
    "NAME=a\n",
    "NAME = hook-vm\n",
    "name = \"two words\" # c\n",
    "A{n} = b\n",
    "ARGUMENTS = \"$TEMPLATE \\\"pending\\\"\"\n",
    "ON = PROLOG\n",
    "HOOK_LOG_CONF = [\n LOG_RETENTION = 10 ]\n",
    "V{n} = [ A = b, C = \"d, ]\" ]\n",
    "# comment\n",
];

impl Target for Templates {
    fn name(&self) -> &'static str {
        "opennebula"
    }

    fn words(&self) -> &'static [&'static str] {
        WORDS
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::new();
        for number in 0..random.below(12) {
            let word = random.pick(WORDS).replace("{n}", &number.to_string());
            bytes.extend_from_slice(word.as_bytes());
        }
        if random.once_in(2) {
            crate::bytes::mutate(random, &mut bytes, WORDS, &[]);
        }
        bytes
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
        let lines = text.split('\n').count();
        let templates = match parse(text) {
            Ok(templates) => templates,
            Err(mistake) => {
                let is_there = (1..=lines).contains(&mistake.line) && !mistake.message.is_empty();
                must(is_there, "a mistake in a line that isn't there", || format!("{mistake:?}"))?;
                return Ok(false);
            }
        };
        let written: String = templates.iter().flatten().map(write).collect();
        let Ok(again) = parse(&written) else {
            return must(false, "what was written can't be read", || written).map(|()| true);
        };
        same("a template is read in another way", &bare(&templates), &bare(&again))?;
        Ok(!templates.is_empty())
    }
}

/// Templates without their lines.
fn bare(templates: &[Vec<Attribute>]) -> Vec<Vec<Attribute>> {
    let pair = |one: &Attribute| Attribute { line: 0, ..one.clone() };
    templates.iter().map(|one| one.iter().map(pair).collect()).collect()
}

fn write(attribute: &Attribute) -> String {
    let Attribute { name, value, .. } = attribute;
    match value {
        TemplateValue::Single(text) => format!("{name} = {}\n", quoted(text)),
        TemplateValue::Vector(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|(name, text)| format!("{name} = {}", quoted(text))).collect();
            format!("{name} = [ {} ]\n", pairs.join(", "))
        }
    }
}

/// A value in quotes. One that ends with a backslash can't be, and never was.
fn quoted(text: &str) -> String {
    match text.ends_with('\\') {
        true => text.to_owned(),
        false => format!("\"{}\"", text.replace('"', "\\\"")),
    }
}
