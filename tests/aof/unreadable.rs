//! Logs on a disk that fails: nothing is made up for what it cannot read, and nothing is changed; the rest is saved.

use std::fs;
use std::path::Path;

use super::kit::{aof, arg, data, resp};
use crate::helpers::{Exit, Launch, QUIET_STRACE, traced};

/// What has `kvred` fail to read a log in some of its calls.
fn inject(when: &str) -> String {
    format!("inject=pread64:error=EIO:when={when}")
}

/// Runs a tool so; `None` after having said why that cannot be.
fn failing(log: &Path, when: &str, args: &[&str]) -> Option<Exit> {
    let options = ["-o", "/dev/null", "-P", arg(log), "-e", &inject(when)];
    traced(&options, &[&["aof"], args].concat()).map(Exit::of)
}

/// Makes a log of 3 MB, in a dozen batches.
fn log(dir: &Path) -> std::path::PathBuf {
    let (plain, log) = (dir.join("plain"), dir.join("kvred.aof"));
    let commands = (0..30).flat_map(|key: u8| resp(&[b"SET", &[b'a' + key], &vec![b'v'; 100_000]]));
    fs::write(&plain, commands.collect::<Vec<u8>>()).unwrap();
    aof(&["rewrite", "-o", arg(&log), arg(&plain)]).expect(0, &[]);
    log
}

#[test]
fn what_cannot_be_read_is_damage_and_what_can_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path());
    let before = fs::read(&log).unwrap();
    // The file's beginning is looked at first; then it is read in blocks, of which the second fails, and all behind it.
    let Some(checked) = failing(&log, "3+", &["check", arg(&log)]) else { return };
    checked.expect(4, &[]);
    let words = checked.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for (says, is_said) in [
        ("the disk cannot read all of it, seen at byte 1048576 not", true),
        ("what the disk cannot read may have been durable from", true),
        ("bytes of it, the first at byte ", true),
        ("check --salvage OUT", true),
        ("check --fix", false),
    ] {
        assert_eq!(words.contains(says), is_said, "{says}: {}", checked.stdout);
    }
    let out = dir.path().join("saved.aof");
    let salvaged = failing(&log, "3+", &["check", "--salvage", arg(&out), arg(&log)]).expect("as before");
    salvaged.expect(1, &[]);
    let lost = salvaged.stdout.split_once("\n  lost  bytes ").unwrap_or_else(|| panic!("{}", salvaged.stdout)).1;
    assert!(lost.contains("it does not verify; the disk cannot read "), "{}", salvaged.stdout);
    aof(&["check", arg(&out)]).expect(0, &[]);
    let (saved, all) = (data(&out), data(&log));
    assert!((8..12).contains(&saved.len()) && saved.iter().all(|set| all.contains(set)), "{}", saved.len());

    // Whoever changes a log, or serves it, refuses.
    let compact = dir.path().join("compact.aof");
    for command in [
        &["check", "--fix", "--yes", arg(&log)][..],
        &["rewrite", arg(&log)],
        &["rewrite", "-o", arg(&compact), arg(&log)],
        &["dump", arg(&log)],
    ] {
        let exit = failing(&log, "4+", command).expect("as before");
        assert_eq!(exit.code, Some(4), "{command:?}: {}", exit.stderr);
    }
    let under = ["strace", QUIET_STRACE, "-f", "-o", "/dev/null", "-P", arg(&log), "-e", &inject("3+")];
    let refused = Launch::at(dir.path()).under(&under).refused();
    refused.expect(4, &["the disk cannot read all of it, seen at byte ", "kvred aof check "]);
    assert!(fs::read(&log).unwrap() == before && !compact.exists());
    assert!(!fs::read_dir(dir.path()).unwrap().any(|e| e.unwrap().file_name().to_string_lossy().contains("temp-")));
}

#[test]
fn one_call_that_fails_or_all_of_them_are_no_reason_to_give_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path());
    for when in ["1", "2", "3"] {
        // It is read again in sectors.
        let Some(checked) = failing(&log, when, &["check", arg(&log)]) else { return };
        checked.expect(0, &[]);
    }
    // A disk that fails for a moment: what is behind that place is not of later than the tool's look at it.
    let whole = dir.path().join("whole.aof");
    let salvaged = failing(&log, "3..4", &["check", "--salvage", arg(&whole), arg(&log)]).expect("as before");
    salvaged.expect(0, &[]);
    assert_eq!(data(&whole), data(&log));
    failing(&log, "1+", &["check", arg(&log)]).expect("as before").expect(4, &[]);
    let out = dir.path().join("saved.aof");
    let salvaged = failing(&log, "1+", &["check", "--salvage", arg(&out), arg(&log)]).expect("as before");
    salvaged.expect(1, &[]);
    assert!(salvaged.stdout.contains("0 records saved"), "{}", salvaged.stdout);
}

#[test]
fn a_plain_log_with_a_flaw_before_what_cannot_be_read_is_not_to_be_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain.aof");
    let mut log = (0..30).flat_map(|key: u8| resp(&[b"SET", &[b'a' + key], &vec![b'v'; 100_000]])).collect::<Vec<u8>>();
    let third = log.len() / 30 * 3;
    log[third] = b'x';
    fs::write(&path, &log).unwrap();
    // What the verdict is made from can be read, and what is then looked for behind it cannot.
    let Some(checked) = failing(&path, "5+", &["check", arg(&path)]) else { return };
    checked.expect(4, &[]);
    let words = checked.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("the disk cannot read ") && words.contains("check --salvage OUT"), "{}", checked.stdout);
    assert!(!words.contains("--fix"), "{}", checked.stdout);
    let fixed = failing(&path, "5+", &["check", "--fix", "--yes", arg(&path)]).expect("as before");
    fixed.expect(4, &["nothing was changed: what the disk cannot read could not be kept"]);
    assert!(fs::read(&path).unwrap() == log);
}
