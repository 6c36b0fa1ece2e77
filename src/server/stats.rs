//! What is counted. Each worker has counters of its own, which it alone changes; `INFO` adds them up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::command::batch::Count;
use crate::command::table::{COMMAND_IDS, CommandId};

/// A number that one thread changes and others read: no locked instruction is needed. Others may also begin it anew.
#[derive(Debug, Default)]
pub struct Counter {
    total: AtomicU64,
    /// `total` at the last reset.
    at_reset: AtomicU64,
}

impl Counter {
    /// Adds to it; only its own thread may.
    pub fn add(&self, more: u64) {
        self.total.store(self.total.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    fn reset(&self) {
        self.at_reset.store(self.total.load(Ordering::Relaxed), Ordering::Release);
    }

    /// What it has come to since the last reset.
    pub fn get(&self) -> u64 {
        // In this order: the total is then no older than what another thread has reset it at.
        let at_reset = self.at_reset.load(Ordering::Acquire);
        self.total.load(Ordering::Relaxed).wrapping_sub(at_reset)
    }
}

/// What a count comes to in a second.
#[derive(Debug, Default)]
pub struct Rate {
    /// The count when the last full second ended.
    at_tick: AtomicU64,
    /// What came in that second.
    per_second: AtomicU64,
}

impl Rate {
    /// Ends a second, with the count as it is now.
    pub fn tick(&self, now: u64) {
        let before = self.at_tick.swap(now, Ordering::Relaxed);
        self.per_second.store(now.saturating_sub(before), Ordering::Relaxed);
    }

    /// For a count that begins at zero again.
    pub fn begin_anew(&self) {
        self.at_tick.store(0, Ordering::Relaxed);
    }

    /// What came in the last full second.
    pub fn per_second(&self) -> u64 {
        self.per_second.load(Ordering::Relaxed)
    }
}

/// The counters of one worker, on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerStats {
    /// Commands, by [`CommandId`].
    calls: [Counter; COMMAND_IDS],
    /// Of these, those that were answered with an error.
    failed: [Counter; COMMAND_IDS],
    /// Calls that were refused before they were tried; not among `calls`.
    rejected: [Counter; COMMAND_IDS],
    /// Time that the calls took.
    nanos: [Counter; COMMAND_IDS],
    hits: Counter,
    misses: Counter,
    /// Reads from clients' sockets that brought something.
    pub reads: Counter,
    /// Writes to clients' sockets.
    pub writes: Counter,
    /// Clients closed for piling up input.
    pub query_limit_closed: Counter,
    /// Bytes read from clients.
    pub input_bytes: Counter,
    /// Bytes written to clients.
    pub output_bytes: Counter,
    /// Errors by their first word; rare, so a lock will do.
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Default for WorkerStats {
    fn default() -> Self {
        Self {
            calls: std::array::from_fn(|_| Counter::default()),
            failed: std::array::from_fn(|_| Counter::default()),
            rejected: std::array::from_fn(|_| Counter::default()),
            nanos: std::array::from_fn(|_| Counter::default()),
            reads: Counter::default(),
            writes: Counter::default(),
            query_limit_closed: Counter::default(),
            hits: Counter::default(),
            misses: Counter::default(),
            input_bytes: Counter::default(),
            output_bytes: Counter::default(),
            errors: Mutex::default(),
        }
    }
}

impl WorkerStats {
    fn reset(&self) {
        for counter in self.calls.iter().chain(&self.failed).chain(&self.rejected).chain(&self.nanos) {
            counter.reset();
        }
        let others = [&self.hits, &self.misses, &self.input_bytes, &self.output_bytes, &self.reads, &self.writes];
        for counter in others.into_iter().chain([&self.query_limit_closed]) {
            counter.reset();
        }
        self.errors.lock().clear();
    }

    /// Adds to the time that a command's calls took.
    pub fn took(&self, id: CommandId, nanos: u64) {
        self.nanos[id.index()].add(nanos);
    }
}

impl Count for WorkerStats {
    fn command(&self, id: CommandId) {
        self.calls[id.index()].add(1);
    }

    fn rejected(&self, id: CommandId) {
        self.rejected[id.index()].add(1);
    }

    fn error(&self, id: Option<CommandId>, code: &str) {
        /// Redis stops telling codes apart at so many, so that a client cannot fill the memory with them.
        const MAX_CODES: usize = 128;
        if let Some(id) = id {
            self.failed[id.index()].add(1);
        }
        let mut errors = self.errors.lock();
        if errors.len() < MAX_CODES || errors.contains_key(code) {
            *errors.entry(code.to_owned()).or_default() += 1;
        }
    }

    fn lookups(&self, hits: u64, misses: u64) {
        self.hits.add(hits);
        self.misses.add(misses);
    }
}

/// All counters of the server.
#[derive(Debug)]
pub struct Stats {
    workers: Box<[Arc<WorkerStats>]>,
    /// Connections accepted and served.
    pub connections: AtomicU64,
    /// Connections refused: there were too many, or they came from elsewhere and there is no password.
    pub rejected: AtomicU64,
}

/// The sums over all workers.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// Commands run.
    pub commands: u64,
    /// Keys found by reads.
    pub hits: u64,
    /// Keys not found.
    pub misses: u64,
    /// Reads from sockets.
    pub reads: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Clients closed for piling up input.
    pub query_limit_closed: u64,
    /// Bytes read.
    pub input_bytes: u64,
    /// Bytes written.
    pub output_bytes: u64,
    /// Errors replied, by their first word.
    pub errors: BTreeMap<String, u64>,
}

/// What was counted of one command.
#[derive(Debug, Clone, Copy)]
pub struct Calls {
    /// How often it was carried out.
    pub calls: u64,
    /// How often of these with an error.
    pub failed: u64,
    /// How often it was refused untried.
    pub rejected: u64,
    /// How long all calls together took, in microseconds.
    pub micros: u64,
}

impl Stats {
    /// Counters for so many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            connections: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// The counters of one worker.
    pub fn worker(&self, worker: usize) -> Arc<WorkerStats> {
        Arc::clone(&self.workers[worker])
    }

