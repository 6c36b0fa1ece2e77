//! A power cut: only what has reached the disk is there. The disk is a file behind a loop device; a copy of it while
//! the server is stopped, mounted elsewhere (which replays the journal), is what the machine would find.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::helpers::ledger::{Ledger, check_all, write_until_gone};
use crate::helpers::{Launch, Random, Reply, Server, info_number, rounds, wait_until};
use crate::rig::{Volume, assert_no_orphan, waited};

const SIZE_KIB: u32 = 48 << 10;

/// Stops the server where it stands, copies its disk, and lets nobody hear of it any more.
fn cut_power(server: Server, volume: &Volume, elsewhere: &Launch) -> Option<Volume> {
    // A thread within a sync stops when that has ended; until then the journal moves, and a copy would be of no moment.
    server.freeze();
    let after = volume.power_cut(elsewhere);
    server.kill9();
    after
}

/// Runs writers under `always`, cuts the power at a random moment, and checks; `None` after having said why that cannot
/// be.
fn cut(launch: &Launch, with_rewrites: bool, what: &str, random: &mut Random) -> Option<()> {
    let volume = Volume::ext4(launch, SIZE_KIB)?;
    let server = launch.start();
    let mut ledgers = vec![Ledger::default(); 2];
    let enough = 100 + random.below(400) as u64;
    let elsewhere = Launch::new();
    let acknowledged = AtomicU64::new(0);
    let after = std::thread::scope(|scope| {
        write_until_gone(scope, &server, &mut ledgers, with_rewrites, random, &acknowledged);
        wait_until("enough was written", || acknowledged.load(Ordering::SeqCst) >= enough);
        cut_power(server, &volume, &elsewhere)
    })?;
    let server = elsewhere.start();
    assert_no_orphan(elsewhere.dir());
    check_all(&mut ledgers, &server, what);
    drop((server, after, volume));
    Some(())
}

#[test]
fn a_power_cut_takes_nothing_that_always_acknowledged() {
    let seed = Random::seed();
    let mut random = Random::new(seed);
    for round in 0..rounds(4) {
        let launch = Launch::new().args(&["--fsync", "always", "--auto-aof-rewrite-percentage", "0"]);
        let with_rewrites = round % 2 == 1;
        let what = format!("seed {seed}, round {round}");
        if cut(&launch, with_rewrites, &what, &mut random).is_none() {
            return;
        }
    }
}

#[test]
fn a_power_cut_takes_nothing_that_an_everysec_sync_has_covered() {
    let launch = Launch::new();
    let Some(volume) = Volume::ext4(&launch, SIZE_KIB) else { return };
    let server = launch.start();
    let mut client = server.connect();
    let (mut covered, mut number) = (0, 0);
    let mut syncs = info_number(&mut client, "aof_fsyncs");
    let mut before_last_sync = 0;
    // A sync that ended after another ended began after what had been answered by then.
    for _ in 0..3 {
        wait_until("a sync", || {
            number += 1;
            client.set("counter", number.to_string());
            client.set(format!("k{number}"), "v");
            std::thread::sleep(std::time::Duration::from_millis(5));
            let now = info_number(&mut client, "aof_fsyncs");
            let synced = now > syncs;
            if synced {
                syncs = now;
                (covered, before_last_sync) = (before_last_sync, number);
            }
            synced
        });
    }
    let elsewhere = Launch::new();
    let Some(after) = cut_power(server, &volume, &elsewhere) else { return };
    let server = elsewhere.start();
    let mut client = server.connect();
    let found: u64 = client.get("counter").map_or(0, |v| String::from_utf8(v).unwrap().parse().unwrap());
    assert!(covered > 0 && found >= covered, "{found} is there, {covered} was covered");
    assert!(found <= number);
    // A prefix of the one order, never a hole.
    for i in 1..=number {
        let there = client.ask_words(&format!("EXISTS k{i}")) == Reply::Integer(1);
        assert!(there || i >= found, "k{i} is missing, and {found} is there");
        assert!(!there || i <= found, "k{i} is there, and the counter says {found}");
    }
    drop((client, server, after, volume));
}

#[test]
fn a_power_cut_after_waitaof_takes_nothing_under_none() {
    let launch = Launch::new().args(&["--fsync", "none"]);
    let Some(volume) = Volume::ext4(&launch, SIZE_KIB) else { return };
    let server = launch.start();
    let mut client = server.connect();
    for i in 0..500 {
        client.set(format!("k{i}"), vec![b'v'; 500]);
    }
    assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1));
    client.set("after", "x");
    let elsewhere = Launch::new();
    let Some(after) = cut_power(server, &volume, &elsewhere) else { return };
    let server = elsewhere.start();
    let mut client = server.connect();
    for i in 0..500 {
        assert_eq!(client.get(format!("k{i}")), Some(vec![b'v'; 500]), "k{i}");
    }
    drop((client, server, after, volume));
}

/// What the sync of the directory is for: the new name, too, survives.
#[test]
fn a_power_cut_right_after_a_rewrite_finds_one_whole_log() {
    // Of the old log nothing but the beginning is synced, and nothing is written behind the rewrite: a sync of that
    // would bring the name to the disk, too.
    let launch = Launch::new().args(&["--fsync", "none", "--auto-aof-rewrite-percentage", "0"]);
    let Some(volume) = Volume::ext4(&launch, SIZE_KIB) else { return };
    let server = launch.start();
    let mut client = server.connect();
    for i in 0..300 {
        client.set("k", i.to_string());
    }
    assert!(crate::helpers::rewrite(&mut client));
    assert_eq!(client.ask_words("WAITAOF 1 0 0"), waited(1));
    let elsewhere = Launch::new();
    let Some(after) = cut_power(server, &volume, &elsewhere) else { return };
    let rewritten = b"#REWRITTEN:";
    assert!(elsewhere.log().windows(rewritten.len()).any(|line| line == rewritten), "the name is the old log's");
    let server = elsewhere.start();
    let mut client = server.connect();
    assert_eq!(client.ask_words("GET k"), Reply::bulk("299"));
    drop((client, server, after, volume));
}
