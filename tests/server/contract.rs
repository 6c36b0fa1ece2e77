//! The commands: replies byte for byte, whatever the keys and values, and however the requests arrive.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::helpers::{Client, Launch, Reply, Server, command, commands};

/// Requests that are sent in order over one connection to a server of [`FLAGS`], each with its exact reply.
const CONVERSATION: &[(&str, &str)] = &[
    ("PING", "+PONG\r\n"),
    ("PING hello", "$5\r\nhello\r\n"),
    ("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"),
    ("pInG", "+PONG\r\n"),
    ("ECHO hey", "$3\r\nhey\r\n"),
    ("ECHO", "-ERR wrong number of arguments for 'echo' command\r\n"),
    ("GET missing", "$-1\r\n"),
    ("SET k v", "+OK\r\n"),
    ("GET k", "$1\r\nv\r\n"),
    ("get k", "$1\r\nv\r\n"),
    ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
    ("GET a b", "-ERR wrong number of arguments for 'get' command\r\n"),
    ("SET k", "-ERR wrong number of arguments for 'set' command\r\n"),
    ("SET", "-ERR wrong number of arguments for 'set' command\r\n"),
    ("SET k v nonsense", "-ERR syntax error\r\n"),
    ("SET k v NX XX", "-ERR syntax error\r\n"),
    ("EXISTS k", ":1\r\n"),
    ("EXISTS k k missing k", ":3\r\n"),
    ("EXISTS", "-ERR wrong number of arguments for 'exists' command\r\n"),
    ("TYPE k", "+string\r\n"),
    ("TYPE missing", "+none\r\n"),
    ("SET k other NX", "$-1\r\n"),
    ("SET fresh 1 nx", "+OK\r\n"),
    ("SET missing 1 XX", "$-1\r\n"),
    ("SET k w xx", "+OK\r\n"),
    ("SET k x GET", "$1\r\nw\r\n"),
    ("SET new y GET", "$-1\r\n"),
    ("SET k z NX GET", "$1\r\nx\r\n"),
    ("SET k z XX GET", "$1\r\nx\r\n"),
    ("SET missing z XX GET", "$-1\r\n"),
    ("EXISTS missing", ":0\r\n"),
    ("GET k", "$1\r\nz\r\n"),
    ("DBSIZE", ":3\r\n"),
    ("DEL k k missing", ":1\r\n"),
    ("DEL k", ":0\r\n"),
    ("DEL", "-ERR wrong number of arguments for 'del' command\r\n"),
    ("EXISTS k", ":0\r\n"),
    ("SELECT 0", "+OK\r\n"),
    ("SELECT nope", "-ERR value is not an integer or out of range\r\n"),
    ("foo bar", "-ERR unknown command 'foo', with args beginning with: 'bar' \r\n"),
    ("foo", "-ERR unknown command 'foo', with args beginning with: \r\n"),
    ("READONLY", "-ERR This instance has cluster support disabled\r\n"),
    ("CLUSTER INFO", "-ERR This instance has cluster support disabled\r\n"),
    ("MIGRATE", "-ERR 'migrate' is not supported: kvred has no cluster mode\r\n"),
    ("CLIENT SETNAME me", "+OK\r\n"),
    ("CLIENT GETNAME", "$2\r\nme\r\n"),
    ("CLIENT SETINFO LIB-NAME lib", "+OK\r\n"),
    ("CLIENT NO-EVICT ON", "+OK\r\n"),
    ("CLIENT NOPE", "-ERR unknown subcommand 'NOPE'. Try CLIENT HELP.\r\n"),
    ("CLIENT", "-ERR wrong number of arguments for 'client' command\r\n"),
    ("CONFIG GET maxclients", "*2\r\n$10\r\nmaxclients\r\n$3\r\n100\r\n"),
    ("CONFIG GET nothing-of-this-name", "*0\r\n"),
    ("CONFIG GET TIMEOUT time*", "*2\r\n$7\r\nTIMEOUT\r\n$1\r\n0\r\n"),
    ("CONFIG GET time* TIMEOUT", "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n"),
    ("CONFIG GET time\\out", "*0\r\n"),
    (
        "CONFIG GET appendfsync appendonly",
        "*4\r\n$11\r\nappendfsync\r\n$8\r\neverysec\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n",
    ),
    ("KEYS fre*", "*1\r\n$5\r\nfresh\r\n"),
    ("KEYS nothing", "*0\r\n"),
    ("DEL new", ":1\r\n"),
    ("SCAN 0", "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nfresh\r\n"),
    ("SCAN 0 MATCH f* COUNT 100 TYPE string", "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nfresh\r\n"),
    ("SCAN nope", "-ERR invalid cursor\r\n"),
    ("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
    ("SCAN 0 COUNT 1 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN\r\n"),
    ("WAITAOF 0 0 9223372036854775807", "-ERR timeout is out of range\r\n"),
    ("RANDOMKEY", "$5\r\nfresh\r\n"),
    ("FLUSHDB ASYNC", "+OK\r\n"),
    ("RANDOMKEY", "$-1\r\n"),
    ("FLUSHALL NOPE", "-ERR syntax error\r\n"),
    ("FLUSHALL ASYNC", "+OK\r\n"),
    ("DBSIZE", ":0\r\n"),
    ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
    ("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"),
    (
        "AUTH x",
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your \
      configuration is correct?\r\n",
    ),
    ("RESET", "+RESET\r\n"),
    ("CLIENT GETNAME", "$-1\r\n"),
    ("QUIT", "+OK\r\n"),
];

/// Many a system has no files for as many clients as there may be by default.
const FLAGS: &[&str] = &["--maxclients", "100"];

#[test]
fn replies_are_exact() {
    let server = Server::start_with(FLAGS);
    let mut client = server.connect();
    for (request, reply) in CONVERSATION {
        let got = client.send(commands(request)).raw_reply();
        assert_eq!(got.escape_ascii().to_string(), reply.as_bytes().escape_ascii().to_string(), "{request}");
    }
    client.expect_closed();
}

/// The pipeline is one write, and has one reply for each request, in order.
#[test]
fn a_pipeline_is_answered_in_order() {
    let server = Server::start_with(FLAGS);
    let requests: Vec<u8> = CONVERSATION.iter().flat_map(|(request, _)| commands(request)).collect();
    let replies: String = CONVERSATION.iter().map(|(_, reply)| *reply).collect();
    server.connect().send(requests).expect(replies).expect_closed();
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let server = Server::start();
    let mut client = server.connect();
    for byte in commands("SET key value, GET key, EXISTS key key") {
        client.send([byte]);
    }
    client.expect("+OK\r\n$5\r\nvalue\r\n:2\r\n");
}

#[test]
fn a_pipeline_reads_its_own_writes() {
    for fsync in ["always", "everysec", "none"] {
        let server = Server::start_with(&["--fsync", fsync]);
        server
            .connect()
            .send(commands("GET a, SET a 1, GET a, DEL a, GET a, EXISTS a a, SET a 2 NX, SET a 3 NX, SET b 1 GET"))
            .expect("$-1\r\n+OK\r\n$1\r\n1\r\n:1\r\n$-1\r\n:0\r\n+OK\r\n$-1\r\n$-1\r\n")
            .send(commands(
                "SET a 4 GET, EXISTS a b, FLUSHALL, EXISTS a b, GET a, DEL a, SET a 5 XX, SET a 6, GET a, TYPE a",
            ))
            .expect("$1\r\n2\r\n:2\r\n+OK\r\n:0\r\n$-1\r\n:0\r\n$-1\r\n+OK\r\n$1\r\n6\r\n+string\r\n")
            .send(commands("SET a 7, DBSIZE, KEYS *, DEL a, DBSIZE, nonsense x, PING"))
            .expect("+OK\r\n:1\r\n*1\r\n$1\r\na\r\n:1\r\n:0\r\n")
            .expect("-ERR unknown command 'nonsense', with args beginning with: 'x' \r\n+PONG\r\n");
    }
}

#[test]
fn writes_are_seen_by_other_connections_once_they_are_answered() {
    let server = Server::start();
    let (mut one, mut other) = (server.connect(), server.connect());
    for i in 0..200 {
        let value = i.to_string();
        one.set("k", &value);
        assert_eq!(other.get("k"), Some(value.into_bytes()));
    }
}

#[test]
fn keys_and_values_are_bytes() {
    let all: Vec<u8> = (0..=255).collect();
    let server = Server::start();
    let mut client = server.connect();
    client.set("", "");
    client.set(&all, &all);
    client.set("\r\n", "*1\r\n$4\r\nQUIT\r\n");
    client.set("empty", "");
    for byte in 0..=255_u8 {
        client.set([byte], [byte, 0, byte]);
    }
    let server = server.crash_and_restart();
    let mut client = server.connect();
    assert_eq!(client.get(""), Some(Vec::new()));
    assert_eq!(client.get(&all), Some(all.clone()));
    assert_eq!(client.get("\r\n"), Some(b"*1\r\n$4\r\nQUIT\r\n".to_vec()));
    assert_eq!(client.get("empty"), Some(Vec::new()));
    for byte in 0..=255_u8 {
        assert_eq!(client.get([byte]), Some(vec![byte, 0, byte]));
    }
    assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(260));
}

