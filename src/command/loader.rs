//! Replays a log on several threads: one reads, verifies and decodes, the others apply, each to its share of the shards.
//!
//! All records of a key go to the same thread, in order; a FLUSHALL waits until everything before it is applied. So
//! what comes out is what one thread would have made.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use super::parse::When;
use super::replay::Record;
use crate::db::ahead::Ahead;
use crate::db::state::{KeyHash, Keyspace, NewValue};
use crate::persistence::reader::Batch;
use crate::persistence::replay::RefusedRecord;

/// Records are handed over in chunks of about this size: they stay in the cache on their way.
const CHUNK_BYTES: usize = 128 << 10;

/// Chunks that may wait for a thread; the reader then waits too, so memory stays bounded.
const CHUNKS_WAITING: usize = 4;

/// More threads than these would wait for the one that reads.
const MAX_APPLIERS: usize = 6;

/// With one thread beside it, the one that reads would wait for it a third of the time: it applies every so many-th shard
/// itself.
const OWN_SHARD_OF: usize = 5;

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
    Delete,
}

/// Operations on their way to a thread.
#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    ops: Vec<Op>,
}

/// A thread that applies, as the reader sees it.
struct Applier<'scope> {
    filling: Chunk,
    chunks: SyncSender<Chunk>,
    /// Applied chunks come back, to be filled again.
    empty: Receiver<Chunk>,
    thread: ScopedJoinHandle<'scope, ()>,
}

/// Hands a log's records to the threads that apply them.
pub struct Loader<'scope, 'env> {
    keyspace: &'env Keyspace,
    scope: &'scope Scope<'scope, 'env>,
    appliers: Vec<Applier<'scope>>,
    /// The reader's own share, where it has one.
    own: Option<Chunk>,
}

impl<'scope, 'env> Loader<'scope, 'env> {
    /// Starts the threads: one for each core but that of the reader. With two cores, the reader takes a share too.
    pub fn start(scope: &'scope Scope<'scope, 'env>, keyspace: &'env Keyspace) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let own = (cores == 2).then(Chunk::default);
        let mut loader = Self { keyspace, scope, appliers: Vec::new(), own };
        loader.start_appliers(cores.saturating_sub(1).clamp(1, MAX_APPLIERS));
        loader
    }

    fn start_appliers(&mut self, count: usize) {
        self.appliers.extend((0..count).map(|_| {
            let (chunks, to_apply) = sync_channel::<Chunk>(CHUNKS_WAITING);
            let (give_back, empty) = channel();
            let keyspace = self.keyspace;
            let thread = self.scope.spawn(move || {
                for mut chunk in to_apply {
                    chunk.apply(keyspace);
                    // At the end nobody takes them any more.
                    drop(give_back.send(chunk));
                }
            });
            Applier { filling: Chunk::default(), chunks, empty, thread }
        }));
    }

    /// Takes a batch's records, in order.
    ///
    /// # Errors
    /// The first record that kvred does not offer.
    pub fn take(&mut self, batch: &Batch<'_>) -> Result<(), RefusedRecord> {
        for (index, (_, args)) in batch.records().enumerate() {
            match Record::parse(args).map_err(|reason| RefusedRecord { index, reason })? {
                Record::Set { key, value, when } => self.push(key, value, Effect::Set(when)),
                Record::SetMany(args) => {
                    let mut pairs = args.from(1);
                    while let (Some(key), Some(value)) = (pairs.next(), pairs.next()) {
                        self.push(key, value, Effect::Set(When::Always));
                    }
                }
                Record::Delete(args) => args.from(1).for_each(|key| self.push(key, &[], Effect::Delete)),
                Record::DeleteAll => {
                    let count = self.appliers.len();
                    self.wait_for_all();
                    drop(self.keyspace.clear());
                    self.start_appliers(count);
                }
                Record::Nothing => {}
            }
        }
        Ok(())
    }

    #[inline]
    fn push(&mut self, key: &[u8], value: &[u8], effect: Effect) {
        let hash = self.keyspace.hash(key);
        let shard = self.keyspace.shard_of(hash);
        if let Some(own) = self.own.as_mut().filter(|_| shard.is_multiple_of(OWN_SHARD_OF)) {
            own.push(hash, key, value, effect);
            if own.bytes.len() >= CHUNK_BYTES {
                own.apply(self.keyspace);
            }
            return;
        }
        let at = shard % self.appliers.len();
        let applier = &mut self.appliers[at];
        applier.filling.push(hash, key, value, effect);
        if applier.filling.bytes.len() >= CHUNK_BYTES {
            applier.hand_over();
        }
    }

    /// Waits until everything is applied.
    pub fn finish(mut self) {
        self.wait_for_all();
    }

    fn wait_for_all(&mut self) {
        if let Some(own) = &mut self.own {
            own.apply(self.keyspace);
        }
        for mut applier in self.appliers.drain(..) {
            applier.hand_over();
            drop(applier.chunks);
            applier.thread.join().expect("applying a record does not panic");
        }
    }
}

impl Applier<'_> {
    fn hand_over(&mut self) {
        let next = self.empty.try_recv().unwrap_or_default();
        let full = std::mem::replace(&mut self.filling, next);
        self.chunks.send(full).expect("the thread takes chunks until there are no more");
    }
}

impl Chunk {
    #[inline]
    fn push(&mut self, hash: KeyHash, key: &[u8], value: &[u8], effect: Effect) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.ops.push(Op { hash, key_len: key.len() as u32, value_len: value.len() as u32, effect });
    }

    /// Applies what is in it, and empties it.
    fn apply(&mut self, keyspace: &Keyspace) {
        let mut at = 0;
        let mut ahead = Ahead::new(keyspace);
        for (i, op) in self.ops.iter().enumerate() {
            ahead.before(i, |n| self.ops.get(n).map(|op| op.hash));
            let key = &self.bytes[at..at + op.key_len as usize];
            at += key.len();
            let value = &self.bytes[at..at + op.value_len as usize];
            at += value.len();
            op.apply(key, value, keyspace);
        }
        self.bytes.clear();
        self.ops.clear();
    }
}

impl Op {
    fn apply(self, key: &[u8], value: &[u8], keyspace: &Keyspace) {
        let mut shard = keyspace.lock(keyspace.shard_of(self.hash));
        let garbage = match self.effect {
            Effect::Set(when) => {
                let may_set = match when {
                    When::Always => true,
                    When::Missing => shard.get(self.hash, key).is_none(),
                    When::Exists => shard.get(self.hash, key).is_some(),
                };
                may_set.then(|| shard.set(self.hash, key, NewValue::Copy(value)).garbage)
            }
            Effect::Delete => shard.remove(self.hash, key),
        };
        drop(shard);
        drop(garbage);
    }
}
