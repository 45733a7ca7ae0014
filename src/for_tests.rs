//! What the fuzz targets and the integration tests use of the rooms. For nobody else: nothing here stays as
//! it is.

pub mod bypass {
    pub use crate::bypass::{Bypass, FILE_NAME, load};
}
pub mod cli {
    pub mod hooks {
        pub mod remote_event {
            pub use crate::cli::hooks::remote_event::{
                MAX_EVENT_BYTES, Meaning, RemoteEvent, read,
            };
        }
    }
    pub mod register {
        pub mod import {
            pub mod relaxed_json {
                pub use crate::cli::register::import::saschpe::relaxed_json::parse;
            }
            pub mod template {
                pub use crate::cli::register::import::opennebula::template::{
                    Attribute, SyntaxMistake, TemplateValue, parse,
                };
            }
        }
        pub mod yaml_edit {
            pub use crate::cli::register::yaml_edit::set;
        }
    }
    pub mod xml {
        pub mod path {
            pub use crate::cli::xml::path::{PathError, ValuesTooLarge, XmlPath};
        }
    }
}
pub mod config {
    pub use crate::config::{Diagnostic, Registration, Settings, Surroundings};
    pub mod registration {
        pub use crate::config::registration::{DIRECTORY, When, keys};
    }
    pub mod triggers {
        pub use crate::config::triggers::Triggers;
    }
    pub mod values {
        pub use crate::config::values::{Patterns, is_variable_name};
    }
}
pub mod document {
    pub mod device {
        pub use crate::document::device::{DevicePlaces, ReplacedDevice, replace};
    }
    pub mod facts {
        pub use crate::document::facts::DocumentFacts;
    }
}
pub mod event {
    pub use crate::event::{Event, Origin, candidates, is_known, known_events_of, of_call};
}
pub mod hook {
    pub mod tree {
        pub use crate::hook::tree::place;
    }
}
pub mod libvirt {
    pub use crate::libvirt::{Call, Class, Document, Driver, Operation};
    pub mod document {
        pub use crate::libvirt::document::{
            DocumentIdentity, Malformed, identity, object, parse, read_identity, text,
        };
    }
    pub mod invocation {
        pub use crate::libvirt::invocation::{Invocation, is_adopted_name};
    }
    pub mod metadata {
        pub use crate::libvirt::metadata::{Device, Metadata, Property, read};
    }
    pub mod operation {
        pub use crate::libvirt::operation::{OperationRow, TABLE};
    }
}
pub mod machine {
    pub mod boot {
        pub use crate::machine::boot::id;
    }
    pub mod files {
        pub use crate::machine::files::{name_digest, private_directory, remove, replace};
    }
    pub mod sanitize {
        pub use crate::machine::sanitize::{line, text};
    }
    pub mod ulid {
        pub use crate::machine::ulid::is_valid;
    }
}
pub mod memory {
    pub mod guest {
        pub use crate::memory::guest::{Guest, HeldFailure};
    }
}
pub mod occasion {
    pub use crate::occasion::Occasion;
}
pub mod plan {
    pub mod condition {
        pub use crate::plan::condition::{ConditionResult, evaluate};
    }
}
pub mod process {
    pub mod capture {
        pub use crate::process::capture::Capture;
    }
    pub use crate::process::stored_job::StoredJob;
}
pub mod queue {
    pub use crate::queue::{ItemBody, ItemHead, JobReadError, Queue};
    pub mod clock {
        pub use crate::machine::clock::BootClock;
    }
    pub mod item {
        pub use crate::queue::item::{FORMAT, ItemBody, ItemHead};
    }
}
pub mod record {
    pub mod counters {
        pub use crate::record::counters::Counters;
    }
    pub mod form {
        pub use crate::record::form::{Record, RecordHead, RecordState};
    }
    pub mod history {
        pub use crate::record::history::History;
    }
    pub mod mask {
        pub use crate::record::mask::{Secrets, passwords};
    }
    pub mod store {
        pub use crate::record::store::{read, read_head};
    }
}
pub mod registry {
    pub use crate::registry::{Registry, load};
    pub mod cache {
        pub use crate::registry::cache::load;
    }
    pub mod matched_calls {
        pub use crate::registry::matched_calls::of;
    }
    pub mod matching {
        pub use crate::registry::matching::impossibility;
    }
}
pub mod run {
    pub mod environment {
        pub use crate::run::environment::parse_file;
    }
}
pub mod state {
    pub use crate::state::Dir;
}
pub mod trust {
    pub use crate::trust::Trust;
}
pub mod undo {
    pub mod entry {
        pub use crate::undo::entry::{Entry, EntryName, FORMAT, Setup, StoredRollback};
    }
    pub mod ledger {
        pub use crate::undo::ledger::Ledger;
        pub use crate::undo::owed::{Owed, UnreadableEntry};
        pub use crate::undo::owner_ledger::OwnerLedger;
    }
    pub mod owner {
        pub use crate::undo::owner::Owner;
    }
}
pub mod verdict {
    pub mod status_line {
        pub use crate::verdict::status_line::{StatusAnswer, read};
    }
}
