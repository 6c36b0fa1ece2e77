//! What `CONFIG SET` changes holds from then on, for connections that are there already too.

use crate::helpers::{Reply, Server, command, wait_until};

#[test]
fn a_client_is_idle_for_too_long_by_the_timeout_that_was_set_last() {
    let server = Server::start();
    let (mut idle, mut busy) = (server.connect(), server.connect());
    busy.send("CONFIG SET timeout 1\r\n").expect("+OK\r\n");
    let closed = std::thread::spawn(move || idle.expect_closed());
    wait_until("the idle connection is closed", || {
        busy.send("PING\r\n").expect("+PONG\r\n");
        closed.is_finished()
    });
    closed.join().unwrap();
}

#[test]
fn a_client_has_too_much_input_by_the_limit_that_was_set_last() {
    let server = Server::start();
    let (mut client, mut lazy) = (server.connect(), server.connect());
    client.set("large", vec![b'x'; 512 << 10]);
    client.send("CONFIG SET client-query-buffer-limit 1mb\r\n").expect("+OK\r\n");
    // Its replies are not read, so its input is not executed.
    let gets = command(&["GET", "large"]).repeat(1000);
    let closed = (0..2000).any(|_| lazy.try_send(&gets).is_err());
    assert!(closed, "the server took 50 MB of input that it could not execute");
    server.wait_for_stderr("--client-query-buffer-limit is 1048576");
}

#[test]
fn the_slow_log_is_as_long_as_was_said_last() {
    let server = Server::start_with(&["--slowlog-log-slower-than", "0"]);
    let mut client = server.connect();
    for most in [3, 5, 2] {
        client.send(format!("CONFIG SET slowlog-max-len {most}\r\n")).expect("+OK\r\n");
        for _ in 0..10 {
            client.set("k", "v");
        }
        assert_eq!(client.ask_words("SLOWLOG LEN"), Reply::Integer(most));
    }
}

#[test]
fn as_many_clients_are_let_in_as_was_said_last() {
    let server = Server::start();
    let mut client = server.connect();
    let _others = server.connect_served(2);
    client.send("CONFIG SET maxclients 3\r\n").expect("+OK\r\n");
    server.connect().expect("-ERR max number of clients reached\r\n").expect_closed();
    client.send("CONFIG SET maxclients 4\r\n").expect("+OK\r\n");
    server.connect().send("PING\r\n").expect("+PONG\r\n");
}
