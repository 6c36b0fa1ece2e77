//! Replays a log on several threads: one reads, verifies and decodes, all apply.
//!
//! Records are gathered by shard, and a shard gets many at once, under its lock: its table, and the pages that its
//! entries go to, are then in the cache, where records in the log's order would each meet another shard and wait for
//! memory. Chunks of a shard are applied in order, one at a time; a FLUSHALL waits until everything before it is
//! applied. So what comes out is what one thread would have made.
//!
//! Half of the work would be to hash keys again as tables grow. So a table gets room ahead, for as many keys as it will
//! have if the rest of the log is like what was read of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::Scope;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::parse::When;
use super::record::Record;
use crate::db::state::{Garbage, KeyHash, Keyspace, NewValue, SHARDS, Shard};
use crate::db::writer::own_if_large;
use crate::machine;
use crate::persistence::batch::Batch;
use crate::persistence::replay::RefusedRecord;

/// How many bytes of records a shard gathers before they are applied. The more, the better the cache is used; but no
/// more than a part of what was loaded, since it is memory that is not needed later.
const CHUNK_BYTES_MIN: usize = 8 << 10;
const CHUNK_BYTES_MAX: usize = 64 << 10;
const GATHERED_PART: usize = 16;

/// Chunks that may wait to be applied; with more, the thread that reads applies some too. So memory stays bounded, and
/// no thread is idle while another is not.
const CHUNKS_WAITING: usize = 8;

/// More threads than these would wait for the one that reads.
const APPLIERS_MAX: usize = 6;

/// Tables get room ahead for at most so many times the keys that they have: a forecast that was wrong costs no more.
const GROWTH_MAX: f64 = 4.0;

/// And only while so many of a log's operations, in percent, have made a key.
const NEW_KEYS_PERCENT: usize = 90;

/// How many records ahead a bucket is prefetched, and an entry.
const BUCKET_AHEAD: usize = 24;
const ENTRY_AHEAD: usize = 12;

/// What a record does to one key; its bytes follow those of the one before in the chunk.
#[derive(Debug, Clone, Copy)]
struct Op {
    hash: KeyHash,
    key_len: u32,
    value_len: u32,
    effect: Effect,
}

#[derive(Debug, Clone, Copy)]
enum Effect {
    Set(When),
    /// To the next of the large values.
    SetLarge(When),
    Delete,
}

/// Operations on the keys of one shard, in order.
#[derive(Debug, Default)]
struct Chunk {
    ops: Vec<Op>,
    bytes: Vec<u8>,
    large: VecDeque<Bytes>,
    /// Of all of this together.
    weight_bytes: usize,
    /// With so much it is full.
    full_bytes: usize,
    /// How many operations on the shard came before these.
    ops_before: usize,
    /// How many times as many there will be when all is read, if the rest of the log is like what was read.
    growth: f64,
}

/// Gathers a log's records and has them applied.
pub struct Loader<'env> {
    keyspace: &'env Keyspace,
    queue: Arc<Queue>,
    /// What is gathered for each shard.
    gathered: Vec<Chunk>,
    /// The weight of all chunks so far.
    passed_bytes: usize,
    /// How long the log is, and how much of it was taken.
    log_bytes: u64,
    taken_bytes: u64,
}

impl<'env> Loader<'env> {
    /// Runs `work` with a loader, and returns when all that it took is applied. `log_bytes` is about what it will take,
    /// as it stands in the file: by it the keys to come are estimated.
    pub fn run<R>(keyspace: &'env Keyspace, log_bytes: u64, work: impl FnOnce(&mut Self) -> R) -> R {
        std::thread::scope(|scope| {
            let mut loader = Self::start(scope, keyspace, log_bytes);
            let result = work(&mut loader);
            loader.finish();
            result
        })
    }

