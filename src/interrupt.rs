//! Ctrl-C, SIGTERM, and SIGHUP when the terminal goes: heard from the start to the end, so that none is lost between
//! two steps.

use std::future::poll_fn;
use std::io;
use std::process;
use std::task::Poll;
use std::thread;

use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Status;
use crate::machine::{ignores_signal, thread_error};

/// Whether somebody wants it to end.
#[derive(Debug)]
pub(crate) struct Interrupt(Vec<Signal>);

impl Interrupt {
    /// Must be called within the runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
        // Who starts it with nohup wants it to go on.
        if !ignores_signal(SignalKind::hangup().as_raw_value()) {
            kinds.push(SignalKind::hangup());
        }
        Ok(Self(kinds.into_iter().map(signal).collect::<Result<_, _>>()?))
    }

    /// Waits for a signal. Cancel-safe.
    pub(crate) async fn wait(&mut self) {
        poll_fn(|context| {
            let came = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Ends the process when it is interrupted, for work that nothing else ends.
pub(crate) struct Exit {
    runtime: Runtime,
    interrupt: Interrupt,
}

impl Exit {
    /// Listens from now on; an interrupt waits for [`Exit::after`].
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let interrupt = {
            let _inside = runtime.enter();
            Interrupt::listen()?
        };
        Ok(Self { runtime, interrupt })
    }

    /// Has an interrupt do this, and then end the process.
    pub(crate) fn after(mut self, last: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let wait = move || {
            self.runtime.block_on(self.interrupt.wait());
            last();
            process::exit(Status::Interrupted.code().into());
        };
        let thread = thread::Builder::new().name("interrupt".to_owned()).spawn(wait);
        thread.map(drop).map_err(|e| thread_error("the thread that hears an interrupt", &e))
    }
}
