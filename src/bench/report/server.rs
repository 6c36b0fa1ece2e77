//! A server that lives as long as its measurement.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::args::Peer;
use crate::bench::environment;
use crate::bench::session::Session;
use crate::client::{Address, Target};
use crate::exit::{Failure, OrExit};

/// How long a server may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server's program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: String,
    path: PathBuf,
    is_kvred: bool,
}

impl Program {
    /// Asks the program for its version: it must run, and its flags depend on what it is.
    pub(super) fn find(Peer { name, path }: &Peer) -> Result<Self, Failure> {
        let doing = || format!("cannot run {}", path.display());
        let output = Command::new(path).arg("--version").stdin(Stdio::null()).output();
        let version = String::from_utf8_lossy(&output.or_unavailable(doing)?.stdout).to_lowercase();
        let is_kvred = version.starts_with("kvred");
        if !is_kvred && !version.starts_with("redis server v=") && !version.starts_with("valkey server v=") {
            return Err(failure!(Unavailable, "{} says of itself neither kvred nor Redis nor Valkey", path.display()));
        }
        Ok(Self { name: name.clone(), path: path.clone(), is_kvred })
    }

    fn command(&self, port: u16, dir: &Path, policy: &str) -> Command {
        let mut command = Command::new(&self.path);
        // Settings of whoever runs the report are not the report's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"KVRED_")) {
            command.env_remove(name);
        }
        if self.is_kvred {
            command.args(["serve", "--fsync", policy]);
        } else {
            let policy = if policy == "none" { "no" } else { policy };
            command.args(["--appendonly", "yes", "--save", "", "--appendfsync", policy]);
        }
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(dir);
        command
    }
}

/// A server; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) info: BTreeMap<String, String>,
    child: Child,
    dir: PathBuf,
}

impl Running {
    /// Starts a server in a folder of its own below `data` and waits until it answers. `None`: interrupted.
    pub(super) fn start(
        program: &Program,
        policy: &str,
        data: &Path,
        session: &mut Session,
    ) -> Result<Option<Self>, Failure> {
        let dir = data.join(format!("{}-{policy}", program.name));
        let log = data.join(format!("{}-{policy}.log", program.name));
        let doing = || format!("cannot start {}", program.path.display());
        fs::create_dir(&dir).or_unavailable(doing)?;
        let output = File::create(&log).or_unavailable(doing)?;
        let errors = output.try_clone().or_unavailable(doing)?;
        let dir = dir.canonicalize().or_unavailable(doing)?;
        let port = free_port().or_unavailable(doing)?;
        let child = program
            .command(port, &dir, policy)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C is for the report, which then ends its servers.
            .process_group(0)
            .spawn()
            .or_unavailable(doing)?;
        let target = Target::new(Address::Tcp { host: "127.0.0.1".to_owned(), port });
        let mut running = Self { name: program.name.clone(), target, info: BTreeMap::new(), child, dir };
        let began = Instant::now();
        loop {
            let target = running.target.clone();
            let asked = session.until_interrupted(async {
                // It takes a moment until it listens.
                tokio::time::sleep(Duration::from_millis(20)).await;
                environment::server(&target, Duration::from_secs(1)).await
            });
            match asked {
                None => return Ok(None),
                Some(Ok(info)) => {
                    running.info = info;
                    return Ok(Some(running));
                }
                Some(Err(_)) => {}
            }
            let ended = running.child.try_wait().or_unavailable(doing)?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
                return Err(failure!(
                    Unavailable,
                    "{} does not start; the last that it said: {last}",
                    program.path.display()
                ));
            }
        }
    }

    /// Ends it in peace, and removes its data.
    pub(super) fn end(mut self) {
        // Whether it ended already, or does not want to, it is gone when this is dropped.
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        let began = Instant::now();
        while began.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// A port that is free now, and very likely a moment later.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
