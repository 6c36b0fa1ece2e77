//! `--pipe`: commands from the standard input as fast as they go, RESP or command lines, also mixed.
//!
//! A thread reads and decodes the input, so the number of commands is known and each reply belongs to one of them: no
//! marker is needed at the end, and an input that breaks off in a command is noticed. What has been read is sent while
//! replies come back; neither side waits for the other.

mod input;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use indicatif::ProgressBar;
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use self::input::{Chunk, InputError};
use super::output::{Format, Printer, json as json_format, printer};
use super::progress;
use super::session::Session;
use super::stop::Stop;
use crate::args::CliArgs;
use crate::client::{ClientError, Receiver, Sender};
use crate::exit::{Failure, Status};
use crate::protocol::frame::Frame;

/// Chunks on their way from the reader to the sender; each is about a megabyte.
const CHUNKS_AHEAD: usize = 4;

/// Errors that are told one by one; the rest are only counted.
const ERRORS_TOLD: u64 = 10;

/// What has been sent and what has come back.
#[derive(Debug, Default)]
struct Progress {
    sent: Cell<u64>,
    /// The lines, or the numbers, of the commands that have no reply yet.
    waiting: RefCell<VecDeque<u64>>,
    /// Whether nothing more will be sent.
    all_sent: Cell<bool>,
    wake: Notify,
    replies: Cell<u64>,
    errors: Cell<u64>,
}

/// Sends the standard input. Ctrl-C ends that early, and tells how far it came.
pub(crate) async fn run(mut session: Session, args: &CliArgs, printer: &Printer) -> Result<Status, Stop> {
    let Some(mut connection) = session.take_connection() else {
        return Ok(Status::Unavailable);
    };
    let bar = progress::bytes(input_bytes());
    let (chunks, from_reader) = mpsc::channel(CHUNKS_AHEAD);
    let reader = std::thread::spawn(move || input::read(io::stdin().lock(), &chunks));
    let state = Progress::default();
    let started = Instant::now();

    let patience = Some(args.pipe_timeout).filter(|&s| s > 0.0).map(Duration::from_secs_f64);
    let work = async {
        tokio::try_join!(
            send(&mut connection.sender, from_reader, &state, &bar),
            receive(&mut connection.receiver, &state, patience, &bar),
        )
    };
    let result = tokio::select! {
        result = work => Some(result),
        interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| None)?,
    };
    bar.finish_and_clear();

    let seconds = started.elapsed().as_secs_f64();
    report(&state, seconds, *printer)?;
    let missing = state.sent.get() - state.replies.get();
    let Some(result) = result else {
        // The thread that reads may wait for input for ever; it ends with the process.
        let unknown = if missing == 0 {
            String::new()
        } else {
            format!("; {missing} commands were sent without a reply: their outcome is unknown")
        };
        eprintln!("kvred: interrupted{unknown}");
        return Ok(Status::Interrupted);
    };
    if let Err(error) = result {
        let error = anyhow!("{error}; {missing} commands were sent without a reply: their outcome is unknown");
        return Err(Failure::new(Status::Unavailable, error).into());
    }
    match reader.join() {
        Ok(Ok(())) => {}
        Ok(Err(InputError::Read(error))) => {
            return Err(Failure::new(Status::Unavailable, anyhow!("cannot read the standard input: {error}")).into());
        }
        Ok(Err(error)) => return Err(Failure::new(Status::Negative, anyhow!(error)).into()),
        Err(panic) => std::panic::resume_unwind(panic),
    }
    Ok(if state.errors.get() > 0 { Status::Negative } else { Status::Fine })
}

/// Sends chunks as they come. Ends early, and without an error, when the connection fails: replies that are on their
/// way may say why, and the receiver finds the end behind them.
async fn send(
    sender: &mut Sender,
    mut chunks: mpsc::Receiver<Chunk>,
    state: &Progress,
    bar: &ProgressBar,
) -> Result<(), ClientError> {
    while let Some(chunk) = chunks.recv().await {
        state.sent.set(state.sent.get() + chunk.lines.len() as u64);
        state.waiting.borrow_mut().extend(&chunk.lines);
        if sender.send(&chunk.bytes).await.is_err() {
            break;
        }
        bar.inc(chunk.input_bytes);
    }
    state.all_sent.set(true);
    state.wake.notify_one();
    Ok(())
}

async fn receive(
    receiver: &mut Receiver,
    state: &Progress,
    patience: Option<Duration>,
    bar: &ProgressBar,
) -> Result<(), ClientError> {
    let mut counted = 0_u64;
    loop {
        while let Some(frame) = receiver.ready()? {
            take(&frame, state, bar);
            counted += 1;
            if counted.is_multiple_of(8192) {
                bar.set_message(format!("{} replies, {} errors", state.replies.get(), state.errors.get()));
            }
        }
        let all_sent = state.all_sent.get();
        if all_sent && state.replies.get() >= state.sent.get() {
            return Ok(());
        }
        // The limit counts from the last reply, and only once the server has all it can wait for.
        let limit = if all_sent { patience } else { None };
        let frame = tokio::select! {
            frame = receiver.next() => frame?,
            () = state.wake.notified() => continue,
            () = sleep(limit) => {
                let limit = limit.unwrap_or_default().as_secs_f64();
                return Err(io::Error::other(format!("no reply within {limit} s after everything was sent")).into());
            }
        };
        take(&frame, state, bar);
    }
}

async fn sleep(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

fn take(frame: &Frame, state: &Progress, bar: &ProgressBar) {
    if matches!(frame, Frame::Push(_)) {
        return;
    }
    state.replies.set(state.replies.get() + 1);
    let line = state.waiting.borrow_mut().pop_front();
    if let Frame::Error(text) = frame {
        state.errors.set(state.errors.get() + 1);
        let told = state.errors.get();
        if told <= ERRORS_TOLD {
            let place = line.map_or_else(String::new, |line| format!("{}: ", input::place(line)));
            // Not into the middle of the bar.
            bar.suspend(|| eprintln!("kvred: {place}{}", String::from_utf8_lossy(text)));
        } else if told == ERRORS_TOLD + 1 {
            bar.suspend(|| eprintln!("kvred: more errors are counted, not shown"));
        }
    }
}

fn report(state: &Progress, seconds: f64, printer: Printer) -> Result<(), Stop> {
    let (replies, errors) = (state.replies.get(), state.errors.get());
    let rate = (replies as f64 / seconds.max(1e-9)).round();
    let mut out = Vec::new();
    if printer.format == Format::Json {
        let report = json!({"replies": replies, "errors": errors, "seconds": seconds, "replies_per_sec": rate});
        json_format::write(&mut out, &report);
        out.push(b'\n');
    } else {
        writeln!(out, "errors: {errors}, replies: {replies} ({seconds:.2} s, {rate:.0} per second)")?;
    }
    Ok(printer::write(&out)?)
}

/// How long the input is, where it is a file.
fn input_bytes() -> Option<u64> {
    let file = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}
