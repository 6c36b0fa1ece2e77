//! Clients of any pace: they send in pieces of any size, read in pieces of any size, and rest at any place. Whatever
//! the order of things, each command is answered, in order, and no connection waits for something that will not come.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::helpers::{Random, Server, command, rounds};

/// Sizes around those at which a reply no longer fits into a socket, a turn or a buffer.
const SIZES: [usize; 6] = [0, 3, 1000, 100_000, 300_000, 3_000_000];

/// Some commands, and what answers them.
fn commands_and_answers(random: &mut Random, key: &str, value: &mut Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let (mut sent, mut answers) = (Vec::new(), Vec::new());
    let mut reply_bytes = 0;
    for _ in 0..=random.below(300) {
        match random.below(100) {
            0..3 => {
                let size = SIZES[random.below(SIZES.len())];
                *value = vec![b'a' + random.below(26) as u8; size];
                sent.extend_from_slice(&command(&[b"SET", key.as_bytes(), value]));
                answers.extend_from_slice(b"+OK\r\n");
            }
            // Not more than a few megabytes at once, for the time's sake.
            3..50 if reply_bytes < 8 << 20 => {
                sent.extend_from_slice(&command(&["GET", key]));
                answers.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
                answers.extend_from_slice(value);
                answers.extend_from_slice(b"\r\n");
                reply_bytes += value.len();
            }
            50..60 => {
                sent.extend_from_slice(b"ECHO inline\r\n");
                answers.extend_from_slice(b"$6\r\ninline\r\n");
            }
            _ => {
                sent.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
                answers.extend_from_slice(b"+PONG\r\n");
            }
        }
    }
    (sent, answers)
}

fn rest(random: &mut Random) {
    if random.chance(150) {
        thread::sleep(Duration::from_micros(random.below(3000) as u64));
    }
}

/// One client: a thread sends, and this one reads. After each round both are level, so that nothing that is sent later
/// can wake what should have gone on by itself.
fn converse(server: &Server, number: usize, mut random: Random) {
    let (mut output, mut input) = server.connect().split();
    let (to_send, sending) = mpsc::channel::<(Vec<u8>, Random)>();
    let sender = thread::spawn(move || {
        for (bytes, mut random) in sending {
            // Cut where it begins or where it ends, in small pieces or in large ones; the rest in one.
            let piece_bytes = [30, 1000, 100_000][random.below(3)];
            let whole = if random.chance(500) { 0 } else { bytes.len().saturating_sub(50 * piece_bytes / 2) };
            let (at_once, mut in_pieces) = bytes.split_at(whole);
            output.write_all(at_once).expect("the server reads, whether or not it is read");
            for _ in 0..50 {
                let len = in_pieces.len().min(1 + random.below(piece_bytes));
                let piece = in_pieces.split_off(..len).expect("it is not longer");
                output.write_all(piece).expect("the server reads, whether or not it is read");
                rest(&mut random);
            }
            output.write_all(in_pieces).expect("the server reads, whether or not it is read");
        }
    });
    let (key, mut value) = (format!("key{number}"), Vec::new());
    let (first, answer) = (command(&["SET", &key, ""]), b"+OK\r\n".to_vec());
    let mut round = (first, answer);
    for _ in 0..rounds(12) {
        to_send.send((round.0, random.fork())).expect("the sender takes what is to be sent");
        let mut answers = &round.1[..];
        // Often everything is sent before the first answer is read.
        if random.chance(500) {
            thread::sleep(Duration::from_millis(random.below(100) as u64));
        }
        while !answers.is_empty() {
            let mut got = vec![0; answers.len().min(1 + random.below(200_000))];
            input.read_exact(&mut got).expect("each command is answered");
            assert!(got == answers.split_off(..got.len()).expect("no more than these"), "client {number}");
            rest(&mut random);
        }
        round = commands_and_answers(&mut random, &key, &mut value);
    }
    drop(to_send);
    sender.join().expect("all is sent");
}

#[test]
fn clients_of_any_pace_get_every_answer() {
    let seed = Random::seed();
    println!("KVRED_TEST_SEED={seed}");
    for policy in ["none", "everysec", "always"] {
        let server = Server::start_with(&["--fsync", policy]);
        let mut random = Random::new(seed);
        thread::scope(|scope| {
            for number in 0..6 {
                let (server, random) = (&server, random.fork());
                scope.spawn(move || converse(server, number, random));
            }
        });
    }
}

/// How often its workers have gone to sleep. One that is awake without anything to do offers its core to others, which
/// does not count.
fn sleeps_of_workers(server: &Server) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
    tasks
        .map(|task| std::fs::read_to_string(task.expect("it runs").path().join("status")).expect("no thread ends"))
        .filter(|status| status.starts_with("Name:\tkvred-worker-"))
        .map(|status| {
            let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            count.and_then(|count| count.trim().parse::<u64>().ok()).expect("Linux counts them")
        })
        .sum()
}

#[test]
fn a_worker_stays_awake_only_for_those_who_come_soon() {
    let server = Server::start();
    let mut client = server.connect();
    // It stays awake between these, if there is a core for it.
    (0..1000).for_each(|_| client.set("soon", ""));
    let before = sleeps_of_workers(&server);
    let slept = || sleeps_of_workers(&server) - before;
    // Each of these pauses is one to sleep in, but where others keep the worker from its core until it is over.
    let mut pauses = 0;
    while slept() < 100 {
        assert!(pauses < 5_000, "in {pauses} pauses of a millisecond a worker slept {} times", slept());
        for _ in 0..100 {
            client.get("soon");
            thread::sleep(Duration::from_millis(1));
        }
        pauses += 100;
    }
}
