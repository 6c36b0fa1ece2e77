//! Clients that send more than they read, or than is executed: all of it is answered, or they are closed, and nothing
//! piles up.

use std::io::{Read, Write};

use crate::helpers::{Client, Reply, Server, command, info_number, wait_until};

/// Clients that send everything before they read anything, several at once, and one that is served meanwhile.
#[test]
fn a_million_gets_sent_before_the_first_reply_is_read_are_answered() {
    const CLIENTS: usize = 3;
    let per_client = if cfg!(debug_assertions) { 400_000 } else { 1_000_000 };
    let server = Server::start_with(&["--fsync", "none"]);
    server.connect().set("key", "0123456789");
    let mut senders = Vec::new();
    for i in 0..CLIENTS {
        // The first one sends the full million.
        let count = if i == 0 { 1_000_000 } else { per_client };
        let (mut output, input) = server.connect().split();
        senders.push(std::thread::spawn(move || {
            let block = command(&["GET", "key"]).repeat(1000);
            for _ in 0..count / 1000 {
                output.write_all(&block).unwrap();
            }
            (count, input, output)
        }));
    }
    let mut neighbour = server.connect();
    for _ in 0..100 {
        neighbour.send("PING\r\n").expect("+PONG\r\n");
    }
    // No reply is read until all have sent all.
    let sent: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    for (count, mut input, mut output) in sent {
        let mut block = vec![0; b"$10\r\n0123456789\r\n".len() * 1000];
        let expected = b"$10\r\n0123456789\r\n".repeat(1000);
        for _ in 0..count / 1000 {
            input.read_exact(&mut block).unwrap();
            assert!(block == expected);
        }
        output.write_all(b"PING\r\n").unwrap();
        let mut pong = [0; 7];
        input.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"+PONG\r\n", "more replies than requests");
    }
}

/// What is sent behind a large reply, before that is read, is answered once it is: also if nothing more is sent then.
#[test]
fn commands_sent_before_a_large_reply_is_read_are_answered() {
    let server = Server::start_with(&["--fsync", "none"]);
    let value = vec![b'x'; 16 << 20];
    let (mut client, mut observer) = (Client::connect_narrow(server.port()), server.connect());
    client.set("large", &value);
    let mut wait_for = |field: &str, there: bool| {
        wait_until(field, || {
            let list = observer.text("CLIENT LIST");
            list.lines().all(|line| line.contains("cmd=client") || line.contains(field) == there)
        });
    };
    for (sent, answer) in [("PING\r\n", "+PONG\r\n"), ("SET k v\r\nGET k\r\n", "+OK\r\n$1\r\nv\r\n")] {
        client.send(command(&["GET", "large"]));
        wait_for(" omem=0 ", false);
        client.send(sent);
        wait_for(&format!(" qbuf={} ", sent.len()), true);
        assert_eq!(client.reply(), Reply::Bulk(value.clone()));
        client.expect(answer);
    }
}

/// A reader that does not read large values holds up nobody, and costs the server a bounded amount.
#[test]
fn replies_that_are_not_read_do_not_pile_up() {
    let server = Server::start_with(&["--fsync", "none"]);
    let mut writer = server.connect();
    writer.set("large", vec![b'x'; 1 << 20]);
    let before = server.resident_bytes();
    let mut lazy: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut lazy {
        client.send(command(&["GET", "large"]).repeat(500));
    }
    for i in 0..200 {
        writer.set("other", i.to_string());
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 100 << 20, "2 GB of replies that nobody reads took {grown} bytes");
    for client in &mut lazy {
        for _ in 0..500 {
            assert_eq!(client.reply().into_bytes().len(), 1 << 20);
        }
    }
}

/// Each of them keeps to its own limit.
#[test]
fn clients_that_together_have_too_much_unexecuted_input_are_closed() {
    let server = Server::start_with(&["--client-query-buffer-limit", "1mb"]);
    let mut client = server.connect();
    client.set("large", vec![b'x'; 512 << 10]);
    let gets = command(&["GET", "large"]).repeat(36_000);
    let lazy = |_| {
        let mut lazy = server.connect();
        // It may be closed meanwhile.
        drop(lazy.try_send(&gets));
        lazy
    };
    let _four: Vec<Client> = (0..4).map(lazy).collect();
    wait_until("all of it has come", || info_number(&mut client, "query_buffer_bytes") > 3_000_000);
    assert!(!server.stderr().contains("closing a client"), "{}", server.stderr());
    let _two_more: Vec<Client> = (0..2).map(lazy).collect();
    server.wait_for_stderr("all clients together have");
    assert!(!server.stderr().contains("--client-query-buffer-limit is"), "{}", server.stderr());
    client.send("PING\r\n").expect("+PONG\r\n");
}
