//! How fast load generators can be: `cargo bench --bench ceiling`.
//!
//! `kvred bench`, `redis-benchmark` and `valkey-benchmark` (those that are in the `PATH` or in
//! `~/.cache/kvred-peers/bin`) send PINGs, in turn, to a server that costs as little as one can ([`floor`]). So what is
//! measured is the generator. 50 connections, one thread, five rounds; with two cores, the server has one and the
//! generator the other.
//!
//! `… --bench ceiling -- serve PORT [LOG]` only runs that server, for other loads and generators: what a server in one
//! thread can reach. With a file for its log, it syncs what it is sent.

mod floor;

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

const ROUNDS: usize = 5;
/// Pipeline, and requests of a round.
const LOADS: [(usize, usize); 3] = [(1, 400_000), (16, 5_000_000), (100, 10_000_000)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare_generators(),
        ["serve", port] => serve(port, None),
        ["serve", port, log] => serve(port, Some(File::create(log).expect("the log can be made"))),
        _ => panic!("nothing, or: serve PORT [LOG]"),
    }
}

fn serve(port: &str, log: Option<File>) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("the port is free");
    floor::serve(&listener, log).expect("the floor holds");
}

fn compare_generators() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port().to_string();
    std::thread::spawn(move || floor::serve(&listener, None).expect("the floor holds"));
    let peers = ["redis-benchmark", "valkey-benchmark"].map(|name| (name, found(name)));
    for (pipeline, requests) in LOADS {
        let (pipeline, requests) = (pipeline.to_string(), requests.to_string());
        let flags = ["-p", &port, "-c", "50", "-n", &requests, "-P", &pipeline];
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let mut kvred = Command::new(env!("CARGO_BIN_EXE_kvred"));
            let ours = rate(kvred.arg("bench").args(flags).args(["-t", "ping", "--format", "csv"]), "ops_per_sec");
            print!("pipeline {pipeline}: kvred bench {ours:.0}/s");
            let mut best = 0.0_f64;
            for (name, path) in &peers {
                let Some(path) = path else { continue };
                let theirs = rate(Command::new(path).args(flags).args(["-t", "ping_mbulk", "--csv"]), "rps");
                print!(", {name} {theirs:.0}/s");
                best = best.max(theirs);
            }
            println!();
            ratios.push(ours / best);
        }
        if peers.iter().all(|(_, path)| path.is_none()) {
            continue;
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "pipeline {pipeline}: {:.2} times the better one's rate ({:.2} to {:.2})",
            ratios[ROUNDS / 2],
            ratios[0],
            ratios[ROUNDS - 1]
        );
    }
}

/// A generator's program; says so if there is none.
fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/kvred-peers/bin"));
    let program = std::env::split_paths(&path).chain(home).map(|dir| dir.join(name)).find(|file| file.is_file());
    if program.is_none() {
        println!("{name} is not here, so it is not measured");
    }
    program
}

/// Runs a generator, and takes the requests per second out of its CSV.
fn rate(generator: &mut Command, column: &str) -> f64 {
    let output = generator.output().expect("the generator runs");
    let text = String::from_utf8_lossy(&output.stdout).replace('"', "");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let (names, values) = lines.next().zip(lines.next()).unwrap_or_else(|| panic!("no table: {text}"));
    let at = names.iter().position(|name| *name == column).unwrap_or_else(|| panic!("no {column} in {text}"));
    values[at].parse().expect("a rate is a number")
}
