//! What commands print for programs (`--output json`). docs/json.md says what holds for all of it.
//!
//! An output is a type made by `object!`, of types that outputs share, and a line in `outputs!`. Its
//! JSON Schema comes of the same lines (`hookmux schema NAME`), and the tests hold every output that
//! they get against it. Keys are added, never changed or taken away.

pub mod audit;
pub mod bypass;
pub mod check;
pub mod envelope;
pub mod event;
pub mod execution;
pub mod hook;
pub mod install;
pub mod message;
pub mod outputs;
pub mod plan;
pub mod prune;
pub mod queue;
pub mod registration;
pub mod run;
pub mod shape;
pub mod show;
pub mod value;
