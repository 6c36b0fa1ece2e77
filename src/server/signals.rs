//! What the process is told by signals: to stop, and to read its certificates anew.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, timeout_at};

use super::systemd;
use super::tls::Certificates;

/// What comes within so long of the first signal is one with it: no hand is that fast, but `timeout` signals the server
/// and then its process group.
const TOGETHER: Duration = Duration::from_millis(100);

/// `SIGTERM` and `SIGINT`; and `SIGHUP`, which stops nothing.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// Whether one has come that stops.
    came: bool,
}

impl StopSignals {
    /// Takes them: none has its usual effect any more.
    ///
    /// # Errors
    /// The event loop cannot wait for them.
    pub fn new() -> std::io::Result<Self> {
        // It comes with a write beyond the limit on the size of files, which may be set at any time, and would end the
        // process. It stays taken, though nobody listens.
        drop(signal(SignalKind::from_raw(libc::SIGXFSZ))?);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            came: false,
        })
    }

    /// Waits for one that stops; certificates are read anew with each `SIGHUP` that comes before it.
    pub async fn next(&mut self, certificates: Option<&Certificates>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => reload(certificates),
            }
        }
        self.came = true;
    }

    /// Waits for one that stops, while the server gets ready; a `SIGHUP` waits for [`StopSignals::next`].
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for a further signal that stops, while the server stops. What comes within `TOGETHER` of the first counts
    /// as the first; if `SHUTDOWN` began the stop, the first is still to come.
    pub async fn insisting(&mut self) {
        if !self.came {
            self.stop().await;
        }
        let deadline = Instant::now() + TOGETHER;
        while timeout_at(deadline, self.stop()).await.is_ok() {}
        self.stop().await;
    }
}

fn reload(certificates: Option<&Certificates>) {
    let Some(certificates) = certificates else {
        return tracing::info!("SIGHUP: there are no certificates to read anew");
    };
    systemd::reloading();
    certificates.reload(false);
    systemd::ready_again();
}
