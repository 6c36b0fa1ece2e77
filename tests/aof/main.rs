//! `kvred aof check | dump | rewrite`, as a user runs them: the real binary, real files, real servers.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test stops at the first thing that is not as it should be"
)]

#[path = "../helpers/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "helpers are shared; no test binary uses every one")]
mod helpers;

mod agreement;
mod backup;
mod follow;
mod hostile;
mod kill;
mod kit;
mod names;
mod redis;
mod roundtrip;
mod salvage;
mod swapped;
mod terminal;
mod times;
mod unreadable;
mod untouched;
