//! Figures for `INFO persistence`: counted, and put together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Writer;
use super::rewrite::RewriteReport;

/// What is counted as it happens.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) delayed_syncs: AtomicU64,
    pub(super) last_sync_micros: AtomicU64,
    pub(super) write_failures: AtomicU64,
    pub(super) last_write_failed: AtomicBool,
    /// The log told that writes fail, and not yet that they work again.
    pub(super) failure_told: AtomicBool,
    /// Until then (monotonic seconds) it does not tell again.
    pub(super) failures_quiet_until: AtomicU64,
    pub(super) pending_bytes: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) groups: AtomicU64,
}

/// What `INFO persistence` tells about the log.
#[derive(Debug, Clone)]
pub struct WriterStats {
    /// The log's length.
    pub log_bytes: u64,
    /// The log's length after the last rewrite, or when it was loaded.
    pub base_bytes: u64,
    /// What of it is not known to be durable, from the first write on that is not.
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
    /// Figures for `INFO`.
    pub fn stats(&self) -> WriterStats {
        let sync = self.sync.lock();
        let (written, base_bytes) = (sync.written.0, sync.base_bytes);
        // Else there is only a batch that states a sync, which nothing depends on.
        let unsynced_bytes = sync.oldest_unsynced.map_or(0, |_| sync.unsynced_bytes());
        drop(sync);
        WriterStats {
            log_bytes: written,
            base_bytes,
            rewrite: self.rewrite_report(),
            unsynced_bytes,
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
