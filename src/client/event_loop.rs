//! What connections are opened and used on: an event loop for one thread.

use std::io;
use std::ops::Deref;

use tokio::runtime::{Builder, Runtime};

use crate::machine;

/// A runtime whose end does not wait for a thread that looks a name up: it may take minutes where no resolver answers,
/// whatever the limit, and nothing interrupts it. It ends with the process.
#[derive(Debug)]
pub(crate) struct EventLoop(Option<Runtime>);

impl EventLoop {
    /// Starts one; an error where the system allows too few files for its parts, for which tokio panics.
    pub(crate) fn new() -> io::Result<Self> {
        const FILES: u64 = 16;
        let allowed = machine::allow_open_files(FILES);
        let runtime = if allowed < FILES {
            Err(io::Error::other(format!("the system allows too few open files, {allowed}")))
        } else {
            Builder::new_current_thread().enable_all().build()
        };
        Ok(Self(Some(runtime.map_err(|e| io::Error::other(format!("{e}; raise the limit with \"ulimit -n\"")))?)))
    }
}

impl Deref for EventLoop {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
