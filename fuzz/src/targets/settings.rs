//! `hookmux.yaml`: what is written in another way means the same.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hookmux::for_tests::config::{self, Settings};
use hookmux::for_tests::libvirt::{Call, Driver};

use super::{Checked, Target, must, same};
use crate::growth::Frame;
use crate::random::Random;
use crate::seeds::{self, Seed};
use crate::yaml;

pub struct SettingsFiles {
    seeds: Vec<Vec<u8>>,
    surroundings: config::Surroundings,
}

impl SettingsFiles {
    pub fn new(all: &[Seed]) -> SettingsFiles {
        let seeds = seeds::bytes(all, |seed| seed.path.ends_with("hookmux.yaml"));
        SettingsFiles { seeds, surroundings: config::Surroundings::here(Path::new("/h")) }
    }

    fn parse(&self, text: &str) -> Result<Settings, config::Diagnostic> {
        Settings::parse(Path::new("/h/hookmux.yaml"), text, &self.surroundings)
    }
}

impl Target for SettingsFiles {
    fn name(&self) -> &'static str {
        "settings"
    }

    fn words(&self) -> &'static [&'static str] {
        yaml::WORDS
    }

    fn frames(&self) -> &'static [Frame] {
        yaml::FRAMES
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let text = yaml::settings(random);
        yaml::mutate(random, text, &self.seeds)
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
        let settings = match self.parse(text) {
            Ok(settings) => settings,
            Err(problem) => {
                place_is_there(&problem, text)?;
                return Ok(false);
            }
        };
        let own = [settings.state_dir.unchecked_path(), settings.runtime_dir.unchecked_path()]
            .into_iter();
        let written = settings.roots.iter().chain([&settings.save_dir]);
        let written = written.chain(&settings.environment_file).map(PathBuf::as_path);
        for path in own.chain(written) {
            must(path.is_absolute(), "a path that depends on where hookmux is", || {
                path.display().to_string()
            })?;
        }
        for driver in Driver::ALL {
            for operation in ["prepare", "start", "stopped", "shutdown", "release", "x"] {
                let call = Call::new(driver, vec!["a".into(), operation.into()]);
                let limit = settings.total_timeout(&call);
                let ends = Instant::now().checked_add(limit);
                let is_one = ends.is_some() && limit > Duration::ZERO;
                must(is_one, "a call without a limit", || format!("{limit:?}"))?;
            }
        }
        for (way, other) in other_ways(text) {
            let parsed = self.parse(&other).map_err(|problem| problem.one_line());
            same(way, &parsed, &Ok(settings.clone()))?;
        }
        Ok(true)
    }
}

/// A diagnostic names a place that there is.
pub fn place_is_there(problem: &config::Diagnostic, text: &str) -> Result<(), super::Disagreement> {
    let shown = problem.to_string();
    must(!problem.message.is_empty(), "a problem without words", || shown.clone())?;
    if let Some((line, _)) = problem.place {
        let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
        must(line <= lines + 1, "a problem in a line that isn't there", || shown.clone())?;
    }
    Ok(())
}

/// The same text written otherwise: with a mark of its encoding, with a comment, and as the YAML
/// library writes what it reads.
pub fn other_ways(text: &str) -> Vec<(&'static str, String)> {
    let mut others = Vec::new();
    let has_mark = text.starts_with('\u{feff}');
    if !has_mark {
        others.push(("means something else with a byte order mark", format!("\u{feff}{text}")));
        others.push(("means something else after a comment", format!("# a comment\n{text}")));
    }
    if text.ends_with('\n') {
        others.push(("means something else before a comment", format!("{text}# a comment\n")));
    }
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let written = plain_value(bare).and_then(|value| serde_yaml::to_string(&value).ok());
    if let Some(written) = written {
        others.push(("means something else as the library writes it", written));
    }
    others
}

/// The value of a text, where it has nothing that the library reads in one way as a value and in
/// another as a typed one: tags, and numbers that it doesn't keep as they are written.
fn plain_value(text: &str) -> Option<serde_yaml::Value> {
    let is_tag = |(at, _): (usize, &str)| !text[..at].ends_with(['\'', '"']);
    let has_odd_number = ["0x", "0o", "0b", "00", "-0", "+"].iter().any(|part| text.contains(part));
    if has_odd_number || text.match_indices('!').any(is_tag) {
        return None;
    }
    let value: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    is_plain(&value).then_some(value)
}

fn is_plain(value: &serde_yaml::Value) -> bool {
    use serde_yaml::Value;
    match value {
        Value::Tagged(_) => false,
        Value::Number(number) => number.is_u64() || number.is_i64(),
        Value::Sequence(list) => list.iter().all(is_plain),
        Value::Mapping(map) => map.iter().all(|(key, value)| key.is_string() && is_plain(value)),
        _ => true,
    }
}
