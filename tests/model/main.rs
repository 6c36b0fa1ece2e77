//! The model test: random writers, commits, syncs, rewrites, crashes and disk faults against a plain model, on a
//! simulated disk, all from one seed.
//!
//! It runs the writer, the rewrite and the recovery of the server itself, on one thread; what threads would interleave
//! happens between two calls, or in the middle of a disk operation that stalls. What each policy promises is checked
//! exactly (see `world.rs`).
//!
//! `KVRED_TEST_ROUNDS=n` runs n seeds, `KVRED_TEST_FIRST=n` begins with another one than 0, `KVRED_TEST_SEED=n` runs
//! only that one and tells every disk operation.

#![allow(unreachable_pub, reason = "a test has no outside")]

mod disk;
mod known;
#[path = "../helpers/random.rs"]
#[allow(dead_code, reason = "no test binary uses every helper")]
mod random;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use world::{Tally, World};

/// How many seeds run without a wish: within a minute on two cores in a debug build.
const SEEDS: u64 = 3000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

#[test]
fn every_policy_keeps_its_promise_on_a_disk_that_fails() {
    if let Some(seed) = number("KVRED_TEST_SEED") {
        let tally = World::run(seed, true);
        println!("seed {seed}: {tally:?}");
        return;
    }
    let first = number("KVRED_TEST_FIRST").unwrap_or(0);
    let end = first + number("KVRED_TEST_ROUNDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let failed = AtomicBool::new(false);
    let total = Mutex::new(Tally::default());
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| World::run(seed, false))) {
                Ok(tally) => total.lock().add(&tally),
                Err(panic) => {
                    failed.store(true, Ordering::Relaxed);
                    eprintln!("seed {seed} fails; KVRED_TEST_SEED={seed} cargo test --test model runs it again");
                    resume_unwind(panic);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let total = total.into_inner();
    println!("{} seeds: {total:?}", end - first);
    if end - first >= 500 {
        total.assert_that_it_happened();
    }
}
