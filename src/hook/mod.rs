//! Hooks: a program to run at an event, and how it is called.

pub(crate) mod adopted;
pub(crate) mod candidates;
pub(crate) mod tree;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::registration::{Mode, Registration};
use crate::trust::{Refusal, Trust, TrustFault};

/// How a hook is called: what its arguments, its standard input and its document are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// vdsm's style: no arguments, the document in a file that the hook may edit.
    Vdsm,
    /// libvirt's style: its four arguments, the document on standard input, a new one on standard output.
    Libvirt,
}

impl Style {
    pub const fn name(self) -> &'static str {
        match self {
            Style::Vdsm => "vdsm",
            Style::Libvirt => "libvirt",
        }
    }
}

/// What a failure of a hook means for the rest of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Exit status 2 stops the call, any other failure lets the rest run.
    Fail,
    /// Any failure stops the call.
    Stop,
    /// A failure is reported, and changes nothing.
    Warn,
}

/// Where a hook was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookSource {
    /// An event directory of hookmux's roots.
    EventDirectory,
    /// An event directory of vdsm's tree.
    Vdsm,
    /// The per-guest tree `<driver>.d/GUEST/OPERATION/SUB`, or as `tree` in the settings has it.
    Tree,
    /// The script that libvirt called before hookmux was installed.
    Adopted,
    /// A file in `hooks.d`.
    Registered,
}

impl HookSource {
    pub const fn name(self) -> &'static str {
        match self {
            HookSource::EventDirectory => "event directory",
            HookSource::Vdsm => "vdsm",
            HookSource::Tree => "per-guest tree",
            HookSource::Adopted => "adopted",
            HookSource::Registered => "registered",
        }
    }

    /// Tells whether such hooks ran without hookmux: they get what libvirt gives, and only `HOOKMUX_*`
    /// in addition.
    pub const fn is_drop_in(self) -> bool {
        matches!(self, HookSource::Tree | HookSource::Adopted)
    }
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name in messages: `before_vm_start/10-hugepages`, `qemu.d/win10/prepare/begin/10-gpu`.
    pub label: String,
    pub name: OsString,
    /// The path that is executed.
    pub path: PathBuf,
    pub source: HookSource,
    pub style: Style,
    pub on_failure: OnFailure,
    /// Whether a failure is reported to libvirt even where libvirt then kills the guest.
    pub kill: bool,
    /// Whether it may change the document.
    pub filter: bool,
    /// Its own time limit; `None` is no limit except the call's total.
    pub timeout: Option<Duration>,
    pub kill_leftovers: bool,
    /// Its order at an event: lower first, then by name. Scripts in directories have 0.
    pub weight: i64,
    /// The registration of a registered hook.
    pub registration: Option<Arc<Registration>>,
}

impl Hook {
    /// Returns all its programs: itself, and the ones that a registration runs before and after it.
    pub fn programs(&self) -> impl Iterator<Item = &Path> {
        let registration = self.registration.as_deref();
        let beside = registration.into_iter().flat_map(|registration| {
            [&registration.check, &registration.rollback, &registration.undo]
        });
        let beside = beside.flatten().filter_map(|words| words.first()).map(Path::new);
        std::iter::once(self.path.as_path()).chain(beside)
    }

    /// Returns the first of its programs that others could change, and how.
    pub fn refusal(&self, trust: &mut Trust) -> Option<(&Path, Refusal)> {
        self.programs().find_map(|path| Some((path, trust.file(path).err()?)))
    }

    /// Says why one of its programs is refused.
    pub fn refusal_words(&self, program: &Path, refusal: &Refusal) -> String {
        let is_missing = refusal.fault == TrustFault::Missing;
        let registration = self.registration.as_ref().filter(|_| is_missing);
        match registration.and_then(|registration| registration.list_hint(program)) {
            Some(hint) => format!("{} does not exist: {hint}", program.display()),
            None => refusal.to_string(),
        }
    }

    /// Returns the registration if the hook runs after libvirt has its answer.
    pub fn detached(&self) -> Option<&Arc<Registration>> {
        self.registration.as_ref().filter(|registration| registration.mode == Mode::Detached)
    }
}

#[cfg(test)]
impl Hook {
    /// A script of an event directory, in vdsm's style, as it is with the usual settings.
    pub(crate) fn for_tests(label: &str) -> Hook {
        let name = label.rsplit('/').next().unwrap_or(label);
        Hook {
            label: label.to_owned(),
            name: name.into(),
            path: label.into(),
            source: HookSource::EventDirectory,
            style: Style::Vdsm,
            on_failure: OnFailure::Fail,
            kill: false,
            filter: true,
            timeout: None,
            kill_leftovers: false,
            weight: 0,
            registration: None,
        }
    }
}
