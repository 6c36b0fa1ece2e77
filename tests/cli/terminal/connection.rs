//! The connection: its state in the prompt, losing and finding it, waiting, and what comes unasked.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};

use super::Session;
use crate::helpers::peer::SERVERS;
use crate::helpers::terminal::{Terminal, after};
use crate::helpers::{free_port, wait_until};
use crate::server::{Server, cli};

#[test]
fn the_prompt_tells_the_state() {
    let Some(server) = Server::peer("redis-server") else { return };
    let mut s = Session::start(&server);
    s.prompt();
    s.enters("select 2", &format!("127.0.0.1:{}[2]> ", server.port));
    s.enters("multi", "(TX)> ");
    s.enters("set k v", "QUEUED");
    s.enters("exec", "1) OK");
    // What is queued counts for what comes behind it, and in the end if it could be done.
    s.enters("multi", "(TX)> ");
    s.enters("select 3", "QUEUED");
    s.enters("flushdb", "every key in database 3 of");
    s.enters("y", "QUEUED");
    s.enters("select 99", "QUEUED");
    s.enters("exec", "3) (error)");
    s.sees("[3]> ");
    s.enters("flushdb", "every key in database 3 of");
    s.enters("n", "nothing was sent");
    s.leaves();
}

#[test]
fn ctrl_c_stops_waiting_and_slow_replies_are_timed() {
    let Some(server) = Server::peer("redis-server") else { return };
    let mut s = Session::start(&server);
    s.enters("blpop nothing 0.7", "(nil)");
    s.sees("s)");
    s.prompt();
    s.types("blpop nothing 0\r");
    wait_until("it blocks", || server.ok(&["client", "list"]).contains(" flags=b "));
    s.presses('c');
    s.sees("unknown, and it is not sent again");
    s.enters("ping", "PONG");
    s.leaves();
}

#[test]
fn a_subscription_shows_what_comes_until_ctrl_c() {
    let Some(server) = Server::peer("redis-server") else { return };
    for flags in [&[][..], &["-3"]] {
        let mut s = Session::with(server.port, flags, |_| {});
        s.enters("subscribe ch", "(integer) 1");
        server.ok(&["publish", "ch", "hello there"]);
        s.sees("hello there");
        s.presses('c');
        s.prompt();
        s.enters("ping", "PONG");
        s.leaves();
    }
}

#[test]
fn what_is_pushed_is_shown_above_the_prompt_as_it_comes() {
    for name in SERVERS {
        let Some(server) = Server::peer(name) else { continue };
        let mut s = Session::with(server.port, &["-3"], |_| {});
        s.enters("client tracking on", "OK");
        let mut reply = "(nil)".to_owned();
        for round in 0..3 {
            s.enters("get k", &reply);
            s.prompt();
            // Half a command is typed; nobody presses Enter.
            s.types("echo ab");
            s.sees("echo a");
            server.ok(&["set", "k", &round.to_string()]);
            s.sees("\"invalidate\"");
            s.sees("\"k\"");
            s.prompt();
            s.sees("echo ab");
            s.types("c\r");
            s.sees("\"abc\"");
            s.prompt();
            reply = format!("\"{round}\"");
        }
        s.leaves();
    }
}

#[test]
fn pushes_while_the_history_is_searched_wait_and_hold_nothing_up() {
    let Some(server) = Server::peer("redis-server") else { return };
    let mut s = Session::with(server.port, &["-3"], |_| {});
    s.enters("client tracking on bcast", "OK");
    s.enters("echo needle", "\"needle\"");
    s.prompt();
    s.presses('r');
    s.types("need");
    s.sees("echo needle");
    // More than any queue on the way holds.
    let lines: String = (0..3000).map(|i| format!("set key{i} x\n")).collect();
    server.run(&["--pipe"], lines);
    s.types("\r");
    // All of them may have come before the reply.
    if !s.sees("\"needle\"").contains("\"invalidate\"") {
        s.sees("\"invalidate\"");
    }
    s.enters("echo still here", "(error) ERR wrong number");
    s.enters("echo here", "\"here\"");
    s.leaves();
}

#[test]
fn connect_goes_to_another_server() {
    let (one, two) = (Server::start(&[]), Server::start(&[]));
    two.ok(&["set", "k", "on two"]);
    let mut s = Session::start(&one);
    s.enters("get k", "(nil)");
    s.types(&format!("connect 127.0.0.1 {}\r", two.port));
    s.port = two.port;
    s.prompt();
    s.enters("get k", "\"on two\"");
    s.enters("connect nonsense", "connect HOST PORT");
    s.enters("connect localhost 0", "('0' is no port)");
    s.leaves();
}

