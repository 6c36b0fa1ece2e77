//! Ctrl-C while something is waited for.

use tokio::signal::unix::{SignalKind, signal};

/// What became of something that can be interrupted.
pub(crate) enum Waited<T> {
    Done(T),
    Interrupted,
}

/// Waits, until Ctrl-C.
pub(crate) async fn interruptible<T>(work: impl Future<Output = T>) -> Waited<T> {
    // Registered anew each time: an interrupt from before does not count.
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else {
        return Waited::Done(work.await);
    };
    tokio::select! {
        result = work => Waited::Done(result),
        _ = interrupt.recv() => Waited::Interrupted,
    }
}
