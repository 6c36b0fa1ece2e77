//! `--pipe`.

use crate::server::Server;

#[test]
fn lines_and_resp_are_sent_and_counted() {
    let server = Server::start(&[]);
    let lines: String = (0..20_000).map(|i| format!("set key{i} \"value \\x41 {i}\"\n")).collect();
    let ran = server.run(&["--pipe"], lines);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with("errors: 0, replies: 20000 ("), "{}", ran.out);
    assert_eq!(server.ok(&["get", "key19999"]), "value A 19999\n");

    let ran = server.run(&["--pipe", "--json"], "*3\r\n$3\r\nSET\r\n$1\r\nr\r\n$2\r\n\r\n\r\n*1\r\n$4\r\nPING\r\n");
    assert!(ran.out.starts_with("{") && ran.out.contains("\"replies\":2"), "{}", ran.out);
    assert_eq!(server.ok(&["--json", "get", "r"]), "\"\\r\\n\"\n");
}

#[test]
fn errors_are_counted_and_named() {
    let server = Server::start(&[]);
    let ran = server.run(&["--pipe"], "set a 1\n\nnope\nget\nping\n");
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.starts_with("errors: 2, replies: 4 "), "{}", ran.out);
    assert!(ran.err.contains("line 3: ERR unknown") && ran.err.contains("line 4: ERR wrong number"), "{}", ran.err);
}

#[test]
fn an_input_that_breaks_off_is_an_error() {
    let server = Server::start(&[]);
    let ran = server.run(&["--pipe"], "*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab");
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.starts_with("errors: 0, replies: 1 "), "{}", ran.out);
    assert!(ran.err.contains("command 2: the input ends in the middle of a command"), "{}", ran.err);
}

#[test]
fn nothing_is_sent_well() {
    let server = Server::start(&[]);
    let ran = server.run(&["--pipe"], "");
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.starts_with("errors: 0, replies: 0 "), "{}", ran.out);
}

#[test]
fn a_server_that_goes_away_is_told_with_what_is_unknown() {
    let server = Server::start(&[]);
    let ran = server.run(&["--pipe"], "set a 1\nshutdown\nset b 2\nset c 3\n");
    assert_eq!(ran.code, Some(3));
    assert!(ran.err.contains("their outcome is unknown"), "{}", ran.err);
}
