//! libvirt's side of the contract, and nothing of ours.

pub mod call;
pub mod document;
pub mod driver;
pub mod front;
pub mod limits;
pub mod metadata;
pub mod operation;
pub mod program;
pub mod xml;

pub use call::Call;
pub use document::Document;
pub use driver::Driver;
pub use operation::{Class, Operation};
