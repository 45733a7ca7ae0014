//! `hookmux install`: links in the hooks directory, never over a foreign file.
//!
//! libvirt runs nothing, silently, where a link leads nowhere or a name is missing for a moment:
//! so names are only ever replaced by rename.

pub mod adoption;
pub mod copies;
pub mod daemons;
pub mod entries;
pub mod installed;
pub mod kept;
pub mod libvirt_version;
pub mod overview;
pub mod own_name;
pub mod purge;
pub mod reload;
mod report;
mod uninstall;
pub mod vfio_helper;

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use super::args::{InstallArgs, ReloadArgs};
use super::output::Output;
use super::remark::Remark;
use super::{End, Place};
use crate::command::Fix;
use crate::config::Surroundings;
use crate::hook::adopted;
use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::libvirt::{Driver, program};
use crate::machine::own_binary;
use crate::mend::{Ground, Subject};
use crate::search::directory;
use crate::trust::Trust;
use anyhow::{Context, bail};
use installed::{BESIDE, Installed, Main};
use report::Report;
pub use uninstall::uninstall;

/// Those that `install` makes links for where none is named. libxl and bhyve hosts name theirs.
const USUAL: [Driver; 4] = [Driver::Daemon, Driver::Qemu, Driver::Lxc, Driver::Network];

/// Where entries lead.
struct Site {
    hooks_dir: PathBuf,
    /// The program that is being run; `/usr/sbin/hookmux` where that leads to it.
    binary: PathBuf,
    /// Whether each driver has a copy of its own.
    has_copies: bool,
    /// Whether the VFIO helper goes on running its own tree.
    keeps_helper: bool,
}

impl Site {
    fn new(hooks_dir: &Path) -> anyhow::Result<Site> {
        let binary = env::current_exe().context("hookmux's own file can't be found")?;
        let is_source = copies::is_source(&binary);
        Ok(Site {
            hooks_dir: hooks_dir.to_path_buf(),
            has_copies: is_source && copies::are_for(hooks_dir),
            keeps_helper: false,
            binary: if is_source { PathBuf::from(program::PATH) } else { binary },
        })
    }

    /// Makes or renews the driver's copy, if it has one. Returns where its entry is to lead: where no
    /// copy can be made, to the program itself.
    fn target(&self, driver: Driver, report: &mut Report) -> PathBuf {
        if !self.has_copies {
            return self.binary.clone();
        }
        let copy = program::copy_of(driver);
        if own_binary::is_hookmux(&copy) && copies::is_current(&copy) {
            return copy;
        }
        match copies::make(driver) {
            Ok(()) => copy,
            Err(error) => {
                report.notes.push(format!(
                    "{} can't be made ({error}): the entry leads to {}, and who writes through it overwrites the program of all drivers.",
                    copy.display(),
                    self.binary.display()
                ).into());
                self.binary.clone()
            }
        }
    }
}

pub fn install(place: &Place, arguments: &InstallArgs, output: &mut Output) -> anyhow::Result<End> {
    let hooks_dir = &place.surroundings.hooks_dir;
    let mut site = Site::new(hooks_dir)?;
    if arguments.renew {
        return Ok(renew(&site, arguments, output));
    }
    site.has_copies &= !arguments.beside && !arguments.link;
    let drivers = if arguments.driver.is_empty() {
        usual(&site, arguments)
    } else {
        arguments.driver.clone()
    };
    arguments.reload.check()?;
    let mut report = Report::default();
    // all are looked at before anything is changed
    let places: Vec<Installed> =
        drivers.iter().map(|driver| installed::look(hooks_dir, *driver, &site.binary)).collect();
    for installed in &places {
        report.problems.extend(obstacle(&site, installed, arguments));
    }
    let adoption = adoption::look(place, arguments, &places, output);
    site.keeps_helper = adoption.keeps_helper;
    let told = if arguments.force { &mut report.notes } else { &mut report.problems };
    told.extend(adoption.problems);
    report.notes.extend(adoption.notes);
    if arguments.dry_run {
        for (driver, path, action, words) in adoption.would {
            report.did(driver, &path, action, words);
        }
        report.notes.push("nothing was changed: --dry-run".to_owned().into());
        return Ok(report.show(arguments.output, output));
    }
    if !report.problems.is_empty() {
        report.problems.push("nothing was changed".to_owned().into());
        return Ok(report.show(arguments.output, output));
    }
    make_directory(hooks_dir)?;
    for installed in &places {
        if arguments.beside {
            install_beside(hooks_dir, installed, &site.binary, &mut report)?;
        } else {
            install_main(&site, installed, &mut report)?;
        }
    }
    notes(place, &places, &site.binary, &mut report);
    tell_daemons(place, &drivers, "install", &arguments.reload, &mut report, output)?;
    Ok(report.show(arguments.output, output))
}

