//! `hookmux` without arguments: what is installed, and what to do next.

use super::installed::{self, DriverEntry};
use crate::cli::inventory::Inventory;
use crate::cli::inventory::listed::{self, HookState};
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::{CommandEnd, CommandPlace, rights};

pub(crate) fn run(place: &CommandPlace, output: &mut Output) -> anyhow::Result<CommandEnd> {
    let hooks_dir = &place.surroundings.hooks_dir;
    // before the first line is printed, so that no answer is only half printed
    let loaded = place.load(output);
    rights::must_read_hooks(&loaded.settings)?;
    let hooks = listed::all(Inventory::look(&loaded.settings, place.surroundings.user))?;
    output.toned(
        Tone::Bold,
        &format!("hookmux {} in {}", env!("CARGO_PKG_VERSION"), hooks_dir.display()),
    );
    output.line("");
    let all = installed::all(hooks_dir);
    let mut is_installed = false;
    let mut is_taken = false;
    let rows: Vec<Vec<Cell>> = all
        .iter()
        .map(|installed| {
            let (word, tone) = match &installed.main {
                DriverEntry::Ours(target) => {
                    (format!("hookmux ({})", target.display()), Tone::Good)
                }
                DriverEntry::Dangling(target) => (
                    format!(
                        "a link to {}, which is not there: libvirt runs nothing",
                        target.display()
                    ),
                    Tone::Bad,
                ),
                DriverEntry::Foreign if installed.overwriting_program().is_some() => {
                    ("a program that somebody wrote over hookmux".to_owned(), Tone::Bad)
                }
                DriverEntry::Foreign => ("somebody else's script".to_owned(), Tone::Warning),
                DriverEntry::NotAFile => ("neither a file nor a link".to_owned(), Tone::Bad),
                DriverEntry::Missing => ("nothing".to_owned(), Tone::Dim),
            };
            is_installed |=
                matches!(installed.main, DriverEntry::Ours(_)) || installed.beside.is_some();
            is_taken |= installed.main == DriverEntry::Foreign && installed.beside.is_none();
            let beside = installed.beside.as_ref().map(|_| "hookmux is called beside it");
            let adopted = installed.adopted.as_ref().map(|_| "a script was adopted");
            let retired = installed.retired.as_ref().map(|_| "a script was retired");
            let more =
                [beside, adopted, retired].into_iter().flatten().collect::<Vec<_>>().join(", ");
            vec![installed.driver.name().into(), Cell(word, tone), more.into()]
        })
        .collect();
    output.table(&["DRIVER", "LIBVIRT RUNS", ""], &rows);
    let active = hooks.iter().filter(|hook| hook.state == HookState::Active).count();
    let refused = hooks.iter().filter(|hook| hook.state.should_run()).count();
    output.line("");
    output.line(&format!(
        "{active} {}{}.",
        if active == 1 { "hook runs" } else { "hooks run" },
        if refused > 0 {
            format!(", {refused} don't, though they look as if they should: see `hookmux list`")
        } else {
            String::new()
        }
    ));
    for installed in &all {
        for loose in &installed.loose {
            output.toned(
                Tone::Warning,
                &format!(
                    "{} is run by libvirt itself, at every call and without a limit.",
                    loose.display()
                ),
            );
        }
    }
    output.line("");
    output.line("Next:");
    if !is_installed {
        output.line("  hookmux install           make hookmux libvirt's hook program");
    }
    if is_taken {
        output.line("  hookmux install --adopt   and keep the scripts that are there as hooks");
    }
    if active == 0 {
        output.line(&format!(
            "  mkdir {}/before_vm_start   and put an executable in",
            hooks_dir.display()
        ));
    } else {
        output.line("  hookmux list              the hooks, in their order");
    }
    output.line("  hookmux check             what is wrong, and how to correct it");
    output.line("  hookmux events            the events at which hooks can run");
    output.line("  hookmux plan qemu GUEST prepare   what a start would run");
    output.line("  hookmux help              all commands");
    Ok(CommandEnd::Good)
}
