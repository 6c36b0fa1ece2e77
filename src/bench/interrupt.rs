//! Ctrl-C and SIGTERM: heard from the start to the end, so that none between two runs is lost.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether somebody wants it to end.
#[derive(Debug)]
pub(super) struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    /// Must be called within the runtime.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    /// Waits for a signal. Cancel-safe.
    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
