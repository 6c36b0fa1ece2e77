//! Typing: completion, hints, colours, open quotes, pasting, the history, terminals that can do little.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{CWD, FileType, makedev, mknodat};
use tempfile::TempDir;

use super::Session;
use crate::helpers::skip;
use crate::helpers::terminal::Terminal;
use crate::server::Server;

#[test]
fn tab_completes_commands_subcommands_options_and_keys_seen() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.prompt();
    s.types("exis\t");
    s.sees("exists ");
    s.types("a-long-key-name\r");
    s.sees("(integer) 0");
    s.types("client no-e\t");
    s.sees("no-evict ");
    s.types("o\t\t");
    s.sees("off");
    s.presses('u');
    s.types("scan 0 cou\t5\r");
    s.sees("scan 0 count 5");
    s.sees("(empty array)");
    s.types("get a-lo\t\r");
    s.sees("a-long-key-name");
    s.sees("(nil)");
    s.enters("set größe 1", "OK");
    s.types("get grö\t\r");
    s.sees("get größe ");
    s.sees("\"1\"");
    s.leaves();
}

#[test]
fn hints_show_the_arguments_and_unknown_commands() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.prompt();
    s.types("set ");
    s.sees("key value");
    s.presses('u');
    // A number alone is a count that is being typed.
    s.types("33");
    s.sees("33");
    s.types(" set k ");
    assert!(!s.sees("value [NX").contains("(unknown command)"));
    s.presses('u');
    s.types("nonsense ");
    s.sees("(unknown command)");
    s.presses('u');
    s.types(":set hints off\r");
    s.types("set k v\r");
    assert!(!s.sees("OK").contains("key value"));
    s.leaves();
}

#[test]
fn colours_mark_known_and_unknown_commands() {
    let server = Server::start(&[]);
    let mut s = Session::with(server.port, &[], |command| {
        command.env_remove("NO_COLOR");
    });
    s.types("get ");
    s.sees("\u{1b}[1;32mget");
    s.presses('u');
    s.types("nonsense ");
    s.sees("\u{1b}[31mnonsense");
    s.presses('u');
    s.enters("exists k", "\u{1b}[36m(integer) 0");
    s.leaves();
}

#[test]
fn no_color_has_no_colour() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.types("exists k\r");
    let before = s.sees("(integer) 0");
    assert!(!before.contains("\u{1b}[3") && !before.contains("\u{1b}[1;3"), "{before:?}");
    // Unless somebody wants some.
    s.enters(":set color on", "> ");
    s.types("get ");
    s.sees("\u{1b}[1;32mget");
    s.presses('u');
    s.leaves();
}

#[test]
fn a_dumb_terminal_is_served_plainly() {
    let server = Server::start(&[]);
    let mut s = Session::with(server.port, &[], |command| {
        command.env("TERM", "dumb");
    });
    s.types("exists k\r");
    let before = s.sees("(integer) 0");
    assert!(!before.contains('\u{1b}'), "{before:?}");
    s.leaves();
}

#[test]
fn ctrl_c_at_a_dumb_terminal_drops_the_line_and_says_so() {
    let server = Server::start(&[]);
    let mut s = Session::with(server.port, &[], |command| {
        command.env("TERM", "dumb");
    });
    s.prompt();
    s.types("echo not-sent");
    s.presses('c');
    s.prompt();
    s.enters("echo sent", "\"sent\"");
    s.prompt();
    s.types("echo \"one\r");
    s.presses('c');
    s.prompt();
    s.enters("echo \"two\rlines\"", "\"two\\nlines\"");
    s.prompt();
    s.presses('d');
    // What comes next, such as the shell's prompt, is on a line of its own.
    let (rest, code) = s.ends();
    assert!(rest.ends_with('\n'), "{rest:?}");
    assert_eq!(code, 0);
}

#[test]
fn what_is_not_utf_8_is_not_sent_and_ends_nothing() {
    let server = Server::start(&[]);
    for term in ["xterm", "dumb"] {
        let mut s = Session::with(server.port, &[], |command| {
            command.env("TERM", term);
        });
        s.prompt();
        s.types_bytes(b"echo \xffnope\r");
        s.sees("(what was typed is not UTF-8; nothing was sent");
        s.prompt();
        s.types("echo sent\r");
        let before = s.sees("\"sent\"");
        assert!(!before.contains("unknown command 'nope'"), "{before:?}");
        s.leaves();
    }
}

#[test]
fn comments_are_not_sent() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.prompt();
    s.types("# it's a comment\r");
    s.prompt();
    s.types("\u{1b}[200~# don't\nset a 1\n  # not this either\nget a\u{1b}[201~\r");
    assert!(!s.sees("\"1\"").contains("error"));
    s.leaves();
}