    /// Starts the threads: one for each core but that of the reader, who helps them, and at most [`APPLIERS_MAX`].
    /// Fewer if the system gives no more: the reader can do it alone.
    fn start<'scope>(scope: &'scope Scope<'scope, 'env>, keyspace: &'env Keyspace, log_bytes: u64) -> Self {
        let queue = Arc::new(Queue::default());
        for _ in 0..machine::cores().saturating_sub(1).clamp(1, APPLIERS_MAX) {
            let queue = Arc::clone(&queue);
            if std::thread::Builder::new().spawn_scoped(scope, move || queue.serve(keyspace)).is_err() {
                break;
            }
        }
        // Full one after the other, not all at once, from the first on.
        let first = |shard| Chunk { full_bytes: CHUNK_BYTES_MIN * (shard + 1) / SHARDS, ..Chunk::default() };
        let gathered = (0..SHARDS).map(first).collect();
        Self { keyspace, queue, gathered, passed_bytes: 0, log_bytes, taken_bytes: 0 }
    }

    /// Takes a batch's records, in order.
    ///
    /// # Errors
    /// The first record that kvred does not offer.
    pub fn take(&mut self, batch: &Batch<'_>) -> Result<(), RefusedRecord> {
        let taken_before = self.taken_bytes;
        for (index, (at, args)) in batch.records().enumerate() {
            self.taken_bytes = taken_before + (at - batch.start);
            match Record::parse(args).map_err(|reason| RefusedRecord { index, reason })? {
                Record::Set { key, value, when } => self.push(key, value, Effect::Set(when)),
                Record::SetMany(args) => {
                    args.pairs(1).for_each(|(key, value)| self.push(key, value, Effect::Set(When::Always)));
                }
                Record::Delete(args) => args.from(1).for_each(|key| self.push(key, &[], Effect::Delete)),
                Record::DeleteAll => {
                    self.apply_all();
                    self.keyspace.clear(&mut Garbage::default());
                }
                Record::Nothing => {}
            }
        }
        self.taken_bytes = taken_before + (batch.end - batch.start);
        Ok(())
    }

    #[inline]
    fn push(&mut self, key: &[u8], value: &[u8], effect: Effect) {
        let hash = self.keyspace.hash(key);
        let shard = self.keyspace.shard_of(hash);
        let chunk = &mut self.gathered[shard];
        chunk.push(hash, key, value, effect);
        if chunk.weight_bytes >= chunk.full_bytes {
            self.hand_over(shard);
        }
    }

    fn hand_over(&mut self, shard: usize) {
        let mut full = std::mem::take(&mut self.gathered[shard]);
        self.passed_bytes += full.weight_bytes;
        full.growth = (self.log_bytes as f64 / self.taken_bytes as f64).clamp(1.0, GROWTH_MAX);
        let ops_before = full.ops_before + full.ops.len();
        let next = &mut self.gathered[shard];
        *next = self.queue.push(shard, full, self.keyspace);
        next.ops_before = ops_before;
        next.full_bytes = (self.passed_bytes / SHARDS / GATHERED_PART).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
    }

    /// Waits until everything is applied, and takes back what room was made in vain.
    fn finish(mut self) {
        self.apply_all();
        (0..SHARDS).for_each(|shard| self.keyspace.lock(shard).trim());
    }

    fn apply_all(&mut self) {
        for shard in 0..SHARDS {
            if !self.gathered[shard].ops.is_empty() {
                self.hand_over(shard);
            }
        }
        self.queue.finish(self.keyspace);
    }
}

impl Drop for Loader<'_> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Chunks on their way to whoever applies them next.
#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    /// A chunk came, or there will be no more.
    to_do: Condvar,
    /// A chunk was applied.
    done: Condvar,
}

struct Waiting {
    chunks: VecDeque<(usize, Chunk)>,
    /// The shards that somebody is at work on.
    busy: [bool; SHARDS],
    closed: bool,
    /// Applied chunks, to be filled again.
    empty: Vec<Chunk>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), busy: [false; SHARDS], closed: false, empty: Vec::new() }
    }
}

impl Waiting {
    /// The oldest chunk whose shard is idle.
    fn take(&mut self) -> Option<(usize, Chunk)> {
        let at = self.chunks.iter().position(|(shard, _)| !self.busy[*shard])?;
        let (shard, chunk) = self.chunks.remove(at)?;
        self.busy[shard] = true;
        Some((shard, chunk))
    }

    fn all_done(&self) -> bool {
        self.chunks.is_empty() && !self.busy.contains(&true)
    }
}

impl Queue {
    /// Applies chunks until the queue is closed.
    fn serve(&self, keyspace: &Keyspace) {
        let mut waiting = self.state.lock();
        loop {
            if let Some(chunk) = waiting.take() {
                self.apply(&mut waiting, chunk, keyspace);
            } else if waiting.closed {
                return;
            } else {
                self.to_do.wait(&mut waiting);
            }
        }
    }

    /// Adds a chunk, and gives an empty one for it.
    fn push(&self, shard: usize, chunk: Chunk, keyspace: &Keyspace) -> Chunk {
        let mut waiting = self.state.lock();
        waiting.chunks.push_back((shard, chunk));
        self.to_do.notify_one();
        self.help(&mut waiting, keyspace, |waiting| waiting.chunks.len() <= CHUNKS_WAITING);
        waiting.empty.pop().unwrap_or_default()
    }

    fn finish(&self, keyspace: &Keyspace) {
        self.help(&mut self.state.lock(), keyspace, Waiting::all_done);
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.to_do.notify_all();
    }

    /// Applies chunks, or waits for those who do.
    fn help(&self, waiting: &mut MutexGuard<'_, Waiting>, keyspace: &Keyspace, enough: impl Fn(&Waiting) -> bool) {
        while !enough(waiting) {
            match waiting.take() {
                Some(chunk) => self.apply(waiting, chunk, keyspace),
                None => self.done.wait(waiting),
            }
        }
    }

