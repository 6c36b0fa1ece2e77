//! Signals that come while the log is loaded.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixDatagram;

use rustix::process::{Pid, Signal, kill_process};

use crate::helpers::{DEADLINE, Killed, Launch, wait_until};

/// A server that loads its log and gets no further, for what it says of that to systemd is not read.
struct Standing {
    launch: Launch,
    server: Killed,
    manager: UnixDatagram,
}

impl Standing {
    fn new() -> Self {
        let launch = Launch::on_log("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n");
        let path = launch.dir().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(DEADLINE)).unwrap();
        let others = UnixDatagram::unbound().unwrap();
        others.set_nonblocking(true).unwrap();
        let full = loop {
            if let Err(e) = others.send_to(b"one more", &path) {
                break e;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let server = Launch::binary()
            .args(["serve", "--port", "0"])
            .current_dir(launch.dir())
            .env("NOTIFY_SOCKET", &path)
            .stderr(File::create(launch.dir().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let standing = Self { launch, server: Killed(server), manager };
        wait_until("it has the log", || standing.launch.dir().join("kvred.aof.lock").exists());
        standing
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.server.0), signal).unwrap();
    }

    fn wait_for_stderr(&self, words: &str) {
        wait_until(words, || fs::read_to_string(self.launch.dir().join("stderr")).unwrap().contains(words));
    }

    fn expect_a_clean_end(&mut self) {
        wait_until("it ends", || self.server.0.try_wait().unwrap().is_some());
        assert_eq!(self.server.0.wait().unwrap().code(), Some(0));
    }
}

/// Also as process 1, to which a signal does nothing that it has not asked for.
#[test]
fn both_signals_end_a_load_and_the_log_stays_as_it_is() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut standing = Standing::new();
        let log = standing.launch.log();
        standing.signal(signal);
        standing.expect_a_clean_end();
        standing.wait_for_stderr("stopped before clients could connect");
        assert_eq!(standing.launch.log(), log);
        assert_eq!(standing.launch.start().connect().get("k"), Some(b"v".to_vec()));
    }
}

/// Whoever has renewed a certificate sends one, to a server that has read the old one already.
#[test]
fn a_hang_up_while_the_log_is_loaded_waits_until_that_is_done() {
    let mut standing = Standing::new();
    standing.signal(Signal::HUP);
    let mut message = [0; 4096];
    while !message.starts_with(b"READY=1") {
        message.fill(0);
        standing.manager.recv(&mut message).expect("a message comes");
    }
    standing.wait_for_stderr("SIGHUP: there are no certificates to read anew");
    standing.signal(Signal::TERM);
    standing.expect_a_clean_end();
}
