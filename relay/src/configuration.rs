//! The configuration, `/etc/hookmux/relay.yaml`.

use crate::identity::table_with_identity;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const FILE: &str = "/etc/hookmux/relay.yaml";
pub(crate) const STREAM: &str = "HOOKMUX";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Configuration {
    /// hookmux's outbox
    pub(crate) outbox: PathBuf,
    /// cursors, and events that can't be taken
    pub(crate) state_dir: PathBuf,
    pub(crate) heartbeat: Span,
    pub(crate) nats: Option<Nats>,
    pub(crate) otlp: Option<Otlp>,
    pub(crate) consume: Option<Consume>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            outbox: "/var/lib/hookmux/outbox".into(),
            state_dir: "/var/lib/hookmux-relay".into(),
            heartbeat: Span(Duration::from_secs(60)),
            nats: None,
            otlp: None,
            consume: None,
        }
    }
}

table_with_identity! {
    /// Where the NATS servers are, and as whom to connect.
    #[derive(Default)]
    Nats {
        servers: Vec<Server>,
        #[serde(default = "stream")]
        stream: Name,
        /// how long the server may take to answer an event
        #[serde(default = "ack_timeout")]
        ack_timeout: Span,
        ca: Option<PathBuf>,
        inbox_prefix: Option<String>,
    }
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    pub(crate) endpoint: String,
    /// one `Name: value` a line, as a collector of somebody else's asks for
    #[serde(default)]
    pub(crate) headers_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
    #[serde(default = "otlp_timeout")]
    pub(crate) timeout: Span,
}

table_with_identity! {
    /// The consumer, and as whom it connects: another user of the server than the publisher.
    Consume {
        /// name of the durable consumer
        name: Name,
        /// which events: words as those of `watch`, one list entry for each choice
        #[serde(default)]
        filter: Vec<String>,
        /// where a new consumer begins
        #[serde(default)]
        from: From,
        #[serde(default = "max_parallel")]
        max_parallel: Count,
        #[serde(default = "max_deliver")]
        max_deliver: Count,
        #[serde(default = "ack_wait")]
        ack_wait: Span,
        /// when a failed event comes again
        #[serde(default = "retry_delay")]
        retry_delay: Span,
        /// how long one event may run at most
        #[serde(default = "consume_timeout")]
        timeout: Span,
        #[serde(default = "consume_state")]
        state_dir: PathBuf,
        #[serde(default = "hookmux")]
        hookmux: PathBuf,
        inbox_prefix: Option<String>,
    }
}

impl Consume {
    /// The consumer's own way to the server: its credentials, or else those of `nats`.
    pub(crate) fn connection(&self, nats: &Nats) -> Nats {
        let mut connection = nats.clone();
        if self.identity.is_named() {
            connection.identity.clone_from(&self.identity);
        }
        connection.inbox_prefix =
            Some(self.inbox_prefix.clone().unwrap_or_else(|| format!("_INBOX_{}", self.name.0)));
        connection
    }
}

fn stream() -> Name {
    Name(STREAM.to_owned())
}
fn ack_timeout() -> Span {
    Span(Duration::from_secs(5))
}
fn otlp_timeout() -> Span {
    Span(Duration::from_secs(10))
}
fn max_parallel() -> Count {
    Count(4)
}
fn max_deliver() -> Count {
    Count(5)
}
fn ack_wait() -> Span {
    Span(Duration::from_secs(30))
}
fn retry_delay() -> Span {
    Span(Duration::from_secs(10))
}
fn consume_timeout() -> Span {
    Span(Duration::from_secs(3600))
}
fn consume_state() -> PathBuf {
    "/var/lib/hookmux-consume/relay".into()
}
fn hookmux() -> PathBuf {
    "/usr/sbin/hookmux".into()
}

/// A length of time: `30s`, `1h`, or seconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Seconds(u64),
            Text(String),
        }
        match Form::deserialize(deserializer) {
            Ok(Form::Seconds(seconds)) => Ok(Self(Duration::from_secs(seconds))),
            Ok(Form::Text(text)) => humantime::parse_duration(&text).map(Self).map_err(|error| {
                de::Error::custom(format!(
                    "`{text}` is no length of time ({error}); 30s or 1h is one"
                ))
            }),
            Err(_) => Err(de::Error::custom("a length of time is expected: 30s, 1h")),
        }
    }
}

