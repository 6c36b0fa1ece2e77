//! The rewrite: a new log with the state as it is, in place of one with its history; while the server works, without a
//! fork, without a second copy of the data, and without a second log.
//!
//! 1. Under the commit token, note the *cut*: the end of the last published group.
//! 2. Walk the keyspace in small steps and write each key to a temporary file.
//! 3. Copy what the live log gained since the cut, batch by batch, verified; again and again until little is left.
//!    Where the writers are as fast as the copy, in pieces for which they wait.
//! 4. Under the commit token: copy the rest, sync, rename over the log, sync the directory, go on in the new file.
//!
//! Records behind the cut may stand in the walked part already, with newer values: they are absolute, and replaying
//! them over it gives the right state. Until the rename the old log is the log, and any failure only drops the
//! temporary file. After a failed sync the same way heals the log: nothing is taken from the old file then, the state
//! in memory is all there is.
//!
//! The work is cut into steps, so that whoever drives it can pause in between, and a test can do anything there.

mod new_log;
mod report;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use thiserror::Error;

pub use self::report::RewriteReport;
use super::{Log, LogPlace, Writer};
use crate::db::state::{SHARDS, ValueRef};
use crate::persistence::LogOffset;
use crate::persistence::aof::{Aof, temporary_name};
use crate::persistence::disk::{DiskFile, DiskRead, PIECE_BYTES};
use crate::persistence::format::Annotation;
use crate::persistence::reader::LogReader;
use crate::persistence::write_back::WriteBack;
use crate::protocol::encode;
use crate::protocol::rope::Rope;

/// Most keys met under one lock: a reader of the same shard waits no longer than copying them takes.
const STEP_KEYS: usize = 64;

/// A shard is left after so many bytes of keys and values.
const STEP_BYTES: usize = 64 << 10;

/// How much of the old log the system forgets at a time.
const FORGET_BYTES: u64 = PIECE_BYTES;

/// The sizes of a rewrite's pieces; smaller ones only in tests, so that a small log takes many steps.
#[derive(Debug, Clone, Copy)]
pub struct Pieces {
    /// How much is gathered for one batch of the new log.
    pub batch_bytes: usize,
    /// The new log is synced whenever it has grown by so much, so that the last sync, with the writers waiting, is
    /// short.
    pub sync_every_bytes: u64,
    /// With less than this left to copy, the writers are made to wait for the end.
    pub last_piece_bytes: u64,
    /// Where the writers are as fast as the copy, they wait while so much is copied, or more if that is too little.
    pub held_bytes: u64,
}

impl Default for Pieces {
    fn default() -> Self {
        Self { batch_bytes: 64 << 10, sync_every_bytes: 16 << 20, last_piece_bytes: 64 << 10, held_bytes: 2 << 20 }
    }
}

/// Why a rewrite came to nothing; the log is as it was.
#[derive(Debug, Error)]
pub enum RewriteError {
    /// There is no log.
    #[error("nothing is written to disk (--appendonly no)")]
    NoLog,
    /// The server is stopping, or the log is closed.
    #[error("the server is stopping")]
    Closed,
    /// A file operation failed.
    #[error("{doing}: {error}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// The live log could not be read back.
    #[error("the log cannot be read back at byte {at}: {reason}")]
    LiveLog {
        /// Where.
        at: LogOffset,
        /// Why.
        reason: String,
    },
    /// Somebody has put another file in the log's place.
    #[error("{} is another file by now, which is not replaced; move that away", .0.display())]
    NameTaken(PathBuf),
    /// A sync of the live log failed meanwhile, so what was copied from it proves nothing.
    #[error("a sync of the log failed meanwhile")]
    Poisoned,
}

