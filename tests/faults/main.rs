//! The finished binary on real disks that fail: full, refusing, slow, killed at any moment, without power.
//!
//! Faults come from the system: small `tmpfs` and loop-mounted `ext4` volumes, and `strace`, which lets system calls of
//! a running server fail, wait, or end in a `SIGKILL`. A test that lacks the right or the tool says so and is skipped.
//! No test asserts a duration; what is claimed about waiting is claimed as an order of events.
//! `KVRED_TEST_ROUNDS` raises the number of rounds of the random tests, `KVRED_TEST_SEED` repeats a run.

#![allow(unreachable_pub, reason = "helpers are shared by test binaries as they are")]
#![allow(clippy::unwrap_used, reason = "what fails here fails its test")]
#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "the numbers of a test are small")]

#[path = "../helpers/mod.rs"]
#[allow(dead_code, unused_imports, reason = "no test binary uses every helper")]
mod helpers;

mod failing_sync;
mod failing_write;
mod full_disk;
mod kill;
mod name;
mod policy;
mod power_cut;
mod refused;
mod rewrite;
mod rig;
mod slow_disk;
mod threads;
mod write_back;
