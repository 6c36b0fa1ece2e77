//! The end of the server: what is under way is finished.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::signals::StopSignals;
use super::worker::Message;
use super::{Server, systemd};
use crate::db::writer::threads::LogThreads;
use crate::exit::{Failure, OrExit, Status};

/// How often systemd is told that stopping goes on.
const STOPPING_INTERVAL: Duration = Duration::from_secs(10);

/// Finishes what is under way: commands, replies, the log.
pub(super) async fn shut_down(
    server: &Arc<Server>,
    log_threads: LogThreads,
    threads: Vec<JoinHandle<()>>,
    mut signals: StopSignals,
) -> Result<Status, Failure> {
    tracing::info!("stopping: no more connections; commands under way are finished");
    systemd::stopping();
    for worker in &server.workers {
        // One that has ended has nothing to finish.
        drop(worker.messages.send(Message::Stop));
    }
    let server = Arc::clone(server);
    // Never dropped: its data goes at once when the process ends, and value by value it would take seconds.
    std::mem::forget(Arc::clone(&server));
    let finished = tokio::task::spawn_blocking(move || {
        for thread in threads {
            thread.join().expect("a panic ends the process");
        }
        log_threads.stop();
        server.writer.close()
    });
    tokio::select! {
        () = keep_alive() => unreachable!("it goes on for ever"),
        result = finished => {
            let result = result.or_unavailable(|| "the shutdown did not finish".to_owned())?;
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