/// The drivers that are meant where none is named: the usual ones; and for `--link`, which is about
/// entries that are there, those.
fn usual(site: &Site, arguments: &InstallArgs) -> Vec<Driver> {
    let has_entry = |driver: &Driver| {
        let installed = installed::look(&site.hooks_dir, *driver, &site.binary);
        matches!(installed.main, Main::Ours(_) | Main::OursDangling(_))
    };
    if arguments.link && !arguments.adopt {
        return Driver::ALL.into_iter().filter(has_entry).collect();
    }
    USUAL.to_vec()
}

/// Renews the copies, and links the entries that lead to the shared program to copies. All else is
/// left as it is: what isn't hookmux's, entries in other places, drivers without an entry.
fn renew(site: &Site, arguments: &InstallArgs, output: &mut Output) -> End {
    let mut report = Report::default();
    if !site.has_copies {
        report.notes.push(format!(
            "There is nothing to renew: copies are kept for the entries in {DEFAULT_HOOKS_DIR}, and made of {}.",
            program::PATH
        ).into());
        return report.show(arguments.output, output);
    }
    let drivers =
        if arguments.driver.is_empty() { Driver::ALL.to_vec() } else { arguments.driver.clone() };
    for driver in drivers {
        let installed = installed::look(&site.hooks_dir, driver, &site.binary);
        if let Err(error) = renew_one(site, &installed, &mut report) {
            report.problems.push(format!("{error:#}").into());
        }
    }
    report.show(arguments.output, output)
}

fn renew_one(site: &Site, installed: &Installed, report: &mut Report) -> anyhow::Result<()> {
    let (driver, path) = (installed.driver, &installed.path);
    let copy = program::copy_of(driver);
    if let Some(script) = installed.overwritten_by() {
        let fix = entries::way_out(&site.hooks_dir, driver);
        let told = entries::words(installed, script);
        let words = format!("{told}; it is left as it is: `{fix}` makes both run.");
        report.notes.push(Remark::with(words, fix));
        return Ok(());
    }
    let is_lost = matches!(&installed.main, Main::OursDangling(target)
        if *target == copy || target == Path::new(program::PATH));
    let is_ours = matches!(installed.main, Main::Ours(_));
    if is_ours && installed.leads_to_copy() {
        if copies::is_current(&copy) {
            report.did(driver, &copy, "none", "is of this version already".to_owned());
        } else {
            copies::make(driver).with_context(|| format!("{} can't be renewed", copy.display()))?;
            report.did(driver, &copy, "renewed", "renewed".to_owned());
        }
    } else if is_lost || (is_ours && copies::is_shared(&site.hooks_dir, path)) {
        if installed.copy.as_ref().is_some_and(|copy| !copy.is_ours) {
            report.notes.push(
                format!("{} is somebody else's, and is left as it is.", copy.display()).into(),
            );
            return Ok(());
        }
        relink(site, installed, report)?;
    }
    Ok(())
}

