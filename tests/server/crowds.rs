//! Many clients, idle, hasty, gone or rude: others are served, and memory stays bounded.

use std::io::Write;
use std::net::TcpStream;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use crate::helpers::{Client, Launch, Reply, Server, command, info_number, program, rewrite, skip, wait_until};

const MIB: u64 = 1 << 20;

/// Lets this process have files enough for all its tests' clients, of two each; `false`, said, if the system does not.
fn allow_files() -> bool {
    const WANTED: u64 = 16 << 10;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= WANTED) {
        return true;
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(WANTED), maximum: limit.maximum });
    if raised.is_err() {
        skip(&format!("the system does not allow {WANTED} open files"));
    }
    raised.is_ok()
}

/// 2,000 clients that say nothing, and 20 that ask for 200 MB each and never read.
#[test]
fn idle_clients_and_readers_that_never_read_cost_bounded_memory() {
    if !allow_files() {
        return;
    }
    let server = Server::start_with(&["--fsync", "none"]);
    let mut client = server.connect();
    client.set("large", vec![b'x'; 64 << 10]);
    let before = server.resident_bytes();
    let idle = server.connect_served(2000);
    let with_idle = server.resident_bytes();
    let lazy: Vec<Client> = (0..20)
        .map(|_| {
            let mut lazy = server.connect();
            lazy.send(command(&["GET", "large"]).repeat(3200));
            lazy
        })
        .collect();
    for i in 0..1000 {
        client.set("k", i.to_string());
        assert_eq!(client.get("k"), Some(i.to_string().into_bytes()));
    }
    let with_lazy = server.resident_bytes();
    assert_eq!(info_number(&mut client, "connected_clients"), 2021);
    drop((idle, lazy));
    wait_until("all are gone", || info_number(&mut client, "connected_clients") == 1);
    assert_eq!(info_number(&mut client, "query_buffer_bytes"), 0);
    let after = server.resident_bytes();
    let grown = with_idle.saturating_sub(before);
    assert!(grown < 2000 * 8 * 1024, "2,000 idle clients took {grown} bytes");
    let grown = with_lazy.saturating_sub(with_idle);
    assert!(grown < 20 * 2 * MIB, "20 clients that do not read took {grown} bytes");
    assert!(after <= with_lazy + MIB, "memory grew when they went: {after} bytes");
}

/// The buffer of a large reply is there for who has something to say next.
#[test]
fn half_a_command_takes_no_reply_buffer() {
    const CLIENTS: u64 = 200;
    if !allow_files() {
        return;
    }
    let server = Server::start_with(&["--fsync", "none", "--threads", "1"]);
    let mut client = server.connect();
    // As large as a value may be that is copied.
    let value = "v".repeat(15_000);
    client.set("k", &value);
    let (requests, replies) = (command(&["GET", "k"]).repeat(17), format!("$15000\r\n{value}\r\n").repeat(17));
    let before = server.resident_bytes();
    let _halves: Vec<Client> = (1..=CLIENTS)
        .map(|there| {
            client.send(&requests).expect(&replies);
            let mut half = server.connect();
            half.send("*");
            wait_until("it has come", || info_number(&mut client, "query_buffer_bytes") == there);
            half
        })
        .collect();
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 10 * MIB, "{CLIENTS} clients that sent a byte each took {grown} bytes");
}

