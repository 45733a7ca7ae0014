//! Commands about hooks and events: which there are, what would run, and making a call by hand.

mod available;
pub(super) mod class_words;
pub(super) mod described_call;
pub(super) mod difference;
pub(super) mod events;
mod guest_list;
pub(super) mod list;
mod registered_list;
pub(super) mod remote;
pub(crate) mod remote_event;
mod remote_marks;
pub(super) mod remote_places;
pub(super) mod run;
pub(super) mod variables;
pub(super) mod vdsm;
