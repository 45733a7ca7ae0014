//! What the derived definition of the command line can't have: groups of commands, and examples for each.

use std::fmt::Write;

use clap::CommandFactory;
use clap::builder::StyledStr;

use super::args::Arguments;

/// The commands, by what people want to do with them.
pub(crate) const GROUPS: &[(&str, &[&str])] = &[
    ("Look", &["status", "list", "events", "plan", "check", "log", "show", "watch", "metrics"]),
    ("Change hooks", &["new", "add", "edit", "enable", "disable", "delete", "import", "export"]),
    ("Act", &["run", "retry", "stop", "queue", "undo", "bypass"]),
    ("Install", &["install", "uninstall", "prune", "demo"]),
    ("For scripts and shells", &["xml", "schema", "completions", "man", "fullhelp", "help"]),
];

/// Examples of each command: what is typed, and what for.
pub(crate) const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "",
        &[
            ("hookmux", "what is installed, and what to do next"),
            ("hookmux list", "which hooks there are"),
            ("hookmux plan web1", "what would run for a guest, and why not the rest"),
            ("hookmux log --failed", "what went wrong"),
            ("hookmux check", "what is wrong, and how to correct it"),
        ],
    ),
    (
        "list",
        &[
            ("hookmux list", "all hooks, in the order in which they run"),
            ("hookmux list before_vm_start", "those of an event"),
            ("hookmux list --available", "the ready-made ones"),
        ],
    ),
    (
        "status",
        &[("hookmux status", "the state of the host"), ("hookmux status -o json", "for programs")],
    ),
    (
        "events",
        &[
            ("hookmux events", "all events, and the calls that fire them"),
            ("hookmux events before_vm_start", "all about one of them"),
        ],
    ),
    (
        "plan",
        &[
            ("hookmux plan web1", "what would run in a guest's whole life"),
            ("hookmux plan web1 start --fail 10-net", "what a failure would lead to"),
            ("hookmux plan qemu web1 prepare", "what would run at one call of libvirt"),
            (
                "virsh dumpxml web1 | hookmux plan qemu web1 started --xml -",
                "with the guest's document",
            ),
        ],
    ),
    (
        "run",
        &[(
            "hookmux run qemu web1 prepare --xml web1.xml",
            "run the hooks as if libvirt had called",
        )],
    ),
    ("check", &[("hookmux check", "everything that is wrong")]),
    (
        "log",
        &[
            ("hookmux log --failed", "the newest calls that failed"),
            ("hookmux log --guest web1 --since yesterday", "those of a guest"),
            ("hookmux log --hook 10-net -n 100", "those with a hook"),
            ("hookmux log --audit", "who changed what"),
        ],
    ),
    (
        "show",
        &[
            ("hookmux show last", "the newest call"),
            ("hookmux show --failed --guest web1", "the newest that failed of a guest"),
            ("hookmux show before_vm_start/10-net", "a hook, and its executions"),
            (
                "hookmux show --failed --html > web1.html",
                "the newest that failed, as a file to send",
            ),
        ],
    ),
    (
        "watch",
        &[
            ("hookmux watch --failed", "each call that fails from now on"),
            ("hookmux watch -o json", "for programs: an object on each line"),
        ],
    ),
    (
        "retry",
        &[
            ("hookmux retry last", "the newest call's hooks again, with the same input"),
            ("hookmux retry 5MYQ7E --hook 10-net", "one hook of a call"),
        ],
    ),
    (
        "new",
        &[
            ("hookmux new before_vm_start 10-hello", "a script at an event"),
            ("hookmux new after_vm_stop 50-report --language python", "one in Python"),
            (
                "hookmux new before_vm_prepare hugepages --undo",
                "with a registration, and a way to take back what it sets up",
            ),
            ("hookmux new after_network_start dns --registered --dry-run", "what would be made"),
        ],
    ),
    (
        "add",
        &[
            (
                "hookmux add script /usr/local/sbin/guard --event before_vm_start --name guard",
                "a script at an event",
            ),
            (
                "hookmux add script /usr/local/sbin/dns --event after_vm_start --mode detached",
                "one for which libvirt doesn't wait",
            ),
            ("hookmux add contrib/port-forward", "a ready-made hook"),
            ("hookmux add guard.yaml --dry-run", "what a registration would be"),
        ],
    ),
    ("import", &[("hookmux import opennebula vm_done.tmpl", "what `onehook create` takes")]),
    (
        "delete",
        &[
            ("hookmux delete guard", "one registration"),
            ("hookmux delete script /usr/local/sbin/guard", "all of a script"),
        ],
    ),
    (
        "edit",
        &[
            ("hookmux edit guard", "a registration, checked before it takes effect"),
            ("hookmux edit --settings", "hookmux.yaml"),
        ],
    ),
    ("export", &[("hookmux export /root/hooks", "write all registrations into a directory")]),
    ("enable", &[("hookmux enable guard", "let it run again")]),
    ("disable", &[("hookmux disable guard --reason 'ticket 4711'", "keep it from running")]),
    ("stop", &[("hookmux stop 5MYQ7E", "end a call that is running")]),
    (
        "queue",
        &[
            ("hookmux queue", "what waits"),
            ("hookmux queue --requeue guard", "try again what was given up"),
        ],
    ),
    (
        "undo",
        &[
            ("hookmux undo --list", "what hooks still have to take back"),
            ("hookmux undo --guest web1", "take it back for a guest"),
        ],
    ),
    (
        "bypass",
        &[
            ("hookmux bypass on --for 1h --reason 'ticket 4711'", "run no hooks for an hour"),
            ("hookmux bypass on --guest web1 --for 30m", "for one guest"),
            ("hookmux bypass off", "run hooks again"),
        ],
    ),
    (
        "install",
        &[
            ("hookmux install --dry-run", "what would be done"),
            ("hookmux install --reload", "do it, and wait until the daemons have looked"),
            ("hookmux install --driver qemu --adopt", "keep the script that is there as a hook"),
        ],
    ),
    ("uninstall", &[("hookmux uninstall", "put back what was there before")]),
    ("prune", &[("hookmux prune", "move and remove records now")]),
    ("demo", &[("hookmux demo", "a guest's whole life, without root and libvirt")]),
    (
        "metrics",
        &[(
            "hookmux metrics --write /var/lib/node_exporter/hookmux.prom",
            "counters for Prometheus, in a file",
        )],
    ),
    ("schema", &[("hookmux schema", "of a registration"), ("hookmux schema log", "of an output")]),
    (
        "completions",
        &[("hookmux completions bash > /etc/bash_completion.d/hookmux", "for every user's bash")],
    ),
    ("man", &[("hookmux man /usr/local/share/man", "write all pages below a directory")]),
];

