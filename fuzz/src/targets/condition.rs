//! `when` against the plainest way to judge it, and against what says that it never holds.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use hookmux::for_tests::config::Registration;
use hookmux::for_tests::config::registration::When;
use hookmux::for_tests::config::values::Patterns;
use hookmux::for_tests::config::{Settings, Surroundings};
use hookmux::for_tests::document::facts::DocumentFacts;
use hookmux::for_tests::event::{self, Origin};
use hookmux::for_tests::libvirt::{Call, Document, Driver, Operation, operation};
use hookmux::for_tests::occasion::Occasion;
use hookmux::for_tests::plan::condition::{self, ConditionResult};
use hookmux::for_tests::registry::matched_calls;
use hookmux::for_tests::registry::matching;

use super::{Checked, Target, join, must, parts};
use crate::growth::Frame;
use crate::random::Random;
use crate::seeds::{self, Seed};
use crate::{xml, yaml};

pub struct Conditions {
    documents: Vec<Vec<u8>>,
}

impl Conditions {
    pub fn new(all: &[Seed]) -> Conditions {
        Conditions { documents: seeds::bytes(all, |seed| seed.has_extension("xml")) }
    }
}

const NAMES: &[&str] =
    &["web-1", "web-test", "vm", "-", "a", "default", "--help", "\u{e4}", "", "ab*", "aXXb"];
const EXTRAS: &[&str] = &["-", "saved", "migrated", "destroyed", "", "from snapshot"];

impl Target for Conditions {
    fn name(&self) -> &'static str {
        "condition"
    }

    fn words(&self) -> &'static [&'static str] {
        &["*", "?", "a", "b", "!", "', '", "*a", "\u{e4}", "ab", "x{n}*"]
    }

    fn frames(&self) -> &'static [Frame] {
        const {
            &[
                // a pattern that grows
                Frame {
                    before: "events: '*'\ncommand: /x\nwhen: {name: ['",
                    after: "']}\n=====\nqemu fresh\naaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb\nprepare\nbegin\n-\n=====\n",
                },
                // a value that grows
                Frame {
                    before: "events: '*'\ncommand: /x\nwhen: {name: ['*a*b*a*b*c']}\n=====\nqemu fresh\n",
                    after: "\nprepare\nbegin\n-\n=====\n",
                },
            ]
        }
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let events = random.pick(&[
            "events: '*'",
            "events: [before_vm_start, after_vm_hibernate]",
            "calls: '*'",
            "calls: [qemu/release, network]",
            "events: [on_qemu_paused, after_vm_dehibernate]",
            "events: before_daemon_start",
            "calls: [qemu/paused]",
            "events: after_vm_start",
        ]);
        let text = format!("{events}\ncommand: /bin/true\nwhen: {}\n", yaml::when(random));
        let driver = Driver::ALL[random.below(Driver::ALL.len())];
        let row = random.item(operation::TABLE);
        let (name, sub) = if random.once_in(6) { ("paused", None) } else { (row.name, row.sub) };
        let call = format!(
            "{driver} {}\n{}\n{name}\n{}\n{}",
            Origin::ALL[random.below(4)],
            random.pick(NAMES),
            sub.unwrap_or("begin"),
            random.pick(EXTRAS),
        );
        let document = match random.below(5) {
            0 => Vec::new(),
            1 => b"<broken".to_vec(),
            2 => random.item(&self.documents).clone(),
            _ => xml::document(random),
        };
        let mut input = join(&[text.as_bytes(), call.as_bytes(), &document]);
        if random.once_in(4) {
            crate::bytes::mutate(random, &mut input, yaml::WORDS, &[]);
        }
        input
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let [text, call, document] = parts(input);
        let Ok(text) = std::str::from_utf8(text) else { return Ok(false) };
        let source = Path::new("/h/hooks.d/x.yaml");
        let Ok(registration) = Registration::parse(source, Path::new("/h"), text) else {
            return Ok(false);
        };
        let Some((call, origin)) = read_call(call) else { return Ok(false) };
        let facts = match document {
            b"" => DocumentFacts::of(Document::Absent),
            bytes => DocumentFacts::of(Document::Whole(bytes.to_vec())),
        };
        let surroundings = Surroundings::here(Path::new("/h"));
        let settings = Settings::defaults(&surroundings);
        let mut occasion = Occasion::new(&call, &settings, &surroundings, facts);
        occasion.origin = origin;
        let judged = condition::evaluate(&registration.when, &occasion);
        let word = match &judged {
            ConditionResult::Yes => "yes",
            ConditionResult::No(_) => "no",
            ConditionResult::Unknown(_) => "unknown",
        };
        let plain = evaluate(&registration.when, &occasion);
        must(word == plain, "a condition is judged otherwise: hookmux, the plain way", || {
            format!("{judged:?}\n{plain}\n{:?}\n{call:?} {origin}", registration.when)
        })?;
        let _ = matched_calls::of(&registration.triggers);
        let impossibility = matching::impossibility(&registration);
        let can_hold = word == "yes"
            && is_possible(&call, origin, &occasion.facts.document)
            && is_asked(&registration, &call, origin);
        if let Some(why) = impossibility.filter(|_| can_hold) {
            must(false, "a condition that holds and is said never to", || {
                format!("{why}\n{call:?} {origin}")
            })?;
        }
        Ok(true)
    }
}

