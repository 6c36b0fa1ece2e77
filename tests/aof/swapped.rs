//! A log whose folder is swapped for a link to another log's while a tool works on it, as who owns a folder on the path
//! may do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::kit::{aof, arg, data, write_lines};
use crate::helpers::traced;

/// Runs a tool that stops at its n-th opening of something in `dir`; `swap` is called then. Whether it has come to
/// that; `None` after having said why it cannot be traced.
fn run_stopped(dir: &Path, nth: usize, args: &[&str], swap: impl FnOnce()) -> Option<bool> {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let inject = format!("inject=openat:signal=SIGSTOP:when={nth}");
    let mut options = vec!["-o", arg(trace.path()), "-e", "trace=openat", "-e", &inject];
    let names = ["", "kvred.aof", "kvred.aof.lock", "temp-rewrite-kvred.aof"].map(|name| dir.join(name));
    options.extend(names.iter().flat_map(|path| ["-P", arg(path)]));
    let args = [&["aof"], args].concat();
    let stopped = || {
        let told = fs::read_to_string(trace.path()).unwrap();
        let line = told.lines().find(|line| line.contains("--- stopped by SIGSTOP ---"))?;
        Pid::from_raw(line.split_once(' ')?.0.parse().unwrap())
    };
    thread::scope(|scope| {
        let tool = scope.spawn(|| traced(&options, &args));
        while !tool.is_finished() && stopped().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        let was_stopped = stopped();
        if let Some(pid) = was_stopped {
            swap();
            kill_process(pid, Signal::CONT).unwrap();
        }
        let output = tool.join().unwrap()?;
        assert_eq!(output.status.code(), Some(0), "stopped at {nth}: {output:?}");
        Some(was_stopped.is_some())
    })
}

#[test]
fn a_folder_that_is_swapped_under_a_rewrite_leads_it_to_no_other_log() {
    for nth in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let [named, moved, other] = ["named", "moved", "other"].map(|name| dir.path().join(name));
        for (at, value) in [(&named, "theirs"), (&other, "mine")] {
            fs::create_dir(at).unwrap();
            write_lines(&at.join("kvred.aof"), &[&format!("SET a {value}")]);
        }
        let swap = || {
            fs::rename(&named, &moved).unwrap();
            symlink(&other, &named).unwrap();
        };
        match run_stopped(&named, nth, &["rewrite", arg(&named.join("kvred.aof"))], swap) {
            None => return,
            Some(false) => {
                assert!(nth > 6, "it stopped {} times", nth - 1);
                return;
            }
            Some(true) => {}
        }
        // Where it was swapped before the log was taken, the other one is rewritten: under its lock, and with its data.
        for (at, value) in [(&moved, "theirs"), (&other, "mine")] {
            let log = at.join("kvred.aof");
            assert_eq!(data(&log), [format!("SET a {value}")], "{}, swapped at {nth}", at.display());
            let is_plain = fs::read(&log).unwrap().starts_with(b"*");
            let was_locked = at.join("kvred.aof.lock").exists();
            assert_ne!(is_plain, was_locked, "{}, swapped at {nth}", at.display());
            assert_eq!(aof(&["check", arg(&log)]).code, Some(0), "{}, swapped at {nth}", at.display());
        }
    }
}
