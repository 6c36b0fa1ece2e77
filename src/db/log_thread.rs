//! The two threads of the log: one commits groups that no worker may commit inline, the other syncs.
//!
//! They only decide when; what is done is [`Writer`]'s.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::writer::Writer;
use crate::persistence::FsyncPolicy;

/// How often `everysec` syncs.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The running threads; [`LogThreads::stop`] ends them.
#[derive(Debug)]
pub struct LogThreads {
    writer: Arc<Writer>,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl LogThreads {
    /// Starts both threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(writer: &Arc<Writer>) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let spawn = |name: &str, run: fn(&Writer, &AtomicBool)| {
            let (writer, stopping) = (Arc::clone(writer), Arc::clone(&stopping));
            std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&writer, &stopping))
        };
        let threads = vec![spawn("kvred-log", commit_groups)?, spawn("kvred-sync", sync_each_second)?];
        Ok(Self { writer: Arc::clone(writer), stopping, threads })
    }

    /// Ends both, after what they are at.
    ///
    /// # Panics
    /// If one of them has panicked.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.writer.log_signal.raise();
        self.writer.sync_changed.notify_all();
        for thread in self.threads {
            thread.join().expect("the log's threads do not panic");
        }
    }
}

fn commit_groups(writer: &Writer, stopping: &AtomicBool) {
    while !stopping.load(Ordering::SeqCst) {
        writer.log_signal.wait();
        loop {
            writer.wait_for_slow_sync();
            if !writer.commit_next() {
                break;
            }
        }
    }
}

fn sync_each_second(writer: &Writer, stopping: &AtomicBool) {
    let stopped = || stopping.load(Ordering::SeqCst);
    let mut last_sync = writer.clock().monotonic();
    while !stopped() {
        let wait = (last_sync + SYNC_INTERVAL).saturating_sub(writer.clock().monotonic());
        if !wait.is_zero() {
            writer.wait_for_sync_change(wait, stopped);
            continue;
        }
        last_sync = writer.clock().monotonic();
        if writer.unsynced_since().is_none() {
            // Idle for a while: what was synced last is worth stating.
            writer.state_sync();
        } else if writer.policy() == FsyncPolicy::Everysec && writer.sync_now().is_err() {
            return;
        }
    }
}
