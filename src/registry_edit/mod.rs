//! Changing the registry: what scripts and modules say of themselves, the files that come of it,
//! and the small edits of `enable` and `disable`.

pub mod ask;
pub mod describe;
pub mod draft;
pub mod module;
pub mod moment;
pub mod schema;
pub mod store;
pub mod text;