/// Clients that connect, ask one thing or nothing, and go, with and without a goodbye.
#[test]
fn a_storm_of_connections_passes() {
    const THREADS: u64 = 8;
    const EACH: u64 = 500;
    let server = Server::start_with(&["--fsync", "none"]);
    let mut client = server.connect();
    client.set("k", "v");
    let port = server.port();
    let storm: Vec<_> = (0..THREADS)
        .map(|thread| {
            std::thread::spawn(move || {
                for i in 0..EACH {
                    match (thread + i) % 4 {
                        0 => drop(TcpStream::connect(("127.0.0.1", port)).unwrap()),
                        // Half a command.
                        1 => TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"*2\r\n$3\r\nGE").unwrap(),
                        // Replies that meet a closed socket.
                        2 => drop(Client::connect(port).send(command(&["GET", "k"]).repeat(20))),
                        _ => drop(Client::connect(port).send("GET k\r\nQUIT\r\n").expect("$1\r\nv\r\n+OK\r\n")),
                    }
                }
            })
        })
        .collect();
    while !storm.iter().all(std::thread::JoinHandle::is_finished) {
        assert_eq!(client.get("k"), Some(b"v".to_vec()));
    }
    for thread in storm {
        thread.join().unwrap();
    }
    wait_until("all have come", || info_number(&mut client, "total_connections_received") == THREADS * EACH + 1);
    wait_until("all are gone", || info_number(&mut client, "connected_clients") == 1);
    assert_eq!(info_number(&mut client, "rejected_connections"), 0);
}

/// A peer that is gone without a word is found out by the kernel: its timer runs on every connection.
#[test]
fn half_open_connections_are_probed() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("PING\r\n").expect("+PONG\r\n");
    let port = format!(":{:04X}", server.port());
    // The kernel's table: local address, remote address, state 01 (established), queues, and timer 02 (keepalive).
    // What is not acknowledged yet has a timer of its own for the moment.
    wait_until("the timer is that of keepalive", || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let mut ours = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        ours.any(|f| f.len() > 5 && f[1].ends_with(&port) && f[3] == "01" && f[5].starts_with("02:"))
    });
    assert_eq!(client.ask_words("CONFIG GET tcp-keepalive").into_array().pop(), Some(Reply::bulk("300")));
}

