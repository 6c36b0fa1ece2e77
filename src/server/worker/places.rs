//! How many connections a worker has, and whether it takes more at the moment.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The top bit of the word: set while no place can be taken.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// A worker's connections, those on the way to it included. Closed while it waits for the disk, on behalf of all of them:
/// one that came now would wait for a commit that is not its own.
#[derive(Debug, Default)]
pub struct Places(AtomicUsize);

impl Places {
    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed) & !CLOSED
    }

    /// Whether none can be taken now.
    pub fn are_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Takes one, unless they are closed.
    pub fn take(&self) -> bool {
        let taken = |places| (places & CLOSED == 0).then_some(places + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Gives one back.
    pub fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Closes them, if exactly so many are taken.
    pub fn close_at(&self, taken: usize) -> bool {
        self.0.compare_exchange(taken, taken | CLOSED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Opens them again.
    pub fn open(&self) {
        self.0.fetch_and(!CLOSED, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_taken_while_they_are_closed() {
        let places = Places::default();
        assert!(places.take() && places.take());
        assert!(!places.close_at(1), "another one is on the way");
        assert!(places.take() && places.close_at(3));
        assert!(places.are_closed() && !places.take() && places.taken() == 3);
        assert!(!places.close_at(3), "by one at a time");
        places.give_back();
        places.open();
        assert!(!places.are_closed() && places.taken() == 2 && places.take());
    }
}
