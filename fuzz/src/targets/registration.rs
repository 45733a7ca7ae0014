//! `hooks.d/NAME.yaml`: what is written in another way means the same, what is kept in the cache
//! comes back the same, and a value that is changed in the text changes nothing else.

use std::path::Path;

use hookmux::for_tests::cli::register::yaml_edit;
use hookmux::for_tests::config::{Diagnostic, Registration};

use super::settings::{other_ways, place_is_there};
use super::{Checked, Target, must, same};
use crate::growth::Frame;
use crate::random::Random;
use crate::seeds::{self, Seed};
use crate::yaml;

/// Larger texts aren't changed.
const MAX_CHANGED_BYTES: usize = 2 * 1024;

pub struct Registrations {
    seeds: Vec<Vec<u8>>,
}

impl Registrations {
    pub fn new(all: &[Seed]) -> Registrations {
        let is_one =
            |seed: &Seed| seed.has_extension("yaml") && !seed.path.ends_with("hookmux.yaml");
        Registrations { seeds: seeds::bytes(all, is_one) }
    }
}

fn parse(text: &str) -> Result<Registration, Diagnostic> {
    Registration::parse(Path::new("/h/hooks.d/x.yaml"), Path::new("/h"), text)
}

impl Target for Registrations {
    fn name(&self) -> &'static str {
        "registration"
    }

    fn words(&self) -> &'static [&'static str] {
        yaml::WORDS
    }

    fn frames(&self) -> &'static [Frame] {
        yaml::FRAMES
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let text = yaml::registration(random);
        yaml::mutate(random, text, &self.seeds)
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
        let registration = match parse(text) {
            Ok(registration) => registration,
            Err(problem) => {
                place_is_there(&problem, text)?;
                return Ok(false);
            }
        };
        let _ = registration.warnings();
        let programs = [Some(&registration.command), registration.check.as_ref()];
        for program in programs.into_iter().chain([registration.rollback.as_ref()]).flatten() {
            let first = program.first().map(Path::new);
            must(first.is_some_and(Path::is_absolute), "a program without a place", || {
                format!("{program:?}")
            })?;
        }
        if let Some(lock) = &registration.lock {
            let is_name =
                !lock.is_empty() && lock != "." && lock != ".." && !lock.contains(['/', '\0']);
            must(is_name, "a lock that leaves its directory", || lock.clone())?;
        }
        for argument in &registration.args {
            let mut asked = Vec::new();
            let filled = argument.fill(&mut |word| {
                if !asked.iter().any(|known| known == word) {
                    asked.push(word.to_owned());
                }
                b"v".to_vec()
            });
            let are_used = asked.iter().all(|word| argument.uses(word));
            must(are_used, "a word that is filled in and not used", || argument.to_string())?;
            if asked.is_empty() && !argument.as_str().contains('$') {
                same(
                    "an argument without words was changed",
                    &filled.as_slice(),
                    &argument.as_str().as_bytes(),
                )?;
            }
        }
        // as the cache keeps it
        let kept = serde_json::to_vec(&registration).map_err(|error| error.to_string());
        if let Ok(kept) = &kept {
            let back =
                serde_json::from_slice(kept).map_err(|error: serde_json::Error| error.to_string());
            same("it doesn't come back from the cache's form", &back, &Ok(registration.clone()))?;
        }
        for (way, other) in other_ways(text) {
            let parsed = parse(&other).map_err(|problem| problem.one_line());
            same(way, &parsed, &Ok(registration.clone()))?;
        }
        // as `hookmux disable` and `hookmux add` change it
        let changes = [("enabled", "false"), ("weight", "7")];
        // every way is tried, and each is parsed
        for (key, value) in changes.into_iter().filter(|_| text.len() <= MAX_CHANGED_BYTES) {
            let mut wanted = registration.clone();
            match key {
                "enabled" => wanted.enabled = false,
                _ => wanted.weight = 7,
            }
            let means = |text: &str| parse(text).is_ok_and(|parsed| parsed == wanted);
            if let Some(changed) = yaml_edit::set(text, key, value, &means) {
                let parsed = parse(&changed).map_err(|problem| problem.one_line());
                same("a changed value changed more", &parsed, &Ok(wanted))?;
            }
        }
        Ok(true)
    }
}
