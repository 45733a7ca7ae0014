//! `hookmux install` and `uninstall`: links in the hooks directory, never over a foreign file, and
//! the way back to the byte.
//!
//! libvirt runs nothing, silently, where a link leads nowhere or a name is missing for a moment:
//! so names are only ever replaced by rename.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::args::{Format, InstallArgs, UninstallArgs};
use super::installed::{self, BESIDE, Installed, Main};
use super::output::{Output, Tone};
use super::{End, Place, reload, vfio_helper};
use crate::command::Fix;
use crate::hook::{adopted, directory};
use crate::libvirt::Driver;
use crate::mend::{Ground, Subject};
use crate::trust::Trust;

/// Those that `install` makes links for where none is named. libxl and bhyve hosts name theirs.
const USUAL: [Driver; 4] = [Driver::Daemon, Driver::Qemu, Driver::Lxc, Driver::Network];

/// One thing that was done, or found done already.
struct Step {
    driver: Driver,
    path: PathBuf,
    action: &'static str,
    words: String,
}

#[derive(Default)]
struct Report {
    steps: Vec<Step>,
    notes: Vec<String>,
    problems: Vec<String>,
}

impl Report {
    fn did(&mut self, driver: Driver, path: &Path, action: &'static str, words: String) {
        self.steps.push(Step { driver, path: path.to_path_buf(), action, words });
    }

    fn has_changed(&self) -> bool {
        self.steps.iter().any(|step| step.action != "none")
    }

    fn show(self, format: Format, output: &mut Output) -> End {
        let end = if self.problems.is_empty() { End::Good } else { End::Problem };
        let reload = if self.has_changed() { reload::commands() } else { Vec::new() };
        if format == Format::Json {
            let links: Vec<Value> = self
                .steps
                .iter()
                .map(|step| {
                    json!({
                        "driver": step.driver.name(),
                        "path": step.path.to_string_lossy(),
                        "action": step.action,
                        "message": step.words,
                    })
                })
                .collect();
            output.json(&json!({ "links": links, "notes": self.notes, "problems": self.problems, "reload": reload }));
            return end;
        }
        for step in &self.steps {
            output.line(&format!("{}: {}", step.path.display(), step.words));
        }
        for problem in &self.problems {
            output.complain(problem);
        }
        for note in &self.notes {
            output.lines(Tone::Careful, note);
        }
        if self.has_changed() {
            for line in reload::advice() {
                output.line(&line);
            }
        }
        end
    }
}

pub fn install(place: &Place, arguments: &InstallArgs, output: &mut Output) -> anyhow::Result<End> {
    let hooks_dir = &place.surroundings.hooks_dir;
    let binary = env::current_exe().context("hookmux's own file can't be found")?;
    let drivers =
        if arguments.driver.is_empty() { USUAL.to_vec() } else { arguments.driver.clone() };
    make_directory(hooks_dir)?;
    let mut report = Report::default();
    // all are looked at before anything is changed
    let places: Vec<Installed> =
        drivers.iter().map(|driver| installed::look(hooks_dir, *driver, &binary)).collect();
    for installed in &places {
        report.problems.extend(obstacle(installed, arguments));
    }
    if !report.problems.is_empty() {
        report.problems.push("nothing was changed".to_owned());
        return Ok(report.show(arguments.output, output));
    }
    for installed in &places {
        if arguments.beside {
            install_beside(hooks_dir, installed, &binary, &mut report)?;
        } else {
            install_main(hooks_dir, installed, &binary, &mut report)?;
        }
    }
    notes(place, &places, &binary, &mut report);
    Ok(report.show(arguments.output, output))
}

