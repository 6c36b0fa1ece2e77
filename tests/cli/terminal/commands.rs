//! Commands and their replies: formats, repeat counts, help, settings, questions, the pager.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, mkfifoat};
use tempfile::TempDir;

use super::Session;
use crate::helpers::terminal::{Terminal, after};
use crate::server::Server;

#[test]
fn replies_are_typed_and_errors_marked() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.enters("set k \"a\\x00b\"", "OK");
    s.enters("get k", "\"a\\x00b\"");
    s.enters("get nothing", "(nil)");
    s.enters("exists k", "(integer) 1");
    s.enters("nope", "(error) ERR unknown command 'nope'");
    s.leaves();
}

#[test]
fn help_breaks_lines_between_words() {
    let server = Server::start(&[]);
    let mut command = server.cli(&[]);
    let state = TempDir::new().unwrap();
    command.env("XDG_STATE_HOME", state.path()).env("NO_COLOR", "1");
    let mut terminal = Terminal::sized(&command, 40, 24);
    terminal.sees("help` says more");
    terminal.types("help scan\r");
    terminal.sees("  SCAN cursor [MATCH pattern]");
    let help = terminal.sees("cost: O(1)");
    assert!(help.lines().count() > 4 && help.lines().all(|line| line.trim_end().len() < 40), "{help}");
    terminal.presses('d');
    assert_eq!(terminal.ends().1, 0);
}

#[test]
fn a_number_repeats_the_command() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.prompt();
    s.types("3 echo again\r");
    for _ in 0..3 {
        s.sees("\"again\"");
    }
    s.enters("0 echo again", "zero times: nothing was sent");
    s.enters("99999999999999999999 echo again", "too large; nothing was sent");
    s.enters("\"\" echo again", "ERR unknown command ''");
    s.leaves();
}

#[test]
fn a_number_before_the_sessions_own_words_changes_nothing() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.enters("2 help", "Groups:");
    s.prompt();
    s.enters("2 clear", "\u{1b}[H\u{1b}[J");
    s.prompt();
    s.types("2 quit\r");
    assert_eq!(s.ends().1, 0);
}

#[test]
fn help_knows_commands_groups_and_settings() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.enters("help get", "Returns the string value of a key");
    s.enters("help @string", "SET key value");
    s.enters("help", "Groups:");
    s.enters("help :set", ":set output");
    s.enters("help nonsense", "no help for");
    s.enters("help connect", "Talks to another server");
    s.leaves();
}

#[test]
fn settings_change_the_session() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.types(":set output json\r");
    s.enters("get nothing", "null");
    s.types(":set output csv\r");
    s.enters("get nothing", "NULL");
    s.types(":set timing always\r");
    // In milliseconds, or, on a very busy machine, in seconds.
    s.enters("ping", "s)");
    s.enters(":set output nonsense", "output is one of pretty, raw, csv, json");
    s.enters(":set", "ask before FLUSHALL");
    s.enters(":nonsense", "there is no :nonsense");
    s.leaves();
}

