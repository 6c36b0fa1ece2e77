//! Syncs beside the commits (`everysec`, and on demand), and the end of the log.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thiserror::Error;

use super::failure::sync_failure;
use super::rewrite::RewriteError;
use super::token::Token;
use super::{WriteFailure, Writer};
use crate::persistence::aof::{AppendError, DurableMark};
use crate::persistence::disk::DiskFile;
use crate::persistence::write_back::forget_synced;
use crate::persistence::{FsyncPolicy, LogOffset};

/// Why the log could not be closed.
#[derive(Debug, Error)]
pub enum CloseError {
    /// A write or a sync had failed before, and the log is not to be trusted any more.
    #[error("{0}")]
    Poisoned(Arc<str>),
    /// The last bytes may not be durable.
    #[error("the last write or sync failed: {0}")]
    Failed(io::Error),
    /// The log has lost its name, and no new one could be put there.
    #[error("no start finds the log: {0}")]
    Nameless(RewriteError),
}

/// A sync under way beside the commits.
struct RunningSync<'w> {
    /// Kept where whoever commits may sync, too: see `check_syncs`.
    token: Option<Token<'w>>,
    file: Arc<dyn DiskFile>,
    durable: Arc<DurableMark>,
    began: Duration,
    /// Where the log ended then: it makes durable what is before that.
    written: LogOffset,
    /// The last group before that.
    group: u64,
    epoch: u64,
}

impl Writer {
    /// Whether there is anything to sync, and since when.
    pub fn unsynced_since(&self) -> Option<Duration> {
        self.sync.lock().oldest_unsynced
    }

    /// How much of the log is not known to be durable.
    pub(super) fn unsynced_bytes(&self) -> u64 {
        self.sync.lock().unsynced_bytes()
    }

    /// Syncs what is written, while others go on writing. Does nothing if all is durable.
    ///
    /// # Errors
    /// The sync failed, now or before: no write is acknowledged any more.
    pub fn sync_now(&self) -> Result<(), WriteFailure> {
        let Some(running) = self.begin_sync()? else { return Ok(()) };
        let result = running.file.sync_data().map_err(|e| sync_failure(&e));
        self.end_sync(running, result)
    }

