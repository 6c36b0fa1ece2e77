//! The threads of the log: one commits groups that no worker may commit inline, one syncs, one has the
//! system write what the log grows by, one rewrites.
//!
//! They only decide when; what is done is [`Writer`]'s.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Writer;
use super::rewrite::RewriteError;
use crate::db::background::step_back;
use crate::persistence::FsyncPolicy;
use crate::protocol::number::counted;
use crate::sparing::{LeftOut, Sparing};

/// How often `everysec` syncs.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// `none`: once so much is unsynced it is synced all the same, while others write on. Left to itself, the system lets
/// more and more pile up until a plain write has to wait for the disk, and says nothing of what it then fails to write.
const NONE_UNSYNCED_BYTES: u64 = 32 << 20;

/// Under `always` a sync waits until the open group has this percentage of the batches of the last two groups together.
const GATHER_PERCENT: usize = 30;

/// Only if those had at least so many: fewer clients are all back soon, or, beside many reads, not for a long time.
const GATHER_BATCHES: usize = 32;

/// And for no longer than this.
const GATHER_TIME: Duration = Duration::from_micros(300);

/// A rewrite works for about so long at a stretch, then rests as long: on a machine whose cores are all busy, clients
/// get the larger share. Shorter stretches would have it wait for a core too often, longer ones are felt.
const REWRITE_STRETCH: Duration = Duration::from_micros(500);

/// The first pause before healing is tried again, and the longest.
const HEAL_PAUSE: Duration = Duration::from_secs(1);
const HEAL_PAUSE_MAX: Duration = Duration::from_mins(1);

/// The running threads; [`LogThreads::stop`] ends them.
#[derive(Debug)]
pub struct LogThreads {
    writer: Arc<Writer>,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl LogThreads {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(writer: &Arc<Writer>) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let spawn = |name: &str, run: fn(&Writer, &AtomicBool)| {
            let (writer, stopping) = (Arc::clone(writer), Arc::clone(&stopping));
            std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&writer, &stopping))
        };
        let threads = vec![
            spawn("kvred-log", commit_groups)?,
            spawn("kvred-sync", sync_each_second)?,
            spawn("kvred-writeback", write_back_when_due)?,
            spawn("kvred-rewrite", rewrite_when_asked)?,
        ];
        Ok(Self { writer: Arc::clone(writer), stopping, threads })
    }

    /// Ends all, after what they are at; a rewrite under way is dropped.
    ///
    /// # Panics
    /// If one of them has panicked.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.writer.log_signal.raise();
        self.writer.write_back_signal.raise();
        self.writer.rewrite_signal.raise();
        {
            // Under its lock, or who has just looked would miss it.
            let _sync = self.writer.sync.lock();
            self.writer.sync_changed.notify_all();
        }
        for thread in self.threads {
            thread.join().expect("the log's threads do not panic");
        }
    }
}

fn commit_groups(writer: &Writer, stopping: &AtomicBool) {
    let mut gathering = Gathering::default();
    while !stopping.load(Ordering::SeqCst) {
        writer.log_signal.wait();
        loop {
            if writer.policy() == FsyncPolicy::Always {
                gathering.gather(writer);
            }
            writer.wait_for_slow_sync(|| stopping.load(Ordering::SeqCst));
            if !writer.commit_next() {
                break;
            }
        }
    }
}

/// How groups under `always` come together. Those who were answered by the last sync write again soon, one after the
/// other: a sync that begins with the first of them makes all others wait for another one.
#[derive(Default)]
struct Gathering {
    /// How many batches waited for each of the last two groups.
    last: [usize; 2],
}

impl Gathering {
    /// Waits until the open group is worth a sync, or for a while.
    fn gather(&mut self, writer: &Writer) {
        let (until, enough) = (writer.clock().monotonic() + GATHER_TIME, self.enough());
        // Said before they are counted: who comes later sees it.
        writer.batches_wanted.store(enough, Ordering::SeqCst);
        let mut waiting = writer.batches_waiting();
        while waiting < enough {
            let left = until.saturating_sub(writer.clock().monotonic());
            if left.is_zero() {
                break;
            }
            writer.log_signal.wait_for(left);
            waiting = writer.batches_waiting();
        }
        writer.batches_wanted.store(0, Ordering::SeqCst);
        self.note(waiting);
    }

    /// So many batches are worth a sync.
    fn enough(&self) -> usize {
        let before = self.last[0] + self.last[1];
        if before < GATHER_BATCHES { 0 } else { before * GATHER_PERCENT / 100 }
    }

    fn note(&mut self, waiting: usize) {
        self.last = [self.last[1], waiting];
    }
}

fn sync_each_second(writer: &Writer, stopping: &AtomicBool) {
    let stopped = || stopping.load(Ordering::SeqCst);
    let mut last_sync = writer.clock().monotonic();
    while !stopped() {
        let wait = (last_sync + SYNC_INTERVAL).saturating_sub(writer.clock().monotonic());
        if wait.is_zero() {
            last_sync = writer.clock().monotonic();
            writer.look_after_name();
            if writer.unsynced_since().is_none() {
                // Idle for a while: what was synced last is worth stating.
                writer.state_sync();
            } else if is_sync_due(writer) {
                drop(writer.sync_now());
            }
        } else if writer.sync_requested() {
            // Its failure is told to all who wait, by what it leaves behind.
            drop(writer.sync_now());
        } else {
            writer.wait_for_sync_change(wait, stopped);
        }
    }
}

