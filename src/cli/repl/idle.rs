//! What a server pushes while nothing is asked of it (RESP3: invalidations, messages): shown above the prompt, as it
//! comes, while one types.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use rustyline::history::FileHistory;
use rustyline::{Editor, ExternalPrinter};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::helper::ReplHelper;
use crate::cli::output::Printer;
use crate::cli::session::Session;

/// Pushes that wait for the terminal, for instance while the history is searched. More are counted, not kept.
const WAITING_MAX: usize = 1000;

/// Where pushes are shown.
pub(super) struct Idle {
    texts: SyncSender<String>,
}

impl Idle {
    /// `None` where the terminal cannot have anything printed above its prompt.
    pub(super) fn new(editor: &mut Editor<ReplHelper, FileHistory>) -> Option<Self> {
        let terminal = editor.create_external_printer().ok()?;
        let (texts, waiting) = sync_channel(WAITING_MAX);
        // A thread of its own, which nobody waits for: printing may have to wait until the next line is typed.
        thread::spawn(|| print_all(terminal, waiting));
        Some(Self { texts })
    }

    /// Reads a line with `read_line`, and meanwhile shows what the session's server pushes.
    pub(super) fn meanwhile<T>(
        &self,
        runtime: &Runtime,
        session: &mut Session,
        printer: Printer,
        read_line: impl FnOnce() -> T,
    ) -> T {
        if !session.may_be_told() {
            return read_line();
        }
        let typed = Notify::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                runtime.block_on(async {
                    tokio::select! {
                        () = self.show(session, printer) => {}
                        () = typed.notified() => {}
                    }
                });
            });
            let line = read_line();
            typed.notify_one();
            line
        })
    }

    async fn show(&self, session: &mut Session, printer: Printer) {
        let mut dropped = 0_u64;
        // A connection that fails is found by the next command.
        while let Some(frame) = session.unasked().await {
            let mut out = Vec::new();
            printer.render(&mut out, &frame, false);
            let mut text = String::from_utf8_lossy(&out).into_owned();
            if dropped > 0 {
                text = format!("({dropped} more came than could be shown)\n{text}");
            }
            match self.texts.try_send(text) {
                Ok(()) => dropped = 0,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => dropped += 1,
            }
        }
    }
}

fn print_all(mut terminal: impl ExternalPrinter, waiting: Receiver<String>) {
    for text in waiting {
        if terminal.print(text).is_err() {
            return;
        }
    }
}
