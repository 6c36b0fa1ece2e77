//! The write sequencer: the one order of all writes, from evaluation to acknowledgement.
//!
//! 1. **Evaluate**, under one short lock: a command's effect goes into the open group ([`WriteBatch`]).
//! 2. **Seal**: whoever holds the commit token takes the open group; one group is under way at a time.
//! 3. **Commit**: write it to the log as one batch; under `always`, sync.
//! 4. **Publish** it to the keyspace, command by command.
//! 5. **Resolve**: its [`Ticket`]s tell, and the workers that wait are woken.
//!
//! Invariants: no reader of the keyspace sees a write before step 3 is done. What was evaluated on top of a group that
//! fails, fails with it, unwritten. After a failed sync nothing is acknowledged any more, until a rewrite has put all
//! data into a new file.
//!
//! | module | what it does |
//! |---|---|
//! | `batch` | step 1, in the writer's view |
//! | `group`, `pending` | what is evaluated and not published yet; what that does to keys |
//! | `commit`, `token` | steps 2 to 5; who may take them |
//! | `sync` | syncs beside the commits, and the end of the log |
//! | `failure` | what a failed write or sync leaves behind |
//! | `name` | what is done when somebody takes the log's name away |
//! | [`rewrite`] | a new log with the state as it is, while the server works |
//! | [`threads`] | the log's threads: they commit, sync, write back and rewrite |
//! | `wake` | who is woken |
//! | `clock`, `stats` | the time; figures for `INFO` |
//!
//! Nothing but [`threads`] starts a thread, other than the one that frees what was cleared, or calls what waits for
//! anything but the disk.

mod batch;
mod clock;
mod commit;
mod failure;
mod group;
mod name;
mod pending;
pub mod rewrite;
mod stats;
mod sync;
pub mod threads;
mod token;
mod wake;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

pub use self::batch::{NotNow, Ticket, WriteBatch};
pub use self::clock::{Clock, SystemClock};
use self::group::Group;
pub use self::group::{WriteFailure, can_be_logged};
use self::pending::Pending;
use self::rewrite::RewriteReport;
use self::stats::Counters;
pub use self::stats::WriterStats;
pub use self::sync::CloseError;
use self::wake::Signal;
pub use self::wake::WorkerSet;
use super::background::Freeing;
use super::state::Keyspace;
pub use super::value::own_if_large;
use crate::persistence::aof::{Aof, DurableMark};
use crate::persistence::disk::{Disk, DiskFile};
use crate::persistence::format::Salt;
use crate::persistence::write_back::WriteBack;
use crate::persistence::{FsyncPolicy, LogOffset};

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
    keyspace: Arc<Keyspace>,
    clock: Arc<dyn Clock>,
    open: Mutex<Open>,
    /// The commit token, with what only its holder uses.
    log: Mutex<Log>,
    /// `None`: nothing is written to disk.
    place: Option<LogPlace>,
    /// The log's newest batches stand under `#NOSYNC`, or did when the token was let go last.
    in_no_sync_stretch: AtomicBool,
    /// A rewrite is under way.
    rewriting: AtomicBool,
    rewrite_report: Mutex<RewriteReport>,
    /// Woken when a rewrite is asked for.
    rewrite_signal: Signal,
    /// Connections that wait for a sync.
    sync_waiters: AtomicU64,
    /// Set before trying for the token. If the try fails, the holder sees it when it lets the token go, and commits or
    /// wakes the log thread.
    commit_wanted: AtomicBool,
    policy: PolicyCell,
    sync: Mutex<SyncState>,
    /// Woken when there is something to sync, when a sync has ended, and at shutdown.
    sync_changed: Condvar,
    /// Woken when the log has grown enough for [`Writer::write_back`].
    write_back_signal: Signal,
    /// Woken when the log thread has something to commit.
    log_signal: Signal,
    /// How many batches the log thread waits for.
    batches_wanted: AtomicUsize,
    /// What is done with the data that a commit has cleared.
    freeing: Freeing,
    wakes: Box<[Wake]>,
    counters: Counters,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// What evaluation needs, under the short lock.
struct Open {
    group: Group,
    pending: Pending,
    /// Workers that wait for the open group, or for room in the next, a bit each.
    waiting: WorkerSet,
    /// Workers that wait for the group under way.
    waiting_for_sealed: WorkerSet,
    /// Why no write is taken, after a failed sync or undo.
    poisoned: Option<Arc<str>>,
}

