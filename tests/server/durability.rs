//! What was acknowledged is there after `kill -9` and after SIGTERM, under every policy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::helpers::ledger::{Ledger, check_all, write_until_gone};
use crate::helpers::{
    Client, Launch, Random, Reply, Server, commands, info, info_number, log, rewrite, rounds, wait_until,
};

const WRITERS: usize = 6;
const POLICIES: [&str; 3] = ["always", "everysec", "none"];

/// The same server, if so with connections that change workers after each turn.
fn restless_if(restless: bool, launch: &Launch) -> Launch {
    if restless { launch.clone().env("KVRED_TEST_MOVES", "always") } else { launch.clone() }
}

fn kill_9_loses_nothing(fsync: &str) {
    let seed = Random::seed();
    println!("KVRED_TEST_SEED={seed} --fsync {fsync}");
    let mut random = Random::new(seed);
    let mut ledgers = vec![Ledger::default(); WRITERS];
    let launch = Launch::new().args(&["--fsync", fsync, "--threads", "2"]);
    for round in 0..rounds(8) {
        let server = restless_if(round % 2 == 1, &launch).start();
        let pause = Duration::from_millis(random.below(120) as u64);
        let acknowledged = AtomicU64::new(0);
        std::thread::scope(|scope| {
            write_until_gone(scope, &server, &mut ledgers, false, &mut random, &acknowledged);
            wait_until("a write is acknowledged", || acknowledged.load(Ordering::SeqCst) > 0);
            std::thread::sleep(pause);
            server.kill9();
        });
        let server = launch.start();
        check_all(&mut ledgers, &server, &format!("{fsync}, seed {seed}, round {round}"));
        server.kill9();
    }
    assert!(ledgers.iter().all(|ledger| ledger.refused == 0));
}

#[test]
fn kill_9_loses_nothing_acknowledged_under_always() {
    kill_9_loses_nothing("always");
}

#[test]
fn kill_9_loses_nothing_acknowledged_under_everysec() {
    kill_9_loses_nothing("everysec");
}

#[test]
fn kill_9_loses_nothing_acknowledged_under_none() {
    kill_9_loses_nothing("none");
}

#[test]
fn sigterm_under_load_loses_nothing_and_closes_the_log() {
    let seed = Random::seed();
    println!("KVRED_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    for fsync in POLICIES {
        for round in 0..rounds(2) {
            let launch = Launch::new().args(&["--fsync", fsync, "--threads", "2"]);
            let server = restless_if(round % 2 == 1, &launch).start();
            let mut ledgers = vec![Ledger::default(); WRITERS];
            let acknowledged = AtomicU64::new(0);
            std::thread::scope(|scope| {
                write_until_gone(scope, &server, &mut ledgers, false, &mut random, &acknowledged);
                wait_until("some writes", || acknowledged.load(Ordering::SeqCst) > 300);
                server.terminate().expect(0, &["stopping", "stopped"]);
            });
            assert_closed(&launch.log());
            check_all(&mut ledgers, &launch.start(), &format!("{fsync}, seed {seed}, round {round}"));
            assert!(ledgers.iter().all(|ledger| ledger.refused == 0));
            assert!(launch.cuts().is_empty(), "a clean log has nothing to cut");
        }
    }
}

