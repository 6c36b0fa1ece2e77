//! `kvred bench`, and a server that answers every request with the same.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

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

/// A server that answers PINGs, and to each `INFO cpu` the next of these texts, then an error as to any other INFO.
pub fn telling(cpu: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let cpu = Arc::new(Mutex::new(cpu.iter()));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let cpu = Arc::clone(&cpu);
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    let told = match &buffer[..read] {
                        b"*2\r\n$4\r\nINFO\r\n$3\r\ncpu\r\n" => cpu.lock().unwrap().next(),
                        _ => None,
                    };
                    let requests = memchr::memchr_iter(b'*', &buffer[..read]).count();
                    let reply = match told {
                        Some(text) => format!("${}\r\n{text}\r\n", text.len()),
                        None if buffer[..read].ends_with(b"PING\r\n") => "+PONG\r\n".repeat(requests),
                        None => "-ERR no\r\n".to_owned(),
                    };
                    if stream.write_all(reply.as_bytes()).is_err() {
                        return;
                    }
                }
            });
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

/// Answers each request with `reply`, so many of them.
pub fn answer(mut stream: std::net::TcpStream, reply: &[u8], answers: usize) {
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
