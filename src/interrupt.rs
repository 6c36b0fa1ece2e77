//! Ctrl-C and SIGTERM: heard from the start to the end, so that none is lost between two steps.

use std::io;
use std::process;
use std::thread;

use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Status;

/// Whether somebody wants it to end.
#[derive(Debug)]
pub(crate) struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    /// Must be called within the runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    /// Waits for a signal. Cancel-safe.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
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
        thread::Builder::new().name("interrupt".to_owned()).spawn(wait).map(drop)
    }
}
