//! What systemd is told of the server's life (`sd_notify(3)`), and the sockets that it hands over (`sd_listen_fds(3)`).
//!
//! Without systemd nobody listens, and nothing here costs more than a look into the environment.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// How often progress is told at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// For how long after a sign of life systemd shall wait for the next.
const PATIENCE: Duration = Duration::from_mins(1);

/// The name of a socket for TLS, as `FileDescriptorName=` gives it.
const TLS_NAME: &str = "tls";

fn tell(states: &[NotifyState<'_>]) {
    // Who cannot be told need not know.
    drop(sd_notify::notify(states));
}

/// Tells how far the log has been loaded, and that it takes longer.
#[derive(Debug)]
pub struct Loading {
    total_bytes: u64,
    last_told: Option<Instant>,
}

impl Loading {
    /// Begins with a log of so many bytes.
    pub fn of(total_bytes: u64) -> Self {
        let mut loading = Self { total_bytes, last_told: None };
        loading.reached(0);
        loading
    }

    /// Notes how much has been loaded; tells it now and then.
    pub fn reached(&mut self, bytes: u64) {
        if self.last_told.is_some_and(|told| told.elapsed() < PROGRESS_INTERVAL) {
            return;
        }
        self.last_told = Some(Instant::now());
        let percent = u128::from(bytes) * 100 / u128::from(self.total_bytes.max(1));
        still_alive(&format!("loading {percent} %"));
    }
}

/// Clients can connect.
pub fn ready(keys: usize) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("serving; {keys} keys loaded"))]);
}

/// Certificates are being read anew; [`ready_again`] follows.
pub fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// What was begun by [`reloading`] has ended.
pub fn ready_again() {
    tell(&[NotifyState::Ready]);
}

/// No connection is taken any more.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Starting or stopping goes on.
pub fn still_alive(status: &str) {
    tell(&[NotifyState::Status(status), NotifyState::ExtendTimeoutUsec(PATIENCE.as_micros() as u32)]);
}

/// Sockets that systemd listens on for the server.
#[derive(Debug, Default)]
pub struct Handed {
    /// Plain TCP.
    pub tcp: Vec<TcpListener>,
    /// TCP for TLS: those named `tls`.
    pub tls: Vec<TcpListener>,
    /// Unix sockets.
    pub unix: Vec<UnixListener>,
}

impl Handed {
    /// Takes them, if there are any; the variables that tell of them are gone then.
    ///
    /// # Errors
    /// One is no listening socket of TCP or unix.
    pub fn take() -> std::io::Result<Option<Self>> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut fds = listenfd::ListenFd::from_env();
        if fds.len() == 0 {
            return Ok(None);
        }
        let mut handed = Self::default();
        let mut names = names.split(':');
        for i in 0..fds.len() {
            let is_tls = names.next() == Some(TLS_NAME);
            // One of the two fits; what is neither is refused by both.
            if let Ok(Some(listener)) = fds.take_unix_listener(i) {
                handed.unix.push(listener);
            } else if let Some(listener) = fds.take_tcp_listener(i)? {
                if is_tls { &mut handed.tls } else { &mut handed.tcp }.push(listener);
            }
        }
        Ok(Some(handed))
    }
}
