//! The end of the server: what is under way is finished.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::signals::StopSignals;
use super::worker::Message;
use super::{Server, systemd};
use crate::db::writer::CloseError;
use crate::db::writer::threads::LogThreads;
use crate::exit::{Failure, OrExit, Status};

/// How often systemd is told that stopping goes on.
const STOPPING_INTERVAL: Duration = Duration::from_secs(10);

/// What closing the log has come to.
type Closed = oneshot::Receiver<Result<(), CloseError>>;

/// Has a thread close the log once all workers have ended. It is made at the start: at the end the system may give
/// none.
///
/// # Errors
/// The system gives no thread.
pub(super) fn close_behind(
    workers: Vec<JoinHandle<()>>,
    log_threads: LogThreads,
    server: &Arc<Server>,
) -> io::Result<Closed> {
    let server = Arc::clone(server);
    let (done, closed) = oneshot::channel();
    let close = move || {
        for worker in workers {
            worker.join().expect("a panic ends the process");
        }
        log_threads.stop();
        // Nobody listens any more after a second signal.
        drop(done.send(server.writer.close()));
        // Never dropped: its data goes at once when the process ends, and value by value it would take seconds.
        std::mem::forget(server);
    };
    std::thread::Builder::new().name("kvred-close".to_owned()).spawn(close)?;
    Ok(closed)
}

/// Finishes what is under way: commands, replies, the log.
pub(super) async fn shut_down(server: &Server, closed: Closed, mut signals: StopSignals) -> Result<Status, Failure> {
    tracing::info!("stopping: no more connections; commands under way are finished");
    systemd::stopping();
    for worker in &server.workers {
        // One that has ended has nothing to finish.
        drop(worker.messages.send(Message::Stop));
    }
    tokio::select! {
        () = keep_alive() => unreachable!("it goes on for ever"),
        result = closed => {
            let result = result.expect("a panic ends the process");
            result.or_unavailable(|| "the log could not be closed".to_owned())?;
            tracing::info!("stopped");
            Ok(Status::Fine)
        }
        () = signals.insisting() => {
            tracing::warn!("stopped at once, by a second signal");
            std::process::exit(Status::Interrupted.code().into());
        }
    }
}

/// Tells systemd at once, and again and again, that stopping goes on: a last sync may take its time.
async fn keep_alive() {
    let mut interval = tokio::time::interval(STOPPING_INTERVAL);
    loop {
        interval.tick().await;
        systemd::still_alive("stopping: commands under way are finished, the log is synced");
    }
}