/// What the holder of the commit token has.
struct Log {
    /// `None`: nothing is written to disk, or it is closed.
    aof: Option<Aof>,
    /// An emptied group, to save its allocations.
    spare: Option<Group>,
}

/// What the threads that write and sync tell each other.
struct SyncState {
    file: Option<Arc<dyn DiskFile>>,
    durable: Arc<DurableMark>,
    /// Where the log ends.
    written: LogOffset,
    /// How far it was begun to be written back.
    write_back: WriteBack,
    /// The log's length after the last rewrite, or when it was loaded.
    base_bytes: u64,
    /// When the oldest byte that is not durable was written.
    oldest_unsynced: Option<Duration>,
    /// While a sync is running: when the oldest byte was written that it may not cover.
    oldest_uncovered: Option<Duration>,
    /// The epoch of the file that a sync is running of, which need not be this one.
    running: Option<u64>,
    /// The epoch of the file that some is being begun to be written back of. If that fails, a sync beside it need not
    /// know.
    writing_back: Option<u64>,
    /// A sync of this file has failed, or a write-back: what a later sync says proves nothing.
    failed: Option<Arc<str>>,
    /// A sync is wanted now, whatever the policy.
    requested: bool,
    /// Groups written, and synced, since the start: positions that only grow, also across rewrites.
    written_group: u64,
    synced_group: u64,
    /// Counts the files: a sync or write-back of a file that was replaced meanwhile means nothing any more.
    epoch: u64,
}

impl SyncState {
    /// What of the log is not known to be durable.
    fn unsynced_bytes(&self) -> u64 {
        self.written.0.saturating_sub(self.durable.get().0)
    }

    /// Whether a sync of this file is running.
    fn is_being_synced(&self) -> bool {
        self.running == Some(self.epoch)
    }

    /// Whether some of this file is being begun to be written back.
    fn is_being_written_back(&self) -> bool {
        self.writing_back == Some(self.epoch)
    }

    /// Notes that everything written is durable.
    fn all_is_durable(&mut self) {
        self.synced_group = self.written_group;
        self.oldest_unsynced = None;
        self.oldest_uncovered = None;
    }

    /// Fails, with the reason, if a sync or write-back of this file has failed: later syncs prove nothing.
    fn check(&self) -> Result<(), Arc<str>> {
        self.failed.clone().map_or(Ok(()), Err)
    }
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
            write_back: WriteBack::new(aof.as_ref().map_or(LogOffset(0), Aof::end)),
            base_bytes: aof.as_ref().map_or(0, |a| a.end().0),
            oldest_unsynced: None,
            oldest_uncovered: None,
            running: None,
            writing_back: None,
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
                waiting: WorkerSet::default(),
                waiting_for_sealed: WorkerSet::default(),
                poisoned: None,
            }),
            log: Mutex::new(Log { aof, spare: None }),
            place,
            in_no_sync_stretch: AtomicBool::new(in_no_sync_stretch),
            rewriting: AtomicBool::new(false),
            rewrite_report: Mutex::default(),
            rewrite_signal: Signal::default(),
            sync_waiters: AtomicU64::new(0),
            commit_wanted: AtomicBool::new(false),
            policy: PolicyCell::new(policy),
            sync: Mutex::new(sync),
            sync_changed: Condvar::new(),
            write_back_signal: Signal::default(),
            log_signal: Signal::default(),
            batches_wanted: AtomicUsize::new(0),
            freeing: Freeing::default(),
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

    /// How many batches wait for the open group.
    fn batches_waiting(&self) -> usize {
        // Each holds a ticket, which is a share of the outcome.
        Arc::strong_count(&self.open.lock().group.outcome) - 1
    }

    /// Why no write is taken, if so.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.open.lock().poisoned.clone()
    }

    /// The time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}

/// A policy that can be changed while others read it.
struct PolicyCell(AtomicU8);

impl PolicyCell {
    fn new(policy: FsyncPolicy) -> Self {
        Self(AtomicU8::new(policy as u8))
    }

    fn get(&self) -> FsyncPolicy {
        const ALWAYS: u8 = FsyncPolicy::Always as u8;
        const EVERYSEC: u8 = FsyncPolicy::Everysec as u8;
        match self.0.load(Ordering::Relaxed) {
            ALWAYS => FsyncPolicy::Always,
            EVERYSEC => FsyncPolicy::Everysec,
            _ => FsyncPolicy::None,
        }
    }

    fn set(&self, policy: FsyncPolicy) {
        self.0.store(policy as u8, Ordering::Relaxed);
    }
}
