//! Input that is no request: an error to that client, the others are served, and memory stays bounded.

use crate::helpers::{Client, Launch, Random, Reply, Server, command, info_number, wait_until};

const MIB: u64 = 1 << 20;

/// What is sent, and the exact reply before the connection is closed.
const MALFORMED: &[(&str, &str)] = &[
    ("*x\r\n", "invalid multibulk length"),
    ("*99999999999999999999\r\n", "invalid multibulk length"),
    ("*2147483648\r\n", "invalid multibulk length"),
    ("*1\r\n:5\r\n", "expected '$', got ':'"),
    ("*1\r\nPING\r\n", "expected '$', got 'P'"),
    ("*2\r\n$4\r\nECHO\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"),
    ("*1\r\n*1\r\n*1\r\n*1\r\n", "expected '$', got '*'"),
    ("*1\r\n\r\n", "expected '$', got ' '"),
    ("*1\r\n\n4\r\n", "expected '$', got ' '"),
    ("*1\r\n$x\r\n", "invalid bulk length"),
    ("*1\r\n$-1\r\n", "invalid bulk length"),
    ("*1\r\n$\r\n", "invalid bulk length"),
    ("*1\r\n$536870913\r\n", "invalid bulk length"),
    ("*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
    ("*1\r\n$+4\r\nPING\r\n", "invalid bulk length"),
    ("*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
    ("*1\r\n$3\r\nPING\r\n", "expected CRLF"),
    ("SET k v\0\r\n", "NUL byte in inline request"),
    ("SET k \"a\0b", "NUL byte in inline request"),
    ("SET k 'open\r\n", "unbalanced quotes in request"),
    ("SET k \"a\"b\r\n", "unbalanced quotes in request"),
];

#[test]
fn a_protocol_error_closes_that_connection_only() {
    let server = Server::start();
    let mut bystander = server.connect();
    for (sent, text) in MALFORMED {
        server.connect().send(sent).expect(format!("-ERR Protocol error: {text}\r\n")).expect_closed();
        bystander.send("PING\r\n").expect("+PONG\r\n");
    }
    let info = bystander.text("INFO everything");
    for counted in
        [format!("total_error_replies:{}", MALFORMED.len()), format!("errorstat_ERR:count={}", MALFORMED.len())]
    {
        assert!(info.lines().any(|line| line == counted), "{counted}: {info}");
    }
}

#[test]
fn a_byte_that_an_error_repeats_is_the_byte_that_was_sent() {
    let server = Server::start();
    for byte in [b' ', b'~', 0x7f, 0x80, 0xc3, 0xff] {
        let expected = [b"-ERR Protocol error: expected '$', got '", &[byte][..], b"'\r\n"].concat();
        server.connect().send([b"*1\r\n", &[byte][..], b"4\r\n"].concat()).expect(expected).expect_closed();
    }
}

#[test]
fn what_came_before_the_error_is_done_and_answered() {
    let server = Server::start();
    for (i, (sent, text)) in MALFORMED.iter().enumerate() {
        let key = format!("k{i}");
        let mut bytes = command(&["SET", &key, "v"]);
        bytes.extend(command(&["GET", &key]));
        bytes.extend_from_slice(sent.as_bytes());
        server
            .connect()
            .send(bytes)
            .expect(format!("+OK\r\n$1\r\nv\r\n-ERR Protocol error: {text}\r\n"))
            .expect_closed();
        assert_eq!(server.connect().get(&key), Some(b"v".to_vec()));
    }
}

/// A web page can have its visitor's browser send one, with commands in it.
#[test]
fn an_http_request_ends_the_connection_and_runs_nothing() {
    for launch in [Launch::new(), Launch::new().env("KVRED_REQUIREPASS", "secret")] {
        let server = launch.start();
        let mut bystander = server.connect();
        // An error where there is no password.
        bystander.send("AUTH secret\r\n").reply();
        let requests = [
            "POST / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: localhost\r\n",
            "AUTH secret\r\nSET before v\r\n'post' \"/\"\r\n",
            "*1\r\n$5\r\nhOST:\r\n",
        ];
        for (i, request) in requests.into_iter().enumerate() {
            server.connect().send(format!("{request}AUTH secret\r\nSET k v\r\n")).rest();
            wait_until("it is logged", || server.stderr().matches("closing a client that sent POST").count() == i + 1);
            assert_eq!(bystander.get("k"), None, "{request}");
        }
        assert_eq!(bystander.get("before"), Some(b"v".to_vec()));
    }
}

/// Whom a TLS client talks to is decided by names, and what it repeats of a session ticket by the server it had that
/// from: so a hostile one can have it send commands to this port.
#[test]
fn a_tls_handshake_at_the_plain_port_runs_nothing() {
    let server = Server::start();
    let mut bystander = server.connect();
    for (i, record_len) in [[0, 200], [1, 44], [2, b'\n'], [b'\n', b'\n']].into_iter().enumerate() {
        let handshake = [&[0x16, 3, 1][..], &record_len, &[1, 0, 1, 40, 3, 3], &[b'r'; 32]].concat();
        let mut client = server.connect();
        client.send([&handshake[..], b"\r\nSET k v\r\n"].concat());
        // What comes later may meet a connection that is closed already.
        drop(client.try_send("\r\nSET k v\r\n"));
        client.rest();
        wait_until("it is logged", || server.stderr().matches("it may speak TLS to the plain port").count() == i + 1);
        assert_eq!(bystander.get("k"), None, "{record_len:?}");
    }
}

/// Anybody can bring these lines about, without a password, too.
#[test]
fn of_many_clients_that_speak_something_else_some_are_logged() {
    const REQUESTS: usize = 300;
    for (request, line) in [
        ("POST / HTTP/1.1\r\n", "closing a client that sent POST"),
        ("\x16\x03\x01\0", "closing a client that sent a NUL byte"),
    ] {
        let server = Server::start();
        for _ in 0..REQUESTS {
            server.connect().send(request).rest();
        }
        let exit = server.terminate();
        let told = exit.stderr.matches(line).count();
        assert!(0 < told && told < REQUESTS / 10, "{told} of {REQUESTS} were logged");
    }
}

#[test]
fn lines_without_an_end_are_errors() {
    let server = Server::start();
    let long = "a".repeat(70_000);
    for (start, text) in
        [("", "too big inline request"), ("*", "too big mbulk count string"), ("*1\r\n$", "too big bulk count string")]
    {
        let mut client = server.connect();
        // The server may close before it has read all of it.
        drop(client.try_send(format!("{start}{long}")));
        let reply = client.rest();
        let expected = format!("-ERR Protocol error: {text}\r\n");
        assert!(reply.is_empty() || reply == expected.as_bytes(), "{start}: {}", reply.escape_ascii());
        // A line that is too long by its last byte is read to its end: nothing is left that could reset the connection.
        let begun = start.rsplit('\n').next().unwrap().len();
        let line = format!("{start}{}", &long[..=64 * 1024 - begun]);
        server.connect().send(line).expect(expected).expect_closed();
    }
    server.connect().send("PING\r\n").expect("+PONG\r\n");
}

#[test]
fn half_a_command_and_a_goodbye_do_nothing() {
    let server = Server::start();
    let whole = command(&["SET", "half", "value"]);
    for len in 1..whole.len() {
        server.connect().send(&whole[..len]);
    }
    let mut client = server.connect();
    assert_eq!(client.get("half"), None);
    wait_until("the others are gone", || info_number(&mut client, "connected_clients") == 1);
    assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(0));
}

/// What is announced is not what is allocated.
#[test]
fn announced_lengths_cost_no_memory() {
    let server = Server::start();
    let before = server.resident_bytes();
    let announcements: [&[u8]; 4] = [
        b"*1\r\n$536870912\r\n",
        b"*2147483647\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nsome of it",
        b"*1000000\r\n$536870000\r\nabc",
    ];
    let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(announcements[i % announcements.len()]);
    }
    let mut client = server.connect();
    // An answer on each worker, after it has read what was announced.
    for _ in 0..100 {
        client.send("PING\r\n").expect("+PONG\r\n");
        server.connect().send("PING\r\n").expect("+PONG\r\n");
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 256 * MIB, "50 announcements of 512 MiB and more took {grown} bytes");
}