/// Whether the policy wants what is written to be synced now.
fn is_sync_due(writer: &Writer) -> bool {
    let due = match writer.policy() {
        // Each commit has.
        FsyncPolicy::Always => false,
        FsyncPolicy::Everysec => true,
        FsyncPolicy::None => writer.unsynced_bytes() >= NONE_UNSYNCED_BYTES,
    };
    due && writer.poisoned().is_none()
}

fn write_back_when_due(writer: &Writer, stopping: &AtomicBool) {
    while !stopping.load(Ordering::SeqCst) {
        writer.write_back_signal.wait();
        writer.write_back();
    }
}

fn rewrite_when_asked(writer: &Writer, stopping: &AtomicBool) {
    let stopped = || stopping.load(Ordering::SeqCst);
    // Clients come first, where the scheduler has to choose. Without the right to say so, the rests have to do.
    if let Err(e) = step_back(10) {
        tracing::debug!("the rewrite's thread keeps its priority: {e}");
    }
    let mut pause = HEAL_PAUSE;
    while !stopped() {
        writer.rewrite_signal.wait();
        while !stopped() && (writer.rewrite_requested() || writer.poisoned().is_some()) {
            let healing = writer.poisoned().is_some();
            let was_lost = healing || writer.lost_name().is_some();
            let unhealed = match rewrite(writer, stopping, was_lost) {
                // After the rename the directory could not be synced: the next new file may have more luck.
                Ok(()) => writer.poisoned(),
                Err(e) if healing && !stopped() => Some(e.to_string().into()),
                Err(RewriteError::Closed | RewriteError::Poisoned) => None,
                Err(e) => {
                    static TOLD: Sparing = Sparing::new();
                    if let Some(left_out) = TOLD.due() {
                        tracing::error!(
                            "the rewrite of the append-only file came to nothing: {e}; the log is as it was{left_out}"
                        );
                    }
                    None
                }
            };
            if let Some(why) = unhealed {
                tracing::warn!("writing all data to a new file did not work: {why}; trying again in {pause:?}");
                writer.rewrite_signal.wait_for(pause);
                pause = (pause * 2).min(HEAL_PAUSE_MAX);
            } else {
                pause = HEAL_PAUSE;
            }
        }
    }
}

/// Carries out one rewrite; `was_lost`, one that puts a log in the place of one that cannot be written to, or is gone.
fn rewrite(writer: &Writer, stopping: &AtomicBool, was_lost: bool) -> Result<(), RewriteError> {
    let began = writer.clock().monotonic();
    writer.report_rewrite(|report| report.begin(began));
    let before = writer.stats().log_bytes;
    // From the first step on: what waits for the disk before is no work.
    let mut pace = None;
    let result = writer.rewrite_whole(|may_pause| {
        if may_pause {
            pace.get_or_insert_with(|| Pace::new(writer)).rest_if_due();
        }
        if stopping.load(Ordering::SeqCst) { Err(RewriteError::Closed) } else { Ok(()) }
    });
    let took = writer.clock().monotonic().saturating_sub(began);
    writer.report_rewrite(|report| report.end(began, took, result.as_ref().err().map(ToString::to_string)));
    let mut rewrite = result?;
    static TOLD: Sparing = Sparing::new();
    // Whoever reads that the log was lost waits for this.
    let due = if was_lost { Some(LeftOut::default()) } else { TOLD.due() };
    if let Some(left_out) = due {
        tracing::info!(
            "the append-only file was rewritten: {before} bytes became {}, {}, in {:.3} s{left_out}",
            rewrite.new_bytes(),
            counted(rewrite.keys, "key"),
            took.as_secs_f64()
        );
    }
    let mut pace = Pace::new(writer);
    while rewrite.forget_old() {
        pace.rest_if_due();
    }
    Ok(())
}

/// Work and rest of the rewrite's thread.
struct Pace<'w> {
    writer: &'w Writer,
    rested: Duration,
}

impl<'w> Pace<'w> {
    fn new(writer: &'w Writer) -> Self {
        Self { writer, rested: writer.clock().monotonic() }
    }

    fn rest_if_due(&mut self) {
        let worked = self.writer.clock().monotonic().saturating_sub(self.rested);
        if worked >= REWRITE_STRETCH {
            std::thread::sleep(worked);
            self.rested = self.writer.clock().monotonic();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_let_grow_beside_those_before_it() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.enough(), 0, "the first one goes at once");
        (0..2).for_each(|_| gathering.note(8));
        assert_eq!(gathering.enough(), 0, "a few clients are not waited for");
        (0..2).for_each(|_| gathering.note(25));
        assert_eq!(gathering.enough(), 15, "50 clients in two groups");
        gathering.note(1);
        gathering.note(1);
        assert_eq!(gathering.enough(), 0, "a burst is soon forgotten");
    }
}
