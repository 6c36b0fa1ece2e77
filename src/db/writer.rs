//! The write sequencer: the one order of all writes, from evaluation to acknowledgement.
//!
//! 1. **Evaluate**, under one short lock: a command's effect goes into the open group ([`WriteBatch`]).
//! 2. **Seal**: whoever holds the commit token takes the open group; one group is under way at a time.
//! 3. **Commit**: write it to the log as one batch; under `always`, sync.
//! 4. **Publish** it to the keyspace, command by command.
//! 5. **Resolve**: its [`Ticket`]s tell, and the workers that wait are woken.
//!
//! Invariants: no reader of the keyspace sees a write before step 3 is done. What was evaluated on top of a group that
//! fails, fails with it, unwritten. After a failed sync nothing is acknowledged any more.
//!
//! Nothing here starts a thread or waits for anything but the disk: [`log_thread`](super::log_thread) does that.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

pub use super::group::WriteFailure;
use super::group::{Effect, Group, Op, Outcome};
use super::pending::{Lookup, Pending};
use super::rewrite::RewriteReport;
use super::state::{Garbage, KeyHash, Keyspace, NewValue, Shard, ValueRef};
use crate::persistence::aof::{Aof, AppendError, DurableMark, EndStretchError};
use crate::persistence::disk::{Disk, DiskFile};
use crate::persistence::format::Salt;
use crate::persistence::{FsyncPolicy, LogOffset};

/// A group larger than this is not committed on an event loop: the copy and the checksum alone would be felt.
const INLINE_GROUP_BYTES: usize = 256 << 10;

/// With more than this unsynced, a plain `write` may have to wait for the disk, so it is left to the log thread.
const INLINE_UNSYNCED_BYTES: u64 = 256 << 20;

/// How many groups a worker commits in a row before it leaves the rest to the log thread.
const INLINE_ROUNDS: usize = 2;

/// `everysec`: past this age of the oldest unsynced byte, writes wait for the sync.
pub const MAX_UNSYNCED_AGE: Duration = Duration::from_secs(2);

/// So long nothing more is logged about failing writes.
const WRITE_FAILURE_QUIET: Duration = Duration::from_secs(10);

/// Keys hashed and prefetched ahead while a group is published.
const PUBLISH_WINDOW: usize = 16;