fn read_call(part: &[u8]) -> Option<(Call, Origin)> {
    let mut lines = part.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (driver, origin) = first.split_once(' ')?;
    let arguments = lines.map(|line| OsString::from_vec(line.to_vec())).collect();
    Some((Call::new(Driver::from_name(driver)?, arguments), Origin::from_name(origin)?))
}

/// Whether libvirt can make a call of a driver, with such a document, and its object can have come in
/// that way.
fn is_possible(call: &Call, origin: Origin, document: &Document) -> bool {
    let is_row = |row: &operation::OperationRow| {
        row.drivers.contains(&call.driver) && call.operation_name() == row.name
    };
    let is_daemons = call.driver == Driver::Daemon;
    let is_operation =
        call.operation() == Operation::Unknown || operation::TABLE.iter().any(is_row);
    let is_origin = match call.operation() {
        _ if !call.driver.is_guest() => origin == Origin::Unknown,
        Operation::Migrate => origin == Origin::Migration,
        Operation::Restore => origin == Origin::Restore,
        _ => true,
    };
    is_operation
        && is_origin
        && (!is_daemons || (call.object() == "-" && document.bytes().is_none()))
}

/// Whether a registration is asked at a call.
fn is_asked(registration: &Registration, call: &Call, origin: Origin) -> bool {
    let fires = |event: &event::Event| {
        registration.triggers.has_event(&event.name) && event.fires(origin, call.reason()).is_ok()
    };
    registration.triggers.has_call(call) || event::candidates(call).iter().any(fires)
}

/// As `condition::evaluate`, without words.
fn evaluate(when: &When, occasion: &Occasion<'_>) -> &'static str {
    let (call, facts) = (occasion.call, &occasion.facts);
    let name = call.object().to_string_lossy();
    let reason = call.reason().map(|reason| reason.to_string_lossy()).unwrap_or_default();
    let is_met = |patterns: &Option<Patterns>, values: &[&str]| {
        patterns.as_ref().is_none_or(|patterns| matches_any(&patterns.0, values))
    };
    let is_network = call.driver == Driver::Network;
    if !is_met(&when.driver, &[call.driver.name()])
        || !is_met(&when.name, &[&name])
        || !is_met(&when.reason, &[&reason])
        || !is_met(&when.origin, &[occasion.origin.name()])
    {
        return "no";
    }
    let asks_document = when.uuid.is_some()
        || when.title.is_some()
        || when.property.is_some()
        || (when.network.is_some() && !is_network);
    if asks_document && !matches!(facts.document, Document::Whole(_)) {
        return "unknown";
    }
    let metadata = &facts.metadata;
    let networks: Vec<&str> = match is_network {
        true => vec![&name],
        false => metadata.networks.iter().map(String::as_str).collect(),
    };
    let has_properties = when.property.iter().flatten().all(|(name, patterns)| {
        let property = metadata.properties.iter().find(|property| property.name == *name);
        property.is_some_and(|property| matches_any(&patterns.0, &[&property.value]))
    });
    let holds = is_met(&when.uuid, &[occasion.uuid().unwrap_or_default()])
        && is_met(&when.title, &[metadata.title.as_deref().unwrap_or_default()])
        && is_met(&when.network, &networks)
        && has_properties;
    if holds { "yes" } else { "no" }
}

fn matches_any(patterns: &[String], values: &[&str]) -> bool {
    let has = |pattern: &str| values.iter().any(|value| matches(pattern, value));
    let mut wanted = patterns.iter().filter(|pattern| !pattern.starts_with('!')).peekable();
    let is_wanted = wanted.peek().is_none() || wanted.any(|pattern| has(pattern));
    is_wanted && !patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(has)
}

/// Whether a value fits a shell's pattern: a row of a table for each character of the pattern.
fn matches(pattern: &str, value: &str) -> bool {
    let value: Vec<char> = value.chars().collect();
    // whether the pattern so far fits the first so many characters
    let mut fits = vec![false; value.len() + 1];
    fits[0] = true;
    for character in pattern.chars() {
        let mut next = vec![false; value.len() + 1];
        for end in 0..=value.len() {
            next[end] = match character {
                '*' => fits[end] || (end > 0 && next[end - 1]),
                '?' => end > 0 && fits[end - 1],
                other => end > 0 && fits[end - 1] && value[end - 1] == other,
            };
        }
        fits = next;
    }
    fits[value.len()]
}
