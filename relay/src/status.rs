//! `status`: connects once, and says exactly what is wrong.

use crate::args::Format;
use crate::configuration::{Configuration, Nats, host_name};
use crate::nats::{Connection, Trouble, connect_to_one};
use crate::otlp::{Answer, Collector};
use crate::outbox::{self, Outbox};
use crate::publish::{self, rejected, report};
use crate::say;
use anyhow::Result;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A part of the answer: what it is about, what is good of it, or what is wrong.
struct Part {
    name: String,
    result: Result<String, Trouble>,
    more: Value,
}

impl Part {
    fn new(name: impl Into<String>, result: Result<String, Trouble>) -> Self {
        Self { name: name.into(), result, more: json!({}) }
    }

    fn json(&self) -> Value {
        let mut part =
            json!({"name": self.name, "state": if self.result.is_ok() { "ok" } else { "failed" }});
        match &self.result {
            Ok(said) => part["message"] = json!(said),
            Err(trouble) => part["error"] = json!({"message": trouble.message, "fix": trouble.fix}),
        }
        if let (Some(part), Value::Object(more)) = (part.as_object_mut(), self.more.clone()) {
            part.extend(more);
        }
        part
    }
}

pub(crate) async fn run(config: Option<&Path>, format: Format) -> Result<u8> {
    let configuration = match Configuration::read_if_there(config) {
        Ok(configuration) => configuration,
        Err(error) => {
            return print(
                format,
                &[Part::new("configuration", Err(Trouble::new(format!("{error:#}"))))],
            );
        }
    };
    let mut parts = Vec::new();
    if configuration.nats.is_none() && configuration.otlp.is_none() {
        parts.push(Part::new(
            "configuration",
            Err(Trouble::with(
                "no sink is configured",
                "a section `nats` or `otlp` in /etc/hookmux/relay.yaml names one",
            )),
        ));
    }
    parts.push(outbox(&configuration));
    let only_consumes = configuration.consume.is_some() && !configuration.state_dir.exists();
    if let Some(nats) = &configuration.nats {
        let mut nats = nats.clone();
        nats.inbox_prefix.get_or_insert_with(publish::default_inbox_prefix);
        let mut one = None;
        for server in &nats.servers {
            let (part, connection) = match connect_to_one(&nats, "hookmux-relay status", server)
                .await
            {
                Ok(connection) => {
                    let info = connection.client.server_info();
                    let old = older_than(&info.version, [2, 10, 23]);
                    let mut said = format!("connected, nats-server {}", info.version);
                    if old {
                        said.push_str(
                            " (older than 2.10.23, which can lose events when it is killed)",
                        );
                    }
                    let mut part = Part::new(format!("nats {}", server.text()), Ok(said));
                    part.more = json!({"version": info.version});
                    (part, Some(connection))
                }
                Err(trouble) => (Part::new(format!("nats {}", server.text()), Err(trouble)), None),
            };
            parts.push(part);
            if one.is_none() {
                one = connection;
            }
        }
        if let Some(connection) = &one
            && !only_consumes
        {
            parts.push(stream(connection, &nats).await);
        }
        if !only_consumes {
            parts.push(sink(&configuration, publish::NATS));
        }
    }
    if let Some(otlp) = &configuration.otlp {
        let settings = otlp.clone();
        let result = tokio::task::spawn_blocking(move || {
            let collector = Collector::new(&settings)?;
            match collector.post(r#"{"resourceSpans":[]}"#) {
                Answer::Taken | Answer::Partly(_) => Ok("it answers".to_owned()),
                Answer::Again(trouble, _) => Err(trouble),
                Answer::Never(why) => Err(Trouble::new(why)),
            }
        })
        .await?;
        parts.push(Part::new(format!("otlp {}", otlp.endpoint), result));
        parts.push(sink(&configuration, publish::OTLP));
    }
    if let (Some(consume), Some(nats)) = (&configuration.consume, &configuration.nats) {
        for part in crate::consume::status(consume, nats).await {
            parts.push(Part { name: part.0, result: part.1, more: part.2 });
        }
    }
    print(format, &parts)
}

/// Is there an outbox, may this user read it, and has hookmux written there lately?
fn outbox(configuration: &Configuration) -> Part {
    let directory = &configuration.outbox;
    let name = format!("outbox {}", directory.display());
    match Outbox::new(directory, 0).look(0) {
        Err(error) => Part::new(name, Err(Trouble::new(publish::explain(&error)))),
        Ok(files) => {
            let mut said = format!("{} events are in it", files.len());
            let status = outbox::read(&directory.join(outbox::STATUS)).ok();
            let status = status.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            let mut more = json!({"events": files.len()});
            if let Some(status) = status {
                if let Some(time) = status.get("time").and_then(Value::as_str) {
                    said.push_str(&format!("; hookmux wrote last at {time}"));
                }
                more["status"] = status;
            }
            Part { name, result: Ok(said), more }
        }
    }
}

