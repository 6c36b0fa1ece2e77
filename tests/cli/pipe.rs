//! `--pipe`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use crate::helpers::{Exit, wait_until};
use crate::server::{Server, cli};

#[test]
fn lines_and_resp_are_sent_and_counted() {
    let server = Server::start(&[]);
    let lines: String = (0..20_000).map(|i| format!("set key{i} \"value \\x41 {i}\"\n")).collect();
    let ran = server.run(&["--pipe"], lines);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("errors: 0, replies: 20000 ("), "{}", ran.stdout);
    assert_eq!(server.ok(&["get", "key19999"]), "value A 19999\n");

    let ran = server.run(&["--pipe", "--json"], "*3\r\n$3\r\nSET\r\n$1\r\nr\r\n$2\r\n\r\n\r\n*1\r\n$4\r\nPING\r\n");
    assert!(ran.stdout.starts_with('{') && ran.stdout.contains("\"replies\":2"), "{}", ran.stdout);
    assert_eq!(server.ok(&["--json", "get", "r"]), "\"\\r\\n\"\n");
    let ran = server.run(&["--pipe", "--output", "csv"], "ping\nping\n");
    assert!(ran.stdout.starts_with("replies,errors,seconds,replies_per_sec\n2,0,"), "{}", ran.stdout);
}

#[test]
fn errors_are_counted_and_named() {
    let server = Server::start(&[]);
    let ran = server.run(&["--pipe"], "set a 1\n\nnope\nget\nping\n");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.starts_with("errors: 2, replies: 4 "), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("line 3: ERR unknown") && ran.stderr.contains("line 4: ERR wrong number"),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_input_that_breaks_off_is_an_error() {
    let server = Server::start(&[]);
    let ran = server.run(&["--pipe"], "*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.starts_with("errors: 0, replies: 1 "), "{}", ran.stdout);
    assert!(ran.stderr.contains("command 2, at byte 14 of the input: the input ends in the middle"), "{}", ran.stderr);
    let ran = server.run(&["--pipe"], "*1\r\n$4\r\nPI");
    assert!(ran.stderr.contains("command 1, at byte 0 of the input"), "{}", ran.stderr);
}

#[test]
fn comments_are_not_looked_at_and_long_lines_are_whole() {
    let server = Server::start(&[]);
    let long = "x".repeat(1_000_000);
    let ran = server.run(&["--pipe"], format!("# don't\nset k {long}\n"));
    assert_eq!((ran.code, &ran.stderr[..]), (Some(0), ""));
    assert_eq!(server.ok(&["strlen", "k"]), "1000000\n");
}

#[test]
fn what_looks_like_half_a_command_is_never_run() {
    let server = Server::start(&[]);
    server.ok(&["set", "k", "v"]);
    // An array that is one short: its last argument is no command.
    let ran = server.run(&["--pipe"], "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n$8\r\nFLUSHALL\r\n");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.starts_with("errors: 0, replies: 1 "), "{}", ran.stdout);
    assert!(ran.stderr.contains("command 2, at byte 20 of the input: a command begins with '$'"), "{}", ran.stderr);
    assert_eq!(server.ok(&["get", "k"]), "v\n");
}

#[test]
fn every_kind_of_reply_is_counted_once() {
    let Some(server) = Server::peer("redis-server") else { return };
    let lines = "ping\nset k v\nget k\nget nothing\nexists k\nhset h f v\nhgetall h\ncommand docs get\nincr k\n\
                 hello 3\nhgetall h\nget nothing\nzadd z 1.5 m\nzscore z m\nclient tracking on\nget k\nset k 1\n\
                 eval \"return redis.error_reply('ERR ' .. string.rep('x', 100000))\" 0\nget k\n";
    let ran = server.run(&["--pipe"], lines);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.starts_with("errors: 2, replies: 19 "), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("line 9: ERR value is not") && ran.stderr.contains("line 18: ERR xxx"),
        "{}",
        ran.stderr
    );
    // More replies than commands are no reason to panic, or to wait.
    let ran = server.run(&["--pipe"], "subscribe a b c\nping\n");
    assert_eq!((ran.code, &ran.stderr[..]), (Some(0), ""));
}

#[test]
fn nothing_is_sent_well() {
    let server = Server::start(&[]);
    let ran = server.run(&["--pipe"], "");
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.starts_with("errors: 0, replies: 0 "), "{}", ran.stdout);
}

#[test]
fn a_server_that_goes_away_is_told_with_what_is_unknown() {
    let server = Server::start(&[]);
    let ran = server.run(&["--pipe"], "set a 1\nshutdown\nset b 2\nset c 3\n");
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("outcome is unknown"), "{}", ran.stderr);
}

#[test]
fn a_server_that_owes_replies_is_given_up_once_it_has_everything() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut command = cli(&["-p", &port, "--pipe", "--pipe-timeout", "0.2"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"ping\n").unwrap();
    wait_until("it gives up", || child.try_wait().unwrap().is_some());
    let ran = Exit::of(child.wait_with_output().unwrap());
    assert!(ran.stdout.starts_with("errors: 0, replies: 0 "), "{}", ran.stdout);
    ran.expect(3, &["kvred: no reply within 0.2 s after everything was sent; ", "its outcome is unknown"]);
}

#[test]
fn a_server_that_is_yet_to_be_sent_more_is_not_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut command = cli(&["-p", &port, "--pipe", "--pipe-timeout", "0.2"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"nope\n").unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 100]).unwrap() > 0);
    // Longer than the timeout: it has not begun.
    std::thread::sleep(Duration::from_secs(1));
    stream.write_all(b"-ERR late\r\n").unwrap();
    let mut told = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut told).unwrap();
    drop(input);
    let ran = Exit::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, &told[..], &ran.stderr[..]), (Some(1), "kvred: line 1: ERR late\n", ""));
    assert!(ran.stdout.starts_with("errors: 1, replies: 1 "), "{}", ran.stdout);
}

#[test]
fn errors_count_also_where_nobody_reads_the_report() {
    let server = Server::start(&[]);
    for (lines, code) in [("set a 1\nnope\n", 1), ("set a 1\n*1\r\n$4\r\nPI", 1), ("set a 1\n", 0)] {
        let mut command = server.cli(&["--pipe"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let ran = Exit::of(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stderr.is_empty()), (Some(code), code == 0), "{lines:?}: {ran:?}");
    }
}
