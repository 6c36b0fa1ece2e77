//! How fast load generators can be: `cargo bench --bench ceiling`.
//!
//! `kvred bench`, `redis-benchmark` and `valkey-benchmark` (those that are in the `PATH` or in `~/.cache/kvred-peers/bin`)
//! send PINGs, in turn, to a server that costs as little as one can: a bare epoll loop that only counts what arrives, and
//! answers `+PONG` for each request. So what is measured is the generator. 50 connections, one thread, five rounds; with
//! two cores, the server has one and the generator the other.

use std::collections::HashMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::process::Command;

use rustix::event::epoll;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";
const ROUNDS: usize = 5;
/// Pipeline, and requests of a round.
const LOADS: [(usize, usize); 3] = [(1, 400_000), (16, 5_000_000), (100, 10_000_000)];

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port().to_string();
    std::thread::spawn(move || serve(&listener).expect("the floor holds"));
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

/// The server. What is not a PING, such as what a generator asks about the server, is answered with an error.
fn serve(listener: &TcpListener) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let watch = |fd: RawFd| epoll::EventData::new_u64(fd as u64);
    epoll::add(&events, listener, watch(listener.as_raw_fd()), epoll::EventFlags::IN)?;
    let mut input = vec![0; 1 << 20];
    // What one read can complete: the requests in it, and the one that began before.
    let pongs = PONG.repeat(input.len() / PING.len() + 1);
    // Each connection, and how many bytes of a request it has sent by half.
    let mut connections: HashMap<RawFd, (TcpStream, usize)> = HashMap::new();
    let mut ready = Vec::with_capacity(256);
    loop {
        ready.clear();
        epoll::wait(&events, rustix::buffer::spare_capacity(&mut ready), None)?;
        for event in &ready {
            let fd = event.data.u64() as RawFd;
            let Some((stream, begun)) = connections.get_mut(&fd) else {
                // Whoever connected may be gone again.
                let Ok((stream, _)) = listener.accept() else { continue };
                stream.set_nodelay(true)?;
                epoll::add(&events, &stream, watch(stream.as_raw_fd()), epoll::EventFlags::IN)?;
                connections.insert(stream.as_raw_fd(), (stream, 0));
                continue;
            };
            let read = rustix::io::read(&*stream, &mut input).unwrap_or(0);
            if read == 0 {
                connections.remove(&fd);
                continue;
            }
            let is_ping = *begun > 0 || input[..read].starts_with(&PING[..read.min(PING.len())]);
            if is_ping {
                let requests = (*begun + read) / PING.len();
                *begun = (*begun + read) % PING.len();
                stream.write_all(&pongs[..requests * PONG.len()])?;
            } else {
                let requests = input[..read].split(|byte| *byte == b'*').count() - 1;
                stream.write_all(&b"-ERR only PING\r\n".repeat(requests))?;
            }
        }
    }
}