/// Why this driver can't be installed as asked.
fn obstacle(installed: &Installed, arguments: &InstallArgs) -> Option<String> {
    let path = installed.path.display();
    match (&installed.main, arguments.beside) {
        (Main::NoFile, _) => Some(format!("{path} is neither a file nor a link: move it away")),
        (Main::Ours(_) | Main::OursDangling(_), true) => {
            Some(format!("{path} is hookmux already: beside itself it would answer twice"))
        }
        (_, true) => {
            let place =
                installed.path.with_file_name(format!("{}.d", installed.driver)).join(BESIDE);
            let is_taken = installed.beside.is_none() && place.symlink_metadata().is_ok();
            is_taken.then(|| format!("{} is somebody else's: move it away", place.display()))
        }
        (_, false) if installed.beside.is_some() => Some(format!(
            "hookmux is called beside {path} already; `{}` first",
            Fix::hookmux(
                installed.path.parent().unwrap_or(Path::new("/")),
                &["uninstall", "--driver", installed.driver.name()]
            )
        )),
        (Main::Foreign, false) if !arguments.adopt => Some(format!(
            "{path} is somebody else's; --adopt keeps it as a hook of hookmux's, --beside leaves it libvirt's main script"
        )),
        (Main::Foreign, false) => {
            installed.adopted.as_ref().or(installed.retired.as_ref()).map(|kept| {
                format!(
                    "{} is an earlier script of this driver: move it away first",
                    kept.display()
                )
            })
        }
        _ => None,
    }
}

