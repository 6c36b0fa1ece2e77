//! `kvred aof check`: the verdict on a log, the repair of one, and the salvage of what a damaged one still holds.
//!
//! Without `--fix` nothing is written, not even a lock's file.

pub(super) mod examine;
pub(super) mod fix;
mod header;
mod report;
mod resync;
mod salvage;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use self::examine::{Findings, examine_with};
use self::report::{PartReport, Report};
use super::reading::Settle;
use super::source::{self, Source};
use crate::args::CheckArgs;
use crate::exit::{Failure, OrExit, Status, print};
use crate::terminal::progress::Progress;

/// Checks a log, and repairs or salvages it if that is wanted.
pub(super) fn run(args: &CheckArgs) -> Result<Status, Failure> {
    if args.fix && !args.yes && !std::io::stdin().is_terminal() {
        return Err(failure!(
            Usage,
            "--fix asks before it cuts, and there is no terminal to ask on; nothing was changed (--yes: do not ask)"
        ));
    }
    let mut source = source::open(&args.file)?;
    if source.is_manifest && (args.fix || args.salvage.is_some()) {
        return Err(failure!(Usage, "{} is a manifest; name the part itself to change it", args.file.display()));
    }
    let held = args.fix.then(|| fix::Held::take(&args.file)).transpose()?;
    if let Some(held) = &held {
        // What is cut has to be what was examined, and nobody writes to this one.
        source.parts[0].file = Ok(Arc::clone(&held.file) as examine::File);
    }
    if let Some(out) = &args.salvage {
        return salvage::run(args, &source, out);
    }
    let mut report = examine_all(&source)?;
    let mut status = report.status();
    if let Some(held) = held.filter(|_| status != Status::Fine || report.reserved_bytes() > 0) {
        if !args.json {
            // What is asked about has to be seen before.
            print(&report.text())?;
        }
        status = fix::run(args, &held, &mut report)?;
        if !args.json {
            return Ok(status);
        }
    }
    print(&if args.json { report.json() } else { report.text() })?;
    Ok(status)
}

fn examine_all(source: &Source) -> Result<Report, Failure> {
    let mut parts = Vec::new();
    for (n, part) in source.parts.iter().enumerate() {
        let found = match &part.file {
            Ok(file) => Ok(examine_file(file, &part.path, source.more_follows(n))?),
            Err(why) => Err(why.clone()),
        };
        parts.push(PartReport { path: part.path.clone(), found });
    }
    Ok(Report { path: source.path.clone(), is_manifest: source.is_manifest, parts, fixed: None })
}

fn examine_file(file: &examine::File, path: &Path, more_follows: bool) -> Result<Findings, Failure> {
    let cannot_read = || format!("cannot read {}", path.display());
    let len = file.len().or_unavailable(cannot_read)?;
    examine_with(file, &Progress::new("checking", len), Settle::Wait, more_follows).or_unavailable(cannot_read)
}