/// Large values are copied ahead of the commands that set them.
#[test]
fn each_command_of_a_pipeline_sets_its_own_value_whatever_its_size() {
    let server = Server::start();
    let mut client = server.connect();
    client.set("there", "v");
    let [shared, small, longer, other, huge] =
        [("1", 16 << 10), ("2", 100), ("3", 40 << 10), ("4", 20 << 10), ("5", 300 << 10)]
            .map(|(byte, len)| byte.repeat(len));
    let sent = [
        command(&["SET", "shared", &shared]),
        command(&["SET", "small", &small]),
        command(&["SET", "there", &longer, "NX"]),
        command(&["SET", "refused", &longer, "EX", "10"]),
        command(&["SET", "missing", &longer, "XX"]),
        command(&["GET", "shared"]),
        command(&["SET", "twice", &other, "GET"]),
        command(&["SET", "twice", &longer, "GET"]),
        command(&["SET", "huge", &huge]),
        command(&["SET", "other", &other]),
    ];
    client.send(sent.concat());
    client.expect("+OK\r\n+OK\r\n$-1\r\n");
    assert!(matches!(client.reply(), Reply::Error(_)));
    client.expect("$-1\r\n");
    client.expect(format!("${}\r\n{shared}\r\n$-1\r\n${}\r\n{other}\r\n+OK\r\n+OK\r\n", shared.len(), other.len()));
    let server = server.crash_and_restart();
    let mut client = server.connect();
    let there = "v".to_owned();
    for (key, value) in [
        ("shared", &shared),
        ("small", &small),
        ("twice", &longer),
        ("huge", &huge),
        ("other", &other),
        ("there", &there),
    ] {
        assert!(client.get(key).is_some_and(|found| found == value.as_bytes()), "{key}");
    }
    assert_eq!((client.get("refused"), client.get("missing")), (None, None));
}

