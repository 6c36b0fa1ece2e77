//! Two servers in turn, and servers of others.

use crate::helpers::peer::{Peer, SERVERS};
use crate::helpers::{Reply, Server};
use crate::kit::{bench, finish, memory_server, run_at};

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
    let table = run_at(first.port(), &flags).stdout;
    assert!(table.contains("ratio of ops/s") && table.contains(&address), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn a_server_beside_itself_misses_nothing() {
    let server = memory_server();
    let port = server.port();
    let flags = format!("-t get,del -n 1000 -r 1000 --repeats 2 --compare 127.0.0.1:{port} --format json");
    let ran = run_at(port, &flags);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document = ran.json();
    for results in [&document["results"], &document["compare"]["results"]] {
        for (test, name) in [(0, "get"), (1, "del")] {
            assert_eq!((&results[test]["hits"], &results[test]["misses"]), (&2000.into(), &0.into()), "{name}");
        }
    }
}

#[test]
fn a_threshold_is_of_the_first_server_which_it_names() {
    let (first, second) = (memory_server(), memory_server());
    let (first, second) = (first.port(), second.port());
    let flags = format!("-n 100 -t ping --repeats 2 --fail-if ops_per_sec>0 --compare 127.0.0.1:{second}");
    let ran = run_at(first, &flags);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let failed: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("failed: ")).collect();
    assert!(failed.len() == 1, "{ran:?}");
    assert!(failed[0].starts_with(&format!("failed: ping at 127.0.0.1:{first}: ops_per_sec>0 (it is ")), "{ran:?}");
}

#[test]
fn a_login_that_one_of_two_servers_refuses_is_told_with_its_address_and_the_way_out() {
    let dir = tempfile::TempDir::new().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "pw\n").unwrap();
    let locked = Server::start_with(&["--requirepass-file", secret.to_str().unwrap()]);
    let open = memory_server();
    let (locked, open) = (locked.port().to_string(), open.port());
    let compared = |with: &str| {
        let mut command = bench(&["-p", &locked, "-t", "ping", "-n", "100", "--repeats", "2", "--compare", with]);
        finish(command.env("KVRED_PASSWORD", "pw").spawn().unwrap())
    };
    let ran = compared(&format!("127.0.0.1:{open}"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&format!("127.0.0.1:{open}: AUTH failed: ERR ")), "{ran:?}");
    let uri = format!("redis://127.0.0.1:{open}");
    assert!(ran.stderr.contains(&format!("--compare {uri}")), "{ran:?}");
    assert_eq!(compared(&uri).code, Some(0));
}

#[test]
fn a_second_server_is_measured_in_the_database_of_the_flag_or_else_of_its_uri() {
    let dirs = [(); 2].map(|()| tempfile::TempDir::new().unwrap());
    let [first, second] = dirs.each_ref().map(|dir| Peer::start(SERVERS[0], dir.path()));
    let (Some(first), Some(second)) = (first, second) else { return };
    let sizes = |flags: &str| {
        let ran = run_at(first.port(), &format!("-t set -n 50 -r 5 --repeats 1 {flags}"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let mut client = second.connect();
        let sizes = [0, 3, 5].map(|db| {
            client.ask_words(&format!("SELECT {db}"));
            client.ask_words("DBSIZE")
        });
        client.ask_words("FLUSHALL");
        sizes.map(|size| size != Reply::Integer(0))
    };
    let port = second.port();
    assert_eq!(sizes(&format!("--db 3 --compare 127.0.0.1:{port}")), [false, true, false]);
    assert_eq!(sizes(&format!("--db 3 --compare redis://127.0.0.1:{port}")), [false, true, false]);
    assert_eq!(sizes(&format!("--db 3 --compare redis://127.0.0.1:{port}/5")), [false, true, false]);
    assert_eq!(sizes(&format!("--compare redis://127.0.0.1:{port}/5")), [false, false, true]);
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
