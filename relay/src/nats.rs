//! The way to the NATS servers: connections, and what is wrong with one that can't be made.

use crate::configuration::{Nats, Server};
use async_nats::{ConnectOptions, ServerAddr};
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is wrong, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) message: String,
    pub(crate) fix: Option<String>,
}

impl Trouble {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), fix: None }
    }

    pub(crate) fn with(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { message: message.into(), fix: Some(fix.into()) }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

impl Error for Trouble {}

/// What a server said beside an answer, such as a subject that it forbids: an event that is published there gets
/// no answer at all.
#[derive(Clone, Default)]
pub(crate) struct LastWord(Arc<Mutex<Words>>);

#[derive(Default)]
struct Words {
    last: Option<(Instant, String)>,
    /// the inbox is asked for once in a connection, and its answers never come from then on
    inbox: Option<String>,
}

impl LastWord {
    fn set(&self, text: &str) {
        let text = text.strip_prefix("nats: ").unwrap_or(text).to_owned();
        if let Ok(mut words) = self.0.lock() {
            if text.contains("for Subscription") {
                words.inbox = Some(text.clone());
            }
            words.last = Some((Instant::now(), text));
        }
    }

    fn connected(&self) {
        if let Ok(mut words) = self.0.lock() {
            words.inbox = None;
        }
    }

    /// What it said within this time, or of the inbox.
    pub(crate) fn within(&self, time: Duration) -> Option<String> {
        let words = self.0.lock().ok()?;
        let last = words
            .last
            .as_ref()
            .filter(|(at, _)| at.elapsed() <= time)
            .map(|(_, text)| text.clone());
        last.or_else(|| words.inbox.clone())
    }
}

pub(crate) struct Connection {
    pub(crate) client: async_nats::Client,
    pub(crate) last_word: LastWord,
}

impl Connection {
    pub(crate) fn is_up(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }
}

/// Connects to each of the servers in turn, once, until one answers: then the error is exact.
pub(crate) async fn connect_once(nats: &Nats, name: &str) -> Result<Connection, Trouble> {
    let mut first = None;
    for server in &nats.servers {
        match connect_to(nats, name, std::slice::from_ref(server), false).await {
            Ok(connection) => return Ok(connection),
            Err(trouble) => {
                first.get_or_insert(trouble);
            }
        }
    }
    Err(first.unwrap_or_else(|| Trouble::new("no server is named")))
}

/// Connects to one of them, once.
pub(crate) async fn connect_to_one(
    nats: &Nats,
    name: &str,
    server: &Server,
) -> Result<Connection, Trouble> {
    connect_to(nats, name, std::slice::from_ref(server), false).await
}

/// A connection that comes again by itself, for as long as the service runs.
pub(crate) async fn connect_for_long(nats: &Nats, name: &str) -> Result<Connection, Trouble> {
    connect_to(nats, name, &nats.servers, true).await
}

async fn connect_to(
    nats: &Nats,
    name: &str,
    servers: &[Server],
    stay: bool,
) -> Result<Connection, Trouble> {
    let last_word = LastWord::default();
    let word = last_word.clone();
    let mut options = ConnectOptions::new()
        .name(name)
        .ping_interval(Duration::from_secs(10))
        .connection_timeout(Duration::from_secs(5))
        .client_capacity(512)
        // the configuration names the servers; behind a firewall others can't be reached
        .ignore_discovered_servers()
        .reconnect_delay_callback(|tries| {
            let most = (100_u64 << tries.min(6)).min(5000);
            Duration::from_millis(most / 2 + crate::chance(most / 2))
        })
        .event_callback(move |event| {
            let word = word.clone();
            async move {
                match event {
                    async_nats::Event::Connected => word.connected(),
                    async_nats::Event::ServerError(error) => word.set(&error.to_string()),
                    async_nats::Event::ClientError(error) => word.set(&error.to_string()),
                    _ => {}
                }
            }
        });
    if stay {
        options = options.retry_on_initial_connect();
    } else {
        options = options.max_reconnects(1);
    }
    if let Some(ca) = &nats.ca {
        readable("ca", ca)?;
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let (Some(certificate), Some(key)) = (&nats.identity.certificate, &nats.identity.key) {
        readable("certificate", certificate)?;
        readable("key", key)?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    if let Some(file) = &nats.identity.nkey {
        let seed = readable("nkey", file)?;
        // a seed file may have comments around it, as `nk` and `nsc` write them
        let seed = seed
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("SU"))
            .unwrap_or_default()
            .to_owned();
        if seed.is_empty() {
            return Err(Trouble::new(format!(
                "nkey: {} holds no seed of a user (a line that begins with SU)",
                file.display()
            )));
        }
        options = options.nkey(seed);
    }
    if let Some(file) = &nats.identity.credentials {
        let text = readable("credentials", file)?;
        options = options
            .credentials(&text)
            .map_err(|error| Trouble::new(format!("credentials: {}: {error}", file.display())))?;
    }
    if let (Some(user), Some(file)) = (&nats.identity.user, &nats.identity.password_file) {
        let password = readable("password_file", file)?.trim_end_matches(['\n', '\r']).to_owned();
        options = options.user_and_password(user.clone(), password);
    }
    if let Some(prefix) = &nats.inbox_prefix {
        options = options.custom_inbox_prefix(prefix);
    }
    let addresses: Vec<ServerAddr> = servers.iter().map(|server| server.0.clone()).collect();
    let client =
        options.connect(addresses).await.map_err(|error| explain(nats, servers, &error))?;
    Ok(Connection { client, last_word })
}

/// The text of a file that the configuration names; the error names the key and the file.
fn readable(key: &str, path: &Path) -> Result<String, Trouble> {
    std::fs::read_to_string(path).map_err(|error| {
        let message = format!("{key}: {}: {error}", path.display());
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            Trouble::with(message, "its user must be able to read it: chgrp and chmod 0640")
        } else {
            Trouble::new(message)
        }
    })
}

/// All that an error says, with what lies behind it.
pub(crate) fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(behind) = source {
        let more = behind.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = behind.source();
    }
    text
}

