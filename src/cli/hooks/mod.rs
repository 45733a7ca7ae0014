//! Commands about hooks and events: what there is, what would run, a call by hand.

pub(super) mod described_call;
pub(super) mod difference;
pub(super) mod events;
pub(super) mod list;
pub(super) mod plan;
pub(super) mod run;
pub(super) mod vdsm;
