//! Runs a call's hooks: what each is started with, their order, and their rollbacks.

pub(crate) mod arguments;
pub(crate) mod environment;
pub(crate) mod launch;
pub(crate) mod left_rollback;
pub(crate) mod nesting;
pub(crate) mod python_modules;
pub(crate) mod steering;
pub(crate) mod steps;
