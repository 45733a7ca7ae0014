//! Network namespaces: a host, its guests and its neighbours. They end with the test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use crate::support::host::writing;
use crate::support::{is_root, skip};

/// Whether there can be namespaces with firewalls here.
pub fn is_possible() -> bool {
    if !is_root() {
        skip("network namespaces are root's");
        return false;
    }
    true
}

/// A network namespace.
pub struct Namespace {
    keeper: Child,
    servers: Vec<Child>,
}

impl Namespace {
    #[track_caller]
    pub fn new() -> Namespace {
        let mut command = Command::new("unshare");
        // it ends when its standard input does, at the latest with the test's process
        command.args([
            "--net",
            "sh",
            "-c",
            "ip link set lo up && echo ready && exec cat > /dev/null",
        ]);
        let mut keeper = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "a network namespace is there");
        Namespace { keeper, servers: Vec::new() }
    }

    pub fn pid(&self) -> u32 {
        self.keeper.id()
    }

    /// The words that make a command run in it.
    pub fn wrapper(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.pid())]
    }

    fn command(&self, script: &str) -> Command {
        let wrapper = self.wrapper();
        let mut command = Command::new(&wrapper[0]);
        command.args(&wrapper[1..]).args(["sh", "-euc", script]).stdin(Stdio::null());
        command
    }

    fn output(&self, script: &str) -> Output {
        let mut command = self.command(script);
        spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped())).wait_with_output().unwrap()
    }

    /// Runs a script in it, which has to succeed; what it printed.
    #[track_caller]
    pub fn run(&self, script: &str) -> String {
        let output = self.output(script);
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// All rules of its firewall, without what was counted.
    #[track_caller]
    pub fn rules(&self) -> String {
        self.run("nft --stateless list ruleset")
    }

    /// A server that answers each connection to a port with a word.
    pub fn serve(&mut self, port: u16, word: &str) {
        let script = format!("exec busybox nc -ll -p {port} -e echo {word}");
        let server = spawn(&mut self.command(&script));
        self.servers.push(server);
        crate::support::until(&format!("port {port} is open"), || {
            let sockets = self.run("cat /proc/net/tcp /proc/net/tcp6");
            let listens =
                |socket: &str| socket.contains(&format!(":{port:04X} ")) && socket.contains(" 0A ");
            sockets.lines().any(listens)
        });
    }

    /// What a server answers; nothing where there is no connection.
    pub fn ask(&self, address: &str, port: u16) -> String {
        let output = self.output(&format!("busybox nc -w 5 {address} {port}"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        for process in self.servers.iter_mut().chain([&mut self.keeper]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn spawn(command: &mut Command) -> Child {
    let _writing = writing();
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
