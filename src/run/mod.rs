//! A call's hooks: what each is started with, in which order they run, and what undoes them.

pub mod arguments;
pub mod environment;
pub mod launch;
pub mod left_rollback;
pub mod nesting;
pub mod steering;
pub mod steps;
