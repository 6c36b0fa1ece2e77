//! The writer's view: what groups that are not published yet do to keys.
//!
//! Most writes never ask (a plain SET needs to know nothing), so the index is made only as far as somebody looks: the
//! newest operations are searched one by one, older ones are indexed when they are too many for that.
//!
//! Invariant: for each key the index holds its newest indexed operation, and operations are indexed in their order.

use std::sync::Arc;

use hashbrown::HashTable;

use super::group::{Effect, Group, Op};
use crate::db::state::{KeyHash, ValueRef};

/// Up to so many operations are compared one by one; hashing them into the index costs more.
const SEARCHED_OPS: usize = 24;

/// Which of the two groups that can be pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Sealed,
    Open,
}

/// The two themselves; there is always an open one.
#[derive(Clone, Copy)]
struct Groups<'a> {
    open: &'a Group,
    sealed: Option<&'a Group>,
}

impl<'a> Groups<'a> {
    fn of(self, which: Which) -> &'a Group {
        match which {
            Which::Open => self.open,
            Which::Sealed => self.sealed.expect("an entry goes when its group does"),
        }
    }

    fn key(self, entry: &Entry) -> &'a [u8] {
        let group = self.of(entry.group);
        group.key(&group.ops[entry.op as usize])
    }
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
        let groups = Groups { open, sealed: self.sealed.as_deref() };
        let found = self.index.find(hash.get(), |e| e.hash == hash && groups.key(e) == key);
        match found {
            Some(entry) => {
                let group = groups.of(entry.group);
                known(group, &group.ops[entry.op as usize])
            }
            None if self.flushed_in.is_some() => Lookup::Deleted,
            None => Lookup::Unknown,
        }
    }

    /// Brings the index so far that few enough operations are left to search.
    fn index(&mut self, open: &Group) {
        let Self { sealed, index, sealed_indexed, open_indexed, .. } = self;
        let groups = Groups { open, sealed: sealed.as_deref() };
        if let Some(sealed) = groups.sealed {
            for op in *sealed_indexed..sealed.ops.len() {
                insert(index, groups, Which::Sealed, op);
            }
            *sealed_indexed = sealed.ops.len();
        }
        if open.ops.len() - *open_indexed > SEARCHED_OPS {
            for op in *open_indexed..open.ops.len() {
                insert(index, groups, Which::Open, op);
            }
            *open_indexed = open.ops.len();
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

    /// Notes that the group under way is published. What it returns may be large, and is to be dropped without the
    /// lock.
    #[must_use]
    pub(super) fn retire(&mut self) -> impl Sized + use<> {
        if self.open_indexed == 0 {
            self.index.clear();
        } else {
            self.index.retain(|e| e.group == Which::Open);
        }
        if self.flushed_in == Some(Which::Sealed) {
            self.flushed_in = None;
        }
        self.sealed_indexed = 0;
        /// An index this large is left from a burst; clearing it each time would cost what it once held.
        const KEEP_ENTRIES: usize = 1 << 14;
        let is_left = self.index.is_empty() && self.index.capacity() > KEEP_ENTRIES;
        (self.sealed.take(), is_left.then(|| std::mem::take(&mut self.index)))
    }
}

/// Enters an operation of a group, in place of an older one on its key.
fn insert(index: &mut HashTable<Entry>, groups: Groups<'_>, which: Which, at: usize) {
    let group = groups.of(which);
    let op = &group.ops[at];
    debug_assert!(!matches!(op.effect, Effect::DeleteAll), "FLUSHALL empties the index instead");
    let (hash, key) = (op.hash, group.key(op));
    let entry = Entry { hash, group: which, op: at as u32 };
    match index.entry(hash.get(), |e| e.hash == hash && groups.key(e) == key, |e| e.hash.get()) {
        hashbrown::hash_table::Entry::Occupied(mut slot) => *slot.get_mut() = entry,
        hashbrown::hash_table::Entry::Vacant(slot) => {
            slot.insert(entry);
        }
    }
}

fn known<'a>(group: &'a Group, op: &'a Op) -> Lookup<'a> {
    group.value(op).map_or(Lookup::Deleted, Lookup::Value)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::db::state::{Keyspace, NewValue};

    /// What may happen between two commits, on keys that are numbers.
    #[derive(Debug, Clone)]
    enum Event {
        Set(u8, u16),
        /// So many sets in a row: enough of them are indexed.
        SetMany(u8, u8),
        Delete(Vec<u8>),
        DeleteAll,
        Lookup(u8),
        Seal,
        Retire,
        Fail,
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let key = 0..30u8;
        prop_oneof![
            6 => (key.clone(), any::<u16>()).prop_map(|(k, v)| Event::Set(k, v)),
            1 => (key.clone(), 1..60u8).prop_map(|(k, n)| Event::SetMany(k, n)),
            3 => prop::collection::vec(key.clone(), 1..4).prop_map(Event::Delete),
            1 => Just(Event::DeleteAll),
            6 => key.prop_map(Event::Lookup),
            2 => Just(Event::Seal),
            2 => Just(Event::Retire),
            1 => Just(Event::Fail),
        ]
    }

    /// What a group does to keys: the naive way.
    #[derive(Debug, Clone, Default)]
    struct Naive {
        flushed: bool,
        keys: HashMap<u8, Option<Vec<u8>>>,
    }

    impl Naive {
        #[expect(clippy::option_option, reason = "unknown, deleted, or a value")]
        fn lookup(&self, key: u8) -> Option<Option<&[u8]>> {
            self.keys.get(&key).map(Option::as_deref).or(self.flushed.then_some(None))
        }
    }

    struct Both {
        keyspace: Keyspace,
        pending: Pending,
        open: Group,
        naive_sealed: Option<Naive>,
        naive_open: Naive,
    }

    impl Both {
        fn set(&mut self, key: u8, value: Vec<u8>) {
            self.open.set(self.keyspace.hash(&[key]), &[key], NewValue::Copy(&value));
            self.naive_open.keys.insert(key, Some(value));
        }

        fn check(&mut self, key: u8) -> Result<(), TestCaseError> {
            let found = match self.pending.lookup(&self.open, self.keyspace.hash(&[key]), &[key]) {
                Lookup::Value(value) => Some(Some(value.as_slice())),
                Lookup::Deleted => Some(None),
                Lookup::Unknown => None,
            };
            let sealed = self.naive_sealed.as_ref().and_then(|sealed| sealed.lookup(key));
            prop_assert_eq!(found, self.naive_open.lookup(key).or(sealed), "key {}", key);
            Ok(())
        }

        fn run(&mut self, event: Event) -> Result<(), TestCaseError> {
            match event {
                Event::Set(key, value) => self.set(key, value.to_le_bytes().to_vec()),
                Event::SetMany(key, count) => {
                    for i in 0..count {
                        self.set((key + i) % 30, vec![i; usize::from(i)]);
                    }
                }
                Event::Delete(keys) => {
                    let names: Vec<[u8; 1]> = keys.iter().map(|key| [*key]).collect();
                    self.open.delete(names.iter().map(|name| (self.keyspace.hash(name), &name[..])));
                    self.naive_open.keys.extend(keys.into_iter().map(|key| (key, None)));
                }
                Event::DeleteAll => {
                    self.open.delete_all();
                    self.pending.flushed(&self.open);
                    self.naive_open = Naive { flushed: true, keys: HashMap::new() };
                }
                Event::Lookup(key) => self.check(key)?,
                Event::Seal if self.naive_sealed.is_none() && !self.open.is_empty() => {
                    self.pending.seal(Arc::new(std::mem::take(&mut self.open)));
                    self.naive_sealed = Some(std::mem::take(&mut self.naive_open));
                }
                Event::Retire if self.naive_sealed.is_some() => {
                    drop(self.pending.retire());
                    self.naive_sealed = None;
                }
                Event::Fail => {
                    self.pending = Pending::default();
                    self.open = Group::default();
                    (self.naive_sealed, self.naive_open) = (None, Naive::default());
                }
                Event::Seal | Event::Retire => {}
            }
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn the_view_is_what_a_naive_map_of_each_group_says(events in prop::collection::vec(any_event(), 1..80)) {
            let mut both = Both {
                keyspace: Keyspace::new([7; 4]),
                pending: Pending::default(),
                open: Group::default(),
                naive_sealed: None,
                naive_open: Naive::default(),
            };
            for event in events {
                both.run(event)?;
            }
            for key in 0..30 {
                both.check(key)?;
            }
        }
    }
}