    fn apply(&self, waiting: &mut MutexGuard<'_, Waiting>, (shard, mut chunk): (usize, Chunk), keyspace: &Keyspace) {
        MutexGuard::unlocked(waiting, || chunk.apply(&mut keyspace.lock(shard)));
        waiting.busy[shard] = false;
        waiting.empty.push(chunk);
        self.done.notify_one();
        if !waiting.chunks.is_empty() {
            self.to_do.notify_one();
        }
    }
}

impl Chunk {
    #[inline]
    fn push(&mut self, hash: KeyHash, key: &[u8], value: &[u8], effect: Effect) {
        self.bytes.extend_from_slice(key);
        let effect = match (effect, own_if_large(NewValue::Copy(value))) {
            // Copied once, into the allocation in which it stays.
            (Effect::Set(when), NewValue::Shared(value)) => {
                self.large.push_back(value);
                Effect::SetLarge(when)
            }
            (effect, _) => {
                self.bytes.extend_from_slice(value);
                effect
            }
        };
        self.ops.push(Op { hash, key_len: key.len() as u32, value_len: value.len() as u32, effect });
        self.weight_bytes += key.len() + value.len() + size_of::<Op>();
    }

    /// Applies what is in it, and empties it.
    fn apply(&mut self, shard: &mut Shard) {
        if shard.len() * 100 >= self.ops_before * NEW_KEYS_PERCENT {
            let keys = (self.ops_before + self.ops.len()) as f64 * self.growth;
            shard.reserve(keys as usize);
        }
        // Dropped under the lock, for which nobody else waits yet.
        let mut garbage = Garbage::default();
        let mut bytes = &self.bytes[..];
        self.ops.iter().take(BUCKET_AHEAD).for_each(|op| shard.prefetch_bucket(op.hash));
        for op in self.ops.iter().take(ENTRY_AHEAD) {
            shard.prefetch_entry(op.hash);
        }
        for (i, op) in self.ops.iter().enumerate() {
            if let Some(later) = self.ops.get(i + BUCKET_AHEAD) {
                shard.prefetch_bucket(later.hash);
            }
            if let Some(later) = self.ops.get(i + ENTRY_AHEAD) {
                shard.prefetch_entry(later.hash);
            }
            let key = bytes.split_off(..op.key_len as usize).expect("its key follows");
            match op.effect {
                Effect::Set(when) => {
                    let value = bytes.split_off(..op.value_len as usize).expect("its value follows");
                    set(shard, op.hash, key, NewValue::Copy(value), when, &mut garbage);
                }
                Effect::SetLarge(when) => {
                    let value = self.large.pop_front().expect("each has its value");
                    set(shard, op.hash, key, NewValue::Shared(value), when, &mut garbage);
                }
                Effect::Delete => _ = shard.remove(op.hash, key, &mut garbage),
            }
        }
        self.bytes.clear();
        self.ops.clear();
        self.weight_bytes = 0;
    }
}

fn set(shard: &mut Shard, hash: KeyHash, key: &[u8], value: NewValue<'_>, when: When, garbage: &mut Garbage) {
    if when.allows(|| shard.get(hash, key).is_some()) {
        shard.set(hash, key, value, garbage);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::persistence::disk::{Disk, DiskRead};
    use crate::persistence::real_disk::RealDisk;
    use crate::persistence::replay::replay;
    use crate::protocol::encode;

    fn loaded(log: &[u8]) -> Keyspace {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log"), log).unwrap();
        let file: Arc<dyn DiskRead> = RealDisk::new(dir.path()).unwrap().open(Path::new("log"), false).unwrap();
        let keyspace = Keyspace::new([1, 2, 3, 4]);
        Loader::run(&keyspace, log.len() as u64, |loader| replay(&file, |_| {}, |batch| loader.take(batch))).unwrap();
        keyspace
    }

    #[test]
    fn a_forecast_of_keys_that_never_come_leaves_no_memory_behind() {
        const KEYS: u32 = 20_000;
        let mut log = Vec::new();
        let mut set = |key: u32| {
            encode::array(&mut log, 3);
            for part in [&b"SET"[..], &key.to_be_bytes(), b"value"] {
                encode::bulk(&mut log, part);
            }
        };
        (0..KEYS).for_each(&mut set);
        let one_by_one = Keyspace::new([1, 2, 3, 4]);
        for key in (0..KEYS).map(u32::to_be_bytes) {
            one_by_one.set(one_by_one.hash(&key), &key, NewValue::Copy(b"value"));
        }
        // It looks like a log of new keys for a long time.
        (0..5).for_each(|_| (0..KEYS).for_each(&mut set));
        let keyspace = loaded(&log);
        assert_eq!(keyspace.len(), KEYS as usize);
        let (took, would_take) = (keyspace.memory().table_bytes, one_by_one.memory().table_bytes);
        assert!(took <= would_take, "{took} bytes, not {would_take}");
    }
}
