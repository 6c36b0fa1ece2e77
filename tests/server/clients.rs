//! Clients as people use them: redis-py, node-redis and ioredis with their default settings, redis-cli,
//! redis-benchmark. `.ci/install-test-tools` installs what they need; what is missing is skipped, and says so.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::helpers::{Launch, Reply, Server, command, program, skip};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of `.ci/install-test-tools`, or `None` after having said that it is missing.
fn tool(path: &str) -> Option<PathBuf> {
    let path = root().join("target/test-tools").join(path);
    if !path.exists() {
        skip(&format!("{} is missing; run .ci/install-test-tools", path.display()));
        return None;
    }
    Some(path)
}

/// Runs a script against a server. When it prints `restart`, the server is killed and started again on the same port;
/// it goes on when it reads a line.
fn drive(script: &mut Command) {
    let server = Server::start();
    let port = server.port().to_string();
    let mut script: Child =
        script.arg(&port).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = script.stdin.take().unwrap();
    let mut server = Some(server);
    for line in BufReader::new(script.stdout.take().unwrap()).lines() {
        if line.unwrap() == "restart" {
            let old = server.take().unwrap();
            let launch: Launch = old.launch().clone().env("KVRED_PORT", &port);
            old.kill9();
            server = Some(launch.start());
            input.write_all(b"go on\n").unwrap();
        }
    }
    let output = script.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.unwrap().connect().get("after"), Some(b"the restart".to_vec()));
}

#[test]
fn redis_py_works_with_its_defaults() {
    let Some(python) = tool("venv/bin/python") else { return };
    drive(Command::new(&python).arg(root().join("tests/clients/redis_py.py")));
    drive(Command::new(&python).arg(root().join("tests/clients/redis_py_asyncio.py")));
}

#[test]
fn node_clients_work_with_their_defaults() {
    let (Some(modules), Some(node)) = (tool("node/node_modules"), program("node")) else { return };
    for script in ["node_redis.js", "ioredis.js"] {
        drive(Command::new(&node).env("NODE_PATH", &modules).arg(root().join("tests/clients").join(script)));
    }
}

#[test]
fn the_redis_crate_works_with_its_defaults() {
    let server = Server::start();
    let launch = server.launch().clone().env("KVRED_PORT", &server.port().to_string());
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port())).unwrap();
    let mut connection = client.get_connection().unwrap();
    let all: Vec<u8> = (0..=255).collect();
    redis::cmd("SET").arg("k").arg(&all).exec(&mut connection).unwrap();
    let value: Vec<u8> = redis::cmd("GET").arg("k").query(&mut connection).unwrap();
    assert_eq!(value, all);
    let missing: Option<Vec<u8>> = redis::cmd("GET").arg("missing").query(&mut connection).unwrap();
    assert_eq!(missing, None);
    let mut pipe = redis::pipe();
    for i in 0..500 {
        pipe.cmd("SET").arg(format!("p{i}")).arg(i).ignore().cmd("GET").arg(format!("p{i}"));
    }
    let replies: Vec<i64> = pipe.query(&mut connection).unwrap();
    assert_eq!(replies, (0..500).collect::<Vec<_>>());
    let refused = redis::cmd("SET").arg("e").arg("v").arg("EX").arg(10).exec(&mut connection);
    assert!(refused.unwrap_err().to_string().contains("expire"));
    server.kill9();
    let server = launch.start();
    // This client has a connection, and no say in when another is opened: the user asks for one.
    redis::cmd("PING").exec(&mut connection).unwrap_err();
    let mut connection = client.get_connection().unwrap();
    let value: i64 = redis::cmd("GET").arg("p499").query(&mut connection).unwrap();
    assert_eq!(value, 499);
    drop(server);
}

#[test]
fn redis_cli_inserts_a_million_keys_by_pipe() {
    let Some(cli) = program("redis-cli") else { return };
    let count: i64 = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
    let server = Server::start();
    let mut cli = Launch::clean(Command::new(cli))
        .args(["-p", &server.port().to_string(), "--pipe"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = cli.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        for block in 0..count / 1000 {
            let sets: Vec<u8> = (0..1000).flat_map(|i| command(&["SET", &format!("k{block}:{i}"), "value"])).collect();
            input.write_all(&sets).unwrap();
        }
    });
    let output = cli.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(&format!("errors: 0, replies: {count}")), "{said}");
    let server = server.crash_and_restart();
    assert_eq!(server.connect().ask_words("DBSIZE"), Reply::Integer(count));
}

#[test]
fn redis_benchmark_runs() {
    let Some(benchmark) = program("redis-benchmark") else { return };
    let server = Server::start();
    let count = if cfg!(debug_assertions) { "20000" } else { "200000" };
    let output = Command::new(benchmark)
        .args(["-p", &server.port().to_string(), "-t", "ping,set,get", "-P", "16", "-q", "-n", count])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "\n");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("rror") && errors.trim().is_empty(), "{said}{errors}");
    for test in ["PING_INLINE:", "PING_MBULK:", "SET:", "GET:"] {
        assert!(said.contains(&format!("{test} ")), "{said}");
    }
}
