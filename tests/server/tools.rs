//! The tools that people have: redis-cli in its modes, iredis, the exporter that feeds dashboards.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rexpect::reader::Options;
use rexpect::session::{PtySession, spawn_with_options};

use crate::helpers::terminal::after;
use crate::helpers::{DEADLINE, Killed, Launch, Server, commands, free_port, program, skip, wait_until};

fn redis_cli(server: &Server, args: &[&str]) -> Option<String> {
    let mut cli = Launch::clean(Command::new(program("redis-cli")?));
    let output = cli.args(["-p", &server.port().to_string()]).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn redis_cli_works_in_its_modes() {
    let server = Server::start();
    let ask = |args: &[&str]| redis_cli(&server, args);
    let Some(reply) = ask(&["SET", "k", "v"]) else { return };
    assert_eq!(reply, "OK\n");
    assert_eq!(ask(&["GET", "k"]).unwrap(), "v\n");
    assert_eq!(ask(&["GET", "missing"]).unwrap(), "\n");
    assert_eq!(ask(&["-3", "GET", "k"]).unwrap(), "v\n");
    assert_eq!(ask(&["-r", "3", "PING"]).unwrap(), "PONG\nPONG\nPONG\n");
    assert!(ask(&["SET", "k", "v", "EX", "1"]).unwrap().contains("keys of kvred do not expire"));
    let mut client = server.connect();
    for i in 0..300 {
        client.set(format!("user:{i:03}"), "x".repeat(i));
    }
    let scanned = ask(&["--scan", "--pattern", "user:*"]).unwrap();
    let mut keys: Vec<&str> = scanned.lines().collect();
    keys.sort_unstable();
    assert_eq!((keys.len(), keys[0], keys[299]), (300, "user:000", "user:299"));
    let biggest = ask(&["--bigkeys"]).unwrap();
    // Between more quotes or fewer, by its version.
    let found = biggest.lines().find(|line| line.starts_with("Biggest string found ")).unwrap_or_default();
    assert!(found.contains("\"user:299\"") && found.ends_with(" has 299 bytes"), "{biggest}");
    assert!(biggest.contains("301 strings with"), "{biggest}");
    let memory = ask(&["--memkeys"]).unwrap();
    assert!(memory.contains("301 strings with"), "{memory}");
    let info = ask(&["INFO", "keyspace"]).unwrap();
    assert!(info.contains("db0:keys=301"), "{info}");
}

#[test]
fn redis_cli_shows_the_servers_figures_as_they_change() {
    let server = Server::start();
    server.connect().set("k", "v");
    let Some(cli) = program("redis-cli") else { return };
    let mut cli = Launch::clean(Command::new(cli));
    let cli = cli.args(["-p", &server.port().to_string(), "--stat", "-i", "0.05"]);
    let mut cli = Killed(cli.spawn().unwrap());
    let mut lines = BufReader::new(cli.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let heading = lines.by_ref().find(|line| line.contains("keys")).unwrap();
    assert!(heading.contains("mem") && heading.contains("requests"), "{heading}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let first = words(&lines.next().unwrap());
    // Keys, memory, clients, blocked, requests (and how many more), connections.
    assert_eq!((first[0].as_str(), first[3].as_str()), ("1", "0"), "{first:?}");
    server.connect().set("another", "v");
    let grown = lines.by_ref().map(|line| words(&line)).find(|line| line[0] == "2");
    assert!(grown.is_some(), "the second key never shows");
}

/// A program at a pseudo-terminal.
fn at_terminal(mut command: Command) -> PtySession {
    command.env("TERM", "xterm").env("HOME", std::env::temp_dir());
    spawn_with_options(
        command,
        Options::new().timeout_ms(Some(DEADLINE.as_millis() as u64)).strip_ansi_escape_codes(true),
    )
    .unwrap()
}

#[test]
fn redis_cli_hints_at_what_command_docs_says() {
    let server = Server::start();
    let Some(cli) = program("redis-cli") else { return };
    let mut cli = Launch::clean(Command::new(cli));
    cli.args(["-p", &server.port().to_string()]);
    // It asks a terminal without a size for one, and waits for the answer.
    let mut pty = at_terminal(after("stty cols 100 rows 30", &cli));
    let prompt = format!("127.0.0.1:{}> ", server.port());
    pty.exp_string(&prompt).unwrap();
    // The options are kvred's own: redis-cli's built-in table would go on with EX and PX.
    pty.send("SET ").unwrap();
    pty.flush().unwrap();
    pty.exp_string("key value [NX|XX] [GET]").unwrap();
    pty.send("k v\r").unwrap();
    pty.flush().unwrap();
    pty.exp_string("OK").unwrap();
    pty.send("SLOWLOG GET ").unwrap();
    pty.flush().unwrap();
    pty.exp_string("[count]").unwrap();
}

#[test]
fn iredis_works_with_its_defaults() {
    let iredis = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/venv/bin/iredis");
    if !iredis.is_file() {
        return skip("iredis is missing; run .ci/install-test-tools");
    }
    let server = Server::start();
    let port = server.port().to_string();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(iredis);
    command.args(["-p", &port]).env("PROMPT_TOOLKIT_NO_CPR", "1");
    command.env("IREDIS_CONFIG", home.path().join("iredisrc")).current_dir(home.path());
    let mut pty = at_terminal(command);
    let prompt = format!("127.0.0.1:{port}>");
    let mut enter = |line: &str, answer: &str| {
        pty.exp_string(&prompt).unwrap();
        pty.send_line(line).unwrap();
        if let Err(error) = pty.exp_string(answer) {
            panic!("{line}: {error}");
        }
    };
    enter("SET k \"hello world\"", "OK");
    enter("GET k", "hello world");
    enter("GET missing", "(nil)");
    enter("EXISTS k k", "2");
    enter("SET k v EX 10", "do not expire");
    let launch = server.launch().clone().env("KVRED_PORT", &port);
    server.kill9();
    let server = launch.start();
    // It reconnects by itself; the first attempt may still meet the old connection.
    enter("PING", "");
    enter("SET after restart", "");
    enter("SET after restart", "OK");
    assert_eq!(server.connect().get("after"), Some(b"restart".to_vec()));
}

/// One answer of a web server, as a whole.
fn fetch(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn the_exporter_reads_all_and_complains_of_nothing() {
    let Some(exporter) = program("prometheus-redis-exporter") else { return };
    // Many a system has no files for as many clients as there may be by default.
    let server = Server::start_with(&["--maxclients", "100"]);
    let mut client = server.connect();
    client.send(commands("SET k v, GET k, GET missing, GET, SET k v nonsense"));
    (0..5).for_each(|_| drop(client.reply()));
    let port = free_port();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut exporter = Command::new(exporter);
    exporter
        .args(["-redis.addr", &format!("redis://127.0.0.1:{}", server.port())])
        .args(["-web.listen-address", &format!("127.0.0.1:{port}"), "-export-client-list"])
        .stdout(Stdio::null())
        .stderr(log.reopen().unwrap());
    let exporter = Killed(exporter.spawn().unwrap());
    let mut metrics = String::new();
    wait_until("the exporter answers", || {
        metrics = fetch(port, "/metrics").unwrap_or_default();
        metrics.contains("redis_exporter_scrapes_total")
    });
    for line in [
        "redis_up 1",
        "redis_exporter_last_scrape_error{err=\"\"} 0",
        "redis_db_keys{db=\"db0\"} 1",
        "redis_commands_total{cmd=\"get\"} 2",
        "redis_commands_failed_calls_total{cmd=\"set\"} 1",
        "redis_commands_rejected_calls_total{cmd=\"get\"} 1",
        "redis_keyspace_hits_total 1",
        "redis_keyspace_misses_total 1",
        "redis_config_maxclients 100",
        "redis_slowlog_length 0",
        "redis_aof_enabled 1",
        "redis_connected_slaves 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "no line {line}: {metrics}");
    }
    for name in [
        "redis_commands_duration_seconds_total{cmd=\"get\"}",
        "redis_memory_used_bytes",
        "redis_memory_used_peak_bytes",
        "redis_memory_used_rss_bytes",
        "redis_cpu_user_seconds_total",
        "redis_net_input_bytes_total",
        "redis_net_output_bytes_total",
        "redis_connected_clients",
        "redis_blocked_clients",
        "redis_uptime_in_seconds",
        "redis_mem_fragmentation_ratio",
        "redis_aof_current_size_bytes",
        "redis_rejected_connections_total",
        "redis_instance_info{",
        "redis_connected_clients_details{",
    ] {
        assert!(metrics.lines().any(|l| l.starts_with(name)), "no {name}: {metrics}");
    }
    drop(exporter);
    let said = std::fs::read_to_string(log.path()).unwrap();
    let complaints: Vec<&str> = said.lines().filter(|l| !l.contains("level=info")).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
