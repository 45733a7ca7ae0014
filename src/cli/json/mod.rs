//! The outputs of commands for programs (`--output json`). docs/json.md describes what they have in common.
//!
//! An output is a type made by `object!`, from types that outputs share, and a line in `outputs!`. Its JSON
//! Schema is made from the same lines (`hookmux schema NAME`), and the tests check every output that they get
//! against it. Keys may be added, but never changed or removed.

pub(super) mod audit;
pub(super) mod available;
pub(super) mod bypass;
pub(super) mod change;
pub(super) mod check;
pub(super) mod cpanel;
pub(super) mod edit;
pub(super) mod envelope;
pub(super) mod event;
pub(super) mod execution;
pub(super) mod guest;
pub(super) mod hook;
pub(super) mod hook_history;
pub(super) mod install;
pub(super) mod message;
pub(super) mod metrics;
pub(super) mod new;
pub(super) mod outbox;
pub(super) mod outputs;
pub(super) mod plan;
pub(super) mod prune;
pub(super) mod queue;
pub(super) mod registration;
pub(super) mod run;
pub(super) mod running;
pub(super) mod shape;
pub(super) mod show;
pub(super) mod status;
pub(super) mod undo;
pub(super) mod value;
pub(super) mod xml;
