//! Puts hookmux under a driver's name, in place of what is there.
//!
//! libvirt silently runs nothing if a link leads nowhere or a name is missing, even for a moment. So names
//! are only replaced by rename.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::context::InstallContext;
use super::installed::{self, BESIDE_NAME, DriverEntry, Installed};
use super::report::InstallReport;
use super::{adoption, copies, entries, kept};
use crate::cli::json::install::LinkAction;
use crate::cli::remark::Remark;
use crate::hook::adopted;
use crate::libvirt::program;

/// Renews a driver's copy, and links the driver's entry to it if the entry leads to the shared program.
///
/// # Errors
/// The copy or the link can't be made.
pub(super) fn renew(
    context: &InstallContext,
    installed: &Installed,
    report: &mut InstallReport,
) -> anyhow::Result<()> {
    let (driver, path) = (installed.driver, &installed.path);
    let copy = program::copy_of(driver);
    if let Some(script) = installed.overwriting_program() {
        let fix = entries::adopt_command(&context.hooks_dir, driver);
        let description = entries::describe(installed, script);
        let words = format!("{description}; it is left as it is: `{fix}` makes both run.");
        report.notes.push(Remark::with_fix(words, fix));
        return Ok(());
    }
    let is_lost = matches!(&installed.main, DriverEntry::Dangling(target)
        if *target == copy || target == Path::new(program::PROGRAM_PATH));
    let is_ours = matches!(installed.main, DriverEntry::Ours(_));
    if is_ours && installed.leads_to_copy() {
        if copies::is_current(&copy) {
            report.add(driver, &copy, LinkAction::None, "is of this version already".to_owned());
        } else {
            if !report.is_dry_run {
                copies::make(driver)
                    .with_context(|| format!("{} can't be renewed", copy.display()))?;
            }
            report.add(driver, &copy, LinkAction::Renewed, "renewed".to_owned());
        }
    } else if is_lost || (is_ours && copies::is_shared(&context.hooks_dir, path)) {
        if installed.copy.as_ref().is_some_and(|copy| !copy.is_ours) {
            report.notes.push(
                format!("{} is somebody else's, and is left as it is.", copy.display()).into(),
            );
            return Ok(());
        }
        relink(context, installed, report)?;
    }
    Ok(())
}

/// Links an entry that is hookmux already to the program that it should lead to.
fn relink(
    context: &InstallContext,
    installed: &Installed,
    report: &mut InstallReport,
) -> anyhow::Result<()> {
    let (driver, path) = (installed.driver, &installed.path);
    let target = context.target(driver, report);
    if fs::read_link(path).is_ok_and(|old| old == target) {
        let action = if installed.copy.is_none() { LinkAction::Relinked } else { LinkAction::None };
        let words = if installed.copy.is_none() {
            format!("linked to a new {}", target.display())
        } else {
            "is hookmux already".to_owned()
        };
        report.add(driver, path, action, words);
        return Ok(());
    }
    link(path, &target, report)?;
    report.add(driver, path, LinkAction::Relinked, format!("linked to {}", target.display()));
    Ok(())
}

fn link(path: &Path, target: &Path, report: &InstallReport) -> anyhow::Result<()> {
    if report.is_dry_run {
        return Ok(());
    }
    copies::replace_by_link(path, target)
        .with_context(|| format!("{} can't be made", path.display()))
}

/// Makes hookmux the driver's entry; a script in its place is adopted.
///
/// # Errors
/// It can't be done; the entry is then as it was.
pub(super) fn main(
    context: &InstallContext,
    installed: &Installed,
    report: &mut InstallReport,
) -> anyhow::Result<()> {
    let (driver, path) = (installed.driver, &installed.path);
    match &installed.main {
        DriverEntry::Ours(_) => {
            let is_shared = copies::is_shared(&context.hooks_dir, path);
            if context.has_copies && installed.leads_to_copy() {
                return renew(context, installed, report);
            }
            if context.has_copies && is_shared {
                return relink(context, installed, report);
            }
            if !context.has_copies && installed.leads_to_copy() && copies::is_source_there() {
                link(path, Path::new(program::PROGRAM_PATH), report)?;
                report.add(
                    driver,
                    path,
                    LinkAction::Relinked,
                    format!("linked to {}", program::PROGRAM_PATH),
                );
                return remove_copy(installed, report);
            }
            report.add(driver, path, LinkAction::None, "is hookmux already".to_owned());
        }
        DriverEntry::Missing => {
            let target = context.target(driver, report);
            symlink(&target, path).with_context(|| format!("{} can't be made", path.display()))?;
            report.add(driver, path, LinkAction::Linked, format!("linked to {}", target.display()));
        }
        DriverEntry::Dangling(old) => {
            let target = context.target(driver, report);
            link(path, &target, report)?;
            report.add(
                driver,
                path,
                LinkAction::Linked,
                format!(
                    "linked to {}; it led to {}, which is not there",
                    target.display(),
                    old.display()
                ),
            );
        }
        DriverEntry::Foreign => adopt(context, installed, report)?,
        DriverEntry::NotAFile => bail!("{} is neither a file nor a link", path.display()),
    }
    Ok(())
}

