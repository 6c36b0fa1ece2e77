//! What the process is told by signals: to stop, and to read its certificates anew.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::systemd;
use super::tls::Certificates;

/// `SIGTERM` and `SIGINT`; and `SIGHUP`, which stops nothing.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// How many have come that stop.
    came: u32,
}

impl StopSignals {
    /// Takes them: none has its usual effect any more.
    ///
    /// # Errors
    /// The event loop cannot wait for them.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            came: 0,
        })
    }

    /// Waits for the next; certificates are read anew with each `SIGHUP` that comes before it.
    pub async fn next(&mut self, certificates: Option<&Certificates>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => reload(certificates),
            }
        }
        self.came += 1;
    }

    /// Waits for the second; none has come yet where a command has stopped the server.
    pub async fn second(&mut self) {
        while self.came < 2 {
            self.next(None).await;
        }
    }
}

fn reload(certificates: Option<&Certificates>) {
    let Some(certificates) = certificates else {
        return tracing::info!("SIGHUP: there are no certificates to read anew");
    };
    systemd::reloading();
    let result = certificates.reload();
    systemd::ready_again();
    match result {
        Ok(()) => tracing::info!("the TLS certificates were read anew; new connections use them"),
        Err(e) => tracing::error!("the TLS certificates stay as they were, the new ones cannot be used: {e:#}"),
    }
}