/// Returns the definition of the command line with groups and examples.
pub(crate) fn command() -> clap::Command {
    let mut command = Arguments::command();
    for (name, examples) in EXAMPLES.iter().filter(|(name, _)| !name.is_empty()) {
        command = command.mut_subcommand(name, |sub| sub.after_help(text(examples)));
    }
    let groups = groups(&command);
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}"
    );
    command.help_template(template).after_help(text(EXAMPLES[0].1))
}

fn groups(command: &clap::Command) -> String {
    let names = GROUPS.iter().flat_map(|(_, names)| names.iter());
    let width = names.map(|name| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (title, names) in GROUPS {
        // writing to a string can't fail
        let _ = writeln!(text, "{title}:");
        for name in *names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about =
                about.map_or_else(|| "Show the help of a command".to_owned(), StyledStr::to_string);
            let _ = writeln!(text, "  {name:<width$}  {about}");
        }
        text.push('\n');
    }
    text
}

fn text(examples: &[(&str, &str)]) -> String {
    let mut text = "Examples:".to_owned();
    for (line, what) in examples {
        let _ = write!(text, "\n  {line}\n      {what}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn every_command_is_in_one_group_and_has_an_example() {
        let command = Arguments::command();
        let shown: BTreeSet<&str> = command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        grouped.retain(|name| *name != "help");
        assert_eq!(grouped.iter().copied().collect::<BTreeSet<_>>(), shown);
        assert_eq!(grouped.len(), shown.len(), "none is in two groups");
        for name in shown {
            let has = EXAMPLES.iter().any(|(command, _)| *command == name);
            assert!(has || ["xml", "fullhelp"].contains(&name), "{name} has no example");
        }
    }

    #[test]
    fn every_example_is_understood() {
        for (line, _) in EXAMPLES.iter().flat_map(|(_, examples)| *examples) {
            let line = line.rsplit('|').next().unwrap_or_default();
            let line = line.split(" > ").next().unwrap_or_default();
            let words = shlex::split(line.trim()).unwrap();
            let parsed = command().try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }

    /// The text of a page, without its blocks.
    fn prose(page: &str) -> String {
        let mut is_code = false;
        let lines = page.lines().filter(|line| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            !is_code && !is_fence
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Blocks are run by tests/pages.rs; this is about what stands between backquotes.
    #[test]
    fn every_command_in_the_text_of_a_page_is_understood() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        let docs = docs.filter(|path| path.extension().is_some_and(|it| it == "md"));
        let pages = docs.chain([root.join("README.md"), root.join("SECURITY.md")]);
        let (mut seen, mut wrong) = (0, Vec::new());
        for page in pages {
            let text = prose(&fs::read_to_string(&page).unwrap());
            for span in text.split('`').skip(1).step_by(2) {
                let span = span.strip_prefix("sudo ").unwrap_or(span);
                // a choice, a redirection, a part left out, several commands
                let is_plain = !span.contains(['[', '|', '<', '>', '…', '&']);
                // `help --all` is answered before anything is parsed
                if !span.starts_with("hookmux ") || !is_plain || span == "hookmux help --all" {
                    continue;
                }
                seen += 1;
                let words = shlex::split(span).unwrap_or_default();
                let words = words.iter().map(|word| match word.as_str() {
                    "COMMAND" | "OUTPUT" => "list",
                    "D" => "qemu",
                    "SHELL" => "bash",
                    "VERSION" => "0.1.0",
                    word => word,
                });
                let is_wrong = command().try_get_matches_from(words).is_err_and(|error| {
                    // the bare name of a command is no mistake
                    !matches!(
                        error.kind(),
                        ErrorKind::DisplayHelp
                            | ErrorKind::DisplayVersion
                            | ErrorKind::MissingRequiredArgument
                            | ErrorKind::MissingSubcommand
                            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                    )
                });
                if is_wrong {
                    wrong.push(format!("{}: {span}", page.display()));
                }
            }
        }
        assert!(seen > 200, "only {seen} commands were found");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn help_has_groups_and_examples() {
        let help = command().render_help().to_string();
        assert!(help.contains("Look:\n  status ") && help.contains("Examples:"), "{help}");
        assert!(!help.contains("worker"), "{help}");
    }
}
