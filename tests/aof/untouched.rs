//! Files that must stay as they are: those that are only read, those that a server holds, and those beside them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::kit::{all_tools, aof, arg, small_log};
use crate::helpers::{Exit, Launch, Server, skip};

/// What must not change: content, modification time, inode and permissions.
fn state(path: &Path) -> (Vec<u8>, i64, i64, u64, u32) {
    let metadata = path.metadata().unwrap();
    (fs::read(path).unwrap(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino(), metadata.mode())
}

#[test]
fn check_and_dump_leave_a_log_as_it_is_also_torn_or_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = small_log(dir.path());
    let path = dir.path().join("alone.aof");
    for damage in [None, Some(log.len() - 10), Some(200)] {
        if let Some(at) = damage {
            log[at] ^= 1;
        }
        fs::write(&path, &log).unwrap();
        let mut permissions = path.metadata().unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        let before = state(&path);
        all_tools(&path);
        assert_eq!(state(&path), before);
        fs::remove_file(&path).unwrap();
    }
    let lock = dir.path().join("alone.aof.lock");
    assert!(!lock.exists(), "not even a lock is made");
}

/// A directory as a read-only mount shows it; unmounted when this is dropped.
struct ReadOnly(tempfile::TempDir);

impl ReadOnly {
    /// `None` after having said why it cannot be mounted.
    fn of(dir: &Path) -> Option<Self> {
        let mount = Self(tempfile::tempdir().unwrap());
        let at = arg(mount.0.path());
        for args in [&["--bind", arg(dir), at][..], &["-o", "remount,bind,ro", at]] {
            match Command::new("mount").args(args).output() {
                Ok(output) if output.status.success() => {}
                Ok(output) => {
                    skip(&format!("mount {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()));
                    return None;
                }
                Err(e) => {
                    skip(&format!("mount: {e}"));
                    return None;
                }
            }
        }
        Some(mount)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        // It may not have come to a mount.
        drop(Command::new("umount").arg(self.0.path()).stderr(Stdio::null()).status());
    }
}

#[test]
fn a_read_only_mount_is_read_and_what_cannot_be_changed_is_said() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = small_log(dir.path());
    let mut damaged = log.clone();
    damaged[500] ^= 1;
    let torn = [&log[..], b"*3\r\n"].concat();
    for (name, bytes) in [("clean.aof", &log), ("torn.aof", &torn), ("damaged.aof", &damaged)] {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    fs::remove_file(dir.path().join("kvred.aof")).unwrap();
    fs::remove_file(dir.path().join("kvred.aof.lock")).unwrap();
    let Some(mount) = ReadOnly::of(dir.path()) else { return };
    let names = || fs::read_dir(dir.path()).unwrap().count();
    for (name, code_of_check, code_of_rewrite) in [("clean.aof", 0, 0), ("torn.aof", 1, 1), ("damaged.aof", 4, 4)] {
        let path = mount.0.path().join(name);
        let (before, files) = (state(&dir.path().join(name)), names());
        for (code, said) in all_tools(&path) {
            assert_eq!(code, code_of_check, "{name}: {said}");
        }
        let out = elsewhere.path().join(name);
        assert_eq!(aof(&["rewrite", "-o", arg(&out), arg(&path)]).code, Some(code_of_rewrite), "{name}");
        drop(fs::remove_file(&out));
        let salvaged = aof(&["check", "--salvage", arg(&out), arg(&path)]);
        assert_eq!(salvaged.code, Some(i32::from(name != "clean.aof")), "{name}: {}", salvaged.stderr);
        // What would have to write says that it cannot, and where.
        let inside = mount.0.path().join("out.aof");
        for command in [
            &["check", "--fix", "--yes", arg(&path)][..],
            &["rewrite", arg(&path)],
            &["rewrite", "-o", arg(&inside), arg(&path)],
            &["check", "--salvage", arg(&inside), arg(&path)],
        ] {
            let output = aof(command);
            let said = output.stderr;
            if name == "damaged.aof" && command[..2] == ["rewrite", "-o"] {
                // It is read before anything is made, and not rewritten anyway.
                assert_eq!(output.code, Some(4), "{command:?}: {said}");
            } else {
                assert_eq!(output.code, Some(3), "{command:?}: {said}");
                assert!(said.contains("Read-only file system") && said.contains(".aof"), "{command:?}: {said}");
            }
        }
        assert_eq!(state(&dir.path().join(name)), before, "{name}");
        assert_eq!(names(), files, "{name}: nothing was left behind");
    }
}

/// A log without the zeros at its end, over which a clean sync of the server's own may come at any time.
fn written(server: &Server) -> Vec<u8> {
    let mut log = server.log();
    log.truncate(log.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    log
}

#[test]
fn the_log_of_a_running_server_is_read_through_a_read_only_mount() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::at(dir.path()).args(&["--fsync", "always"]).start();
    let Some(mount) = ReadOnly::of(dir.path()) else { return };
    let path = mount.0.path().join("kvred.aof");
    for value in ["1", "2"] {
        server.connect().ask(&["SET", "a", value]);
        let written = written(&server);
        for (code, said) in all_tools(&path) {
            assert_eq!(code, 0, "{said}");
        }
        let dumped = aof(&["dump", arg(&path)]);
        assert!(dumped.stdout.ends_with(&format!("SET a {value}\n")), "{}", dumped.stdout);
        assert!(server.log().starts_with(&written));
    }
    let refused = aof(&["rewrite", "-o", arg(&dir.path().join("out.aof")), arg(&path)]);
    refused.expect(3, &["in use by a kvred server"]);
    drop(mount);
    server.terminate().expect(0, &[]);
}

#[test]
fn a_log_that_a_server_holds_is_read_and_never_changed() {
    let dir = tempfile::tempdir().unwrap();
    for policy in ["always", "none"] {
        let server = Launch::at(dir.path()).args(&["--fsync", policy]).start();
        let path = server.launch().log_path();
        server.connect().ask(&["SET", "a", "1"]);
        let written = written(&server);
        for (code, said) in all_tools(&path) {
            assert_eq!(code, 0, "{said}");
        }
        let out = dir.path().join("out.aof");
        for command in [
            &["check", "--fix", "--yes", arg(&path)][..],
            &["rewrite", arg(&path)],
            &["rewrite", "-o", arg(&out), arg(&path)],
        ] {
            let output = aof(command);
            assert_eq!(output.code, Some(3), "{command:?}");
            assert!(output.stderr.contains("in use by a kvred server"), "{}", output.stderr);
        }
        assert!(!out.exists() && server.log().starts_with(&written), "{policy}");
        server.terminate().expect(0, &[]);
    }
}

#[test]
fn a_log_that_grows_meanwhile_is_clean_and_the_tools_end() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::at(dir.path()).args(&["--fsync", "none"]).start();
    let path = server.launch().log_path();
    let mut client = server.connect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let value = "v".repeat(20_000);
            // Not for ever, should an assertion fail below.
            for _ in 0..10_000 {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                client.ask(&["SET", "k", &value]);
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        for _ in 0..8 {
            for (code, said) in all_tools(&path) {
                assert_eq!(code, 0, "{said}");
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    server.terminate().expect(0, &[]);
}

#[test]
fn nothing_is_written_over_a_file_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path());
    let (path, out) = (dir.path().join("kvred.aof"), dir.path().join("precious"));
    fs::write(&out, "mine").unwrap();
    for command in [["rewrite", "-o", arg(&out), arg(&path)], ["check", "--salvage", arg(&out), arg(&path)]] {
        aof(&command).expect(3, &[]);
        assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
    }
}

#[test]
fn a_rewrite_of_nothing_does_not_remove_what_may_be_the_only_copy() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let (path, left) = (dir.path().join("kvred.aof"), dir.path().join("temp-rewrite-kvred.aof"));
    fs::rename(&path, &left).unwrap();
    // An empty log, and one with no more than its header.
    for empty in [&[][..], &log[..36]] {
        fs::write(&path, empty).unwrap();
        aof(&["rewrite", arg(&path)]).expect(4, &["the only copy", "Nothing was changed", "aof check", "rename it"]);
        assert!(fs::read(&left).unwrap() == log && fs::read(&path).unwrap() == empty);
    }
    // Without a command, it is no copy.
    fs::write(&left, &log[..36]).unwrap();
    aof(&["rewrite", arg(&path)]).expect(0, &[]);
    assert!(!left.exists());
}

/// The file of an interrupted rewrite may be the better copy: of what is read, or of what is beside it.
#[test]
fn nothing_is_removed_for_a_log_with_a_new_name() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let at = |name: &str| dir.path().join(name);
    fs::rename(at("kvred.aof"), at("kvred.aof.bad")).unwrap();
    fs::write(at("temp-rewrite-kvred.aof"), &log).unwrap();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let (before, out) = (names(), at("kvred.aof"));
    for source in ["temp-rewrite-kvred.aof", "kvred.aof.bad"] {
        let source = at(source);
        for command in [["rewrite", "-o", arg(&out), arg(&source)], ["check", "--salvage", arg(&out), arg(&source)]] {
            // The first finds no room.
            for (limit, expected) in [("0", 3), ("unlimited", 0)] {
                let ran = Launch::clean(Command::new("sh"))
                    .args(["-c", &format!("ulimit -f {limit}; exec \"$0\" aof \"$@\""), env!("CARGO_BIN_EXE_kvred")])
                    .args(command)
                    .output();
                Exit::of(ran.unwrap()).expect(expected, &[]);
                assert_eq!(out.exists(), expected == 0, "{command:?}");
                if expected == 0 {
                    fs::remove_file(&out).unwrap();
                }
                assert_eq!(names(), before, "{command:?} with limit {limit}");
                assert!(fs::read(at("temp-rewrite-kvred.aof")).unwrap() == log, "{command:?}");
            }
        }
    }
}
