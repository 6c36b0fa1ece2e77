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
    read_at(runtime, prompt, prompt, |input, _| open_quote(input).is_none()).0
}

/// Asks a question. `Err`: Ctrl-C gave it up, so the prompt was shown, and this is the command that was typed there.
pub(super) fn ask(
    runtime: &Runtime,
    question: &str,
    prompt: &str,
) -> Result<rustyline::Result<String>, rustyline::Result<String>> {
    let prompt = format!("(nothing was sent)\n{prompt}");
    let is_whole = |input: &str, given_up: bool| !given_up || open_quote(input).is_none();
    let (line, given_up) = read_at(runtime, question, &prompt, is_whole);
    if given_up { Err(line) } else { Ok(line) }
}

/// Reads lines until they are whole; each Ctrl-C drops those before it, and shows the prompt for it. Says whether there
/// was one.
fn read_at(
    runtime: &Runtime,
    prompt: &str,
    prompt_again: &str,
    is_whole: impl Fn(&str, bool) -> bool,
) -> (rustyline::Result<String>, bool) {
    let show = |text: &[&str]| {
        let mut stdout = io::stdout().lock();
        text.iter().try_for_each(|part| stdout.write_all(part.as_bytes())).and_then(|()| stdout.flush())
    };
    let interrupt = {
        let _inside = runtime.enter();
        signal(SignalKind::interrupt())
    };
    if let Err(error) = show(&[prompt]) {
        return (Err(error.into()), false);
    }
    let (typed, interrupted) = (Notify::new(), AtomicBool::new(false));
    let (line, given_up) = thread::scope(|scope| {
        scope.spawn(|| {
            runtime.block_on(async {
                let Ok(mut interrupt) = interrupt else { return };
                loop {
                    tokio::select! {
                        // What came before the line's end is looked at before it.
                        biased;
                        _ = interrupt.recv() => {
                            interrupted.store(true, Ordering::Release);
                            // A terminal that cannot be written to is found by the next prompt.
                            drop(show(&["\n", prompt_again]));
                        }
                        () = typed.notified() => return,
                    }
                }
            });
        });
        let read = read(&interrupted, is_whole);
        typed.notify_one();
        read
    });
    let line = match line {
        Err(ReadlineError::Eof) => show(&["\n"]).map_or_else(|error| Err(error.into()), |()| line),
        line => line,
    };
    (line, given_up || interrupted.into_inner())
}

fn read(interrupted: &AtomicBool, is_whole: impl Fn(&str, bool) -> bool) -> (rustyline::Result<String>, bool) {
    let (mut input, mut given_up) = (String::new(), false);
    loop {
        let from = input.len();
        let read = match io::stdin().read_line(&mut input) {
            Ok(read) => read,
            Err(error) => return (Err(error.into()), given_up),
        };
        if interrupted.swap(false, Ordering::Acquire) {
            input.drain(..from);
            given_up = true;
        }
        if read == 0 && input.is_empty() {
            return (Err(ReadlineError::Eof), given_up);
        }
        if read == 0 || is_whole(&input, given_up) {
            input.truncate(input.trim_end_matches(['\r', '\n']).len());
            return (Ok(input), given_up);
        }
    }
}
