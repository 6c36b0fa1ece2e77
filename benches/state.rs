//! What a key costs in memory and time: `cargo bench --bench state` (or `-- 2000000` for another number of keys).
//!
//! Memory is what the system counts as resident, with all that the process needs besides. Keys of 16 bytes, values of
//! 64. Single-threaded; times are the mean of a pass over all keys in random order, the best of three passes.

use std::hint::black_box;
use std::time::Instant;

use kvred::db::ahead::Ahead;
use kvred::db::state::{Garbage, KeyHash, Keyspace, NewValue};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 2_000_000;
const VALUE: [u8; 64] = [b'v'; 64];
const BATCHES: [usize; 4] = [1, 16, 32, 100];

fn main() {
    let keys = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(KEYS);
    let empty = resident_bytes();
    let keyspace = Keyspace::new([1, 2, 3, 4]);
    (0..keys).for_each(|i| set(&keyspace, i, &VALUE));
    let memory = keyspace.memory();
    println!(
        "{keys} keys of 16 + 64 bytes: {:.1} B/key resident of the process, {:.1} of it for the keys ({:.1} slab, {:.1} table)",
        per_key(resident_bytes(), keys),
        per_key(resident_bytes() - empty, keys),
        per_key(memory.slab_bytes, keys),
        per_key(memory.table_bytes, keys),
    );
    churn(&keyspace, keys);
    keyspace.clear(&mut Garbage::default());
    println!("after clear: {:.1} MB resident, {:.1} before any key", resident_bytes() as f64 / 1e6, empty as f64 / 1e6);
    (0..keys).for_each(|i| set(&keyspace, i, &VALUE));
    println!("filled again: {:.1} B/key resident", per_key(resident_bytes(), keys));
    times(&keyspace, keys);
    drop(keyspace);
    growth(keys + keys / 2);
}

/// Inserts one after the other, each timed: the best of three growths, one by one. What the keyspace itself takes it
/// takes each time; what the machine takes now and then drops out.
fn growth(keys: u64) {
    let mut times = vec![u32::MAX; keys as usize];
    for _ in 0..3 {
        let keyspace = Keyspace::new([5, 6, 7, 8]);
        for (i, time) in times.iter_mut().enumerate() {
            let insert = Instant::now();
            set(&keyspace, i as u64, &VALUE);
            *time = (*time).min(insert.elapsed().as_nanos() as u32);
        }
    }
    let mean = times.iter().map(|time| u64::from(*time)).sum::<u64>() / keys;
    times.sort_unstable();
    let at = |one_of: usize| times[times.len() - 1 - times.len() / one_of];
    println!(
        "inserting {keys} keys, in ns: mean {mean}, p99 {}, p99.9 {}, p99.99 {}, p99.999 {}, the worst five {:?}",
        at(100),
        at(1_000),
        at(10_000),
        at(100_000),
        &times[times.len() - 5..]
    );
}

fn times(keyspace: &Keyspace, keys: u64) {
    // In random order, and made before: the keys come from a network buffer in the server, too.
    let order: Vec<[u8; 16]> = (0..keys).map(|n| key(random_index(n, keys))).collect();
    let missing: Vec<[u8; 16]> = (keys..2 * keys).map(key).collect();
    let mut out = Vec::with_capacity(1 << 20);
    let mut hashed = Vec::new();
    let per_key = |name: &str, batch: usize, keys: &[[u8; 16]], mut pass: Pass<'_>| {
        let best = (0..3).map(|_| {
            let start = Instant::now();
            keys.chunks(batch).for_each(&mut pass);
            start.elapsed().as_nanos() as f64 / keys.len() as f64
        });
        println!("{name} in batches of {batch}: {:.0} ns", best.fold(f64::INFINITY, f64::min));
    };
    for batch in BATCHES {
        per_key(
            "GET",
            batch,
            &order,
            Box::new(|keys| {
                out.clear();
                batched(keyspace, keys, &mut hashed, |key, hash| {
                    keyspace
                        .get(hash, key, |value| out.extend_from_slice(value.as_slice()))
                        .expect("all keys are there");
                });
                black_box(&out);
            }),
        );
    }
    for batch in BATCHES {
        per_key(
            "SET over itself",
            batch,
            &order,
            Box::new(|keys| {
                batched(keyspace, keys, &mut hashed, |key, hash| {
                    keyspace.set(hash, key, NewValue::Copy(&VALUE));
                });
            }),
        );
    }
    per_key(
        "GET of nothing",
        32,
        &missing,
        Box::new(|keys| {
            batched(keyspace, keys, &mut hashed, |key, hash| _ = black_box(keyspace.contains(hash, key)));
        }),
    );
}

/// What is done with a batch of keys.
type Pass<'a> = Box<dyn FnMut(&[[u8; 16]]) + 'a>;

/// Calls `each` for every key of a batch, with what it needs loaded ahead; a single key has nobody to hide behind.
fn batched(keyspace: &Keyspace, keys: &[[u8; 16]], hashed: &mut Vec<KeyHash>, mut each: impl FnMut(&[u8], KeyHash)) {
    hashed.clear();
    hashed.extend(keys.iter().map(|key| keyspace.hash(key)));
    let mut ahead = Ahead::new(keyspace, keys.len());
    for (at, (key, hash)) in keys.iter().zip(&*hashed).enumerate() {
        if keys.len() > 1 {
            ahead.before(at, |n| Some(hashed[n]));
        }
        each(key, *hash);
    }
}

/// Overwrites all keys in random order, twice, with values of other sizes.
fn churn(keyspace: &Keyspace, keys: u64) {
    for (pass, (least, most)) in [(8, 200), (8, 120)].into_iter().enumerate() {
        let value = [b'c'; 200];
        let start = Instant::now();
        for n in 0..keys {
            let len = least + mixed(n ^ (pass as u64) << 40) as usize % (most - least + 1);
            set(keyspace, random_index(n + pass as u64, keys), &value[..len]);
        }
        let elapsed = start.elapsed().as_nanos() as f64 / keys as f64;
        let (memory, resident) = (keyspace.memory(), resident_bytes());
        // Two length bytes and a table without a free slot.
        let ideal = memory.data_bytes + keys as usize * (2 + 5);
        println!(
            "overwritten with {least} to {most} bytes: {:.1} B/key resident, {:.1} data, {:.1} slab, {:.2} times the ideal, {elapsed:.0} ns each",
            per_key(resident, keys),
            per_key(memory.data_bytes, keys),
            per_key(memory.slab_bytes, keys),
            resident as f64 / ideal as f64
        );
    }
}

fn set(keyspace: &Keyspace, index: u64, value: &[u8]) {
    let key = key(index);
    let hash = keyspace.hash(&key);
    keyspace.set(hash, &key, NewValue::Copy(value));
}

/// `key:` and twelve digits.
fn key(index: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = index;
    for digit in key[4..].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// A fixed shuffle of the keys, without a table that would fall into the measured caches.
fn random_index(n: u64, keys: u64) -> u64 {
    // A prime far from any power of two and no divisor of the number of keys.
    (n % keys * 1_000_000_007) % keys
}

fn mixed(seed: u64) -> u64 {
    let seed = (seed ^ seed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let seed = (seed ^ seed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    seed ^ seed >> 31
}

fn per_key(bytes: usize, keys: u64) -> f64 {
    bytes as f64 / keys as f64
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the bench runs on Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells the resident size");
    let kib: usize = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB");
    kib * 1024
}
