//! Servers of NATS, each on ports of its own, killed when their value goes.

use super::{LONG, program, until};
use async_nats::jetstream::{self, consumer::pull, stream};
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub const STREAM: &str = "HOOKMUX";

pub fn binary() -> PathBuf {
    program("NATS_SERVER", "nats-server").expect(
        "no nats-server here: install it (apt-get install nats-server), or name one by NATS_SERVER",
    )
}

/// `[2, 10, 27]`
pub fn version() -> [u32; 3] {
    let output = Command::new(binary()).arg("--version").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text
        .trim()
        .rsplit('v')
        .next()
        .unwrap()
        .split(['.', '-'])
        .map(|number| number.parse().unwrap());
    [numbers.next().unwrap(), numbers.next().unwrap(), numbers.next().unwrap()]
}

/// Whether the server may be killed: an earlier one can lose what it has acknowledged.
pub fn survives_kills() -> bool {
    let new = version() >= [2, 10, 23];
    if !new {
        eprintln!(
            "skipped: nats-server {:?} can lose acknowledged events when it is killed; 2.10.23 doesn't",
            version()
        );
    }
    new
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub struct Server {
    directory: tempfile::TempDir,
    pub port: u16,
    child: Option<Child>,
    starts: usize,
}

impl Server {
    pub fn start() -> Server {
        Server::with("")
    }

    /// One with more lines in its configuration.
    pub fn with(more: &str) -> Server {
        let mut server = Server::prepared(more);
        server.start_again();
        server
    }

    /// One that doesn't run yet.
    pub fn prepared(more: &str) -> Server {
        let server = Server {
            directory: tempfile::tempdir().unwrap(),
            port: free_port(),
            child: None,
            starts: 0,
        };
        server.configure(more);
        server
    }

    /// Other lines in its configuration, from its next start on.
    pub fn configure(&self, more: &str) {
        let text = format!(
            "listen: \"127.0.0.1:{}\"\njetstream {{\n  store_dir: \"{}\"\n}}\n{more}\n",
            self.port,
            self.directory.path().join("store").display()
        );
        std::fs::write(self.directory.path().join("server.conf"), text).unwrap();
    }

    pub fn start_again(&mut self) {
        assert!(self.child.is_none());
        self.starts += 1;
        let log = self.directory.path().join(format!("log.{}", self.starts));
        let file = std::fs::File::create(&log).unwrap();
        let child = Command::new(binary())
            .arg("-c")
            .arg(self.directory.path().join("server.conf"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        self.child = Some(child);
        until("a nats-server that is ready", || {
            let text = std::fs::read_to_string(&log).unwrap();
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "nats-server ended: {text}");
            text.contains("Server is ready")
        });
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Reads its configuration again.
    pub fn reload(&self) {
        let id = self.child.as_ref().unwrap().id();
        assert!(Command::new("kill").args(["-HUP", &id.to_string()]).status().unwrap().success());
    }

    pub fn stop_with(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id();
        assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub async fn context(urls: &str) -> jetstream::Context {
    context_with(urls, async_nats::ConnectOptions::new()).await
}

async fn context_with(urls: &str, options: async_nats::ConnectOptions) -> jetstream::Context {
    let servers: Vec<async_nats::ServerAddr> =
        urls.split(',').map(|url| url.parse().unwrap()).collect();
    let client = options.retry_on_initial_connect().connect(servers).await.unwrap();
    jetstream::ContextBuilder::new().timeout(Duration::from_secs(5)).build(client)
}

pub fn make_stream(urls: &str, change: impl Fn(&mut stream::Config)) {
    let mut config = stream::Config {
        name: STREAM.to_owned(),
        subjects: vec!["hookmux.v1.>".to_owned()],
        duplicate_window: Duration::from_secs(3600),
        max_message_size: 256 << 10,
        deny_delete: true,
        allow_direct: true,
        ..stream::Config::default()
    };
    change(&mut config);
    block_on(async {
        let context = context(urls).await;
        let end = std::time::Instant::now() + LONG;
        while let Err(error) = context.create_or_update_stream(config.clone()).await {
            assert!(std::time::Instant::now() < end, "no stream: {error}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}

/// A message as it is stored.
pub struct Stored {
    pub subject: String,
    pub id: String,
    pub event: serde_json::Value,
}

/// The stream; a cluster that is choosing a leader is asked again.
async fn stream(context: &jetstream::Context) -> stream::Stream {
    let end = std::time::Instant::now() + LONG;
    loop {
        match context.get_stream(STREAM).await {
            Ok(stream) => return stream,
            Err(error) => assert!(std::time::Instant::now() < end, "no stream: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// All that is stored, in order; heartbeats left out.
pub fn stored(urls: &str) -> Vec<Stored> {
    stored_as(urls, async_nats::ConnectOptions::new())
}

/// The same, where the server wants a credentials file.
pub fn stored_with(urls: &str, credentials: &Path) -> Vec<Stored> {
    let text = std::fs::read_to_string(credentials).unwrap();
    stored_as(urls, async_nats::ConnectOptions::new().credentials(&text).unwrap())
}

fn stored_as(urls: &str, options: async_nats::ConnectOptions) -> Vec<Stored> {
    block_on(async {
        let context = context_with(urls, options).await;
        let stream = stream(&context).await;
        let count = stream.cached_info().state.messages;
        let mut all = Vec::new();
        if count == 0 {
            return all;
        }
        let consumer = stream.create_consumer(pull::OrderedConfig::default()).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        for _ in 0..count {
            let message = messages.next().await.unwrap().unwrap();
            let event: serde_json::Value =
                serde_json::from_slice(&message.payload).unwrap_or_default();
            if event["type"] == "hookmux.heartbeat.v1" {
                continue;
            }
            let id = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get("Nats-Msg-Id"))
                .unwrap()
                .to_string();
            all.push(Stored { subject: message.subject.to_string(), id, event });
        }
        all
    })
}

pub fn count(urls: &str) -> u64 {
    block_on(async {
        let context = context(urls).await;
        let Ok(stream) = context.get_stream(STREAM).await else { return 0 };
        stream.cached_info().state.messages
    })
}

/// Every id exactly once, and every number of this range.
pub fn assert_all_once(stored: &[Stored], ids: &[String]) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for message in stored {
        *times.entry(&message.id).or_default() += 1;
    }
    let twice = times.values().filter(|count| **count > 1).count();
    assert_eq!(twice, 0, "stored more than once");
    let wanted: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    let there: BTreeSet<&str> = times.keys().copied().collect();
    assert_eq!(
        wanted.difference(&there).count(),
        0,
        "never stored: {:?}",
        wanted.difference(&there).next()
    );
    assert_eq!(
        there.difference(&wanted).count(),
        0,
        "stored, and never written: {:?}",
        there.difference(&wanted).next()
    );
    let numbers: BTreeSet<u64> = stored
        .iter()
        .map(|message| message.event["sequence"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers.len(), ids.len(), "a gap in the numbers");
    assert_eq!(
        (numbers.first().copied(), numbers.last().copied()),
        (Some(1), Some(ids.len() as u64))
    );
}
