//! New connections: each to a worker, or refused.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Server;
use super::listen::{Accepted, Listener};
use super::worker::Message;
use crate::sparing::Sparing;

/// A pause after `accept` failed, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a peer from elsewhere is told while there is no password; Redis's `protected-mode`.
const PROTECTED: &str = "-DENIED kvred is running in protected mode because it has no password, and this connection is not from the loopback \
     interface. To be reached from elsewhere, start it with --requirepass-file FILE (or KVRED_REQUIREPASS), or, if the \
     network is trusted, with --protected-mode no.\r\n";

/// Accepts from all listeners at once, for ever.
pub(super) async fn from_all(listeners: &[Listener], server: &Arc<Server>) {
    let mut loops: Vec<_> = listeners.iter().map(|listener| Box::pin(from_one(listener, server))).collect();
    std::future::poll_fn::<(), _>(|cx| {
        for accepting in &mut loops {
            assert!(accepting.as_mut().poll(cx).is_pending(), "accepting never ends by itself");
        }
        std::task::Poll::Pending
    })
    .await;
}

async fn from_one(listener: &Listener, server: &Arc<Server>) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                failing = false;
                hand_over(accepted, server);
            }
            // It has gone before it was accepted; the next ones need not wait.
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(e) => {
                static TOLD: Sparing = Sparing::new();
                if !std::mem::replace(&mut failing, true)
                    && let Some(left_out) = TOLD.due()
                {
                    tracing::warn!("a connection cannot be accepted: {e}{left_out}");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Gives a connection to the worker with the fewest, or refuses it.
fn hand_over(accepted: Accepted, server: &Server) {
    let connected: usize = server.workers.iter().map(|w| w.connection_count.get()).sum();
    if connected as u64 >= server.live.max_clients.load(Ordering::Relaxed) {
        server.stats.rejected.fetch_add(1, Ordering::Relaxed);
        return accepted.refuse(b"-ERR max number of clients reached\r\n");
    }
    if server.config.protected_mode && server.config.password.is_none() && !accepted.is_local() {
        server.stats.rejected.fetch_add(1, Ordering::Relaxed);
        return accepted.refuse(PROTECTED.as_bytes());
    }
    // As in Redis: one that was refused is not among those received.
    server.stats.connections.fetch_add(1, Ordering::Relaxed);
    let worker = server.assign_worker();
    if worker.messages.send(Message::Serve(accepted)).is_err() {
        worker.connection_count.subtract();
    }
}
