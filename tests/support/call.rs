use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::answer::Answer;
use super::documents::GUEST;
use super::host::{Host, writing};
use super::{PATIENCE, is_root, until};

enum Input {
    Bytes(Vec<u8>),
    /// These, and then nothing more, and no end.
    Endless(Vec<u8>),
    Is(Stdio),
}

/// A call of libvirt's, to be made.
pub struct Call<'h> {
    host: &'h Host,
    program: PathBuf,
    arguments: Vec<OsString>,
    wrapper: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Vec<(String, Option<OsString>)>,
    input: Input,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl<'h> Call<'h> {
    pub fn new<A: AsRef<OsStr>>(
        host: &'h Host,
        driver: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Call<'h> {
        Call {
            host,
            program: host.hook(driver),
            arguments: arguments.into_iter().map(|a| a.as_ref().to_owned()).collect(),
            wrapper: Vec::new(),
            directory: None,
            environment: Vec::new(),
            input: Input::Bytes(GUEST.into()),
            stdout: None,
            stderr: None,
        }
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Call<'h> {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// A standard input that gives these bytes and never ends.
    pub fn endless_stdin(mut self, bytes: impl Into<Vec<u8>>) -> Call<'h> {
        self.input = Input::Endless(bytes.into());
        self
    }

    pub fn stdin_is(mut self, stdin: impl Into<Stdio>) -> Call<'h> {
        self.input = Input::Is(stdin.into());
        self
    }

    pub fn stdout_is(mut self, stdout: impl Into<Stdio>) -> Call<'h> {
        self.stdout = Some(stdout.into());
        self
    }

    pub fn stderr_is(mut self, stderr: impl Into<Stdio>) -> Call<'h> {
        self.stderr = Some(stderr.into());
        self
    }

    /// Called by this path, from this directory.
    pub fn called(mut self, program: &str, directory: impl Into<PathBuf>) -> Call<'h> {
        self.program = program.into();
        self.directory = Some(directory.into());
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call<'h> {
        self.environment.push((name.to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    pub fn without_env(mut self, name: &str) -> Call<'h> {
        self.environment.push((name.to_owned(), None));
        self
    }

    /// Through a program that executes what its last arguments say.
    pub fn through<A: AsRef<OsStr>>(mut self, wrapper: impl IntoIterator<Item = A>) -> Call<'h> {
        let mut wrapper: Vec<OsString> =
            wrapper.into_iter().map(|a| a.as_ref().to_owned()).collect();
        wrapper.append(&mut self.wrapper);
        self.wrapper = wrapper;
        self
    }

    /// Through a shell that prepares something and then does `exec "$@"`.
    pub fn through_shell(self, script: &str) -> Call<'h> {
        self.through(["/bin/sh", "-c", script, "sh"])
    }

    /// With mounts of its own, made by this script of root's.
    pub fn with_mounts(self, script: &str) -> Call<'h> {
        let script = format!("set -e\n{script}\nexec \"$@\"");
        let unshare = ["unshare", "--mount", "--propagation", "private"];
        self.through(unshare.into_iter().chain(["/bin/sh", "-c", script.as_str(), "sh"]))
    }

    /// Keeps what hookmux writes where no settings say otherwise away from the machine's own.
    pub fn with_private_state(self, host: &Host) -> Call<'h> {
        let call = ["XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"]
            .into_iter()
            .fold(self, |call, name| call.env(name, host.path("xdg")));
        if !is_root() {
            return call;
        }
        call.with_mounts(
            "mount -t tmpfs -o mode=755 tmpfs /run\nmount -t tmpfs -o mode=755 tmpfs /var/lib",
        )
    }

    /// Makes the call, and waits for its answer as libvirt does: for the end of the process and
    /// of its stdout and stderr.
    #[track_caller]
    pub fn run(self) -> Answer {
        self.start().wait()
    }

    /// Makes the call, and goes on.
    #[track_caller]
    pub fn start(self) -> Running<'h> {
        let mut words = self.wrapper.iter().map(OsString::as_os_str).collect::<Vec<_>>();
        words.push(self.program.as_os_str());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(&self.arguments);
        command.current_dir(self.directory.as_deref().unwrap_or(self.host.directory()));
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let is_endless = matches!(self.input, Input::Endless(_));
        let bytes = match self.input {
            Input::Bytes(bytes) | Input::Endless(bytes) => {
                command.stdin(Stdio::piped());
                Some(bytes)
            }
            Input::Is(stdin) => {
                command.stdin(stdin);
                None
            }
        };
        command.stdout(self.stdout.unwrap_or_else(Stdio::piped));
        command.stderr(self.stderr.unwrap_or_else(Stdio::piped));
        let began = Instant::now();
        let spawned = {
            let _writing = writing();
            command.spawn()
        };
        let mut child =
            spawned.unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let writer = child.stdin.take().zip(bytes).map(|(mut pipe, bytes)| {
            thread::spawn(move || {
                // hookmux reads no more than it needs
                let _ = pipe.write_all(&bytes);
                is_endless.then_some(pipe)
            })
        });
        let readers = [child.stdout.take().map(read_all), child.stderr.take().map(read_all)];
        Running { host: self.host, child, began, writer, readers }
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// A call under way.
pub struct Running<'h> {
    host: &'h Host,
    child: Child,
    began: Instant,
    writer: Option<JoinHandle<Option<std::process::ChildStdin>>>,
    readers: [Option<JoinHandle<Vec<u8>>>; 2],
}

impl Running<'_> {
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits until scripts have logged this line.
    #[track_caller]
    pub fn until_logged(&mut self, line: &str) {
        let host = self.host;
        until(&format!("{line:?} is logged"), || {
            host.read_text("log").lines().any(|logged| logged == line)
        });
    }

    #[track_caller]
    pub fn wait(self) -> Answer {
        self.wait_and_tidy(|| {})
    }

    /// Waits, and in any case tidies up what the call left.
    #[track_caller]
    pub fn wait_and_tidy(mut self, tidy: impl FnOnce()) -> Answer {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.began.elapsed() > PATIENCE {
                let _ = self.child.kill();
                tidy();
                panic!("hookmux had no end within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(2));
        };
        tidy();
        let deadline = Instant::now() + PATIENCE;
        let [stdout, stderr] = self.readers.map(|reader| {
            let Some(reader) = reader else { return Vec::new() };
            while !reader.is_finished() {
                assert!(Instant::now() < deadline, "somebody still holds libvirt's descriptors");
                thread::sleep(Duration::from_millis(2));
            }
            reader.join().unwrap()
        });
        let took = self.began.elapsed();
        // an endless input is held until here
        drop(self.writer.map(JoinHandle::join));
        Answer {
            status: status.code(),
            stdout,
            stderr: String::from_utf8(stderr).expect("stderr is UTF-8"),
            took,
        }
    }
}
