//! A process on its leash: started, supervised, and ended with all that it started. Nothing here knows of
//! hooks but by name.

mod active;
pub mod background;
pub mod capture;
pub mod exit_status;
pub mod feed;
pub mod internal;
pub mod job;
pub mod shell;
pub mod startable;
pub mod stored_job;
pub mod supervise;
pub mod users;

/// Where the daemon has none: what systemd gives to services.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
