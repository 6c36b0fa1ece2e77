//! Beside the real Redis and Valkey: the same replies, and each reads the others' logs.

use crate::helpers::client::shown;
use crate::helpers::log::{Model, assert_holds};
use crate::helpers::peer::{Peer, SERVERS};
use crate::helpers::{Launch, Server, commands};

/// Requests whose replies are compared byte for byte, over one connection, in this order. Text errors that Redis 8
/// words differently from Redis 7 are not among them.
const REQUESTS: &[&str] = &[
    "PING",
    "PING hi",
    "PING a b",
    "ECHO x",
    "ECHO",
    "GET a",
    "SET a 1",
    "GET a",
    "SET a 2 NX",
    "SET a 2 nx nx",
    "SET a 3 XX",
    "SET b 3 XX",
    "SET a 4 GET",
    "SET c 4 GET",
    "SET a 5 XX GET",
    "SET d 5 XX GET",
    "SET a 6 NX GET",
    "SET d 6 NX GET",
    "SET a 7 GET GET",
    "SET a 1 NX XX",
    "SET a 1 nonsense",
    "SET a",
    "GET",
    "GET a b",
    "DEL",
    "EXISTS",
    "EXISTS a a b",
    "DEL a a zz",
    "TYPE c",
    "TYPE zz",
    "TYPE",
    "DBSIZE",
    "DBSIZE x",
    "KEYS c*",
    "KEYS",
    "RANDOMKEY x",
    "foo",
    "foo bar",
    "foo bar baz",
    "SELECT 0",
    "SELECT x",
    "SELECT",
    "CLIENT GETNAME",
    "CLIENT SETNAME me",
    "CLIENT GETNAME",
    "CLIENT NOPE",
    "CLIENT",
    "CLIENT ID x",
    "CLIENT SETINFO LIB-NAME x",
    "CLIENT SETINFO nope x",
    "CLIENT NO-EVICT on",
    "CLIENT NO-TOUCH maybe",
    "CLIENT KILL 1.2.3.4:5",
    "CLIENT KILL ID 0",
    "CLIENT KILL ID 99999",
    "COMMAND GETKEYS GET k",
    "COMMAND GETKEYS DEL a b c",
    "COMMAND GETKEYS PING",
    "COMMAND NOPE",
    "CONFIG",
    "CONFIG GET",
    "CONFIG GET appendonly",
    "CONFIG GET nothing",
    "SCAN",
    "SCAN x",
    "SCAN 0 COUNT 0",
    "SCAN 0 COUNT x",
    "SCAN 0 nope",
    "HELLO 9",
    "HELLO x",
    "HELLO 2 nope",
    "AUTH x",
    "AUTH default x",
    "AUTH a b",
    "OBJECT ENCODING c",
    "OBJECT ENCODING zz",
    "MEMORY USAGE zz",
    "MEMORY NOPE",
    "FLUSHALL nope",
    "FLUSHALL sync async",
    "FLUSHDB ASYNC",
    "DBSIZE",
    "RANDOMKEY",
    "SCAN 0",
    "LATENCY HISTORY x",
    "SHUTDOWN nope",
    "SHUTDOWN ABORT",
    "QUIT x y",
    "RESET",
    "QUIT",
];

#[test]
fn replies_are_those_of_redis() {
    let dir = tempfile::tempdir().unwrap();
    let Some(redis) = Peer::start("redis-server", dir.path()) else { return };
    let server = Server::start();
    let (mut ours, mut theirs) = (server.connect(), redis.connect());
    let mut differences = Vec::new();
    for request in REQUESTS {
        let bytes = commands(request);
        let got = shown(&ours.send(&bytes).raw_reply());
        let want = shown(&theirs.send(&bytes).raw_reply());
        if got != want {
            differences.push(format!("{request}\n   kvred {got}\n   redis {want}"));
        }
        if request.starts_with("QUIT") {
            ours = server.connect();
            theirs = redis.connect();
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Protocol errors, each over a connection of its own.
#[test]
fn protocol_errors_are_those_of_redis() {
    let dir = tempfile::tempdir().unwrap();
    let Some(redis) = Peer::start("redis-server", dir.path()) else { return };
    let server = Server::start();
    for sent in [
        "*x\r\n",
        "*99999999999\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n$x\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$536870913\r\n",
        "*2\r\n$4\r\nECHO\r\n*1\r\n",
        "SET k \"open\r\n",
        "SET k 'a'b\r\n",
        "*-5\r\nPING\r\nQUIT\r\n",
        "\r\n\r\nQUIT\r\n",
        "PING \"\\x41\\n\" \r\nECHO 'a b'\r\nQUIT\r\n",
        "*0\r\nQUIT\r\n",
    ] {
        let ours = server.connect().send(sent).rest();
        let theirs = redis.connect().send(sent).rest();
        assert_eq!(ours.escape_ascii().to_string(), theirs.escape_ascii().to_string(), "{sent:?}");
    }
}

/// Fills a server with what both understand, and says what it then holds.
fn fill(client: &mut crate::helpers::Client) -> Model {
    let all: Vec<u8> = (0..=255).collect();
    client.set("gone", "x");
    client
        .send(commands("DEL gone, SET a 1, SET a 2 XX, SET b 1 NX, SET b 2 NX"))
        .expect(":1\r\n+OK\r\n+OK\r\n+OK\r\n$-1\r\n");
    let mut model: Model = [("a", "2"), ("b", "1")].map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())).into();
    let mut set = |key: &[u8], value: &[u8]| {
        client.set(key, value);
        model.insert(key.to_vec(), value.to_vec());
    };
    set(&all, &all);
    set(b"", b"");
    set(b"imitation", b"\r\n#C:00000000:00000000\r\n#SYNCED:0\r\n*1\r\n");
    set(b"large", &vec![b'x'; 3 << 20]);
    for i in 0..500 {
        set(format!("key:{i}").as_bytes(), format!("value {i}").as_bytes());
    }
    model
}

#[test]
fn their_servers_load_our_log() {
    for fsync in ["always", "everysec", "none"] {
        let launch = Launch::new().args(&["--fsync", fsync]);
        // Two runs, the first one killed: a log as a crash leaves it, gone on with, and closed.
        let server = launch.start();
        server.connect().set("first", "run");
        server.kill9();
        let server = launch.start();
        let mut model = fill(&mut server.connect());
        model.insert(b"first".to_vec(), b"run".to_vec());
        server.terminate().expect(0, &[]);
        for name in SERVERS {
            let dir = tempfile::tempdir().unwrap();
            std::fs::copy(launch.log_path(), dir.path().join("appendonly.aof")).unwrap();
            let Some(peer) = Peer::start(name, dir.path()) else { continue };
            assert_holds(&mut peer.connect(), &model, &format!("{name} on a log of --fsync {fsync}"));
        }
    }
}

#[test]
fn we_load_their_logs() {
    for name in SERVERS {
        let dir = tempfile::tempdir().unwrap();
        let Some(peer) = Peer::start(name, dir.path()) else { continue };
        let model = fill(&mut peer.connect());
        peer.shut_down();
        let logs = std::fs::read_dir(dir.path().join("appendonlydir")).unwrap();
        let log = logs.map(|e| e.unwrap().path()).find(|p| p.to_string_lossy().ends_with(".incr.aof")).unwrap();
        let launch = Launch::on_log(std::fs::read(log).unwrap());
        let server = launch.start();
        assert_holds(&mut server.connect(), &model, name);
        server.connect().set("gone on", "with");
        let server = server.crash_and_restart();
        assert_eq!(server.connect().get("gone on"), Some(b"with".to_vec()));
    }
}
