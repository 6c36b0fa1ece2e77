//! Servers to talk to, and `kvred cli` to talk with.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) const KVRED: &str = env!("CARGO_BIN_EXE_kvred");

/// A server on a port and in a directory of its own; it ends with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    dir: TempDir,
}

impl Server {
    /// `kvred serve`, with these flags besides.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_on(0, flags)
    }

    /// The same on a given port.
    pub(crate) fn start_on(port: u16, flags: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let mut child = Command::new(KVRED)
            .args(["serve", "--appendonly", "no", "--port", &port.to_string(), "--dir"])
            .arg(dir.path())
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.by_ref().map(Result::unwrap).find(|line| line.contains("ready to accept connections"));
        let ready = ready.expect("the server says that it is ready");
        let port =
            ready.split("port=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().parse().unwrap();
        // Nobody else reads the log, and a full pipe would stop the server.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port, dir }
    }

    /// `redis-server` or `valkey-server`; `None`, with the reason printed, where it is not installed.
    pub(crate) fn peer(name: &str) -> Option<Self> {
        let built =
            PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/kvred-peers/bin").join(name);
        let program = if built.exists() { built } else { PathBuf::from(name) };
        let dir = TempDir::new().unwrap();
        // The port was free a moment ago; peers cannot choose one themselves.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            println!("skipped: {name} is not installed");
            return None;
        };
        let server = Self { child, port, dir };
        wait_for(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(server)
    }

    /// A file in the server's directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `kvred cli` for this server.
    pub(crate) fn cli(&self, args: &[&str]) -> Command {
        let mut command = cli(&["-p", &self.port.to_string()]);
        command.args(args);
        command
    }

    /// Runs `kvred cli` with this standard input.
    pub(crate) fn run(&self, args: &[&str], input: impl AsRef<[u8]>) -> Ran {
        run(self.cli(args), input)
    }

    /// Runs one command that must do well, and returns what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args, "");
        assert_eq!((ran.code, &ran.err[..]), (Some(0), ""), "{args:?}");
        ran.out
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `kvred cli` with a clean environment.
pub(crate) fn cli(args: &[&str]) -> Command {
    let mut command = Command::new(KVRED);
    command.arg("cli").args(args);
    for name in [
        "KVRED_HOST",
        "KVRED_PORT",
        "KVRED_URI",
        "KVRED_USER",
        "KVRED_PASSWORD",
        "REDISCLI_AUTH",
        "KVRED_OUTPUT",
        "NO_COLOR",
        "PAGER",
        "LESS",
    ] {
        command.env_remove(name);
    }
    command
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) bytes: Vec<u8>,
}

/// Runs a command with this standard input.
pub(crate) fn run(mut command: Command, input: impl AsRef<[u8]>) -> Ran {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    // It may leave before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: status.code(), out: text(&stdout), err: text(&stderr), bytes: stdout }
}

/// A port where nobody listens.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something is so, which it must be soon.
pub(crate) fn wait_for(mut what: impl FnMut() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(20), "it did not come to pass");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes a file.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> String {
    std::fs::write(path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}
