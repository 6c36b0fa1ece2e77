//! What a worker does once in a while, and at its end.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Worker;
use super::connection::Connection;
use crate::server::purge;

/// How often idle connections are looked for, and memory is given back; killed connections are at once, see
/// [`Message::Sweep`](super::Message::Sweep).
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long replies may take to be read at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

impl Worker {
    pub(super) async fn sweep_regularly(self: Rc<Self>) {
        let mut interval = tokio::time::interval(SWEEP_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            // What was a busy moment's only is not kept: with many large replies, that is a lot.
            self.spare_buffers.take();
            purge::give_back();
            if self.server.live.timeout_seconds.load(Ordering::Relaxed) > 0 {
                self.sweep();
            }
        }
    }

    /// Closes connections that were killed, or were idle for too long.
    pub(super) fn sweep(&self) {
        let (now, timeout) = (self.now_seconds(), self.server.live.timeout_seconds.load(Ordering::Relaxed));
        let connections: Vec<Rc<Connection>> = self.connections.borrow().values().cloned().collect();
        for connection in connections {
            let client = &connection.client;
            if client.killed.load(Ordering::Relaxed) {
                connection.close_now();
            } else if timeout > 0 && client.idle_seconds(now) > timeout && !connection.waits_for_server() {
                tracing::debug!(client = client.id, addr = %client.addr, "closing an idle client");
                connection.close_now();
            }
        }
    }

    /// Runs nothing more; waits until what is under way is answered and the replies are read, for a while.
    pub(super) async fn drain(self: &Rc<Self>) {
        self.stopping.set(true);
        // What was read was sent in time.
        self.run_intake();
        let connections: Vec<Rc<Connection>> = self.connections.borrow().values().cloned().collect();
        for connection in connections {
            connection.close_when_answered(self);
        }
        let all_closed = async {
            while !self.connections.borrow().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(SHUTDOWN_GRACE, all_closed).await.is_err() {
            let left = self.connections.borrow().len();
            tracing::warn!("{left} clients did not read their replies within {SHUTDOWN_GRACE:?}");
        }
    }
}