#[test]
fn an_open_quote_goes_on_in_the_next_line() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.prompt();
    s.types("set k \"one\r");
    s.sees("(a quote is open; Ctrl-C gives up)");
    s.presses('c');
    // All of the hint goes, though nothing stands before it.
    s.sees("\u{1b}[A\u{1b}[1G\u{1b}[K");
    s.prompt();
    s.enters("set k \"one\rtwo\"", "OK");
    s.enters("get k", "\"one\\ntwo\"");
    s.leaves();
}

#[test]
fn an_open_quote_has_no_hint_behind_it() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.prompt();
    s.types("nonsense \"one");
    s.sees("(unknown command)");
    s.types("\r");
    s.sees("(a quote is open");
    s.types("two");
    // The first letter draws all of it anew, hint and all.
    let mut shown = s.sees("wo");
    s.types("\r");
    shown += &s.sees("(a quote is open");
    assert!(!shown.contains("(unknown command)"), "{shown:?}");
    s.types("\"\r");
    s.sees("ERR unknown command");
    s.leaves();
}

#[test]
fn ctrl_r_searches_the_history() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.enters("echo needle", "\"needle\"");
    s.enters("echo other", "\"other\"");
    s.presses('r');
    s.types("need");
    s.sees("echo needle");
    s.types("\r");
    s.sees("\"needle\"");
    s.leaves();
}

#[test]
fn the_history_is_private_and_holds_no_password() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    for line in ["auth s3cret", "3 auth s3cret", "hello 2 auth u s3cret", "config set requirepass s3cret"] {
        s.enters(line, "(error)");
    }
    s.enters("echo remembered", "\"remembered\"");
    s.prompt();
    // The arrow brings back what is remembered, and there is nothing before it.
    s.types("\u{1b}[A\u{1b}[A\r");
    s.sees("\"remembered\"");
    let path = s.history();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let state = s.leaves();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("echo remembered") && !text.contains("s3cret"), "{text}");
    let mut again = Session::with(server.port, &[], |command| {
        command.env("XDG_STATE_HOME", state.path());
    });
    again.types("\u{1b}[A\u{1b}[A\r");
    again.sees("\"remembered\"");
    again.leaves();
}

/// As of a link to /dev/null, which would be closed to all others.
#[test]
fn what_is_no_regular_file_is_no_history_and_keeps_its_mode() {
    let server = Server::start(&[]);
    // Nobody reads from the fifo: to open it would take for ever.
    for (kind, says) in [(FileType::Fifo, "cli_history: it is no regular file)"), (FileType::CharacterDevice, "")] {
        let state = TempDir::new().unwrap();
        let node = state.path().join("node");
        if mknodat(CWD, &node, kind, 0o600.into(), makedev(1, 3)).is_err() {
            skip("only root can make a device");
            continue;
        }
        fs::set_permissions(&node, Permissions::from_mode(0o666)).unwrap();
        fs::create_dir(state.path().join("kvred")).unwrap();
        symlink(&node, state.path().join("kvred/cli_history")).unwrap();
        let mut command = server.cli(&[]);
        command.env("XDG_STATE_HOME", state.path()).env("NO_COLOR", "1");
        let mut terminal = Terminal::start(command);
        let said = terminal.sees("connected to");
        assert!(said.contains(says) && said.contains("no history") != says.is_empty(), "{said}");
        terminal.enters("echo works", "\"works\"");
        terminal.types("quit\r");
        assert_eq!(terminal.ends().1, 0);
        assert_eq!(fs::metadata(&node).unwrap().permissions().mode() & 0o777, 0o666, "{kind:?}");
    }
}

#[test]
fn ctrl_c_clears_the_line_and_ctrl_d_leaves() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.prompt();
    s.types("echo not-sent");
    s.presses('c');
    // The prompt is drawn anew with each letter, too: first the line is left.
    s.sees("\u{1b}[?2004l");
    s.prompt();
    s.enters("echo sent", "\"sent\"");
    s.prompt();
    // A hint would look as if it had been typed.
    s.types("get ");
    s.sees("key");
    s.presses('c');
    let column = format!("127.0.0.1:{}> get ", s.port).len() + 1;
    s.sees(&format!("\u{1b}[A\u{1b}[{column}G\u{1b}[K"));
    s.prompt();
    s.presses('d');
    assert_eq!(s.ends().1, 0);
}

#[test]
fn clear_clears_the_screen() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.prompt();
    s.enters("clear", "\u{1b}[H\u{1b}[J");
    s.leaves();
}

#[test]
fn pasted_lines_run_one_after_the_other() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.prompt();
    s.types("\u{1b}[200~set a 1\nset b 'x y'\nget b\u{1b}[201~\r");
    s.sees("\"x y\"");
    s.enters("get a", "\"1\"");
    s.leaves();
}

#[test]
fn a_long_line_survives_a_terminal_that_changes_its_size() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.prompt();
    let value = "0123456789".repeat(40);
    s.types(&format!("set k {}", &value[..300]));
    s.resize(40, 12);
    s.types(&value[300..]);
    s.resize(100, 30);
    s.enters("", "OK");
    s.leaves();
    assert_eq!(server.ok(&["get", "k"]), format!("{value}\n"));
}
