//! Several keys as one step: their shards are locked together, in ascending order.

use super::state::{KeyHash, Keyspace, Shard, ShardGuard};

/// The locked shards of some keys.
pub struct Shards<'a>(Vec<(usize, ShardGuard<'a>)>);

impl Shards<'_> {
    /// The shard of one of the keys.
    ///
    /// # Panics
    /// If the key was not among those that were locked.
    pub fn shard(&mut self, number: usize) -> &mut Shard {
        let at = self.0.binary_search_by_key(&number, |(number, _)| *number);
        &mut self.0[at.expect("the shard of each key is locked")].1
    }

    /// The shard of one of the keys, to read only.
    fn shared(&self, number: usize) -> &Shard {
        let at = self.0.binary_search_by_key(&number, |(number, _)| *number);
        &self.0[at.expect("the shard of each key is locked")].1
    }
}

impl Keyspace {
    /// Locks the shards of all keys.
    pub fn lock_all(&self, hashes: impl Iterator<Item = KeyHash>) -> Shards<'_> {
        let mut numbers: Vec<usize> = hashes.map(|hash| self.shard_of(hash)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Shards(numbers.into_iter().map(|number| (number, self.lock(number))).collect())
    }

    /// Counts the keys that exist, as of one moment; one that is named twice counts twice.
    pub fn count_existing<'k>(&self, keys: impl ExactSizeIterator<Item = &'k [u8]> + Clone) -> usize {
        if keys.len() == 1 {
            return keys.filter(|key| self.contains(self.hash(key), key)).count();
        }
        let shards = self.lock_all(keys.clone().map(|key| self.hash(key)));
        keys.filter(|key| {
            let hash = self.hash(key);
            shards.shared(self.shard_of(hash)).get(hash, key).is_some()
        })
        .count()
    }
}