/// Workers commit for each other; each has to hear of its own groups, however the commits interleave.
#[test]
fn no_writer_waits_in_vain_for_its_answer() {
    const WRITES: u64 = 1500;
    for fsync in POLICIES {
        let server = Server::start_with(&["--fsync", fsync, "--threads", "4"]);
        let threads: Vec<_> = (0..12)
            .map(|number| {
                let mut client = server.connect();
                std::thread::spawn(move || (0..WRITES).for_each(|i| client.set(format!("k{number}"), i.to_string())))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

/// No reserved zeros, and an empty batch at the end that says that everything before it is durable.
fn assert_closed(log: &[u8]) {
    let batches = log::batches(log);
    let last = batches.last().unwrap();
    assert_eq!(last.end, log.len(), "something lies behind the last batch");
    assert!(last.commands.is_empty());
    assert!(last.annotations.contains(&format!("#SYNCED:{:016x}", last.start)), "{:?}", last.annotations);
}

#[test]
fn a_log_closes_the_same_way_without_a_write() {
    let launch = Launch::new();
    for _ in 0..3 {
        launch.start().terminate().expect(0, &[]);
        assert_closed(&launch.log());
    }
}

/// Values that look like the log's own lines, in a log that is then read again and again.
#[test]
fn values_cannot_imitate_the_log() {
    let launch = Launch::new();
    let server = launch.start();
    let mut client = server.connect();
    client.set("k", "v");
    let so_far = server.log();
    // The log so far, whole and in parts, as values: real commit lines of this very chain.
    client.set("whole log", &so_far);
    for (i, line) in so_far.split_inclusive(|&c| c == b'\n').enumerate() {
        client.set(format!("line {i}"), line);
    }
    client.set("a header", "#KVRED:1:0000000000000000:00000000\r\n#C:00000000:00000000\r\n#NOSYNC\r\n");
    client.set("#SYNCED:00000000000fffff\r\n", "#SYNCED:00000000000fffff\r\n");
    let model = log::state_at(&log::batches(&server.log()), usize::MAX);
    let mut server = server;
    for _ in 0..2 {
        server = server.crash_and_restart();
        log::assert_holds(&mut server.connect(), &model, "after a restart");
    }
}

/// What is written behind it makes the next one due.
#[test]
fn the_size_that_a_log_grows_from_is_that_of_the_rewrite() {
    let server = Server::start_with(&["--auto-aof-rewrite-percentage", "0"]);
    let mut client = server.connect();
    for value in 0..100 {
        client.set("k", value.to_string());
    }
    assert!(rewrite(&mut client));
    client.set("k", "after");
    let all = log::batches(&server.log());
    let is_last = |batch: &&log::Batch| batch.annotations.iter().any(|line| line.starts_with("#REWRITTEN:"));
    let end = all.iter().find(is_last).expect("the rewrite states itself").end;
    assert_eq!(info_number(&mut client, "aof_base_size"), end as u64);
}

/// However large the values are that lie beside each other, no batch gets longer than one may be. Online and offline.
#[test]
fn a_batch_of_a_rewritten_log_is_short_or_of_one_command() {
    const VALUE_BYTES: usize = 300 << 10;
    let server = Server::start();
    let mut client = server.connect();
    for n in 0..100 {
        client.set(format!("large-{n}"), vec![b'v'; VALUE_BYTES]);
        client.set(format!("small-{n}"), "v");
    }
    let check = |log: &[u8]| {
        let all = log::batches(log);
        assert_eq!(all.iter().map(|batch| batch.commands.len()).sum::<usize>(), 200);
        for batch in all {
            assert!(batch.commands.len() <= 1 || batch.end - batch.start < VALUE_BYTES, "{}", batch.end - batch.start);
        }
    };
    assert!(rewrite(&mut client));
    check(&server.log());
    let log = server.launch().log_path();
    let copy = log.with_file_name("copy.aof");
    let launch = server.launch().clone();
    server.kill9();
    let rewritten = Launch::binary().args(["aof", "rewrite", "-o"]).args([&copy, &log]).output().unwrap();
    assert!(rewritten.status.success(), "{rewritten:?}");
    check(&std::fs::read(launch.dir().join("copy.aof")).unwrap());
}

#[test]
fn a_log_that_has_grown_enough_is_rewritten_unasked_and_no_other() {
    let start = |percentage: &str, least: &str| {
        let flags = ["--auto-aof-rewrite-percentage", percentage, "--auto-aof-rewrite-min-size", least];
        let server = Server::start_with(&flags);
        let mut client = server.connect();
        for _ in 0..100 {
            client.set("k", [b'v'; 100]);
        }
        (server, client)
    };
    let is_rewritten = |client: &mut Client| info_number(client, "aof_rewrites") > 0;
    let off = start("0", "1kb");
    let grown_too_little = start("1000000", "1kb");
    let too_small = start("100", "1gb");
    let (server, mut client) = start("100", "1kb");
    wait_until("it is rewritten", || is_rewritten(&mut client));
    // If that was in the midst of the writes, it holds what came meanwhile, and is to grow until it is rewritten once
    // more.
    wait_until("it is short", || {
        let is_short = server.log().len() < 1 << 10;
        if !is_short {
            client.set("k", [b'v'; 100]);
        }
        is_short
    });
    assert_eq!(client.get("k"), Some(vec![b'v'; 100]));
    for (server, mut client) in [off, grown_too_little, too_small] {
        server.wait_for_looks_at_the_log();
        assert!(!is_rewritten(&mut client), "{}", server.stderr());
        assert!(!server.stderr().contains("rewriting it"), "{}", server.stderr());
        client
            .send(commands("CONFIG SET auto-aof-rewrite-percentage 100 auto-aof-rewrite-min-size 1kb"))
            .expect("+OK\r\n");
        wait_until("it is rewritten", || is_rewritten(&mut client));
    }
}

/// As in Redis: who waits until no rewrite is in progress has waited for the one that he asked for.
#[test]
fn a_rewrite_is_in_progress_or_over_once_it_is_answered() {
    let server = Server::start();
    let mut client = server.connect();
    for n in 1..=100 {
        client.send(commands("BGREWRITEAOF, INFO persistence"));
        assert_eq!(client.reply(), Reply::Simple("Background append only file rewriting started".to_owned()));
        let over = format!("aof_rewrites:{n}\r\n");
        let told = client.reply().into_text();
        assert!(told.contains("aof_rewrite_in_progress:1\r\n") || told.contains(&over), "rewrite {n}: {told}");
        wait_until("no rewrite is in progress", || info(&mut client, "aof_rewrite_in_progress") == "0");
        assert_eq!(info_number(&mut client, "aof_rewrites"), n, "rewrite {n} is not over");
    }
    // Nor can he fill a disk with lines about them; but that a lost log is there again is told.
    std::fs::remove_file(server.launch().log_path()).unwrap();
    wait_until("the log is there again", || info_number(&mut client, "aof_rewrites") == 101);
    let stderr = server.terminate().stderr;
    let told = stderr.matches("the append-only file was rewritten").count();
    assert!(0 < told && told < 50, "{told} of 100 were logged");
    let (_, behind) = stderr.split_once("has lost its name").unwrap();
    assert!(behind.contains("the append-only file was rewritten"), "{behind}");
}

/// A stop syncs, so it is worth waiting for.
#[test]
fn who_waits_for_a_sync_at_a_stop_is_told_of_it() {
    for policy in ["everysec", "none"] {
        let server = Launch::new().args(&["--fsync", policy]).start();
        let (mut client, mut other) = (server.connect(), server.connect());
        client.set("k", "v");
        client.send("WAITAOF 1 0 0\r\n");
        wait_until("it was received", || other.text("CLIENT LIST").contains(" cmd=waitaof "));
        server.terminate().expect(0, &[]);
        assert_eq!(client.reply(), Reply::Array(vec![Reply::Integer(1), Reply::Integer(0)]), "{policy}");
        client.expect_closed();
    }
}