    /// Notes that a sync is running, of what is written so far; `None` if all is durable.
    fn begin_sync(&self) -> Result<Option<RunningSync<'_>>, WriteFailure> {
        // No sync begins in the middle of a commit: a worker that writes inline would wait for it.
        let mut token = self.token();
        let poisoned = self.poisoned();
        // Before the next write, which does so, too, and may be long in coming: a change of the policy asks for a sync.
        if self.policy() != FsyncPolicy::Always
            && poisoned.is_none()
            && let Some(aof) = &mut token.aof
        {
            aof.give_back_reserved();
        }
        let mut sync = self.sync.lock();
        sync.requested = false;
        if let Some(reason) = poisoned {
            return Err(WriteFailure::Unknown(reason));
        }
        let Some(file) = sync.file.clone() else { return Ok(None) };
        if sync.oldest_unsynced.is_none() {
            return Ok(None);
        }
        sync.running = Some(sync.epoch);
        Ok(Some(RunningSync {
            token: self.commits_may_sync().then_some(token),
            file,
            durable: Arc::clone(&sync.durable),
            began: self.clock.monotonic(),
            written: sync.written,
            group: sync.written_group,
            epoch: sync.epoch,
        }))
    }

    /// Notes how a sync ended, and tells all who wait for it.
    fn end_sync(&self, running: RunningSync<'_>, result: Result<(), Arc<str>>) -> Result<(), WriteFailure> {
        let RunningSync { token, file, durable, began, written, group, epoch } = running;
        let mut sync = self.sync.lock();
        let result = result.and_then(|()| self.check_write_back(&mut sync));
        sync.running = None;
        // Or a rewrite has put a synced file in this one's place: nothing depends on this one any more.
        let is_the_log = sync.epoch == epoch;
        let synced = durable.get()..written;
        match &result {
            Ok(()) => {
                // Before anybody can be answered because of it.
                self.note_sync(began);
                durable.raise(written);
                if is_the_log {
                    sync.oldest_unsynced = sync.oldest_uncovered.take();
                    sync.synced_group = sync.synced_group.max(group);
                }
            }
            Err(reason) if is_the_log => sync.failed = Some(Arc::clone(reason)),
            Err(_) => {}
        }
        drop(sync);
        drop(token);
        self.sync_changed.notify_all();
        if let Err(reason) = &result {
            self.poison_unless_replaced(reason, epoch);
        }
        self.wake_sync_waiters();
        // What `write_back` could not forget, as it was not on the disk yet. It takes its time, so nobody waits for it.
        if result.is_ok() {
            self.unless_rewriting(|| forget_synced(&*file, synced));
        }
        // Something else may have failed meanwhile, such as the directory's sync of a rewrite.
        self.poisoned().map_or(Ok(()), |reason| Err(WriteFailure::Unknown(reason)))
    }

    /// Lets the system write what the log has grown by, and forget what it has written. It may wait for the disk.
    pub(super) fn write_back(&self) {
        let mut sync = self.sync.lock();
        let Some(file) = sync.file.clone() else { return };
        let (end, epoch) = (sync.written, sync.epoch);
        let due = sync.write_back.take_due(end);
        sync.writing_back = Some(epoch);
        drop(sync);
        let begun = due.begin_write(&*file);
        let mut sync = self.sync.lock();
        sync.writing_back = None;
        // Nothing depends on a file that was replaced meanwhile.
        let failure = begun.err().filter(|_| sync.epoch == epoch).map(|e| Arc::from(format!("write-back failed: {e}")));
        if failure.is_some() {
            sync.failed.clone_from(&failure);
        }
        drop(sync);
        self.sync_changed.notify_all();
        match failure {
            Some(reason) => self.poison_unless_replaced(&reason, epoch),
            None => self.unless_rewriting(|| due.forget(&*file)),
        }
    }

    /// A rewrite under way is about to read what the log grows by.
    fn unless_rewriting(&self, forget: impl FnOnce()) {
        if !self.rewriting.load(Ordering::SeqCst) {
            forget();
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

    pub(super) fn note_sync(&self, began: Duration) {
        let took = self.clock.monotonic().saturating_sub(began);
        self.counters.last_sync_micros.store(took.as_micros() as u64, Ordering::Relaxed);
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until something changes for the thread that syncs, at most for `timeout`; not at all if a sync is asked
    /// for.
    pub(super) fn wait_for_sync_change(&self, timeout: Duration, stopped: impl Fn() -> bool) {
        let mut sync = self.sync.lock();
        if !stopped() && !sync.requested {
            self.sync_changed.wait_for(&mut sync, timeout);
        }
    }

    /// States a completed sync in the log by an empty batch, if no batch has done it.
    pub fn state_sync(&self) {
        let mut log = self.token();
        let policy = self.policy();
        let begins_stretch = policy == FsyncPolicy::None;
        // Where the batch begins a stretch without syncs, a hole before it would count as damage: all of that has to be
        // durable. If it is not, what is written next states the sync.
        if self.poisoned().is_some() || begins_stretch && self.unsynced_since().is_some() {
            return;
        }
        let Some(aof) = log.aof.as_mut().filter(|a| a.sync_to_state()) else { return };
        if aof.in_no_sync_stretch() && !begins_stretch {
            if let Err(failure) = self.end_no_sync_stretch(aof)
                && failure.poisons()
            {
                self.poison_holding(log, &failure.reason);
            }
            return;
        }
        match aof.append(&crate::protocol::rope::Rope::default(), policy, self.clock.unix_time()) {
            // Not dirty: there is nothing in it that has to be durable.
            Ok(()) => self.sync.lock().written = aof.end(),
            // The next sync will be stated too.
            Err(AppendError::Undone(_)) => {}
            Err(e @ AppendError::Poisoned { .. }) => self.poison_holding(log, &Arc::from(e.to_string())),
        }
    }

    /// Commits what is open, then closes the log: synced, and stating so. If a sync has failed, a new one with all
    /// data.
    ///
    /// # Errors
    /// [`CloseError`]
    pub fn close(&self) -> Result<(), CloseError> {
        while self.commit_next() {}
        // Its failure is healed like any other.
        drop(self.sync_now());
        let named = self.restore();
        let mut log = self.token();
        let poisoned = self.open.lock().poisoned.clone();
        let Some(aof) = log.aof.take() else { return Ok(()) };
        if let Some(reason) = poisoned {
            // Why there is no new log tells more.
            named?;
            return Err(CloseError::Poisoned(reason));
        }
        let not_stated = aof.close(self.policy(), self.clock.unix_time()).map_err(CloseError::Failed)?;
        if let Some(e) = not_stated {
            tracing::warn!("all of the append-only file is on the disk; that could not be written into it: {e}");
        }
        named
    }

    /// Puts all data under the log's name again, if it has lost that; or in a new log, if a sync has failed: the system
    /// may have dropped what the old one seems to hold. For the end: the caller waits for it.
    fn restore(&self) -> Result<(), CloseError> {
        if let Some(lost) = self.lost_name() {
            tracing::error!("the append-only file has lost its name: {lost}");
            return self.rewrite_whole(|_| Ok(())).map(drop).map_err(CloseError::Nameless);
        }
        if self.poisoned().is_some()
            && let Err(e) = self.rewrite_whole(|_| Ok(()))
        {
            tracing::warn!("writing all data to a new file did not work: {e}");
        }
        Ok(())
    }
}
