//! Commands from the standard input, a line each.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::helpers::Exit;
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
fn quit_and_exit_end_a_script_as_in_redis_cli() {
    let server = Server::start(&[]);
    for (args, script, code, stdout) in [
        (&[][..], "set a 1\nquit\nset a 2\n", 0, "OK\n"),
        (&[], "set a 1\n\"EXIT\" \nset a 2\n", 0, "OK\n"),
        (&["--keep-going", "--json"], "set a 1\nnope\nexit\nset a 2", 1, "\"OK\"\n"),
    ] {
        let ran = server.run(args, script);
        assert_eq!((ran.code, ran.stdout.starts_with(stdout)), (Some(code), true), "{script:?}: {ran:?}");
        assert!(!ran.stderr.contains("connected again") && !ran.stderr.contains("'exit'"), "{}", ran.stderr);
        assert_eq!(server.ok(&["get", "a"]), "1\n", "{script:?}");
    }
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
fn a_nul_is_a_byte_of_its_word() {
    let server = Server::start(&[]);
    let ran = server.run(&[], "set k 'a\0b'\nset l a\0b\n");
    assert_eq!((ran.code, &ran.stdout[..], &ran.stderr[..]), (Some(0), "OK\nOK\n", ""));
    for key in ["k", "l"] {
        assert_eq!(server.run(&["--no-newline", "get", key], "").bytes, b"a\0b", "{key}");
    }
}

#[test]
fn no_input_is_a_script_that_does_well() {
    let server = Server::start(&[]);
    assert_eq!(server.ok(&[]), "");
}

/// A script whose first reply is read, and then nobody reads any more; and only then it gets the rest.
fn unread_from_the_second_on(server: &Server, args: &[&str], rest: &str) -> Exit {
    // Not a pipe: whatever another test starts holds its end too for a moment, until it becomes another program.
    let (mut reader, stdout) = UnixStream::pair().unwrap();
    let mut command = server.cli(args);
    command.stdin(Stdio::piped()).stdout(OwnedFd::from(stdout)).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"echo first\n").unwrap();
    reader.read_exact(&mut [0; 6]).unwrap();
    reader.shutdown(Shutdown::Both).unwrap();
    input.write_all(rest.as_bytes()).unwrap();
    drop(input);
    Exit::of(child.wait_with_output().unwrap())
}

#[test]
fn a_script_whose_replies_nobody_reads_is_fine_only_if_it_was_run_whole() {
    let server = Server::start(&[]);
    for (args, rest, code, says) in [
        (&[][..], "set a 1\n\n# the end\n\n", 0, ""),
        (&[], "set a 1\nquit\nset b 2\n", 0, ""),
        (&[], "set a 1\n\nset b 2\nset c 3\n", 3, "kvred: line 4 and what is behind it was not run: nobody reads"),
        (&["--keep-going"], "set a 1\nset b 2\n", 3, "kvred: line 3 and what is behind it was not run: nobody reads"),
        (&["--json"], "nope\n", 1, "kvred: line 2: ERR unknown command"),
        (&["--json", "--keep-going"], "nope\nset a 1\n", 1, "kvred: line 2: ERR unknown command"),
    ] {
        server.ok(&["flushall"]);
        let ran = unread_from_the_second_on(&server, args, rest);
        assert_eq!(ran.code, Some(code), "{args:?} {rest:?}: {ran:?}");
        assert!(ran.stderr.starts_with(says) && ran.stderr.is_empty() == says.is_empty(), "{rest:?}: {}", ran.stderr);
        assert_eq!(server.ok(&["exists", "a", "b", "c"]), if rest.contains("set") { "1\n" } else { "0\n" }, "{rest:?}");
    }
}