/// A rewrite under way.
pub struct Rewrite {
    pieces: Pieces,
    new: Aof,
    /// Reads the live log from the cut on; `None` when healing.
    live: Option<LogReader>,
    copied_to: LogOffset,
    phase: Phase,
    rope: Rope,
    write_back: WriteBack,
    synced_at: LogOffset,
    /// Keys written so far.
    pub keys: u64,
    /// What was left to copy when the last pass began, or since the writers were last made to wait.
    left: u64,
    /// The log that was replaced, and how far the system has forgotten it.
    old: Option<(Arc<dyn DiskFile>, u64)>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Walk {
        shard: usize,
        position: u64,
    },
    /// Between two passes over what the live log gained.
    Copy,
    /// In a pass up to `limit`.
    Pass {
        limit: LogOffset,
    },
}

/// What a step of a rewrite has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    More {
        /// Whether the driver may pause: not when the writers are as fast as the copy.
        may_pause: bool,
    },
    /// The new log is the log.
    Done,
}

impl Writer {
    /// Begins a rewrite; after a failed sync, the one that heals.
    ///
    /// # Errors
    /// [`RewriteError`]
    pub fn begin_rewrite(&self) -> Result<Rewrite, RewriteError> {
        self.begin_rewrite_in(Pieces::default())
    }

    /// Begins a rewrite in pieces of other sizes.
    ///
    /// # Errors
    /// [`RewriteError`]
    pub fn begin_rewrite_in(&self, pieces: Pieces) -> Result<Rewrite, RewriteError> {
        let place = self.place.as_ref().ok_or(RewriteError::NoLog)?;
        let (live, cut, rewrites) = {
            let log = self.token();
            let aof = log.aof.as_ref().ok_or(RewriteError::Closed)?;
            place.refuse_taken_name(&**aof.file())?;
            let healing = self.poisoned().is_some();
            let file = Arc::clone(aof.file()) as Arc<dyn DiskRead>;
            let reader = LogReader::resume(file, aof.chain(), aof.end(), aof.end());
            ((!healing).then_some(reader), aof.end(), aof.rewrites())
        };
        // From here on no worker commits inline: this thread's syncs would hold it up.
        self.rewriting.store(true, Ordering::SeqCst);
        let new = Aof::create_temporary(&*place.disk, &temporary_name(&place.name), (place.salt)())
            .inspect_err(|_| self.drop_rewrite())
            .map_err(failed("cannot make the new log"))?
            .with_rewrites(rewrites);
        Ok(Rewrite {
            pieces,
            write_back: WriteBack::new(new.end()),
            synced_at: new.end(),
            new,
            live,
            copied_to: cut,
            phase: Phase::Walk { shard: 0, position: 0 },
            rope: Rope::default(),
            keys: 0,
            left: 0,
            old: None,
        })
    }

    /// Does a bounded piece of a rewrite.
    ///
    /// # Errors
    /// [`RewriteError`]: the rewrite is over, and [`Writer::drop_rewrite`] cleans up.
    pub fn step_rewrite(&self, rewrite: &mut Rewrite) -> Result<Step, RewriteError> {
        if rewrite.live.is_some() && self.poisoned().is_some() {
            return Err(RewriteError::Poisoned);
        }
        match rewrite.phase {
            Phase::Walk { shard, position } => {
                rewrite.phase = self.walk(rewrite, shard, position)?;
                Ok(Step::More { may_pause: true })
            }
            Phase::Copy => self.begin_pass_or_finish(rewrite),
            Phase::Pass { limit } => {
                if rewrite.copy_piece(limit)? {
                    rewrite.sync()?;
                    rewrite.phase = Phase::Copy;
                }
                rewrite.sync_if_due()?;
                Ok(Step::More { may_pause: true })
            }
        }
    }

    /// Carries out a rewrite. Between two steps, `between` is told whether it may pause; its error ends the rewrite.
    pub(super) fn rewrite_whole(
        &self,
        mut between: impl FnMut(bool) -> Result<(), RewriteError>,
    ) -> Result<Rewrite, RewriteError> {
        let mut rewrite = self.begin_rewrite()?;
        loop {
            match self.step_rewrite(&mut rewrite) {
                Ok(Step::Done) => return Ok(rewrite),
                Ok(Step::More { may_pause }) => between(may_pause),
                Err(e) => Err(e),
            }
            .inspect_err(|_| self.drop_rewrite())?;
        }
    }

