//! What several clients send at once is run in one turn of their worker: each is answered as if it were alone.

use std::io::{Read, Write};

use rustix::process::Signal;

use crate::helpers::{Client, Random, Server, command, wait_until};

/// What a client sends while the server stands still, what it sends when that is answered, and all that it gets.
struct Script {
    first: Vec<u8>,
    then: Vec<u8>,
    replies: Vec<u8>,
    closes: bool,
}

/// A script of some kind, on keys of its own. `SET key old` was run before.
fn script(kind: usize, key: &str) -> Script {
    let get = command(&["GET", key]);
    let old = "$3\r\nold\r\n";
    let script = |first: Vec<u8>, replies: String| Script {
        first,
        then: Vec::new(),
        replies: replies.into_bytes(),
        closes: false,
    };
    match kind {
        0 => script(get, old.to_owned()),
        1 => script([command(&["SET", key, "new"]), get].concat(), "+OK\r\n$3\r\nnew\r\n".to_owned()),
        2 => script([get, command(&["GET", "none"])].concat().repeat(100), format!("{old}$-1\r\n").repeat(100)),
        3 => {
            let (half, rest) = get.split_at(get.len() / 2);
            let whole = script([&get[..], half].concat(), old.repeat(2));
            Script { then: rest.to_vec(), ..whole }
        }
        4 => script(format!("\r\nEXISTS '{key}'\r\n\r\nPING\r\n").into_bytes(), ":1\r\n+PONG\r\n".to_owned()),
        5 => {
            let wrong = [command(&["GET"]), get].concat();
            script(wrong, format!("-ERR wrong number of arguments for 'get' command\r\n{old}"))
        }
        6 => script([command(&["CLIENT", "REPLY", "SKIP"]), get, command(&["PING"])].concat(), "+PONG\r\n".to_owned()),
        7 => {
            let broken = script(
                [&get[..], b"*1\r\n!\r\n"].concat(),
                format!("{old}-ERR Protocol error: expected '$', got '!'\r\n"),
            );
            Script { closes: true, ..broken }
        }
        8 => Script { closes: true, ..script([get, command(&["QUIT"])].concat(), format!("{old}+OK\r\n")) },
        9 => {
            let large = "x".repeat(16 << 10);
            let commands = [command(&["SET", key, &large]), command(&["STRLEN", key]), command(&["DEL", key, key])];
            script(commands.concat(), "+OK\r\n:16384\r\n:1\r\n".to_owned())
        }
        _ => {
            let middle = command(&["CONFIG", "GET", "appendfsync"]);
            script(
                [get.clone(), middle, get].concat(),
                format!("{old}*2\r\n$11\r\nappendfsync\r\n$8\r\neverysec\r\n{old}"),
            )
        }
    }
}

#[test]
fn who_sends_at_once_is_answered_as_if_alone() {
    const KINDS: usize = 11;
    let server = Server::start_with(&["--threads", "1"]);
    let seed = Random::seed();
    println!("KVRED_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    for round in 0..5 {
        let mut clients: Vec<(Client, Script)> = (0..10 * KINDS)
            .map(|n| {
                let (mut client, key) = (server.connect(), format!("key-{round}-{n}"));
                client.set(&key, "old");
                (client, script((n + random.below(KINDS)) % KINDS, &key))
            })
            .collect();
        server.freeze();
        for (client, script) in &mut clients {
            client.send(&script.first);
        }
        server.signal(Signal::CONT);
        for (client, script) in &mut clients {
            client.send(&script.then).expect(&script.replies);
            if script.closes {
                client.expect_closed();
            } else {
                client.send("PING\r\n").expect("+PONG\r\n");
            }
        }
    }
}

/// What is no command moves a turn on all the same.
#[test]
fn empty_lines_without_end_do_not_stop_a_worker() {
    let server = Server::start_with(&["--threads", "1"]);
    let mut client = server.connect();
    let large = "x".repeat(1 << 20);
    client.set("large", &large);
    // So many replies do not leave at once: what comes behind them piles up.
    let get = command(&["GET", "large"]);
    let (mut sender, mut replies) = client.split();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            sender.write_all(&get.repeat(32)).unwrap();
            sender.write_all(&b"\r\n".repeat(400_000)).unwrap();
            sender.write_all(b"PING\r\n").unwrap();
        });
        wait_until("input has piled up", || {
            let list = server.connect().ask_words("CLIENT LIST").into_bytes();
            let list = String::from_utf8(list).unwrap();
            let piled =
                list.split("qbuf=").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok()).max();
            piled.is_some_and(|bytes| bytes > 400_000)
        });
        let mut all = vec![0; 32 * (large.len() + "$1048576\r\n\r\n".len()) + "+PONG\r\n".len()];
        replies.read_exact(&mut all).unwrap();
        assert!(all.ends_with(b"+PONG\r\n"));
    });
}
