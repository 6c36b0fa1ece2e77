//! `kvred aof check | dump | rewrite`: is a log good, what is in it, what was lost, can the rest be had back?
//!
//! | module | what it does |
//! |---|---|
//! | `source` | opens what the user named: a log, or the parts that a manifest lists |
//! | `reading`, `view` | one pass over a log as it was when the pass began, also if a server is writing to it |
//! | `readable` | a log of which the disk cannot read all |
//! | `check` | the verdict, the repair of a torn tail, the salvage of a damaged log |
//! | `dump` | what a log holds, in four formats; the follower |
//! | `rewrite`, `image` | a log made as short as its data; writing a new log |
//! | `horizon` | how far back a log tells what was written when |
//! | `keys`, `distinct` | which arguments of a record are keys; how many different ones there are |
//! | `text` | numbers, times and names for people |
//!
//! All of them read with the code that `serve` recovers with, so they cannot disagree with it about a log. Only
//! `check --fix` and `rewrite` in place change a log, and they take its lock first.

mod check;
mod distinct;
mod dump;
mod horizon;
mod image;
mod keys;
mod readable;
mod reading;
mod rewrite;
mod source;
mod text;
mod view;

use std::path::Path;

use crate::args::AofCommand;
use crate::exit::{Failure, Status};

pub use self::check::examine::{Findings, examine};

/// Runs one of the tools.
///
/// # Errors
/// A file cannot be read or written, or the arguments make no sense together.
pub fn run(command: &AofCommand) -> Result<Status, Failure> {
    refuse_dashes(command)?;
    match command {
        AofCommand::Check(args) => check::run(args),
        AofCommand::Dump(args) => dump::run(args),
        AofCommand::Rewrite(args) => rewrite::run(args),
    }
}

/// Other tools mean the standard streams by a dash. Here it would be a file of that name, by mistake.
fn refuse_dashes(command: &AofCommand) -> Result<(), Failure> {
    let (file, out) = match command {
        AofCommand::Check(args) => (&args.file, args.salvage.as_ref()),
        AofCommand::Dump(args) => (&args.file, None),
        AofCommand::Rewrite(args) => (&args.file, args.output.as_ref()),
    };
    let dash = Path::new("-");
    let why = if file == dash {
        "a log is read in several places at a time, so not from the standard input: save it to a file first, and name \
         that; ./- is a file called -"
    } else if out.is_some_and(|out| out == dash) {
        "a log is written to a file, not to the standard output: name one; `kvred aof dump --format resp` prints what a \
         log holds; ./- is a file called -"
    } else {
        return Ok(());
    };
    Err(failure!(Usage, why))
}