/// The time, given to the writer so that tests can set it.
pub trait Clock: Send + Sync {
    /// Since 1970.
    fn unix_time(&self) -> Duration;
    /// Since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock(std::time::Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Clock for SystemClock {
    fn unix_time(&self) -> Duration {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Called when groups were resolved and a worker has something waiting; from any thread.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// Where the log lies, for who makes a new one.
pub struct LogPlace {
    /// Its directory.
    pub disk: Arc<dyn Disk>,
    /// Its name there.
    pub name: PathBuf,
    /// Gives each new chain its salt.
    pub salt: Box<dyn Fn() -> Salt + Send + Sync>,
}

/// The sequencer. One per server, shared by all threads.
pub struct Writer {
    pub(super) keyspace: Arc<Keyspace>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) open: Mutex<Open>,
    /// The commit token, with what only its holder uses.
    pub(super) log: Mutex<Log>,
    /// `None`: nothing is written to disk.
    pub(super) place: Option<LogPlace>,
    /// The log's newest batches stand under `#NOSYNC`.
    pub(super) in_no_sync_stretch: AtomicBool,
    /// A rewrite is under way.
    pub(super) rewriting: AtomicBool,
    /// Keys that it has written.
    pub(super) rewritten_keys: AtomicU64,
    pub(super) rewrite_report: Mutex<RewriteReport>,
    /// Woken when a rewrite is asked for.
    pub(super) rewrite_signal: Signal,
    /// Connections that wait for a sync.
    sync_waiters: AtomicU64,
    /// Set by who wanted the token and did not get it: the holder looks before it goes.
    commit_wanted: AtomicBool,
    policy: PolicyCell,
    pub(super) sync: Mutex<SyncState>,
    /// Woken when there is something to sync, when a sync has ended, and at shutdown.
    pub(super) sync_changed: Condvar,
    /// Woken when the log thread has something to commit.
    pub(super) log_signal: Signal,
    wakes: Box<[Wake]>,
    counters: Counters,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// What evaluation needs, under the short lock.
pub(super) struct Open {
    group: Group,
    pending: Pending,
    /// An emptied group, to save its allocations.
    spare: Option<Group>,
    /// Workers that wait for the open group, or for room in the next, a bit each.
    waiting: WorkerSet,
    /// Workers that wait for the group under way.
    waiting_for_sealed: WorkerSet,
    /// Why no write is taken, after a failed sync or undo.
    pub(super) poisoned: Option<Arc<str>>,
}

/// What the holder of the commit token has.
pub(super) struct Log {
    /// `None`: nothing is written to disk, or it is closed.
    pub(super) aof: Option<Aof>,
    garbage: Vec<Garbage>,
}

/// What the threads that write and sync tell each other.
pub(super) struct SyncState {
    pub(super) file: Option<Arc<dyn DiskFile>>,
    pub(super) durable: Arc<DurableMark>,
    /// Where the log ends.
    pub(super) written: LogOffset,
    /// The log's length after the last rewrite, or when it was loaded.
    pub(super) base_bytes: u64,
    /// When the oldest byte that is not durable was written.
    pub(super) oldest_unsynced: Option<Duration>,
    /// While a sync is running: when the oldest byte was written that it may not cover.
    pub(super) oldest_uncovered: Option<Duration>,
    running: bool,
    /// A sync of this file has failed: what a later one says proves nothing.
    pub(super) failed: Option<Arc<str>>,
    /// A sync is wanted now, whatever the policy.
    requested: bool,
    /// Groups written, and synced, since the start: positions that only grow, also across rewrites.
    pub(super) written_group: u64,
    pub(super) synced_group: u64,
    /// Counts the files: a sync of a file that was replaced meanwhile means nothing any more.
    pub(super) epoch: u64,
}

/// Figures for `INFO persistence`.
#[derive(Debug, Default)]
struct Counters {
    delayed_syncs: AtomicU64,
    last_sync_micros: AtomicU64,
    write_failures: AtomicU64,
    last_write_failed: AtomicBool,
    /// The log told that writes fail, and not yet that they work again.
    failure_told: AtomicBool,
    /// Until then (monotonic seconds) it does not tell again.
    failures_quiet_until: AtomicU64,
    pending_bytes: AtomicU64,
    syncs: AtomicU64,
    groups: AtomicU64,
}

/// What `INFO persistence` tells about the log.
#[derive(Debug, Clone)]
pub struct WriterStats {
    /// Whether writes go to a log at all.
    pub enabled: bool,
    /// The policy in force.
    pub policy: FsyncPolicy,
    /// The log's length.
    pub log_bytes: u64,
    /// The log's length after the last rewrite, or when it was loaded.
    pub base_bytes: u64,
    /// What of it is not known to be durable.
    pub unsynced_bytes: u64,
    /// Evaluated and not written yet.
    pub pending_bytes: u64,
    /// How often writes waited for a slow sync under `everysec`.
    pub delayed_syncs: u64,
    /// How long the last sync took.
    pub last_sync: Duration,
    /// Syncs that ended well.
    pub syncs: u64,
    /// Groups that were committed.
    pub groups: u64,
    /// Whether the last write went wrong.
    pub last_write_failed: bool,
    /// Writes that went wrong.
    pub write_failures: u64,
    /// Why no write is taken any more.
    pub poisoned: Option<Arc<str>>,
    /// How rewrites go.
    pub rewrite: RewriteReport,
}

impl Writer {
    /// A sequencer over `keyspace`, appending to `aof` if there is one. `wakes` has one entry for each worker.
    ///
    /// # Panics
    /// With more than [`WorkerSet::MAX`] workers.
    pub fn new(
        keyspace: Arc<Keyspace>,
        log: Option<(Aof, LogPlace)>,
        policy: FsyncPolicy,
        clock: Arc<dyn Clock>,
        wakes: Vec<Wake>,
    ) -> Self {
        assert!(wakes.len() <= WorkerSet::MAX, "at most {} workers", WorkerSet::MAX);
        let (aof, place) = log.unzip();
        let in_no_sync_stretch = aof.as_ref().is_some_and(Aof::in_no_sync_stretch);
        let sync = SyncState {
            file: aof.as_ref().map(|a| Arc::clone(a.file())),
            durable: aof.as_ref().map(|a| Arc::clone(a.durable())).unwrap_or_default(),
            written: aof.as_ref().map_or(LogOffset(0), Aof::end),
            base_bytes: aof.as_ref().map_or(0, |a| a.end().0),
            oldest_unsynced: None,
            oldest_uncovered: None,
            running: false,
            failed: None,
            requested: false,
            written_group: 0,
            synced_group: 0,
            epoch: 0,
        };
        Self {
            keyspace,
            clock,
            open: Mutex::new(Open {
                group: Group::default(),
                pending: Pending::default(),
                spare: Some(Group::default()),
                waiting: WorkerSet::default(),
                waiting_for_sealed: WorkerSet::default(),
                poisoned: None,
            }),
            log: Mutex::new(Log { aof, garbage: Vec::new() }),
            place,
            in_no_sync_stretch: AtomicBool::new(in_no_sync_stretch),
            rewriting: AtomicBool::new(false),
            rewritten_keys: AtomicU64::new(0),
            rewrite_report: Mutex::default(),
            rewrite_signal: Signal::default(),
            sync_waiters: AtomicU64::new(0),
            commit_wanted: AtomicBool::new(false),
            policy: PolicyCell::new(policy),
            sync: Mutex::new(sync),
            sync_changed: Condvar::new(),
            log_signal: Signal::default(),
            wakes: wakes.into(),
            counters: Counters::default(),
        }
    }

    /// The keyspace that it publishes to.
    pub fn keyspace(&self) -> &Arc<Keyspace> {
        &self.keyspace
    }

    /// The policy in force.
    pub fn policy(&self) -> FsyncPolicy {
        self.policy.get()
    }

    /// Changes the policy; it holds from the next group on.
    pub fn set_policy(&self, policy: FsyncPolicy) {
        let mut sync = self.sync.lock();
        self.policy.set(policy);
        // What was written under the old policy: the new one might leave it unsynced for good.
        sync.requested = true;
        drop(sync);
        self.sync_changed.notify_all();
    }

    /// Why no write is taken, if so.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.open.lock().poisoned.clone()
    }

    /// The time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    // ---- evaluation ------------------------------------------------------------------------------------------------

    /// Begins a batch with a write. It holds the short lock until it is finished or dropped.
    ///
    /// # Errors
    /// [`NotNow`]: no room, or no writes at all.
    pub fn begin(&self, worker: usize) -> Result<WriteBatch<'_>, NotNow> {
        let mut open = self.open.lock();
        if let Some(reason) = &open.poisoned {
            return Err(NotNow::Failed(WriteFailure::Refused(Arc::clone(reason))));
        }
        if open.group.is_full() {
            open.waiting.insert(worker);
            return Err(NotNow::NoRoom);
        }
        Ok(WriteBatch { writer: self, open, worker })
    }

