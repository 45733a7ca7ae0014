//! A libvirt call that the command line describes, for `plan` and `run`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::class_words;
use crate::cli::CommandPlace;
use crate::cli::args::CallArgs;
use crate::cli::install::installed::{self, DriverEntry};
use crate::cli::output::{Output, Tone};
use crate::config::{LoadedSettings, Settings};
use crate::document::input;
use crate::event::Origin;
use crate::hook::candidates::{self, Candidates};
use crate::libvirt::document::MAX_DOCUMENT_BYTES;
use crate::libvirt::{Call, Document, Driver, operation};
use crate::machine::files;
use crate::memory;
use crate::memory::guest::Remembered;
use crate::occasion::Occasion;
use crate::trust::Trust;

/// A described call, with everything that it would find.
pub(crate) struct DescribedCall {
    pub call: Call,
    pub loaded: LoadedSettings,
    pub candidates: Candidates,
    pub document: Document,
    /// Where the document came from, for people.
    pub document_source: String,
}

/// Makes the call from the options, with what libvirt would pass.
///
/// # Errors
/// The document can't be read.
pub(crate) fn describe(
    place: &CommandPlace,
    arguments: &CallArgs,
    output: &mut Output,
) -> anyhow::Result<DescribedCall> {
    let sub = arguments.sub_operation.clone().unwrap_or_else(|| usual_sub_operation(arguments));
    let call = Call::new(
        arguments.driver,
        vec![arguments.object.clone(), arguments.operation.clone(), sub, arguments.extra.clone()],
    );
    let mut loaded = place.load(output);
    loaded.restrict_to_user(&place.surroundings);
    let beside = is_beside(place, arguments.driver);
    let candidates =
        candidates::find(&call, &loaded.settings, &Trust::new(place.surroundings.user), beside);
    let (document, document_source) = document(&call, &loaded.settings, arguments.xml.as_deref())?;
    Ok(DescribedCall { call, loaded, candidates, document, document_source })
}

fn usual_sub_operation(arguments: &CallArgs) -> OsString {
    operation::TABLE
        .iter()
        .find(|row| row.drivers.contains(&arguments.driver) && arguments.operation == row.name)
        .and_then(|row| row.sub)
        .unwrap_or("-")
        .into()
}

fn document(
    call: &Call,
    settings: &Settings,
    file: Option<&Path>,
) -> anyhow::Result<(Document, String)> {
    if let Some(file) = file {
        if file.as_os_str() == "-" {
            return Ok((input::read(), "standard input".to_owned()));
        }
        let bytes =
            input::read_file(file).with_context(|| format!("{} can't be read", file.display()))?;
        return Ok((Document::Whole(bytes), file.display().to_string()));
    }
    let none = (Document::Absent, "none; --xml FILE gives one".to_owned());
    let Some(path) = configuration_file(call, settings) else { return Ok(none) };
    Ok(match files::read_regular(&path, MAX_DOCUMENT_BYTES as u64) {
        Ok(bytes) => (
            Document::Whole(bytes),
            format!("{}, libvirt's configuration of the guest", path.display()),
        ),
        // something that isn't a regular file was meant to be used
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            (Document::Absent, format!("none: {} isn't read: {error}", path.display()))
        }
        Err(_) => none,
    })
}

/// Returns libvirt's file with a guest's configuration, which is beside its hooks directory.
fn configuration_file(call: &Call, settings: &Settings) -> Option<PathBuf> {
    let name = call.object().to_str().filter(|name| !name.is_empty() && !name.contains('/'))?;
    let directory = match call.driver {
        Driver::Qemu | Driver::Lxc | Driver::Libxl | Driver::Bhyve => call.driver.name(),
        Driver::Network | Driver::Daemon => return None,
    };
    Some(settings.hooks_dir.parent()?.join(directory).join(format!("{name}.xml")))
}

/// Returns the guest state that a call would find, or that an option gives.
pub(crate) fn remembered(occasion: &Occasion<'_>) -> Remembered {
    memory::preview(occasion.call, occasion.guest().as_ref(), occasion.mode.given_origin())
}

/// Why a session daemon has so few hooks.
pub(crate) const SESSION_NOTE: &str = "A user's own daemon has only the scripts that libvirt itself would call, because `session` is false in hookmux.yaml.";

/// Tells whether libvirt calls hookmux beside a main script. Then hookmux doesn't run what that script runs.
pub(crate) fn is_beside(place: &CommandPlace, driver: Driver) -> bool {
    let installed = installed::own(&place.surroundings.hooks_dir, driver);
    installed.beside.is_some() && !matches!(installed.main, DriverEntry::Ours(_))
}

/// Prints what the call is, and what comes with it.
pub(crate) fn head(
    call: &Call,
    settings: &Settings,
    origin: Origin,
    document: &str,
    output: &mut Output,
) {
    let words: Vec<_> = call.arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let meaning = class_words::meaning(call.class());
    let filter = if call.is_filter() { "; the document may be changed" } else { "" };
    output.toned(Tone::Bold, &format!("{} {}", call.driver, words.join(" ")));
    let limit = settings.total_timeout(call).as_secs();
    let class = call.class().name();
    let words = format!("  {class}: {meaning}{filter}; all hooks together have {limit} s");
    output.sentence(4, &words);
    if call.driver.is_guest() {
        output.sentence(4, &format!("  origin: {origin}; document: {document}"));
    }
}