#[test]
fn json_has_objects_also_where_it_is_asked_for_in_the_session() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.enters(":set output json", "127.0.0.1");
    s.enters("config get maxmemory", r#"{"maxmemory":"0"}"#);
    // So it is over the next connection.
    s.enters(&format!("connect 127.0.0.1 {}", server.port), "127.0.0.1");
    s.enters("config get maxmemory", r#"{"maxmemory":"0"}"#);
    s.leaves();

    let mut s = Session::with(server.port, &["-2"], |_| {});
    s.enters(":set output json", "127.0.0.1");
    s.enters("config get maxmemory", r#"["maxmemory","0"]"#);
    s.leaves();
}

#[test]
fn a_server_without_resp3_answers_in_json_all_the_same() {
    let port = without_hello();
    let mut s = Session::with(port, &[], |_| {});
    s.enters(":set output json", "HELLO 3 failed: ERR unknown command; replies are RESP2's");
    s.enters("get k", r#"["v"]"#);
    s.leaves();
}

/// A server that does not know `HELLO`, and answers everything else with an array.
fn without_hello() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, mut request) = (listener.accept().unwrap().0, [0; 1000]);
        while let Ok(len @ 1..) = stream.read(&mut request) {
            let is_hello = request[..len].starts_with(b"*2\r\n$5\r\nHELLO\r\n");
            let reply = if is_hello { "-ERR unknown command\r\n" } else { "*1\r\n$1\r\nv\r\n" };
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    port
}

#[test]
fn in_a_transaction_json_says_that_its_replies_have_no_objects() {
    let Some(server) = Server::peer("redis-server") else { return };
    let mut s = Session::start(&server);
    s.enters("multi", "(TX)> ");
    s.enters(":set output json", "(a transaction is open, so maps stay arrays; say it again behind EXEC)");
    s.enters("ping", "\"QUEUED\"");
    s.enters("exec", "[\"PONG\"]");
    s.enters("config get maxmemory", r#"["maxmemory","0"]"#);
    s.enters(":set output json", "127.0.0.1");
    s.enters("config get maxmemory", r#"{"maxmemory":"0"}"#);
    s.leaves();
}

#[test]
fn flushall_asks_first() {
    let server = Server::start(&[]);
    for term in ["xterm", "dumb"] {
        let mut s = Session::with(server.port, &[], |command| {
            command.env("TERM", term);
        });
        s.enters("set k v", "OK");
        s.enters("flushall", "every key in every database of 127.0.0.1");
        s.sees("Go on? [y/N]");
        s.enters("n", "nothing was sent");
        s.enters("2 FLUSHDB", "every key in database 0 of 127.0.0.1");
        s.sees("Go on? [y/N]");
        s.presses('c');
        s.sees("nothing was sent");
        s.prompt();
        s.enters("exists k", "(integer) 1");
        s.enters("flushall", "Go on? [y/N]");
        s.enters("yes", "OK");
        s.enters("exists k", "(integer) 0");
        s.leaves();
    }
}

#[test]
fn long_replies_go_to_the_pager_if_there_is_one() {
    let server = Server::start(&[]);
    let lines: String = (0..60).map(|i| format!("set key{i} x\n")).collect();
    server.run(&["--pipe"], lines);
    let mut s = Session::with(server.port, &[], |command| {
        command.env("PAGER", "sed -e 's/^/PAGED /'");
    });
    s.enters("keys *", "PAGED  1) ");
    s.sees("PAGED 60) ");
    s.types("ping\r");
    assert!(!s.sees("PONG").contains("PAGED"));
    s.leaves();
}

#[test]
fn a_pager_that_cannot_be_run_keeps_no_reply_back() {
    let server = Server::start(&[]);
    let lines: String = (0..60).map(|i| format!("set key{i} x\n")).collect();
    server.run(&["--pipe"], lines);
    for pager in ["no-such-pager", "/etc/passwd"] {
        let mut s = Session::with(server.port, &[], |command| {
            command.env("PAGER", pager);
        });
        s.enters("keys *", "\n 1) \"key");
        s.sees("\n60) \"key");
        s.leaves();
    }
}

#[test]
fn ctrl_c_stops_a_long_reply_and_the_session_goes_on() {
    let server = Server::start(&[]);
    let lines: String = (0..30_000).map(|i| format!("set key{i} x\n")).collect();
    server.run(&["--pipe"], lines);
    // What it shows goes through a pipe that is read slowly, as a terminal far away would.
    let dir = TempDir::new().unwrap();
    let pipe = dir.path().join("out");
    mkfifoat(CWD, &pipe, 0o600.into()).unwrap();
    let mut command = after(&format!("exec >'{}'", pipe.display()), &server.cli(&["--output", "pretty"]));
    command.env("XDG_STATE_HOME", dir.path()).env("NO_COLOR", "1");
    let mut terminal = Terminal::start(command);
    let mut shown = BufReader::new(File::open(&pipe).unwrap());
    let mut line = Vec::new();
    shown.read_until(b'>', &mut line).unwrap();
    terminal.types(":set timing off\r");
    terminal.types("2 keys *\r");
    while !line.starts_with(b" 1000) ") {
        line.clear();
        shown.read_until(b'\n', &mut line).unwrap();
    }
    terminal.presses('c');
    let stopped = Arc::new(AtomicBool::new(false));
    let rest = std::thread::spawn({
        let stopped = Arc::clone(&stopped);
        move || {
            let mut rest = Vec::new();
            // Half a megabyte, which takes far longer than the key, on whatever machine.
            while !stopped.load(Ordering::SeqCst) {
                shown.by_ref().take(4 << 10).read_to_end(&mut rest).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
            shown.read_to_end(&mut rest).unwrap();
            String::from_utf8(rest).unwrap()
        }
    });
    terminal.sees("(stopped; the last ");
    stopped.store(true, Ordering::SeqCst);
    let left: usize = terminal.sees(" lines, ").parse().unwrap();
    terminal.types("echo goes-on\r");
    terminal.types("quit\r");
    assert_eq!(terminal.ends().1, 0);
    let rest = rest.join().unwrap();
    let lines = rest.lines().filter(|line| line.contains(") \"key")).count();
    assert!(left > 0 && (28_999..=29_001).contains(&(left + lines)), "{left} {lines}");
    assert!(rest.contains("\"goes-on\"") && !rest.contains(" 999) "), "it is not repeated either");
}