    // ---- the commit token -------------------------------------------------------------------------------------------

    /// Takes the commit token, for something other than committing the open group.
    pub(super) fn token(&self) -> Token<'_> {
        Token { writer: self, log: Some(self.log.lock()) }
    }

    // ---- commit ----------------------------------------------------------------------------------------------------

    /// Commits what is open on the caller's own thread, if that is sure to be short; else leaves it to the log thread.
    /// `worker` is not woken for what is resolved here: it looks by itself.
    pub fn commit_from_worker(&self, worker: usize) {
        for _ in 0..INLINE_ROUNDS {
            self.commit_wanted.store(true, Ordering::SeqCst);
            if !self.may_commit_inline() {
                break;
            }
            // Somebody else commits: it sees `commit_wanted` when it is done.
            let Some(mut log) = self.log.try_lock() else { return };
            self.commit_wanted.store(false, Ordering::SeqCst);
            let garbage = self.commit_open(&mut log, Some(worker));
            drop(log);
            drop(garbage);
            if !self.commit_wanted.load(Ordering::SeqCst) {
                return;
            }
        }
        self.log_signal.raise();
    }

    /// Whether the next commit is one that syncs, and so waits for one that is running.
    pub fn commits_may_sync(&self) -> bool {
        match self.policy() {
            FsyncPolicy::Always => true,
            FsyncPolicy::Everysec => self.in_no_sync_stretch.load(Ordering::SeqCst),
            FsyncPolicy::None => false,
        }
    }

    fn may_commit_inline(&self) -> bool {
        if self.commits_may_sync() {
            return false;
        }
        let short = self.open.lock().group.rope.len() <= INLINE_GROUP_BYTES;
        let sync = self.sync.lock();
        short
            && !sync.running
            && !self.rewriting.load(Ordering::Relaxed)
            && sync.written.0.saturating_sub(sync.durable.get().0) <= INLINE_UNSYNCED_BYTES
    }

    /// Commits the open group; `false` if there was none. For the log thread and for shutdown.
    pub fn commit_next(&self) -> bool {
        self.commit_wanted.store(false, Ordering::SeqCst);
        let mut log = self.log.lock();
        let garbage = self.commit_open(&mut log, None);
        drop(log);
        drop(garbage);
        !self.open.lock().group.is_empty() || self.commit_wanted.load(Ordering::SeqCst)
    }

    /// `everysec`: waits while the oldest unsynced byte is too old, so that a slow disk slows writers down and what a
    /// crash can take stays bounded.
    pub(super) fn wait_for_slow_sync(&self, stopped: impl Fn() -> bool) {
        let mut sync = self.sync.lock();
        let mut counted = false;
        while self.policy() == FsyncPolicy::Everysec
            && sync.oldest_unsynced.is_some_and(|since| self.clock.monotonic() > since + MAX_UNSYNCED_AGE)
            && !stopped()
            && self.open.lock().poisoned.is_none()
        {
            if !counted {
                counted = true;
                self.counters.delayed_syncs.fetch_add(1, Ordering::Relaxed);
            }
            self.sync_changed.notify_all();
            self.sync_changed.wait_for(&mut sync, Duration::from_millis(100));
        }
    }

    /// Seals the open group and takes it through write, sync, publication and answer.
    fn commit_open(&self, log: &mut Log, by: Option<usize>) -> Vec<Garbage> {
        let Some(group) = self.seal() else { return Vec::new() };
        match self.write_group(log, &group) {
            Ok(()) => {
                let garbage = self.publish(&group, std::mem::take(&mut log.garbage));
                self.counters.groups.fetch_add(1, Ordering::Relaxed);
                self.retire(group, by);
                garbage
            }
            Err(failure) => {
                self.fail(&group, &failure, by);
                Vec::new()
            }
        }
    }

    fn seal(&self) -> Option<Arc<Group>> {
        let mut open = self.open.lock();
        if open.group.is_empty() {
            return None;
        }
        let next = open.spare.take().unwrap_or_default();
        let group = Arc::new(std::mem::replace(&mut open.group, next));
        open.pending.seal(Arc::clone(&group));
        open.waiting_for_sealed = std::mem::take(&mut open.waiting);
        Some(group)
    }

    fn write_group(&self, log: &mut Log, group: &Group) -> Result<(), Failure> {
        let Some(aof) = &mut log.aof else { return Ok(()) };
        let policy = self.policy();
        let ends_stretch = policy == FsyncPolicy::Everysec && aof.in_no_sync_stretch();
        if policy == FsyncPolicy::Always || ends_stretch {
            self.wait_for_running_sync()?;
        }
        if ends_stretch {
            self.end_no_sync_stretch(aof)?;
        }
        let published_end = aof.end();
        match aof.append(&group.rope, policy, self.clock.unix_time()) {
            Ok(()) => {
                self.counters.last_write_failed.store(false, Ordering::Relaxed);
                if self.counters.failure_told.load(Ordering::Relaxed) {
                    self.counters.failure_told.store(false, Ordering::Relaxed);
                    tracing::info!("the append-only file can be written again");
                }
            }
            Err(e) => {
                self.note_write_failure(&e);
                let reason = Arc::from(e.to_string());
                return Err(match e {
                    AppendError::Undone(_) => Failure { reason, outcome_known: true, poisons: false },
                    AppendError::Poisoned { .. } => Failure { reason, outcome_known: false, poisons: true },
                });
            }
        }
        if policy == FsyncPolicy::Always {
            let began = self.clock.monotonic();
            if let Err(e) = aof.sync() {
                aof.cut_back(published_end);
                return Err(Failure { reason: sync_failure(&e), outcome_known: false, poisons: true });
            }
            self.note_sync(began);
        }
        self.in_no_sync_stretch.store(aof.in_no_sync_stretch(), Ordering::SeqCst);
        let mut sync = self.sync.lock();
        sync.written = aof.end();
        sync.written_group += 1;
        if policy == FsyncPolicy::Always {
            sync.synced_group = sync.written_group;
            sync.oldest_unsynced = None;
            sync.oldest_uncovered = None;
        } else if sync.running {
            sync.oldest_uncovered.get_or_insert_with(|| self.clock.monotonic());
        } else if sync.oldest_unsynced.is_none() {
            sync.oldest_unsynced = Some(self.clock.monotonic());
            self.sync_changed.notify_all();
        }
        Ok(())
    }

    /// `everysec`, after `none`.
    fn end_no_sync_stretch(&self, aof: &mut Aof) -> Result<(), Failure> {
        aof.end_no_sync_stretch(self.clock.unix_time()).map_err(|e| {
            let poisons = !matches!(e, EndStretchError::Append(AppendError::Undone(_)));
            Failure { reason: Arc::from(e.to_string()), outcome_known: true, poisons }
        })?;
        let mut sync = self.sync.lock();
        sync.written = aof.end();
        sync.synced_group = sync.written_group;
        sync.oldest_unsynced = None;
        sync.oldest_uncovered = None;
        self.in_no_sync_stretch.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// `always`, or the end of a stretch without syncs: one sync at a time, since the kernel tells of a
    /// failed write-back only once.
    fn wait_for_running_sync(&self) -> Result<(), Failure> {
        let mut sync = self.sync.lock();
        while sync.running {
            self.sync_changed.wait(&mut sync);
        }
        match &sync.failed {
            Some(reason) => Err(Failure { reason: Arc::clone(reason), outcome_known: true, poisons: true }),
            None => Ok(()),
        }
    }

    /// Counts a failed write. On a full disk small writes may work and large ones not, so it is told now and then.
    fn note_write_failure(&self, e: &AppendError) {
        self.counters.write_failures.fetch_add(1, Ordering::Relaxed);
        self.counters.last_write_failed.store(true, Ordering::Relaxed);
        let now = self.clock.monotonic().as_secs();
        let quiet_until = self.counters.failures_quiet_until.load(Ordering::Relaxed);
        if !self.counters.failure_told.load(Ordering::Relaxed) && now >= quiet_until {
            self.counters.failure_told.store(true, Ordering::Relaxed);
            self.counters.failures_quiet_until.store(now + WRITE_FAILURE_QUIET.as_secs(), Ordering::Relaxed);
            tracing::error!("the append-only file cannot be written: {e}; writes are refused until it can");
        }
    }

    fn publish(&self, group: &Group, mut garbage: Vec<Garbage>) -> Vec<Garbage> {
        garbage.clear();
        let mut rest = &group.ops[..];
        while !rest.is_empty() {
            let window = &rest[..rest.len().min(PUBLISH_WINDOW)];
            for op in window {
                self.keyspace.prefetch_bucket(op.hash);
            }
            for op in window {
                self.keyspace.prefetch_entry(op.hash);
            }
            let mut done = 0;
            while done < window.len() {
                let command_len = rest[done..].iter().position(|op| !op.continued).map_or(1, |last| last + 1);
                self.publish_command(group, &rest[done..done + command_len], &mut garbage);
                done += command_len;
            }
            rest = &rest[done..];
        }
        garbage
    }

    /// Publishes one command as one step: it holds the locks of all its shards.
    fn publish_command(&self, group: &Group, ops: &[Op], garbage: &mut Vec<Garbage>) {
        match ops {
            [Op { effect: Effect::DeleteAll, .. }] => garbage.extend(self.keyspace.clear()),
            [op] => {
                let freed = apply(&mut self.keyspace.lock(self.keyspace.shard_of(op.hash)), group, op);
                garbage.extend(freed);
            }
            _ => {
                let mut shards = self.keyspace.lock_all(ops.iter().map(|op| op.hash));
                garbage.extend(
                    ops.iter().filter_map(|op| apply(shards.shard(self.keyspace.shard_of(op.hash)), group, op)),
                );
            }
        }
    }

    fn retire(&self, group: Arc<Group>, by: Option<usize>) {
        let outcome = Arc::clone(&group.outcome);
        let mut open = self.open.lock();
        open.pending.retire();
        resolve(&outcome, Ok(()));
        if let Ok(mut group) = Arc::try_unwrap(group) {
            group.reset();
            open.spare = Some(group);
        }
        self.wake_waiting(open, by);
    }

    /// Fails the group under way, and what was evaluated on top of it meanwhile.
    fn fail(&self, group: &Group, failure: &Failure, by: Option<usize>) {
        let mut open = self.open.lock();
        let on_top = std::mem::take(&mut open.group);
        open.pending.drop_all();
        if failure.poisons {
            poison(&mut open, &failure.reason);
        }
        let refused = WriteFailure::Refused(Arc::clone(&failure.reason));
        let first =
            if failure.outcome_known { refused.clone() } else { WriteFailure::Unknown(Arc::clone(&failure.reason)) };
        resolve(&group.outcome, Err(first));
        resolve(&on_top.outcome, Err(refused));
        self.wake_waiting(open, by);
        if failure.poisons {
            self.rewrite_signal.raise();
            self.wake_sync_waiters();
        }
    }

    fn wake_waiting(&self, mut open: MutexGuard<'_, Open>, by: Option<usize>) {
        self.counters.pending_bytes.store(open.group.rope.len() as u64, Ordering::Relaxed);
        let mut waiting = std::mem::take(&mut open.waiting_for_sealed);
        if open.group.is_empty() {
            // It failed with the other: nobody will commit it.
            waiting.insert_all(std::mem::take(&mut open.waiting));
        }
        drop(open);
        for worker in waiting.iter().filter(|w| Some(*w) != by) {
            (self.wakes[worker])();
        }
    }

    // ---- syncs -----------------------------------------------------------------------------------------------------

    /// Whether there is anything to sync, and since when.
    pub fn unsynced_since(&self) -> Option<Duration> {
        self.sync.lock().oldest_unsynced
    }

    /// Syncs what is written, while others go on writing. Does nothing if all is durable.
    ///
    /// # Errors
    /// The sync failed, now or before: no write is acknowledged any more.
    pub fn sync_now(&self) -> Result<(), WriteFailure> {
        // No sync begins in the middle of a commit: a worker that writes inline would wait for it. Whoever commits may
        // sync too: then the token is kept for as long as this one runs, see `wait_for_running_sync`.
        let mut token = Some(self.token());
        let (file, durable, written, group, epoch) = {
            let mut sync = self.sync.lock();
            sync.requested = false;
            if let Some(reason) = self.poisoned() {
                return Err(WriteFailure::Unknown(reason));
            }
            let Some(file) = sync.file.clone() else { return Ok(()) };
            if sync.oldest_unsynced.is_none() {
                return Ok(());
            }
            sync.running = true;
            if !self.commits_may_sync() {
                token = None;
            }
            (file, Arc::clone(&sync.durable), sync.written, sync.written_group, sync.epoch)
        };
        let began = self.clock.monotonic();
        let result = file.sync_data();
        let mut sync = self.sync.lock();
        sync.running = false;
        let uncovered = sync.oldest_uncovered.take();
        // A rewrite has put a synced file in this one's place: nothing depends on this one any more.
        let replaced = sync.epoch != epoch;
        if replaced || result.is_ok() {
            sync.oldest_unsynced = uncovered;
        }
        let result = match result {
            Ok(()) => {
                durable.raise(written);
                if !replaced {
                    sync.synced_group = sync.synced_group.max(group);
                }
                drop(sync);
                self.note_sync(began);
                Ok(())
            }
            Err(_) if replaced => Ok(()),
            Err(e) => {
                let reason = sync_failure(&e);
                sync.failed = Some(Arc::clone(&reason));
                drop(sync);
                self.sync_changed.notify_all();
                drop(token);
                self.poison(&reason);
                Err(WriteFailure::Unknown(reason))
            }
        };
        self.sync_changed.notify_all();
        self.wake_sync_waiters();
        // Something else may have failed meanwhile, such as the directory's sync of a rewrite.
        match self.poisoned() {
            Some(reason) => Err(WriteFailure::Unknown(reason)),
            None => result,
        }
    }

    /// What [`Writer::synced_group`] has to reach for everything that was answered so far to be durable.
    pub fn written_group(&self) -> u64 {
        self.sync.lock().written_group
    }

    /// How many groups are durable, or why none will be any more.
    ///
    /// # Errors
    /// A sync has failed.
    pub fn synced_group(&self) -> Result<u64, WriteFailure> {
        if let Some(reason) = self.poisoned() {
            return Err(WriteFailure::Unknown(reason));
        }
        Ok(self.sync.lock().synced_group)
    }

    /// Asks for a sync soon, where none comes by itself; workers are woken by each until [`Writer::sync_waiter_left`].
    pub fn sync_waiter_joined(&self) {
        self.sync_waiters.fetch_add(1, Ordering::SeqCst);
        if self.policy() == FsyncPolicy::None {
            self.sync.lock().requested = true;
            self.sync_changed.notify_all();
        }
    }

    /// How many wait for a sync.
    pub fn sync_waiters(&self) -> u64 {
        self.sync_waiters.load(Ordering::SeqCst)
    }

    /// See [`Writer::sync_waiter_joined`].
    pub fn sync_waiter_left(&self) {
        self.sync_waiters.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn wake_sync_waiters(&self) {
        if self.sync_waiters.load(Ordering::SeqCst) > 0 {
            self.wakes.iter().for_each(|wake| wake());
        }
    }

    /// Whether somebody waits for a sync that the policy would not bring.
    pub(super) fn sync_requested(&self) -> bool {
        self.sync.lock().requested
    }

    fn note_sync(&self, began: Duration) {
        let took = self.clock.monotonic().saturating_sub(began);
        self.counters.last_sync_micros.store(took.as_micros() as u64, Ordering::Relaxed);
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
    }

    /// Fails what is open and takes no more writes.
    fn poison(&self, reason: &Arc<str>) {
        // With the token: no group is between its write and its publication.
        let log = self.token();
        self.poison_open(self.open.lock(), reason);
        drop(log);
        self.rewrite_signal.raise();
    }

    /// The same, for who holds the token: nothing that is open will be committed.
    pub(super) fn poison_open(&self, mut open: MutexGuard<'_, Open>, reason: &Arc<str>) {
        poison(&mut open, reason);
        let failed = std::mem::take(&mut open.group);
        open.pending.drop_all();
        resolve(&failed.outcome, Err(WriteFailure::Refused(Arc::clone(reason))));
        self.wake_waiting(open, None);
    }

    /// Waits until something changes for the thread that syncs, at most for `timeout`.
    pub(super) fn wait_for_sync_change(&self, timeout: Duration, stopped: impl Fn() -> bool) {
        let mut sync = self.sync.lock();
        if !stopped() {
            self.sync_changed.wait_for(&mut sync, timeout);
        }
    }

    /// States a completed sync in the log by an empty batch, if no batch has done it.
    pub fn state_sync(&self) {
        let mut log = self.token();
        if self.open.lock().poisoned.is_some() || self.policy() == FsyncPolicy::None {
            return;
        }
        let Some(aof) = log.aof.as_mut().filter(|a| a.sync_to_state()) else { return };
        if aof.in_no_sync_stretch() {
            if let Err(failure) = self.end_no_sync_stretch(aof)
                && failure.poisons
            {
                drop(log);
                self.poison(&failure.reason);
            }
            return;
        }
        match aof.append(&crate::protocol::rope::Rope::default(), self.policy(), self.clock.unix_time()) {
            // Not dirty: there is nothing in it that has to be durable.
            Ok(()) => self.sync.lock().written = aof.end(),
            // The next sync will be stated too.
            Err(AppendError::Undone(_)) => {}
            Err(e @ AppendError::Poisoned { .. }) => {
                drop(log);
                self.poison(&Arc::from(e.to_string()));
            }
        }
    }

    /// Commits what is open, then closes the log: synced, and stating so.
    ///
    /// # Errors
    /// The last bytes may not be durable, or a sync had failed before.
    pub fn close(&self) -> Result<(), WriteFailure> {
        while self.commit_next() {}
        let mut log = self.token();
        let poisoned = self.open.lock().poisoned.clone();
        let Some(aof) = log.aof.take() else { return Ok(()) };
        if let Some(reason) = poisoned {
            return Err(WriteFailure::Unknown(reason));
        }
        aof.close(self.policy(), self.clock.unix_time())
            .map_err(|e| WriteFailure::Unknown(format!("the last write or sync failed: {e}").into()))
    }

    /// Figures for `INFO`.
    pub fn stats(&self) -> WriterStats {
        let sync = self.sync.lock();
        let (written, durable, base_bytes) = (sync.written.0, sync.durable.get().0, sync.base_bytes);
        let enabled = sync.file.is_some();
        drop(sync);
        WriterStats {
            enabled,
            policy: self.policy(),
            log_bytes: written,
            base_bytes,
            rewrite: self.rewrite_report(),
            unsynced_bytes: written.saturating_sub(durable),
            pending_bytes: self.counters.pending_bytes.load(Ordering::Relaxed),
            delayed_syncs: self.counters.delayed_syncs.load(Ordering::Relaxed),
            last_sync: Duration::from_micros(self.counters.last_sync_micros.load(Ordering::Relaxed)),
            syncs: self.counters.syncs.load(Ordering::Relaxed),
            groups: self.counters.groups.load(Ordering::Relaxed),
            last_write_failed: self.counters.last_write_failed.load(Ordering::Relaxed),
            write_failures: self.counters.write_failures.load(Ordering::Relaxed),
            poisoned: self.open.lock().poisoned.clone(),
        }
    }
}

/// The commit token. Who wanted it meanwhile to commit, and did not get it, has left that to its holder.
pub(super) struct Token<'w> {
    writer: &'w Writer,
    log: Option<MutexGuard<'w, Log>>,
}

