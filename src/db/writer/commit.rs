//! The commit of a group: sealed, written, under `always` synced, published, answered; or failed, with all on top of
//! it.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use parking_lot::MutexGuard;

use super::failure::{Failure, FailureKind, resolve, sync_failure};
use super::group::{Effect, Group, Op, Outcome};
use super::{Log, Open, SyncState, Writer};
use crate::db::ahead::Ahead;
use crate::db::state::{Garbage, NewValue, Shard};
use crate::persistence::FsyncPolicy;
use crate::persistence::aof::{Aof, AppendError};
use crate::protocol::rope::Rope;

/// A group larger than this is not committed on an event loop: the copy and the checksum alone would be felt.
const INLINE_GROUP_BYTES: usize = 256 << 10;

/// With more than this unsynced, a plain `write` may have to wait for the disk, so it is left to the log thread.
const INLINE_UNSYNCED_BYTES: u64 = 256 << 20;

/// How many groups a worker commits in a row before it leaves the rest to the log thread.
const INLINE_GROUPS: usize = 2;

/// `everysec`: past this age of the oldest unsynced byte, writes wait for the sync.
const MAX_UNSYNCED_AGE: Duration = Duration::from_secs(2);

/// So long nothing more is logged about failing writes.
const WRITE_FAILURE_QUIET: Duration = Duration::from_secs(10);

impl Writer {
    /// Commits what is open on the caller's own thread, if that is sure to be short, or if nobody else waits for the
    /// caller (`may_sync`); else leaves it to the log thread. `worker` is not woken for what is resolved here: it looks
    /// by itself.
    pub fn commit_from_worker(&self, worker: usize, may_sync: bool) {
        // The next group's sync is not one that the caller's own clients should wait for.
        let groups = if may_sync { 1 } else { INLINE_GROUPS };
        for _ in 0..groups {
            self.commit_wanted.store(true, Ordering::SeqCst);
            // Either this thread finds the token free, or its holder, when it has let it go, finds the wish.
            fence(Ordering::SeqCst);
            if !self.may_commit_inline(may_sync) {
                break;
            }
            // Somebody else commits: it sees `commit_wanted` when it is done.
            let Some(log) = self.log.try_lock() else { return };
            if !self.commit_holding(log, Some(worker)) {
                return;
            }
        }
        // While it lets a group grow, the log thread is not to be woken for each that comes.
        if self.batches_waiting() >= self.batches_wanted.load(Ordering::SeqCst) {
            self.log_signal.raise();
        }
    }

    /// Whether the next commit is one that syncs, and so waits for one that is running.
    pub fn commits_may_sync(&self) -> bool {
        let in_no_sync_stretch = || self.in_no_sync_stretch.load(Ordering::SeqCst);
        match self.policy() {
            FsyncPolicy::Always => true,
            FsyncPolicy::Everysec => in_no_sync_stretch(),
            FsyncPolicy::None => self.place.is_some() && !in_no_sync_stretch(),
        }
    }

    fn may_commit_inline(&self, may_sync: bool) -> bool {
        if self.commits_may_sync() {
            return may_sync;
        }
        let short = self.open.lock().group.rope.len() <= INLINE_GROUP_BYTES;
        let sync = self.sync.lock();
        short
            && sync.running.is_none()
            && !self.rewriting.load(Ordering::Relaxed)
            && sync.unsynced_bytes() <= INLINE_UNSYNCED_BYTES
    }

    /// Commits the open group, if there is one: whether there is more to commit by now. For the log thread and for
    /// shutdown.
    pub fn commit_next(&self) -> bool {
        self.commit_holding(self.log.lock(), None) || !self.open.lock().group.is_empty()
    }

