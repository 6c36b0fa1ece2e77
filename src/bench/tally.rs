//! What was counted: replies by what they said, and their latencies.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::terminal::shown;

/// The longest latency that is told apart: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are sound")
}

/// A histogram as the values that it tells apart, each with its count.
mod pairs {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Histogram, empty};

    pub(super) fn serialize<S: Serializer>(histogram: &Histogram<u64>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Histogram<u64>, D::Error> {
        let mut histogram = empty();
        for (value, count) in Vec::<(u64, u64)>::deserialize(from)? {
            histogram.saturating_record_n(value, count);
        }
        Ok(histogram)
    }
}

/// Counts of a group of connections, or of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Of every reply, in nanoseconds, to three digits.
    #[serde(with = "pairs")]
    pub(super) latency_ns: Histogram<u64>,
    pub(super) operations: u64,
    /// Error replies.
    pub(super) errors: u64,
    /// Replies of the wrong kind, or with the wrong value.
    pub(super) wrong: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) first_error: Option<String>,
    pub(super) first_wrong: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            latency_ns: empty(),
            operations: 0,
            errors: 0,
            wrong: 0,
            hits: 0,
            misses: 0,
            first_error: None,
            first_wrong: None,
        }
    }

    /// Counts so many replies that took this long.
    pub(super) fn took(&mut self, ns: u64, replies: u64) {
        self.operations += replies;
        self.latency_ns.saturating_record_n(ns.max(1), replies);
    }

    /// Counts an error reply.
    pub(super) fn error(&mut self, text: &[u8]) {
        self.errors += 1;
        if self.first_error.is_none() {
            self.first_error = Some(shown(text));
        }
    }

    /// Counts a wrong reply.
    pub(super) fn wrong(&mut self, what: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.first_wrong.is_none() {
            self.first_wrong = Some(what());
        }
    }

    /// Adds what others counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.latency_ns.add(&other.latency_ns).expect("all histograms have the same bounds");
        self.operations += other.operations;
        self.errors += other.errors;
        self.wrong += other.wrong;
        self.hits += other.hits;
        self.misses += other.misses;
        self.first_error = self.first_error.take().or_else(|| other.first_error.clone());
        self.first_wrong = self.first_wrong.take().or_else(|| other.first_wrong.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_that_was_saved_is_the_same() {
        let mut tally = Tally::new();
        for ns in [1, 900, 54_321, 54_399, 7_654_321, LONGEST_NS * 2] {
            tally.took(ns, ns % 7 + 1);
        }
        tally.error(b"ERR \xff");
        let saved = serde_json::to_string(&tally).unwrap();
        let read: Tally = serde_json::from_str(&saved).unwrap();
        assert_eq!(read, tally, "{saved}");
        assert_eq!((read.latency_ns.max(), read.latency_ns.mean()), (tally.latency_ns.max(), tally.latency_ns.mean()));
    }
}
