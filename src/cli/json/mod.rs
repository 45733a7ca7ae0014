//! What commands print for programs (`--output json`). docs/json.md says what holds for all of it.
//!
//! An output is a type made by `object!`, of types that outputs share, and a line in `outputs!`. Its
//! JSON Schema comes of the same lines (`hookmux schema NAME`), and the tests hold every output that
//! they get against it. Keys are added, never changed or taken away.

pub(super) mod audit;
pub(super) mod bypass;
pub(super) mod check;
pub(super) mod envelope;
pub(super) mod event;
pub(super) mod execution;
pub(super) mod hook;
pub(super) mod install;
pub(super) mod message;
pub(super) mod outputs;
pub(super) mod plan;
pub(super) mod prune;
pub(super) mod queue;
pub(super) mod registration;
pub(super) mod run;
pub(super) mod shape;
pub(super) mod show;
pub(super) mod value;
