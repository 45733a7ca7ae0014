//! Commands about hooks and events: what there is, what would run, a call by hand.

pub mod described_call;
pub mod difference;
pub mod events;
pub mod list;
pub mod plan;
pub mod run;
pub mod vdsm;
