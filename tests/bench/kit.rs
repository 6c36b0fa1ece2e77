//! `kvred bench`, and a server that answers every request with the same.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command};

use crate::helpers::{Exit, Launch, Server};

/// `kvred bench` with a clean environment.
pub fn bench(args: &[&str]) -> Command {
    let mut command = Launch::binary();
    command.arg("bench").args(args);
    command
}

/// Waits for a run that was started.
pub fn finish(child: Child) -> Exit {
    Exit::of(child.wait_with_output().unwrap())
}

pub fn run(args: &[&str]) -> Exit {
    finish(bench(args).spawn().unwrap())
}

/// The same for a server's port, the flags in one line.
pub fn run_at(port: u16, flags: &str) -> Exit {
    let port = port.to_string();
    let mut args = vec!["-p", &port];
    args.extend(flags.split_whitespace());
    run(&args)
}

pub fn memory_server() -> Server {
    Server::start_with(&["--appendonly", "no"])
}

/// A server that answers each request with `reply`, and after `answers` of them on a connection closes it.
pub fn fake(reply: &'static [u8], answers: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream, reply, answers));
        }
    });
    port
}

/// The same, but then it says nothing more and keeps the connection.
pub fn hanging(reply: &'static [u8], answers: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming().flatten() {
            kept.push(stream.try_clone().unwrap());
            std::thread::spawn(move || answer(stream, reply, answers));
        }
    });
    port
}

/// A server that answers at once on its first `quick` connections, and takes its time on those that come later.
pub fn stalling(quick: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (nth, mut stream) in listener.incoming().flatten().enumerate() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer) {
                    if nth >= quick {
                        std::thread::sleep(std::time::Duration::from_millis(50));
                    }
                    if stream.write_all(b"+PONG\r\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn answer(mut stream: std::net::TcpStream, reply: &[u8], answers: usize) {
    let mut buffer = [0; 4096];
    let mut left = answers;
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        // Keys and values of the tests hold no asterisk.
        let requests = memchr::memchr_iter(b'*', &buffer[..read]).count();
        if requests > left || stream.write_all(&reply.repeat(requests)).is_err() {
            return;
        }
        left -= requests;
    }
}
