//! A log that is removed, renamed or replaced while a server writes to it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::helpers::{Client, Launch, Reply, Server, info, info_number, wait_until};

/// A server with a key in its log, which is at the path.
fn started(launch: &Launch) -> (Server, Client, PathBuf) {
    let server = launch.start();
    let mut client = server.connect();
    client.set("before", "v");
    (server, client, launch.log_path())
}

fn assert_has(launch: &Launch, keys: &[&str]) {
    let server = launch.start();
    let mut client = server.connect();
    for key in keys {
        assert_eq!(client.ask(&["GET", key]), Reply::bulk("v"), "{key}: {}", server.stderr());
    }
}

fn remove(log: &Path) {
    fs::remove_file(log).unwrap();
}

fn rename(log: &Path) {
    fs::rename(log, log.with_file_name("elsewhere")).unwrap();
}

/// In one step: what is made anew where there is nothing could be the server's by then.
fn empty(log: &Path) {
    let new = log.with_file_name("new");
    fs::write(&new, "").unwrap();
    fs::rename(&new, log).unwrap();
}

fn link_to_itself(log: &Path) {
    let new = log.with_file_name("new");
    symlink(log, &new).unwrap();
    fs::rename(&new, log).unwrap();
}

#[test]
fn a_log_that_is_removed_or_renamed_is_written_again() {
    for (policy, take_away) in
        [("everysec", remove as fn(&Path)), ("always", rename), ("none", remove), ("none", empty)]
    {
        let launch = Launch::new().args(&["--fsync", policy]);
        let (server, mut client, log) = started(&launch);
        take_away(&log);
        server.wait_for_stderr("kvred.aof was removed or renamed; all data is written to a new one");
        client.set("meanwhile", "v");
        wait_until("all data is written to a new log", || info_number(&mut client, "aof_rewrites") == 1);
        client.set("after", "v");
        server.kill9();
        assert_has(&launch, &["before", "meanwhile", "after"]);
    }
}

#[test]
fn behind_a_link_it_is_written_again_where_that_leads() {
    let launch = Launch::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let log = elsewhere.path().join("real.aof");
    fs::write(&log, "").unwrap();
    symlink(&log, launch.log_path()).unwrap();
    let (server, mut client, _) = started(&launch);
    fs::remove_file(&log).unwrap();
    server.wait_for_stderr("real.aof was removed or renamed");
    wait_until("all data is written to a new log", || info_number(&mut client, "aof_rewrites") == 1);
    server.kill9();
    assert!(launch.log_path().is_symlink() && log.is_file());
    assert_has(&launch, &["before"]);
}

#[test]
fn a_stop_writes_it_again_too() {
    for take_away in [remove as fn(&Path), empty, link_to_itself] {
        let launch = Launch::new();
        let (server, mut client, log) = started(&launch);
        take_away(&log);
        client.set("after", "v");
        server.terminate().expect(0, &["kvred.aof was removed or renamed", "stopped"]);
        assert_has(&launch, &["before", "after"]);
    }
}

#[test]
fn another_file_in_its_place_is_not_replaced() {
    let launch = Launch::new();
    let (server, mut client, log) = started(&launch);
    let stranger = launch.dir().join("stranger");
    let replace = || {
        fs::write(&stranger, "not to be touched").unwrap();
        fs::rename(&stranger, &log).unwrap();
    };
    replace();
    server.wait_for_stderr(
        "kvred.aof is another file by now, which is not replaced; no start would find what is written",
    );
    client.set("after", "v");
    wait_until("no rewrite has begun or is to", || info_number(&mut client, "aof_rewrite_scheduled") == 0);
    client.ask_words("BGREWRITEAOF");
    wait_until("none is under way or to come", || {
        ["aof_rewrite_scheduled", "aof_rewrite_in_progress"].iter().all(|field| info_number(&mut client, field) == 0)
    });
    assert_eq!(info(&mut client, "aof_last_bgrewrite_status"), "err");
    assert_eq!(fs::read_to_string(&log).unwrap(), "not to be touched");

    // What was moved away is not missed: the end does not wait.
    rename(&log);
    server.terminate().expect(0, &["kvred.aof was removed or renamed", "stopped"]);
    assert_has(&launch, &["before", "after"]);

    let server = launch.start();
    replace();
    let exit = server.terminate();
    exit.expect(3, &["the log could not be closed: no start finds the log: kvred.aof is another file by now"]);
    assert!(!exit.stderr.contains("all data is written"), "nothing was: {}", exit.stderr);
    assert_eq!(fs::read_to_string(&log).unwrap(), "not to be touched");
}

#[test]
fn without_its_directory_it_is_told_why_it_cannot_be_written_again() {
    let launch = Launch::new().args(&["--dir", "data"]);
    let (server, mut client, _) = started(&launch);
    fs::remove_dir_all(launch.dir().join("data")).unwrap();
    server.wait_for_stderr("came to nothing: cannot make the new log: the directory was removed");
    assert_eq!(info(&mut client, "aof_last_bgrewrite_status"), "err");
    // Not everything is lost yet: clients can read it.
    assert_eq!(client.ask_words("GET before"), Reply::bulk("v"));
    client.set("after", "v");
    server.terminate().expect(3, &["no start finds the log: cannot make the new log: the directory was removed"]);
}
