//! Random streams of everything that kvred offers, sent to kvred and to Redis 8: the replies are the same, byte for
//! byte, but for what `known` lists.
//!
//! `KVRED_TEST_ROUNDS` is the number of sessions; each sends some thousand commands over a connection of its own, in
//! pipelines, as arrays and as inline commands, in RESP2 and RESP3.

mod known;
mod requests;

use std::collections::{BTreeMap, BTreeSet};

use self::known::{Answer, Known};
use self::requests::{Generator, Request};
use crate::helpers::client::shown;
use crate::helpers::peer::Peer;
use crate::helpers::{Client, Random, Reply, Server, command, rounds};

/// Commands of one session.
const SESSION_COMMANDS: usize = 2000;

/// Sessions, where nobody says otherwise: 100,000 commands and more.
const SESSIONS: u64 = 52;

/// The first session's seed: the same in each run, as a difference that is new is no reason to refuse a change that has
/// nothing to do with it. `KVRED_TEST_SEED=$RANDOM KVRED_TEST_ROUNDS=1000` looks for more.
const SEED: u64 = 1;

/// Settings of Redis that make it comparable: what can be set alike is.
const REDIS_SETTINGS: &[&str] = &[
    "--databases",
    "1",
    "--appendfsync",
    "always",
    "--slowlog-log-slower-than",
    "-1",
    "--auto-aof-rewrite-percentage",
    "0",
];

const KVRED_SETTINGS: &[&str] =
    &["--fsync", "always", "--slowlog-log-slower-than", "-1", "--auto-aof-rewrite-percentage", "0"];

/// The two servers' answers to the same request.
struct Compared {
    differences: BTreeMap<String, String>,
    used: BTreeSet<&'static str>,
    commands: usize,
}

impl Compared {
    fn compare(&mut self, request: &Request, ours: &Answer, theirs: &Answer, seed: u64) {
        if ours.1 == theirs.1 {
            return;
        }
        if let Some(known) = Known::of(request, ours, theirs) {
            self.used.insert(known);
            return;
        }
        let words: Vec<String> = request.iter().map(|w| shown(w)).collect();
        let kind = format!("{} {}", String::from_utf8_lossy(&request[0]).to_uppercase(), request.len());
        let text =
            format!("{}\n   kvred {}\n   redis {}\n   seed {seed}", words.join(" "), shown(&ours.1), shown(&theirs.1));
        self.differences.entry(kind).or_insert(text);
    }
}

#[test]
fn the_readme_lists_every_known_difference() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("| ")).collect();
    let others = ["a missing CRLF", "a wrong password behind other commands", "a write in front of an HTTP request"];
    for known in known::KNOWN.iter().map(|k| k.what).chain(others) {
        assert!(rows.iter().any(|row| row.starts_with(known)), "the README has no row for: {known}");
    }
}

#[test]
fn a_hundred_thousand_random_commands_are_answered_as_redis_does() {
    let dir = tempfile::tempdir().unwrap();
    let Some(redis) = Peer::start_with("redis-server", dir.path(), REDIS_SETTINGS) else { return };
    let server = Server::start_with(KVRED_SETTINGS);
    let first_seed = if std::env::var_os("KVRED_TEST_SEED").is_some() { Random::seed() } else { SEED };
    let mut compared = Compared { differences: BTreeMap::new(), used: BTreeSet::new(), commands: 0 };
    for session in 0..rounds(SESSIONS) {
        run_session(first_seed.wrapping_add(session), &server, &redis, &mut compared);
    }
    println!("{} commands; known differences met: {:?}", compared.commands, compared.used);
    let texts: Vec<String> = compared.differences.into_values().collect();
    assert!(texts.is_empty(), "KVRED_TEST_SEED={first_seed}: {}", texts.join("\n"));
    assert!(compared.commands >= 100_000 || std::env::var_os("KVRED_TEST_ROUNDS").is_some());
}

