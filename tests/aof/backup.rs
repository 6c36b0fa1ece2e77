//! Backups of a log while a server writes to it and rewrites it: each one is sound, and has every write that was
//! acknowledged before it was begun.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::helpers::{Client, Launch, Reply, command, rounds};
use crate::kit::{aof, arg};

/// Keys of one writer: few, so that a rewrite has something to leave out.
const SLOTS: u64 = 40;

const WRITERS: usize = 3;

/// Commands that a writer sends before it reads their replies.
const PIPELINE: u64 = 8;

/// What `cp` and others read at a time.
const BLOCK_BYTES: usize = 128 << 10;

/// The key of a writer's n-th write, counted from 1, and its value.
fn write(writer: usize, n: u64) -> (String, String) {
    (format!("{writer}:{}", n % SLOTS), format!("{n}:{}", "v".repeat(500)))
}

/// Writes the next `count` values at once; `told` is how many were acknowledged so far.
fn go_on(client: &mut Client, writer: usize, told: &AtomicU64, count: u64) {
    let from = told.load(SeqCst);
    let sets = (from + 1..=from + count).map(|n| write(writer, n));
    client.send(sets.flat_map(|(key, value)| command(&["SET", &key, &value])).collect::<Vec<u8>>());
    for _ in 0..count {
        assert_eq!(client.reply(), Reply::ok());
        told.fetch_add(1, SeqCst);
    }
}

/// Asserts that `copy` loads, and holds what a writer had written up to some moment, not before `acknowledged`.
fn assert_holds(copy: &Path, acknowledged: &[u64]) {
    let server = Launch::at(copy.parent().unwrap()).start();
    let mut client = server.connect();
    for (writer, &acknowledged) in acknowledged.iter().enumerate() {
        let mut found = |slot: u64| {
            let value = client.get(write(writer, slot).0.as_bytes());
            value.map_or(0, |v| String::from_utf8(v).unwrap().split_once(':').unwrap().0.parse::<u64>().unwrap())
        };
        let slots: Vec<u64> = (0..SLOTS).map(&mut found).collect();
        let last = *slots.iter().max().unwrap();
        assert!(last >= acknowledged, "writer {writer}: write {acknowledged} was acknowledged, {last} is the last");
        for (slot, n) in (0..).zip(slots) {
            let want = (last / SLOTS * SLOTS + slot).checked_sub(if slot > last % SLOTS { SLOTS } else { 0 });
            assert_eq!(n, want.unwrap_or(0), "writer {writer}, after write {last}: slot {slot}");
        }
    }
}

/// Takes one backup after the other under load and rewrites.
fn backups_under_load(policy: &str, allowed: &[i32], take: impl Fn(&Path, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::at(dir.path()).args(&["--fsync", policy, "--auto-aof-rewrite-min-size", "1mb"]).start();
    let log = server.launch().log_path();
    let (told, done) = ([const { AtomicU64::new(0) }; WRITERS], AtomicBool::new(false));
    std::thread::scope(|scope| {
        for (writer, told) in told.iter().enumerate() {
            let (mut client, done) = (server.connect(), &done);
            scope.spawn(move || {
                while !done.load(SeqCst) {
                    go_on(&mut client, writer, told, PIPELINE);
                }
            });
        }
        let (mut client, done) = (server.connect(), &done);
        scope.spawn(move || {
            while !done.load(SeqCst) {
                // Refused while one is under way.
                client.ask(&["BGREWRITEAOF"]);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..rounds(8) {
                let copies = tempfile::tempdir().unwrap();
                let copy = copies.path().join("kvred.aof");
                let acknowledged = told.each_ref().map(|told| told.load(SeqCst));
                take(&log, &copy);
                let checked = aof(&["check", arg(&copy)]);
                assert!(allowed.contains(&checked.code.unwrap()), "{policy}, backup {round}: {}", checked.stdout);
                assert_holds(&copy, &acknowledged);
            }
        }));
        done.store(true, SeqCst);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let report = aof(&["check", "--json", arg(&log)]).json();
    assert!(report["rewrites"].as_u64() > Some(0), "nothing was rewritten meanwhile: {report}");
}

fn cp(log: &Path, copy: &Path) {
    loop {
        let output = Command::new("cp").env("LC_ALL", "C").args([log, copy]).output().unwrap();
        if output.status.success() {
            return;
        }
        // Where a rewrite comes between its look at the name and its opening, it refuses: whoever copies does so again.
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("replaced while being copied"), "{output:?}");
    }
}

fn salvage(log: &Path, copy: &Path) {
    aof(&["check", "--salvage", arg(copy), arg(log)]).expect(0, &[]);
}

/// At worst its last batch is cut.
const SOUND_OR_CUT: [i32; 2] = [0, 1];

#[test]
fn a_copy_of_a_busy_log_is_sound_under_everysec() {
    backups_under_load("everysec", &SOUND_OR_CUT, cp);
}

#[test]
fn a_copy_of_a_busy_log_is_sound_under_none() {
    backups_under_load("none", &SOUND_OR_CUT, cp);
}

#[test]
fn what_is_salvaged_from_a_busy_log_is_sound_under_every_policy() {
    for policy in ["always", "everysec", "none"] {
        backups_under_load(policy, &[0], salvage);
    }
}

/// Copies a log block by block, and writes more than a block between each two, as long as `more` is not used up.
fn slow_copy(log: &Path, copy: &Path, client: &mut Client, told: &AtomicU64, mut more: u64) {
    let (mut from, mut to) = (File::open(log).unwrap(), File::create(copy).unwrap());
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = from.read(&mut block).unwrap();
        if read == 0 {
            return;
        }
        to.write_all(&block[..read]).unwrap();
        for _ in 0..more.min(3) {
            go_on(client, 0, told, SLOTS * 5);
        }
        more = more.saturating_sub(3);
    }
}

#[test]
fn a_copy_that_the_server_overtakes_is_sound_but_for_space_reserved_under_always() {
    for policy in ["everysec", "none", "always"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Launch::at(dir.path()).args(&["--fsync", policy, "--auto-aof-rewrite-percentage", "0"]).start();
        let (mut client, told) = (server.connect(), AtomicU64::new(0));
        go_on(&mut client, 0, &told, SLOTS);
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join("kvred.aof");
        slow_copy(&server.launch().log_path(), &copy, &mut client, &told, 9);
        let checked = aof(&["check", arg(&copy)]);
        if policy == "always" {
            // It has read zeros where the log goes on by now: nobody can tell that from damage, so it is not taken.
            checked.expect(4, &[]);
            let fixed = aof(&["check", "--fix", "--yes", arg(&copy)]);
            assert!(matches!(fixed.code, Some(0 | 1)), "{}{}", fixed.stdout, fixed.stderr);
        } else {
            assert!(matches!(checked.code, Some(0 | 1)), "{policy}: {}", checked.stdout);
            assert!(fs::metadata(&copy).unwrap().len() > 2 * BLOCK_BYTES as u64, "the server did not overtake it");
        }
        assert_holds(&copy, &[SLOTS]);
    }
}
