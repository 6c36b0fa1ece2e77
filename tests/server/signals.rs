//! Signals, also while the log is loaded, and `SHUTDOWN`.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::{UnixDatagram, UnixStream};

use rustix::process::{Pid, Signal, kill_process};

use crate::helpers::{Client, DEADLINE, Killed, Launch, Server, command, commands, rewrite, wait_until};

#[test]
fn both_signals_stop_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start();
        let mut client = server.connect();
        client.set("k", "v");
        server.signal(signal);
        client.expect_closed();
        let launch = server.launch().clone();
        server.exit().expect(0, &["stopped"]);
        assert_eq!(launch.start().connect().get("k"), Some(b"v".to_vec()));
    }
}

#[test]
fn where_nothing_can_be_logged_it_serves_and_stops_all_the_same() {
    for format in ["text", "json"] {
        let launch = Launch::new();
        let socket = launch.dir().join("s");
        let server = Launch::binary()
            .args(["serve", "--port", "0", "--log-level", "debug", "--log-format", format, "--unixsocket", "s"])
            .current_dir(launch.dir())
            .stderr(File::options().write(true).open("/dev/full").unwrap())
            .spawn()
            .unwrap();
        let mut server = Killed(server);
        wait_until("it listens", || UnixStream::connect(&socket).is_ok());
        let mut client = Client::connect_unix(&socket);
        client.set("k", "v");
        assert!(rewrite(&mut client));
        kill_process(Pid::from_child(&server.0), Signal::TERM).unwrap();
        assert_eq!(server.ends().code(), Some(0), "{format}");
        assert_eq!(launch.start().connect().get("k"), Some(b"v".to_vec()));
    }
}

/// A server whose replies to this client, of so many bytes each, keep a shutdown waiting until they are read.
fn server_with_unread_replies() -> (Server, Client, usize) {
    let value = vec![b'x'; 4 << 20];
    let server = Server::start();
    let mut client = server.connect();
    client.set("large", &value);
    client.send(command(&["GET", "large"]).repeat(20));
    wait_until("it sends replies", || {
        let list = server.connect().text("CLIENT LIST");
        list.lines().any(|line| !line.contains(" obl=0 "))
    });
    (server, client, format!("${}\r\n\r\n", value.len()).len() + value.len())
}

/// Sends it signals until it gives way: those that come with the first one do nothing.
fn insist(server: &Server, signal: Signal) {
    wait_until("it ends at once", || {
        server.signal(signal);
        server.stderr().contains("stopped at once, by a second signal")
    });
}

/// Whether the server ends as if there had been one signal, with all sent to the client that it was still to be sent,
/// and not at once.
fn finishes(server: Server, client: &mut Client, reply_bytes: usize) -> bool {
    let read = client.rest().len();
    let exit = server.exit();
    if exit.code == Some(130) {
        return false;
    }
    assert!(read > 0 && read.is_multiple_of(reply_bytes), "{read} bytes are no whole replies");
    exit.expect(0, &["stopped"]);
    true
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let (server, _client, _) = server_with_unread_replies();
        server.signal(Signal::TERM);
        server.wait_for_stderr("stopping");
        insist(&server, second);
        server.exit().expect(130, &[]);
    }
}

/// `timeout` signals the server, and its process group directly behind.
#[test]
fn signals_that_come_together_stop_it_as_one_does() {
    for signal in [Signal::TERM, Signal::INT] {
        // This machine may be busy with something else between the two, but not each time.
        let mut tries = (0..20).map(|_| {
            let (server, mut client, reply_bytes) = server_with_unread_replies();
            server.signal(signal);
            server.wait_for_stderr("stopping");
            server.signal(signal);
            finishes(server, &mut client, reply_bytes)
        });
        assert!(tries.any(|finished| finished), "the second {signal:?} ended it at once");
    }
}

/// `systemctl stop` sends one, whoever has stopped the server before.
#[test]
fn the_first_signal_after_a_shutdown_by_command_is_no_second_one() {
    for signal in [Signal::TERM, Signal::INT] {
        for insists in [false, true] {
            let (server, mut client, reply_bytes) = server_with_unread_replies();
            server.connect().send("SHUTDOWN\r\n").expect_closed();
            server.wait_for_stderr("stopping");
            server.signal(signal);
            if insists {
                insist(&server, signal);
                server.exit().expect(130, &[]);
            } else {
                assert!(finishes(server, &mut client, reply_bytes), "{signal:?} ended it at once");
            }
        }
    }
}

#[test]
fn what_is_sent_behind_a_shutdown_is_not_done() {
    let server = Server::start();
    let mut client = server.connect();
    for wrong in ["SHUTDOWN NOW nonsense", "SHUTDOWN SAVE NOSAVE", "SHUTDOWN ABORT NOW"] {
        client.send(commands(&format!("{wrong}, PING"))).expect("-ERR syntax error\r\n+PONG\r\n");
    }
    for not_now in ["SHUTDOWN ABORT", "SHUTDOWN ABORT abort"] {
        client.send(commands(&format!("{not_now}, PING"))).expect("-ERR No shutdown in progress.\r\n+PONG\r\n");
    }
    client.send(commands("SET before v, GET before, SHUTDOWN NOW, SET behind v, PING"));
    client.expect("+OK\r\n$1\r\nv\r\n").expect_closed();
    let launch = server.launch().clone();
    server.exit().expect(0, &["stopped"]);
    let server = launch.start();
    let mut client = server.connect();
    assert_eq!((client.get("before"), client.get("behind")), (Some(b"v".to_vec()), None));
}

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
        assert_eq!(self.server.ends().code(), Some(0));
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
