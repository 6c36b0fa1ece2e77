//! A script: the standard input, a command a line. It stops at the first error and names the line, and at `quit`.

use std::io::{self, BufRead};

use super::output::{Format, Printer, first_error};
use super::session::{CallError, Session, is_end, is_plain_text, is_stream};
use super::stop::Stop;
use super::words;
use crate::args::CliArgs;
use crate::exit::{OrExit, Status, unless_closed};
use crate::terminal::shown;

/// Runs the standard input; blank lines and lines that begin with `#` are skipped.
pub(crate) async fn run(session: &mut Session, args: &CliArgs, printer: &Printer) -> Result<Status, Stop> {
    let mut input = io::stdin().lock();
    let mut status = Status::Fine;
    let mut nobody_reads = false;
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = input.read_until(b'\n', &mut line).or_unavailable(|| "cannot read the standard input".to_owned())?;
        if read == 0 {
            break;
        }
        if words::is_comment(&line) {
            continue;
        }
        let result = match words::split(&line) {
            Ok(command) if command.is_empty() => continue,
            Ok(command) if is_end(&command) => break,
            _ if nobody_reads => {
                return Err(failure!(
                    Unavailable,
                    "line {number} and what is behind it was not run: nobody reads the output any more"
                )
                .into());
            }
            Ok(command) => match run_line(session, &command, printer, number).await {
                // Behind the last line that is fine, as for `| head`.
                Err(Stop::ClosedPipe) => {
                    nobody_reads = true;
                    None
                }
                result => result?,
            },
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = result {
            say!("kvred: line {number}: {error}");
            status = Status::Negative;
            if !args.keep_going {
                break;
            }
        }
    }
    Ok(status)
}

/// Runs one line: the text of the error that it came to, if any.
async fn run_line(
    session: &mut Session,
    command: &[Vec<u8>],
    printer: &Printer,
    number: u64,
) -> Result<Option<String>, Stop> {
    if is_stream(command) {
        return Ok(Some("MONITOR and the SUBSCRIBE commands never end, so a script cannot hold them".to_owned()));
    }
    let answer = match session.call(command).await {
        Ok(answer) => answer,
        Err(CallError::ShutDown) => return Ok(None),
        Err(CallError::Refused(why)) => return Ok(Some(why.to_owned())),
        Err(error @ (CallError::Unknown(_) | CallError::TransactionGone)) => {
            return Err(failure!(Unavailable, "line {number}: {error}").into());
        }
        Err(error) => return Err(error.into()),
    };
    for push in &answer.pushes {
        printer.print(push, false)?;
    }
    let error = first_error(&answer.reply).map(shown);
    let is_error = matches!(answer.reply, crate::protocol::frame::Frame::Error(_));
    // Raw output has no place for errors; the caller tells this one with its line.
    if !(is_error && printer.format == Format::Raw) {
        let printed = printer.print(&answer.reply, is_plain_text(command));
        // An error is told all the same; the next reply finds that nobody reads.
        if error.is_some() { unless_closed(printed)? } else { printed? }
    }
    Ok(error)
}
