//! The real Redis and Valkey, where `.ci/install-test-tools` has installed them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::programs::peers;
use super::{Client, Launch, free_port, skip, wait_until};

/// A running `redis-server` or `valkey-server`. It is killed when this is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    port: u16,
}

/// The newest of that name, not the system's, or `None` after having said that it is missing.
pub fn binary(name: &str) -> Option<PathBuf> {
    let found = peers().map(|dir| dir.join(name)).filter(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed; run .ci/install-test-tools"));
    }
    found
}

/// Servers to compare with, by name.
pub const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];

impl Peer {
    /// Starts one in `dir`, with a log; `None` if it is not installed.
    pub fn start(name: &str, dir: &Path) -> Option<Self> {
        Self::start_with(name, dir, &[])
    }

    /// Starts one on these bytes as its log, all of which it has to take; its directory goes with it.
    pub fn load(name: &str, log: &[u8]) -> Option<(Self, tempfile::TempDir)> {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let parts = dir.path().join("appendonlydir");
        std::fs::create_dir(&parts).expect("a directory can be made");
        std::fs::write(parts.join("appendonly.aof.1.incr.aof"), log).expect("a log can be written");
        let manifest = "file appendonly.aof.1.incr.aof seq 1 type i\n";
        std::fs::write(parts.join("appendonly.aof.manifest"), manifest).expect("a manifest can be written");
        Self::start_with(name, dir.path(), &["--aof-load-truncated", "no", "--enable-debug-command", "local"])
            .map(|peer| (peer, dir))
    }

    /// Starts one with these flags besides.
    pub fn start_with(name: &str, dir: &Path, flags: &[&str]) -> Option<Self> {
        let binary = binary(name)?;
        // Peers cannot say which free port they took, so one is looked for here; it may be gone a moment later.
        for _ in 0..10 {
            let port = free_port();
            let output = std::fs::File::create(dir.join("peer.out")).expect("a file can be made");
            let child = Launch::clean(Command::new(&binary))
                .args(["--appendonly", "yes", "--save", "", "--bind", "127.0.0.1", "--port", &port.to_string()])
                .arg("--dir")
                .arg(dir)
                .args(flags)
                .stdout(output)
                .stderr(Stdio::null())
                .spawn()
                .expect("the peer can be run");
            let mut peer = Self { child, port };
            let mut ended = false;
            wait_until("the peer answers PING", || {
                ended = peer.child.try_wait().expect("a child can be asked").is_some();
                ended
                    || Client::try_connect(port).is_ok_and(|mut c| {
                        c.try_send("PING\r\n").is_ok()
                            && c.try_reply().is_ok_and(|r| r == super::Reply::Simple("PONG".into()))
                    })
            });
            if !ended {
                return Some(peer);
            }
            let said = std::fs::read_to_string(dir.join("peer.out")).unwrap_or_default();
            assert!(said.contains("Address already in use"), "{name} does not start: {said}");
        }
        None
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it cleanly.
    pub fn shut_down(mut self) {
        self.connect().send("SHUTDOWN NOSAVE\r\n").expect_closed();
        self.child.wait().expect("a child can be waited for");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
