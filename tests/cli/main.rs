//! Black-box tests of `kvred cli`: the real binary, against a real server, in a pipe and at a pseudo-terminal.

#![expect(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]
#![expect(clippy::format_collect, reason = "short inputs, made where they are read")]

#[path = "../helpers/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "helpers are shared; no test binary uses every one")]
mod helpers;
mod server;

mod modes;
mod modes_at_a_terminal;
mod oneshot;
mod output;
mod peers;
mod pipe;
mod script;
mod secrets;
mod terminal;
mod trouble;
