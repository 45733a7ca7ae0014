//! The text of a new hook's script.

use super::moment::{HookMoment, Subject};
use crate::cli::args::ScriptLanguage;
use crate::cli::wrap;
use crate::libvirt::Class;

/// How many characters a line of the head has.
const LINE: usize = 100;

/// What a script has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptTask {
    /// Its work.
    Work,
    /// Its work when it is called with `start`, and to take it back when it is called with `undo`.
    StartAndUndo,
}

/// Returns the text of a script.
pub(super) fn text(
    name: &str,
    moment: &HookMoment,
    language: ScriptLanguage,
    task: ScriptTask,
) -> String {
    let (first, body) = match language {
        ScriptLanguage::Sh => ("#!/bin/sh", shell(name, moment, task, false)),
        ScriptLanguage::Bash => ("#!/usr/bin/env bash", shell(name, moment, task, true)),
        ScriptLanguage::Python => ("#!/usr/bin/env python3", python(name, moment, task)),
    };
    let head: String = head(name, moment, task)
        .iter()
        .map(|line| format!("# {line}").trim_end().to_owned() + "\n")
        .collect();
    format!("{first}\n{head}\n{body}")
}

/// Returns the head: what a hook at this event has to know.
fn head(name: &str, moment: &HookMoment, task: ScriptTask) -> Vec<String> {
    let mut lines = vec![format!("{name}: (write here what it is for)"), String::new()];
    lines.extend(wrap::lines(
        &format!("It runs at {}: {}.", moment.event, moment.when()),
        LINE - 2,
        "",
    ));
    if task == ScriptTask::StartAndUndo {
        let then = format!("Then it is called with `start`, and with `undo` {}.", moment.end());
        lines.extend(wrap::lines(&then, LINE - 2, ""));
    }
    lines.push(String::new());
    lines.push("Exit status:".to_owned());
    lines.extend(moment.exit_statuses().iter().map(|line| format!("  {line}")));
    if moment.class == Class::Gate {
        lines
            .push("What it writes to standard error is shown to whoever asked libvirt.".to_owned());
    }
    lines.push("Its whole output is kept: `hookmux show last` shows it.".to_owned());
    lines.push(String::new());
    lines.push("Variables (there are more: docs/writing-hooks.md):".to_owned());
    let variables = moment.variables();
    let width = variables.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    lines.extend(variables.iter().map(|(name, words)| format!("  {name:width$}  {words}")));
    if let Some(editing) = moment.editing() {
        lines.push("`hookmux xml get PATH` reads values from the XML.".to_owned());
        lines.extend(editing.lines().map(str::to_owned));
    }
    lines.push(String::new());
    lines.push(
        "libvirt waits until it has ended, so it must not call virsh (a hook with `mode: detached` may)."
            .to_owned(),
    );
    lines
}

fn shell(name: &str, moment: &HookMoment, task: ScriptTask, is_bash: bool) -> String {
    let mut examples = Vec::new();
    if moment.subject.has_guest() {
        examples.push("only for guests with the custom property example=yes:".to_owned());
        examples.push("  [ \"${HOOKMUX_PROPERTY_example-}\" = yes ] || exit 0".to_owned());
    }
    if let Some((variable, path)) = moment.example_path() {
        examples.push(
            "values of the XML, a line each; exit status 1 means that nothing is there:".to_owned(),
        );
        examples.push(match is_bash {
            true => format!("  mapfile -t {variable} < <(hookmux xml get '{path}')"),
            false => format!("  {variable}=$(hookmux xml get '{path}') || {variable}="),
        });
    }
    if moment.class == Class::Gate {
        examples.push("to say no:".to_owned());
        examples.push("  echo 'there is no room for it' >&2".to_owned());
        examples.push("  exit 1".to_owned());
    }
    let about = about(moment, |name| format!("${name}"));
    let set = if is_bash { "set -euo pipefail" } else { "set -eu" };
    let comments = |indent: &str| -> String {
        examples.iter().map(|line| format!("{indent}# {line}\n")).collect()
    };
    match task {
        ScriptTask::Work => {
            let comments = comments("");
            let gap = if comments.is_empty() { "" } else { "\n" };
            format!("{set}\n\n{comments}{gap}echo \"{about}: nothing to do yet\"\n")
        }
        ScriptTask::StartAndUndo => format!(
            "{set}\n\nstart() {{\n{}    echo \"{about}: nothing to set up yet\"\n}}\n\n\
             undo() {{\n{}    echo \"{about}: nothing to take back yet\"\n}}\n\n\
             case ${{1-}} in\n    start) start ;;\n    undo) undo ;;\n    *)\n        \
             echo '{name}: it is called with start or undo' >&2\n        exit 1\n        ;;\nesac\n",
            comments("    "),
            undo_comments(),
        ),
    }
}