/// Links an entry that is hookmux's already to where it is to lead.
fn relink(site: &Site, installed: &Installed, report: &mut Report) -> anyhow::Result<()> {
    let (driver, path) = (installed.driver, &installed.path);
    let target = site.target(driver, report);
    if fs::read_link(path).is_ok_and(|old| old == target) {
        let action = if installed.copy.is_none() { "relinked" } else { "none" };
        let words = if installed.copy.is_none() {
            format!("leads to a new {}", target.display())
        } else {
            "is hookmux already".to_owned()
        };
        report.did(driver, path, action, words);
        return Ok(());
    }
    link(path, &target)?;
    report.did(driver, path, "relinked", format!("linked to {}", target.display()));
    Ok(())
}

fn link(path: &Path, target: &Path) -> anyhow::Result<()> {
    copies::replace_by_link(path, target)
        .with_context(|| format!("{} can't be made", path.display()))
}

/// The command that takes one driver's entry away.
fn uninstall_one(site: &Site, driver: Driver) -> Fix {
    Fix::hookmux(&site.hooks_dir, &["uninstall", "--driver", driver.name()])
}

/// Why this driver can't be installed as asked.
fn obstacle(site: &Site, installed: &Installed, arguments: &InstallArgs) -> Option<Remark> {
    let path = installed.path.display();
    match (&installed.main, arguments.beside) {
        (Main::NoFile, _) => {
            Some(format!("{path} is neither a file nor a link: move it away").into())
        }
        (Main::Ours(_) | Main::OursDangling(_), true) => {
            Some(format!("{path} is hookmux already: beside itself it would answer twice").into())
        }
        (Main::Foreign, true) if installed.leads_to_copy() => {
            let fix = entries::way_out(&site.hooks_dir, installed.driver);
            let words = format!(
                "{path} leads to a program that was written over hookmux: `{fix}` keeps it, and so does `{}`",
                uninstall_one(site, installed.driver)
            );
            Some(Remark::with(words, fix))
        }
        (_, true) => {
            let place =
                installed.path.with_file_name(format!("{}.d", installed.driver)).join(BESIDE);
            let is_taken = installed.beside.is_none() && place.symlink_metadata().is_ok();
            is_taken.then(|| format!("{} is somebody else's: move it away", place.display()).into())
        }
        (_, false) if installed.beside.is_some() => {
            let fix = uninstall_one(site, installed.driver);
            let words = format!("hookmux is called beside {path} already; `{fix}` first");
            Some(Remark::with(words, fix))
        }
        (Main::Foreign, false) if !arguments.adopt && installed.overwritten_by().is_some() => {
            installed.overwritten_by().map(|script| {
                let words = format!(
                    "{}; --adopt keeps that program as a hook, and `{}` leaves it libvirt's",
                    entries::words(installed, script),
                    uninstall_one(site, installed.driver)
                );
                Remark::with(words, entries::way_out(&site.hooks_dir, installed.driver))
            })
        }
        (Main::Foreign, false) if !arguments.adopt => {
            let words = format!(
                "{path} is somebody else's; --adopt keeps it as a hook of hookmux's, --beside leaves it libvirt's main script"
            );
            Some(Remark::with(words, entries::way_out(&site.hooks_dir, installed.driver)))
        }
        (_, false) => {
            let copy = installed.copy.as_ref().filter(|copy| !copy.is_ours);
            copy.filter(|_| site.has_copies && !installed.leads_to_copy()).map(|copy| {
                format!("{} is somebody else's: move it away", copy.path.display()).into()
            })
        }
    }
}

fn install_main(site: &Site, installed: &Installed, report: &mut Report) -> anyhow::Result<()> {
    let (driver, path) = (installed.driver, &installed.path);
    match &installed.main {
        Main::Ours(_) => {
            let is_shared = copies::is_shared(&site.hooks_dir, path);
            if site.has_copies && installed.leads_to_copy() {
                return renew_one(site, installed, report);
            }
            if site.has_copies && is_shared {
                return relink(site, installed, report);
            }
            if !site.has_copies && installed.leads_to_copy() && copies::is_source_there() {
                link(path, Path::new(program::PATH))?;
                report.did(driver, path, "relinked", format!("linked to {}", program::PATH));
                return remove_copy(installed, report);
            }
            report.did(driver, path, "none", "is hookmux already".to_owned());
        }
        Main::Nobody => {
            let target = site.target(driver, report);
            symlink(&target, path).with_context(|| format!("{} can't be made", path.display()))?;
            report.did(driver, path, "linked", format!("linked to {}", target.display()));
        }
        Main::OursDangling(old) => {
            let target = site.target(driver, report);
            link(path, &target)?;
            report.did(
                driver,
                path,
                "linked",
                format!(
                    "linked to {}; it led to {}, which is not there",
                    target.display(),
                    old.display()
                ),
            );
        }
        Main::Foreign => adopt(site, installed, report)?,
        Main::NoFile => bail!("{} is neither a file nor a link", path.display()),
    }
    Ok(())
}