fn install_main(
    hooks_dir: &Path,
    installed: &Installed,
    binary: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (driver, path) = (installed.driver, &installed.path);
    match &installed.main {
        Main::Ours(_) => {
            report.did(driver, path, "none", "is hookmux already".to_owned());
        }
        Main::Nobody => {
            symlink(binary, path).with_context(|| format!("{} can't be made", path.display()))?;
            report.did(driver, path, "linked", format!("linked to {}", binary.display()));
        }
        Main::OursDangling(old) => {
            replace_by_link(path, binary)?;
            report.did(
                driver,
                path,
                "linked",
                format!(
                    "linked to {}; it led to {}, which is not there",
                    binary.display(),
                    old.display()
                ),
            );
        }
        Main::Foreign => {
            let is_helper = fs::read(path).is_ok_and(|text| vfio_helper::is_one(&text));
            let keep = if is_helper {
                installed::retired(hooks_dir, driver)
            } else {
                adopted::place(hooks_dir, driver)
            };
            // a second name first: at no moment does libvirt find neither
            fs::hard_link(path, &keep).with_context(|| {
                format!("{} can't be kept as {}", path.display(), keep.display())
            })?;
            if let Err(error) = replace_by_link(path, binary) {
                let _ = fs::remove_file(&keep);
                return Err(error);
            }
            if is_helper {
                report.did(driver, path, "retired", format!(
                    "linked to {}; the VFIO helper that was here is kept as {}, and its tree {driver}.d/ is run by hookmux",
                    binary.display(),
                    keep.display()
                ));
            } else {
                report.did(
                    driver,
                    path,
                    "adopted",
                    format!(
                        "linked to {}; the script that was here is {}, and is called as before",
                        binary.display(),
                        keep.display()
                    ),
                );
            }
        }
        Main::NoFile => bail!("{} is neither a file nor a link", path.display()),
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
    replace_by_link(&path, binary)?;
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

fn notes(place: &Place, places: &[Installed], binary: &Path, report: &mut Report) {
    if places.iter().any(|installed| installed.driver == Driver::Network) {
        report.notes.push("libvirt marks every network that has a hook as tainted (hook-script): that is a mark, and changes nothing.".to_owned());
    }
    for loose in places.iter().flat_map(|installed| &installed.loose) {
        report.notes.push(format!("{} is run by libvirt itself, at every call and without a limit: move it into an event's directory.", loose.display()));
    }
    let mut trust = Trust::new(place.surroundings.user);
    if let Err(refusal) = trust.file(binary) {
        report.notes.push(format!("{refusal}: who can change that can change what libvirt runs. Install hookmux in /usr/sbin."));
    } else if !["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|dir| binary.parent() == Some(Path::new(dir)))
    {
        report.notes.push(format!(
            "{} is outside of /usr/sbin and /usr/bin: where AppArmor confines libvirt, it may not run it.",
            binary.display()
        ));
    }
    for step in report.steps.iter().filter(|step| step.action == "adopted") {
        let script = adopted::place(&place.surroundings.hooks_dir, step.driver);
        let state = directory::state(&script);
        if let Some(reason) = state.reason() {
            report
                .notes
                .push(format!("{} didn't run before, and doesn't now: {reason}", script.display()));
            continue;
        }
        report.notes.push(format!(
            "Its `$0` is {} now: a script that looks at its own name has to know that.",
            script.display()
        ));
        if let Err(refusal) = trust.file(&script) {
            let hooks_dir = &place.surroundings.hooks_dir;
            let fix = Ground::of_hooks_dir(hooks_dir, place.surroundings.user)
                .fix(&[Subject::at(&script)]);
            let fix = fix.map(|fix| format!(": {}", fix.text)).unwrap_or_default();
            report.notes.push(format!(
                "{} will be refused, and count as failed: {refusal}{fix}",
                script.display()
            ));
        }
    }
}

pub fn uninstall(
    place: &Place,
    arguments: &UninstallArgs,
    output: &mut Output,
) -> anyhow::Result<End> {
    let hooks_dir = &place.surroundings.hooks_dir;
    let binary = env::current_exe().context("hookmux's own file can't be found")?;
    let drivers =
        if arguments.driver.is_empty() { Driver::ALL.to_vec() } else { arguments.driver.clone() };
    let mut report = Report::default();
    for driver in drivers {
        let installed = installed::look(hooks_dir, driver, &binary);
        if let Some(beside) = &installed.beside {
            fs::remove_file(beside)
                .with_context(|| format!("{} can't be removed", beside.display()))?;
            report.did(driver, beside, "removed", "removed".to_owned());
            // the directory, where nothing else is in it
            let _ = beside.parent().map(fs::remove_dir);
        }
        uninstall_main(&installed, &mut report)?;
    }
    if report.steps.is_empty() && report.problems.is_empty() {
        report.notes.push(format!("hookmux is not installed in {}.", hooks_dir.display()));
    } else if report.has_changed() {
        report.notes.push("Event directories and settings were left as they are.".to_owned());
    }
    Ok(report.show(arguments.output, output))
}

fn uninstall_main(installed: &Installed, report: &mut Report) -> anyhow::Result<()> {
    let (driver, path) = (installed.driver, &installed.path);
    let kept = installed.adopted.as_ref().or(installed.retired.as_ref());
    match (&installed.main, kept) {
        (Main::Ours(_) | Main::OursDangling(_) | Main::Nobody, Some(kept)) => {
            fs::rename(kept, path)
                .with_context(|| format!("{} can't be put back", kept.display()))?;
            report.did(
                driver,
                path,
                "restored",
                format!("is the script again that was kept as {}", kept.display()),
            );
        }
        (Main::Ours(_) | Main::OursDangling(_), None) => {
            fs::remove_file(path)
                .with_context(|| format!("{} can't be removed", path.display()))?;
            report.did(driver, path, "removed", "removed".to_owned());
        }
        (Main::Foreign | Main::NoFile, Some(kept)) => {
            report.problems.push(format!(
                "{} is somebody else's by now, so {} was not put back: decide which of them is right",
                path.display(),
                kept.display()
            ));
        }
        (Main::Foreign | Main::NoFile | Main::Nobody, None) => {}
    }
    Ok(())
}

/// A link under a name of its own, then renamed: libvirt finds the old one or the new one.
fn replace_by_link(path: &Path, target: &Path) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let replaced = symlink(target, &temporary).and_then(|()| fs::rename(&temporary, path));
    replaced
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .with_context(|| format!("{} can't be made", path.display()))
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    match fs::DirBuilder::new().recursive(true).mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("{} can't be made", path.display()))
        }
        _ => Ok(()),
    }
}