/// Returns what is to be known of an undo, as comments.
fn undo_comments() -> String {
    [
        "It may run twice, and after a start that ended half-way: what it takes back may be gone.",
        "$HOOKMUX_UNDO_OUTPUT is a file with what start wrote to standard output.",
    ]
    .map(|line| format!("    # {line}\n"))
    .concat()
}

/// Returns how a line of output begins: what it is about. `variable` writes a variable in the language.
fn about(moment: &HookMoment, variable: impl Fn(&str) -> String) -> String {
    let event = variable("HOOKMUX_EVENT");
    match moment.subject {
        Subject::Daemon => event,
        subject => format!("{event}: {} {}", subject.noun(), variable("HOOKMUX_OBJECT")),
    }
}

fn python(name: &str, moment: &HookMoment, task: ScriptTask) -> String {
    let mut examples = Vec::new();
    if moment.subject.has_guest() {
        examples.push("only for guests with the custom property example=yes:".to_owned());
        examples.push("  if os.environ.get('HOOKMUX_PROPERTY_example') != 'yes':".to_owned());
        examples.push("      return".to_owned());
    }
    if let Some((variable, path)) = moment.example_path() {
        examples.push("values of the XML:".to_owned());
        examples.push(format!("  {variable} = values('{path}')"));
    }
    if moment.class == Class::Gate {
        examples.push("to say no:".to_owned());
        examples.push("  sys.exit('there is no room for it')".to_owned());
    }
    let comments: String = examples.iter().map(|line| format!("    # {line}\n")).collect();
    let values = r#"def values(path):
    """The values at a path of the XML; none if nothing is there."""
    command = ['hookmux', 'xml', 'get', '--null', path]
    done = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True)
    if done.returncode not in (0, 1):
        sys.exit("the XML can't be read")
    return done.stdout.split('\0')[:-1]


"#;
    let has_document = moment.example_path().is_some();
    let values = if has_document { values } else { "" };
    let imports = if has_document {
        "import os\nimport subprocess\nimport sys\n"
    } else {
        "import os\nimport sys\n"
    };
    let about = about(moment, |name| format!("{{os.environ['{name}']}}"));
    let about = |words: &str| format!("    print(f\"{about}: {words}\")\n");
    let start = about("nothing to set up yet");
    match task {
        ScriptTask::Work => {
            let work = about("nothing to do yet");
            let imports = if has_document { imports } else { "import os\n" };
            format!("{imports}\n\n{values}def main():\n{comments}{work}\n\nmain()\n")
        }
        ScriptTask::StartAndUndo => {
            let undo = undo_comments()
                .replace("$HOOKMUX_UNDO_OUTPUT", "os.environ['HOOKMUX_UNDO_OUTPUT']");
            let taken = about("nothing to take back yet");
            format!(
                "{imports}\n\n{values}def start():\n{comments}{start}\n\n\
                 def undo():\n{undo}{taken}\n\n\
                 if sys.argv[1:] == ['start']:\n    start()\nelif sys.argv[1:] == ['undo']:\n    undo()\nelse:\n    \
                 sys.exit('{name}: it is called with start or undo')\n"
            )
        }
    }
}
