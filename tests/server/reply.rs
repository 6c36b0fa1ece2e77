//! `CLIENT REPLY`: what is not answered is done all the same.

use crate::helpers::{Reply, Server, commands};

#[test]
fn off_answers_nothing_until_on() {
    let server = Server::start();
    let mut client = server.connect();
    client
        .send(commands(
            "SET a 1, CLIENT REPLY OFF, SET b 2, GET a, DBSIZE, nonsense, GET, SET a 3, WAITAOF 1 0 0, SET c 4",
        ))
        .send(commands("CLIENT REPLY SKIP, CLIENT REPLY nope, CLIENT REPLY ON, GET a, DBSIZE"))
        .expect("+OK\r\n+OK\r\n$1\r\n3\r\n:3\r\n");
    client.send(commands("CLIENT REPLY OFF, RESET, PING")).expect("+RESET\r\n+PONG\r\n");
    client.send(commands("CLIENT REPLY OFF, PING")).send("*x\r\n").expect_closed();
}

#[test]
fn skip_leaves_out_one_reply() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(commands("CLIENT REPLY SKIP, SET a 1, SET a 2, GET a")).expect("+OK\r\n$1\r\n2\r\n");
    client.send(commands("CLIENT REPLY SKIP, DBSIZE, DBSIZE")).expect(":1\r\n");
    client.send(commands("CLIENT REPLY SKIP, nonsense, PING")).expect("+PONG\r\n");
    server.connect().send(commands("CLIENT REPLY SKIP")).send("*x\r\n").expect_closed();
    client.send(commands("CLIENT REPLY SKIP, CLIENT REPLY SKIP, GET a, PING")).expect("+PONG\r\n");
    client.send(commands("CLIENT REPLY SKIP, CLIENT REPLY ON, PING")).expect("+OK\r\n+PONG\r\n");
    client.send(commands("CLIENT REPLY SKIP, CLIENT REPLY nope, PING")).expect("+PONG\r\n");
    client.send(commands("CLIENT REPLY SKIP, RESET, PING")).expect("+PONG\r\n");
    client.send(commands("CLIENT REPLY SKIP, WAITAOF 1 0 0, PING")).expect("+PONG\r\n");
    client
        .send(commands("CLIENT REPLY SKIP, CLIENT REPLY OFF, PING, CLIENT REPLY ON, PING"))
        .expect("+OK\r\n+PONG\r\n");
    client.send(commands("CLIENT REPLY nope")).expect("-ERR syntax error\r\n");
}

/// A mass insertion whose replies nobody wants.
#[test]
fn a_hundred_thousand_unanswered_writes_are_all_there() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("CLIENT REPLY OFF\r\n");
    for block in 0..100 {
        client.send((0..1000).map(|i| format!("SET k{block}:{i} v\r\n")).collect::<Vec<_>>().concat());
    }
    client.send("CLIENT REPLY ON\r\n").expect("+OK\r\n");
    assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(100_000));
    let server = server.crash_and_restart();
    assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(100_000));
}
