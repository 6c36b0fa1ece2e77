//! The evaluation of a batch with a write, in the writer's view: what is published and what is pending.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::group::Outcome;
use super::pending::Lookup;
use super::{Open, WriteFailure, Writer};
use crate::db::state::{KeyHash, NewValue, ValueRef};

/// Why a batch with a write cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotNow {
    /// Too much is on its way to the log: the worker is woken when there is room.
    NoRoom,
    /// Writes are refused.
    Failed(WriteFailure),
}

/// A batch under evaluation, in the writer's view: what is published and what is pending.
pub struct WriteBatch<'w> {
    writer: &'w Writer,
    open: MutexGuard<'w, Open>,
    worker: usize,
    /// There was room for the first command, and it was copied since.
    first_is_copied: bool,
}

impl Writer {
    /// Begins a batch with a write. It holds the short lock until it is finished or dropped. `copied_bytes`: the length
    /// of a command that was copied while there was room. It is taken even if other workers have filled the group
    /// since. 0: nothing was copied.
    ///
    /// # Errors
    /// [`NotNow`]: no room, or no writes at all.
    pub fn begin(&self, worker: usize, copied_bytes: usize) -> Result<WriteBatch<'_>, NotNow> {
        let mut open = self.open.lock();
        if let Some(reason) = &open.poisoned {
            return Err(NotNow::Failed(WriteFailure::Refused(Arc::clone(reason))));
        }
        let first_is_copied = open.group.takes_copied(copied_bytes);
        if !first_is_copied && !open.has_room(worker) {
            return Err(NotNow::NoRoom);
        }
        Ok(WriteBatch { writer: self, open, worker, first_is_copied })
    }

    /// Whether [`begin`](Self::begin) would have room; if not, the worker is woken when there may be some.
    pub fn has_room(&self, worker: usize) -> bool {
        self.open.lock().has_room(worker)
    }
}

impl Open {
    fn has_room(&mut self, worker: usize) -> bool {
        let has_room = !self.group.is_full();
        if !has_room {
            self.waiting.insert(worker);
        }
        has_room
    }
}

impl WriteBatch<'_> {
    /// Reads a key's value, if it has one.
    pub fn get<R>(&mut self, hash: KeyHash, key: &[u8], read: impl FnOnce(ValueRef<'_>) -> R) -> Option<R> {
        let Open { group, pending, .. } = &mut *self.open;
        match pending.lookup(group, hash, key) {
            Lookup::Value(value) => Some(read(value)),
            Lookup::Deleted => None,
            Lookup::Unknown => self.writer.keyspace.get(hash, key, read),
        }
    }

    /// Whether a key exists.
    pub fn exists(&mut self, hash: KeyHash, key: &[u8]) -> bool {
        self.get(hash, key, |_| ()).is_some()
    }

    /// Whether the group takes another command, or should be committed first.
    pub fn takes_another(&mut self) -> bool {
        std::mem::take(&mut self.first_is_copied) || !self.open.group.is_full()
    }

    /// Sets a key.
    pub fn set(&mut self, hash: KeyHash, key: &[u8], value: NewValue<'_>) {
        self.open.group.set(hash, key, value);
    }

    /// Deletes those of `keys` that exist, each once: how many there were.
    pub fn delete<'k>(&mut self, keys: impl ExactSizeIterator<Item = (KeyHash, &'k [u8])>) -> usize {
        let mut seen = (keys.len() > 1).then(HashSet::new);
        let mut existing: Vec<(KeyHash, &[u8])> = Vec::new();
        for (hash, key) in keys {
            if self.exists(hash, key) && seen.as_mut().is_none_or(|seen| seen.insert(key)) {
                existing.push((hash, key));
            }
        }
        if !existing.is_empty() {
            self.open.group.delete(existing.iter().copied());
        }
        existing.len()
    }

    /// Deletes every key; logged only if there may be one.
    pub fn delete_all(&mut self) {
        let Open { group, pending, .. } = &mut *self.open;
        if group.is_empty() && pending.sealed().is_none() && self.writer.keyspace.is_empty() {
            return;
        }
        group.delete_all();
        pending.flushed(group);
    }

    /// Ends the batch. The ticket tells when the newest group that it could have seen is committed; `None`: that is
    /// so already.
    pub fn finish(mut self) -> Option<Ticket> {
        let Open { group, pending, waiting, waiting_for_sealed, .. } = &mut *self.open;
        self.writer.counters.pending_bytes.store(group.rope.len() as u64, Ordering::Relaxed);
        let (newest, waiting) =
            if group.is_empty() { (&pending.sealed()?.outcome, waiting_for_sealed) } else { (&group.outcome, waiting) };
        waiting.insert(self.worker);
        Some(Ticket(Arc::clone(newest)))
    }
}

/// A claim on the outcome of a group.
#[derive(Debug, Clone)]
pub struct Ticket(Arc<Outcome>);

impl Ticket {
    /// How the group's commit ended; `None` while it is under way.
    pub fn outcome(&self) -> Option<&Result<(), WriteFailure>> {
        self.0.0.get()
    }
}