/// At least one.
#[derive(Clone, Copy)]
pub(crate) struct Count(pub(crate) usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match usize::deserialize(deserializer)? {
            count @ 1..=1000 => Ok(Self(count)),
            other => Err(de::Error::custom(format!("`{other}` is not from 1 to 1000"))),
        }
    }
}

/// The name of a stream or consumer.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

impl Name {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is no name: letters, digits, - and _, 64 at most"))
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// The address of a server.
#[derive(Clone)]
pub(crate) struct Server(pub(crate) async_nats::ServerAddr);

impl Server {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("the address of a server is empty".to_owned());
        }
        let address: async_nats::ServerAddr = text.parse().map_err(|error| {
            format!("`{text}` is no address of a server ({error}); tls://HOST:4222 is one")
        })?;
        if address.has_user_pass() {
            // the client wouldn't use it, and others can read it here
            return Err(
                "an address holds no password: the keys user and password_file do".to_owned()
            );
        }
        Ok(Self(address))
    }

    pub(crate) fn text(&self) -> String {
        format!("{}:{}", self.0.host(), self.0.port())
    }
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Where to begin in the stream.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) enum From {
    #[default]
    Now,
    Beginning,
    Time(std::time::SystemTime),
}

impl From {
    /// `now`, `beginning`, a time, or how long ago.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "now" => return Ok(Self::Now),
            "beginning" => return Ok(Self::Beginning),
            _ => {}
        }
        let now = std::time::SystemTime::now();
        if let Ok(ago) = humantime::parse_duration(text.strip_suffix(" ago").unwrap_or(text)) {
            return now
                .checked_sub(ago)
                .map(Self::Time)
                .ok_or_else(|| format!("{text} is too long ago"));
        }
        if let Some(nanoseconds) = crate::event::nanoseconds(text) {
            let since = Duration::from_nanos(
                u64::try_from(nanoseconds).map_err(|_| format!("{text} is too late"))?,
            );
            return Ok(Self::Time(std::time::UNIX_EPOCH + since));
        }
        humantime::parse_rfc3339_weak(text).map(Self::Time).map_err(|_| {
            format!("`{text}` is no time: now, beginning, 2026-11-30T18:00:00Z or 2h are")
        })
    }
}

impl<'de> Deserialize<'de> for From {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Configuration {
    /// Reads a configuration file; the error names the file, and the line where it has one.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{}", path.display()))
    }

    /// The same, and nothing where there is no such file and none was asked for.
    pub(crate) fn read_if_there(path: Option<&Path>) -> Result<Self> {
        match path {
            Some(path) => Self::read(path),
            None if Path::new(FILE).exists() => Self::read(Path::new(FILE)),
            None => Ok(Self::default()),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        // a file with comments only is an empty configuration
        let configuration: Option<Self> = serde_yaml::from_str(text)
            .map_err(|error| anyhow::Error::msg(with_its_line(text, &error)))?;
        let configuration = configuration.unwrap_or_default();
        if let Some(nats) = &configuration.nats {
            if nats.servers.is_empty() {
                bail!("nats: servers is empty");
            }
            nats.identity.check("nats")?;
        }
        if let Some(consume) = &configuration.consume {
            consume.identity.check("consume")?;
            for word in &consume.filter {
                crate::filter::Filter::parse(word.split_whitespace())
                    .map_err(|error| anyhow::anyhow!("consume: filter: {error}"))?;
            }
            if consume.ack_wait.0 < Duration::from_secs(1) {
                bail!("consume: ack_wait is shorter than a second");
            }
        }
        if let Some(otlp) = &configuration.otlp
            && !(otlp.endpoint.starts_with("http://") || otlp.endpoint.starts_with("https://"))
        {
            bail!("otlp: endpoint {} begins neither with http:// nor with https://", otlp.endpoint);
        }
        Ok(configuration)
    }

    pub(crate) fn nats(&self) -> Result<&Nats> {
        self.nats
            .as_ref()
            .context("there is no section `nats` in the configuration: it names the servers")
    }
}

/// The error of a value is reported where the section begins that it is in; the value itself, which all our messages
/// name in backticks, says in which of its lines.
fn with_its_line(text: &str, error: &serde_yaml::Error) -> String {
    let message = error.to_string();
    let first = error.location().map_or(0, |location| location.line().saturating_sub(1));
    let Some(value) = message.split('`').nth(1).filter(|value| !value.is_empty()) else {
        return message;
    };
    let said = message.rsplit_once(" at line ").map_or(message.as_str(), |(said, _)| said);
    let bounded = |line: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        line.match_indices(value).any(|(at, _)| {
            !line[..at].ends_with(word) && !line[at + value.len()..].starts_with(word)
        })
    };
    match text.lines().enumerate().skip(first).find(|(_, line)| bounded(line)) {
        Some((number, _)) => format!("{said} at line {}", number + 1),
        None => message,
    }
}