impl std::ops::Deref for Token<'_> {
    type Target = Log;
    fn deref(&self) -> &Log {
        self.log.as_ref().expect("held until it is dropped")
    }
}

impl std::ops::DerefMut for Token<'_> {
    fn deref_mut(&mut self) -> &mut Log {
        self.log.as_mut().expect("held until it is dropped")
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        drop(self.log.take());
        if self.writer.commit_wanted.load(Ordering::SeqCst) {
            self.writer.log_signal.raise();
        }
    }
}

/// Does to a shard what an operation says: what is to be freed outside its lock.
fn apply(shard: &mut Shard, group: &Group, op: &Op) -> Option<Garbage> {
    let key = group.key(op);
    let freed = match &op.effect {
        Effect::SetCopied(value) => Some(shard.set(op.hash, key, NewValue::Copy(group.piece(*value))).garbage),
        Effect::SetShared(value) => Some(shard.set(op.hash, key, NewValue::Shared(value.clone())).garbage),
        Effect::Delete => shard.remove(op.hash, key),
        Effect::DeleteAll => unreachable!("FLUSHALL is a command of one operation"),
    };
    freed.filter(|garbage| !garbage.is_empty())
}

/// Why a group failed.
struct Failure {
    reason: Arc<str>,
    /// Whether it is certain that the group is not in the log.
    outcome_known: bool,
    poisons: bool,
}

