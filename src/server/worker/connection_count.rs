//! How many connections a worker has, and whether it takes more at the moment.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The top bit of the word: set while no connection can be added.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// A worker's connections, those on the way to it included. Closed while it waits for the disk, on behalf of all of
/// them: one that came now would wait for a commit that is not its own.
#[derive(Debug, Default)]
pub struct ConnectionCount(AtomicUsize);

impl ConnectionCount {
    /// How many there are.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed) & !CLOSED
    }

    /// Whether none can be added now.
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Adds one, unless it is closed.
    pub fn add(&self) -> bool {
        let added = |count| (count & CLOSED == 0).then_some(count + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok()
    }

    /// Subtracts one.
    pub fn subtract(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Closes it, if there are exactly so many.
    pub fn close_at(&self, count: usize) -> bool {
        self.0.compare_exchange(count, count | CLOSED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Opens it again.
    pub fn open(&self) {
        self.0.fetch_and(!CLOSED, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_added_while_it_is_closed() {
        let count = ConnectionCount::default();
        assert!(count.add() && count.add());
        assert!(!count.close_at(1), "another one is on the way");
        assert!(count.add() && count.close_at(3));
        assert!(count.is_closed() && !count.add() && count.get() == 3);
        assert!(!count.close_at(3), "by one at a time");
        count.subtract();
        count.open();
        assert!(!count.is_closed() && count.get() == 2 && count.add());
    }
}