#[test]
fn values_of_64_mib_are_stored_and_recovered() {
    let server = Server::start_with(&["--fsync", "none"]);
    let value: Vec<u8> = (0..64 << 20).map(|i: u32| (i ^ (i >> 11)) as u8).collect();
    let mut client = server.connect();
    client.set("large", &value);
    client.set(&value[..1 << 20], "a large key");
    assert!(client.get("large").unwrap() == value);
    let server = server.crash_and_restart();
    let mut client = server.connect();
    assert!(client.get("large").unwrap() == value);
    assert_eq!(client.get(&value[..1 << 20]), Some(b"a large key".to_vec()));
}

#[test]
fn inline_commands_work() {
    let server = Server::start();
    server
        .connect()
        .send("PING\r\nping\n\r\n\nSET k \"a b\\x41\\n\"\r\nGET k\r\n  GET   'k'  \r\nEXISTS k k\r\n")
        .expect("+PONG\r\n+PONG\r\n+OK\r\n$5\r\na bA\n\r\n$5\r\na bA\n\r\n:2\r\n")
        .send("SET n \"a\\x00b\"\r\nGET n\r\n")
        .expect("+OK\r\n$3\r\na\0b\r\n")
        .send("SET k \"unbalanced\r\n")
        .expect("-ERR Protocol error: unbalanced quotes in request\r\n")
        .expect_closed();
}