fn sync_failure(e: &std::io::Error) -> Arc<str> {
    format!("fsync failed: {e}").into()
}

fn poison(open: &mut Open, reason: &Arc<str>) {
    if open.poisoned.is_none() {
        tracing::error!(
            "the append-only file is not to be trusted any more: {reason}; writes are refused, reads go on"
        );
        open.poisoned = Some(Arc::clone(reason));
    }
}

fn resolve(outcome: &Outcome, result: Result<(), WriteFailure>) {
    assert!(outcome.0.set(result).is_ok(), "a group is resolved once");
}

/// Why a batch with a write cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotNow {
    /// Too much is on its way to the log: the worker is woken when there is room.
    NoRoom,
    /// Writes are refused.
    Failed(WriteFailure),
}

/// A batch under evaluation, in the writer's view: what is published and what is pending.
pub struct WriteBatch<'w> {
    writer: &'w Writer,
    open: MutexGuard<'w, Open>,
    worker: usize,
}

impl WriteBatch<'_> {
    /// Reads a key's value; `read` gets `None` if it has none.
    pub fn get<R>(&mut self, hash: KeyHash, key: &[u8], read: impl FnOnce(Option<ValueRef<'_>>) -> R) -> R {
        let Open { group, pending, .. } = &mut *self.open;
        match pending.lookup(group, hash, key) {
            Lookup::Value(value) => read(Some(value)),
            Lookup::Deleted => read(None),
            Lookup::Unknown => self.writer.keyspace.with(hash, key, read),
        }
    }

    /// Whether a key exists.
    pub fn exists(&mut self, hash: KeyHash, key: &[u8]) -> bool {
        self.get(hash, key, |value| value.is_some())
    }

    /// Whether the group should be committed before it takes another command.
    pub fn is_full(&self) -> bool {
        self.open.group.is_full()
    }

    /// Whether a command with so many arguments, of so many bytes in all, can be logged in this batch.
    pub fn fits(&self, bytes: usize, args: usize) -> bool {
        self.open.group.fits(bytes, args)
    }

    /// Sets a key.
    pub fn set(&mut self, hash: KeyHash, key: &[u8], value: &[u8]) {
        self.open.group.set(hash, key, value);
    }

    /// Deletes those of `keys` that exist, each once: how many there were.
    pub fn delete<'k>(&mut self, keys: impl ExactSizeIterator<Item = (KeyHash, &'k [u8])>) -> usize {
        let mut seen = (keys.len() > 1).then(HashSet::new);
        let mut existing: Vec<(KeyHash, &[u8])> = Vec::new();
        for (hash, key) in keys {
            if self.exists(hash, key) && seen.as_mut().is_none_or(|seen| seen.insert(key)) {
                existing.push((hash, key));
            }
        }
        if !existing.is_empty() {
            self.open.group.delete(existing.iter().copied());
        }
        existing.len()
    }

    /// Deletes every key; logged only if there may be one.
    pub fn delete_all(&mut self) {
        let Open { group, pending, .. } = &mut *self.open;
        if group.is_empty() && pending.sealed().is_none() && self.writer.keyspace.is_empty() {
            return;
        }
        group.delete_all();
        pending.flushed(group);
    }

    /// Ends the batch. The ticket tells when the newest group that it could have seen is committed; `None`: that is
    /// so already.
    pub fn finish(mut self) -> Option<Ticket> {
        let Open { group, pending, waiting, waiting_for_sealed, .. } = &mut *self.open;
        self.writer.counters.pending_bytes.store(group.rope.len() as u64, Ordering::Relaxed);
        let (newest, waiting) =
            if group.is_empty() { (&pending.sealed()?.outcome, waiting_for_sealed) } else { (&group.outcome, waiting) };
        waiting.insert(self.worker);
        Some(Ticket(Arc::clone(newest)))
    }
}

