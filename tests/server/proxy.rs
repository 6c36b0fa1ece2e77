//! twemproxy (Debian's nutcracker) before several servers: keys are spread by consistent hashing.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::helpers::{Client, Killed, Reply, Server, command, commands, free_port, program, wait_until};

const KEYS: usize = 600;

/// Starts nutcracker before servers on these ports: the port that clients use, and what keeps it running.
fn start(ports: &[u16]) -> Option<(u16, Killed)> {
    let mut nutcracker = Command::new(program("nutcracker")?);
    let dir = tempfile::tempdir().unwrap();
    let (listen, stats) = (free_port(), free_port());
    let servers: Vec<String> = ports.iter().enumerate().map(|(i, p)| format!("   - 127.0.0.1:{p}:1 kv{i}\n")).collect();
    let settings = format!(
        "kv:\n  listen: 127.0.0.1:{listen}\n  redis: true\n  hash: md5\n  distribution: ketama\n  \
         auto_eject_hosts: false\n  timeout: 5000\n  server_retry_timeout: 100\n  servers:\n{}",
        servers.concat()
    );
    let file = dir.path().join("nutcracker.yml");
    std::fs::write(&file, settings).unwrap();
    nutcracker.args(["-s", &stats.to_string(), "-a", "127.0.0.1", "-c"]).arg(&file).current_dir(dir.path());
    let running = Killed(nutcracker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait_until("nutcracker listens", || Client::try_connect(listen).is_ok());
    Some((listen, running))
}

#[test]
fn twemproxy_spreads_keys_over_several_servers() {
    let mut servers: Vec<Option<Server>> = (0..3).map(|_| Some(Server::start())).collect();
    let ports: Vec<u16> = servers.iter().map(|s| s.as_ref().unwrap().port()).collect();
    let Some((port, _nutcracker)) = start(&ports) else { return };
    let mut client = Client::connect(port);
    assert_eq!(client.ask_words("PING"), Reply::Simple("PONG".into()));
    let sets: Vec<u8> = (0..KEYS).flat_map(|i| command(&["SET", &format!("key:{i}"), &format!("value {i}")])).collect();
    client.send(sets).expect("+OK\r\n".repeat(KEYS));

    // Each key is on one server, and each server has its share.
    let mut owner = BTreeMap::new();
    for (i, server) in servers.iter().enumerate() {
        let mut direct = server.as_ref().unwrap().connect();
        for key in 0..KEYS {
            if direct.get(format!("key:{key}")).is_some() {
                assert_eq!(owner.insert(key, i), None, "key {key} is on two servers");
            }
        }
    }
    assert_eq!(owner.len(), KEYS);
    for i in 0..3 {
        let share = owner.values().filter(|o| **o == i).count();
        assert!(share > KEYS / 10, "server {i} has {share} of {KEYS} keys");
    }
    // DEL of several keys goes to all of them, and is added up.
    assert_eq!(client.ask_words("DEL key:0 key:1 key:2 key:3 missing"), Reply::Integer(4));
    assert_eq!(client.ask_words("GET key:0"), Reply::Null);
    client.send(commands("SET key:0 again, EXISTS key:0, TYPE key:0, STRLEN key:0"));
    client.expect("+OK\r\n:1\r\n+string\r\n:5\r\n");
    drop(client);

    // One server falls: its keys get errors, the others are served; it comes back, and all are there.
    let lost = servers[1].take().unwrap();
    let launch = lost.launch().clone().env("KVRED_PORT", &ports[1].to_string());
    lost.kill9();
    let mut client = Client::connect(port);
    for key in 4..KEYS {
        match client.ask(&["GET", &format!("key:{key}")]) {
            Reply::Error(_) => assert_eq!(owner[&key], 1, "key {key}"),
            reply => assert_eq!((reply, owner[&key] == 1), (Reply::bulk(&format!("value {key}")), false)),
        }
    }
    servers[1] = Some(launch.start());
    let theirs = owner.iter().find(|(key, owner)| **owner == 1 && **key > 3).unwrap().0;
    wait_until("the proxy reconnects", || {
        let mut client = Client::connect(port);
        client.ask(&["GET", &format!("key:{theirs}")]) == Reply::bulk(&format!("value {theirs}"))
    });
    let mut client = Client::connect(port);
    for key in 4..KEYS {
        assert_eq!(client.ask(&["GET", &format!("key:{key}")]), Reply::bulk(&format!("value {key}")));
    }
}