/// An inline command that a turn decodes and leaves for the next one means the same then.
#[test]
fn quoted_inline_commands_mean_the_same_wherever_a_turn_ends() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("PING\r\nCLIENT SETNAME \"a\"\r\nCLIENT GETNAME\r\n").expect("+PONG\r\n+OK\r\n$1\r\na\r\n");
    client.set("large", vec![b'x'; 200 << 10]);
    // The replies to three large values end a turn in the middle of a batch.
    client.send("GET large\r\nSET k \"a b\"\r\n".repeat(20) + "GET k\r\n" + &"ECHO ' \\' '\r\n".repeat(300));
    for _ in 0..20 {
        assert_eq!(client.reply().into_bytes().len(), 200 << 10);
        client.expect("+OK\r\n");
    }
    client.expect("$3\r\na b\r\n").expect("$3\r\n ' \r\n".repeat(300));
    // The turn has two ends in sight: the large replies, and the command that runs alone.
    let value = "\"a\\nDEL k\\n\\x22b\"";
    for alone in ["SELECT 0", "SELECT \"0\""] {
        client.send(format!("GET large\r\nGET large\r\nSET v {value}\r\n{alone}\r\nGET v\r\nEXISTS k\r\n"));
        assert_eq!(client.reply().into_bytes().len(), 200 << 10);
        assert_eq!(client.reply().into_bytes().len(), 200 << 10);
        client.expect("+OK\r\n+OK\r\n$10\r\na\nDEL k\n\"b\r\n:1\r\n");
    }
}

#[test]
fn expiry_is_refused_and_nothing_is_stored() {
    let server = Server::start();
    let mut client = server.connect();
    client.set("there", "old");
    for option in ["EX 10", "px 10", "EXAT 99999999999", "PXAT 99999999999999", "KEEPTTL", "NX EX 10", "EX 10 GET"] {
        for key in ["k", "there"] {
            match client.ask_words(&format!("SET {key} v {option}")) {
                Reply::Error(text) => assert!(text.starts_with("ERR ") && text.contains("expire"), "{text}"),
                other => panic!("SET k v {option}: {other:?}"),
            }
        }
    }
    assert_eq!(client.get("k"), None);
    assert_eq!(client.get("there"), Some(b"old".to_vec()));
    assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(1));
}

#[test]
fn what_is_not_offered_says_so() {
    let server = Server::start();
    let mut client = server.connect();
    for request in [
        "EXPIRE k 1",
        "MULTI",
        "REPLICAOF a 1",
        "SUBSCRIBE c",
        "EVAL x 0",
        "CLUSTER INFO",
        "SELECT 1",
        "LPUSH l a",
        "HSET h f v",
        "SETEX k 1 v",
    ] {
        match client.ask_words(request) {
            Reply::Error(text) => assert!(text.starts_with("ERR ") && !text.contains("unknown command"), "{text}"),
            other => panic!("{request}: {other:?}"),
        }
    }
    assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(0));
}

/// As Redis does where an ACL forbids `MULTI`.
#[test]
fn what_stands_in_a_transaction_is_run_on_its_own() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(commands("MULTI, SET k v, GET k, EXEC")).expect(
        "-ERR 'multi' is not supported: kvred has no transactions\r\n+OK\r\n$1\r\nv\r\n\
         -ERR 'exec' is not supported: kvred has no transactions\r\n",
    );
    assert_eq!(server.connect().get("k"), Some(b"v".to_vec()));
}

#[test]
fn scan_meets_every_key_while_others_come_and_go() {
    let server = Server::start_with(&["--fsync", "none"]);
    let mut client = server.connect();
    let set: Vec<u8> = (0..5000).flat_map(|i| command(&["SET", &format!("stays:{i}"), "v"])).collect();
    client.send(set).expect("+OK\r\n".repeat(5000));
    let mut seen = std::collections::BTreeSet::new();
    let (mut cursor, mut round) = ("0".to_owned(), 0);
    loop {
        let mut reply = client.ask(&["SCAN", &cursor, "COUNT", "100", "MATCH", "stays:*"]).into_array();
        for key in reply.pop().unwrap().into_array() {
            seen.insert(key.into_bytes());
        }
        cursor = reply.pop().unwrap().into_text();
        if cursor == "0" {
            break;
        }
        round += 1;
        let churn: Vec<u8> = (0..100)
            .flat_map(|i| {
                [command(&["SET", &format!("t:{round}:{i}"), "v"]), command(&["DEL", &format!("t:{}:{i}", round - 1)])]
            })
            .flatten()
            .collect();
        client.send(churn);
        (0..200).for_each(|_| drop(client.reply()));
    }
    assert_eq!(seen.len(), 5000);
}