/// A claim on the outcome of a group.
#[derive(Debug, Clone)]
pub struct Ticket(Arc<Outcome>);

impl Ticket {
    /// How the group's commit ended; `None` while it is under way.
    pub fn outcome(&self) -> Option<&Result<(), WriteFailure>> {
        self.0.0.get()
    }
}

/// A set of workers, by number.
#[derive(Debug, Default, Clone, Copy)]
pub struct WorkerSet([u64; 4]);

impl WorkerSet {
    /// How many workers there can be.
    pub const MAX: usize = 256;

    fn insert(&mut self, worker: usize) {
        self.0[worker / 64] |= 1 << (worker % 64);
    }

    fn insert_all(&mut self, others: Self) {
        for (word, other) in self.0.iter_mut().zip(others.0) {
            *word |= other;
        }
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        (0..4).flat_map(move |word| {
            (0..64).filter(move |bit| self.0[word] >> bit & 1 == 1).map(move |bit| word * 64 + bit)
        })
    }
}

/// A policy that can be changed while others read it.
struct PolicyCell(AtomicU64);

impl PolicyCell {
    fn new(policy: FsyncPolicy) -> Self {
        let cell = Self(AtomicU64::new(0));
        cell.set(policy);
        cell
    }

    fn get(&self) -> FsyncPolicy {
        match self.0.load(Ordering::Relaxed) {
            0 => FsyncPolicy::Always,
            1 => FsyncPolicy::Everysec,
            _ => FsyncPolicy::None,
        }
    }

    fn set(&self, policy: FsyncPolicy) {
        let number = match policy {
            FsyncPolicy::Always => 0,
            FsyncPolicy::Everysec => 1,
            FsyncPolicy::None => 2,
        };
        self.0.store(number, Ordering::Relaxed);
    }
}

/// A flag that one thread waits for.
#[derive(Debug, Default)]
pub(super) struct Signal {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(super) fn raise(&self) {
        let mut raised = self.raised.lock();
        if !*raised {
            *raised = true;
            self.changed.notify_one();
        }
    }

    /// Waits until it is raised, and lowers it.
    pub(super) fn wait(&self) {
        let mut raised = self.raised.lock();
        while !*raised {
            self.changed.wait(&mut raised);
        }
        *raised = false;
    }

    /// The same, for at most `timeout`.
    pub(super) fn wait_for(&self, timeout: Duration) {
        let mut raised = self.raised.lock();
        if !*raised {
            self.changed.wait_for(&mut raised, timeout);
        }
        *raised = false;
    }
}
