//! The health check of dist/Dockerfile, asked of servers with the settings that its comments name.

use std::process::Command;

use crate::helpers::{Launch, Server};
use crate::source;

fn dockerfile() -> String {
    std::fs::read_to_string(source("dist/Dockerfile")).unwrap()
}

/// What the health check runs, as words.
fn health_check() -> Vec<String> {
    let text = dockerfile();
    let line = text.lines().find(|line| line.starts_with("HEALTHCHECK ")).expect("there is a health check");
    let (_, words) = line.split_once(" CMD ").expect("it runs a command");
    serde_json::from_str(words).expect("it is a list of words: the image has no shell")
}

/// Runs the health check in the environment of a server.
fn expect_healthy(_server: &Server, environment: &[(String, String)]) {
    let words = health_check();
    assert_eq!(words[0], "/kvred");
    let check = |program: Command| {
        let mut program = program;
        let output = program.args(&words[1..]).envs(environment.iter().cloned()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(check(Launch::binary()), (Some(0), String::new()), "{environment:?}");
}

#[test]
fn the_health_check_finds_a_server_at_a_port() {
    let server = Server::start();
    expect_healthy(&server, &[("KVRED_PORT".to_owned(), server.port().to_string())]);
}

#[test]
fn the_health_check_finds_a_server_at_a_socket_alone() {
    let launch = Launch::new();
    let text = dockerfile();
    let words = text.lines().filter(|line| line.starts_with('#')).flat_map(str::split_whitespace);
    let settings = ["KVRED_PORT=none", "KVRED_UNIXSOCKET=/data/", "KVRED_URI=unix:///data/"];
    let environment: Vec<_> = settings
        .iter()
        .map(|beginning| {
            let setting = words.clone().find(|word| word.starts_with(beginning));
            let setting = setting.unwrap_or_else(|| panic!("no comment names {beginning}"));
            let (name, value) = setting.split_once('=').unwrap();
            (name.to_owned(), value.replace("/data", launch.dir().to_str().unwrap()))
        })
        .collect();
    let server = environment.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start();
    expect_healthy(&server, &environment);
}
