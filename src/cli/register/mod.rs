//! Changing the registry: what scripts and modules say of themselves, the files that come of it,
//! and the small edits of `enable` and `disable`.

pub mod add;
pub mod ask;
pub mod cpanel;
pub mod delete;
pub mod description;
pub mod draft;
pub mod enable;
pub mod hooks_d;
pub mod module;
pub mod registered;
pub mod registration_schema;
pub mod registry;
pub mod yaml_edit;
