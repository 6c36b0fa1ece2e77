//! What a failed write or sync leaves behind: groups that fail, and a log that is not to be trusted any more.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::group::{Group, Outcome};
use super::token::Token;
use super::{Open, WriteFailure, Writer};

/// Why a group failed.
pub(super) struct Failure {
    pub(super) reason: Arc<str>,
    pub(super) kind: FailureKind,
}

/// What it means for the group and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The write was taken back: the log is as it was.
    Undone,
    /// Nothing of the group was written, but the log is not to be trusted any more.
    NotBegun,
    /// Whether the group is in the log is not known, and the log is not to be trusted any more.
    Unknown,
}

impl Failure {
    /// Something failed that comes before the group's own write.
    pub(super) fn before_the_write(reason: Arc<str>) -> Self {
        Self { reason, kind: FailureKind::NotBegun }
    }

    /// Whether the log is not to be trusted any more.
    pub(super) fn poisons(&self) -> bool {
        self.kind != FailureKind::Undone
    }
}

pub(super) fn sync_failure(e: &std::io::Error) -> Arc<str> {
    format!("fsync failed: {e}").into()
}

impl Writer {
    /// Fails the group under way, and what was evaluated on top of it meanwhile.
    pub(super) fn fail(&self, group: &Group, failure: &Failure, by: Option<usize>) {
        let mut open = self.open.lock();
        let reason = Arc::clone(&failure.reason);
        let outcome = match failure.kind {
            FailureKind::Undone | FailureKind::NotBegun => WriteFailure::Refused(reason),
            FailureKind::Unknown => WriteFailure::Unknown(reason),
        };
        resolve(&group.outcome, Err(outcome));
        if failure.poisons() {
            mark_poisoned(&mut open, &failure.reason);
        }
        self.refuse_open_group(open, &failure.reason, by);
        if failure.poisons() {
            self.rewrite_signal.raise();
            self.wake_sync_waiters();
        }
    }

    /// Fails what is open, takes no more writes, and has a rewrite heal that; unless the file of `epoch` has been
    /// replaced.
    pub(super) fn poison_unless_replaced(&self, reason: &Arc<str>, epoch: u64) {
        // With the token: no group is between its write and its publication.
        let log = self.token();
        if self.sync.lock().epoch == epoch {
            self.poison_holding(log, reason);
        }
    }

    /// Fails what is open, takes no more writes, and has a rewrite heal that. For who holds the token.
    pub(super) fn poison_holding(&self, log: Token<'_>, reason: &Arc<str>) {
        self.fail_open_group(self.open.lock(), reason);
        drop(log);
        self.rewrite_signal.raise();
    }

    /// Fails what is open and takes no more writes. For who holds the token: no group is under way.
    pub(super) fn fail_open_group(&self, mut open: MutexGuard<'_, Open>, reason: &Arc<str>) {
        mark_poisoned(&mut open, reason);
        self.refuse_open_group(open, reason, None);
        self.wake_sync_waiters();
    }

    fn refuse_open_group(&self, mut open: MutexGuard<'_, Open>, reason: &Arc<str>, by: Option<usize>) {
        let (refused, _pending) = (std::mem::take(&mut open.group), std::mem::take(&mut open.pending));
        resolve(&refused.outcome, Err(WriteFailure::Refused(Arc::clone(reason))));
        self.wake_waiting(open, by);
    }
}

fn mark_poisoned(open: &mut Open, reason: &Arc<str>) {
    if open.poisoned.is_none() {
        tracing::error!(
            "the append-only file is not to be trusted any more: {reason}; writes are refused, reads go on"
        );
        open.poisoned = Some(Arc::clone(reason));
    }
}

pub(super) fn resolve(outcome: &Outcome, result: Result<(), WriteFailure>) {
    assert!(outcome.0.set(result).is_ok(), "a group is resolved once");
}