    /// Drops an unfinished rewrite.
    pub fn drop_rewrite(&self) {
        self.rewriting.store(false, Ordering::SeqCst);
        if let Some(place) = &self.place {
            // What stays behind is removed at the next rewrite or start.
            drop(place.disk.remove(&temporary_name(&place.name)));
        }
    }

    /// Writes some keys to the new log: one batch, or more where a bucket has large values.
    fn walk(&self, rewrite: &mut Rewrite, shard: usize, position: u64) -> Result<Phase, RewriteError> {
        let (mut shard, mut position) = (shard, position);
        let batch_bytes = rewrite.pieces.batch_bytes;
        let mut full = Vec::new();
        rewrite.rope.clear();
        while rewrite.rope.len() < batch_bytes && full.is_empty() && shard < SHARDS {
            let (rope, keys) = (&mut rewrite.rope, &mut rewrite.keys);
            let next = self.keyspace.lock(shard).walk(position, STEP_KEYS, STEP_BYTES, |key, value| {
                // A bucket comes as a whole, and may have more in it than a batch can be long.
                if !rope.is_empty() && rope.len() + key.len() + value.len() > batch_bytes {
                    full.push(std::mem::take(rope));
                }
                append_set(rope, key, value);
                *keys += 1;
            });
            (shard, position) = next.map_or((shard + 1, 0), |position| (shard, position));
        }
        self.report_rewrite(|report| report.keys = rewrite.keys);
        full.push(std::mem::take(&mut rewrite.rope));
        for rope in full {
            rewrite.rope = rope;
            rewrite.append(&[None])?;
            rewrite.sync_if_due()?;
        }
        if shard < SHARDS {
            return Ok(Phase::Walk { shard, position });
        }
        rewrite.sync()?;
        // As much as was written: that pass would take as long as the walk, and leave as much again.
        rewrite.left = 2 * rewrite.new.end().0;
        Ok(Phase::Copy)
    }

    fn begin_pass_or_finish(&self, rewrite: &mut Rewrite) -> Result<Step, RewriteError> {
        let published = self.sync.lock().written;
        let left = published.0.saturating_sub(rewrite.copied_to.0);
        let little = rewrite.live.is_none() || left <= rewrite.pieces.last_piece_bytes;
        // Else the writers are about as fast as the copy.
        if !little && left < rewrite.left / 2 {
            rewrite.left = left;
            rewrite.phase = Phase::Pass { limit: published };
            return Ok(Step::More { may_pause: true });
        }
        if little || self.copy_held(rewrite)? {
            self.finish(rewrite)?;
            return Ok(Step::Done);
        }
        Ok(Step::More { may_pause: false })
    }

    /// Copies a piece with the writers waiting, a larger one than the last if they have written half as much since: so
    /// however fast they are, it comes to an end, and they wait no longer than that takes. `true`: all is copied.
    fn copy_held(&self, rewrite: &mut Rewrite) -> Result<bool, RewriteError> {
        let log = self.token();
        let end = log.aof.as_ref().ok_or(RewriteError::Closed)?.end();
        let gained = (end.0 - rewrite.copied_to.0).saturating_sub(rewrite.left);
        let held = &mut rewrite.pieces.held_bytes;
        if gained > *held / 2 {
            *held *= 2;
        }
        let enough = rewrite.copied_to.0 + *held;
        let mut all = false;
        while !all && rewrite.copied_to.0 < enough {
            all = rewrite.copy_piece(end)?;
        }
        if !all {
            // Synced here, while the writers wait anyway: later they would gain on the copy meanwhile, and at the end
            // one long sync would hold them up.
            rewrite.sync_if_due()?;
        }
        // From here on no pass would halve what is left, so pieces are copied like this until the end.
        rewrite.left = end.0 - rewrite.copied_to.0;
        Ok(all)
    }

