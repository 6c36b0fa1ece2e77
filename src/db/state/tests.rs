//! The keyspace against a plain map, and its promises one by one.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::super::ahead::Ahead;
use super::super::entry::INLINE_KEY_MAX;
use super::super::hash::{PLACE_BITS, SHARD_BITS};
use super::super::shard::mixed;
use super::*;

const SEED: [u64; 4] = [1, 2, 3, 4];

fn set(keyspace: &Keyspace, key: &[u8], value: NewValue<'_>) -> bool {
    let hash = keyspace.hash(key);
    keyspace.set(hash, key, value)
}

fn remove(keyspace: &Keyspace, key: &[u8]) -> bool {
    let hash = keyspace.hash(key);
    keyspace.lock(keyspace.shard_of(hash)).remove(hash, key, &mut Garbage::default())
}

fn get(keyspace: &Keyspace, key: &[u8]) -> Option<Vec<u8>> {
    let hash = keyspace.hash(key);
    Ahead::new(keyspace, 3).before(0, |_| Some(hash));
    keyspace.get(hash, key, |value| value.as_slice().to_vec())
}

/// Gives this value to the keys of so many numbers.
fn add_numbers(keyspace: &Keyspace, count: u32, value: &[u8]) -> Vec<[u8; 4]> {
    let keys: Vec<[u8; 4]> = (0..count).map(u32::to_be_bytes).collect();
    for key in &keys {
        set(keyspace, key, NewValue::Copy(value));
    }
    keys
}

/// All keys, by a scan with this count.
fn scanned(keyspace: &Keyspace, count: usize) -> Vec<Vec<u8>> {
    let (mut keys, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = keyspace.scan(cursor, count, |key, _| keys.push(key.to_vec()));
        if cursor == 0 {
            return keys;
        }
    }
}

/// Number `seed` of a family of byte strings of this length.
fn bytes_of(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Set { key: usize, len: usize, seed: u8, shared: bool },
    Remove { key: usize },
    Clear,
}

fn keys() -> Vec<Vec<u8>> {
    let lens = [0, 1, 2, 16, 16, 16, 100, 239, 240, 241, 1000, INLINE_KEY_MAX, INLINE_KEY_MAX + 1, 2000, 20_000];
    lens.iter().enumerate().map(|(seed, len)| bytes_of(seed as u8, *len)).collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![
        4 => 0..300_usize,
        2 => 300..1100_usize,
        // Around the limit of the slab with a key of 16 bytes, and far above it.
        1 => 1000..1012_usize,
        1 => Just(10_000),
    ];
    let key = 0..keys().len();
    let set = (key.clone(), len, any::<u8>(), any::<bool>()).prop_map(|(key, len, seed, shared)| Step::Set {
        key,
        len,
        seed,
        shared,
    });
    let step = prop_oneof![40 => set, 20 => key.prop_map(|key| Step::Remove { key }), 1 => Just(Step::Clear)];
    prop::collection::vec(step, 0..200)
}

