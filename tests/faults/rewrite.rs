//! What a rewrite may not do, or has no descriptor left for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::helpers::{Launch, Reply, info, rewrite, skip};
use crate::rig::{Tracer, Whom, synced_server, whole_calls};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// As by systemd's `SystemCallFilter=~@privileged`, which also refuses to give a file to whom it belongs.
#[test]
fn a_log_keeps_its_mode_where_nobody_may_give_files_away() {
    let (server, mut client) = synced_server();
    let launch = server.launch().clone();
    let log = launch.log_path();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o640)).unwrap();
    let inject = "inject=fchown,fchownat:error=EPERM";
    let Some(tracer) = Tracer::attach(&server, Whom::All, &[inject]) else { return };
    assert!(rewrite(&mut client));
    assert_eq!(mode(&log), 0o640, "by the server");
    drop(tracer);
    server.terminate().expect(0, &[]);
    let tool = Launch::clean(Command::new("strace"))
        .args(["-f", "-o", "/dev/null", "-e", inject, env!("CARGO_BIN_EXE_kvred"), "aof", "rewrite"])
        .arg(&log)
        .output()
        .unwrap();
    assert!(tool.status.success(), "{}", String::from_utf8_lossy(&tool.stderr));
    assert_eq!(mode(&log), 0o640, "by the tool");
}

/// After the rename there is no way back: what it still needs has to be there.
#[test]
fn a_rewrite_opens_nothing_more_once_it_has_its_file() {
    let (server, mut client) = synced_server();
    let inject = ["inject=openat:error=EMFILE:when=2+"];
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-rewrite"), &inject) else { return };
    assert!(rewrite(&mut client));
    assert_eq!(info(&mut client, "aof_poisoned"), "no");
    assert_eq!(client.ask_words("SET k after"), Reply::ok());
    tracer.detach();
    assert_eq!(server.crash_and_restart().connect().ask_words("GET k"), Reply::bulk("after"));
}

#[test]
fn the_names_of_new_directories_are_synced_where_they_stand() {
    let launch = Launch::new();
    let calls = launch.dir().join("calls");
    // It ends by itself: the log's first byte is one too many.
    let traced = Launch::clean(Command::new("strace"))
        .args(["-f", "-y", "-e", "trace=fsync", "-o"])
        .arg(&calls)
        .args(["sh", "-c", "ulimit -f 0; exec \"$0\" serve --port 0 --dir \"$1\"", env!("CARGO_BIN_EXE_kvred")])
        .arg(launch.dir().join("new/data"))
        .output();
    let calls = whole_calls(&fs::read_to_string(&calls).unwrap_or_default());
    if calls.is_empty() {
        return skip(&format!("strace cannot trace: {traced:?}"));
    }
    // By the last of its names: what leads to it may be a link, and letters that are not ASCII are shown as numbers.
    let launched = launch.dir().file_name().unwrap().display().to_string();
    for dir in ["", "/new"] {
        let dir = format!("/{launched}{dir}>)");
        let synced = calls.lines().any(|call| call.contains(&dir) && call.ends_with("= 0"));
        assert!(synced, "no sync of {dir}: {calls}");
    }
}
