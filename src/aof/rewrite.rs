//! `kvred aof rewrite`: a log made as short as its data.
//!
//! The new log is complete and durable before it takes its name, so a crash at any point leaves the old one or the
//! new one. In place, the log's locks are held throughout.

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use comfy_table::presets;
use comfy_table::{CellAlignment, Table};

use super::check::fix::Held;
use super::horizon::Horizon;
use super::image::{Image, Size};
use super::reading::read_part;
use super::source::{self, Part};
use super::text::grouped;
use crate::args::{Moment, RewriteArgs};
use crate::command::loader::Loader;
use crate::db::state::{Keyspace, SHARDS};
use crate::exit::{Failure, OrExit, Status, print};
use crate::machine::random_u64;
use crate::persistence::LogOffset;
use crate::persistence::batch::{Batch, Flaw};
use crate::persistence::disk::DiskRead;
use crate::persistence::format::Annotation;
use crate::persistence::lock::lock_is_held;
use crate::persistence::real_disk::file_name;
use crate::persistence::recover::only_copy;
use crate::persistence::replay::{Recovery, RefusedRecord, Verdict};
use crate::terminal::progress::Progress;
use crate::terminal::{for_shell, shown_lines};

/// Rewrites a log.
pub(super) fn run(args: &RewriteArgs) -> Result<Status, Failure> {
    let began = Instant::now();
    // First it is made sure that there is something to lock.
    drop(source::open(&args.file)?);
    let log = source::real_path(&args.file)?;
    refuse_later_part(&args.file)?;
    let held = match &args.output {
        None => Some(Held::take(&log)?),
        Some(out) => {
            refuse_unfit(&log, out, args.until.is_some())?;
            None
        }
    };
    let mut source = source::open(&args.file)?;
    if source.is_manifest && args.output.is_none() {
        return Err(failure!(Usage, "{} is a manifest; name a new log with -o", args.file.display()));
    }
    if let Some(held) = &held {
        // What is replaced has to be what was read, and nobody writes to this one.
        source.parts[0].file = Ok(Arc::clone(&held.file) as Arc<dyn DiskRead>);
    }
    let target = args.output.as_deref().unwrap_or(&log);
    if let Some(until) = args.until {
        Horizon::of(&source.path, &source.parts, None, Some(until))?;
    }
    let keyspace = Keyspace::new(std::array::from_fn(|_| random_u64()));
    let mut before = Before::default();
    let bytes = source.parts.iter().filter_map(|part| part.file.as_ref().ok()?.len().ok()).sum();
    Loader::run(&keyspace, bytes, |loader| {
        for (n, part) in source.parts.iter().enumerate() {
            load(part, source.more_follows(n), args, loader, &mut before)?;
            if before.stopped {
                break;
            }
        }
        Ok::<_, Failure>(())
    })?;
    if let Some(held) = held.as_ref().filter(|_| before.size.records == 0) {
        refuse_only_copy(held)?;
    }
    let after = write(target, &keyspace, &before, held.as_ref())?;
    if let Some(torn) = &before.torn {
        say!("kvred: {torn}");
    }
    let table = table(&before, &after, keyspace.len() as u64);
    let told = format!("{}: rewritten in {:.3} s\n{table}\n", target.display(), began.elapsed().as_secs_f64());
    print(&shown_lines(&told))?;
    Ok(if before.torn.is_some() { Status::Negative } else { Status::Fine })
}

/// In place, keys that it deletes from parts before it would be back; and a new log of it would pass for all of the
/// data.
fn refuse_later_part(path: &Path) -> Result<(), Failure> {
    let Some(manifest) = source::manifest_of_later_part(path)? else { return Ok(()) };
    Err(failure!(
        Usage,
        "{} is no log by itself: it holds what has changed since the parts that {} lists before it; name that \
         manifest, and a new log with -o",
        path.display(),
        manifest.display()
    ))
}

/// A rewrite in place removes what an interrupted one has left.
fn refuse_only_copy(Held { path: log, disk, .. }: &Held) -> Result<(), Failure> {
    let shown = log.display();
    let left = only_copy(&**disk, file_name(log))
        .or_unavailable(|| format!("cannot look for an unfinished rewrite of {shown}"))?;
    let Some(left) = left.map(|name| log.with_file_name(name)) else { return Ok(()) };
    Err(failure!(
        Damaged,
        "{shown} has no data, but {}, which an interrupted rewrite has left, has: it may be the only copy. Nothing was \
         changed; see `kvred aof check {}`, then rename it to {}, or remove it",
        left.display(),
        for_shell(&left),
        file_name(log).display()
    ))
}

fn refuse_unfit(log: &Path, out: &Path, then: bool) -> Result<(), Failure> {
    source::refuse_existing(out)?;
    let shown = log.display();
    if lock_is_held(log).or_unavailable(|| format!("cannot look at the lock of {shown}"))? {
        let instead = if then {
            // A rewrite by the server would leave nothing of what it was then.
            format!("save a copy with `kvred aof check --salvage COPY {}`, and rewrite that", for_shell(log))
        } else {
            "BGREWRITEAOF rewrites it there, or stop that one first".to_owned()
        };
        return Err(failure!(Unavailable, "{shown} is in use by a kvred server; {instead}"));
    }
    Ok(())
}

/// What the log was.
#[derive(Debug, Default)]
struct Before {
    size: Size,
    rewrites: u64,
    /// What is to be said of a torn tail, once the new log is there.
    torn: Option<String>,
    /// Whether the moment in the past was reached.
    stopped: bool,
}

