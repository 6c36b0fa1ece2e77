//! What writers were told, and so what has to be there after a crash.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Scope;

use crate::helpers::{Client, Random, Reply, Server, command};

/// Keys of one writer: few, so that they are overwritten and deleted all the time.
const KEYS: usize = 40;

/// Most commands sent before their replies are read.
const PIPELINE: usize = 6;

type Value = Option<Vec<u8>>;

/// What a key may hold: what was acknowledged last, or what was sent since with an unknown outcome.
#[derive(Debug, Default, Clone)]
struct Expected {
    acknowledged: Value,
    unknown: Vec<Value>,
}

/// One writer's account.
#[derive(Debug, Default, Clone)]
pub struct Ledger {
    keys: BTreeMap<Vec<u8>, Expected>,
    in_flight: VecDeque<(Vec<u8>, Value)>,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Writes that were refused with an error.
    pub refused: u64,
    number: u64,
}

/// Whether a writer goes on.
pub enum Go {
    On,
    Stop,
}

impl Ledger {
    /// Writes at random until the server is gone or `go` says so; `name` tells this writer's keys from others'.
    pub fn write(&mut self, client: &mut Client, name: &str, random: &mut Random, mut go: impl FnMut(&Self) -> Go) {
        while let Go::On = go(self) {
            let mut bytes = Vec::new();
            for _ in 0..=random.below(PIPELINE) {
                let key = format!("{name}:{}", random.below(KEYS)).into_bytes();
                self.number += 1;
                let value = (random.below(5) > 0).then(|| {
                    let mut value = format!("{}:", self.number).into_bytes();
                    value.resize(value.len() + random.below(2000), b'v');
                    value
                });
                match &value {
                    Some(value) => bytes.extend(command(&[b"SET", &key[..], value])),
                    None => bytes.extend(command(&[b"DEL", &key[..]])),
                }
                self.in_flight.push_back((key, value));
            }
            if client.try_send(bytes).is_err() {
                return;
            }
            while !self.in_flight.is_empty() {
                let Ok(reply) = client.try_reply() else { return };
                self.take(&reply);
            }
        }
    }

    fn take(&mut self, reply: &Reply) {
        let (key, value) = self.in_flight.pop_front().expect("a reply belongs to a command");
        let expected = self.keys.entry(key).or_default();
        match reply {
            Reply::Error(text) if text.starts_with("MISCONF") => self.refused += 1,
            Reply::Error(text) if text.contains("outcome of this write is unknown") => {
                self.refused += 1;
                expected.unknown.push(value);
            }
            Reply::Simple(_) | Reply::Integer(_) => {
                self.acknowledged += 1;
                *expected = Expected { acknowledged: value, unknown: Vec::new() };
            }
            other => panic!("a write got {other:?}"),
        }
    }

    /// After a crash: asserts that every acknowledged write is there, and learns how those in flight have ended.
    pub fn check(&mut self, client: &mut Client, what: &str) {
        for (key, value) in std::mem::take(&mut self.in_flight) {
            self.keys.entry(key).or_default().unknown.push(value);
        }
        for (key, expected) in &mut self.keys {
            let found = client.get(key);
            assert!(
                found == expected.acknowledged || expected.unknown.contains(&found),
                "{what}: {} holds {:?}, acknowledged {:?}, unknown {}",
                key.escape_ascii(),
                found.as_deref().map(start),
                expected.acknowledged.as_deref().map(start),
                expected.unknown.len()
            );
            *expected = Expected { acknowledged: found, unknown: Vec::new() };
        }
    }
}

/// A writer for each ledger, until the server is gone; beside them one rewrite after another, if wanted. `acknowledged`
/// counts what was acknowledged to any of them.
pub fn write_until_gone<'scope>(
    scope: &'scope Scope<'scope, '_>,
    server: &Server,
    ledgers: &'scope mut [Ledger],
    with_rewrites: bool,
    random: &mut Random,
    acknowledged: &'scope AtomicU64,
) {
    for (number, ledger) in ledgers.iter_mut().enumerate() {
        let mut client = server.connect();
        let mut random = Random::new(random.next());
        scope.spawn(move || {
            let mut told = ledger.acknowledged;
            ledger.write(&mut client, &number.to_string(), &mut random, |ledger| {
                acknowledged.fetch_add(ledger.acknowledged - told, Ordering::SeqCst);
                told = ledger.acknowledged;
                Go::On
            });
        });
    }
    if with_rewrites {
        let mut client = server.connect();
        scope.spawn(move || while client.try_send("BGREWRITEAOF\r\n").is_ok() && client.try_reply().is_ok() {});
    }
}

fn start(value: &[u8]) -> String {
    value[..value.len().min(20)].escape_ascii().to_string()
}
