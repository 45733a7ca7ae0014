//! A process on its leash: started, supervised, and ended with all that it started. Nothing here knows of
//! hooks but by name.

mod active;
pub(crate) mod background;
pub(crate) mod capture;
pub(crate) mod exit_status;
pub(crate) mod feed;
pub(crate) mod internal;
pub(crate) mod job;
pub(crate) mod members;
pub(crate) mod shell;
pub(crate) mod startable;
pub(crate) mod stored_job;
pub(crate) mod supervise;
pub(crate) mod users;

/// Where the daemon has none: what systemd gives to services.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
