//! A call's hooks: what each is started with, in which order they run, and what undoes them.

pub(crate) mod arguments;
pub(crate) mod environment;
pub(crate) mod launch;
pub(crate) mod left_rollback;
pub(crate) mod nesting;
pub(crate) mod steering;
pub(crate) mod steps;
