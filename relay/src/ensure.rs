//! `ensure-stream`: makes the stream, or changes it to what is asked for.

use crate::args::{Discard, EnsureArgs, Format};
use crate::configuration::Configuration;
use crate::nats::{connect_once, whole};
use crate::say;
use anyhow::{Result, anyhow};
use async_nats::jetstream::{self, context::GetStreamErrorKind, stream};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

pub(crate) async fn run(config: Option<&Path>, args: &EnsureArgs) -> Result<u8> {
    let configuration = Configuration::read_if_there(config)?;
    let nats = crate::connection::settle(&configuration, &args.connection)?;
    let connection = connect_once(&nats, "hookmux-relay ensure-stream").await?;
    let info = connection.client.server_info();
    if args.compress && crate::status::older_than(&info.version, [2, 10, 0]) {
        anyhow::bail!("nats-server {} can't compress: 2.10 or later can", info.version);
    }
    let context = jetstream::ContextBuilder::new()
        .timeout(Duration::from_secs(10))
        .build(connection.client.clone());
    let name = &nats.stream.0;
    let there = match context.get_stream(name).await {
        Ok(there) => Some(there.cached_info().config.clone()),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error)
                if error.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND =>
            {
                None
            }
            _ => return Err(forbidden(&connection, name, &whole(&error))),
        },
    };
    // what this program doesn't know of stays as an administrator has set it
    let mut wanted = there.clone().unwrap_or_else(|| stream::Config {
        name: name.clone(),
        storage: stream::StorageType::File,
        retention: stream::RetentionPolicy::Limits,
        deny_delete: true,
        allow_direct: true,
        ..stream::Config::default()
    });
    if args.source.is_empty() {
        wanted.subjects = vec![format!("{}.>", crate::subject::ROOT)];
    } else {
        // hosts' events cross the line to the centre too: a stream that took them there would store them twice
        wanted.subjects = Vec::new();
        wanted.sources = Some(sources(name, &args.source));
    }
    wanted.num_replicas = usize::from(args.replicas);
    wanted.max_age = args.max_age;
    wanted.max_bytes = args.max_bytes;
    wanted.max_message_size = args.max_message_size;
    wanted.duplicate_window = args.duplicate_window;
    wanted.discard = match args.discard {
        Discard::Old => stream::DiscardPolicy::Old,
        Discard::New => stream::DiscardPolicy::New,
    };
    if args.compress {
        wanted.compression = Some(stream::Compression::S2);
    }
    let changes = there.as_ref().map(|there| differences(there, &wanted));
    let (state, done) = match &changes {
        None => (
            "created",
            format!("stream {name} {}", if args.dry_run { "would be made" } else { "is made" }),
        ),
        Some(changes) if changes.is_empty() => {
            ("unchanged", format!("stream {name} is as it should be"))
        }
        Some(_) => (
            "changed",
            format!(
                "stream {name} {}",
                if args.dry_run { "would be changed" } else { "is changed" }
            ),
        ),
    };
    if !args.dry_run && state != "unchanged" {
        let result = if there.is_some() {
            context.update_stream(&wanted).await.map(|_| ()).map_err(|error| whole(&error))
        } else {
            context.create_stream(&wanted).await.map(|_| ()).map_err(|error| whole(&error))
        };
        if let Err(error) = result {
            return Err(forbidden(&connection, name, &error));
        }
    }
    let changes = changes.unwrap_or_default();
    match args.output.output {
        Format::Json => {
            let changes: Vec<_> = changes
                .iter()
                .map(|(what, from, to)| json!({"what": what, "from": from, "to": to}))
                .collect();
            say::line(&json!({"format": 1, "host": crate::configuration::host_name(), "stream": name, "state": state,
                "changed": state != "unchanged" && !args.dry_run, "changes": changes, "server_version": info.version}).to_string());
        }
        Format::Text => {
            say::line(&done);
            for (what, from, to) in changes {
                say::line(&format!("    {what}: {from} -> {to}"));
            }
        }
    }
    if crate::status::older_than(&info.version, [2, 10, 23]) {
        say::log(
            say::Level::Warning,
            &format!(
                "nats-server {} can lose events when it is killed: 2.10.23 or later doesn't",
                info.version
            ),
        );
    }
    Ok(0)
}

/// The streams of the same name in these domains.
fn sources(name: &str, domains: &[String]) -> Vec<stream::Source> {
    domains
        .iter()
        .map(|domain| stream::Source {
            name: name.to_owned(),
            external: Some(stream::External {
                api_prefix: format!("$JS.{domain}.API"),
                delivery_prefix: None,
            }),
            ..stream::Source::default()
        })
        .collect()
}

fn source_names(config: &stream::Config) -> String {
    let external = |source: &stream::Source| {
        source.external.as_ref().map(|external| external.api_prefix.clone())
    };
    config
        .sources
        .iter()
        .flatten()
        .map(|source| external(source).unwrap_or_else(|| source.name.clone()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn differences(
    there: &stream::Config,
    wanted: &stream::Config,
) -> Vec<(&'static str, String, String)> {
    [
        ("subjects", there.subjects.join(" "), wanted.subjects.join(" ")),
        ("sources", source_names(there), source_names(wanted)),
        ("replicas", there.num_replicas.to_string(), wanted.num_replicas.to_string()),
        ("max_age", format!("{:?}", there.max_age), format!("{:?}", wanted.max_age)),
        ("max_bytes", there.max_bytes.to_string(), wanted.max_bytes.to_string()),
        ("max_msg_size", there.max_message_size.to_string(), wanted.max_message_size.to_string()),
        (
            "duplicate_window",
            format!("{:?}", there.duplicate_window),
            format!("{:?}", wanted.duplicate_window),
        ),
        ("discard", format!("{:?}", there.discard), format!("{:?}", wanted.discard)),
        ("compression", format!("{:?}", there.compression), format!("{:?}", wanted.compression)),
    ]
    .into_iter()
    .filter(|(_, from, to)| from != to)
    .collect()
}

/// A right that is missing shows as no answer; the server says beside it what it forbids.
fn forbidden(connection: &crate::nats::Connection, name: &str, error: &str) -> anyhow::Error {
    match connection.last_word.within(Duration::from_secs(12)) {
        Some(word) if word.contains("Permissions Violation") => {
            anyhow!(
                "stream {name}: {word}: this needs an administrator's credentials (--credentials, --nkey, --certificate, --user)"
            )
        }
        _ => anyhow!("stream {name}: {error}"),
    }
}
