//! libvirt's side of the hook interface, and nothing of hookmux's own.

pub(crate) mod call;
pub(crate) mod document;
pub(crate) mod driver;
pub mod invocation;
pub(crate) mod limits;
pub(crate) mod metadata;
pub(crate) mod operation;
pub(crate) mod program;
pub(crate) mod xml;

pub use call::Call;
pub use document::Document;
pub use driver::Driver;
pub use operation::{Class, Operation};
