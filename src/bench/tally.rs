//! What was counted: replies by what they said, and their latencies.

use hdrhistogram::Histogram;

/// The longest latency that is told apart: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Counts of a group of connections, or of several.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// Of every reply, in nanoseconds, to three digits.
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
            latency_ns: Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are sound"),
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
            self.first_error = Some(String::from_utf8_lossy(text).into_owned());
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
