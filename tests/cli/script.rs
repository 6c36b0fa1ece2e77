//! Commands from the standard input, a line each.

use crate::server::Server;

#[test]
fn a_script_stops_at_its_first_error_and_names_the_line() {
    let server = Server::start(&[]);
    let ran = server.run(&[], "set a 1\n\n# a note\nnope\nset a 2\n");
    assert_eq!((ran.code, &ran.stdout[..]), (Some(1), "OK\n"));
    assert!(ran.stderr.starts_with("kvred: line 4: ERR unknown command 'nope'"), "{}", ran.stderr);
    assert_eq!(server.ok(&["get", "a"]), "1\n");
}

#[test]
fn keep_going_runs_all_lines_and_still_exits_1() {
    let server = Server::start(&[]);
    let ran = server.run(&["--keep-going"], "nope\nset a 2\nget\nget a");
    assert_eq!((ran.code, &ran.stdout[..]), (Some(1), "OK\n2\n"));
    assert!(ran.stderr.contains("line 1: ") && ran.stderr.contains("line 3: "), "{}", ran.stderr);
}

#[test]
fn words_are_quoted_as_in_redis_cli() {
    let server = Server::start(&[]);
    let ran = server.run(&["--output", "pretty"], "set 'a key' \"\\x00\\xff \\\"\"\nget \"a key\"\nset k 'open\n");
    assert_eq!(ran.stdout, "OK\n\"\\x00\\xff \\\"\"\n");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("kvred: line 3: "), "{}", ran.stderr);
}

#[test]
fn half_a_value_is_never_sent() {
    let server = Server::start(&[]);
    let ran = server.run(&[], "set k 'a\0b'\nset k a\0b\n");
    assert_eq!((ran.code, &ran.stdout[..]), (Some(1), "OK\n"));
    assert!(
        ran.stderr.starts_with("kvred: line 2: a NUL byte outside quotes; write it as \"\\x00\""),
        "{}",
        ran.stderr
    );
    assert_eq!(server.run(&["--no-newline", "get", "k"], "").bytes, b"a\0b");
}

#[test]
fn no_input_is_a_script_that_does_well() {
    let server = Server::start(&[]);
    assert_eq!(server.ok(&[]), "");
}
