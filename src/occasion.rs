//! The call in hand: what libvirt asks, what came with it, and what holds for it on this host.

use std::path::PathBuf;

use crate::config::{Settings, Surroundings};
use crate::document::exchange::Exchange;
use crate::document::facts::DocumentFacts;
use crate::document::file;
use crate::event::Origin;
use crate::libvirt::Call;
use crate::machine::ulid;
use crate::memory::guest::Guest;

/// Whether a call is real, or tried by a person: then nothing is remembered for later calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Real,
    Trial {
        origin: Option<Origin>,
        /// The document of `started`, where it isn't what is remembered of the guest.
        started: Option<PathBuf>,
    },
}

impl Mode {
    /// The origin that a person gave.
    pub fn told(&self) -> Option<Origin> {
        match self {
            Mode::Trial { origin, .. } => *origin,
            Mode::Real => None,
        }
    }
}

/// One call of libvirt's, as it is told of.
#[derive(Clone, Debug, Default)]
pub struct Execution {
    /// A ULID.
    pub id: String,
    pub driver: &'static str,
    pub object: String,
    pub operation: String,
    pub uuid: Option<String>,
}

impl Execution {
    /// A new one of a call.
    pub fn new(call: &Call, uuid: Option<String>) -> Execution {
        Execution {
            id: ulid::new(),
            driver: call.driver.name(),
            object: call.object().to_string_lossy().into_owned(),
            operation: call.operation_name().to_string_lossy().into_owned(),
            uuid,
        }
    }
}

/// One call with all that is known of it.
pub struct Occasion<'a> {
    pub call: &'a Call,
    pub settings: &'a Settings,
    pub surroundings: &'a Surroundings,
    pub mode: Mode,
    pub facts: DocumentFacts,
    pub execution: Execution,
    /// How the guest came to run; unknown until what is remembered of it has been asked.
    pub origin: Origin,
    /// The file with the document of `started`, for the calls that lack what it has.
    pub started: Option<PathBuf>,
}

impl<'a> Occasion<'a> {
    pub fn new(
        call: &'a Call,
        settings: &'a Settings,
        surroundings: &'a Surroundings,
        facts: DocumentFacts,
    ) -> Occasion<'a> {
        let execution = Execution::new(call, facts.identity.plain_uuid());
        let (mode, origin, started) = (Mode::Real, Origin::Unknown, None);
        Occasion { call, settings, surroundings, mode, facts, execution, origin, started }
    }

    pub fn is_real(&self) -> bool {
        self.mode == Mode::Real
    }

    /// libvirt's document, where there is one that is whole.
    pub fn document(&self) -> Option<&[u8]> {
        self.facts.document.bytes()
    }

    pub fn uuid(&self) -> Option<&str> {
        self.execution.uuid.as_deref()
    }

    /// The memory of the guest that the call is about; `None` for networks and the daemon.
    pub fn guest(&self) -> Option<Guest> {
        if !self.call.driver.is_guest() {
            return None;
        }
        let name = self.call.object().to_string_lossy();
        Some(Guest::new(&self.settings.runtime_dir, self.call.driver, self.uuid(), &name))
    }

    /// The document's way through the hooks.
    pub fn exchange(&self) -> Exchange {
        Exchange::new(
            self.document().map(<[u8]>::to_vec),
            self.facts.identity.clone(),
            self.call.is_filter(),
            self.execution.operation.clone(),
            file::place(&self.settings.runtime_dir, &self.execution.id),
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Gives a call with usual settings to a test.
    pub(crate) fn with<T>(
        call: &Call,
        facts: DocumentFacts,
        origin: Origin,
        test: impl FnOnce(&Occasion<'_>) -> T,
    ) -> T {
        let surroundings = Surroundings::here(std::path::Path::new("/nowhere"));
        let settings = Settings::defaults(&surroundings);
        test(&Occasion { origin, ..Occasion::new(call, &settings, &surroundings, facts) })
    }
}
