//! What a rewrite may not do, or has no descriptor left for.

use std::fs;
use std::process::Command;

use crate::helpers::{Launch, Reply, skip};
use crate::rig::{Tracer, Whom, info, rewrite, synced_server};

/// After the rename there is no way back: what it still needs has to be there.
#[test]
fn a_rewrite_opens_nothing_more_once_it_has_its_file() {
    let (server, mut client) = synced_server();
    let inject = ["inject=openat:error=EMFILE:when=2+"];
    let Some(tracer) = Tracer::attach(&server, Whom::Thread("kvred-rewrite"), &inject) else { return };
    rewrite(&mut client);
    assert_eq!(info(&mut client, "aof_last_bgrewrite_status"), "ok");
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
    let traced = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=fsync", "-o"])
        .arg(&calls)
        .args(["sh", "-c", "ulimit -f 0; exec \"$0\" serve --port 0 --dir \"$1\"", env!("CARGO_BIN_EXE_kvred")])
        .arg(launch.dir().join("new/data"))
        .output();
    let calls = fs::read_to_string(&calls).unwrap_or_default();
    if calls.is_empty() {
        return skip(&format!("strace cannot trace: {traced:?}"));
    }
    for dir in ["", "/new"] {
        let dir = format!("<{}{dir}>)", launch.dir().display());
        let synced = calls.lines().any(|call| call.contains(&dir) && call.ends_with("= 0"));
        assert!(synced, "no sync of {dir}: {calls}");
    }
}
