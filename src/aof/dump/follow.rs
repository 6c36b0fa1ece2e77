//! `dump --follow`: what is committed to a log, as it is committed, each change once.
//!
//! The log is the only source, and a server may do three things to it:
//!
//! - **It appends.** The follower comes back to where the last whole batch ended. What does not verify there yet is
//!   being written, or is the trace of a crash, which the server's next start cuts off; neither was shown.
//! - **It rewrites it**: another file takes its name. The server makes sure that all that the old file has committed
//!   stands in the new one up to and including the batch with `#REWRITTEN:<n>`, and nothing else does. So the
//!   follower, once it has seen the new file under the name, reads the old one to its end, which is final then, and
//!   goes on in the new one directly behind that batch. If `n` is not the next number, a whole file was missed, or the
//!   new one holds what the log was at a moment before (`aof rewrite --until` leaves a number out).
//! - **It cuts it back** behind what was shown: only when a sync had failed, and the outcome of the last batches was
//!   unknown to their writers too. (A batch is shown when its commit line is there, under `always` a sync earlier than
//!   it is acknowledged. If the sync fails, and the disk then refuses to cut the file back as well, the batch stays
//!   shown although the server goes on without it: nothing in the files tells.)
//!
//! Where the thread is lost the follower says so and starts over: a `FLUSHALL`, then the log from its beginning.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::reading::{self, Settle};
use super::super::source::{self, Part};
use super::printer::Entry;
use super::{Dump, Stop, damaged};
use crate::exit::{Failure, OrExit, Status};
use crate::persistence::disk::{DiskRead, FileId};
use crate::persistence::format::Annotation;
use crate::persistence::replay::{Replay, Verdict};
use crate::terminal::progress::Progress;

/// How often the log is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long a batch that does not verify may be one that is being written, and a name that is gone about to be given to
/// another file.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// A file under a name.
struct Log {
    file: Arc<dyn DiskRead>,
    /// Another file that takes the name has another one.
    identity: FileId,
    replay: Replay,
    /// Since when the name is gone.
    gone_since: Option<Instant>,
    /// Whether that was said.
    told_gone: bool,
}

/// Follows the log at `path` until there was enough.
pub(super) fn run(dump: &mut Dump, path: &Path) -> Result<Status, Stop> {
    let mut log = begin(dump, path)?;
    let (mut flawed_since, mut warned) = (None, false);
    loop {
        if dump.left == 0 {
            return Err(Stop::Enough);
        }
        let before = log.replay.found().end;
        drain(dump, &mut log, path)?;
        dump.printer.flush()?;
        if log.replay.found().end > before {
            (flawed_since, warned) = (None, false);
        }
        if identity_of(path).is_some_and(|now| now != log.identity) {
            // Nothing is written to the old file any more: what is read now is all.
            log.replay.retry();
            drain(dump, &mut log, path)?;
            log = match cut_back(&log, path)? {
                // Between two looks a sync failed, and the server went on in another file without the last batches.
                Some(why) => start_over(dump, path, &why)?,
                None => switch(dump, &log, path)?,
            };
            (flawed_since, warned) = (None, false);
            continue;
        }
        if let Some(why) = cut_back(&log, path)? {
            log = start_over(dump, path, &why)?;
            continue;
        }
        if log.replay.flaw().is_some()
            && !warned
            && flawed_since.get_or_insert_with(Instant::now).elapsed() >= SETTLES_WITHIN
        {
            if let Some(why) = judge_flaw(&log, path)? {
                log = start_over(dump, path, &why)?;
                continue;
            }
            warned = true;
        }
        wait_for_more(&mut log, path)?;
        log.replay.retry();
    }
}

