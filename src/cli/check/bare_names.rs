//! Finds custom properties that scripts read by their bare names but don't get, and names in
//! `custom_properties` that no hook gets.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::finding::{Code, Findings};
use super::survey::{ScriptPlace, Survey};
use super::{commands, content, variables};
use crate::cli::fixes;
use crate::cli::register::module;
use crate::config::Registration;
use crate::config::settings::FILE_NAME;
use crate::config::values::is_variable_name;
use crate::hook::HookSource;
use crate::hook::candidates::VDSM_ROOT;
use crate::libvirt::document::{self, MAX_DOCUMENT_BYTES};
use crate::libvirt::metadata::{self, Property};
use crate::machine::files;
use crate::record::history::History;
use crate::run::environment::BareNames;
use crate::run::launch;
use crate::run::steering::steers;
use crate::search::EntryState;

/// The properties that oVirt's own vdsm hooks read.
const VDSM_PROPERTIES: &[&str] = &[
    "checkimages",
    "cpuflags",
    "directlun",
    "extnet",
    "fileinject",
    "floppy",
    "hostusb",
    "hugepages",
    "ifacemacspoof",
    "isolatedprivatevlan",
    "localdisk",
    "macbind",
    "macspoof",
    "mdev_type",
    "nestedvt",
    "noipspoof",
    "numa",
    "pincpu",
    "promisc",
    "qemu_cmdline",
    "qos",
    "queues",
    "sap_agent",
    "scratchpad",
    "smartcard",
    "smbios",
    "sriov",
    "viodiskcache",
    "vmfex",
];

/// How many of the newest records, and of libvirt's own documents of guests, are read.
const MAX_RECORDS: usize = 50;
const MAX_DOCUMENTS: usize = 500;

/// A hook that reads variables that it doesn't get.
struct VariableReader {
    path: PathBuf,
    label: String,
    source: HookSource,
    names: BTreeSet<String>,
}

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    steering(survey, findings);
    let mut readers = readers(survey);
    readers.retain(|reader| !reader.names.is_empty());
    let is_vdsms = |name: &String| VDSM_PROPERTIES.contains(&name.as_str());
    let needs_documents =
        readers.iter().any(|reader| reader.names.iter().any(|name| !is_vdsms(name)));
    let known = if needs_documents { known_properties(survey) } else { BTreeSet::new() };
    for reader in &mut readers {
        reader.names.retain(|name| is_vdsms(name) || known.contains(name));
    }
    readers.retain(|reader| !reader.names.is_empty());
    let is_listable =
        |reader: &&VariableReader| !matches!(reader.source, HookSource::Tree | HookSource::Adopted);
    let all = readers.iter().filter(is_listable).flat_map(|reader| &reader.names).cloned();
    let line = line(survey, &all.collect());
    for reader in &readers {
        let first = reader.names.first().map_or("", String::as_str);
        let names: Vec<String> = reader.names.iter().map(|name| format!("`{name}`")).collect();
        let (why, fix) = if is_listable(&reader) {
            let why = format!("custom_properties in {FILE_NAME} doesn't name them");
            (why, format!("{line} (or read HOOKMUX_PROPERTY_{first} in the script)"))
        } else {
            let why =
                "an adopted script or one of the per-guest tree gets no bare names".to_owned();
            (why, format!("read HOOKMUX_PROPERTY_{first} in the script"))
        };
        let words = format!(
            "{} reads {}, custom properties that it doesn't get under their bare names: {why}",
            reader.label,
            names.join(", ")
        );
        findings.add(Code::BareName, &reader.path, words, fix);
    }
}

/// Reports names in `custom_properties` that have no effect.
fn steering(survey: &Survey<'_>, findings: &mut Findings) {
    let settings = survey.settings;
    let path = settings.hooks_dir.join(FILE_NAME);
    let Some(listed) = &settings.custom_properties else { return };
    for name in listed.names() {
        let why = if steers(name) {
            "which changes how a shell or a tool works"
        } else if !is_variable_name(name) && !listed.is_map() {
            "which can't be a variable's name"
        } else {
            continue;
        };
        let words = format!(
            "custom_properties in {FILE_NAME} names `{name}`, {why}: no hook gets it under its bare name, only as HOOKMUX_PROPERTY_{name}"
        );
        findings.add(Code::SteeringName, &path, words, fixes::edit(settings, &path, None));
    }
}

