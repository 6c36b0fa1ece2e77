//! Which arguments of a record are keys.

use crate::command::table::lookup;
use crate::protocol::decode::Args;

/// Where the keys of a record stand: every `step`-th argument from `first` to before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keys {
    /// The first key.
    pub(super) first: usize,
    /// One past the last.
    pub(super) end: usize,
    /// From key to key.
    pub(super) step: usize,
}

/// A record without keys: it concerns none (`SELECT`), or all of them (`FLUSHALL`).
const NONE: Keys = Keys { first: 1, end: 1, step: 1 };

impl Keys {
    /// The keys of a record.
    pub(super) fn of(args: Args<'_>) -> Self {
        let len = args.len();
        let one = Self { first: 1, end: len.min(2), step: 1 };
        if len < 2 {
            return NONE;
        }
        if args.at(0) == b"SET" {
            // As nearly all records are written.
            return one;
        }
        match &args.at(0).to_ascii_uppercase()[..] {
            b"SET" => one,
            b"DEL" | b"UNLINK" => Self { end: len, ..one },
            b"MSET" | b"MSETNX" => Self { end: len, step: 2, ..one },
            b"RENAME" | b"RENAMENX" | b"COPY" => Self { end: len.min(3), ..one },
            b"SELECT" => NONE,
            _ => match lookup(args.at(0)) {
                Some(spec) if spec.keys.is_none() => NONE,
                // Of a command that kvred does not offer, too, the first argument is the key as a rule.
                _ => one,
            },
        }
    }

    /// The keys themselves.
    pub(super) fn values(self, args: Args<'_>) -> impl Iterator<Item = &[u8]> + use<'_> {
        args.from(self.first.min(args.len())).take(self.end - self.first).step_by(self.step)
    }
}

/// Whether a record changes all keys at once.
pub(super) fn changes_all(args: Args<'_>) -> bool {
    [&b"FLUSHALL"[..], b"FLUSHDB"].iter().any(|name| args.at(0).eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::decode::Span;

    fn keys(words: &str) -> Vec<String> {
        let mut spans = Vec::new();
        for word in words.split(' ') {
            let start = word.as_ptr() as usize - words.as_ptr() as usize;
            spans.push(Span { start: start as u32, end: (start + word.len()) as u32 });
        }
        let args = Args::new(words.as_bytes(), &spans);
        Keys::of(args).values(args).map(|k| String::from_utf8(k.to_vec()).unwrap()).collect()
    }

    #[test]
    fn keys_are_found_wherever_they_stand() {
        assert_eq!(keys("SET a b"), ["a"]);
        assert_eq!(keys("del a b c"), ["a", "b", "c"]);
        assert_eq!(keys("MSET a 1 b 2"), ["a", "b"]);
        assert_eq!(keys("SETRANGE a 3 x"), ["a"]);
        assert_eq!(keys("HSET h f v"), ["h"]);
        assert_eq!(keys("RENAME a b"), ["a", "b"]);
        assert!(keys("FLUSHALL").is_empty());
        assert!(keys("FLUSHALL SYNC").is_empty());
        assert!(keys("SELECT 0").is_empty());
        assert!(keys("SET").is_empty());
    }
}
