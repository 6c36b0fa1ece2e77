//! Reading lines where the terminal cannot be steered (`TERM=dumb`): it edits the line itself, and Ctrl-C has it drop
//! what was typed, without a word to who reads.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustyline::error::ReadlineError;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::cli::words::open_quote;

/// Reads a command, of several lines if a quote stays open.
pub(super) fn read_line(runtime: &Runtime, prompt: &str) -> rustyline::Result<String> {
    let show_prompt = |before: &str| {
        let mut stdout = io::stdout().lock();
        write!(stdout, "{before}{prompt}").and_then(|()| stdout.flush())
    };
    show_prompt("")?;
    let (typed, given_up) = (Notify::new(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            runtime.block_on(async {
                let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return };
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {
                            given_up.store(true, Ordering::Release);
                            // A terminal that cannot be written to is found by the next prompt.
                            drop(show_prompt("\n"));
                        }
                        () = typed.notified() => return,
                    }
                }
            });
        });
        let line = read(&given_up);
        typed.notify_one();
        if matches!(line, Err(ReadlineError::Eof)) {
            writeln!(io::stdout())?;
        }
        line
    })
}

fn read(given_up: &AtomicBool) -> rustyline::Result<String> {
    let mut input = String::new();
    loop {
        let from = input.len();
        let read = io::stdin().read_line(&mut input)?;
        if given_up.swap(false, Ordering::Acquire) {
            input.drain(..from);
        }
        if read == 0 && input.is_empty() {
            return Err(ReadlineError::Eof);
        }
        if read == 0 || open_quote(&input).is_none() {
            input.truncate(input.trim_end_matches(['\r', '\n']).len());
            return Ok(input);
        }
    }
}
