//! The messages of README.md's "When something goes wrong": each is provoked, and said as it stands there.

use std::path::Path;
use std::process::Command;

use crate::helpers::programs::refusing_port;
use crate::helpers::{Launch, Reply, Server, wait_until};
use crate::{can_attach, source};

/// The first column of the table, less its quotes; a row may name several.
fn messages() -> Vec<String> {
    let readme = std::fs::read_to_string(source("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## When something goes wrong\n").expect("README.md has that section");
    let rows = section.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    let columns = rows.map(|row| row.split('|').nth(1).expect("a row has columns"));
    columns.flat_map(|column| column.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

/// Whether a text has the message somewhere, `…` standing for anything.
fn says(text: &str, message: &str) -> bool {
    let mut rest = text;
    message.split('…').all(|part| {
        let at = rest.find(part);
        rest = at.map_or("", |at| &rest[at + part.len()..]);
        at.is_some()
    })
}

/// The error that a server with these flags and this password answers to the last of some commands.
fn error(flags: &[&str], password: Option<&str>, commands: &[&[&str]]) -> String {
    let launch = Launch::new().args(flags);
    let launch = password.iter().fold(launch, |launch, password| launch.env("KVRED_REQUIREPASS", password));
    let server = launch.start();
    let mut client = server.connect();
    match commands.iter().map(|command| client.ask(command)).last() {
        Some(Reply::Error(text)) => format!("-{text}"),
        other => panic!("{commands:?}: {other:?}"),
    }
}

fn port_in_use() -> String {
    let server = Server::start();
    Launch::new().args(&["--port", &server.port().to_string()]).refused().stderr
}

fn log_in_use() -> String {
    let server = Server::start();
    let second = Launch::at(server.launch().dir()).refused();
    second.expect(3, &[]);
    second.stderr
}

fn link_to_nothing() -> String {
    let launch = Launch::new();
    std::os::unix::fs::symlink("/not/mounted", launch.log_path()).unwrap();
    launch.refused().stderr
}

fn only_a_leftover() -> String {
    let launch = Launch::new();
    let server = launch.start();
    server.connect().set("a", "1");
    server.terminate();
    std::fs::rename(launch.log_path(), launch.dir().join("temp-rewrite-kvred.aof")).unwrap();
    launch.refused().stderr
}

/// What a server says whose log is taken away, or replaced.
fn lost_name(take_away: impl FnOnce(&Path) -> std::io::Result<()>) -> String {
    let server = Server::start();
    server.connect().set("a", "1");
    take_away(&server.launch().log_path()).unwrap();
    server.terminate().stderr
}

/// What a start says of a log whose byte at `flip` has changed.
fn flipped(policy: &str, flip: usize) -> String {
    let launch = Launch::new().args(&["--fsync", policy]);
    let server = launch.start();
    server.connect().set("a", "1");
    server.connect().set("b", "2");
    server.kill9();
    let mut log = launch.log();
    log[flip] ^= 1;
    std::fs::write(launch.log_path(), log).unwrap();
    match launch.try_start() {
        Ok(server) => server.stderr(),
        Err(exit) => exit.stderr,
    }
}

fn full_disk() -> Option<String> {
    if !can_attach() {
        return None;
    }
    let server = Server::start();
    let mut client = server.connect();
    client.set("a", "1");
    let mut strace = Command::new("strace");
    let calls = "pwrite64,pwritev,pwritev2";
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={calls}:error=ENOSPC"), "-p", &server.pid().to_string()]);
    let mut strace = strace.spawn().unwrap();
    let mut said = String::new();
    wait_until("strace is at work", || match client.ask(&["SET", "b", "2"]) {
        Reply::Error(text) => {
            said = format!("-{text}");
            true
        }
        _ => false,
    });
    drop(strace.kill());
    drop(strace.wait());
    Some(said)
}

fn no_server() -> String {
    let (port, _kept) = refusing_port();
    let output = Launch::binary().args(["cli", "-p", &port.to_string(), "PING"]).output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

fn one_client_too_many() -> String {
    let server = Server::start_with(&["--maxclients", "1"]);
    let mut first = server.connect();
    first.set("a", "1");
    String::from_utf8(server.connect().rest()).unwrap()
}

#[test]
fn messages_of_the_readme_are_said() {
    let huge = "v".repeat(2 << 20);
    let mut said = vec![
        no_server(),
        port_in_use(),
        log_in_use(),
        link_to_nothing(),
        only_a_leftover(),
        lost_name(|log| std::fs::remove_file(log)),
        lost_name(|log| {
            std::fs::write(log.with_file_name("new"), "x")
                .and_then(|()| std::fs::rename(log.with_file_name("new"), log))
        }),
        // Its bytes were synced, or were not.
        flipped("always", 60),
        flipped("none", 140),
        error(&["--maxmemory", "1mb"], None, &[&["SET", "k", &huge], &["SET", "k", "v"]]),
        error(&[], Some("secret"), &[&["GET", "k"]]),
        error(&[], Some("secret"), &[&["AUTH", "guess"]]),
        error(&[], None, &[&["LPUSH", "list", "1"]]),
        error(&[], None, &[&["NONSENSE"]]),
        one_client_too_many(),
    ];
    let full_disk = full_disk();
    let unprovoked: &[&str] = match &full_disk {
        // It takes a stranger's address; tests/server/limits.rs has one.
        Some(_) => &["-DENIED …"],
        None => &["-DENIED …", "-MISCONF …"],
    };
    said.extend(full_disk);
    let messages = messages();
    assert!(messages.len() >= 10, "{messages:?}");
    for message in messages.iter().filter(|m| !unprovoked.contains(&m.as_str())) {
        assert!(said.iter().any(|text| says(text, message)), "{message} is not in: {said:#?}");
    }
}
