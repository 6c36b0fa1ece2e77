//! Servers to talk to, and `kvred cli` to talk with.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::helpers::peer::Peer;
use crate::helpers::{self, Exit, Launch};

/// A server on a port and in a directory of its own; it ends with the test.
pub(crate) struct Server {
    running: Option<Running>,
    pub(crate) port: u16,
    dir: TempDir,
}

/// What is running.
#[expect(dead_code, reason = "they are held for as long as they are to run")]
enum Running {
    Kvred(helpers::Server),
    Peer(Peer),
}

impl Server {
    /// `kvred serve`, with these flags besides.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_on(0, flags)
    }

    /// The same on a given port.
    pub(crate) fn start_on(port: u16, flags: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let launch = Launch::at(dir.path()).args(&["--appendonly", "no", "--port", &port.to_string()]).args(flags);
        let server = launch.start();
        Self { port: server.port(), running: Some(Running::Kvred(server)), dir }
    }

    /// `redis-server` or `valkey-server`; `None`, with the reason printed, where it is not installed.
    pub(crate) fn peer(name: &str) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let peer = Peer::start_with(name, dir.path(), &["--appendonly", "no"])?;
        Some(Self { port: peer.port(), running: Some(Running::Peer(peer)), dir })
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
    pub(crate) fn run(&self, args: &[&str], input: impl AsRef<[u8]>) -> Exit {
        run(self.cli(args), input)
    }

    /// Runs one command that must do well, and returns what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args, "");
        assert_eq!((ran.code, &ran.stderr[..]), (Some(0), ""), "{args:?}");
        ran.stdout
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }
}

/// `kvred cli` with a clean environment.
pub(crate) fn cli(args: &[&str]) -> Command {
    let mut command = Launch::binary();
    command.arg("cli").args(args);
    command
}

/// Runs a command with this standard input.
pub(crate) fn run(mut command: Command, input: impl AsRef<[u8]>) -> Exit {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    // It may leave before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Exit::of(output)
}

/// Writes a file.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> String {
    std::fs::write(path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}
