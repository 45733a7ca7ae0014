//! The pages of file formats and conventions: hookmux.yaml(5), hookmux-registration(5), hookmux-events(7) and
//! hookmux-hooks(7), and the sections of hookmux(8) that clap knows nothing of.

use super::page::Page;
use crate::cli::hooks::class_words;
use crate::cli::hooks::events::EventLine;
use crate::cli::hooks::variables::VARIABLES;
use crate::config::keys::{Key, REGISTRATION, SETTINGS};
use crate::libvirt::Class;

/// The files of a host.
const FILES: &[(&str, &str)] = &[
    (
        "/etc/libvirt/hooks/<driver>",
        "the entry that libvirt runs; a link to `/usr/sbin/hookmux-<driver>`",
    ),
    ("/etc/libvirt/hooks/<event>/", "scripts that run at an event"),
    ("/etc/libvirt/hooks/hooks.d/*.yaml", "registrations: hookmux-registration(5)"),
    ("/etc/libvirt/hooks/hookmux.yaml", "settings: hookmux.yaml(5)"),
    ("/etc/libvirt/hooks/<driver>.d/<guest>/<operation>/<sub>/", "scripts of one guest"),
    ("/etc/libvirt/hooks/<driver>.adopted", "the script that `install --adopt` found"),
    (
        "/run/hookmux/hooks, /usr/lib/hookmux/hooks",
        "further directories of the same form, below the first",
    ),
    ("/var/lib/hookmux", "records, the queue, last good copies"),
    ("/run/hookmux", "the state of running guests, locks"),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("HOOKMUX_HOOKS_DIR", "the hooks directory, where `--hooks-dir` isn't given"),
    ("NO_COLOR", "no colour, if it isn't empty"),
    ("PAGER", "the pager; empty or `cat`: none. Without it less, else more"),
    ("COLUMNS, LINES", "the terminal's size, if it isn't the real one"),
    ("LC_ALL, LC_CTYPE, LANG", "where they name a locale without UTF-8, only ASCII is printed"),
    ("VISUAL, EDITOR", "the editor in the commands that hookmux proposes"),
];

/// Adds to hookmux(8) what isn't in the definition of the commands.
pub(super) fn more_of_the_program(roff: &mut Vec<u8>, examples: &[(&str, &str)]) {
    let mut page = Page::more();
    add_examples(&mut page, examples);
    page.section("FILES");
    terms(&mut page, FILES);
    page.section("ENVIRONMENT");
    terms(&mut page, ENVIRONMENT);
    page.section("EXIT STATUS");
    page.term("0", "It is done; nothing is wrong.");
    page.term("1", "Something is wrong, or it could not be done; the message says what.");
    page.term(
        "2",
        "The command was not understood, or a question was not answered; nothing was done.",
    );
    page.text(
        "As libvirt's hook program it answers libvirt instead: 0, or at a gate the exit status of the first hook that \
         failed (124: time limit, 125: a fault of hookmux, 126 and 127: it could not be executed, 128+N: signal N).",
    );
    page.see_also(&[
        "hookmux.yaml(5)",
        "hookmux-registration(5)",
        "hookmux-events(7)",
        "hookmux-hooks(7)",
        "virsh(1)",
    ]);
    roff.extend(page.render());
}

/// Returns how a command is called: its name, and what clap says of its words.
pub(super) fn synopsis(name: &str, usage: &str) -> Vec<u8> {
    let mut page = Page::more();
    page.section("SYNOPSIS");
    for line in usage.trim_start_matches("Usage:").lines().map(str::trim) {
        match line.strip_prefix(name) {
            Some(words) => page.text(&format!("`{name}`{words}")),
            None => page.text(line),
        };
    }
    page.render()
}

/// Returns the end of a command's page.
pub(super) fn more_of_a_command(examples: &[(&str, &str)]) -> Vec<u8> {
    let mut page = Page::more();
    if !examples.is_empty() {
        add_examples(&mut page, examples);
    }
    page.see_also(&["hookmux(8)", "hookmux-hooks(7)"]);
    page.render()
}

fn add_examples(page: &mut Page, examples: &[(&str, &str)]) {
    page.section("EXAMPLES");
    for (line, what) in examples {
        page.term(line, what);
    }
}

fn terms(page: &mut Page, terms: &[(&str, &str)]) {
    for (term, text) in terms {
        page.term(&term.replace('`', ""), text);
    }
}