fn follows_a_map(keyspace: &Keyspace, steps: &[Step]) {
    let keys = keys();
    let mut model = HashMap::<&[u8], Vec<u8>>::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Set { key, len, seed, shared } => {
                let (key, value) = (&keys[*key], bytes_of(*seed, *len));
                let new = if *shared { NewValue::Shared(Bytes::from(value.clone())) } else { NewValue::Copy(&value) };
                assert_eq!(set(keyspace, key, new), model.contains_key(&**key));
                model.insert(key, value);
            }
            Step::Remove { key } => {
                let key = &keys[*key];
                assert_eq!(remove(keyspace, key), model.remove(&**key).is_some());
            }
            Step::Clear => {
                keyspace.clear(&mut Garbage::default());
                model.clear();
            }
        }
        for key in keys.iter().filter(|_| number % 10 == 0 || number + 1 == steps.len()) {
            assert_eq!(get(keyspace, key).as_ref(), model.get(&**key));
        }
        assert_eq!(keyspace.len(), model.len());
        let data_bytes: usize = model.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert_eq!(keyspace.memory().data_bytes, data_bytes);
    }
    let scanned: HashSet<Vec<u8>> = scanned(keyspace, 3).into_iter().collect();
    assert_eq!(scanned, model.keys().map(|key| key.to_vec()).collect());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 200 }))]

    #[test]
    fn it_behaves_like_a_map(steps in steps()) {
        follows_a_map(&Keyspace::new(SEED), &steps);
    }

    #[test]
    fn it_behaves_like_a_map_when_all_hashes_are_equal(steps in steps()) {
        follows_a_map(&Keyspace::with_hasher(&KeyHasher::colliding(SEED, 0)), &steps);
    }

    #[test]
    fn any_cursor_is_taken(cursor: u64, count in 0..5_usize) {
        let keyspace = Keyspace::new(SEED);
        add_numbers(&keyspace, 300, b"");
        let mut cursor = cursor;
        for _ in 0..1000 {
            cursor = keyspace.scan(cursor, count, |_, _| ());
            if cursor == 0 {
                break;
            }
        }
        prop_assert_eq!(cursor, 0);
    }
}

#[test]
fn memory_comes_back_after_many_keys_have_gone() {
    let keyspace = Keyspace::new(SEED);
    let count = if cfg!(miri) { 1_000 } else { 200_000_u32 };
    let value = |i: u32| bytes_of(i as u8, (i % 300) as usize + if i.is_multiple_of(1000) { 2_000 } else { 0 });
    (0..count).for_each(|i| assert!(!set(&keyspace, &i.to_be_bytes(), NewValue::Copy(&value(i)))));
    assert_eq!(keyspace.len(), count as usize);
    assert!((0..count).all(|i| get(&keyspace, &i.to_be_bytes()) == Some(value(i))));
    let full = keyspace.memory();
    for i in 0..count {
        assert!(remove(&keyspace, &i.to_be_bytes()));
        if i == count / 2 {
            assert!((i + 1..count).all(|i| get(&keyspace, &i.to_be_bytes()) == Some(value(i))));
        }
    }
    let empty = keyspace.memory();
    assert_eq!((keyspace.len(), empty.data_bytes, empty.blob_bytes), (0, 0, 0));
    // What is left are a few idle pages of each shard, what is known about each page, and a bucket.
    assert!(empty.total_bytes() < full.total_bytes() / 10 || cfg!(miri), "{full:?}, then {empty:?}");
    keyspace.clear(&mut Garbage::default());
    assert_eq!(keyspace.memory(), MemoryUse::default());
}

#[test]
fn overwriting_with_other_sizes_strands_no_memory() {
    let keyspace = Keyspace::with_hasher(&KeyHasher::colliding(SEED, u64::MAX >> SHARD_BITS));
    let count = if cfg!(miri) { 300 } else { 50_000_u32 };
    let len = |i: u32, pass: usize| mixed(u64::from(i) + ((pass as u64) << 32)) as usize % [200, 60, 400][pass];
    add_numbers(&keyspace, count, &[0; 64]);
    for pass in 0..3 {
        for i in 0..count {
            // In an order that leaves a few old ones on each page until the end. 7919 divides no count.
            let i = (u64::from(i) * 7919 % u64::from(count)) as u32;
            set(&keyspace, &i.to_be_bytes(), NewValue::Copy(&bytes_of(i as u8, len(i, pass))));
        }
        assert!((0..count).all(|i| get(&keyspace, &i.to_be_bytes()) == Some(bytes_of(i as u8, len(i, pass)))));
        let memory = keyspace.memory();
        let entries = memory.data_bytes + 2 * count as usize;
        assert!(memory.slab_bytes < entries * 112 / 100 || cfg!(miri), "pass {pass}: {memory:?}");
    }
}

