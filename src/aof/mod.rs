//! `kvred aof check | dump | rewrite`: is a log good, what is in it, what was lost, can the rest be had back?
//!
//! | module | what it does |
//! |---|---|
//! | `source` | opens what the user named: a log, or the parts that a manifest lists |
//! | `reading`, `view` | one pass over a log as it was when the pass began, also if a server is writing to it |
//! | `check` | the verdict, the repair of a torn tail, the salvage of a damaged log |
//! | `dump` | what a log holds, in four formats; the follower |
//! | `rewrite` | a log made as short as its data |
//!
//! All of them read with the code that `serve` recovers with, so they cannot disagree with it about a log. Only
//! `check --fix` and `rewrite` in place change a log, and they take its lock first.

mod check;
mod distinct;
mod dump;
mod image;
mod json;
mod keys;
mod manifest;
mod quote;
mod reading;
mod rewrite;
mod source;
mod text;
mod view;

use crate::args::AofCommand;
use crate::exit::{Failure, Status};

pub use self::check::examine::{Findings, examine};

/// Runs one of the tools.
///
/// # Errors
/// A file cannot be read or written, or the arguments make no sense together.
pub fn run(command: &AofCommand) -> Result<Status, Failure> {
    match command {
        AofCommand::Check(args) => check::run(args),
        AofCommand::Dump(args) => dump::run(args),
        AofCommand::Rewrite(args) => rewrite::run(args),
    }
}
