//! What several clients send at once is run in one round of their worker: each is answered as if it were alone.

use std::io::{Read, Write};

use rustix::process::Signal;

use crate::helpers::{Client, Random, Reply, Server, command, wait_until};

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

/// The most unexecuted input that a client has.
fn piled_up(observer: &mut Client) -> usize {
    let list = observer.text("CLIENT LIST");
    let bytes = list.split("qbuf=").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok());
    bytes.max().unwrap()
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
        wait_until("input has piled up", || piled_up(&mut server.connect()) > 400_000);
        let mut all = vec![0; 32 * (large.len() + "$1048576\r\n\r\n".len()) + "+PONG\r\n".len()];
        replies.read_exact(&mut all).unwrap();
        assert!(all.ends_with(b"+PONG\r\n"));
    });
}

/// However many they are, and whatever commands are among them.
#[test]
fn others_have_their_turns_among_empty_lines() {
    const LINES_BYTES: usize = 4 << 20;
    let server = Server::start_with(&["--threads", "1"]);
    let (mut client, mut neighbour) = (Client::connect_narrow(server.port()), server.connect());
    let large = vec![b'x'; 16 << 20];
    client.set("large", &large);
    for between in [&b""[..], b"PING\r\n"] {
        // Once more where the machine was so busy that the neighbour came too late.
        wait_until("the neighbour is answered before all lines are done with", || {
            let some_lines = [&b"\r\n".repeat(300 << 10), between].concat();
            let times = LINES_BYTES / some_lines.len();
            let lines = some_lines.repeat(times);
            // Nothing of this is run before the large reply is read.
            client.send(command(&["GET", "large"]));
            wait_until("the reply waits", || {
                let list = neighbour.text("CLIENT LIST");
                list.lines().any(|line| !line.contains(" omem=0 "))
            });
            client.send(&lines).send("ECHO end\r\n");
            let all = lines.len() + "ECHO end\r\n".len();
            wait_until("all has piled up", || piled_up(&mut neighbour) == all);
            std::thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    assert_eq!(client.reply().into_bytes().len(), large.len());
                    client.expect("+PONG\r\n".repeat(if between.is_empty() { 0 } else { times }));
                    client.expect("$3\r\nend\r\n");
                });
                let mut seen = false;
                while !reader.is_finished() {
                    let left = piled_up(&mut neighbour);
                    seen |= left > 0 && left < all;
                }
                seen
            })
        });
    }
}

/// Waits until something has arrived at the server that it has not read.
fn wait_for_arrival(server: &Server) {
    let port = format!(":{:04X}", server.port());
    // The kernel's table: number, local and remote address, state (01: established), bytes to send and bytes to read.
    wait_until("it has arrived", || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let mut sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        sockets.any(|f| f.len() > 4 && f[1].ends_with(&port) && f[3] == "01" && !f[4].ends_with(":00000000"))
    });
}

#[test]
fn a_client_that_is_killed_in_the_same_round_runs_nothing_more() {
    let server = Server::start_with(&["--threads", "1"]);
    let mut killer = server.connect();
    let large = "x".repeat(100_000);
    // The second is more than a turn reads at once.
    for sent in [command(&["SET", "k", "v"]), [command(&["SET", "k", "v"]), command(&["SET", "l", &large])].concat()] {
        let mut killed = server.connect();
        let Reply::Integer(id) = killed.ask_words("CLIENT ID") else { panic!("no id") };
        server.freeze();
        killer.send(format!("CLIENT KILL ID {id}\r\n"));
        wait_for_arrival(&server);
        killed.send(&sent);
        server.signal(Signal::CONT);
        killer.expect(":1\r\n");
        killed.expect_closed();
        assert_eq!(killer.get("k"), None);
    }
}