#[test]
fn connect_keeps_the_protocol() {
    let (one, two) = (Server::start(&[]), Server::start(&[]));
    let mut s = Session::with(one.port, &["-3"], |_| {});
    for to in [format!("127.0.0.1 {}", two.port), format!("redis://127.0.0.1:{}", two.port)] {
        s.types(&format!("connect {to}\r"));
        s.sees(&format!("127.0.0.1:{}> ", two.port));
        s.enters("client info", "resp=3");
    }
    s.leaves();
}

#[test]
fn ctrl_c_stops_an_attempt_to_go_to_another_server() {
    let server = Server::start(&[]);
    let mut s = Session::with(server.port, &["-t", "600"], |_| {});
    s.prompt();
    // It takes connections, and does not answer a login.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    s.types(&format!("connect redis://:pw@127.0.0.1:{port}\r"));
    let _connection = silent.accept().unwrap();
    s.presses('c');
    s.sees("(not connected; the next command tries again)");
    s.sees(&format!("127.0.0.1:{port} (not connected)> "));
    s.types(&format!("connect 127.0.0.1 {}\r", server.port));
    s.prompt();
    s.enters("ping", "PONG");
    s.leaves();
}

#[test]
fn ctrl_c_stops_what_was_pasted_behind_an_attempt_to_connect() {
    let server = Server::start(&[]);
    let mut s = Session::with(server.port, &["-t", "600"], |_| {});
    s.prompt();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let to_silent = format!("connect redis://:pw@127.0.0.1:{}", silent.local_addr().unwrap().port());
    let back = format!("connect 127.0.0.1 {}", server.port);
    s.types(&format!("\u{1b}[200~{to_silent}\n{back}\nset k v\u{1b}[201~\r"));
    let _connection = silent.accept().unwrap();
    s.presses('c');
    s.sees("(not connected; the next command tries again)");
    s.types(&format!("{back}\rping\r"));
    let seen = s.sees("PONG");
    assert!(seen.contains("(stopped; what was left is not sent)"), "{seen}");
    assert_eq!(server.ok(&["exists", "k"]), "0\n");
    s.leaves();
}

/// A server that, each time it is armed, hands over the connection of the next `ECHO` instead of answering. It answers
/// all else, and counts the other ECHOs.
struct HoldsBack {
    port: u16,
    held: Receiver<TcpStream>,
    armed: Arc<AtomicBool>,
    echoed: Arc<AtomicUsize>,
}

impl HoldsBack {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (hand_over, held) = channel();
        let (armed, echoed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_armed, echoes) = (Arc::clone(&armed), Arc::clone(&echoed));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut request) = (stream.unwrap(), [0; 1000]);
                while let Ok(len @ 1..) = stream.read(&mut request) {
                    let is_echo = request[..len].windows(4).any(|word| word == b"echo");
                    if is_echo && is_armed.swap(false, Ordering::SeqCst) {
                        hand_over.send(stream.try_clone().unwrap()).unwrap();
                        continue;
                    }
                    echoes.fetch_add(usize::from(is_echo), Ordering::SeqCst);
                    stream.write_all(b"+OK\r\n").unwrap();
                }
            }
        });
        Self { port, held, armed, echoed }
    }
}

#[test]
fn ctrl_c_that_comes_together_with_a_reply_stops_a_repeated_command() {
    let server = HoldsBack::start();
    let mut command = cli(&["-p", &server.port.to_string()]);
    // At such a terminal it has one thread, which runs nothing more before it has taken the signal.
    command.env("KVRED_HISTFILE", "").env("TERM", "dumb");
    let mut terminal = Terminal::start(after("echo \"pid $$.\"", &command));
    terminal.sees("pid ");
    let pid = Pid::from_raw(terminal.sees(".").parse().unwrap()).unwrap();
    terminal.sees("connected to");
    // Which of the two is looked at first is left to chance.
    for round in 0..16 {
        terminal.sees("> ");
        server.armed.store(true, Ordering::SeqCst);
        terminal.types("3 echo again\r");
        let mut stream = server.held.recv().unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
        wait_until("it stands still", || fs::read_to_string(&stat).unwrap().contains(") T "));
        stream.write_all(b"+OK\r\n").unwrap();
        kill_process(pid, Signal::INT).unwrap();
        kill_process(pid, Signal::CONT).unwrap();
        terminal.types("ping\r");
        let seen = terminal.sees("> ");
        assert!(seen.contains("(stopped; ") || seen.contains("(no longer waiting; "), "round {round}: {seen}");
        assert_eq!(server.echoed.load(Ordering::SeqCst), 0, "round {round}: {seen}");
        terminal.sees("OK");
    }
    terminal.types("quit\r");
    assert_eq!(terminal.ends().1, 0);
}