fn run_session(seed: u64, server: &Server, redis: &Peer, compared: &mut Compared) {
    let mut generator = Generator::new(seed);
    let (mut ours, mut theirs) = (server.connect(), redis.connect());
    let mut sent = 0;
    while sent < SESSION_COMMANDS {
        let pipeline = generator.pipeline();
        sent += pipeline.len();
        let token = format!("end of {seed}:{sent}");
        let mut bytes: Vec<u8> = pipeline.iter().flat_map(|call| call.bytes.clone()).collect();
        bytes.extend(command(&["ECHO", &token]));
        let answered: Vec<&Request> = pipeline.iter().filter(|c| c.answered).map(|c| &c.request).collect();
        let token = Reply::bulk(&token);
        let replies = [&mut ours, &mut theirs].map(|client| {
            client.send(&bytes);
            replies_before(client, &token)
        });
        let [from_us, from_them] = replies;
        let expected = answered.len();
        assert!(
            from_us.len() == expected && from_them.len() == expected,
            "seed {seed}: {}",
            side_by_side(&answered, &from_us, &from_them)
        );
        for ((request, ours), theirs) in answered.into_iter().zip(from_us).zip(from_them) {
            compared.compare(request, &ours, &theirs, seed);
        }
        if generator.ends_connection() {
            let last = generator.last_words();
            let [ours_said, theirs_said] = [&mut ours, &mut theirs].map(|client| {
                client.send(&last);
                client.rest()
            });
            if ours_said == theirs_said {
                // As it should be.
            } else if let Some(known) = known::last_words(&last, &ours_said, &theirs_said) {
                compared.used.insert(known);
            } else {
                let [ours, theirs] = [ours_said, theirs_said].map(|said| (Reply::Null, said));
                compared.compare(&vec![last], &ours, &theirs, seed);
            }
            (ours, theirs) = (server.connect(), redis.connect());
        }
        if sent % 7 == 0 {
            compare_scans(&mut generator, &mut ours, &mut theirs, seed);
        }
    }
    compared.commands += sent;
    // What is stored is the same too.
    for client in [&mut ours, &mut theirs] {
        client.send("HELLO 2\r\n").reply();
    }
    let [(our_keys, _), (their_keys, _)] = [&mut ours, &mut theirs].map(scan_all);
    assert_eq!(our_keys, their_keys, "seed {seed}: not the same keys");
    for key in our_keys {
        assert_eq!(ours.get(&key), theirs.get(&key), "seed {seed}: key {}", key.escape_ascii());
    }
}

/// What was asked and answered where the numbers of replies do not fit.
fn side_by_side(requests: &[&Request], ours: &[(Reply, Vec<u8>)], theirs: &[(Reply, Vec<u8>)]) -> String {
    let mut text = format!("{} requests, {} replies of kvred, {} of redis", requests.len(), ours.len(), theirs.len());
    for (i, request) in requests.iter().enumerate() {
        let words: Vec<String> = request.iter().map(|w| shown(w)).collect();
        let answer =
            |from: &[(Reply, Vec<u8>)]| from.get(i).map_or_else(|| "nothing".to_owned(), |(_, raw)| shown(raw));
        let (words, ours, theirs) = (words.join(" "), answer(ours), answer(theirs));
        text.extend(["\n", &words, "\n   kvred ", &ours, "\n   redis ", &theirs]);
    }
    text
}

/// All replies before the one that is `token`.
fn replies_before(client: &mut Client, token: &Reply) -> Vec<(Reply, Vec<u8>)> {
    let mut replies = Vec::new();
    loop {
        let (reply, raw) = client.reply_and_raw();
        if reply == *token {
            return replies;
        }
        replies.push((reply, raw));
    }
}

fn scan_all(client: &mut Client) -> (BTreeSet<Vec<u8>>, usize) {
    scan(client, &[])
}

/// All keys that a whole iteration gives, and how many calls it took.
fn scan(client: &mut Client, options: &[&[u8]]) -> (BTreeSet<Vec<u8>>, usize) {
    let (mut found, mut cursor, mut calls) = (BTreeSet::new(), b"0".to_vec(), 0);
    loop {
        let mut call: Vec<&[u8]> = vec![b"SCAN", &cursor];
        call.extend(options);
        let mut reply = client.ask(&call).into_array();
        found.extend(reply.pop().unwrap().into_array().into_iter().map(Reply::into_bytes));
        cursor = reply.pop().unwrap().into_bytes();
        calls += 1;
        if cursor == b"0" {
            return (found, calls);
        }
    }
}

/// Cursors are each server's own: only what whole iterations find is compared.
fn compare_scans(generator: &mut Generator, ours: &mut Client, theirs: &mut Client, seed: u64) {
    let options = generator.scan_options();
    let options: Vec<&[u8]> = options.iter().map(Vec::as_slice).collect();
    let (found, _) = scan(ours, &options);
    let (expected, _) = scan(theirs, &options);
    assert_eq!(found, expected, "seed {seed}: SCAN {options:?}");
}