/// Makes a script that is there a hook of hookmux's, wherever it was written.
fn adopt(site: &Site, installed: &Installed, report: &mut Report) -> anyhow::Result<()> {
    let (driver, path) = (installed.driver, &installed.path);
    // the copy itself, where somebody wrote through the link to it
    let written_to = installed.copy.as_ref().filter(|_| installed.leads_to_copy());
    let script = written_to.map_or(path, |copy| &copy.path);
    let is_helper = !site.keeps_helper && adoption::is_helper(script);
    let keep = if is_helper {
        installed::retired(&site.hooks_dir, driver)
    } else {
        adopted::place(&site.hooks_dir, driver)
    };
    let earlier = kept::make_room(&site.hooks_dir, installed, script)
        .with_context(|| format!("the earlier scripts of {driver} can't be moved away"))?;
    // a second name first: at no moment does libvirt find neither
    let kept = match written_to {
        Some(copy) => copies::duplicate(&copy.path, &keep),
        None => fs::hard_link(path, &keep),
    };
    let replaced = kept
        .with_context(|| format!("{} can't be kept as {}", script.display(), keep.display()))
        .and_then(|()| put_in_place(site, installed, report));
    let target = replaced.inspect_err(|_| {
        let _ = fs::remove_file(&keep);
        earlier.iter().for_each(kept::Earlier::undo);
    })?;
    for one in earlier {
        report.notes.push(
            format!("An earlier script is kept as {}, and isn't run.", one.to.display()).into(),
        );
    }
    let kept = keep.display();
    let (action, words) = if is_helper {
        (
            "retired",
            format!(
                "the VFIO helper that was here is kept as {kept}, and its tree {driver}.d/ is run by hookmux"
            ),
        )
    } else {
        ("adopted", format!("the script that was here is {kept}, and is called as before"))
    };
    report.did(driver, path, action, format!("linked to {}; {words}", target.display()));
    Ok(())
}