#[test]
fn an_entry_takes_its_slot_and_its_blobs_only() {
    let keyspace = Keyspace::new(SEED);
    let (hash, long) = (keyspace.hash(b"key"), vec![b'k'; 2_000]);
    let entry_bytes = |hash: KeyHash, key: &[u8]| keyspace.lock(keyspace.shard_of(hash)).entry_bytes(hash, key);
    assert_eq!(entry_bytes(hash, b"key"), None);
    set(&keyspace, b"key", NewValue::Copy(&[0; 77]));
    assert_eq!(entry_bytes(hash, b"key"), Some(82));
    set(&keyspace, b"key", NewValue::Copy(&[0; 5_000]));
    assert_eq!(entry_bytes(hash, b"key"), Some(18 + 5_000));
    set(&keyspace, &long, NewValue::Copy(&[0; 5_000]));
    assert_eq!(entry_bytes(keyspace.hash(&long), &long), Some(18 + 7_000));
}

#[test]
fn an_empty_keyspace_has_no_memory() {
    let keyspace = Keyspace::new(SEED);
    assert_eq!(keyspace.memory(), MemoryUse::default());
    assert_eq!(get(&keyspace, b"key"), None);
    assert_eq!(keyspace.scan(0, 10, |_, _| panic!("there is no key")), 0);
    assert!(!keyspace.random_key(7, &mut Vec::new()));
}

#[test]
fn a_large_value_is_shared_not_copied() {
    let keyspace = Keyspace::new(SEED);
    let value = Bytes::from(vec![7; 5_000]);
    set(&keyspace, b"key", NewValue::Shared(value.clone()));
    let hash = keyspace.hash(b"key");
    let read = |value: ValueRef<'_>| match value {
        ValueRef::Shared(bytes) => bytes.clone(),
        ValueRef::Inline(_) => panic!("a large value lies outside of the slab"),
    };
    assert_eq!(keyspace.get(hash, b"key", read).unwrap().as_ptr(), value.as_ptr());
    set(&keyspace, b"key", NewValue::Shared(value.slice(..10)));
    assert!(keyspace.get(hash, b"key", |value| matches!(value, ValueRef::Inline(_))).unwrap());
}

#[test]
fn a_replaced_large_value_lives_until_the_garbage_is_dropped() {
    let keyspace = Keyspace::new(SEED);
    let value = Bytes::from(vec![7; 5_000]);
    let hash = keyspace.hash(b"key");
    let shard = || keyspace.lock(keyspace.shard_of(hash));
    let steps: [&dyn Fn(&mut Garbage); 4] = [
        &|garbage| _ = shard().set(hash, b"key", NewValue::Copy(b"small"), garbage),
        &|garbage| _ = shard().set(hash, b"key", NewValue::Copy(&[0; 5_000]), garbage),
        &|garbage| _ = shard().remove(hash, b"key", garbage),
        &|garbage| keyspace.clear(garbage),
    ];
    for step in steps {
        set(&keyspace, b"key", NewValue::Shared(value.clone()));
        assert!(!value.is_unique());
        let mut garbage = Garbage::default();
        step(&mut garbage);
        assert!(!value.is_unique());
        drop(garbage);
        assert!(value.is_unique());
    }
}

#[test]
fn a_scan_meets_all_that_stays() {
    for count in [1, 10, 1000] {
        let keyspace = Keyspace::new(SEED);
        let stable = add_numbers(&keyspace, 2_000, b"stable");
        let mut met = HashSet::new();
        let (mut cursor, mut step, mut other) = (0, 0_u32, 0_u32);
        loop {
            cursor = keyspace.scan(cursor, count, |key, _| _ = met.insert(key.to_vec()));
            if cursor == 0 {
                break;
            }
            // Others come for a while, then go again, and so on: buckets split and merge all the time.
            for _ in 0..20 * count {
                step += 1;
                if step / 8_000 % 2 == 0 {
                    set(&keyspace, &[b"other", &other.to_be_bytes()[..]].concat(), NewValue::Copy(b""));
                    other += 1;
                } else {
                    other = other.saturating_sub(1);
                    remove(&keyspace, &[b"other", &other.to_be_bytes()[..]].concat());
                }
            }
        }
        assert!(stable.iter().all(|key| met.contains(&key[..])), "count {count}");
    }
}

