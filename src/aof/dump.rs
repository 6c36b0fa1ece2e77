//! `kvred aof dump`: what a log holds, in constant memory; and the follower of a log that grows.

mod filter;
mod follow;
mod printer;
mod sendable;

use std::io::IsTerminal;
use std::mem;
use std::path::{Path, PathBuf};

use self::filter::{Chosen, Filter};
use self::printer::{Entry, Printer};
use super::horizon::Horizon;
use super::reading::read_part;
use super::source::{self, Part, Source};
use super::text;
use crate::args::DumpArgs;
use crate::command::record::check;
use crate::exit::{Failure, Status, cannot_write, is_closed_pipe, printed};
use crate::persistence::LogOffset;
use crate::persistence::batch::{Batch, Flaw};
use crate::persistence::replay::Verdict;
use crate::terminal::for_shell;

/// Dumps a log.
pub(super) fn run(args: &DumpArgs) -> Result<Status, Failure> {
    let source = source::open(&args.file)?;
    // Nothing is shown of a log that cannot be shown whole: half of it would pass for all.
    for part in &source.parts {
        part.file()?;
    }
    if args.follow && source.is_manifest {
        return Err(failure!(Usage, "{} is a manifest; to follow its log, name the last part", args.file.display()));
    }
    let mut dump = Dump::new(args);
    let result = if args.follow {
        follow::run(&mut dump, &args.file)
    } else {
        dump.look_back(&args.file, &source.parts)?;
        dump_parts(&mut dump, &source)
    };
    match result.and_then(|status| dump.printer.flush().map(|()| status).map_err(Stop::from)) {
        Ok(Status::Fine) if dump.shown == 0 && dump.filter.is_narrow() => {
            say!("kvred: no command in {} is one of those that were asked for", args.file.display());
            Ok(Status::Negative)
        }
        Ok(status) => Ok(status),
        Err(Stop::Enough) => printed(dump.printer.flush()).map(|()| Status::Fine),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Why a dump ends before the log does.
#[derive(Debug)]
enum Stop {
    /// The limit is reached, or nobody reads on.
    Enough,
    /// It failed.
    Failed(Failure),
}

impl From<std::io::Error> for Stop {
    /// An error of the output.
    fn from(error: std::io::Error) -> Self {
        if is_closed_pipe(&error) { Self::Enough } else { Self::Failed(cannot_write(error)) }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What a dump carries from batch to batch.
struct Dump {
    log: PathBuf,
    filter: Filter,
    /// What is to be said when the first command without a time is shown.
    warning: Option<String>,
    /// Whether it was said that a clock was wrong.
    told_of_clock: bool,
    printer: Printer,
    /// How many commands may still be shown.
    left: u64,
    /// Commands shown.
    shown: u64,
    /// Batches with a checksum so far.
    batches: u64,
    /// The last `#TS`.
    time: Option<i64>,
}

impl Dump {
    fn new(args: &DumpArgs) -> Self {
        Self {
            log: args.file.clone(),
            filter: Filter::new(args),
            warning: None,
            told_of_clock: false,
            printer: Printer::new(args.format),
            left: args.limit.unwrap_or(u64::MAX),
            shown: 0,
            batches: 0,
            time: None,
        }
    }

    /// Makes sure that a log can tell what is asked of it, before anything of it is shown.
    fn look_back(&mut self, log: &Path, parts: &[Part]) -> Result<(), Failure> {
        if self.filter.since.is_none() && self.filter.until.is_none() {
            return Ok(());
        }
        let Horizon { latest, warning } = Horizon::of(log, parts, self.filter.since, self.filter.until)?;
        self.filter.untimed = latest;
        self.warning = warning.map(|why| format!("kvred: {}: {why}", log.display()));
        Ok(())
    }

    fn passes(&mut self, time: i64) {
        self.time = Some(time);
        self.filter.passes(time);
    }

    /// Notes a batch without showing it.
    fn skip(&mut self, batch: &Batch<'_>) {
        self.batches += u64::from(batch.checksummed);
        for (_, time) in batch.times() {
            self.passes(time);
        }
    }

    /// Shows what the filter lets through of a batch.
    fn batch(&mut self, batch: &Batch<'_>) -> Result<(), Stop> {
        let mut times = batch.times().peekable();
        if batch.checksummed {
            self.skip(batch);
        }
        let number = batch.checksummed.then_some(self.batches);
        for (at, args) in batch.records() {
            while let Some((_, time)) = times.next_if(|(stands_at, _)| !batch.checksummed && *stands_at < at) {
                self.passes(time);
            }
            self.printer.may_expire = self.printer.may_expire || check(args).is_err();
            let entry = Entry { offset: at.0, batch: number, time: self.time };
            match self.filter.choose(&entry, args) {
                Chosen::None => {}
                Chosen::All => self.take(&entry)?.record(&entry, args.from(0))?,
                Chosen::Some(words) => self.take(&entry)?.record(&entry, words.iter().copied())?,
            }
        }
        for (_, time) in times {
            self.passes(time);
        }
        // The last command that may be shown is shown before the log's end is waited for.
        if self.left == 0 { Err(Stop::Enough) } else { Ok(()) }
    }

    fn take(&mut self, entry: &Entry) -> Result<&mut Printer, Stop> {
        self.left = self.left.checked_sub(1).ok_or(Stop::Enough)?;
        if entry.time.is_none()
            && let Some(warning) = self.warning.take()
        {
            say!("{warning}");
        }
        if let (Some(time), Some(reached)) = (entry.time, self.filter.reached)
            && self.filter.is_too_early(time)
            && !mem::replace(&mut self.told_of_clock, true)
        {
            say!(
                "kvred: {}: a clock was wrong: byte {} is of {}, and stands behind what is of {}; all behind that is \
                 shown",
                self.log.display(),
                entry.offset,
                text::time(time),
                text::time(reached)
            );
        }
        self.shown += 1;
        Ok(&mut self.printer)
    }
}

fn dump_parts(dump: &mut Dump, source: &Source) -> Result<Status, Stop> {
    if dump.left == 0 {
        return Err(Stop::Enough);
    }
    let doing = (!std::io::stdout().is_terminal()).then_some("dumping");
    for (n, part) in source.parts.iter().enumerate() {
        let shown = part.path.display();
        let recovery = read_part(part, doing, |batch| dump.batch(batch))??;
        // What was read is out before it is said that it is not all.
        dump.printer.flush()?;
        let more_follows = source.more_follows(n);
        let recovery = recovery.as_part(more_follows);
        let end = recovery.end;
        match recovery.verdict {
            Verdict::New | Verdict::Clean => {}
            Verdict::Torn(flaw) if !more_follows => {
                say!("kvred: {shown}: torn at byte {end} ({flaw}); what is before that was dumped");
                return Ok(Status::Negative);
            }
            Verdict::Torn(flaw) | Verdict::Damaged { flaw, .. } => {
                return Err(damaged(&part.path, end, &flaw).into());
            }
        }
    }
    Ok(Status::Fine)
}

/// The end of a dump where the log is damaged.
fn damaged(path: &Path, end: LogOffset, flaw: &Flaw) -> Failure {
    let is = match flaw {
        Flaw::TooLong => format!("cannot be read from byte {end} on"),
        _ => format!("is damaged at byte {end}"),
    };
    failure!(
        Damaged,
        "{} {is} ({flaw}); only what is before that was dumped; see `kvred aof check {}`",
        path.display(),
        for_shell(path)
    )
}
