//! Two servers in turn, and servers of others.

use crate::helpers::peer::{Peer, SERVERS};
use crate::kit::{memory_server, run_at};

#[test]
fn two_servers_are_measured_in_turn() {
    let (first, second) = (memory_server(), memory_server());
    let flags = format!("-n 300 -r 50 -t get --compare 127.0.0.1:{}", second.port());
    let ran = run_at(first.port(), &format!("{flags} --format json"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document = ran.json();
    let compare = &document["compare"];
    assert_eq!(document["results"][0]["runs"].as_array().unwrap().len(), 5);
    assert_eq!(compare["results"][0]["operations"], 1500);
    let ratio = &compare["ratios"][0];
    assert!(ratio["ratio"]["min"].as_f64() <= ratio["ratio"]["median"].as_f64());
    assert_eq!(ratio["test"], "get");
    let address = format!("127.0.0.1:{}", second.port());
    assert_eq!(compare["server"]["address"], address);
    let table = run_at(first.port(), &flags).out;
    assert!(table.contains("ratio of ops/s") && table.contains(&address), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn redis_and_valkey_are_measured_alike() {
    for name in SERVERS {
        let dir = tempfile::TempDir::new().unwrap();
        let Some(peer) = Peer::start(name, dir.path()) else { continue };
        let ran = run_at(peer.port(), "-n 1000 -r 200 -P 3 -c 5 --verify --format json");
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        let document = ran.json();
        assert!(document["server"]["redis_version"].is_string());
        let hits: Vec<_> =
            document["results"].as_array().unwrap().iter().map(|r| r["hits"].as_u64().unwrap()).collect();
        assert_eq!(hits, [0, 0, 1000, 1000, 1000], "{name}");
        let kvred = memory_server();
        let flags = format!("-n 300 -r 50 -t ping --repeats 2 --compare 127.0.0.1:{}", peer.port());
        assert_eq!(run_at(kvred.port(), &flags).code, Some(0), "{name}");
    }
}
