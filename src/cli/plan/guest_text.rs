//! A guest's life, for people: a tree of what is done with it, libvirt's calls, events and hooks.

use super::life::{CallOfAction, PlannedAction, PlannedLife};
use super::planned_call::rollback_label;
use super::tree::{self, Node};
use super::{consequence, words};
use crate::cli::output::{Cell, Output, Tone};
use crate::libvirt::{Class, Driver, Operation};
use crate::plan::Step;
use crate::undo;

/// `is_part` tells whether only a part of the life was asked for.
pub(super) fn show(life: &PlannedLife, is_part: bool, output: &mut Output) {
    let subject = &life.subject;
    let name = subject.name.to_string_lossy();
    let state = match subject.is_running {
        Some(true) => ", runs",
        Some(false) if subject.is_saved => ", is saved",
        Some(false) => ", is off",
        None => "",
    };
    output.toned(Tone::Bold, &format!("{name} ({}{state})", subject.driver));
    match &life.source.file {
        Some(file) => output.toned(Tone::Dim, &format!("  document: {file}")),
        None => output.toned(
            Tone::Warning,
            &format!(
                "  document: none: {}; conditions that need one (uuid, title, network, property) don't hold here, and its networks aren't known",
                life.source.why_none
            ),
        ),
    }
    let mut nodes: Vec<Node> = Vec::new();
    let mut shown: Vec<(&PlannedAction, Vec<Node>)> = Vec::new();
    for part in &life.parts {
        let title = format!("{}: {}", part.action.name(), part.action.what(subject.driver));
        let tone = if part.would_fail() { Tone::Bad } else { Tone::Bold };
        if let Some(why) = part.none {
            let why = format!("{title}: no call of libvirt's; {why}");
            nodes.push(Node::leaf(Tone::Dim, why));
            continue;
        }
        let below = below(part, subject.driver);
        let reason = reason(part).map(|reason| format!("{REASON}{reason})"));
        let reason = reason.unwrap_or_default();
        let plain = without_reason(&below);
        match shown.iter().find(|(_, other)| *other == plain) {
            Some((other, _)) => {
                let as_other = format!("{title}: as {}{reason}", other.action.name());
                nodes.push(Node::leaf(tone, as_other));
            }
            None => {
                let below = folded(below, &shown, &reason);
                shown.push((part, plain));
                nodes.push(Node::with(tone, title, below));
            }
        }
    }
    tree::show(&nodes, output);
    for note in &life.notes {
        output.lines(Tone::Plain, note);
    }
    let mut notes: Vec<&String> = Vec::new();
    for call in life.parts.iter().flat_map(|part| &part.calls) {
        for note in call.planned.notes.iter().filter(|_| !call.is_after_failure) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    for note in notes {
        output.lines(Tone::Plain, note);
    }
    if !is_part && life.fail.is_empty() {
        let example = life.parts.first().map_or("start", |part| part.action.name());
        output.toned(
            Tone::Dim,
            &format!("`hookmux plan {name} {example}` shows only that; `--fail HOOK` what a failure leads to."),
        );
    }
}

/// Shortens what has been shown as a whole part already: a restore ends like a start.
fn folded(mut nodes: Vec<Node>, shown: &[(&PlannedAction, Vec<Node>)], reason: &str) -> Vec<Node> {
    for (part, known) in shown.iter().filter(|(_, known)| known.len() > 1) {
        let plain = without_reason(&nodes);
        let found = plain.windows(known.len()).position(|some| some == known.as_slice());
        let Some(at) = found else { continue };
        let of_part = nodes.splice(at..at + known.len(), []).collect::<Vec<_>>();
        let has_reason = of_part.iter().any(|node| node.text.contains(REASON));
        let reason = if has_reason { reason } else { "" };
        let calls: Vec<&str> = part.calls.iter().map(|call| call.operation()).collect();
        let (first, last) = (calls.first(), calls.last());
        let (first, last) = (first.copied().unwrap_or_default(), last.copied().unwrap_or_default());
        let words = format!("{first} … {last}: as {}{reason}", part.action.name());
        nodes.insert(at, Node::leaf(Tone::Plain, words));
    }
    nodes
}

/// How the reason of a release begins, in its node.
const REASON: &str = " (reason: ";

fn below(part: &PlannedAction, driver: Driver) -> Vec<Node> {
    let mut nodes: Vec<Node> =
        part.calls.iter().map(|call| call_node(call, part, driver)).collect();
    nodes.extend(part.outcome.map(|words| Node::leaf(Tone::Bad, format!("=> {words}"))));
    nodes
}

/// Returns the reason of a release in a part.
fn reason(part: &PlannedAction) -> Option<String> {
    let reason = part.calls.iter().find_map(|call| call.planned.call.reason())?;
    Some(reason.to_string_lossy().into_owned())
}

/// Returns the nodes of a part as they would be with any reason.
fn without_reason(nodes: &[Node]) -> Vec<Node> {
    let bare = |node: &Node| {
        let text = match node.text.split_once(REASON) {
            Some((before, after)) => {
                let after = after.split_once(')').map(|(_, after)| after).unwrap_or_default();
                format!("{before}{after}")
            }
            // why an event doesn't fire
            None => node.text.split("; this one is ").next().unwrap_or_default().to_owned(),
        };
        Node { text, below: without_reason(&node.below), ..node.clone() }
    };
    nodes.iter().map(bare).collect()
}

fn call_node(call: &CallOfAction, part: &PlannedAction, driver: Driver) -> Node {
    let planned = &call.planned;
    let libvirts = &planned.call;
    let mut title = libvirts.operation_name().to_string_lossy().into_owned();
    if libvirts.driver != driver {
        title = format!("{} {}: {title}", libvirts.driver, libvirts.object().to_string_lossy());
    }
    if let Some(reason) = libvirts.reason() {
        title.push_str(&format!("{REASON}{})", reason.to_string_lossy()));
    }
    if call.is_after_failure {
        title.push_str(", because of the failure");
    }
    let undo = |hook: &String, words: &str| {
        Node::leaf(Tone::Plain, format!("{}: {words}", undo::label_of(hook)))
    };
    let first = call.undos.first.iter();
    let mut below: Vec<Node> =
        first.map(|hook| undo(hook, "runs first, as it is still owed")).collect();
    below.extend(step_nodes(call));
    below.extend(
        planned
            .rollbacks()
            .iter()
            .map(|hook| Node::leaf(Tone::Warning, format!("{}: runs", rollback_label(hook)))),
    );
    below.extend(call.undos.last.iter().map(|hook| undo(hook, "runs")));
    if planned.would_fail() && libvirts.operation() == Operation::Restore {
        let words = consequence::of(libvirts, Some(part.action)).map(|it| it.words);
        let words = words.unwrap_or_default();
        let told = format!("fails with {}: {}", planned.status, planned.told());
        below.push(Node::leaf(Tone::Bad, told));
        below.push(Node::leaf(Tone::Bad, format!("=> {words}")));
    } else if planned.would_fail() {
        let told = format!("libvirt is told {}: {}", planned.status, planned.told());
        below.push(Node::leaf(Tone::Bad, told));
        let goes_on = consequence::of(libvirts, Some(part.action)).filter(|it| it.goes_on);
        below.extend(goes_on.map(|it| Node::leaf(Tone::Bad, format!("=> {}", it.words))));
    } else if libvirts.class() == Class::Notify && planned.status != 0 {
        let told = format!("libvirt logs the failure, and goes on: {}", planned.told());
        below.push(Node::leaf(Tone::Warning, told));
    }
    if below.is_empty() {
        let fires = planned.events.iter();
        let fires = fires.filter(|it| it.fires(planned.origin, libvirts.reason()).is_ok());
        let events: Vec<&str> = fires.map(|event| event.name.as_ref()).collect();
        let events = match events.as_slice() {
            [] => String::new(),
            events => format!(" ({})", events.join(", ")),
        };
        return Node::leaf(Tone::Dim, format!("{title}: no hook{events}"));
    }
    Node::with(Tone::Plain, title, below)
}

/// Returns the hooks of a call, those of an event below it.
fn step_nodes(call: &CallOfAction) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut last: Option<&str> = None;
    for step in &call.planned.steps {
        let node = step_node(step, call);
        match (step.event.as_deref(), nodes.last_mut()) {
            (Some(event), Some(group)) if last == Some(event) => group.below.push(node),
            (Some(event), _) => {
                nodes.push(Node::with(Tone::Plain, event.to_owned(), vec![node]));
            }
            (None, _) => nodes.push(node),
        }
        last = step.event.as_deref();
    }
    nodes
}

fn step_node(step: &Step, call: &CallOfAction) -> Node {
    let Cell(what, tone) = words::what_alone(step);
    let device = call.planned.device(step).map(|device| format!(" [{device}]"));
    let device = device.unwrap_or_default();
    Node::leaf(tone, format!("{}{device}: {what}", words::name(step)))
}