pub(super) fn settings() -> Vec<u8> {
    let mut page = Page::new("hookmux.yaml", "5", "settings of hookmux");
    page.section("DESCRIPTION");
    page.text(
        "`hookmux.yaml` in the hooks directory has the settings, in YAML. All are optional. A key that isn't known or \
         comes twice is an error with file, line and column; until it is corrected, the last good copy holds. A reload \
         isn't needed. Times are written as `30s`, `2m`, `1h 30m`, or as a number of seconds; relative paths are below \
         the hooks directory.",
    );
    page.section("KEYS");
    keys(&mut page, SETTINGS);
    page.section("EXAMPLE");
    page.lines(
        "total_timeout: 2m\ncustom_properties: [hugepages, vlan]\nretention: {per_hook: 500, age: 90days}",
    );
    page.see_also(&["hookmux(8)", "hookmux-registration(5)"]);
    page.render()
}

pub(super) fn registration() -> Vec<u8> {
    let mut page = Page::new("hookmux-registration", "5", "a registered hook");
    page.section("DESCRIPTION");
    page.text(
        "Each file `hooks.d/NAME.yaml` below the hooks directory or another root registers one hook: what is run, at \
         which events, under which conditions. `events` or `calls`, and `command`, are required. `hookmux add` writes \
         such files, and they may be edited; `hookmux schema` prints their JSON Schema. A file that can't be used is \
         replaced by its last good form; without one, the gates that it could have meant fail.",
    );
    page.section("KEYS");
    keys(&mut page, REGISTRATION);
    page.section("EXAMPLE");
    page.lines(
        "events: before_vm_start\ncommand: /usr/local/sbin/guard\nargs: [\"--guest=$NAME\"]\nwhen: {name: [\"web-*\", \
         \"!web-test\"]}\nrollback: [/usr/local/sbin/guard, --undo]\ntimeout: 30s",
    );
    page.see_also(&["hookmux(8)", "hookmux-add(8)", "hookmux-events(7)", "hookmux-hooks(7)"]);
    page.render()
}

fn keys(page: &mut Page, table: &[Key]) {
    for key in table {
        let words = match key.words {
            [] => String::new(),
            words => format!(": {}", words.join(", ")),
        };
        let since = format!(" (since {})", key.since);
        page.term(key.name, &format!("{}{words}{since}", key.help));
    }
}

pub(super) fn events(lines: &[EventLine<'_>]) -> Vec<u8> {
    let mut page = Page::new("hookmux-events", "7", "the events at which hooks run");
    page.section("DESCRIPTION");
    page.text(
        "Each call of libvirt's fires events; each event is a directory of scripts, or the `events` of a registration. \
         The class says what a failure means. `hookmux events` shows which events this host's libvirt fires.",
    );
    page.section("CLASSES");
    for class in [Class::Gate, Class::Live, Class::Notify] {
        page.term(class.name(), class_words::meaning(class));
    }
    page.section("EVENTS");
    for line in lines {
        page.term(line.event.name, &line.sentence());
    }
    page.text("An operation that is new to hookmux fires `on_`<driver>`_`<operation>, class live.");
    page.see_also(&["hookmux(8)", "hookmux-events(8)", "hookmux-hooks(7)"]);
    page.render()
}

pub(super) fn hooks() -> Vec<u8> {
    let mut page = Page::new("hookmux-hooks", "7", "what a hook gets and answers");
    page.section("DESCRIPTION");
    page.text(
        "A hook is an executable file in an event's directory, or what a registration names. It runs as root, in `/`, \
         with umask 022, an empty standard input and the environment below. Scripts run one after the other in byte \
         order of their names, registered hooks among them by their weight. A file that others than root could change \
         isn't run.",
    );
    page.section("DOCUMENT");
    page.text(
        "`$_hook_domxml` names a file with the guest's or network's XML. At `migrate` and `restore` libvirt takes what \
         hooks make of it; elsewhere an edit has no effect, and a warning says so. `hookmux xml get PATH` reads values \
         from it.",
    );
    page.section("EXIT STATUS");
    page.term("0", "good");
    page.term("1", "failed; the other hooks run");
    page.term("2", "failed; no other hook runs");
    page.text(
        "Any other exit status, a signal or a time limit is as 1. At a gate libvirt gets the first failure, and what \
         the hook wrote to standard error. A hook has 120 s, a whole call 300 s. While libvirt waits for a hook, the \
         hook must not call libvirt about its own guest; `mode: detached` is for that.",
    );
    page.section("ENVIRONMENT");
    terms(&mut page, VARIABLES);
    page.text(
        "An adopted script and scripts of the per-guest tree get libvirt's own arguments, standard input and \
         environment, and `HOOKMUX_*`.",
    );
    page.section("EXAMPLE");
    page.lines(
        "#!/bin/sh\n# /etc/libvirt/hooks/before_vm_start/10-space\nset -eu\nfor disk in $(hookmux xml get \
         'devices/disk/source/@file'); do\n    [ -r \"$disk\" ] || { echo \"$disk can't be read\" >&2; exit 1; }\ndone",
    );
    page.see_also(&["hookmux(8)", "hookmux-events(7)", "hookmux-registration(5)"]);
    page.render()
}