#[test]
fn without_a_log_nothing_is_written() {
    let server = Server::start_with(&["--appendonly", "no"]);
    let mut client = server.connect();
    client.set("k", "v");
    client
        .send(commands("WAITAOF 1 0 0, WAITAOF 0 0 0, WAITAOF 1 0 x"))
        .expect("-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n*2\r\n:0\r\n:0\r\n")
        .expect("-ERR timeout is not an integer or out of range\r\n");
    let launch = server.launch().clone();
    assert_eq!(server.terminate().code, Some(0));
    assert_eq!(std::fs::read_dir(launch.dir()).unwrap().count(), 0);
}

#[test]
fn a_unix_socket_serves_too_and_is_removed() {
    let launch = Launch::new();
    let path = launch.dir().join("kvred.sock");
    let server = launch.args(&["--unixsocket", path.to_str().unwrap()]).start();
    let mut client = Client::connect_unix(&path);
    client.set("k", "v");
    assert_eq!(server.connect().get("k"), Some(b"v".to_vec()));
    let launch = server.launch().clone();
    server.kill9();
    assert!(path.exists());
    // A left socket file is in nobody's way.
    let server = launch.start();
    assert_eq!(Client::connect_unix(&path).get("k"), Some(b"v".to_vec()));
    assert_eq!(server.terminate().code, Some(0));
    assert!(!path.exists());
}

#[test]
fn a_server_that_stops_leaves_the_unix_socket_of_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kvred.sock");
    let start = || Launch::new().args(&["--unixsocket", path.to_str().unwrap()]).start();
    let first = start();
    std::fs::remove_file(&path).unwrap();
    let second = start();
    assert_eq!(first.terminate().code, Some(0));
    Client::connect_unix(&path).send("PING\r\n").expect("+PONG\r\n");
    assert_eq!(second.terminate().code, Some(0));
    assert!(!path.exists());
}

/// Which of them is there would else tell of a moment in the middle: the last key was set after all others, so it is
/// never there without the first one. Each time other keys, so that these lie in shards by either order.
#[test]
fn no_command_of_several_keys_is_seen_half_done_nor_sees_half_of_another() {
    const KEYS: usize = 40;
    const ROUNDS: usize = 25;
    for clearing in ["DEL", "FLUSHALL"] {
        let server = Server::start_with(&["--appendonly", "no", "--threads", "2"]);
        for attempt in 0..6 {
            let keys: Vec<String> = (0..KEYS).map(|n| format!("{attempt}:{n}")).collect();
            let mut round: Vec<u8> = keys.iter().flat_map(|key| command(&["SET", key, "v"])).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let words = [&[clearing][..], if clearing == "DEL" { &keys[..] } else { &[] }].concat();
            round.extend(command(&words));
            let (first, last) = (keys[0], keys[KEYS - 1]);
            let count = command(&[&["EXISTS", first], &keys[1..KEYS - 1], &["none"; KEYS], &[last; 2 * KEYS]].concat());
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut client = server.connect();
                    for _ in 0..ROUNDS {
                        client.send(round.repeat(8));
                        (0..8 * (KEYS + 1)).for_each(|_| drop(client.reply()));
                    }
                    stop.store(true, Ordering::SeqCst);
                });
                let mut client = server.connect();
                while !stop.load(Ordering::SeqCst) {
                    client.send(count.repeat(16));
                    for _ in 0..16 {
                        let Reply::Integer(count) = client.reply() else { panic!("EXISTS counts") };
                        let count = usize::try_from(count).unwrap();
                        // The last one counts more than all others, which are all there if it is.
                        assert!(count < KEYS || count == 3 * KEYS - 1, "{clearing}: {count}");
                    }
                }
            });
        }
    }
}
