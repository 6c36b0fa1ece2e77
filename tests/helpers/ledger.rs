//! What writers were told, and so what has to be there after a crash.
//!
//! Writers own their keys, so each knows what its keys may hold: the state after everything that was acknowledged, plus
//! some first part of what was in flight (a connection's commands take effect in order).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Scope;

use super::{Client, Random, Reply, Server, command};

/// Keys of one writer: few, so that they are overwritten and deleted all the time.
const KEYS: usize = 40;

/// Most commands sent before their replies are read, by turns.
const PIPELINES: [usize; 3] = [1, 6, 60];

type Value = Option<Vec<u8>>;

/// What a key may hold: what was acknowledged last, or what was sent since with an unknown outcome.
#[derive(Debug, Default, Clone)]
struct Expected {
    acknowledged: Value,
    unknown: Vec<Value>,
}

impl Expected {
    fn acknowledged(value: Value) -> Self {
        Self { acknowledged: value, unknown: Vec::new() }
    }

    fn allows(&self, found: &Value) -> bool {
        *found == self.acknowledged || self.unknown.contains(found)
    }
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
            let most = PIPELINES[random.below(PIPELINES.len())];
            for _ in 0..=random.below(most) {
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
                *expected = Expected::acknowledged(value);
            }
            other => panic!("a write got {other:?}"),
        }
    }

    /// After a crash: asserts that every acknowledged write is there and, of those in flight, a first part; goes on
    /// from that. How many keys there are.
    pub fn check(&mut self, client: &mut Client, what: &str) -> usize {
        for (key, _) in &self.in_flight {
            self.keys.entry(key.clone()).or_default();
        }
        let found: Vec<Value> = self.keys.keys().map(|key| client.get(key)).collect();
        let mut allowed = self.keys.clone();
        let mut in_flight = self.in_flight.iter();
        while !allowed.values().zip(&found).all(|(expected, found)| expected.allows(found)) {
            let Some((key, value)) = in_flight.next() else { panic!("{what}: {}", self.differences(&found)) };
            allowed.insert(key.clone(), Expected::acknowledged(value.clone()));
        }
        self.in_flight.clear();
        let held = found.iter().flatten().count();
        for (expected, found) in self.keys.values_mut().zip(found) {
            *expected = Expected::acknowledged(found);
        }
        held
    }

    /// Of all that was found, what was not acknowledged.
    fn differences(&self, found: &[Value]) -> String {
        let differ = self.keys.iter().zip(found).filter(|((_, expected), found)| !expected.allows(found));
        let told = differ.map(|((key, Expected { acknowledged, unknown }), found)| {
            let in_flight: Vec<_> = self.in_flight.iter().filter(|(k, _)| k == key).map(|(_, v)| start(v)).collect();
            let (found, acknowledged) = (start(found), start(acknowledged));
            let unknown: Vec<_> = unknown.iter().map(start).collect();
            let key = key.escape_ascii();
            format!("{key} holds {found}, acknowledged {acknowledged}, unknown {unknown:?}, in flight {in_flight:?}")
        });
        told.collect::<Vec<_>>().join("; ")
    }
}

/// The same of all who have written to a server, which holds nothing else.
pub fn check_all(ledgers: &mut [Ledger], server: &Server, what: &str) {
    let mut client = server.connect();
    let keys: usize = ledgers.iter_mut().map(|ledger| ledger.check(&mut client, what)).sum();
    let keys = keys.try_into().expect("they are few");
    assert_eq!(client.ask_words("DBSIZE"), Reply::Integer(keys), "{what}: keys that nobody wrote");
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
        let mut random = random.fork();
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

/// Its number, which comes first.
fn start(value: &Value) -> String {
    value.as_ref().map_or("nothing".to_owned(), |value| value[..value.len().min(20)].escape_ascii().to_string())
}
