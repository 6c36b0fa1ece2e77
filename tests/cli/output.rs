//! The formats, through the binary.

use std::process::Stdio;

use crate::helpers::Launch;
use crate::helpers::terminal::Terminal;
use crate::server::{Server, run};

#[test]
fn null_and_empty_differ_where_the_format_can_tell() {
    let server = Server::start(&[]);
    server.ok(&["set", "empty", ""]);
    for (format, empty, null) in [
        ("pretty", "\"\"\n", "(nil)\n"),
        ("csv", "\"\"\n", "NULL\n"),
        ("json", "\"\"\n", "null\n"),
        ("raw", "\n", "\n"),
    ] {
        assert_eq!(server.ok(&["--output", format, "get", "empty"]), empty);
        assert_eq!(server.ok(&["--output", format, "get", "nothing"]), null);
    }
}

#[test]
fn auto_is_raw_in_a_pipe_and_colour_only_when_asked_for() {
    let server = Server::start(&[]);
    assert_eq!(server.ok(&["exists", "nothing"]), "0\n");
    assert_eq!(server.ok(&["--output", "pretty", "exists", "x"]), "(integer) 0\n");
    assert_eq!(
        server.ok(&["--output", "pretty", "--color", "always", "exists", "x"]),
        "\u{1b}[36m(integer) 0\u{1b}[0m\n"
    );
}

#[test]
fn wrong_usage_and_help_are_in_colour_as_replies_are() {
    for (args, variable, in_a_pipe, at_a_terminal) in [
        (&["cli", "--nope"][..], "", false, true),
        (&["cli", "--nope"], "never", false, false),
        (&["cli", "--nope"], "always", true, true),
        (&["--color", "never", "cli", "--nope"], "always", false, false),
        (&["cli", "--color=always", "--nope"], "never", true, true),
        (&["bench", "--help"], "never", false, false),
        (&["bench", "--help"], "always", true, true),
        (&["--color", "nope"], "always", false, true),
    ] {
        let command = || {
            let mut command = Launch::binary();
            command.args(args).env("KVRED_COLOR", variable).env("TERM", "xterm");
            command
        };
        let ran = run(command(), "");
        assert_eq!((ran.stdout + &ran.stderr).contains('\u{1b}'), in_a_pipe, "{args:?} {variable:?}");
        let (screen, _) = Terminal::start(command()).ends();
        assert_eq!(screen.contains('\u{1b}'), at_a_terminal, "{args:?} {variable:?}: {screen:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_base64_in_json() {
    let server = Server::start(&[]);
    server.run(&["-x", "set", "k"], b"\xff\x00");
    assert_eq!(server.ok(&["--json", "get", "k"]), "{\"base64\":\"/wA=\"}\n");
    assert_eq!(server.ok(&["--output", "pretty", "get", "k"]), "\"\\xff\\x00\"\n");
}

#[test]
fn without_a_newline_a_value_is_its_bytes_whatever_the_variable_says() {
    let server = Server::start(&[]);
    server.run(&["-x", "set", "k"], "a \"b\"\n");
    for format in ["pretty", "csv", "json"] {
        let get = |flags: &[&str]| {
            let mut command = server.cli(flags);
            command.args(["get", "k"]).env("KVRED_OUTPUT", format);
            run(command, "").stdout
        };
        assert_eq!(get(&["--no-newline"]), "a \"b\"\n", "{format}");
        assert_ne!(get(&[]), "a \"b\"\n", "{format}");
        assert_eq!(get(&["--no-newline", "--output", "json"]), r#""a \"b\"\n""#, "a flag is meant");
    }
}

#[test]
fn one_format_is_asked_for_and_a_flag_comes_before_the_variable() {
    let server = Server::start(&[]);
    for flags in ["--json --output csv", "--output pretty --raw", "--csv --json", "--raw --no-raw"] {
        let flags: Vec<&str> = flags.split(' ').chain(["get", "nothing"]).collect();
        let ran = server.run(&flags, "");
        assert_eq!((ran.code, &ran.stdout[..]), (Some(2), ""), "{flags:?}: {ran:?}");
    }
    for (flag, null) in [("--json", "null\n"), ("--csv", "NULL\n"), ("--raw", "\n"), ("--no-raw", "(nil)\n")] {
        for variable in ["json", "csv", "raw", "pretty"] {
            let mut command = server.cli(&[flag, "get", "nothing"]);
            command.env("KVRED_OUTPUT", variable);
            let ran = run(command, "");
            assert_eq!((ran.code, &ran.stdout[..], &ran.stderr[..]), (Some(0), null, ""), "{flag} {variable}");
        }
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let server = Server::start(&[]);
    server.run(&["-x", "set", "k"], vec![b'x'; 1 << 20]);
    let mut child =
        server.cli(&["-r", "50", "get", "k"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
}
