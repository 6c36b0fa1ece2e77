//! What was acknowledged is there after `kill -9` and after SIGTERM, under every policy.
//!
//! Writers own their keys, so each knows what its keys may hold: the state after everything that was acknowledged, plus
//! some first part of what was in flight (a connection's commands take effect in order).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::helpers::{
    Client, Launch, Random, Reply, Server, command, commands, info, info_number, log, rounds, wait_until,
};

const WRITERS: usize = 6;
const KEYS_PER_WRITER: usize = 40;
const POLICIES: [&str; 3] = ["always", "everysec", "none"];

/// A writer's own keys.
type Keys = BTreeMap<String, String>;

/// A command on one key: its new value, or `None` for a DEL.
type Write = (String, Option<String>);

#[derive(Debug, Clone)]
struct Writer {
    number: usize,
    random: Random,
    /// After everything that was acknowledged.
    acknowledged: Keys,
    in_flight: Vec<Write>,
    writes: u64,
}

impl Writer {
    fn new(number: usize, seed: u64) -> Self {
        let random = Random::new(seed ^ (number as u64) << 32);
        Self { number, random, acknowledged: Keys::new(), in_flight: Vec::new(), writes: 0 }
    }

    /// Writes until the server is gone, or `stop`.
    fn run(mut self, port: u16, stop: &AtomicBool, acknowledged: &AtomicU64) -> Self {
        let Ok(mut client) = Client::try_connect(port) else { return self };
        while !stop.load(Ordering::Relaxed) {
            // Even writers pipeline.
            let depth = if self.number.is_multiple_of(2) { 1 + self.random.below(60) } else { 1 };
            self.in_flight = (0..depth).map(|_| self.next_write()).collect();
            let request: Vec<u8> = self.in_flight.iter().flat_map(encode).collect();
            if client.try_send(request).is_err() {
                return self;
            }
            while let Some(write) = self.in_flight.first() {
                match client.try_reply() {
                    Ok(Reply::Simple(_) | Reply::Integer(_)) => {}
                    Ok(other) => panic!("{other:?}"),
                    Err(_) => return self,
                }
                apply(&mut self.acknowledged, write);
                self.in_flight.remove(0);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        }
        self
    }

    fn next_write(&mut self) -> Write {
        let key = format!("w{}:k{}", self.number, self.random.below(KEYS_PER_WRITER));
        self.writes += 1;
        let padding = "x".repeat(if self.random.below(50) == 0 { 5000 } else { self.random.below(50) });
        let value = (self.random.below(5) > 0).then(|| format!("{}-{padding}", self.writes));
        (key, value)
    }

    /// Asserts that the server holds one of the states it may hold, and goes on from that.
    fn check(&mut self, client: &mut Client) {
        let keys: Vec<String> = (0..KEYS_PER_WRITER).map(|k| format!("w{}:k{k}", self.number)).collect();
        let mut found = Keys::new();
        for key in keys {
            if let Some(value) = client.get(&key) {
                found.insert(key, String::from_utf8(value).unwrap());
            }
        }
        let mut allowed = self.acknowledged.clone();
        let mut in_flight = self.in_flight.iter();
        while allowed != found {
            let Some(write) = in_flight.next() else {
                panic!(
                    "writer {}: found {found:?}, acknowledged {:?}, in flight {:?}",
                    self.number, self.acknowledged, self.in_flight
                );
            };
            apply(&mut allowed, write);
        }
        self.acknowledged = found;
        self.in_flight.clear();
    }
}

fn encode((key, value): &Write) -> Vec<u8> {
    match value {
        Some(value) => command(&["SET", key, value]),
        None => command(&["DEL", key]),
    }
}

fn apply(keys: &mut Keys, (key, value): &Write) {
    match value {
        Some(value) => keys.insert(key.clone(), value.clone()),
        None => keys.remove(key),
    };
}

/// Lets all writers write, until `end` has ended the server or told it to.
fn write_while(server: &Server, writers: Vec<Writer>, end: impl FnOnce(&Server, &AtomicU64)) -> Vec<Writer> {
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let port = server.port();
    let threads: Vec<_> = writers
        .into_iter()
        .map(|writer| {
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            std::thread::spawn(move || writer.run(port, &stop, &acknowledged))
        })
        .collect();
    wait_until("a write is acknowledged", || acknowledged.load(Ordering::Relaxed) > 0);
    end(server, &acknowledged);
    // Those that could not even connect in time end by this.
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// The same server, if so with connections that change workers after each turn.
fn restless_if(restless: bool, launch: &Launch) -> Launch {
    if restless { launch.clone().env("KVRED_TEST_MOVES", "always") } else { launch.clone() }
}

fn kill_9_loses_nothing(fsync: &str) {
    let seed = Random::seed();
    println!("KVRED_TEST_SEED={seed} --fsync {fsync}");
    let mut random = Random::new(seed);
    let mut writers: Vec<Writer> = (0..WRITERS).map(|number| Writer::new(number, seed)).collect();
    let launch = Launch::new().args(&["--fsync", fsync, "--threads", "2"]);
    for round in 0..rounds(8) {
        println!("round {round}");
        let server = restless_if(round % 2 == 1, &launch).start();
        let pause = Duration::from_millis(random.below(120) as u64);
        writers = write_while(&server, writers, |server, _| {
            std::thread::sleep(pause);
            server.signal(Signal::KILL);
        });
        server.kill9();
        let server = launch.start();
        let mut client = server.connect();
        for writer in &mut writers {
            writer.check(&mut client);
        }
        let keys: usize = writers.iter().map(|w| w.acknowledged.len()).sum();
        assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(keys.try_into().unwrap()));
        server.kill9();
    }
    let total: u64 = writers.iter().map(|w| w.writes).sum();
    println!("{total} writes");
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
    for fsync in POLICIES {
        for round in 0..rounds(2) {
            let launch = Launch::new().args(&["--fsync", fsync, "--threads", "2"]);
            let server = restless_if(round % 2 == 1, &launch).start();
            let writers = (0..WRITERS).map(|number| Writer::new(number, seed)).collect();
            let mut writers = write_while(&server, writers, |server, acknowledged| {
                wait_until("some writes", || acknowledged.load(Ordering::Relaxed) > 300);
                server.signal(Signal::TERM);
                server.wait_for_stderr("stopping");
            });
            server.exit().expect(0, &["stopped"]);
            assert_closed(&launch.log());
            let server = launch.start();
            let mut client = server.connect();
            for writer in &mut writers {
                writer.check(&mut client);
            }
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
    client.ask_words("BGREWRITEAOF");
    wait_until("it is rewritten", || info_number(&mut client, "aof_rewrites") == 1);
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
    client.ask_words("BGREWRITEAOF");
    server.wait_for_stderr("was rewritten");
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
    // If that was in the midst of the writes, it holds what came meanwhile, and is to grow until it is rewritten once more.
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
        let told = String::from_utf8(client.reply().into_bytes()).expect("INFO is text");
        assert!(told.contains("aof_rewrite_in_progress:1\r\n") || told.contains(&over), "rewrite {n}: {told}");
        wait_until("no rewrite is in progress", || info(&mut client, "aof_rewrite_in_progress") == "0");
        assert_eq!(info_number(&mut client, "aof_rewrites"), n, "rewrite {n} is not over");
    }
}