/// A session at its prompt whose server was killed, and the port for the next one.
fn session_without_its_server() -> (u16, Session) {
    let port = free_port();
    let mut server = Server::start_on(port, &[]);
    let mut s = Session::start(&server);
    s.enters("ping", "PONG");
    s.prompt();
    server.kill();
    crate::helpers::wait_until_told_of_the_end(port);
    (port, s)
}

#[test]
fn a_lost_connection_is_said_and_opened_again() {
    let (port, mut s) = session_without_its_server();
    let _server = Server::start_on(port, &[]);
    s.types("echo back\r");
    s.sees("was lost)");
    s.sees("(connected again)");
    s.sees("\"back\"");
    s.leaves();
}

#[test]
fn a_server_that_stays_away_leaves_a_prompt_that_says_so() {
    let (port, mut s) = session_without_its_server();
    s.enters("ping", "Ctrl-C stops");
    s.presses('c');
    s.sees("the next command tries again");
    s.sees("(the command was not sent)");
    s.sees("(not connected)> ");
    let _server = Server::start_on(port, &[]);
    s.enters("ping", "PONG");
    s.leaves();
}

#[test]
fn a_command_of_unknown_fate_is_not_sent_again() {
    // A server that takes SET, and is gone before it answers; it refuses everything else.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let sets = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sets);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1000];
            while let Ok(len @ 1..) = stream.read(&mut request) {
                if request[..len].starts_with(b"*3\r\n$3\r\nset\r\n") {
                    counted.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                stream.write_all(b"-ERR no\r\n").unwrap();
            }
        }
    });
    let mut s = Session::with(port, &[], |_| {});
    s.prompt();
    s.types("set k v\r");
    s.sees("the outcome of the command is unknown, and it is not sent again");
    s.sees("(connected again)");
    s.enters("get k", "(error) ERR no");
    assert_eq!(sets.load(Ordering::Relaxed), 1);
    s.leaves();
}

/// A server that closes each connection behind its reply to what says `last`: its port, and what comes after the first
/// of these.
fn server_that_leaves() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (came, all) = channel();
    std::thread::spawn(move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 1000]);
            while let Ok(len @ 1..) = stream.read(&mut request) {
                let request = String::from_utf8_lossy(&request[..len]).into_owned();
                let leaves = request.contains("last");
                if nth > 0 {
                    came.send(request).unwrap();
                }
                stream.write_all(b"+OK\r\n").unwrap();
                if leaves {
                    break;
                }
            }
        }
    });
    (port, all)
}

#[test]
fn a_transaction_that_went_with_its_connection_is_said_and_nothing_typed_ahead_is_sent() {
    for term in ["xterm", "dumb"] {
        for lines in ["multi\rset last 1\rset b 2\rexec\r", "watch b\rget last\rmulti\rset b 2\rexec\r"] {
            let (port, came) = server_that_leaves();
            let mut s = Session::with(port, &[], |command| {
                command.env("TERM", term);
            });
            s.prompt();
            s.types(lines);
            s.sees("(the open transaction or WATCH is gone with its connection; nothing typed since is sent)");
            s.prompt();
            s.enters("echo new", "OK");
            let came: Vec<String> = came.try_iter().collect();
            assert!(came.len() == 1 && came[0].contains("new"), "{term} {lines:?}: {came:?}");
            s.leaves();
        }
    }
}

#[test]
fn an_empty_line_finds_a_transaction_gone_too() {
    let Some(server) = Server::peer("redis-server") else { return };
    let mut s = Session::start(&server);
    s.enters("multi", "(TX)> ");
    server.ok(&["client", "kill", "type", "normal"]);
    crate::helpers::wait_until_told_of_the_end(server.port);
    s.types("\r");
    s.sees("was lost)");
    s.sees("(the open transaction or WATCH is gone");
    s.prompt();
    s.enters("echo goes-on", "\"goes-on\"");
    s.leaves();
}
