//! Connections that change workers: nothing is lost, doubled or answered out of turn, and deep pipelines find the spare
//! worker and leave it again. `KVRED_TEST_MOVES` has them move more often than they would.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::helpers::random::Random;
use crate::helpers::{Client, Launch, Reply, command, info, rounds, wait_until};

/// A server whose connections change workers after each turn.
fn restless(args: &[&str]) -> Launch {
    Launch::new().env("KVRED_TEST_MOVES", "always").args(&["--threads", "3"]).args(args)
}

/// One field of `CLIENT INFO`.
fn field(client: &mut Client, field: &str) -> String {
    let text = client.text("CLIENT INFO");
    let value = text.split([' ', '\n']).find_map(|word| word.strip_prefix(field)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
}

/// Commands on keys of one client's own, and the replies that they must have.
fn conversation(random: &mut Random, name: &str, value: &mut Option<Vec<u8>>) -> (Vec<u8>, Vec<u8>) {
    let (mut commands, mut replies) = (Vec::new(), Vec::new());
    for _ in 0..=random.below(200) {
        if random.below(3) == 0 {
            let bytes = if random.below(30) == 0 { 40_000 } else { random.below(80) };
            let new = vec![b'a' + random.below(26) as u8; bytes];
            commands.extend(command(&[b"SET", name.as_bytes(), &new]));
            replies.extend(b"+OK\r\n");
            *value = Some(new);
        } else {
            commands.extend(command(&["GET", name]));
            match value {
                Some(value) => {
                    replies.extend(format!("${}\r\n", value.len()).as_bytes());
                    replies.extend(&*value);
                    replies.extend(b"\r\n");
                }
                None => replies.extend(b"$-1\r\n"),
            }
        }
    }
    (commands, replies)
}

/// Sends conversations in pieces that are cut anywhere, and reads what belongs to each.
fn converse(mut client: Client, number: u64, seed: u64) -> (String, Option<Vec<u8>>) {
    let mut random = Random::new(seed + number);
    let (name, mut value) = (format!("of{number}"), None);
    for _ in 0..40 {
        let (commands, replies) = conversation(&mut random, &name, &mut value);
        let mut rest = &commands[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.below(rest.len()));
            client.send(piece);
            rest = after;
        }
        client.expect(replies);
    }
    (name, value)
}

#[test]
fn a_connection_that_moves_is_answered_in_order() {
    let seed = Random::seed();
    println!("KVRED_TEST_SEED={seed}");
    for fsync in ["always", "everysec", "none"] {
        let launch = restless(&["--fsync", fsync, "--unixsocket", "kvred.sock"]);
        let server = launch.start();
        let socket = launch.dir().join("kvred.sock");
        let clients: Vec<_> = (0..8)
            .map(|number| {
                let client = if number % 2 == 0 { server.connect() } else { Client::connect_unix(Path::new(&socket)) };
                std::thread::spawn(move || converse(client, number, seed))
            })
            .collect();
        let wrote: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let server = server.crash_and_restart();
        let mut client = server.connect();
        for (name, value) in wrote {
            assert_eq!(client.get(&name), value, "{fsync}: {name}");
        }
    }
}

#[test]
fn a_connection_that_moves_keeps_what_it_has_set() {
    let server = restless(&["--fsync", "everysec"]).start();
    let mut client = server.connect();
    assert_eq!(client.ask_words("CLIENT SETNAME traveller"), Reply::ok());
    let id = field(&mut client, "id");
    let workers: BTreeSet<String> = (0..6).map(|_| field(&mut client, "io-thread")).collect();
    assert_eq!(workers.len(), 3, "each worker has had it: {workers:?}");
    assert_eq!(field(&mut client, "name"), "traveller");
    assert_eq!(field(&mut client, "id"), id);
    client.set("k", "v");
    assert_eq!(client.ask_words("WAITAOF 1 0 0"), Reply::Array(vec![Reply::Integer(1), Reply::Integer(0)]));
    client.send(command(&["CLIENT", "REPLY", "OFF"])).send(command(&["SET", "k", "unanswered"]));
    client.send(command(&["CLIENT", "REPLY", "ON"])).expect("+OK\r\n");
    assert_eq!(client.get("k"), Some(b"unanswered".to_vec()));
    assert_eq!(info(&mut client, "connected_clients"), "1");
}

#[test]
fn a_connection_is_killed_wherever_it_is() {
    let server = restless(&["--appendonly", "no"]).start();
    let mut killer = server.connect();
    for _ in 0..rounds(50) {
        let mut moving = server.connect();
        let id = field(&mut moving, "id");
        let asks = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while moving.try_ask(&["PING"]).is_ok() {
                    asks.store(true, Ordering::Relaxed);
                }
            });
            wait_until("it is on its ways", || asks.load(Ordering::Relaxed));
            assert_eq!(killer.ask(&["CLIENT", "KILL", "ID", &id]), Reply::Integer(1));
        });
        wait_until("it is struck off", || info(&mut killer, "connected_clients") == "1");
    }
}

/// Sends a pipeline of so many commands over each connection, and reads the replies.
fn pipelines(clients: &mut [Client], depth: usize) {
    for client in &mut *clients {
        client.send(command(&["GET", "k"]).repeat(depth));
    }
    for client in clients {
        client.expect("$1\r\nv\r\n".repeat(depth));
    }
}

#[test]
fn deep_pipelines_go_to_the_spare_worker_and_come_back() {
    let server = Launch::new().env("KVRED_TEST_MOVES", "deep").start();
    let mut client = server.connect();
    client.set("k", "v");
    let spare = client.ask_words("CONFIG GET io-threads").into_array().remove(1).into_text();
    let spare: usize = spare.parse().unwrap();
    // So many that some worker has two of them.
    let mut deep: Vec<Client> = (0..=2 * spare).map(|_| server.connect()).collect();
    let mut shallow: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    wait_until("the spare worker has some", || {
        pipelines(&mut deep, 100);
        pipelines(&mut shallow, 2);
        info(&mut client, "spare_worker_connections") != "0"
    });
    let on_spare = |client: &mut Client| field(client, "io-thread") == spare.to_string();
    assert!(deep.iter_mut().any(&on_spare));
    assert!(!shallow.iter_mut().any(&on_spare), "shallow pipelines stay where they are");
    wait_until("it has none any more", || {
        pipelines(&mut deep, 2);
        info(&mut client, "spare_worker_connections") == "0"
    });
    assert!(!deep.iter_mut().any(&on_spare));
    assert_eq!(info(&mut client, "connected_clients"), (1 + deep.len() + shallow.len()).to_string());
}

#[test]
fn workers_that_are_given_have_no_spare_one() {
    let server = Launch::new().env("KVRED_TEST_MOVES", "deep").args(&["--threads", "1"]).start();
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    clients[0].set("k", "v");
    for _ in 0..50 {
        pipelines(&mut clients, 100);
    }
    for client in &mut clients {
        assert_eq!(field(client, "io-thread"), "0");
    }
}

#[test]
fn counters_are_reset_before_that_is_answered() {
    let server = restless(&["--appendonly", "no"]).start();
    let mut client = server.connect();
    for _ in 0..rounds(100) {
        for _ in 0..3 {
            client.get("k");
        }
        assert_eq!(client.ask_words("CONFIG RESETSTAT"), Reply::ok());
        assert_eq!(info(&mut client, "keyspace_misses"), "0");
    }
}