/// May this host publish, to that stream?
async fn stream(connection: &Connection, nats: &Nats) -> Part {
    let host = host_name();
    let result = publish::nats::probe(connection, nats, &host).await;
    Part::new(
        format!("stream {}", nats.stream.0),
        result.map(|()| {
            let (root, token) = (crate::subject::ROOT, crate::subject::token(&host));
            format!("it takes what {host} publishes, under {root}.{token}.>")
        }),
    )
}

/// How far a sink is, and what its service says.
fn sink(configuration: &Configuration, sink: &str) -> Part {
    let name = format!("sink {sink}");
    let cursor = configuration.state_dir.join(format!("{}{sink}", crate::cursor::PREFIX));
    let value = match outbox::read(&cursor) {
        Ok(bytes) => crate::cursor::parse(&bytes).map(|(number, _)| number),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Part::new(
                name,
                Err(Trouble::with(
                    "its service has never run",
                    "systemctl enable --now hookmux-relay.service",
                )),
            );
        }
        Err(error) => {
            return Part::new(name, Err(Trouble::new(format!("{}: {error}", cursor.display()))));
        }
    };
    let Some(value) = value else {
        return Part::new(
            name,
            Err(Trouble::new(format!(
                "{} is no cursor; the service makes a new one",
                cursor.display()
            ))),
        );
    };
    let waiting = Outbox::new(&configuration.outbox, value).look(value).unwrap_or_default();
    let oldest = waiting
        .values()
        .next()
        .and_then(|name| {
            std::fs::symlink_metadata(configuration.outbox.join(name)).ok()?.modified().ok()
        })
        .and_then(|time| SystemTime::now().duration_since(time).ok());
    let rejected =
        rejected::list(&rejected::directory(&configuration.state_dir)).unwrap_or_default().len();
    let report = outbox::read(&report::path(&configuration.state_dir, sink))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<report::Report>(&bytes).ok());
    let more = json!({
        "cursor": value, "waiting": waiting.len(), "oldest_s": oldest.map(|oldest| oldest.as_secs_f64()), "rejected": rejected,
        "report": report,
    });
    let mut said = format!("{} events wait", waiting.len());
    if let Some(oldest) = oldest {
        said.push_str(&format!(
            ", the oldest for {}",
            humantime::format_duration(Duration::from_secs(oldest.as_secs()))
        ));
    }
    if rejected > 0 {
        said.push_str(&format!(
            "; {rejected} that can never be sent are in {}",
            rejected::directory(&configuration.state_dir).display()
        ));
    }
    let locked = std::fs::File::open(configuration.state_dir.join("lock"))
        .is_ok_and(|file| file.try_lock_shared().is_err());
    let aside = report.as_ref().and_then(|report| report.aside.clone());
    let result = if !locked {
        Err(Trouble::with(
            format!("its service doesn't run; {said}"),
            "systemctl start hookmux-relay.service",
        ))
    } else if let Some(trouble) = report.as_ref().and_then(|report| report.trouble.clone()) {
        let since = report.and_then(|report| report.trouble_since).unwrap_or_default();
        Err(Trouble::new(format!("its service says since {since}: {trouble}; {said}")))
    } else if let Some(aside) = aside {
        Err(Trouble::new(format!("{aside}; {said}")))
    } else {
        Ok(said)
    };
    Part { name, result, more }
}

/// Whether a version of the server is older than another.
pub(crate) fn older_than(version: &str, other: [u32; 3]) -> bool {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version =
        [numbers.next().unwrap_or(0), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)];
    version < other
}

fn print(format: Format, parts: &[Part]) -> Result<u8> {
    let failed = parts.iter().any(|part| part.result.is_err());
    match format {
        Format::Json => {
            let all: Vec<Value> = parts.iter().map(Part::json).collect();
            say::line(&json!({"format": 1, "host": host_name(), "state": if failed { "failed" } else { "ok" }, "parts": all}).to_string());
        }
        Format::Text => {
            for part in parts {
                let (word, text) = match &part.result {
                    Ok(said) => ("ok", said.clone()),
                    Err(trouble) => ("failed", trouble.message.clone()),
                };
                say::line(&say::printable(&format!("{word:<7} {}: {text}", part.name)));
                if let Err(Trouble { fix: Some(fix), .. }) = &part.result {
                    say::line(&say::printable(&format!("        {fix}")));
                }
            }
        }
    }
    Ok(u8::from(failed))
}

#[cfg(test)]
mod tests {
    use super::older_than;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(
            older_than("2.9.10", [2, 10, 23])
                && older_than("2.10.22", [2, 10, 23])
                && older_than("2.10.23-RC.1", [2, 10, 24])
        );
        assert!(!older_than("2.10.27", [2, 10, 23]) && !older_than("2.15.1", [2, 10, 23]));
    }
}