/// Many arguments that never become a command are input like any other, held to the limit of one client's input.
#[test]
fn a_command_of_countless_arguments_is_held_to_the_query_limit() {
    let server = Server::start_with(&["--client-query-buffer-limit", "4mb"]);
    let before = server.resident_bytes();
    let mut client = server.connect();
    client.send("*2147483647\r\n");
    let arguments = b"$1\r\na\r\n".repeat(10_000);
    let closed = (0..1000).any(|_| client.try_send(&arguments).is_err());
    assert!(closed, "70 MB of one command were taken");
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "4 MB of input took {grown} bytes");
    server.connect().send("PING\r\n").expect("+PONG\r\n");
}

#[test]
fn noise_harms_nobody() {
    let seed = Random::seed();
    println!("KVRED_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    let server = Server::start();
    let mut bystander = server.connect();
    bystander.set("k", "v");
    for round in 0..300 {
        let len = 1 + random.below(2000);
        let mut noise = random.bytes(len);
        if round % 3 == 1 {
            // Noise that looks like requests.
            for byte in &mut noise {
                *byte = b"*$0123456789\r\n-+:\"' aGETPING"[usize::from(*byte) % 28];
            }
        } else if round % 3 == 2 {
            // A request with one byte changed.
            noise = command(&[&b"GET"[..], b"k", b"some more", &noise[..noise.len().min(30)]]).repeat(3);
            let at = random.below(noise.len());
            noise[at] = random.next() as u8;
        }
        let mut client = server.connect();
        client.send(&noise);
        // Half of them wait for what the server says to an end of input.
        if round % 2 == 0 {
            drop(client.try_send("\r\nQUIT\r\n"));
        }
        drop(client);
        assert_eq!(bystander.get("k"), Some(b"v".to_vec()));
    }
    assert_eq!(bystander.ask_words("DBSIZE"), Reply::Integer(1));
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}

#[test]
fn strangers_are_held_to_small_requests() {
    let server = Launch::new().env("KVRED_REQUIREPASS", "secret").start();
    for (sent, text) in [
        ("*11\r\n", "unauthenticated multibulk length"),
        ("*2147483648\r\n", "invalid multibulk length"),
        ("*2\r\n$16385\r\n", "unauthenticated bulk length"),
        ("*2\r\n$536870912\r\n", "unauthenticated bulk length"),
        ("*2\r\n$536870913\r\n", "invalid bulk length"),
    ] {
        server.connect().send(sent).expect(format!("-ERR Protocol error: {text}\r\n")).expect_closed();
    }
    let mut client = server.connect();
    client.send("GET k\r\nSET k v\r\nPING\r\nnonsense\r\n").expect("-NOAUTH Authentication required.\r\n".repeat(3));
    client.raw_reply();
    client.send("SETEX k 1 v\r\nMULTI\r\nREADONLY\r\n").expect("-NOAUTH Authentication required.\r\n".repeat(3));
    client.send("AUTH wrong\r\n").expect("-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    client.send("AUTH secret\r\nGET k\r\n").expect("+OK\r\n$-1\r\n");
    let many: Vec<String> = std::iter::once("DEL".to_owned()).chain((0..1000).map(|i| i.to_string())).collect();
    assert_eq!(client.ask(&many), Reply::Integer(0));
    client.set("k", vec![b'x'; 100_000]);
    // After RESET it is a stranger again.
    client.send("RESET\r\nGET k\r\n").expect("+RESET\r\n-NOAUTH Authentication required.\r\n");
    client.send("*11\r\n").expect("-ERR Protocol error: unauthenticated multibulk length\r\n").expect_closed();
    let hello = server.connect().ask_words("HELLO 3 AUTH default secret").into_array();
    assert_eq!(hello[0], Reply::bulk("server"));
}
