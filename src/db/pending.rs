//! The writer's view: what groups that are not published yet do to keys.
//!
//! Most writes never ask (a plain SET needs to know nothing), so the index is made only as far as somebody looks: the
//! newest operations are searched one by one, older ones are indexed when they are too many for that.
//!
//! Invariant: for each key the index holds its newest indexed operation, and operations are indexed in their order.

use std::sync::Arc;

use hashbrown::HashTable;

use super::group::{Effect, Group, Op};
use super::state::{KeyHash, ValueRef};

/// Up to so many operations are compared one by one; hashing them into the index costs more.
const SEARCHED_OPS: usize = 24;

/// Which of the two groups that can be pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Sealed,
    Open,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: KeyHash,
    group: Which,
    op: u32,
}

/// What is known about unpublished operations.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The group that is being committed.
    sealed: Option<Arc<Group>>,
    index: HashTable<Entry>,
    /// How many operations of each group are in the index, or are void because of a later FLUSHALL.
    sealed_indexed: usize,
    open_indexed: usize,
    /// The group of the newest FLUSHALL: what is not found behind it does not exist.
    flushed_in: Option<Which>,
}

/// What pending operations say about a key.
pub(super) enum Lookup<'a> {
    /// It has this value.
    Value(ValueRef<'a>),
    /// It does not exist.
    Deleted,
    /// Nothing: the published state holds.
    Unknown,
}

impl Pending {
    /// The group under way to the log, if there is one.
    pub(super) fn sealed(&self) -> Option<&Arc<Group>> {
        self.sealed.as_ref()
    }

    /// What the key is as far as pending operations tell.
    pub(super) fn lookup<'a>(&'a mut self, open: &'a Group, hash: KeyHash, key: &[u8]) -> Lookup<'a> {
        if self.sealed.is_none() && open.ops.is_empty() {
            return Lookup::Unknown;
        }
        self.index(open);
        let newest = open.ops[self.open_indexed..].iter().rfind(|op| op.hash == hash && open.key(op) == key);
        if let Some(op) = newest {
            return known(open, op);
        }
        let sealed = self.sealed.as_deref();
        let group_of = |which| match which {
            Which::Open => open,
            Which::Sealed => sealed.expect("an entry goes when its group does"),
        };
        let found = self.index.find(hash.get(), |e| {
            let group = group_of(e.group);
            e.hash == hash && group.key(&group.ops[e.op as usize]) == key
        });
        match found {
            Some(entry) => {
                let group = group_of(entry.group);
                known(group, &group.ops[entry.op as usize])
            }
            None if self.flushed_in.is_some() => Lookup::Deleted,
            None => Lookup::Unknown,
        }
    }

    /// Brings the index so far that few enough operations are left to search.
    fn index(&mut self, open: &Group) {
        if let Some(sealed) = self.sealed.take() {
            for op in self.sealed_indexed..sealed.ops.len() {
                self.insert(Which::Sealed, op, &sealed, open, &sealed);
            }
            self.sealed_indexed = sealed.ops.len();
            self.sealed = Some(sealed);
        }
        if open.ops.len() - self.open_indexed > SEARCHED_OPS {
            let sealed = self.sealed.take();
            let older = sealed.as_deref().unwrap_or(open);
            for op in self.open_indexed..open.ops.len() {
                self.insert(Which::Open, op, open, open, older);
            }
            self.open_indexed = open.ops.len();
            self.sealed = sealed;
        }
    }

    fn insert(&mut self, which: Which, at: usize, group: &Group, open: &Group, sealed: &Group) {
        let op = &group.ops[at];
        debug_assert!(!matches!(op.effect, Effect::DeleteAll), "FLUSHALL empties the index instead");
        let (hash, key) = (op.hash, group.key(op));
        let entry = Entry { hash, group: which, op: at as u32 };
        let same_key = |e: &Entry| {
            let group = if e.group == Which::Open { open } else { sealed };
            e.hash == hash && group.key(&group.ops[e.op as usize]) == key
        };
        match self.index.entry(hash.get(), same_key, |e| e.hash.get()) {
            hashbrown::hash_table::Entry::Occupied(mut slot) => *slot.get_mut() = entry,
            hashbrown::hash_table::Entry::Vacant(slot) => {
                slot.insert(entry);
            }
        }
    }

    /// Notes that FLUSHALL was just appended to the open group: nothing before it matters.
    pub(super) fn flushed(&mut self, open: &Group) {
        self.index.clear();
        self.sealed_indexed = self.sealed.as_ref().map_or(0, |g| g.ops.len());
        self.open_indexed = open.ops.len();
        self.flushed_in = Some(Which::Open);
    }

    /// Notes that the open group is now under way to the log, and that an empty one took its place.
    pub(super) fn seal(&mut self, group: Arc<Group>) {
        debug_assert!(self.sealed.is_none(), "one group is under way at a time");
        for entry in &mut self.index {
            entry.group = Which::Sealed;
        }
        self.flushed_in = self.flushed_in.map(|_| Which::Sealed);
        self.sealed = Some(group);
        self.sealed_indexed = self.open_indexed;
        self.open_indexed = 0;
    }

    /// Notes that the group under way is published.
    pub(super) fn retire(&mut self) {
        if self.open_indexed == 0 {
            self.index.clear();
        } else {
            self.index.retain(|e| e.group == Which::Open);
        }
        if self.flushed_in == Some(Which::Sealed) {
            self.flushed_in = None;
        }
        self.sealed = None;
        self.sealed_indexed = 0;
        /// An index this large is left from a burst; clearing it each time would cost what it once held.
        const KEEP_ENTRIES: usize = 1 << 14;
        if self.index.is_empty() && self.index.capacity() > KEEP_ENTRIES {
            self.index = HashTable::new();
        }
    }

    /// Forgets everything pending: it failed.
    pub(super) fn drop_all(&mut self) {
        *self = Self::default();
    }
}

fn known<'a>(group: &'a Group, op: &'a Op) -> Lookup<'a> {
    group.value(op).map_or(Lookup::Deleted, Lookup::Value)
}
