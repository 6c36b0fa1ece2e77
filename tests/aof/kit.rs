//! What the tests are told with: the tools, and servers in directories that outlive them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::helpers::{self, Exit, Launch};
pub(crate) use crate::helpers::{Client, Reply};

/// Runs `kvred aof` with these arguments, without a terminal.
pub(crate) fn aof(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kvred")).arg("aof").args(args).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("not killed")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A command as RESP.
pub(crate) fn resp(words: &[&[u8]]) -> Vec<u8> {
    helpers::command(words)
}

/// A server of ours, in a directory of the test's; killed with it.
pub(crate) struct Server {
    running: helpers::Server,
    pub(crate) port: u16,
    pub(crate) log: PathBuf,
}

impl Server {
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    pub(crate) fn start_with(dir: &Path, flags: &[&str]) -> Self {
        Self::try_start(dir, flags).unwrap_or_else(|exit| panic!("exit {:?}: {}", exit.code, exit.stderr))
    }

    /// Starts a server; if it ends instead, how.
    pub(crate) fn try_start(dir: &Path, flags: &[&str]) -> Result<Self, Exit> {
        let running = Launch::at(dir).args(flags).try_start()?;
        Ok(Self { port: running.port(), log: dir.join("kvred.aof"), running })
    }

    pub(crate) fn client(&self) -> Client {
        self.running.connect()
    }

    pub(crate) fn stop(self) {
        self.running.terminate().expect(0, &[]);
    }

    pub(crate) fn kill(self) {
        self.running.kill9();
    }
}

/// A log of some 10 KB, with all that a server writes to one: made by a server, closed cleanly.
pub(crate) fn small_log(dir: &Path) -> Vec<u8> {
    for policy in ["always", "none", "everysec"] {
        let server = Server::start_with(dir, &["--fsync", policy]);
        let mut client = server.client();
        for n in 0..30 {
            let key = format!("key:{}", n % 17);
            client.ask(&["SET", &key, &format!("{policy} value {n} \r\n#C:00000000:00000000\r\n{}", "x".repeat(n))]);
        }
        client.ask(&["DEL", "key:1", "key:2", "nothing"]);
        server.stop();
    }
    fs::read(dir.join("kvred.aof")).unwrap()
}

/// A plain log of Redis's, and all that a server of ours has written behind it until it was closed; and where that begins.
pub(crate) fn adopted_log(dir: &Path) -> (Vec<u8>, usize) {
    let value = [b'v'; 100];
    let commands: [&[&[u8]]; 6] = [
        &[b"SET", b"first", b"1"],
        &[b"MULTI"],
        &[b"SET", b"second", b"2"],
        &[b"EXEC"],
        &[b"SET", b"large", &value],
        &[b"SET", b"last", b"3"],
    ];
    let plain: Vec<u8> = commands.into_iter().flat_map(resp).collect();
    fs::write(dir.join("kvred.aof"), &plain).unwrap();
    let server = Server::start_with(dir, &["--fsync", "always"]);
    let mut client = server.client();
    client.ask(&["SET", "ours", "4"]);
    client.ask(&["SET", "ours too", "5"]);
    server.stop();
    (fs::read(dir.join("kvred.aof")).unwrap(), plain.len())
}

/// A dump as commands, which must succeed.
pub(crate) fn dump(path: &Path) -> String {
    let output = aof(&["dump", arg(path)]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    stdout(&output)
}

/// The data that a log holds, as the commands of its rewrite in order.
pub(crate) fn data(path: &Path) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("data.aof");
    let output = aof(&["rewrite", "-o", arg(&out), arg(path)]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let mut lines: Vec<String> = dump(&out).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
