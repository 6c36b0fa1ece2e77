//! The interactive session at a pseudo-terminal, a feature at a time.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::helpers::peer::SERVERS;
use crate::helpers::terminal::Terminal;
use crate::server::{Server, cli, free_port};

/// A session, and the directory of its state.
struct Session {
    terminal: Terminal,
    port: u16,
    state: TempDir,
}

impl Deref for Session {
    type Target = Terminal;

    fn deref(&self) -> &Terminal {
        &self.terminal
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Terminal {
        &mut self.terminal
    }
}

impl Session {
    fn start(server: &Server) -> Self {
        Self::with(server.port, &[], |_| {})
    }

    /// A session whose command line, or environment, is changed; without colour unless it says so.
    fn with(port: u16, args: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let state = TempDir::new().unwrap();
        let mut command = cli(&["-p", &port.to_string()]);
        command.args(args);
        command.env("XDG_STATE_HOME", state.path()).env("TERM", "xterm").env("NO_COLOR", "1");
        command.env_remove("KVRED_HISTFILE");
        change(&mut command);
        let mut session = Self { terminal: Terminal::start(command), port, state };
        session.sees("connected to");
        session
    }

    fn prompt(&mut self) -> String {
        let prompt = format!("127.0.0.1:{}> ", self.port);
        self.sees(&prompt)
    }

    fn history(&self) -> PathBuf {
        self.state.path().join("kvred/cli_history")
    }

    /// Leaves; the state stays.
    fn leaves(mut self) -> TempDir {
        self.types("quit\r");
        assert_eq!(self.ends().1, 0);
        self.state
    }
}

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
fn the_prompt_tells_the_state() {
    let Some(server) = Server::peer("redis-server") else { return };
    let mut s = Session::start(&server);
    s.prompt();
    s.enters("select 2", &format!("127.0.0.1:{}[2]> ", server.port));
    s.enters("multi", "(TX)> ");
    s.enters("set k v", "QUEUED");
    s.enters("exec", "1) OK");
    s.leaves();
}

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
fn an_open_quote_goes_on_in_the_next_line() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
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
    s.types("\rtwo");
    let before = s.sees("o");
    assert!(!before.contains("(unknown command)"), "{before:?}");
    s.types("\"\r");
    s.sees("ERR unknown command");
    s.leaves();
}

#[test]
fn help_breaks_lines_between_words() {
    let server = Server::start(&[]);
    let mut command = server.cli(&[]);
    let state = TempDir::new().unwrap();
    command.env("XDG_STATE_HOME", state.path()).env("TERM", "xterm").env("NO_COLOR", "1");
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
    s.leaves();
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
    s.enters("ping", "ms)");
    s.enters(":set output nonsense", "output is one of pretty, raw, csv, json");
    s.enters(":set", "ask before FLUSHALL");
    s.enters(":nonsense", "there is no :nonsense");
    s.leaves();
}

#[test]
fn flushall_asks_first() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.enters("set k v", "OK");
    s.enters("flushall", "Go on? [y/N]");
    s.enters("n", "nothing was sent");
    s.enters("2 FLUSHDB", "Go on? [y/N]");
    s.presses('c');
    s.sees("nothing was sent");
    s.enters("exists k", "(integer) 1");
    s.enters("flushall", "Go on? [y/N]");
    s.enters("yes", "OK");
    s.enters("exists k", "(integer) 0");
    s.leaves();
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
fn ctrl_c_clears_the_line_and_ctrl_d_leaves() {
    let server = Server::start(&[]);
    let mut s = Session::start(&server);
    s.prompt();
    s.types("echo not-sent");
    s.presses('c');
    s.prompt();
    s.enters("echo sent", "\"sent\"");
    s.prompt();
    // A hint would look as if it had been typed.
    s.types("get ");
    s.sees("key");
    s.presses('c');
    let at = format!("127.0.0.1:{}> get ", s.port).len();
    s.sees(&format!("\u{1b}[A\r\u{1b}[{at}C\u{1b}[K"));
    s.prompt();
    s.presses('d');
    assert_eq!(s.ends().1, 0);
}

#[test]
fn ctrl_c_stops_waiting_and_slow_replies_are_timed() {
    let Some(server) = Server::peer("redis-server") else { return };
    let mut s = Session::start(&server);
    s.enters("blpop nothing 0.7", "(nil)");
    s.sees("s)");
    s.prompt();
    s.types("blpop nothing 0\r");
    std::thread::sleep(Duration::from_millis(500));
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
        for round in 0..3 {
            s.enters("get k", "127.0.0.1");
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
    s.sees("\"needle\"");
    s.sees("\"invalidate\"");
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
    s.leaves();
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
fn a_lost_connection_is_said_and_opened_again() {
    let port = free_port();
    let mut server = Server::start_on(port, &[]);
    let mut s = Session::start(&server);
    s.enters("ping", "PONG");
    s.prompt();
    server.kill();
    let _server = Server::start_on(port, &[]);
    s.types("echo back\r");
    s.sees("was lost)");
    s.sees("(connected again)");
    s.sees("\"back\"");
    s.leaves();
}

#[test]
fn a_server_that_stays_away_leaves_a_prompt_that_says_so() {
    let port = free_port();
    let mut server = Server::start_on(port, &[]);
    let mut s = Session::start(&server);
    s.enters("ping", "PONG");
    s.prompt();
    server.kill();
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
