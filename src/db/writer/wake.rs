//! Who is to be woken, and how the log's threads are.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// A set of workers, by number.
#[derive(Debug, Default, Clone, Copy)]
pub struct WorkerSet([u64; 4]);

impl WorkerSet {
    /// How many workers there can be.
    pub const MAX: usize = 256;

    pub(super) fn insert(&mut self, worker: usize) {
        self.0[worker / 64] |= 1 << (worker % 64);
    }

    pub(super) fn insert_all(&mut self, others: Self) {
        for (word, other) in self.0.iter_mut().zip(others.0) {
            *word |= other;
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        (0..4).flat_map(move |word| {
            (0..64).filter(move |bit| self.0[word] >> bit & 1 == 1).map(move |bit| word * 64 + bit)
        })
    }
}

/// A flag that one thread waits for.
#[derive(Debug, Default)]
pub(super) struct Signal {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(super) fn raise(&self) {
        let mut raised = self.raised.lock();
        if !*raised {
            *raised = true;
            self.changed.notify_one();
        }
    }

    /// Waits until it is raised, and lowers it.
    pub(super) fn wait(&self) {
        let mut raised = self.raised.lock();
        while !*raised {
            self.changed.wait(&mut raised);
        }
        *raised = false;
    }

    /// Waits until it is raised, for at most `timeout`, and lowers it.
    pub(super) fn wait_for(&self, timeout: Duration) {
        let mut raised = self.raised.lock();
        if !*raised {
            self.changed.wait_for(&mut raised, timeout);
        }
        *raised = false;
    }
}
