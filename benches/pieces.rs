//! The pieces that a request and a start are made of: `cargo bench --bench pieces`.
//!
//! Decoding and encoding, the append of a batch to a log on a real disk (never synced: that is the disk's time), the
//! recovery of a log, and reads and writes of the keyspace by several threads at once, which show what sharing costs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use kvred::command::loader::Loader;
use kvred::db::state::{Keyspace, NewValue};
use kvred::persistence::FsyncPolicy;
use kvred::persistence::aof::Aof;
use kvred::persistence::disk::{Disk, DiskRead};
use kvred::persistence::format::Salt;
use kvred::persistence::real_disk::RealDisk;
use kvred::persistence::replay;
use kvred::protocol::decode::RequestDecoder;
use kvred::protocol::encode;
use kvred::protocol::rope::Rope;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 200_000;
const VALUE: [u8; 64] = [b'v'; 64];
const LOG: &str = "kvred.aof";

fn main() {
    divan::main();
}

/// `key:` and twelve digits.
fn key(index: u64) -> Vec<u8> {
    format!("key:{:012}", index % KEYS).into_bytes()
}

fn sets(commands: u64) -> Vec<u8> {
    let mut out = Vec::new();
    (0..commands).for_each(|i| encode::request(&mut out, &[&b"SET"[..], &key(i * 7919), &VALUE]));
    out
}

#[divan::bench(args = [1, 16, 100])]
fn decode_sets(bencher: Bencher<'_, '_>, commands: u64) {
    let mut input = sets(commands);
    let mut spans = Vec::new();
    bencher.counter(ItemsCount::new(commands)).counter(BytesCount::of_slice(&input)).bench_local(move || {
        let mut decoder = RequestDecoder::for_log();
        let mut at = 0;
        while at < input.len() {
            spans.clear();
            at = decoder.decode(&mut input, at, &mut spans).expect("requests").expect("whole ones");
            black_box(&spans);
        }
    });
}

#[divan::bench(args = [1, 100])]
fn encode_bulks(bencher: Bencher<'_, '_>, replies: u64) {
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(replies)).bench_local(move || {
        out.clear();
        (0..replies).for_each(|_| encode::bulk(&mut out, black_box(&VALUE)));
        black_box(&out);
    });
}

/// A batch of so many SETs, checksummed and written.
#[divan::bench(args = [1, 16, 100])]
fn append_batch(bencher: Bencher<'_, '_>, commands: u64) {
    let dir = tempfile::tempdir_in("target").expect("the project's target directory");
    let disk = RealDisk::new(dir.path()).expect("it was just made");
    let mut aof = Aof::create(&disk, Path::new(LOG), None, Salt(7)).expect("a new log");
    let mut records = Rope::default();
    records.buffer = sets(commands);
    bencher.counter(ItemsCount::new(commands)).bench_local(move || {
        aof.append(&records, FsyncPolicy::Everysec, Duration::from_secs(1)).expect("room on the disk");
    });
}

/// From a log in the page cache to a keyspace.
#[divan::bench(args = [1, 100], sample_count = 10)]
fn recover(bencher: Bencher<'_, '_>, commands_per_batch: u64) {
    let dir = tempfile::tempdir_in("target").expect("the project's target directory");
    let disk = RealDisk::new(dir.path()).expect("it was just made");
    let mut aof = Aof::create(&disk, Path::new(LOG), None, Salt(7)).expect("a new log");
    let mut records = Rope::default();
    records.buffer = sets(commands_per_batch);
    for _ in 0..KEYS / commands_per_batch {
        aof.append(&records, FsyncPolicy::Everysec, Duration::from_secs(1)).expect("room on the disk");
    }
    let file: Arc<dyn DiskRead> = disk.open(Path::new(LOG), false).expect("it is there");
    bencher.counter(ItemsCount::new(KEYS)).bench_local(|| {
        let keyspace = Keyspace::new([1, 2, 3, 4]);
        Loader::run(&keyspace, file.len().unwrap_or(0), |loader| {
            replay::replay(&file, |_| {}, |batch| loader.take(batch))
        })
        .expect("a sound log");
        keyspace
    });
}

fn filled() -> Keyspace {
    let keyspace = Keyspace::new([1, 2, 3, 4]);
    for i in 0..KEYS {
        let key = key(i);
        keyspace.set(keyspace.hash(&key), &key, NewValue::Copy(&VALUE));
    }
    keyspace
}

/// Random keys read by several threads: with no sharing, the time of one would stay the same up to the number of cores.
#[divan::bench(threads = [1, 2, 4, 8])]
fn get(bencher: Bencher<'_, '_>) {
    let keyspace = filled();
    let keys: Vec<Vec<u8>> = (0..1000).map(|i| key(i * 104_729)).collect();
    bencher.counter(ItemsCount::new(keys.len())).bench(|| {
        for key in &keys {
            black_box(keyspace.get(keyspace.hash(key), key, |value| value.as_slice().len()));
        }
    });
}

/// The same, written.
#[divan::bench(threads = [1, 2, 4, 8])]
fn set(bencher: Bencher<'_, '_>) {
    let keyspace = filled();
    let keys: Vec<Vec<u8>> = (0..1000).map(|i| key(i * 104_729)).collect();
    bencher.counter(ItemsCount::new(keys.len())).bench(|| {
        for key in &keys {
            keyspace.set(keyspace.hash(key), key, NewValue::Copy(&VALUE));
        }
    });
}
