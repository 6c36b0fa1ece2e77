//! One command from the arguments, once or several times.

use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use super::output::{Format, Printer, first_error};
use super::session::{CallError, Session, is_plain_text, is_stream};
use super::stop::Stop;
use super::words;
use crate::args::CliArgs;
use crate::client::explain::hint;
use crate::exit::{OrExit, Status};
use crate::protocol::frame::Frame;

/// Runs the command of the arguments.
pub(crate) async fn run(session: &mut Session, args: &CliArgs, printer: &Printer) -> Result<Status, Stop> {
    let command = command(args)?;
    if is_stream(&command) {
        return stream(session, &command, printer).await;
    }
    let rounds = args.rounds(1);
    let mut status = Status::Fine;
    for round in 1..=rounds {
        match session.call(&command).await {
            Ok(answer) => {
                for push in &answer.pushes {
                    printer.print(push, false)?;
                }
                printer.print(&answer.reply, is_plain_text(&command))?;
                if let Some(error) = first_error(&answer.reply) {
                    status = Status::Negative;
                    if let Some(hint) = hint(error) {
                        say!("kvred: {hint}");
                    }
                }
            }
            Err(CallError::ShutDown) => return Ok(Status::Fine),
            Err(CallError::Refused(why)) => return Err(failure!(Usage, why).into()),
            Err(error) => return Err(error.into()),
        }
        if let Some(wait) = args.interval.filter(|_| round < rounds) {
            tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        }
    }
    Ok(status)
}

/// Prints what comes until the connection ends.
async fn stream(session: &mut Session, command: &[Vec<u8>], printer: &Printer) -> Result<Status, Stop> {
    session.send(command).await?;
    loop {
        let frame = match session.next().await? {
            // All that comes is pushed, or none: it needs no name.
            Frame::Push(items) if printer.format == Format::Json => Frame::Array(items),
            frame => frame,
        };
        printer.print(&frame, false)?;
        if first_error(&frame).is_some() {
            return Ok(Status::Negative);
        }
    }
}

fn command(args: &CliArgs) -> Result<Vec<Vec<u8>>, Stop> {
    let mut command: Vec<Vec<u8>> = args.command.iter().map(|word| word.clone().into_vec()).collect();
    if args.quoted_input {
        for word in &mut command {
            *word = unquote(word)?;
        }
    }
    if args.stdin_argument {
        let mut last = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut last)
            .or_unavailable(|| "cannot read the standard input".to_owned())?;
        command.push(last);
    }
    Ok(command)
}

/// A word in quotes is unquoted; any other stays as it is.
fn unquote(word: &[u8]) -> Result<Vec<u8>, Stop> {
    if !matches!(word.first(), Some(b'"' | b'\'')) {
        return Ok(word.to_vec());
    }
    match words::split(word) {
        Ok(mut words) if words.len() == 1 => Ok(words.remove(0)),
        _ => Err(failure!(Usage, "unbalanced quotes in the argument {}", String::from_utf8_lossy(word)).into()),
    }
}
