//! Changes the registry: `add` with the descriptions of scripts and modules, `delete`, and the small edits
//! of `enable` and `disable`.

pub(crate) mod absolute;
pub(crate) mod add;
pub(crate) mod ask;
pub(crate) mod contrib;
pub(crate) mod cpanel;
pub(crate) mod cpanel_words;
pub(crate) mod delete;
pub(crate) mod description;
pub(crate) mod draft;
pub(crate) mod enable;
pub(crate) mod export;
pub(crate) mod hooks_d;
pub(crate) mod import;
pub(crate) mod module;
pub(crate) mod module_file;
pub(crate) mod new;
pub(crate) mod registered;
pub(crate) mod registration_schema;
pub(crate) mod registry;
mod select;
pub(crate) mod translate;
pub(crate) mod whom;
pub(crate) mod written;
pub(crate) mod yaml_edit;
