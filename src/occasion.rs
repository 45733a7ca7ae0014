//! The call that is being handled: its arguments and document, and the settings of this host for it.

use std::path::PathBuf;

use crate::config::{Settings, Surroundings};
use crate::document::exchange::Exchange;
use crate::document::facts::DocumentFacts;
use crate::document::file;
use crate::event::Origin;
use crate::libvirt::Call;
use crate::machine::ulid;
use crate::memory::guest::Guest;

/// Whether a call comes from libvirt here or elsewhere, or is a person's trial. A trial remembers nothing for later calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallMode {
    Real,
    Trial {
        origin: Option<Origin>,
        /// The document of `started`, instead of the one that is remembered of the guest.
        started: Option<PathBuf>,
    },
    /// libvirt made the call on another host. It is over there, and nothing is remembered of it here.
    Remote(Box<RemoteCall>),
}

/// A call of another host, as its event tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteCall {
    /// The name of that host.
    pub host: String,
    /// The id of the execution there.
    pub execution: String,
    /// The boot of that host, and the number of the event there.
    pub boot: Option<String>,
    pub sequence: Option<u64>,
    /// When the execution ended there: RFC 3339.
    pub time: Option<String>,
    /// How it ended there.
    pub outcome: String,
    /// `None` where it isn't known: hookmux was killed there.
    pub exit_status: Option<i32>,
    pub origin: Option<Origin>,
    /// Whether its hooks have been started before.
    pub is_again: bool,
}

impl CallMode {
    /// Returns the origin that a person gave.
    pub fn given_origin(&self) -> Option<Origin> {
        match self {
            CallMode::Trial { origin, .. } => *origin,
            // one that isn't known must not be looked for here
            CallMode::Remote(remote) => Some(remote.origin.unwrap_or(Origin::Unknown)),
            CallMode::Real => None,
        }
    }

    /// Returns the call of another host.
    pub fn remote(&self) -> Option<&RemoteCall> {
        match self {
            CallMode::Remote(remote) => Some(remote),
            CallMode::Real | CallMode::Trial { .. } => None,
        }
    }
}

/// What identifies one call in records, in the journal and for hooks.
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
    /// Makes one for a call, with a new id.
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

/// One call with everything that hookmux knows about it.
pub struct Occasion<'a> {
    pub call: &'a Call,
    pub settings: &'a Settings,
    pub surroundings: &'a Surroundings,
    pub mode: CallMode,
    pub facts: DocumentFacts,
    pub execution: Execution,
    /// How the guest came to run; unknown until the remembered state has been read.
    pub origin: Origin,
    /// The file with the document of `started`, for calls whose own document has less in it.
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
        Occasion::of_execution(call, settings, surroundings, facts, execution)
    }

    /// Makes one with an execution that is known already.
    pub(crate) fn of_execution(
        call: &'a Call,
        settings: &'a Settings,
        surroundings: &'a Surroundings,
        facts: DocumentFacts,
        execution: Execution,
    ) -> Occasion<'a> {
        let (mode, origin, started) = (CallMode::Real, Origin::Unknown, None);
        Occasion { call, settings, surroundings, mode, facts, execution, origin, started }
    }

    /// Tells whether the call comes from libvirt.
    pub fn is_real(&self) -> bool {
        self.mode == CallMode::Real
    }

    /// Returns libvirt's document, if there is a complete one.
    pub fn document(&self) -> Option<&[u8]> {
        self.facts.document.bytes()
    }

    pub fn uuid(&self) -> Option<&str> {
        self.execution.uuid.as_deref()
    }

    /// Returns the remembered state of the guest; `None` for networks and the daemon.
    pub fn guest(&self) -> Option<Guest> {
        if !self.call.driver.is_guest() {
            return None;
        }
        let name = self.call.object().to_string_lossy();
        Some(Guest::new(&self.settings.runtime_dir, self.call.driver, self.uuid(), &name))
    }

    /// Makes the exchange that gives the document to hooks.
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

    /// Runs a test with a call and default settings.
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