/// Why not all of a part is loaded.
enum Stop {
    /// A command is refused.
    Refused(RefusedRecord),
    /// From here on it was written later than is wanted.
    Late(LogOffset),
}

fn load(
    part: &Part,
    more_follows: bool,
    args: &RewriteArgs,
    loader: &mut Loader<'_>,
    before: &mut Before,
) -> Result<(), Failure> {
    let shown = part.path.display();
    let Before { size, rewrites, .. } = before;
    let loaded = read_part(part, Some("reading"), |batch| {
        let (batch, late) = args.until.map_or((*batch, None), |until| written_until(batch, until));
        for annotation in batch.annotations {
            if let Annotation::Rewritten(n) = annotation {
                *rewrites = *n;
            }
        }
        size.records += batch.len() as u64;
        size.batches += u64::from(batch.checksummed && late.is_none());
        loader.take(&batch).map_err(Stop::Refused)?;
        late.map_or(Ok(()), |at| Err(Stop::Late(at)))
    })?;
    match loaded {
        Ok(recovery) => {
            before.size.bytes += recovery.end.0;
            judge(part, &recovery.as_part(more_follows), more_follows, args, before)
        }
        Err(Stop::Refused(RefusedRecord { index, reason })) => Err(failure!(
            Damaged,
            "{shown}: {reason} (command {} of a batch); see `kvred aof check {}`",
            index + 1,
            for_shell(&part.path)
        )),
        Err(Stop::Late(at)) => {
            before.size.bytes += at.0;
            before.stopped = true;
            Ok(())
        }
    }
}

/// What of a batch was written by then, and where it ends if that is not all. A `#TS` in a batch with a checksum tells
/// of the whole batch, in a plain log of what follows it.
fn written_until<'a>(batch: &Batch<'a>, until: Moment) -> (Batch<'a>, Option<LogOffset>) {
    let Some((late, _)) = batch.times().find(|(_, time)| *time > until.0) else { return (*batch, None) };
    let before = batch.records().take_while(|(at, _)| !batch.checksummed && *at < late).count();
    (batch.first(before), Some(if batch.checksummed { batch.start } else { late }))
}

fn judge(
    part: &Part,
    recovery: &Recovery,
    more_follows: bool,
    args: &RewriteArgs,
    before: &mut Before,
) -> Result<(), Failure> {
    let shown = part.path.display();
    match &recovery.verdict {
        Verdict::New | Verdict::Clean => Ok(()),
        Verdict::Torn(_) if !more_follows && args.output.is_some() => {
            before.torn =
                Some(format!("{shown}: its tail is torn at byte {}; what is before that was rewritten", recovery.end));
            Ok(())
        }
        Verdict::Torn(_) if !more_follows => Err(failure!(
            Negative,
            "{shown}: its tail is torn at byte {}; `kvred aof check --fix {}` cuts it off",
            recovery.end,
            for_shell(&part.path)
        )),
        Verdict::Damaged { flaw: flaw @ Flaw::TooLong, .. } => Err(failure!(
            Damaged,
            "{shown}: record {} at byte {}: {flaw}; nothing was changed",
            recovery.records + 1,
            recovery.end
        )),
        _ => Err(failure!(
            Damaged,
            "{shown} is damaged at byte {}; nothing was changed; see `kvred aof check {}`",
            recovery.end,
            for_shell(&part.path)
        )),
    }
}

/// Writes the new log. `replaced` is the one whose place it takes.
fn write(target: &Path, keyspace: &Keyspace, before: &Before, replaced: Option<&Held>) -> Result<Size, Failure> {
    let doing = || format!("cannot write {}; nothing was changed", target.display());
    let image = match replaced {
        Some(Held { path, disk, .. }) => Image::create_over(disk, file_name(path)),
        None => Image::create(target),
    };
    let mut image = image.or_unavailable(doing)?;
    let done = fill(&mut image, keyspace, before);
    if let Err(e) = done.and_then(|()| replaced.map_or(Ok(()), |log| image.copy_access(&*log.file))) {
        image.discard();
        return Err(e).or_unavailable(doing);
    }
    let size = image.size;
    image.publish().or_unavailable(|| format!("cannot give {} its name", target.display()))?;
    Ok(size)
}

fn fill(image: &mut Image, keyspace: &Keyspace, before: &Before) -> std::io::Result<()> {
    let memory = keyspace.memory().data_bytes as u64;
    let progress = Progress::new("writing", memory);
    let mut done = 0;
    for shard in 0..SHARDS {
        let mut result = Ok(());
        keyspace.lock(shard).walk(0, usize::MAX, usize::MAX, |key, value| {
            if result.is_ok() {
                result = image.set(key, value.as_slice());
            }
            done += (key.len() + value.len()) as u64;
            progress.at(done);
        });
        result?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    // A log as it was before does not go on from the one that a follower knows: with a number left out, that one starts
    // over.
    let number = before.rewrites + 1 + u64::from(before.stopped);
    image.finish(Some((number, i64::try_from(now).unwrap_or(i64::MAX))))
}

fn table(before: &Before, after: &Size, keys: u64) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(["", "before", "after"]);
    let mut row = |name: &str, before: Option<u64>, after: u64| {
        table.add_row([name.to_owned(), before.map_or_else(String::new, grouped), grouped(after)]);
    };
    row("bytes", Some(before.size.bytes), after.bytes);
    row("records", Some(before.size.records), after.records);
    row("batches", Some(before.size.batches), after.batches);
    row("keys", None, keys);
    for column in 1..3 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
