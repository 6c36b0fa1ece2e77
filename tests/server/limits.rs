//! Who is let in, and how much a client may have: as a flag says it, and as `CONFIG SET` said it last, also for
//! connections that were there before.

use crate::helpers::{Client, Launch, Reply, Server, command, info_number, wait_until};

/// Runs a test with a server that has a setting by its flag, and with one that has it by `CONFIG SET` from where the
/// test calls its second argument with a client.
fn by_flag_and_by_config_set(setting: &str, value: &str, test: impl Fn(&Server, &dyn Fn(&mut Client))) {
    test(&Server::start_with(&[&format!("--{setting}"), value]), &|_| ());
    test(&Server::start(), &|client| set(client, setting, value));
}

fn set(client: &mut Client, setting: &str, value: &str) {
    assert_eq!(client.ask(&["CONFIG", "SET", setting, value]), Reply::ok());
}

#[test]
fn one_client_too_many_is_told_so() {
    by_flag_and_by_config_set("maxclients", "3", |server, limit| {
        let mut clients = server.connect_served(3);
        limit(&mut clients[0]);
        let one_is_refused = || {
            server.connect().expect("-ERR max number of clients reached\r\n").expect_closed();
        };
        one_is_refused();
        for client in &mut clients {
            client.send("PING\r\n").expect("+PONG\r\n");
        }
        assert_eq!(info_number(&mut clients[0], "total_connections_received"), 3);
        assert_eq!(info_number(&mut clients[0], "rejected_connections"), 1);
        clients[0].send("CONFIG RESETSTAT\r\n").expect("+OK\r\n");
        assert_eq!(info_number(&mut clients[0], "total_connections_received"), 0);
        assert_eq!(info_number(&mut clients[0], "rejected_connections"), 0);
        set(&mut clients[0], "maxclients", "4");
        clients.extend(server.connect_served(1));
        one_is_refused();
        // One that goes makes room.
        clients.pop();
        wait_until("there is room", || {
            let mut client = server.connect();
            client.try_send("PING\r\n").is_ok() && client.try_reply().is_ok_and(|r| r == Reply::Simple("PONG".into()))
        });
    });
}

#[test]
fn idle_connections_are_closed_and_busy_ones_are_not() {
    by_flag_and_by_config_set("timeout", "2", |server, limit| {
        let (mut idle, mut busy) = (server.connect(), server.connect());
        limit(&mut busy);
        let closed = std::thread::spawn(move || idle.expect_closed());
        wait_until("the idle connection is closed", || {
            busy.send("PING\r\n").expect("+PONG\r\n");
            closed.is_finished()
        });
        closed.join().unwrap();
        busy.send("PING\r\n").expect("+PONG\r\n");
    });
}

/// By the seconds of `CLIENT LIST`, which `--timeout` goes by.
#[test]
fn a_client_that_takes_its_reply_is_not_idle() {
    const PIECES: usize = 32;
    let server = Server::start_with(&["--fsync", "none"]);
    let (mut reader, mut observer) = (server.connect(), server.connect());
    reader.set("large", vec![b'x'; PIECES << 20]);
    reader.send(command(&["GET", "large"]));
    let mut idle_seconds = || idle_seconds_of_the_other(&mut observer);
    wait_until("it takes nothing", || idle_seconds() >= 2);
    // With each piece that it reads, the system takes more.
    let (_output, mut input) = reader.split();
    let mut piece = vec![0; 1 << 20];
    let is_active = (0..PIECES).any(|_| {
        std::io::Read::read_exact(&mut input, &mut piece).unwrap();
        idle_seconds() < 2
    });
    assert!(is_active, "it has taken all of a large value, and was idle the whole time");
}

/// The same of one that only sends, and is answered nothing.
#[test]
fn a_client_that_sends_and_wants_no_replies_is_not_idle() {
    let server = Server::start();
    let (mut writer, mut observer) = (server.connect(), server.connect());
    writer.send("CLIENT REPLY OFF\r\n");
    wait_until("it sends nothing", || idle_seconds_of_the_other(&mut observer) >= 2);
    // More than once: on a loaded machine two seconds may pass before the observer looks.
    wait_until("it is idle no more", || {
        writer.send("SET k v\r\n");
        idle_seconds_of_the_other(&mut observer) < 2
    });
}

fn idle_seconds_of_the_other(observer: &mut Client) -> u64 {
    let list = observer.text("CLIENT LIST");
    let other = list.lines().find(|line| !line.contains(" cmd=client|list "));
    let idle = other.and_then(|line| line.split(" idle=").nth(1)?.split(' ').next()?.parse::<u64>().ok());
    idle.unwrap_or_else(|| panic!("no idle time in {list}"))
}

#[test]
fn a_client_with_too_much_unexecuted_input_is_closed() {
    by_flag_and_by_config_set("client-query-buffer-limit", "1mb", |server, limit| {
        let (mut client, mut lazy) = (server.connect(), server.connect());
        client.set("large", vec![b'x'; 512 << 10]);
        limit(&mut client);
        // Its replies are not read, so its input is not executed.
        let gets = command(&["GET", "large"]).repeat(1000);
        let closed = (0..2000).any(|_| lazy.try_send(&gets).is_err());
        assert!(closed, "the server took 50 MB of input that it could not execute");
        server.wait_for_stderr("closing a client with");
        server.wait_for_stderr("--client-query-buffer-limit is 1048576");
        client.send("PING\r\n").expect("+PONG\r\n");
    });
}

#[test]
fn the_longest_argument_is_what_was_said_last_on_every_connection() {
    by_flag_and_by_config_set("proto-max-bulk-len", "1mb", |server, limit| {
        let (mut admin, mut one, mut other) = (server.connect(), server.connect(), server.connect());
        let (longest, large) = (vec![b'x'; 1 << 20], vec![b'x'; (1 << 20) + 1]);
        let is_refused = |client: &mut Client| {
            // Without the value, of which something could be left unread and reset the connection.
            client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", large.len()));
            client.expect("-ERR Protocol error: invalid bulk length\r\n").expect_closed();
        };
        limit(&mut admin);
        one.set("k", &longest);
        is_refused(&mut one);
        other.send("PING\r\n").expect("+PONG\r\n");
        set(&mut admin, "proto-max-bulk-len", "512mb");
        other.set("k", &large);
        set(&mut admin, "proto-max-bulk-len", "1mb");
        is_refused(&mut other);
    });
}

/// The machine's own address is no loopback address, so a connection to it is one from "another machine".
#[test]
fn protected_mode_refuses_strangers_and_only_it_does() {
    let probe =
        std::net::UdpSocket::bind("0.0.0.0:0").and_then(|s| s.connect("192.0.2.1:9").and_then(|()| s.local_addr()));
    let Some(address) = probe.ok().map(|a| a.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified()) else {
        return crate::helpers::skip("this machine has no address but the loopback's");
    };
    let launch = || Launch::new().args(&["--bind", &address.to_string()]);
    let stranger = |server: &Server| Client::try_connect_to(address, server.port()).unwrap();
    let said = stranger(&launch().start()).rest();
    assert!(said.starts_with(b"-DENIED "), "{}", said.escape_ascii());
    let unprotected = launch().args(&["--protected-mode", "no"]).start();
    stranger(&unprotected).send("PING\r\n").expect("+PONG\r\n");
    let with_password = launch().env("KVRED_REQUIREPASS", "secret").start();
    stranger(&with_password)
        .send("GET k\r\nAUTH secret\r\nGET k\r\n")
        .expect("-NOAUTH Authentication required.\r\n+OK\r\n$-1\r\n");
}
