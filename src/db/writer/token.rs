//! The commit token: the right to write to the log, which one thread at a time has.

use std::sync::atomic::{Ordering, fence};

use parking_lot::MutexGuard;

use super::{Log, Writer};
use crate::persistence::aof::Aof;

impl Writer {
    /// Takes the commit token, for something other than committing the open group.
    pub(super) fn token(&self) -> Token<'_> {
        Token { writer: self, log: Some(self.log.lock()) }
    }

    /// Lets the commit token go: whether somebody wanted it meanwhile, to commit, and has left that to its holder.
    pub(super) fn let_go(&self, log: MutexGuard<'_, Log>) -> bool {
        // Only who has the token can have changed it. Who looks meanwhile sees what was so before, and whoever gets the
        // token then asks the log itself.
        let in_no_sync_stretch = log.aof.as_ref().is_some_and(Aof::in_no_sync_stretch);
        self.in_no_sync_stretch.store(in_no_sync_stretch, Ordering::SeqCst);
        drop(log);
        fence(Ordering::SeqCst);
        self.commit_wanted.load(Ordering::SeqCst)
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
        if self.log.take().is_some_and(|log| self.writer.let_go(log)) {
            self.writer.log_signal.raise();
        }
    }
}