/// Puts hookmux where the script is that was kept. Returns where the entry leads.
fn put_in_place(
    site: &Site,
    installed: &Installed,
    report: &mut Report,
) -> anyhow::Result<PathBuf> {
    let target = site.target(installed.driver, report);
    let copy = installed.copy.as_ref().filter(|_| installed.leads_to_copy());
    if copy.is_none_or(|copy| copy.path != target) {
        link(&installed.path, &target)?;
        // the script runs from where it is kept
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

/// Removes the driver's copy, where it is hookmux's.
fn remove_copy(installed: &Installed, report: &mut Report) -> anyhow::Result<()> {
    let Some(copy) = &installed.copy else { return Ok(()) };
    if copy.is_ours {
        fs::remove_file(&copy.path)
            .with_context(|| format!("{} can't be removed", copy.path.display()))?;
        report.did(installed.driver, &copy.path, "removed", "removed".to_owned());
    } else {
        report.notes.push(format!("{} is somebody else's, and stays.", copy.path.display()).into());
    }
    Ok(())
}

fn install_beside(
    hooks_dir: &Path,
    installed: &Installed,
    binary: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    let driver = installed.driver;
    let directory = hooks_dir.join(format!("{driver}.d"));
    make_directory(&directory)?;
    let path = directory.join(BESIDE);
    if installed.beside.is_some() && path.exists() {
        report.did(driver, &path, "none", "is hookmux already".to_owned());
        return Ok(());
    }
    link(&path, binary)?;
    report.did(
        driver,
        &path,
        "linked",
        format!(
            "linked to {}; libvirt calls it after {}",
            binary.display(),
            installed.path.display()
        ),
    );
    Ok(())
}

/// Lets the daemons of these drivers look for their hook programs, where that is asked for, and finds
/// those that have to.
///
/// # Errors
/// hookmux's own file can't be found.
fn tell_daemons(
    place: &Place,
    drivers: &[Driver],
    word: &str,
    arguments: &ReloadArgs,
    report: &mut Report,
    output: &mut Output,
) -> anyhow::Result<()> {
    let Surroundings { hooks_dir, user, .. } = &place.surroundings;
    let daemons = |drivers: &[Driver]| reload::of_drivers(hooks_dir, *user, drivers);
    if !arguments.reload {
        report.daemons = daemons(&report.changed());
        return Ok(());
    }
    let settings = place.load(output).settings;
    let binary = env::current_exe().context("hookmux's own file can't be found")?;
    let entry = installed::look(hooks_dir, Driver::Daemon, &binary);
    let is_called = matches!(entry.main, Main::Ours(_)) || entry.beside.is_some();
    let leaves_notes = is_called && (*user == 0 || settings.session);
    let named = drivers.iter().flat_map(|driver| ["--driver", driver.name()]);
    let again: Vec<&str> = [word, "--reload"].into_iter().chain(named).collect();
    let site = reload::Site {
        notes: leaves_notes.then_some(&settings.runtime_dir),
        limit: arguments.reload_timeout,
        again: Fix::hookmux(hooks_dir, &again),
    };
    report.is_reloaded = true;
    report.told = reload::reload(daemons(drivers), &site);
    if report.told.is_empty() {
        report.notes.push(reload::NONE.to_owned().into());
    }
    let still = report.told.iter().filter(|told| !told.is_good());
    report.daemons = still.map(|told| told.daemon.clone()).collect();
    Ok(())
}

fn notes(place: &Place, places: &[Installed], binary: &Path, report: &mut Report) {
    if places.iter().any(|installed| installed.driver == Driver::Network) {
        report.notes.push("libvirt marks every network that has a hook as tainted (hook-script): that is a mark, and changes nothing.".to_owned().into());
    }
    for loose in places.iter().flat_map(|installed| &installed.loose) {
        report.notes.push(format!("{} is run by libvirt itself, at every call and without a limit: move it into an event's directory.", loose.display()).into());
    }
    let mut trust = Trust::new(place.surroundings.user);
    if let Err(refusal) = trust.file(binary) {
        report.notes.push(format!("{refusal}: who can change that can change what libvirt runs. Install hookmux in /usr/sbin.").into());
    } else if !["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|dir| binary.parent() == Some(Path::new(dir)))
    {
        report.notes.push(format!(
            "{} is outside of /usr/sbin and /usr/bin: where AppArmor confines libvirt, it may not run it.",
            binary.display()
        ).into());
    }
    for step in report.steps.iter().filter(|step| step.action == "adopted") {
        let Some(driver) = step.driver else { continue };
        let script = adopted::place(&place.surroundings.hooks_dir, driver);
        let state = directory::state(&script);
        if let Some(reason) = state.reason() {
            report.notes.push(
                format!("{} didn't run before, and doesn't now: {reason}", script.display()).into(),
            );
            continue;
        }
        report.notes.push(
            format!(
                "Its `$0` is {} now: a script that looks at its own name has to know that.",
                script.display()
            )
            .into(),
        );
        if let Err(refusal) = trust.file(&script) {
            let hooks_dir = &place.surroundings.hooks_dir;
            let fix = Ground::of_hooks_dir(hooks_dir, place.surroundings.user)
                .fix(&[Subject::at(&script)]);
            let words =
                format!("{} will be refused, and count as failed: {refusal}", script.display());
            report.notes.push(Remark::and(&words, fix));
        }
    }
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    match fs::DirBuilder::new().recursive(true).mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("{} can't be made", path.display()))
        }
        _ => Ok(()),
    }
}
