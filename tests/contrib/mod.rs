//! The hooks of `contrib/hooks`, each through hookmux: what it sets up, twice, for two guests, and that its undo
//! leaves everything as it was.

mod made_up;

mod cpu_governor;
mod cpu_isolate;
mod display_handover;
mod hugepages;
mod pci_rebind;