/// Lines of `Name: value`.
pub(crate) fn headers(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let mut headers = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            bail!("{}: line {} is not `Name: value`", path.display(), number + 1);
        };
        headers.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(headers)
}

/// This host's name, as hookmux has it.
pub(crate) fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Configuration, From};

    #[test]
    fn mistakes_are_said_with_their_line() {
        let table = [
            ("nats:\n  servers: [nats://a]\n  strem: X\n", "unknown field `strem`", "line 3"),
            ("nats:\n  servers: [nats://a]\n  stream: a b\n", "`a b` is no name", "line 3"),
            ("nats:\n  servers: ['']\n", "address of a server is empty", "line 2"),
            ("heartbeat: soon\n", "`soon` is no length of time", "line 1"),
            ("consume:\n  name: ops\n  max_parallel: 0\n", "`0` is not from 1 to 1000", "line 3"),
            ("nats:\n  servers:\n    - nats://a\n    - 'nats://b:x'\n", "is no address", "line 4"),
            ("nats:\n  servers: ['nats://a:secret@b']\n", "an address holds no password", "line 2"),
            ("consume:\n  name: ops\n  from: yesterday\n", "`yesterday` is no time", "line 3"),
            ("nats:\n  stream: X\n", "missing field `servers`", "line 2"),
            ("nats: [\n", "", "line "),
            ("nats:\n  servers: []\n", "servers is empty", ""),
            (
                "nats:\n  servers: [nats://a]\n  key: /k\n",
                "certificate and key belong together",
                "",
            ),
            (
                "nats:\n  servers: [nats://a]\n  user: u\n",
                "user and password_file belong together",
                "",
            ),
            (
                "consume:\n  name: ops\n  password_file: /p\n",
                "consume: user and password_file belong together",
                "",
            ),
            ("consume:\n  name: ops\n  sevrers: x\n", "unknown field `sevrers`", "line 3"),
            ("otlp:\n  endpoint: collector:4318\n", "begins neither with http://", ""),
            ("consume:\n  name: ops\n  filter: ['a b c d']\n", "filter", ""),
        ];
        for (text, said, line) in table {
            let error = Configuration::parse(text)
                .err()
                .map(|error| format!("{error:#}"))
                .unwrap_or_default();
            assert!(
                error.contains(said) && error.contains(line) && !error.is_empty(),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn an_empty_file_is_an_empty_configuration() {
        for text in ["", "# nothing\n"] {
            let read = Configuration::parse(text).ok();
            assert!(read.is_some_and(|read| read.nats.is_none()));
        }
    }

    #[test]
    fn beginnings() {
        assert_eq!(From::parse("now"), Ok(From::Now));
        assert_eq!(From::parse("beginning"), Ok(From::Beginning));
        for text in [
            "2h",
            "2h ago",
            "2026-11-30T18:00:00Z",
            "2026-11-30 18:00:00",
            "2026-11-30T18:00:00+01:00",
        ] {
            assert!(matches!(From::parse(text), Ok(From::Time(_))), "{text}");
        }
        assert!(From::parse("noon").is_err());
    }
}
