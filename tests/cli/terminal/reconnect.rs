//! What goes over which connection: nothing that was meant for a transaction that is gone, a login to its own server
//! alone, and nothing that was pasted behind a command that was refused or stopped.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::Session;
use crate::helpers::{commands, wait_until, wait_until_told_of_the_end};

/// A server that answers everything with OK, but nothing to what says `never`, and keeps what each connection brings.
struct Recorder {
    port: u16,
    connections: Arc<Mutex<Vec<(TcpStream, String)>>>,
}

impl Recorder {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut request) = (stream.unwrap(), [0; 1000]);
                kept.lock().unwrap().push((stream.try_clone().unwrap(), String::new()));
                while let Ok(len @ 1..) = stream.read(&mut request) {
                    let request = String::from_utf8_lossy(&request[..len]);
                    kept.lock().unwrap().last_mut().unwrap().1 += &request;
                    if !request.contains("never") {
                        stream.write_all(b"+OK\r\n").unwrap();
                    }
                }
            }
        });
        Self { port, connections }
    }

    /// What each connection has brought so far.
    fn told(&self) -> Vec<String> {
        self.connections.lock().unwrap().iter().map(|(_, told)| told.clone()).collect()
    }

    /// Closes the last connection, of which the session is told.
    fn hangs_up(&self) {
        self.connections.lock().unwrap().last().unwrap().0.shutdown(Shutdown::Write).unwrap();
        wait_until_told_of_the_end(self.port);
    }
}

/// Commands as they are sent.
fn sent(lines: &str) -> String {
    String::from_utf8(commands(lines)).unwrap()
}

#[test]
fn a_command_typed_where_a_transaction_is_gone_is_not_sent() {
    for term in ["xterm", "dumb"] {
        for begins in ["multi", "watch b"] {
            let server = Recorder::start();
            let mut s = Session::with(server.port, &[], |command| {
                command.env("TERM", term);
            });
            s.prompt();
            s.enters(begins, "OK");
            s.sees("> ");
            server.hangs_up();
            s.types("set b 2\r");
            s.sees("(the open transaction or WATCH is gone with its connection; nothing typed since is sent)");
            s.prompt();
            s.enters("echo new", "OK");
            assert_eq!(server.told()[1..], [sent("echo new")], "{term} {begins}");
            s.leaves();
        }
    }
}

#[test]
fn a_login_goes_to_each_new_connection_of_its_server_until_reset() {
    let server = Recorder::start();
    let mut s = Session::with(server.port, &[], |_| {});
    s.prompt();
    for (line, told) in [
        ("auth ann pw", "AUTH ann pw, echo new"),
        ("reset", "echo new"),
        ("hello 3 setname me auth bob pw2", "AUTH bob pw2, HELLO 3, echo new"),
        ("auth pw3", "AUTH pw3, HELLO 3, echo new"),
        ("reset", "echo new"),
    ] {
        s.enters(line, "OK");
        s.prompt();
        server.hangs_up();
        s.enters("echo new", "OK");
        s.prompt();
        assert_eq!(server.told().pop(), Some(sent(told)), "{line}");
    }
    s.leaves();
}

#[test]
fn a_login_stays_behind_where_connect_goes_to_another_server() {
    let (one, two) = (Recorder::start(), Recorder::start());
    for to in [format!("127.0.0.1 {}", two.port), format!("redis://127.0.0.1:{}", two.port)] {
        let mut s = Session::with(one.port, &[], |_| {});
        s.prompt();
        s.enters("auth ann s3cret", "OK");
        s.types(&format!("connect {to}\r"));
        s.port = two.port;
        s.prompt();
        two.hangs_up();
        s.enters("echo new", "OK");
        let told = two.told();
        assert_eq!(told.last(), Some(&sent("echo new")));
        assert!(!told.concat().contains("s3cret"), "{told:?}");
        s.leaves();
    }
}

#[test]
fn nothing_is_sent_that_was_pasted_behind_a_command_that_was_refused_or_stopped() {
    let server = Recorder::start();
    let mut s = Session::with(server.port, &[], |_| {});
    let paste = |s: &mut Session, first: &str| {
        s.prompt();
        s.types(&format!("\u{1b}[200~{first}\nset b 2\u{1b}[201~\r"));
    };
    paste(&mut s, "flushall");
    s.sees("Go on? [y/N] ");
    s.enters("n", "(nothing was sent)");
    paste(&mut s, "99999999999999999999 ping");
    s.sees("(the repeat count is too large; nothing was sent)");
    paste(&mut s, "get never");
    wait_until("it is sent", || server.told()[0].contains("never"));
    s.presses('c');
    s.sees("(no longer waiting");
    s.prompt();
    s.enters("echo new", "OK");
    let told = server.told();
    assert!(told[1..] == [sent("echo new")] && !told[0].contains("set"), "{told:?}");
    s.leaves();
}
