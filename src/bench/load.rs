//! What is sent: requests encoded into a buffer that is used again, and what each reply should be.

use std::sync::Arc;

use fastrand::Rng;

use super::keys::Picker;
use super::plan::Kind;
use super::tally::Tally;
use super::values::Values;
use crate::args::{Ratio, Test, name_of};
use crate::client::Reply;
use crate::protocol::frame::Frame;
use crate::protocol::number::counted;
use crate::protocol::quote::quote;

/// One more than the largest number of a key: it has twelve digits, so that `key:` and these are 16 bytes, as in
/// `redis-benchmark`.
const KEYS_MOST: u64 = 1_000_000_000_000;

/// How much of a wrong reply is shown.
const SHOWN_BYTES: usize = 60;

/// A request that is on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) test: Test,
    key: u64,
    /// When it left, or should have, in nanoseconds since the start.
    pub(super) due_ns: u64,
}

/// Makes the requests of one connection, and judges the replies.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) kind: Kind,
    pub(super) picker: Picker,
    pub(super) values: Arc<Values>,
    pub(super) verify: bool,
    pub(super) rng: Rng,
}

impl Load {
    /// Appends the request with this index.
    pub(super) fn push(&mut self, index: u64, due_ns: u64, out: &mut Vec<u8>, sent: &mut Vec<Sent>) {
        let test = match self.kind {
            Kind::Single(test) => test,
            Kind::Mixed(Ratio(set, get)) if self.rng.u32(..set + get) < set => Test::Set,
            Kind::Mixed(_) => Test::Get,
        };
        out.extend_from_slice(head(test));
        let key = if test == Test::Ping { 0 } else { self.picker.key(index, &mut self.rng) };
        if test != Test::Ping {
            // The leading 1 keeps the zeros in front.
            out.extend_from_slice(&itoa::Buffer::new().format(KEYS_MOST + key).as_bytes()[1..]);
            out.extend_from_slice(b"\r\n");
        }
        if test == Test::Set {
            self.values.append_bulk(out, key);
        }
        sent.push(Sent { test, key, due_ns });
    }

    /// Counts what a reply says.
    pub(super) fn judge(&self, sent: &Sent, reply: &Reply<'_>, tally: &mut Tally) {
        match (sent.test, reply) {
            (_, Reply::Error(text)) => tally.error(text),
            (Test::Ping, Reply::Simple(b"PONG")) | (Test::Set, Reply::Simple(b"OK")) => {}
            (Test::Get, Reply::Bulk(value)) => {
                tally.hits += 1;
                if self.verify && !self.values.is_value_of(sent.key, value) {
                    tally.wrong(|| format!("GET key:{:012} gave another value than was set", sent.key));
                }
            }
            (Test::Exists | Test::Del, Reply::Integer(1)) => tally.hits += 1,
            (Test::Get, Reply::Null) | (Test::Exists | Test::Del, Reply::Integer(0)) => tally.misses += 1,
            (test, reply) => tally.wrong(|| mismatch(test, &reply.to_frame())),
        }
    }
}

/// What is wrong with a reply that is none to this command.
pub(super) fn mismatch(test: Test, reply: &Frame) -> String {
    format!("{} was answered with {}", name_of(&test).to_uppercase(), in_words(reply))
}

/// What a reply is, in so few words that they fit on a line, and of characters that every terminal shows.
fn in_words(reply: &Frame) -> String {
    let start = |text: &[u8]| {
        let mut out = Vec::new();
        quote(&mut out, &text[..text.len().min(SHOWN_BYTES)]);
        let more = if text.len() > SHOWN_BYTES { "..." } else { "" };
        String::from_utf8_lossy(&out).into_owned() + more
    };
    match reply {
        Frame::Bulk(text) | Frame::Verbatim(_, text) => {
            format!("a string of {}, {}", counted(text.len() as u64, "byte"), start(text))
        }
        Frame::Simple(text) | Frame::Error(text) | Frame::Double(text) | Frame::BigNumber(text) => start(text),
        Frame::Integer(number) => format!("the integer {number}"),
        Frame::Boolean(value) => value.to_string(),
        Frame::Null => "null".to_owned(),
        Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => format!("an array of {}", items.len()),
        Frame::Map(entries) => format!("a map of {}", entries.len()),
    }
}

