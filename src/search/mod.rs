//! Which files of the roots there are, and which of them mask others.

pub mod directory;
