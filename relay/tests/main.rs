//! hookmux-relay with a real nats-server.
//!
//! They need `nats-server` (Debian's package of that name), `openssl`, and for the real collector `rotel-agent`.
//! `NATS_SERVER` and `ROTEL_AGENT` name other places than PATH. The outbox is written here, as hookmux writes it;
//! with `HOOKMUX_BIN`, and as root with a libvirtd, `end_to_end` has the real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stderr, clippy::print_stdout)]
#![recursion_limit = "256"]

mod support;

mod cluster;
mod consume;
mod end_to_end;
mod errors;
mod jwt;
mod kills;
mod otlp;
mod publish;
mod status;
mod stream;
mod watch;
