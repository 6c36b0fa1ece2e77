//! What is counted. Each worker has counters of its own, which it alone changes; `INFO` adds them up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::command::batch::Count;
use crate::command::table::{COMMAND_IDS, CommandId};

/// A number that one thread changes and others read: no locked instruction is needed.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it; only its own thread may.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    fn set_zero(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// What it has come to.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
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
    hits: Counter,
    misses: Counter,
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
            hits: Counter::default(),
            misses: Counter::default(),
            input_bytes: Counter::default(),
            output_bytes: Counter::default(),
            errors: Mutex::default(),
        }
    }
}

impl WorkerStats {
    /// Sets all of them to zero; only the worker itself may.
    pub fn reset(&self) {
        for counter in self.calls.iter().chain(&self.failed) {
            counter.set_zero();
        }
        for counter in [&self.hits, &self.misses, &self.input_bytes, &self.output_bytes] {
            counter.set_zero();
        }
        self.errors.lock().clear();
    }
}

impl Count for WorkerStats {
    fn command(&self, id: CommandId) {
        self.calls[id as usize].add(1);
    }

    fn error(&self, id: Option<CommandId>, code: &str) {
        /// Redis stops telling codes apart at so many, so that a client cannot fill the memory with them.
        const MAX_CODES: usize = 128;
        if let Some(id) = id {
            self.failed[id as usize].add(1);
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
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections refused, because there were too many.
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
    /// Bytes read.
    pub input_bytes: u64,
    /// Bytes written.
    pub output_bytes: u64,
    /// Errors replied, by their first word.
    pub errors: BTreeMap<String, u64>,
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

    /// The sums.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for worker in &self.workers {
            totals.commands += worker.calls.iter().map(Counter::get).sum::<u64>();
            totals.hits += worker.hits.get();
            totals.misses += worker.misses.get();
            totals.input_bytes += worker.input_bytes.get();
            totals.output_bytes += worker.output_bytes.get();
            for (code, count) in &*worker.errors.lock() {
                *totals.errors.entry(code.clone()).or_default() += count;
            }
        }
        totals
    }

    /// Calls of a command, and how many of them failed.
    pub fn calls(&self, id: CommandId) -> (u64, u64) {
        let sum = |of: fn(&WorkerStats) -> &[Counter; COMMAND_IDS]| {
            self.workers.iter().map(|w| of(w)[id as usize].get()).sum()
        };
        (sum(|w| &w.calls), sum(|w| &w.failed))
    }
}
