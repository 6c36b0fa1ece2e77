//! `kvred bench`: how fast a Redis-compatible server is, told honestly.
//!
//! | module | what it does |
//! |---|---|
//! | `run`, `diff`, `report` | the three commands |
//! | `plan`, `threshold` | what is to be measured, and when that counts as failed |
//! | `session` | fills the key space, warms up, measures; on one server or on several in turn |
//! | `phase`, `worker`, `drive` | one load: the threads, their connections, what each of them does |
//! | `schedule`, `timer` | which request leaves when, in a closed and in an open loop |
//! | `load`, `keys`, `values` | requests, and what their replies say |
//! | `tally`, `results` | what was counted, and what it comes to |
//! | `environment`, `output`, `destination`, `progress`, `text` | where it was measured, how and where it is shown |
//!
//! A latency ends when the reply has been read, and begins when the request was handed to the kernel, or under
//! `--rate` when it should have been: a server that hangs delays those that wait to leave too, and they say so.

mod destination;
mod diff;
mod drive;
mod environment;
mod keys;
mod load;
mod output;
mod phase;
mod plan;
mod progress;
mod report;
mod results;
mod run;
mod schedule;
mod session;
mod tally;
mod text;
mod threshold;
mod timer;
mod values;
mod worker;

use crate::args::{BenchArgs, BenchCommand};
use crate::exit::{Failure, Status};
use crate::machine;

/// Runs `kvred bench`.
///
/// # Errors
/// Wrong usage, a server that cannot be reached or went away, files that cannot be read or written.
pub fn run(args: &BenchArgs) -> Result<Status, Failure> {
    // Many connections are many descriptors. Where more of them are refused, connecting will say what is missing.
    machine::allow_open_files(u64::MAX);
    match &args.command {
        None => run::run(args),
        Some(BenchCommand::Diff(args)) => diff::run(args),
        Some(BenchCommand::Report(args)) => report::run(args),
    }
}