/// Whether the log ends before what was shown, in words.
fn cut_back(log: &Log, path: &Path) -> Result<Option<String>, Failure> {
    let position = log.replay.found().end;
    let len = log.file.len().or_unavailable(|| cannot_read(path))?;
    let why = || format!("it was cut back from byte {position} to {len}, behind what was shown");
    Ok((len < position.0).then(why))
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

fn identity_of(path: &Path) -> Option<FileId> {
    // A name that is gone for a moment, or for good, leaves the file that is open.
    path.metadata().ok().map(|m| (m.dev(), m.ino()))
}

/// Opens what has the name now, to show it from its beginning.
fn begin(dump: &mut Dump, path: &Path) -> Result<Log, Failure> {
    let log = open(path)?;
    dump.look_back(path, &[Part { path: path.to_owned(), file: Ok(Arc::clone(&log.file)) }])?;
    Ok(log)
}

/// Opens what has the name now.
fn open(path: &Path) -> Result<Log, Failure> {
    loop {
        let before = identity_of(path);
        let mut opened = source::open(path)?;
        let file = opened.parts.remove(0).file.map_err(|why| failure!(Unavailable, why))?;
        if let Some(identity) = identity_of(path).filter(|now| before == Some(*now)) {
            let replay = Replay::new(Arc::clone(&file)).or_unavailable(|| cannot_read(path))?;
            return Ok(Log { file, identity, replay, gone_since: None, told_gone: false });
        }
    }
}

/// Shows what is committed and was not shown yet.
fn drain(dump: &mut Dump, log: &mut Log, path: &Path) -> Result<(), Stop> {
    while let Some(batch) = log.replay.next().or_unavailable(|| cannot_read(path))? {
        dump.batch(&batch)?;
    }
    Ok(())
}

/// Goes over to the file that has taken the name.
fn switch(dump: &mut Dump, old: &Log, path: &Path) -> Result<Log, Stop> {
    let expected = old.replay.found().rewrites + 1;
    let mut new = open(path)?;
    (dump.batches, dump.time) = (0, None);
    // Offsets are those of the new file from here on.
    dump.filter.from = 0;
    while let Some(batch) = new.replay.next().or_unavailable(|| cannot_read(path))? {
        dump.skip(&batch);
        let number =
            batch.annotations.iter().find_map(|a| if let Annotation::Rewritten(n) = a { Some(*n) } else { None });
        match number {
            Some(n) if n == expected => return Ok(new),
            Some(n) => {
                let why = format!(
                    "it was replaced by rewrite {n}, after {} the next would have been {expected}",
                    expected - 1
                );
                return start_over(dump, path, &why);
            }
            None => {}
        }
    }
    start_over(dump, path, "it was replaced by another log, which does not go on from it")
}

/// Begins again with all that the log holds now.
fn start_over(dump: &mut Dump, path: &Path, why: &str) -> Result<Log, Stop> {
    dump.printer.flush()?;
    let log = begin(dump, path)?;
    (dump.batches, dump.time, dump.filter.from, dump.filter.reached) = (0, None, 0, None);
    if dump.shown > 0 {
        say!("kvred: {}: {why}; starting over", path.display());
        let entry = Entry { offset: 0, batch: None, time: None };
        dump.take(&entry)?.record(&entry, [&b"FLUSHALL"[..]].into_iter())?;
    }
    Ok(log)
}

/// Why to start over at a flaw that stays, in words. If there is no reason, the log is torn, and that is said.
fn judge_flaw(log: &Log, path: &Path) -> Result<Option<String>, Failure> {
    let position = log.replay.found().end;
    if continues_elsewhere(log, path)? {
        return Ok(Some(format!("its bytes from {position} on are not those that were read")));
    }
    say!(
        "kvred: {}: torn at byte {position}; the next start of its server repairs that, and is waited for",
        path.display()
    );
    Ok(None)
}

/// Whether a log that seems torn to the follower is sound beyond that for one who reads it from its beginning.
fn continues_elsewhere(log: &Log, path: &Path) -> Result<bool, Failure> {
    let Ok(recovery) = reading::read(&log.file, &Progress::hidden(), Settle::AtOnce, |_| Ok::<_, Infallible>(()))
        .or_unavailable(|| cannot_read(path))?;
    if recovery.end > log.replay.found().end {
        return Ok(true);
    }
    match recovery.verdict {
        Verdict::Damaged { flaw, .. } => Err(damaged(path, recovery.end, &flaw)),
        _ => Ok(false),
    }
}

/// Waits until something may have happened: to the file, to its name, or to who reads the output.
fn wait_for_more(log: &mut Log, path: &Path) -> Result<(), Stop> {
    let position = log.replay.found().end;
    loop {
        let stdout = io::stdout();
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        let interval = Timespec { tv_sec: 0, tv_nsec: i64::from(INTERVAL.subsec_nanos()) };
        // Without any event asked for, only a closed pipe ends the wait early.
        match poll(&mut fds, Some(&interval)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Err(Stop::Enough),
            Err(e) => return Err(Stop::from(io::Error::from(e))),
        }
        // A batch never begins with a zero byte: that is reserved space.
        let mut next = [0];
        let read = log.file.read_at(&mut next, position.0).or_unavailable(|| cannot_read(path))?;
        let identity = identity_of(path);
        if identity.is_some() {
            (log.gone_since, log.told_gone) = (None, false);
        } else if !log.told_gone && log.gone_since.get_or_insert_with(Instant::now).elapsed() >= SETTLES_WITHIN {
            // Redis removes a part that it has rewritten, and goes on in one of another name.
            say!("kvred: {}: it was removed or renamed; a new log of that name is waited for", path.display());
            log.told_gone = true;
        }
        let replaced = identity.is_some_and(|now| now != log.identity);
        let cut_back = log.file.len().or_unavailable(|| cannot_read(path))? < position.0;
        if replaced || cut_back || (read == 1 && next != [0]) {
            return Ok(());
        }
    }
}
