//! `--pipe`: commands from the standard input as fast as they go, RESP or command lines, also mixed.
//!
//! A thread reads and decodes the input, so the number of commands is known and each reply belongs to one of them: no
//! marker is needed at the end, and an input that breaks off in a command is noticed. What has been read is sent while
//! replies come back; neither side waits for the other.

mod input;
mod places;

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::{Notify, mpsc};

use self::input::{Chunk, InputError};
use self::places::Places;
use super::interrupt::{Waited, interruptible};
use super::output::{Format, Printer};
use super::progress;
use super::stop::Stop;
use crate::args::CliArgs;
use crate::client::{Arrived, Connection, Receiver, Reply, Sender};
use crate::exit::{OrExit, Status, unless_closed, write_out};
use crate::machine::no_thread;
use crate::protocol::frame::Frame;
use crate::protocol::json;
use crate::terminal::shown;

/// Chunks on their way from the reader to the sender.
const CHUNKS_AHEAD: usize = 8;

/// How long the last replies are waited for, where `--pipe-timeout` does not say.
const PATIENCE_SECS: f64 = 30.0;

/// Errors that are told one by one; the rest are only counted.
const ERRORS_TOLD: u64 = 10;

/// What has been sent and what has come back.
#[derive(Debug, Default)]
struct Exchange {
    /// Where the commands stood that have no reply yet.
    waiting: RefCell<Places>,
    /// Whether nothing more will be sent.
    all_sent: Cell<bool>,
    wake: Notify,
    replies: Cell<u64>,
    errors: Cell<u64>,
}

/// Sends the standard input over a connection. Ctrl-C ends that early, and tells how far it came.
pub(crate) async fn run(mut connection: Connection, args: &CliArgs, printer: &Printer) -> Result<Status, Stop> {
    // It would be drawn over what somebody types.
    let bar = if io::stdin().is_terminal() { ProgressBar::hidden() } else { progress::bytes(input_bytes()) };
    let (chunks, from_reader) = mpsc::channel(CHUNKS_AHEAD);
    let (to_reader, spent) = std::sync::mpsc::channel();
    let reader = thread::Builder::new()
        .spawn(move || input::read(io::stdin().lock(), &chunks, spent))
        .or_unavailable(|| no_thread("the thread that reads the input"))?;
    let state = Exchange::default();
    let started = Instant::now();

    let patience = Some(args.pipe_timeout.unwrap_or(PATIENCE_SECS)).filter(|&s| s > 0.0).map(Duration::from_secs_f64);
    let work = async {
        let send = async {
            send(&mut connection.sender, from_reader, &to_reader, &state, &bar).await;
            Ok(())
        };
        tokio::try_join!(send, receive(&mut connection.receiver, &state, patience, &bar))
    };
    let result = interruptible(work).await;
    bar.finish_and_clear();

    report(&state, started.elapsed().as_secs_f64(), *printer)?;
    let unknown = match state.waiting.borrow().len() {
        0 => String::new(),
        1 => "; a command was sent without a reply: its outcome is unknown".to_owned(),
        n => format!("; {n} commands were sent without a reply: their outcome is unknown"),
    };
    let Waited::Done(result) = result else {
        // The thread that reads may wait for input for ever; it ends with the process.
        say!("kvred: interrupted{unknown}");
        return Ok(Status::Interrupted);
    };
    if let Err(error) = result {
        return Err(failure!(Unavailable, "{error}{unknown}").into());
    }
    match reader.join() {
        Ok(Ok(())) => {}
        Ok(Err(error @ InputError::Read(_))) => return Err(failure!(Unavailable, error).into()),
        Ok(Err(error)) => return Err(failure!(Negative, error).into()),
        Err(panic) => std::panic::resume_unwind(panic),
    }
    Ok(if state.errors.get() > 0 { Status::Negative } else { Status::Fine })
}

/// Sends chunks as they come. Ends early when the connection fails, which is no error here: replies that are on their
/// way may say why, and the receiver finds the end behind them.
async fn send(
    sender: &mut Sender,
    mut chunks: mpsc::Receiver<Chunk>,
    spent: &std::sync::mpsc::Sender<Vec<u8>>,
    state: &Exchange,
    bar: &ProgressBar,
) {
    while let Some(mut chunk) = chunks.recv().await {
        state.waiting.borrow_mut().append(&mut chunk.places);
        if sender.send(&chunk.buffer[..chunk.len]).await.is_err() {
            break;
        }
        bar.inc(chunk.input_bytes);
        // The reader may have ended already.
        drop(spent.send(chunk.buffer));
    }
    state.all_sent.set(true);
    state.wake.notify_one();
}

async fn receive(
    receiver: &mut Receiver,
    state: &Exchange,
    patience: Option<Duration>,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    loop {
        if receiver.take(usize::MAX, |arrived| state.took(&arrived, bar))? > 0 {
            bar.set_message(format!("{} replies, {} errors", state.replies.get(), state.errors.get()));
        }
        let all_sent = state.all_sent.get();
        if all_sent && state.waiting.borrow().len() == 0 {
            return Ok(());
        }
        // The limit counts from the last reply, and only once the server has all it can wait for.
        let limit = if all_sent { patience } else { None };
        tokio::select! {
            filled = receiver.fill() => filled?,
            () = state.wake.notified() => {}
            () = sleep(limit) => {
                let limit = limit.unwrap_or_default().as_secs_f64();
                anyhow::bail!("no reply within {limit} s after everything was sent");
            }
        }
    }
}

async fn sleep(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

impl Exchange {
    fn took(&self, arrived: &Arrived<'_>, bar: &ProgressBar) {
        let error = match arrived {
            Arrived::Decoded(Frame::Push(_)) => return,
            Arrived::Here(Reply::Error(text)) => Some(*text),
            Arrived::Decoded(Frame::Error(text)) => Some(&text[..]),
            _ => None,
        };
        self.replies.set(self.replies.get() + 1);
        let place = self.waiting.borrow_mut().pop();
        let Some(error) = error else { return };
        self.errors.set(self.errors.get() + 1);
        // Not into the middle of the bar.
        match self.errors.get() {
            ..=ERRORS_TOLD => {
                let place = place.map_or_else(String::new, |place| format!("{place}: "));
                bar.suspend(|| say!("kvred: {place}{}", shown(error)));
            }
            n if n == ERRORS_TOLD + 1 => bar.suspend(|| say!("kvred: more errors are counted, not shown")),
            _ => {}
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    replies: u64,
    errors: u64,
    seconds: f64,
    replies_per_sec: u64,
}

/// Tells what came of it. That nobody reads it changes nothing about that.
fn report(state: &Exchange, seconds: f64, printer: Printer) -> Result<(), Stop> {
    let (replies, errors) = (state.replies.get(), state.errors.get());
    let replies_per_sec = (replies as f64 / seconds.max(1e-9)).round() as u64;
    let out = match printer.format {
        Format::Json => json::line(&Report { replies, errors, seconds, replies_per_sec }),
        Format::Csv => {
            format!("replies,errors,seconds,replies_per_sec\n{replies},{errors},{seconds},{replies_per_sec}\n")
                .into_bytes()
        }
        _ => format!("errors: {errors}, replies: {replies} ({seconds:.2} s, {replies_per_sec} per second)\n")
            .into_bytes(),
    };
    Ok(unless_closed(write_out(&out))?)
}

/// How long the input is, where it is a file.
fn input_bytes() -> Option<u64> {
    let file = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}
