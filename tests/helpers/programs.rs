//! Programs: where others are, what came of a run, and that none outlives its test.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::mpsc::channel;

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use rustix::process::{Pid, Signal, kill_process};

use super::{DEADLINE, skip, wait_until};

/// A program, or `None` after having said that it is missing.
pub fn program(name: &str) -> Option<PathBuf> {
    let found = find(name);
    if found.is_none() {
        skip(&format!("{name} is missing; run .ci/install-test-tools"));
    }
    found
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Daemons lie where only root's shell looks; Redis and Valkey bring tools of their own.
    let more = ["/usr/sbin".into(), "/sbin".into()].into_iter().chain(peers());
    std::env::split_paths(&path).chain(more).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Where `.ci/install-test-tools` puts the newest Redis and Valkey.
pub fn peers() -> Option<PathBuf> {
    let dir = std::env::var_os("KVRED_PEERS").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cache/kvred-peers"))
    });
    dir.map(|dir| dir.join("bin"))
}

/// A port that was free a moment ago, for a program that cannot be told to take any.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}

/// A port where nobody listens, nor can for as long as the socket is kept that has it.
pub fn refusing_port() -> (u16, OwnedFd) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket can be made");
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("there is a free port");
    let address = getsockname(&socket).ok().and_then(|address| SocketAddr::try_from(address).ok());
    (address.expect("it has an address").port(), socket)
}

/// Starts a program that looks up a name without an end, for as long as the pipe is kept: its resolver reads aliases
/// from it. `None`, after having said so: names are looked up in another way here.
pub fn looking_up(mut command: Command, dir: &Path) -> Option<(Child, OwnedFd)> {
    let aliases = dir.join("aliases");
    mkfifoat(CWD, &aliases, 0o600.into()).expect("a pipe can be made");
    let mut child = command.env("HOSTALIASES", &aliases).spawn().expect("it can be started");
    let mut pipe = None;
    wait_until("a name is looked up", || {
        // It can be opened from when on somebody reads it.
        pipe = open(&aliases, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok();
        pipe.is_some() || child.try_wait().expect("it is a child").is_some()
    });
    if pipe.is_none() {
        skip("names are looked up without a file of aliases");
    }
    pipe.map(|pipe| (child, pipe))
}

/// What came of a run.
#[derive(Debug)]
pub struct Exit {
    /// `None`: a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// Stdout, which may be no text.
    pub bytes: Vec<u8>,
}

impl Exit {
    pub fn of(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            bytes: output.stdout,
        }
    }

    /// Asserts the exit code and that stderr says each of `words`.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "\"{word}\" is not in: {}", self.stderr);
        }
    }

    /// The JSON on stdout.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// What came of a program. It is killed where its work seems to have no end, or grows with the square of its input.
pub fn output_of(command: &mut Command) -> std::io::Result<Output> {
    let child = command.spawn()?;
    let (pid, (send, ended)) = (Pid::from_child(&child), channel());
    std::thread::spawn(move || send.send(child.wait_with_output()));
    ended.recv_timeout(DEADLINE).unwrap_or_else(|_| {
        kill_process(pid, Signal::KILL).unwrap();
        panic!("{command:?} did not end");
    })
}

/// Ended when the test is, or fails.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Killed {
    /// Waits for its end.
    pub fn ends(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("it ends", || {
            status = self.0.try_wait().expect("a child can be asked");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