/// Adopts a script: one in the entry's place, or one written to the copy through the entry.
fn adopt(
    context: &InstallContext,
    installed: &Installed,
    report: &mut InstallReport,
) -> anyhow::Result<()> {
    let (driver, path) = (installed.driver, &installed.path);
    // somebody wrote to the copy through the link
    let written_to = installed.copy.as_ref().filter(|_| installed.leads_to_copy());
    let script = written_to.map_or(path, |copy| &copy.path);
    let is_helper = !context.keeps_helper && adoption::is_helper(script);
    let keep = if is_helper {
        installed::retired(&context.hooks_dir, driver)
    } else {
        adopted::place(&context.hooks_dir, driver)
    };
    let earlier = kept::make_room(&context.hooks_dir, installed, script)
        .with_context(|| format!("the earlier scripts of {driver} can't be moved away"))?;
    // make the second name first, so that libvirt always finds one of them
    let kept = match written_to {
        Some(copy) => copies::duplicate(&copy.path, &keep),
        None => fs::hard_link(path, &keep),
    };
    let replaced = kept
        .with_context(|| format!("{} can't be kept as {}", script.display(), keep.display()))
        .and_then(|()| put_in_place(context, installed, report));
    let target = replaced.inspect_err(|_| {
        let _ = fs::remove_file(&keep);
        earlier.iter().for_each(kept::MovedScript::undo);
    })?;
    for one in earlier {
        report.notes.push(
            format!("An earlier script is kept as {}, and isn't run.", one.to.display()).into(),
        );
    }
    let kept = keep.display();
    let (action, words) = if is_helper {
        (
            LinkAction::Retired,
            format!(
                "the VFIO helper that was here is kept as {kept}, and its tree {driver}.d/ is run by hookmux"
            ),
        )
    } else {
        (
            LinkAction::Adopted,
            format!("the script that was here is {kept}, and is called as before"),
        )
    };
    report.add(driver, path, action, format!("linked to {}; {words}", target.display()));
    Ok(())
}

/// Puts hookmux in place of the script that was kept. Returns the target of the entry.
fn put_in_place(
    context: &InstallContext,
    installed: &Installed,
    report: &mut InstallReport,
) -> anyhow::Result<PathBuf> {
    let target = context.target(installed.driver, report);
    let copy = installed.copy.as_ref().filter(|_| installed.leads_to_copy());
    if copy.is_none_or(|copy| copy.path != target) {
        link(&installed.path, &target, report)?;
        // the script now runs from the place where it is kept
        let removed = copy.map(|copy| (&copy.path, fs::remove_file(&copy.path)));
        if let Some((path, Err(error))) = removed {
            report.notes.push(
                format!(
                    "{} can't be removed ({error}), and isn't called any more.",
                    path.display()
                )
                .into(),
            );
        }
    }
    Ok(target)
}

/// Removes the driver's copy if it is hookmux.
pub(super) fn remove_copy(installed: &Installed, report: &mut InstallReport) -> anyhow::Result<()> {
    let Some(copy) = &installed.copy else { return Ok(()) };
    if copy.is_ours {
        if !report.is_dry_run {
            fs::remove_file(&copy.path)
                .with_context(|| format!("{} can't be removed", copy.path.display()))?;
        }
        report.add(installed.driver, &copy.path, LinkAction::Removed, "removed".to_owned());
    } else {
        report.notes.push(format!("{} is somebody else's, and stays.", copy.path.display()).into());
    }
    Ok(())
}

/// Puts hookmux beside a main script, which libvirt goes on calling.
///
/// # Errors
/// It can't be done.
pub(super) fn beside(
    hooks_dir: &Path,
    installed: &Installed,
    binary: &Path,
    report: &mut InstallReport,
) -> anyhow::Result<()> {
    let driver = installed.driver;
    let directory = hooks_dir.join(format!("{driver}.d"));
    make_directory(&directory)?;
    let path = directory.join(BESIDE_NAME);
    if installed.beside.is_some() && path.exists() {
        report.add(driver, &path, LinkAction::None, "is hookmux already".to_owned());
        return Ok(());
    }
    link(&path, binary, report)?;
    report.add(
        driver,
        &path,
        LinkAction::Linked,
        format!(
            "linked to {}; libvirt calls it after {}",
            binary.display(),
            installed.path.display()
        ),
    );
    Ok(())
}

/// Makes a directory for hooks, where there is none.
///
/// # Errors
/// It can't be made.
pub(super) fn make_directory(path: &Path) -> anyhow::Result<()> {
    match fs::DirBuilder::new().recursive(true).mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("{} can't be made", path.display()))
        }
        _ => Ok(()),
    }
}