#[test]
fn a_walk_in_small_steps_meets_all_that_stays() {
    // One shard, so that it has many buckets.
    let keyspace = Keyspace::with_hasher(&KeyHasher::colliding(SEED, u64::MAX >> SHARD_BITS));
    let stable = add_numbers(&keyspace, 5_000, b"stable");
    for (entries_max, bytes_max) in [(50, usize::MAX), (usize::MAX, 300)] {
        let mut met = HashSet::new();
        let (mut position, mut steps, mut others) = (Some(0), 0, 0_u32);
        while let Some(at) = position {
            position = keyspace.lock(0).walk(at, entries_max, bytes_max, |key, value| {
                assert_eq!(value.len(), if key.len() == 4 { 6 } else { 0 });
                met.insert(key.to_vec());
            });
            steps += 1;
            for _ in 0..300 {
                let grow = steps < 40;
                others = if grow { others + 1 } else { others.saturating_sub(1) };
                let key = [b"other", &others.to_be_bytes()[..]].concat();
                if grow {
                    set(&keyspace, &key, NewValue::Copy(b""))
                } else {
                    remove(&keyspace, &key)
                };
            }
        }
        assert!(steps > 50, "it was cut into steps: {steps}");
        assert!(stable.iter().all(|key| met.contains(&key[..])));
    }
}

#[test]
fn random_keys_are_all_keys() {
    let keyspace = Keyspace::new(SEED);
    add_numbers(&keyspace, 50, b"");
    let mut drawn = [0_u32; 50];
    let mut key = Vec::new();
    for i in 0..50_000 {
        assert!(keyspace.random_key(mixed(i), &mut key));
        drawn[key[3] as usize] += 1;
    }
    assert!(drawn.iter().all(|count| (700..1300).contains(count)), "{drawn:?}");
}

#[test]
fn a_seed_reproduces_the_order_of_a_scan() {
    let order = |seed| {
        let keyspace = Keyspace::new(seed);
        add_numbers(&keyspace, 500, b"");
        scanned(&keyspace, 10)
    };
    assert_eq!(order(SEED), order(SEED));
    assert_ne!(order(SEED), order([5, 6, 7, 8]));
}

#[test]
fn threads_find_what_they_wrote() {
    let keyspace = Keyspace::new(SEED);
    let keys_each = if cfg!(miri) { 50 } else { 20_000_u32 };
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let keyspace = &keyspace;
            scope.spawn(move || {
                let key = |i: u32| (thread * keys_each + i).to_be_bytes();
                for i in 0..keys_each {
                    set(keyspace, &key(i), NewValue::Copy(&bytes_of(i as u8, i as usize % 200)));
                    // Also what is far away, so that prefetches meet tables that grow.
                    let other = i.wrapping_mul(7919) % (4 * keys_each);
                    get(keyspace, &other.to_be_bytes());
                }
                for i in 0..keys_each {
                    assert_eq!(get(keyspace, &key(i)), Some(bytes_of(i as u8, i as usize % 200)));
                    assert!(i % 2 == 0 || remove(keyspace, &key(i)));
                }
            });
        }
    });
    assert_eq!(keyspace.len() as u32, 4 * keys_each / 2);
}

#[test]
fn whoever_looks_ahead_asks_for_no_key_behind_the_last() {
    // All in one bucket, so that all but a dozen lie in its nodes.
    let keyspace = Keyspace::with_hasher(&KeyHasher::colliding(SEED, 0xFF << PLACE_BITS));
    let hashes: Vec<KeyHash> =
        add_numbers(&keyspace, 200, b"value").iter().rev().map(|key| keyspace.hash(key)).collect();
    for seed in 0..if cfg!(miri) { 10 } else { 2_000 } {
        let hashes = &hashes[..=mixed(seed) as usize % hashes.len()];
        let mut ahead = Ahead::new(&keyspace, hashes.len());
        let (mut at, mut random) = (0, seed);
        while at < hashes.len() {
            ahead.before(at, |n| Some(hashes[n]));
            random = mixed(random);
            at += 1 + random as usize % 12;
        }
    }
}