/// A request up to the digits of its key.
fn head(test: Test) -> &'static [u8] {
    match test {
        Test::Ping => b"*1\r\n$4\r\nPING\r\n",
        Test::Set => b"*3\r\n$3\r\nSET\r\n$16\r\nkey:",
        Test::Get => b"*2\r\n$3\r\nGET\r\n$16\r\nkey:",
        Test::Exists => b"*2\r\n$6\r\nEXISTS\r\n$16\r\nkey:",
        Test::Del => b"*2\r\n$3\r\nDEL\r\n$16\r\nkey:",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{DataSize, Distribution};
    use crate::protocol::encode;

    fn load(kind: Kind) -> Load {
        Load {
            kind,
            picker: Picker::new(1_000_000, Distribution::Sequential),
            values: Arc::new(Values::new(DataSize(5, 5), 1)),
            verify: true,
            rng: Rng::with_seed(1),
        }
    }

    #[test]
    fn requests_are_what_the_encoder_of_the_protocol_writes() {
        let value = load(Kind::Single(Test::Set)).values.value(907_012);
        let key = &b"key:000000907012"[..];
        let cases: [(Test, Vec<&[u8]>); 5] = [
            (Test::Ping, vec![b"PING"]),
            (Test::Set, vec![b"SET", key, &value]),
            (Test::Get, vec![b"GET", key]),
            (Test::Exists, vec![b"EXISTS", key]),
            (Test::Del, vec![b"DEL", key]),
        ];
        for (test, args) in cases {
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            load(Kind::Single(test)).push(907_012, 0, &mut out, &mut Vec::new());
            encode::request(&mut expected, &args);
            assert_eq!(out, expected, "{test:?}");
        }
    }

    #[test]
    fn a_mix_keeps_its_ratio() {
        let mut load = load(Kind::Mixed(Ratio(1, 3)));
        let mut sent = Vec::new();
        for index in 0..10_000 {
            load.push(index, 0, &mut Vec::new(), &mut sent);
        }
        let sets = sent.iter().filter(|s| s.test == Test::Set).count();
        assert!((2300..2700).contains(&sets), "{sets}");
    }

    #[test]
    fn replies_are_hits_misses_errors_or_wrong() {
        let load = load(Kind::Single(Test::Get));
        let value = load.values.value(7);
        // test, reply, and what it adds to: errors, wrong, hits, misses
        let cases = [
            (Test::Get, Reply::Bulk(&value), [0, 0, 1, 0]),
            (Test::Get, Reply::Bulk(b"12345"), [0, 1, 1, 0]),
            (Test::Get, Reply::Null, [0, 0, 0, 1]),
            (Test::Get, Reply::Integer(1), [0, 1, 0, 0]),
            (Test::Get, Reply::Error(b"ERR x"), [1, 0, 0, 0]),
            (Test::Set, Reply::Simple(b"OK"), [0, 0, 0, 0]),
            (Test::Set, Reply::Null, [0, 1, 0, 0]),
            (Test::Ping, Reply::Simple(b"PONG"), [0, 0, 0, 0]),
            (Test::Ping, Reply::Simple(b"QUEUED"), [0, 1, 0, 0]),
            (Test::Del, Reply::Integer(1), [0, 0, 1, 0]),
            (Test::Exists, Reply::Integer(0), [0, 0, 0, 1]),
            (Test::Exists, Reply::Integer(2), [0, 1, 0, 0]),
        ];
        for (test, reply, expected) in cases {
            let mut tally = Tally::new();
            load.judge(&Sent { test, key: 7, due_ns: 0 }, &reply, &mut tally);
            assert_eq!([tally.errors, tally.wrong, tally.hits, tally.misses], expected, "{test:?} {reply:?}");
        }
    }
}
