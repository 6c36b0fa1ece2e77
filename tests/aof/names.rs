//! Names that others gave to files, and that would steer the terminal.

use std::fs;
use std::os::unix::fs::symlink;

use super::kit::{aof, arg, resp};

const NAME: &str = "\x1b]0;x\x07\u{9b}2J.aof";

#[test]
fn the_name_of_a_log_cannot_steer_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let [path, link, out] = [NAME, "link.aof", "out.aof"].map(|name| dir.path().join(name));
    symlink(NAME, &link).unwrap();
    fs::write(dir.path().join("\x1b[2J.manifest"), "file base seq 1 type b\nfile link.aof seq 1 type i\n").unwrap();
    let log = resp(&[b"SET", b"a", b"1"]);
    let (torn, damaged) = ([&log[..], b"*3\r\n"].concat(), [&log[..], b"*x\r\n", &log].concat());
    for (bytes, args, code) in [
        (&log, &["check", arg(&path)][..], 0),
        (&torn, &["check", arg(&path)], 1),
        (&damaged, &["check", arg(&path)], 4),
        (&damaged, &["dump", arg(&path)], 4),
        (&damaged, &["rewrite", arg(&path)], 4),
        (&torn, &["check", "--salvage", arg(&out), arg(&link)], 1),
        (&log, &["rewrite", arg(&link)], 2),
        (&torn, &["check", "--fix", "--yes", arg(&link)], 0),
        (&log, &["rewrite", arg(&path)], 0),
    ] {
        fs::write(&path, bytes).unwrap();
        let exit = aof(args);
        exit.expect(code, &[]);
        let said = exit.stdout + &exit.stderr;
        assert!(said.contains("?]0;x??2J.aof") || said.contains("?[2J.manifest"), "{args:?}: {said:?}");
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{args:?}: {said:?}");
    }
}

#[test]
fn a_part_whose_name_would_steer_the_terminal_is_refused_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.manifest");
    fs::write(&path, "file \"\\x1b]0;x\\x07\\n.aof\" seq 1 type b\n").unwrap();
    for tool in ["check", "dump"] {
        let exit = aof(&[tool, arg(&path)]);
        exit.expect(3, &["names a file with control characters"]);
        let said = exit.stdout + &exit.stderr;
        assert!(!said.trim_end().contains(char::is_control), "{said:?}");
    }
    // Redis loads such parts: those behind them are no logs by themselves.
    fs::write(&path, "file \"\\x07.aof\" seq 1 type b\nfile later.aof seq 1 type i\n").unwrap();
    let later = dir.path().join("later.aof");
    fs::write(&later, resp(&[b"DEL", b"k"])).unwrap();
    aof(&["rewrite", arg(&later)]).expect(2, &["is no log by itself"]);
}
