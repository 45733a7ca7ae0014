//! What a command's options change of the configuration's way to the servers.

use crate::args::ConnectionArgs;
use crate::configuration::{Configuration, Name, Nats, Server};
use anyhow::Result;

/// The way to the servers: the configuration's, and what the options put in its place.
pub(crate) fn settle(configuration: &Configuration, args: &ConnectionArgs) -> Result<Nats> {
    let mut nats = match &configuration.nats {
        Some(nats) => nats.clone(),
        None if args.server.is_empty() => {
            anyhow::bail!(
                "no server is named: give --server URL, or a configuration with the section `nats`"
            )
        }
        None => Nats { stream: Name(crate::configuration::STREAM.to_owned()), ..Nats::default() },
    };
    if nats.ack_timeout.0.is_zero() {
        nats.ack_timeout.0 = std::time::Duration::from_secs(5);
    }
    if !args.server.is_empty() {
        nats.servers = args
            .server
            .iter()
            .map(|url| Server::parse(url).map_err(anyhow::Error::msg))
            .collect::<Result<_>>()?;
    }
    if let Some(stream) = &args.stream {
        nats.stream = Name::parse(stream).map_err(anyhow::Error::msg)?;
    }
    if args.ca.is_some() {
        nats.ca.clone_from(&args.ca);
    }
    if args.identity.is_named() {
        nats.identity.clone_from(&args.identity);
    }
    if args.inbox_prefix.is_some() {
        nats.inbox_prefix.clone_from(&args.inbox_prefix);
    }
    Ok(nats)
}
