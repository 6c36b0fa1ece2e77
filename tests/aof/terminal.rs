//! What a person at a terminal sees of the tools: the question before `--fix`, and progress bars.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::kit::{arg, resp, small_log};
use crate::helpers::Launch;
use crate::helpers::terminal::{Terminal, after, started_by, without_escapes};

fn tool(args: &[&str]) -> Command {
    let mut command = Launch::binary();
    command.arg("aof").args(args);
    command
}

#[test]
fn fix_asks_and_does_what_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let sound = small_log(dir.path());
    let torn = [&sound[..], b"*3\r\n$3\r\nSET\r\n"].concat();
    let path = dir.path().join("kvred.aof");
    let kept = dir.path().join(format!("kvred.aof.cut-{}", sound.len()));
    let question = format!("cut 13 bytes off at byte {}? What is cut is kept. [y/N] ", sound.len());
    for (answer, code, says) in [
        ("n\r", 1, "nothing was changed"),
        ("\r", 1, "nothing was changed"),
        ("\u{4}", 1, "nothing was changed"),
        ("perhaps\r", 2, "'perhaps' is neither yes nor no; nothing was changed"),
        ("\u{3}", -2, ""),
    ] {
        fs::write(&path, &torn).unwrap();
        let mut terminal = Terminal::start(tool(&["check", "--fix", arg(&path)]));
        let before = terminal.sees(&question);
        assert!(before.contains("kvred.aof: its tail is torn"), "what is asked about is shown first: {before}");
        terminal.types(answer);
        let (rest, ended) = terminal.ends();
        assert_eq!(ended, code, "{answer:?}: {rest}");
        assert!(rest.contains(says), "{answer:?}: {rest}");
        assert!(fs::read(&path).unwrap() == torn && !kept.exists(), "{answer:?}");
    }
    for answer in ["y\r", "YES\r"] {
        fs::write(&path, &torn).unwrap();
        let mut terminal = Terminal::start(tool(&["check", "--fix", arg(&path)]));
        terminal.sees(&question);
        terminal.types(answer);
        let (rest, ended) = terminal.ends();
        assert_eq!(ended, 0, "{rest}");
        assert!(rest.contains(&format!("cut-{}", sound.len())), "it says where the rest is: {rest}");
        assert_eq!(fs::read(&path).unwrap(), sound);
        assert_eq!(fs::read(&kept).unwrap(), torn[sound.len()..]);
        fs::remove_file(&kept).unwrap();
    }
}

/// By another name, its lock is another file.
#[test]
fn while_fix_asks_no_server_takes_the_log_by_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let torn = [&small_log(dir.path())[..], b"*3\r\n$3\r\nSET\r\n"].concat();
    let (path, other) = (dir.path().join("kvred.aof"), tempfile::tempdir().unwrap());
    fs::write(&path, &torn).unwrap();
    fs::hard_link(&path, other.path().join("kvred.aof")).unwrap();
    let mut terminal = Terminal::start(tool(&["check", "--fix", arg(&path)]));
    terminal.sees("[y/N] ");
    let refused = Launch::at(other.path()).refused();
    refused.expect(3, &["in use by another kvred"]);
    terminal.types("n\r");
    assert_eq!(terminal.ends().1, 1);
    assert_eq!(fs::read(&path).unwrap(), torn);
    drop(Launch::at(other.path()).start());
}

#[test]
fn fix_asks_about_a_header_too_and_not_about_a_sound_log() {
    let dir = tempfile::tempdir().unwrap();
    let sound = small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let mut flipped = sound.clone();
    flipped[12] ^= 1;
    fs::write(&path, &flipped).unwrap();
    let mut terminal = Terminal::start(tool(&["check", "--fix", arg(&path)]));
    terminal.sees("put the wrong bit of the header right? The line as it is is kept [y/N] ");
    terminal.types("y\r");
    assert_eq!(terminal.ends().1, 0);
    assert_eq!(fs::read(&path).unwrap(), sound);
    let (said, ended) = Terminal::start(tool(&["check", "--fix", arg(&path)])).ends();
    assert!(ended == 0 && !said.contains("[y/N]"), "{said}");
}

#[test]
fn a_table_fits_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let path = dir.path().join("kvred.aof");
    let dump = tool(&["dump", "--format", "table", "--limit", "20", arg(&path)]);
    // As in `| less`, which shows lines as they are.
    let mut pipe = Command::new("sh");
    pipe.args(["-c", "unset COLUMNS; \"$@\" | cat", "sh"]);
    let piped = started_by(pipe, &dump);
    for (command, columns, has_times) in
        [(&dump, 100, true), (&dump, 80, true), (&dump, 40, false), (&piped, 100, true), (&piped, 40, false)]
    {
        let (table, code) = Terminal::sized(command, columns, 24).ends();
        assert_eq!((code, table.lines().count()), (0, 21), "{table}");
        let fits = |line: &str| line.trim_end().chars().count() <= usize::from(columns);
        assert!(table.lines().all(fits), "{table}");
        assert!(table.lines().skip(1).all(|line| line.contains(" SET key:")), "{table}");
        assert_eq!(table.contains("TIME"), has_times, "{table}");
    }
}