fn readers(survey: &Survey<'_>) -> Vec<VariableReader> {
    let settings = survey.settings;
    let mut given: BTreeSet<String> = settings.environment.keys().cloned().collect();
    given.extend(of_file(settings.environment_file.as_deref(), survey.user));
    let mut readers = Vec::new();
    for script in survey.scripts.iter().filter(|script| script.state == EntryState::Active) {
        let source = match script.place {
            ScriptPlace::Tree(_) => HookSource::Tree,
            ScriptPlace::Adopted(_) => HookSource::Adopted,
            ScriptPlace::Event(_) if script.path.starts_with(VDSM_ROOT) => HookSource::Vdsm,
            ScriptPlace::Event(_) => HookSource::EventDirectory,
        };
        let names = text_of(&script.path).map(|text| variables::unset_reads(&text));
        readers.push(VariableReader {
            path: script.path.clone(),
            label: script.label.clone(),
            source,
            names: names.unwrap_or_default(),
        });
    }
    for registration in survey.registrations.iter().filter(|one| one.enabled) {
        let mut names = of_commands(registration);
        names.retain(|name| !registration.environment.contains_key(name));
        for name in of_file(registration.environment_file.as_deref(), survey.user) {
            names.remove(&name);
        }
        readers.push(VariableReader {
            path: registration.source.clone(),
            label: survey.label(&registration.source),
            source: HookSource::Registered,
            names,
        });
    }
    for reader in &mut readers {
        let bare = BareNames::of(reader.source, settings);
        reader.names.retain(|name| {
            is_variable_name(name) && !steers(name) && !given.contains(name) && !bare.admit(name)
        });
    }
    readers
}

/// Returns the names in a file of variables. One that can't be read is reported elsewhere.
fn of_file(file: Option<&Path>, user: u32) -> Vec<String> {
    let variables = file.and_then(|file| launch::read_environment_file(file, user).ok());
    let names = variables.into_iter().flatten();
    names.filter_map(|(name, _)| name.into_string().ok()).collect()
}

/// Returns what the programs of a registration read: scripts, and texts for `sh -c`.
fn of_commands(registration: &Registration) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, words) in commands::commands(registration) {
        let Some(program) = words.first() else { continue };
        let text = text_of(Path::new(program));
        names.extend(text.iter().flat_map(|text| variables::unset_reads(text)));
        if module::called_function(words).is_some() {
            continue;
        }
        for word in words.iter().skip(1) {
            let text = if word.starts_with('/') { text_of(Path::new(word)) } else { None };
            names.extend(variables::unset_reads(text.as_deref().unwrap_or(word)));
        }
    }
    names
}

/// Returns the text of a script; a program in machine code has none.
fn text_of(path: &Path) -> Option<String> {
    let bytes = content::beginning(path).filter(|bytes| bytes.starts_with(b"#!"))?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the names of properties in known documents: of the newest records, of running guests, and of
/// libvirt's own configuration, which is beside its hooks directory.
fn known_properties(survey: &Survey<'_>) -> BTreeSet<String> {
    let settings = survey.settings;
    let mut names = BTreeSet::new();
    let history = History::new(&settings.runtime_dir, &settings.state_dir);
    for id in history.newest().take(MAX_RECORDS) {
        let record = history.record(&id).ok();
        let document = record.and_then(|record| record.body.document);
        names.extend(document.iter().flat_map(|text| of_document(&text.0)));
    }
    let configuration = settings.hooks_dir.parent().unwrap_or(&settings.hooks_dir);
    let places = ["qemu", "lxc", "libxl", "qemu/networks"];
    let places = places.map(|place| configuration.join(place));
    // files in a directory of other users aren't read
    let guests = settings.runtime_dir.child("guests");
    for place in places.iter().map(PathBuf::as_path).chain(guests.path()) {
        let files = fs::read_dir(place).into_iter().flatten().flatten();
        let files = files.map(|entry| entry.path());
        let documents = files.filter(|path| path.extension().is_some_and(|end| end == "xml"));
        for path in documents.take(MAX_DOCUMENTS) {
            let bytes = files::read_regular(&path, MAX_DOCUMENT_BYTES as u64).unwrap_or_default();
            names.extend(of_document(&bytes));
        }
    }
    names
}

fn of_document(bytes: &[u8]) -> Vec<String> {
    let Ok(tree) = document::parse(bytes) else { return Vec::new() };
    let Ok(metadata) = metadata::read(&tree) else { return Vec::new() };
    let of_devices = metadata.devices.iter().flat_map(|device| &device.properties);
    let name = |property: &Property| property.name.clone();
    metadata.properties.iter().chain(of_devices).map(name).collect()
}

/// Returns what to write for all scripts together, as the key can be there only once.
fn line(survey: &Survey<'_>, missing: &BTreeSet<String>) -> String {
    let path = survey.settings.hooks_dir.join(FILE_NAME);
    let path = path.display();
    match &survey.settings.custom_properties {
        Some(listed) if listed.is_map() => {
            let lines: Vec<String> =
                missing.iter().map(|name| format!("{}: \"*\"", yaml(name))).collect();
            format!(
                "add to custom_properties in {path}, with the values that it may have: {}",
                lines.join(", ")
            )
        }
        listed => {
            let mut all: BTreeSet<&str> = missing.iter().map(String::as_str).collect();
            all.extend(listed.iter().flat_map(|listed| listed.names()));
            let all: Vec<String> = all.into_iter().map(yaml).collect();
            format!("write into {path}: custom_properties: [{}]", all.join(", "))
        }
    }
}

/// Returns a name as a YAML string.
fn yaml(name: &str) -> String {
    let is_plain = is_variable_name(name)
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&name.to_ascii_lowercase().as_str());
    if is_plain { name.to_owned() } else { format!("{name:?}") }
}
