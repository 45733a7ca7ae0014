//! The hooks of `contrib/hooks`, each through hookmux: what it sets up, twice, for two guests, and that its undo
//! leaves everything as it was.

mod autostart_transient;
mod command_line;
mod inhibit_sleep;
mod macspoof;
mod namespace;
mod notify;
mod package;
mod port_forward;
