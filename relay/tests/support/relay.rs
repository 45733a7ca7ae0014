//! hookmux-relay, with a configuration and state of its own.

use super::outbox::Outbox;
use super::until;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub const HOST: &str = "node-1.example.org";

pub struct Relay {
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl Relay {
    /// One whose configuration has these sections after its places.
    pub fn new(sections: &str) -> Relay {
        let relay = Relay { directory: tempfile::tempdir().unwrap(), child: None };
        std::fs::create_dir(relay.path("outbox")).unwrap();
        relay.configure(sections);
        relay
    }

    /// One that publishes to these servers, as fast as tests want it.
    pub fn to(urls: &str) -> Relay {
        Relay::new(&nats(urls))
    }

    pub fn configure(&self, sections: &str) {
        let text = format!(
            "outbox: {}\nstate_dir: {}\n{sections}\n",
            self.path("outbox").display(),
            self.path("state").display(),
        );
        std::fs::write(self.path("relay.yaml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn outbox(&self) -> Outbox {
        Outbox::new(&self.path("outbox"), HOST)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookmux-relay"));
        command.arg("--config").arg(self.path("relay.yaml")).args(words).stdin(Stdio::null());
        command
    }

    pub fn call(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub fn json(&self, words: &[&str]) -> Value {
        let output = self.call(words);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)))
    }

    pub fn start(&mut self, words: &[&str]) {
        assert!(self.child.is_none());
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let child =
            self.command(words).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.child = Some(child);
    }

    pub fn publish(&mut self) {
        self.start(&["publish"]);
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end, and waits for it.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until it has said something.
    pub fn says(&self, words: &str) {
        until(words, || self.log().contains(words));
    }

    pub fn cursor(&self, sink: &str) -> Option<u64> {
        let text =
            std::fs::read_to_string(self.path("state").join(format!("cursor.{sink}"))).ok()?;
        assert!(matches!(text.len(), 21 | 48) && text.ends_with('\n'), "{text:?}");
        Some(text.lines().next().unwrap().parse().unwrap())
    }

    pub fn reaches(&self, sink: &str, number: u64) {
        until(&format!("the cursor at {number}"), || self.cursor(sink) == Some(number));
    }

    pub fn rejected(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path("state/rejected")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The section `nats` for these servers.
pub fn nats(urls: &str) -> String {
    let servers: Vec<String> = urls.split(',').map(|url| format!("\"{url}\"")).collect();
    format!("nats:\n  servers: [{}]\n  ack_timeout: 2s\n", servers.join(", "))
}

pub fn write_script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
