//! Beside the real Redis and Valkey: each reads the others' logs.

use crate::helpers::log::{Model, assert_holds};
use crate::helpers::peer::{Peer, SERVERS};
use crate::helpers::{Client, Launch, commands};

/// Fills a server with what both understand, and says what it then holds.
fn fill(client: &mut Client) -> Model {
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
