//! Black-box tests of `kvred serve`: the real binary, over sockets and files. One test binary, so that it links once.
//!
//! No test asserts a duration; what has to happen is waited for, with a deadline that only a hanging server reaches.
//! `KVRED_TEST_ROUNDS` raises the number of rounds of the random tests, `KVRED_TEST_SEED` repeats a run.

#![allow(unreachable_pub, reason = "helpers are shared by test binaries as they are")]
#![allow(clippy::unwrap_used, reason = "what fails here fails its test")]

#[path = "../helpers/mod.rs"]
#[allow(dead_code, unused_imports, reason = "no test binary uses every helper")]
mod helpers;

mod addresses;
mod backlog;
mod clients;
mod connections;
mod contract;
mod crowds;
mod differential;
mod durability;
mod info;
mod leftover;
mod limits;
mod links;
mod malformed;
mod moves;
mod pace;
mod peers;
mod plain;
mod proxy;
mod recovery;
mod reply;
mod signals;
mod slowlog;
mod startup;
mod systemd;
mod tls;
mod told;
mod tools;
mod turns;
