//! The modes, and the question for a password, at a pseudo-terminal: what is drawn there, and what Ctrl-C does.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, mknodat};

use crate::helpers::terminal::{Terminal, after, started_by, without_escapes};
use crate::helpers::{program, wait_until};
use crate::server::{Server, run, write};

fn start(server: &Server, args: &[&str], columns: u16) -> Terminal {
    let mut command = server.cli(args);
    command.env("NO_COLOR", "1");
    Terminal::sized(&command, columns, 24)
}

/// `--pipe` at a terminal, with what it sends from a file.
fn pipe_from(server: &Server, file: &Path) -> Command {
    after(&format!("exec <'{}'", file.display()), &server.cli(&["--pipe"]))
}

/// A server with keys enough for several hundred cycles of SCAN.
fn with_keys() -> Server {
    let server = Server::start(&[]);
    let lines: String = (0..3000).map(|i| format!("set key{i} x\n")).collect();
    server.run(&["--pipe"], lines);
    server
}

#[test]
fn ctrl_c_ends_stat_between_two_lines() {
    let server = with_keys();
    let mut terminal = start(&server, &["--stat", "-i", "0.05"], 80);
    terminal.sees("keys       mem");
    terminal.sees("3000 ");
    terminal.sees("3000 ");
    terminal.presses('c');
    assert_eq!(terminal.ends().1, 130);
    // Also while it waits for the next line.
    let mut terminal = start(&server, &["--stat", "-i", "1000"], 80);
    terminal.sees("3000 ");
    terminal.presses('c');
    assert_eq!(terminal.ends().1, 130);
}

#[test]
fn latency_draws_one_line_and_ctrl_c_shows_the_histogram() {
    let server = Server::start(&[]);
    for columns in [80, 40] {
        let mut terminal = start(&server, &["--latency"], columns);
        terminal.sees("\r\u{1b}[Kmin: ");
        let line = terminal.sees("\r\u{1b}[K");
        assert!(line.chars().count() + 5 < columns.into() && !line.contains('\n'), "{line:?}");
        terminal.presses('c');
        terminal.sees("samples)");
        let (chart, code) = terminal.ends();
        assert_eq!(code, 130);
        assert!(chart.contains("<= ") && chart.contains('#'), "{chart}");
        // Once more the line may have been drawn over itself before the key was seen to.
        let mut lines = chart.split(['\r', '\n']).map(without_escapes);
        assert!(lines.all(|line| line.chars().count() <= columns.into()), "{chart}");
    }
}

#[test]
fn latency_of_a_server_that_goes_away_is_shown_and_then_the_error() {
    let mut server = Server::start(&[]);
    let mut terminal = start(&server, &["--latency"], 120);
    terminal.sees("\r\u{1b}[Kmin: ");
    server.kill();
    let (rest, code) = terminal.ends();
    assert_eq!(code, 3, "{rest:?}");
    let lines: Vec<String> = rest.split(['\r', '\n']).map(without_escapes).collect();
    let at = |start: &str| lines.iter().position(|line| line.starts_with(start));
    assert!(at("<= ").is_some_and(|chart| Some(chart) < at("kvred: ")), "{rest:?}");
}

#[test]
fn ctrl_c_ends_scan_where_it_is() {
    let server = with_keys();
    let mut terminal = start(&server, &["--scan", "--count", "10", "-i", "1000"], 80);
    terminal.sees("key");
    terminal.presses('c');
    // Keys that were printed are all there is to say; the shell reads the signal as 130.
    assert_eq!(terminal.ends().1, -2);
}

/// A shell takes Ctrl-C for what a program exits of, with whatever code, as meant for that program alone.
#[test]
fn ctrl_c_ends_a_shell_loop_too() {
    let Some(bash) = program("bash") else { return };
    let server = Server::start(&[]);
    let kvred = server.cli(&["-r", "1000", "-i", "0.01", "ping"]);
    let mut shell = Command::new(bash);
    shell.args(["-c", "for i in 1 2 3; do echo round $i; \"$@\"; done", "bash"]);
    let mut terminal = Terminal::start(started_by(shell, &kvred));
    terminal.sees("PONG");
    terminal.presses('c');
    let (rest, code) = terminal.ends();
    assert!(code == -2 && !rest.contains("round 2"), "{code}: {rest}");
}

#[test]
fn ctrl_c_ends_bigkeys_with_what_it_has_found() {
    let server = with_keys();
    let mut terminal = start(&server, &["--bigkeys", "--count", "10", "-i", "1000"], 80);
    terminal.sees("keys looked at");
    // A thousand keys or so, then it waits.
    terminal.sees("1,");
    terminal.presses('c');
    terminal.sees("interrupted; these are the keys looked at so far");
    let (found, code) = terminal.ends();
    assert_eq!(code, 130);
    assert!(found.contains("biggest: ") && !found.contains("3000 keys"), "{found}");
}

