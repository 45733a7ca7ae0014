//! The command line.

use crate::configuration::From;
use crate::identity::Identity;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Carry hookmux's events to other hosts, and run hooks for events of other hosts
///
/// hookmux writes one event for each execution into its outbox, where `outbox: true` is set. This program sends
/// them to NATS JetStream and to OTLP collectors, shows them, and runs hooks for events of other hosts. It needs no
/// rights but to read the outbox.
#[derive(Parser)]
#[command(name = "hookmux-relay", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// The configuration [default: /etc/hookmux/relay.yaml]
    #[arg(long, short = 'c', global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Send the events of the outbox to all sinks of the configuration, as long as it runs
    Publish(PublishArgs),
    /// Connect once, and say what is wrong
    Status(OutputArgs),
    /// Make the stream, or change it to these settings: an administrator's act, with own credentials
    EnsureStream(EnsureArgs),
    /// Show events of all hosts as they come, or from a time on
    Watch(WatchArgs),
    /// Run hooks that are marked `remote: true` for events of other hosts, as long as it runs
    Consume,
    /// Events whose hooks failed for good: show them, and run them again
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man { directory: PathBuf },
}

#[derive(Args)]
pub(crate) struct PublishArgs {
    /// End as soon as all that is in the outbox has been sent
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Args)]
pub(crate) struct OutputArgs {
    /// How to print
    #[arg(
        long,
        short = 'o',
        value_enum,
        default_value_t,
        ignore_case = true,
        value_name = "FORMAT"
    )]
    pub(crate) output: Format,
}

/// Where the servers are and as whom to connect, in place of the configuration's section `nats`.
#[derive(Args, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// A server, in place of those of the configuration; more than once for more
    #[arg(long, visible_alias = "from", value_name = "URL")]
    pub(crate) server: Vec<String>,
    /// The stream
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<String>,
    /// Certificate of the authority that signed the server's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// What the subjects of answers begin with
    #[arg(long, value_name = "PREFIX")]
    pub(crate) inbox_prefix: Option<String>,
}

#[derive(Args)]
pub(crate) struct EnsureArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// On how many servers each event is kept: 3 in a cluster of three
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: u8,
    /// How long an event is kept
    #[arg(long, default_value = "7d", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) max_age: std::time::Duration,
    /// How much is kept, in bytes or as 4GiB
    #[arg(long, default_value = "4GiB", value_name = "SIZE", value_parser = size)]
    pub(crate) max_bytes: i64,
    /// How large an event may be
    #[arg(long, default_value = "256KiB", value_name = "SIZE", value_parser = message_size)]
    pub(crate) max_message_size: i32,
    /// How long the server knows an id again: longer than the longest outage of a server or a relay that must not
    /// store an event twice
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duplicate_window: std::time::Duration,
    /// What happens where it is full: the oldest go, or new ones are refused
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    pub(crate) discard: Discard,
    /// Bring together the streams of sites, in place of taking events from hosts: the JetStream domain of a site, more
    /// than once for more
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) source: Vec<String>,
    /// Compress what is kept (server 2.10 and later)
    #[arg(long)]
    pub(crate) compress: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Discard {
    #[default]
    Old,
    New,
}

#[derive(Args)]
pub(crate) struct WatchArgs {
    /// Which events: DRIVER, DRIVER.OPERATION or a beginning of it (qemu.st), one of hookmux's events or a beginning
    /// (after_vm_), host=NAME, a guest's uuid; all that is given must hold
    #[arg(value_name = "WHICH")]
    pub(crate) which: Vec<String>,
    /// Only guests with this name, or whose name matches this pattern
    #[arg(long, value_name = "NAME")]
    pub(crate) guest: Option<String>,
    /// Only what failed, and lost events
    #[arg(long)]
    pub(crate) failed: bool,
    /// Where to begin: now, beginning, a time, or how long ago (2h)
    #[arg(long, default_value = "now", value_name = "TIME", value_parser = From::parse)]
    pub(crate) since: From,
    /// End where the stream ends, in place of waiting for more
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// End after so many events
    #[arg(long, short = 'n', value_name = "NUMBER")]
    pub(crate) count: Option<u64>,
    /// Also show heartbeats
    #[arg(long)]
    pub(crate) heartbeats: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Subcommand)]
pub(crate) enum DeadCommand {
    /// The events that are kept
    List(OutputArgs),
    /// One of them, whole
    Show { id: String },
    /// Run the hooks of some of them again; those that succeed are removed
    Replay {
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All that are kept
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Remove some of them
    Remove {
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| format!("`{text}` is no size: 4GiB is one"))?;
    let unit = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(format!("`{text}` is no size: KiB, MiB, GiB and TiB are known")),
    };
    number.checked_mul(unit).ok_or_else(|| format!("`{text}` is too large"))
}

fn size(text: &str) -> Result<i64, String> {
    i64::try_from(bytes(text)?).map_err(|_| format!("`{text}` is too large"))
}

fn message_size(text: &str) -> Result<i32, String> {
    i32::try_from(bytes(text)?).map_err(|_| format!("`{text}` is too large"))
}

#[cfg(test)]
mod tests {
    use super::{Arguments, size};
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(size("4GiB"), Ok(4 << 30));
        assert_eq!(size("256 KiB"), Ok(256 << 10));
        assert_eq!(size("17"), Ok(17));
        assert!(size("much").is_err() && size("4parsecs").is_err() && size("99999999TiB").is_err());
    }
}
