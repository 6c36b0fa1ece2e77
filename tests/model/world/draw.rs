//! What chance brings: keys, values, logs to start from, policies, and what is wrong with the disk.

use std::path::Path;

use kvred::persistence::FsyncPolicy;

use super::LOG;
use super::model::{State, Value};
use crate::disk::{Faults, SimDisk};
use crate::random::Random;

pub const KEYS: usize = 24;

pub fn key_name(key: usize) -> Vec<u8> {
    match key % 8 {
        0 => vec![b'k'; 40 + key],
        1 => format!("#C:{key:08x}:00000000").into_bytes(),
        _ => format!("key:{key}").into_bytes(),
    }
}

pub fn all_policies(rng: &mut Random) -> FsyncPolicy {
    [FsyncPolicy::Always, FsyncPolicy::Everysec, FsyncPolicy::None][rng.below(3)]
}

/// Most of the time a sound disk that stalls now and then, else one with one kind of trouble or all of them.
pub fn draw_faults(rng: &mut Random) -> Faults {
    let sound =
        Faults { stall: 80, short_write: 60, reserve: if rng.chance(500) { 1000 } else { 0 }, ..Faults::default() };
    match rng.below(12) {
        0 => Faults { write: 700, full: true, short_write: 500, names: 300, reserve: 900, ..sound },
        1 => Faults { write: 300, short_write: 500, ..sound },
        2 => Faults { write: 300, set_len: 500, short_write: 500, ..sound },
        3 => Faults { sync: 300, ..sound },
        4 => Faults { sync: 300, set_len: 500, ..sound },
        5 => Faults { sync_dir: 500, names: 200, ..sound },
        6 => Faults { read: 100, ..sound },
        7 => Faults {
            write: 100,
            sync: 100,
            sync_dir: 100,
            names: 100,
            set_len: 100,
            short_write: 300,
            read: 50,
            ..sound
        },
        _ => sound,
    }
}

/// A value that was never there before, and now and then looks like a piece of a log.
pub fn new_value(rng: &mut Random, next: &mut u64, disk: &SimDisk) -> Value {
    *next += 1;
    let mut value = format!("v{next}:").into_bytes();
    match rng.below(40) {
        0..30 => value.resize(value.len() + rng.below(60), b'.'),
        30..34 => value.resize(value.len() + rng.below(6000), b'-'),
        34 => value.resize(value.len() + 16_000 + rng.below(2000), b'='),
        35 => value.extend_from_slice(b"\r\n#SYNCED:00000000ffffffff\r\n#NOSYNC\r\n#C:00000010:deadbeef\r\n"),
        36 => value.extend_from_slice(b"\r\n*1\r\n$8\r\nFLUSHALL\r\n"),
        _ => {
            let log = disk.contents(Path::new(LOG)).unwrap_or_default();
            let from = rng.below(log.len() + 1);
            value.extend_from_slice(&log[from..log.len().min(from + 300)]);
        }
    }
    value.into()
}

/// A log as Redis writes it, now and then with an incomplete last command, or such that what follows crosses a sector.
pub fn plain_log(rng: &mut Random, state: &mut State, next: &mut u64) -> Vec<u8> {
    let mut log = Vec::new();
    let put = |log: &mut Vec<u8>, args: &[&[u8]]| {
        log.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
        for arg in args {
            log.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            log.extend_from_slice(arg);
            log.extend_from_slice(b"\r\n");
        }
    };
    for _ in 0..=rng.below(20) {
        let key = rng.below(KEYS);
        if rng.chance(200) {
            put(&mut log, &[b"DEL", &key_name(key)]);
            state.remove(&key);
        } else {
            *next += 1;
            let mut value = format!("p{next}:").into_bytes();
            value.resize(value.len() + rng.below(400), b'p');
            put(&mut log, &[b"SET", &key_name(key), &value]);
            state.insert(key, value.into());
        }
    }
    if rng.chance(500) {
        // The header of the chain that begins behind it lies across a page's border.
        let to = (log.len() + 100).next_multiple_of(4096) - 1 - rng.below(34);
        let overhead = b"*3\r\n$3\r\nSET\r\n$5\r\nkey:2\r\n$1000\r\n\r\n".len();
        let len = to - log.len() - overhead;
        if len >= 1000 {
            *next += 1;
            let mut value = format!("p{next}:").into_bytes();
            value.resize(len, b'q');
            put(&mut log, &[b"SET", b"key:2", &value]);
            state.insert(2, value.into());
        }
    }
    if rng.chance(200) {
        let whole = log.len();
        put(&mut log, &[b"SET", b"key:2", b"torn"]);
        log.truncate(whole + 1 + rng.below(log.len() - whole - 1));
    }
    log
}