#[test]
fn pipe_draws_its_progress_and_ctrl_c_tells_how_far_it_came() {
    let server = Server::start(&[]);
    let fifo = server.file("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, 0o600.into(), 0).unwrap();
    for columns in [120, 80, 40] {
        let mut terminal = Terminal::sized(&pipe_from(&server, &fifo), columns, 24);
        let mut input = File::options().write(true).open(&fifo).unwrap();
        // An error in the middle has a line of its own.
        let sets = |name: &str| (0..20_000).map(|i| format!("set {name}{i} x\n")).collect::<String>();
        let lines = format!("{}nope\n{}", sets("before"), sets("after"));
        std::io::Write::write_all(&mut input, lines.as_bytes()).unwrap();
        terminal.sees("line 20001: ERR unknown command 'nope'");
        let drawn = terminal.sees(" errors");
        let line = drawn.rsplit(['\r', '\n', '\u{1b}']).next().unwrap();
        assert!(line.chars().count() < columns.into(), "{line:?}");
        wait_until("all is sent", || server.ok(&["exists", "after19999"]) == "1\n");
        terminal.presses('c');
        terminal.sees("errors: 1, replies: ");
        let (rest, code) = terminal.ends();
        assert_eq!(code, 130, "{rest}");
        assert!(rest.contains("kvred: interrupted"), "{rest}");
        drop(input);
        server.ok(&["flushall"]);
    }
}

#[test]
fn pipe_shows_a_bar_for_a_file_and_takes_it_away() {
    let server = Server::start(&[]);
    let lines: String = (0..100_000).map(|i| format!("set key{i} {}\n", "x".repeat(100))).collect();
    let file = server.file("lines");
    write(&file, lines);
    for columns in [120, 40] {
        let mut terminal = Terminal::sized(&pipe_from(&server, &file), columns, 24);
        let drawn = terminal.sees("%") + "%" + &terminal.sees("errors: 0, replies: 100000 ");
        for frame in drawn.split(['\r', '\n']).filter(|frame| frame.contains('%')) {
            let line = frame.replace("\u{1b}[2K", "");
            assert!(line.trim_end().chars().count() <= usize::from(columns), "{line:?}");
        }
        let behind_the_last = drawn.rsplit('%').next().unwrap();
        assert!(behind_the_last.ends_with("\r\u{1b}[2K"), "the bar is not taken away: {behind_the_last:?}");
        assert_eq!(terminal.ends().1, 0);
    }
}

#[test]
fn askpass_asks_without_showing_what_is_typed() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(&dir.path().join("pw"), "s3cret w\u{f6}rd\n");
    let server = Server::start(&["--requirepass-file", &file]);
    for (typed, code, says) in
        [("s3cret w\u{f6}rd\r", 0, "PONG"), ("wrong\r", 1, "AUTH failed: WRONGPASS"), ("\r", 1, "AUTH failed")]
    {
        let mut terminal = start(&server, &["--askpass", "ping"], 80);
        terminal.sees("Password: ");
        terminal.types(typed);
        let (said, ended) = terminal.ends();
        assert_eq!(ended, code, "{said}");
        assert!(said.contains(says) && (typed == "\r" || !said.contains(typed.trim())), "{said}");
    }
    // It goes for the session too, whose first command is then allowed.
    let mut command = server.cli(&["--askpass"]);
    command.env("NO_COLOR", "1").env("XDG_STATE_HOME", dir.path());
    let mut terminal = Terminal::start(command);
    terminal.sees("Password: ");
    terminal.types("s3cret w\u{f6}rd\r");
    let before = terminal.sees("> ");
    assert!(!before.contains("s3cret"), "{before}");
    terminal.enters("exists k", "(integer) 0");
    terminal.presses('d');
    assert_eq!(terminal.ends().1, 0);
}

#[test]
fn a_question_for_a_password_that_is_not_answered_leaves_the_terminal_as_it_was() {
    let server = Server::start(&[]);
    for (key, code, says) in [('c', 130, "interrupted; nothing was sent"), ('d', 3, "no password was given")] {
        let kvred = server.cli(&["--askpass", "ping"]);
        let mut shell = Command::new("sh");
        let script = "before=$(stty -g); \"$@\"; echo code=$?; [ \"$before\" = \"$(stty -g)\" ] && echo unchanged";
        shell.args(["-c", script, "sh"]);
        let mut terminal = Terminal::start(started_by(shell, &kvred));
        terminal.sees("Password: ");
        terminal.presses(key);
        let (said, _) = terminal.ends();
        assert!(said.contains(says) && said.contains(&format!("code={code}\r\nunchanged")), "{said}");
    }
}

#[test]
fn askpass_without_a_terminal_says_so() {
    let Some(setsid) = program("setsid") else { return };
    let server = Server::start(&[]);
    let mut setsid = Command::new(setsid);
    setsid.arg("--wait");
    let ran = run(started_by(setsid, &server.cli(&["--askpass", "ping"])), "");
    assert_eq!((ran.code, &ran.stdout[..]), (Some(3), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("there is no terminal"), "{}", ran.stderr);
}

#[test]
fn commands_typed_into_pipe_are_not_drawn_over() {
    let server = Server::start(&[]);
    let mut terminal = start(&server, &["--pipe"], 80);
    terminal.types("set k v\rnope\r");
    let before = terminal.sees("line 2: ERR unknown");
    terminal.presses('d');
    let (rest, code) = terminal.ends();
    assert!(rest.contains("errors: 1, replies: 2 "), "{rest:?}");
    assert!(!before.contains("B/s") && !rest.contains("B/s"), "{before:?} {rest:?}");
    assert_eq!(code, 1);
}