    /// Sets all counters to zero.
    pub fn reset(&self) {
        self.connections.store(0, Ordering::Relaxed);
        self.rejected.store(0, Ordering::Relaxed);
        self.workers.iter().for_each(|worker| worker.reset());
    }

    /// The sums.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for worker in &self.workers {
            totals.commands += worker.calls.iter().map(Counter::get).sum::<u64>();
            totals.hits += worker.hits.get();
            totals.misses += worker.misses.get();
            totals.reads += worker.reads.get();
            totals.writes += worker.writes.get();
            totals.query_limit_closed += worker.query_limit_closed.get();
            totals.input_bytes += worker.input_bytes.get();
            totals.output_bytes += worker.output_bytes.get();
            for (code, count) in &*worker.errors.lock() {
                *totals.errors.entry(code.clone()).or_default() += count;
            }
        }
        totals
    }

    /// What was counted of a command.
    pub fn calls(&self, id: CommandId) -> Calls {
        let sum = |of: fn(&WorkerStats) -> &[Counter; COMMAND_IDS]| {
            self.workers.iter().map(|w| of(w)[id.index()].get()).sum::<u64>()
        };
        Calls {
            calls: sum(|w| &w.calls),
            failed: sum(|w| &w.failed),
            rejected: sum(|w| &w.rejected),
            micros: sum(|w| &w.nanos) / 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_never_seen_below_zero_while_others_reset_it() {
        const MOST: u64 = 1 << 20;
        let counter = Counter::default();
        let is_over = || counter.total.load(Ordering::Relaxed) == MOST;
        std::thread::scope(|scope| {
            scope.spawn(|| (0..MOST).for_each(|_| counter.add(1)));
            scope.spawn(|| {
                while !is_over() {
                    counter.reset();
                }
            });
            while !is_over() {
                let seen = counter.get();
                assert!(seen <= MOST, "{seen}");
            }
        });
        counter.reset();
        assert_eq!(counter.get(), 0);
    }
}