/// A plain log that is worth a bar.
fn long_log(path: &Path) {
    let one = resp(&[b"SET", b"key", &[b'v'; 100]]);
    fs::write(path, one.repeat((64 << 20) / one.len())).unwrap();
}

/// Runs a tool on a machine that is slow enough for its bar to be seen, whatever machine this is: most of the time it
/// is stopped. `when_seen` is done when the bar is there, and the rest goes at full speed. What it showed.
fn slowly(command: &Command, columns: u16, when_seen: impl FnOnce(&mut Terminal, Pid)) -> (String, i32) {
    // What it prints to stdout is not to hide the bar, which is on stderr.
    let mut terminal = Terminal::sized(&after("echo \"pid $$.\"", command), columns, 24);
    terminal.sees("pid ");
    let pid = Pid::from_raw(terminal.sees(".").trim().parse().unwrap()).unwrap();
    let is_seen = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let brake = scope.spawn(|| {
            // A while at most, should no bar be seen.
            for _ in 0..100 {
                if is_seen.load(SeqCst) || kill_process(pid, Signal::STOP).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
                if kill_process(pid, Signal::CONT).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(4));
            }
        });
        let mut seen = terminal.sees(" left");
        when_seen(&mut terminal, pid);
        is_seen.store(true, SeqCst);
        let (rest, code) = terminal.ends();
        brake.join().unwrap();
        seen += " left";
        (seen + &rest, code)
    })
}

#[test]
fn long_work_shows_a_bar_that_fits_and_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("long.aof"), dir.path().join("out.aof"));
    long_log(&path);
    for (doing, args) in [
        ("checking", &["check", arg(&path)][..]),
        ("salvaging", &["check", "--salvage", arg(&out), arg(&path)]),
        ("reading", &["rewrite", arg(&path)]),
    ] {
        for columns in [80, 40] {
            if doing == "reading" {
                long_log(&path);
            }
            drop(fs::remove_file(&out));
            let (seen, code) = slowly(&tool(args), columns, |_, _| ());
            assert_eq!(code, 0, "{seen}");
            let frames: Vec<&str> = seen.split(['\r', '\n']).filter(|f| f.contains(" left")).collect();
            assert!(!frames.is_empty(), "{seen:?}");
            for frame in frames {
                let text = without_escapes(frame);
                assert!(text.starts_with(doing) && text.contains("/s, "), "{text:?}");
                assert!(text.chars().count() <= usize::from(columns) - "^C".len(), "{text:?} in {columns} columns");
            }
            // The bar is cleared, and then the report is written.
            let last = seen.rsplit(" left").next().unwrap();
            let (bar, report) = last.split_once("\r\u{1b}[2K").unwrap_or_else(|| panic!("the bar stays: {last:?}"));
            assert!(bar.trim().is_empty() && report.contains(".aof"), "{last:?}");
        }
    }
}

#[test]
fn a_dumb_terminal_and_a_pipe_see_no_bar() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long.aof");
    long_log(&path);
    let mut dumb = tool(&["check", arg(&path)]);
    dumb.env("TERM", "dumb");
    let (said, code) = Terminal::start(dumb).ends();
    assert!(code == 0 && !said.contains(" left") && !said.contains('\u{1b}'), "{said:?}");
    let output = tool(&["check", arg(&path)]).output().unwrap();
    assert!(output.stderr.is_empty());
}

#[test]
fn ctrl_c_ends_a_rewrite_and_leaves_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long.aof");
    long_log(&path);
    let before = fs::read(&path).unwrap();
    let (seen, code) = slowly(&tool(&["rewrite", arg(&path)]), 80, |terminal, _| terminal.presses('c'));
    assert_eq!(code, -2, "{seen:?}");
    assert!(fs::read(&path).unwrap() == before);
}

/// Nobody else would ever remove a file with a name of its own.
#[test]
fn an_interrupt_of_a_salvage_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let [path, out] = ["long.aof", "out.aof"].map(|name| dir.path().join(name));
    long_log(&path);
    // Whoever runs the tests may ignore hangups.
    let mut env = Command::new("env");
    env.arg("--default-signal=HUP");
    let salvage = started_by(env, &tool(&["check", "--salvage", arg(&out), arg(&path)]));
    let names = || {
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (seen, code) = slowly(&salvage, 80, |_, pid| {
            assert_eq!(names().iter().filter(|name| name.starts_with("temp-rewrite-out.aof.")).count(), 1);
            kill_process(pid, signal).unwrap();
        });
        assert_eq!(code, 130, "{signal:?}: {seen:?}");
        assert_eq!(names(), ["long.aof"], "{signal:?}");
    }
}
