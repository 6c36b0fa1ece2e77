//! A server that costs as little as one can: a bare epoll loop in one thread, which keeps nothing.
//!
//! It answers `PING` with `PONG`, `SET` with `OK` and every `GET` with the value that came last; what else it is asked,
//! it refuses. All connections that are ready together are read before the first is answered. With a log, their reads
//! that begin with a `SET` are appended and synced once in between.
//!
//! It has a small parser of its own: what kvred is measured against must not be a part of kvred.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use rustix::event::epoll;

/// One read takes so much at most.
const INPUT_BYTES: usize = 1 << 20;

/// A connection: the request that it has sent by half, and the replies that are due.
struct Connection {
    stream: TcpStream,
    begun: Vec<u8>,
    out: Vec<u8>,
}

/// Serves until something fails.
pub(super) fn serve(listener: &TcpListener, mut log: Option<File>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let watch = |fd: RawFd| epoll::EventData::new_u64(fd as u64);
    epoll::add(&events, listener, watch(listener.as_raw_fd()), epoll::EventFlags::IN)?;
    let mut input = vec![0; INPUT_BYTES];
    let mut hit = Vec::new();
    let mut connections: HashMap<RawFd, Connection> = HashMap::new();
    let mut ready = Vec::with_capacity(256);
    loop {
        ready.clear();
        // It ends with EINTR when the process was stopped, and goes on.
        rustix::io::retry_on_intr(|| epoll::wait(&events, rustix::buffer::spare_capacity(&mut ready), None))?;
        let mut written = false;
        for event in &ready {
            let fd = event.data.u64() as RawFd;
            let Some(connection) = connections.get_mut(&fd) else {
                // Whoever connected may be gone again.
                let Ok((stream, _)) = listener.accept() else { continue };
                stream.set_nodelay(true)?;
                epoll::add(&events, &stream, watch(stream.as_raw_fd()), epoll::EventFlags::IN)?;
                connections.insert(stream.as_raw_fd(), Connection { stream, begun: Vec::new(), out: Vec::new() });
                continue;
            };
            let read = rustix::io::read(&connection.stream, &mut input).unwrap_or(0);
            if read == 0 {
                connections.remove(&fd);
                continue;
            }
            let read = &input[..read];
            if let Some(log) = log.as_mut().filter(|_| read.starts_with(b"*3\r\n")) {
                log.write_all(read)?;
                written = true;
            }
            connection.take_in(read, &mut hit);
        }
        if let Some(log) = log.as_mut().filter(|_| written) {
            log.sync_data()?;
        }
        for event in &ready {
            let fd = event.data.u64() as RawFd;
            let Some(connection) = connections.get_mut(&fd).filter(|connection| !connection.out.is_empty()) else {
                continue;
            };
            if connection.stream.write_all(&connection.out).is_err() {
                // Whoever asked is gone.
                connections.remove(&fd);
                continue;
            }
            connection.out.clear();
        }
    }
}

impl Connection {
    fn take_in(&mut self, read: &[u8], hit: &mut Vec<u8>) {
        if self.begun.is_empty() {
            let done = answer(read, hit, &mut self.out);
            self.begun.extend_from_slice(&read[done..]);
        } else {
            self.begun.extend_from_slice(read);
            let done = answer(&self.begun, hit, &mut self.out);
            self.begun.drain(..done);
        }
    }
}

/// Answers the whole requests in `input`: how many bytes these are.
fn answer(input: &[u8], hit: &mut Vec<u8>, out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some((end, name, last)) = request(input, at) {
        match name {
            b"GET" => out.extend_from_slice(hit),
            b"SET" => {
                if hit != last {
                    hit.clear();
                    hit.extend_from_slice(last);
                }
                out.extend_from_slice(b"+OK\r\n");
            }
            b"PING" => out.extend_from_slice(b"+PONG\r\n"),
            _ => out.extend_from_slice(b"-ERR only PING, GET and SET\r\n"),
        }
        at = end;
    }
    at
}

/// The request at `at`, if all of it is there: where it ends, its name, and its last argument as it stands on the wire.
fn request(input: &[u8], at: usize) -> Option<(usize, &[u8], &[u8])> {
    let (arguments, mut end) = number(input, at)?;
    let (mut name, mut last) = (&input[..0], &input[..0]);
    for argument in 0..arguments {
        let (length, start) = number(input, end)?;
        last = input.get(end..start + length + 2)?;
        if argument == 0 {
            name = &input[start..start + length];
        }
        end = start + length + 2;
    }
    Some((end, name, last))
}

/// The number behind the byte at `at`, and where the next line begins.
fn number(input: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut number = 0;
    for (i, &byte) in input.get(at + 1..)?.iter().enumerate() {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            b'\r' if at + 3 + i <= input.len() => return Some((number, at + 3 + i)),
            _ => return None,
        }
    }
    None
}
