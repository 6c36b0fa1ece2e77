//! Black-box tests of `kvred bench`: the real binary, against real servers and against bad ones.

#![allow(unreachable_pub, reason = "helpers are shared by test binaries as they are")]
#![allow(clippy::unwrap_used, reason = "what fails here fails its test")]

#[path = "../helpers/mod.rs"]
#[allow(dead_code, unused_imports, reason = "no test binary uses every helper")]
mod helpers;

mod kit;

mod abandoned;
mod cpu;
mod diff;
mod peers;
mod report;

mod results;
mod trouble;
