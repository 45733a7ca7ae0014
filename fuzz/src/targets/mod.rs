//! What is tried: each target makes inputs of one kind and knows what must hold of each.

mod argv;
mod cache;
mod condition;
mod device;
mod environment;
mod event;
mod guest;
mod head;
mod job;
mod ledger;
mod mask;
mod metadata;
mod opennebula;
mod record;
mod registration;
mod relaxed_json;
mod sanitizer;
mod selftest;
mod settings;
mod status_line;
mod tree;
mod xml_path;

use std::fmt::Debug;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use hookmux::for_tests::process::StoredJob;
use hookmux::for_tests::state::Dir;

use crate::growth::Frame;
use crate::random::Random;
use crate::seeds;

/// Two ways to the same answer that come to different ones, or a promise that isn't kept.
#[derive(Debug)]
pub struct Disagreement {
    /// What is the same for all inputs that show it.
    pub what: &'static str,
    pub detail: String,
}

/// What a check comes to: whether the input was taken for what it was meant to be.
pub type Checked = Result<bool, Disagreement>;

/// One kind of input.
pub trait Target {
    fn name(&self) -> &'static str;

    /// A new input.
    fn make(&mut self, random: &mut Random) -> Vec<u8>;

    /// Runs an input. It depends on nothing but the input.
    ///
    /// # Errors
    /// What must hold and doesn't.
    fn check(&mut self, input: &[u8]) -> Checked;

    /// What inputs that grow are made of; none where an input's size means nothing.
    fn words(&self) -> &'static [&'static str] {
        &[]
    }

    /// What surrounds them.
    fn frames(&self) -> &'static [Frame] {
        &[Frame { before: "", after: "" }]
    }
}

/// What a target is given.
pub struct Surroundings<'a> {
    /// hookmux's source tree.
    pub tree: &'a Path,
    /// A directory for its files.
    pub scratch: &'a Path,
}

/// All targets, those with the longest inputs first.
pub const NAMES: &[&str] = &[
    "head",
    "tree",
    "metadata",
    "device",
    "xml_path",
    "registration",
    "settings",
    "condition",
    "mask",
    "record",
    "job",
    "guest",
    "ledger",
    "cache",
    "environment",
    "event",
    "opennebula",
    "relaxed_json",
    "sanitizer",
    "argv",
    "status_line",
];

/// Whether there is a target of a name.
pub fn is_known(name: &str) -> bool {
    NAMES.contains(&name) || selftest::NAMES.contains(&name)
}

/// The target of a name.
pub fn find(name: &str, surroundings: &Surroundings<'_>) -> Option<Box<dyn Target>> {
    let seeds = seeds::read(surroundings.tree);
    Some(match name {
        "head" => Box::new(head::Head::new(&seeds)),
        "tree" => Box::new(tree::Tree::new(&seeds)),
        "metadata" => Box::new(metadata::Metadata::new(&seeds)),
        "device" => Box::new(device::Device::new(&seeds)),
        "registration" => Box::new(registration::Registrations::new(&seeds)),
        "settings" => Box::new(settings::SettingsFiles::new(&seeds)),
        "condition" => Box::new(condition::Conditions::new(&seeds)),
        "mask" => Box::new(mask::Masks::new(&seeds)),
        "record" => Box::new(record::Records::new(&seeds, surroundings.scratch)),
        "job" => Box::new(job::Jobs::new(&seeds, surroundings.scratch)),
        "guest" => Box::new(guest::Guests::new(&seeds, surroundings.scratch)),
        "ledger" => Box::new(ledger::Ledgers::new(&seeds, surroundings.scratch)),
        "event" => Box::new(event::Events),
        "cache" => Box::new(cache::Caches::new(surroundings.scratch)),
        "environment" => Box::new(environment::Environments),
        "xml_path" => Box::new(xml_path::XmlPaths::new(&seeds)),
        "relaxed_json" => Box::new(relaxed_json::RelaxedJson::new(&seeds)),
        "opennebula" => Box::new(opennebula::Templates),
        "sanitizer" => Box::new(sanitizer::Sanitizer::new(&seeds)),
        "argv" => Box::new(argv::Argv),
        "status_line" => Box::new(status_line::StatusLines),
        _ => Box::new(selftest::SelfTest::find(name)?),
    })
}

/// What separates the parts of an input that has several.
const SEPARATOR: &[u8] = b"\n=====\n";

/// The parts of an input; those that are missing are empty.
fn parts<const COUNT: usize>(input: &[u8]) -> [&[u8]; COUNT] {
    let mut parts = [&b""[..]; COUNT];
    let mut rest = input;
    for part in &mut parts {
        let end = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
        *part = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&[][..], |end| &rest[end + SEPARATOR.len()..]);
    }
    parts
}

/// An input of several parts.
fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(SEPARATOR)
}

/// That something holds.
fn must(
    holds: bool,
    what: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Disagreement> {
    if holds { Ok(()) } else { Err(Disagreement { what, detail: detail() }) }
}

/// That two are the same.
fn same<T: PartialEq + Debug>(what: &'static str, one: &T, other: &T) -> Result<(), Disagreement> {
    must(one == other, what, || format!("{one:?}\n{other:?}"))
}

/// A directory of hookmux's own, at this path.
fn own_directory(path: &Path) -> Dir {
    Dir::new(path.to_path_buf(), nix::unistd::geteuid().as_raw())
}

/// Makes what a worker starts of a job that was read, and starts nothing.
fn is_prepared(job: &StoredJob, run: &str) {
    if let Ok(null) = File::open("/dev/null") {
        let _ = job.job(run, Some(b"/x"), null.into(), Instant::now());
    }
}

/// Bytes as text, for details.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether bytes hold other bytes.
fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len().max(1)).any(|window| window == part)
}