#[test]
fn maxmemory_refuses_only_what_needs_memory() {
    let server = Server::start_with(&["--fsync", "none", "--maxmemory", "20mb"]);
    let mut client = server.connect();
    let value = vec![b'v'; 64 << 10];
    let stored = (0..1000).find(|i| {
        let used = info_number(&mut client, "used_memory");
        let refusal = match client.ask(&[b"SET", format!("k{i}").as_bytes(), &value]) {
            Reply::Error(text) => Some(text),
            _ => None,
        };
        let expected = (used > 20 << 20).then_some("OOM command not allowed when used memory > 'maxmemory'.");
        assert_eq!(refusal.as_deref(), expected, "with {used} bytes used");
        refusal.is_some()
    });
    let stored = stored.expect("20 MB do not hold 64");
    assert!((200..=330).contains(&stored), "{stored} values of 64 KiB fit into 20 MB");
    for (request, reply) in [
        ("SET small v", "-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
        ("SET k0 v", "-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
        ("GET small", "$-1\r\n"),
        ("EXISTS k0 k1 small", ":2\r\n"),
        ("PING", "+PONG\r\n"),
        ("TYPE k0", "+string\r\n"),
        ("CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$8\r\n20971520\r\n"),
        ("DEL k0 k1 k2 k3", ":4\r\n"),
        ("SET small v", "+OK\r\n"),
        ("GET small", "$1\r\nv\r\n"),
        ("CONFIG SET maxmemory 1", "+OK\r\n"),
        ("SET small w", "-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
        ("SET small w NX XX", "-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
        ("SET small", "-ERR wrong number of arguments for 'set' command\r\n"),
        ("CONFIG SET maxmemory 0", "+OK\r\n"),
        ("SET small w", "+OK\r\n"),
        ("FLUSHALL", "+OK\r\n"),
    ] {
        client.send(crate::helpers::commands(request)).expect(reply);
    }
}

/// While half of a huge value is there, and while a huge reply waits for a reader, others are served.
#[test]
fn others_work_while_a_huge_value_comes_and_goes() {
    let server = Server::start_with(&["--fsync", "none"]);
    let (mut slow, mut other) = (server.connect(), server.connect());
    let value = vec![b'h'; 200 << 20];
    slow.send(format!("*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n${}\r\n", value.len()));
    for part in value.chunks(20 << 20) {
        slow.send(part);
        other.set("k", "v");
        assert_eq!(other.get("k"), Some(b"v".to_vec()));
        assert_eq!(other.get("huge"), None);
    }
    slow.send("\r\n").expect("+OK\r\n");
    slow.send(command(&["GET", "huge"]));
    for _ in 0..100 {
        assert_eq!(other.get("k"), Some(b"v".to_vec()));
        other.set("k", "v");
    }
    assert!(slow.reply() == Reply::Bulk(value));
    let resident = server.resident_bytes();
    other.ask_words("DEL huge");
    // The value is kept once, not once for each that reads it.
    assert!(resident < 700 * MIB, "a value of 200 MiB took {resident} bytes");
}

/// Clients of a pool mostly rest: what each of them once needed for a large value, all together must not hold.
#[test]
fn clients_that_have_sent_a_large_value_hold_no_memory_for_it() {
    const CLIENTS: usize = 1000;
    if !allow_files() {
        return;
    }
    let server = Server::start_with(&["--appendonly", "no"]);
    let (mut clients, set) = (Vec::new(), command(&[&b"SET"[..], b"k", &vec![b'x'; 150_000]]));
    let mut observer = server.connect();
    observer.send(&set).expect("+OK\r\n");
    let before = server.resident_bytes();
    for _ in 0..CLIENTS {
        let mut client = server.connect();
        client.send(&set).expect("+OK\r\n");
        clients.push(client);
    }
    wait_until("their memory is given back", || {
        for client in &mut clients {
            client.send("PING\r\n").expect("+PONG\r\n");
        }
        server.resident_bytes() < before + 32 * MIB
    });
    let list = observer.text("CLIENT LIST");
    assert!(list.lines().all(|line| line.contains(" qbuf=0 qbuf-free=0 ")), "{list}");
}

/// Somebody else may need it; and whoever is held to account for it, by the OOM killer, is this server.
#[test]
fn what_large_values_took_is_given_back_to_the_system_when_they_are_gone() {
    const VALUES: usize = 200;
    let server = Server::start_with(&["--fsync", "none"]);
    let (mut clients, mut other) = (server.connect_served(10), server.connect());
    let value = vec![b'x'; MIB as usize];
    let before = server.resident_bytes();
    // Without anybody's doing that happens now and then.
    for _ in 0..5 {
        for i in 0..VALUES {
            let clients_turn = i % clients.len();
            clients[clients_turn].set(format!("k{i}"), &value);
        }
        for i in 0..VALUES {
            assert_eq!(other.ask(&["DEL", &format!("k{i}")]), Reply::Integer(1));
        }
        wait_until("it is given back", || server.resident_bytes() < before + 64 * MIB);
    }
}

/// A worker keeps buffers of replies for those to come, though not for ever.
#[test]
fn what_many_large_replies_took_is_given_back() {
    const KEYS: usize = 9000;
    let server = Server::start_with(&["--appendonly", "no", "--threads", "1"]);
    let mut client = server.connect();
    for i in 0..KEYS {
        client.send(command(&["SET", &format!("{i:090}"), "v"]));
    }
    client.expect("+OK\r\n".repeat(KEYS));
    let mut clients = server.connect_served(100);
    let before = server.resident_bytes();
    for asking in &mut clients {
        asking.send("KEYS *\r\n");
    }
    for asking in &mut clients {
        assert_eq!(asking.reply().into_array().len(), KEYS);
    }
    wait_until("it is given back", || server.resident_bytes() < before + 20 * MIB);
}

/// What a worker notes of each argument is not kept for the next command.
#[test]
fn a_command_of_very_many_arguments_leaves_no_memory_behind() {
    const KEYS: usize = 4_000_000;
    // The allocator else keeps what is free for a while.
    let launch = Launch::new().env("MIMALLOC_PURGE_DELAY", "0");
    let server = launch.args(&["--threads", "1", "--fsync", "none"]).start();
    let mut client = server.connect();
    client.set("k", "v");
    let before = server.resident_bytes();
    client.send(format!("*{}\r\n$6\r\nEXISTS\r\n{}", KEYS + 1, "$1\r\nk\r\n".repeat(KEYS)));
    client.expect(format!(":{KEYS}\r\n"));
    wait_until("its memory is given back", || {
        client.send("PING\r\n").expect("+PONG\r\n");
        server.resident_bytes() < before + 16 * MIB
    });
}

/// Before the password, what is not executed is held to a small limit: a stranger that never reads is closed.
#[test]
fn strangers_cannot_pile_up_input() {
    let server = Launch::new().env("KVRED_REQUIREPASS", "secret").start();
    let mut stranger = server.connect();
    let block = command(&["PING"]).repeat(10_000);
    let closed = (0..500).any(|_| stranger.try_send(&block).is_err());
    assert!(closed, "a stranger may send 70 MB that are not executed");
    server.wait_for_stderr("before authentication, 1048576 is the limit");
    let mut client = server.connect();
    client.send("AUTH secret\r\nPING\r\n").expect("+OK\r\n+PONG\r\n");
    assert_eq!(info_number(&mut client, "client_query_buffer_limit_disconnections"), 1);
}

/// So the log, and whatever else opens files, does not go without.
#[test]
fn fewer_clients_than_wished_are_allowed_where_the_system_has_files_for_fewer() {
    let Some(prlimit) = program("prlimit") else { return };
    let with_files = |files: &str| {
        let limit = format!("--nofile={files}:{files}");
        Launch::new().under(&[prlimit.to_str().unwrap(), &limit]).args(&["--threads", "1"])
    };
    let most = 128 - 64 - 4 * 2;
    let server = with_files("128").start();
    server.wait_for_stderr(&format!("maxclients is {most}, not the 10000 of --maxclients"));
    let mut clients = server.connect_served(most);
    assert_eq!(clients[0].ask_words("CONFIG GET maxclients").into_array().pop(), Some(Reply::bulk(&most.to_string())));
    server.connect().expect("-ERR max number of clients reached\r\n").expect_closed();
    clients[0].set("k", "v");
    assert!(rewrite(&mut clients[0]), "{}", server.stderr());
    assert_eq!(clients.len(), most);
    with_files("72").refused().expect(3, &["too few open files", "72 are needed besides", "LimitNOFILE="]);
}

#[test]
fn no_more_clients_are_allowed_than_the_system_has_files_for() {
    if getrlimit(Resource::Nofile).maximum.is_some_and(|most| most < 1000) {
        return skip("fewer than 1000 files may be open");
    }
    // What each worker needs is not the clients'.
    for (threads, most) in [("1", 1000 - 64 - 4 * 2_usize), ("40", 1000 - 64 - 4 * 41)] {
        let server = Server::start_with(&["--threads", threads, "--maxclients", "20"]);
        let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
        assert!(open <= 1000 - most, "{threads} threads have {open} files open");
        let pid = Pid::from_raw(server.pid().cast_signed());
        let limit = |current| {
            let limit = Rlimit { current: Some(current), maximum: Some(1000) };
            prlimit(pid, Resource::Nofile, limit).unwrap().current
        };
        limit(300);
        let mut client = server.connect();
        for wanted in [most + 1, 10_000, u32::MAX as usize] {
            client.send(format!("CONFIG SET timeout 5 maxclients {wanted}\r\n")).expect(format!(
                "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not able to \
                 handle the specified number of clients, try with {most}\r\n"
            ));
        }
        let setting = |client: &mut Client, name: &str| client.ask(&["CONFIG", "GET", name]).into_array().pop();
        assert_eq!(setting(&mut client, "maxclients"), Some(Reply::bulk("20")));
        assert_eq!(setting(&mut client, "timeout"), Some(Reply::bulk("0")));
        limit(300);
        client.send(format!("CONFIG SET MaxClients {most}\r\n")).expect("+OK\r\n");
        assert_eq!(setting(&mut client, "maxclients"), Some(Reply::bulk(&most.to_string())));
        assert_eq!(limit(300), Some(1000), "the limit was raised");
    }
}