    /// Puts the new log in the place of the old one, with the writers waiting.
    fn finish(&self, rewrite: &mut Rewrite) -> Result<(), RewriteError> {
        let place = self.place.as_ref().ok_or(RewriteError::NoLog)?;
        let mut log = self.token();
        let live = log.aof.as_ref().ok_or(RewriteError::Closed)?;
        if rewrite.live.is_some() {
            if self.poisoned().is_some() {
                return Err(RewriteError::Poisoned);
            }
            while !rewrite.copy_piece(live.end())? {}
        }
        let own_start = rewrite.new.end();
        rewrite.new.sync().map_err(failed("cannot sync the new log"))?;
        let closing = [
            Some(Annotation::Synced(own_start)),
            Some(Annotation::Timestamp(self.clock.unix_time().as_secs().cast_signed())),
            Some(Annotation::Rewritten(rewrite.new.rewrites() + 1)),
        ];
        rewrite.rope.clear();
        rewrite.append(&closing)?;
        rewrite.new.sync().map_err(failed("cannot sync the new log"))?;
        rewrite.new.copy_access(&**live.file());
        place.refuse_taken_name(&**live.file())?;
        place.disk.rename(&temporary_name(&place.name), &place.name).map_err(failed("cannot rename the new log"))?;
        self.go_on_in(rewrite, place, &mut log);
        Ok(())
    }

    /// From the rename on there is no way back.
    fn go_on_in(&self, rewrite: &mut Rewrite, place: &LogPlace, log: &mut Log) {
        let durable_name = place.disk.sync_dir();
        let file = Arc::clone(rewrite.new.file());
        let end = rewrite.new.end();
        let chain = rewrite.new.chain();
        let rewrites = rewrite.new.rewrites();
        let new = Aof::continue_chain(Arc::clone(&file), chain, end).with_rewrites(rewrites);
        let durable = Arc::clone(new.durable());
        rewrite.old = log.aof.replace(new).map(|old| (Arc::clone(old.file()), 0));
        if let (Err(_), Some((old, _))) = (&durable_name, &rewrite.old) {
            // After a power cut the name may still be the old file's, and what of that is not on the disk yet, the
            // system drops when it is closed. If this fails, too, there is nothing left to be done for it.
            drop(old.sync_data());
        }
        {
            let mut sync = self.sync.lock();
            sync.file = Some(file);
            sync.durable = durable;
            sync.written = end;
            sync.write_back = rewrite.write_back;
            sync.base_bytes = end.0;
            sync.oldest_unsynced = None;
            sync.oldest_uncovered = None;
            if durable_name.is_ok() {
                sync.synced_group = sync.written_group;
            }
            sync.failed = None;
            sync.epoch += 1;
        }
        self.rewriting.store(false, Ordering::SeqCst);
        let mut open = self.open.lock();
        match durable_name {
            Ok(()) => {
                if open.poisoned.take().is_some() {
                    tracing::warn!("the append-only file is healed: all data was written to a new one");
                }
                drop(open);
                self.note_write_success();
            }
            Err(e) => {
                // The name may still be the old file's after a power cut, so nothing may be acknowledged.
                let reason: Arc<str> = format!("fsync of the directory failed after a rewrite: {e}").into();
                self.fail_open_group(open, &reason);
            }
        }
        self.sync_changed.notify_all();
        self.wake_sync_waiters();
    }
}

impl Rewrite {
    /// How far the new log has come, in bytes.
    pub fn new_bytes(&self) -> u64 {
        self.new.end().0
    }

    /// After the end: lets the system forget a piece of the old log; `false` when nothing is left of it. Closing a
    /// large file at once keeps a core busy in the kernel for as long as a hundredth of a second for each 200 MB.
    pub fn forget_old(&mut self) -> bool {
        self.live = None;
        let Some((file, forgotten)) = &mut self.old else { return false };
        if file.len().is_ok_and(|len| *forgotten < len) {
            file.forget_cached(*forgotten..*forgotten + FORGET_BYTES);
            *forgotten += FORGET_BYTES;
            return true;
        }
        self.old = None;
        false
    }
}

fn append_set(rope: &mut Rope, key: &[u8], value: ValueRef<'_>) {
    rope.buffer.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
    encode::bulk(&mut rope.buffer, key);
    value.append_bulk(rope);
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> RewriteError {
    move |error| RewriteError::Io { doing, error }
}