fn explain(nats: &Nats, servers: &[Server], error: &async_nats::ConnectError) -> Trouble {
    use async_nats::ConnectErrorKind as Kind;
    let server = servers.iter().map(Server::text).collect::<Vec<_>>().join(", ");
    let text = whole(error);
    let said = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if said(&["UnknownIssuer"]) {
        return Trouble::with(
            format!(
                "{server}: the server's certificate isn't signed by {}",
                nats.ca.as_ref().map_or("an authority that this host knows".into(), |ca| ca
                    .display()
                    .to_string())
            ),
            "ca must name the certificate of the authority that signed it",
        );
    }
    if said(&["NotValidForName"]) {
        return Trouble::with(
            format!("{server}: the server's certificate is for another name ({text})"),
            "name the server as its certificate does",
        );
    }
    if said(&["Expired", "NotValidYet"]) {
        return Trouble::new(format!(
            "{server}: the server's certificate isn't valid now ({text}); clock or certificate is wrong"
        ));
    }
    // servers before 2.10 say it with another word
    if said(&["CertificateRequired"])
        || (said(&["received fatal alert"]) && nats.identity.certificate.is_none())
    {
        return Trouble::with(
            format!("{server}: the server wants a certificate of this host"),
            "set certificate and key",
        );
    }
    if said(&["received fatal alert"]) {
        return Trouble::with(
            format!(
                "{server}: the server refused this host's certificate{}: {text}",
                nats.identity
                    .certificate
                    .as_ref()
                    .map(|file| format!(" {}", file.display()))
                    .unwrap_or_default()
            ),
            "it must be signed by the authority that the server trusts, and be valid",
        );
    }
    match error.kind() {
        Kind::AuthorizationViolation => {
            let who = if let Some(file) = &nats.identity.nkey {
                format!("the NKey in {}", file.display())
            } else if let Some(file) = &nats.identity.credentials {
                format!("the credentials in {}", file.display())
            } else if let Some(user) = &nats.identity.user {
                format!(
                    "user {user} with the password in {}",
                    nats.identity
                        .password_file
                        .as_ref()
                        .map(|file| file.display().to_string())
                        .unwrap_or_default()
                )
            } else if let Some(file) = &nats.identity.certificate {
                format!("the certificate {}: none of its users has that name", file.display())
            } else {
                "a connection without credentials".to_owned()
            };
            Trouble::with(
                format!("{server}: the server refused {who} (authorization violation)"),
                "ask who runs it; `docs/fleet.md` shows the users of a server",
            )
        }
        Kind::Tls => Trouble::new(format!(
            "{server}: {text}: is the certificate with its key in PEM form, and does the server speak TLS?"
        )),
        Kind::TimedOut => Trouble::with(
            format!("{server}: no answer within 5 s"),
            "a firewall may drop what is sent there",
        ),
        _ if said(&["Connection refused"]) => Trouble::with(
            format!("{server}: connection refused"),
            "is a NATS server running there, on that port?",
        ),
        _ => Trouble::new(format!("{server}: {text}")),
    }
}
