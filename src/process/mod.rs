//! Starts processes, supervises them, and ends each with everything that it started. Nothing here
//! depends on hooks; only names of them are passed through.

pub(crate) mod background;
pub(crate) mod capture;
pub(crate) mod exit_status;
pub(crate) mod feed;
pub(crate) mod internal;
pub(crate) mod job;
pub(crate) mod members;
mod running_job;
pub(crate) mod shell;
pub(crate) mod startable;
pub(crate) mod stored_job;
pub(crate) mod supervise;
pub(crate) mod users;

/// The PATH where the daemon has none: the one that systemd gives to services.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
