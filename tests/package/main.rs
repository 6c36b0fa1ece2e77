//! What is installed beside the binary, and what a stranger reads first: completions, man pages, `--help`, the package,
//! the shell blocks of README.md, and the tables of modules.

#![allow(unreachable_pub, reason = "helpers are shared by test binaries as they are")]
#![allow(clippy::unwrap_used, reason = "what fails here fails its test")]

#[path = "../helpers/mod.rs"]
#[allow(dead_code, unused_imports, reason = "no test binary uses every helper")]
mod helpers;

mod completions;
mod deb;
mod dockerfile;
mod generated;
mod help;
mod man;
mod modules;
mod readme;
mod trouble;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A path in the source tree.
fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a command of kvred's prints; it must succeed.
fn kvred(args: &[&str]) -> String {
    let output = helpers::Launch::binary().args(args).output().expect("the binary can be run");
    assert!(output.status.success(), "kvred {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Every command, as words: none for `kvred` itself, `["aof", "check"]` for a nested one.
fn commands() -> Vec<Vec<String>> {
    fn add(command: &clap::Command, path: &[String], all: &mut Vec<Vec<String>>) {
        all.push(path.to_vec());
        for nested in command.get_subcommands() {
            add(nested, &[path, &[nested.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    add(&<kvred::args::Cli as clap::CommandFactory>::command(), &[], &mut all);
    all
}

/// Whether a program is there; says so if it is not.
fn has(program: &str) -> bool {
    helpers::program(program).is_some()
}

/// Whether `strace` is there and may trace what it has not started; says so if not.
fn can_attach() -> bool {
    if !has("strace") {
        return false;
    }
    let sleep = helpers::Killed(Command::new("sleep").arg("infinity").spawn().unwrap());
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-p", &sleep.0.id().to_string()]).stderr(Stdio::piped());
    let mut strace = helpers::Killed(strace.spawn().unwrap());
    let mut said = String::new();
    BufReader::new(strace.0.stderr.take().unwrap()).read_line(&mut said).unwrap();
    let attached = said.contains(" attached");
    if !attached {
        helpers::skip(&format!("strace cannot attach: {}", said.trim()));
    }
    attached
}

/// Runs a program that must succeed.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    output
}