    /// Commits what is open and lets the token go: whether somebody wanted that to be done again meanwhile.
    fn commit_holding(&self, mut log: MutexGuard<'_, Log>, by: Option<usize>) -> bool {
        self.commit_wanted.store(false, Ordering::SeqCst);
        let garbage = self.commit_open(&mut log, by);
        let wanted = self.let_go(log);
        self.free(garbage);
        wanted
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

    /// Seals the open group and takes it through write, sync, publication and answer. What it returns is for
    /// [`Writer::free`], without the token.
    fn commit_open(&self, log: &mut Log, by: Option<usize>) -> (Garbage, Option<Group>) {
        let mut garbage = Garbage::default();
        let Some(group) = self.seal(&mut log.spare) else { return (garbage, None) };
        match self.write_group(log, &group) {
            Ok(()) => {
                self.publish(&group, &mut garbage);
                self.counters.groups.fetch_add(1, Ordering::Relaxed);
                self.retire(&group.outcome, by);
            }
            Err(failure) => self.fail(&group, &failure, by),
        }
        // Nobody else refers to it any more.
        let mut group = Arc::into_inner(group);
        log.spare = group.take_if(|group| group.is_small()).map(Group::emptied);
        (garbage, group)
    }

    /// Frees what a commit has left behind: what takes long not here, where clients or the next commit would wait for
    /// it.
    fn free(&self, (garbage, group): (Garbage, Option<Group>)) {
        drop(group);
        if garbage.is_large() {
            self.freeing.free(garbage);
        }
    }

    fn seal(&self, spare: &mut Option<Group>) -> Option<Arc<Group>> {
        let mut open = self.open.lock();
        if open.group.is_empty() {
            return None;
        }
        let next = spare.take().unwrap_or_default();
        let group = Arc::new(std::mem::replace(&mut open.group, next));
        open.pending.seal(Arc::clone(&group));
        open.waiting_for_sealed = std::mem::take(&mut open.waiting);
        Some(group)
    }

    fn write_group(&self, log: &mut Log, group: &Group) -> Result<(), Failure> {
        let Some(aof) = &mut log.aof else { return Ok(()) };
        let policy = self.policy();
        let ends_stretch = policy == FsyncPolicy::Everysec && aof.in_no_sync_stretch();
        // What stands before a `#NOSYNC` stretch has to be durable first: recovery takes a hole that is followed by a
        // sound batch of the stretch for damage.
        let syncs_before_stretch =
            policy == FsyncPolicy::None && !aof.in_no_sync_stretch() && aof.durable().get() < aof.end();
        self.check_syncs(policy == FsyncPolicy::Always || ends_stretch || syncs_before_stretch)?;
        if ends_stretch {
            self.end_no_sync_stretch(aof)?;
        } else if syncs_before_stretch {
            self.sync_all(aof)?;
        }
        let published_end = aof.end();
        self.append(aof, &group.rope, policy)?;
        if policy == FsyncPolicy::Always {
            let began = self.clock.monotonic();
            if let Err(reason) = self.sync_here(aof) {
                aof.cut_back(published_end);
                return Err(Failure { reason, kind: FailureKind::Unknown });
            }
            self.note_sync(began);
        }
        let mut sync = self.sync.lock();
        sync.written = aof.end();
        sync.written_group += 1;
        if policy == FsyncPolicy::Always {
            sync.all_is_durable();
        } else if sync.is_being_synced() {
            sync.oldest_uncovered.get_or_insert_with(|| self.clock.monotonic());
        } else if sync.oldest_unsynced.is_none() {
            sync.oldest_unsynced = Some(self.clock.monotonic());
            self.sync_changed.notify_all();
        }
        let write_back = sync.write_back.is_due(aof.end());
        drop(sync);
        if policy == FsyncPolicy::Always {
            // Who began to wait under another policy.
            self.wake_sync_waiters();
        }
        if write_back {
            self.write_back_signal.raise();
        }
        Ok(())
    }

    /// `everysec`, after `none`: syncs, states so in an empty batch, and syncs that. If the line that ends the stretch
    /// could get lost while a later batch stays, the trace of a crash would look like damage.
    pub(super) fn end_no_sync_stretch(&self, aof: &mut Aof) -> Result<(), Failure> {
        self.sync_here(aof).map_err(Failure::before_the_write)?;
        self.append(aof, &Rope::default(), FsyncPolicy::Everysec)
            .map_err(|failure| if failure.poisons() { Failure::before_the_write(failure.reason) } else { failure })?;
        self.sync_all(aof)
    }

    /// Syncs before a group is written, so that all before it is durable.
    fn sync_all(&self, aof: &mut Aof) -> Result<(), Failure> {
        self.sync_here(aof).map_err(Failure::before_the_write)?;
        let mut sync = self.sync.lock();
        sync.written = aof.end();
        sync.all_is_durable();
        drop(sync);
        self.wake_sync_waiters();
        Ok(())
    }

    /// Appends a batch.
    fn append(&self, aof: &mut Aof, records: &Rope, policy: FsyncPolicy) -> Result<(), Failure> {
        let appended = aof.append(records, policy, self.clock.unix_time());
        let Err(e) = appended else {
            self.note_write_success();
            return Ok(());
        };
        self.note_write_failure(&e);
        let kind = match e {
            AppendError::Undone(_) => FailureKind::Undone,
            AppendError::Poisoned { .. } => FailureKind::Unknown,
        };
        Err(Failure { reason: Arc::from(e.to_string()), kind })
    }

    /// Syncs on this thread.
    fn sync_here(&self, aof: &mut Aof) -> Result<(), Arc<str>> {
        aof.sync().map_err(|e| sync_failure(&e))?;
        self.check_write_back(&mut self.sync.lock())
    }

    /// Fails if a sync has failed. With `syncs`, first waits for a running sync: the kernel reports a failed write-back
    /// only once, and that sync may get the report instead.
    fn check_syncs(&self, syncs: bool) -> Result<(), Failure> {
        let mut sync = self.sync.lock();
        while syncs && sync.is_being_synced() {
            self.sync_changed.wait(&mut sync);
        }
        sync.check().map_err(Failure::before_the_write)
    }

    /// Waits for a write-back beside the sync: the kernel reports an error once, and the write-back may have got the
    /// report.
    pub(super) fn check_write_back(&self, sync: &mut MutexGuard<'_, SyncState>) -> Result<(), Arc<str>> {
        while sync.is_being_written_back() {
            self.sync_changed.wait(sync);
        }
        sync.check()
    }

    /// Notes that the log can be written.
    pub(super) fn note_write_success(&self) {
        self.counters.last_write_failed.store(false, Ordering::Relaxed);
        if self.counters.failure_told.load(Ordering::Relaxed) {
            self.counters.failure_told.store(false, Ordering::Relaxed);
            tracing::info!("the append-only file can be written again");
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

    fn publish(&self, group: &Group, garbage: &mut Garbage) {
        let mut ahead = Ahead::new(&self.keyspace, group.ops.len());
        let mut done = 0;
        while let Some(last) = group.ops[done..].iter().position(|op| !op.continued) {
            ahead.before(done, |n| Some(group.ops[n].hash));
            self.publish_command(group, &group.ops[done..=done + last], garbage);
            done += last + 1;
        }
    }

    /// Publishes one command as one step: it holds the locks of all its shards.
    fn publish_command(&self, group: &Group, ops: &[Op], garbage: &mut Garbage) {
        match ops {
            [Op { effect: Effect::DeleteAll, .. }] => self.keyspace.clear(garbage),
            [op] => apply(&mut self.keyspace.lock(self.keyspace.shard_of(op.hash)), group, op, garbage),
            _ => {
                let mut shards = self.keyspace.lock_all(ops.iter().map(|op| op.hash));
                for op in ops {
                    apply(shards.shard(self.keyspace.shard_of(op.hash)), group, op, garbage);
                }
            }
        }
    }

    fn retire(&self, outcome: &Outcome, by: Option<usize>) {
        let mut open = self.open.lock();
        let retired = open.pending.retire();
        resolve(outcome, Ok(()));
        self.wake_waiting(open, by);
        drop(retired);
    }

    pub(super) fn wake_waiting(&self, mut open: MutexGuard<'_, Open>, by: Option<usize>) {
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
}

/// Does to a shard what an operation says.
fn apply(shard: &mut Shard, group: &Group, op: &Op, garbage: &mut Garbage) {
    let key = group.key(op);
    match &op.effect {
        Effect::SetCopied(value) => shard.set(op.hash, key, NewValue::Copy(group.piece(*value)), garbage),
        Effect::SetShared(value) => shard.set(op.hash, key, NewValue::Shared(value.clone()), garbage),
        Effect::Delete => shard.remove(op.hash, key, garbage),
        Effect::DeleteAll => unreachable!("FLUSHALL is a command of one operation"),
    };
}

#[cfg(test)]
mod tests;
