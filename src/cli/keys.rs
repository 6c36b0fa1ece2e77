//! `--scan`, and walking the keys for it and for `--bigkeys`.

use std::time::Duration;

use bytes::Bytes;

use super::output::{Format, Printer};
use super::session::Session;
use super::stop::{Stop, refused};
use crate::args::CliArgs;
use crate::exit::{Status, write_out};
use crate::protocol::frame::Frame;

/// Keys to ask for at a time, where `--count` does not say; SCAN's own default of 10 makes for many round trips.
const DEFAULT_COUNT: u32 = 250;

/// A walk over the keys, a SCAN at a time.
#[derive(Debug)]
pub(crate) struct Walk {
    /// What the next SCAN begins from; `None`: the last one came to the end.
    cursor: Option<Bytes>,
    options: Vec<Vec<u8>>,
}

impl Walk {
    /// A walk over the keys that the flags mean.
    pub(crate) fn new(args: &CliArgs) -> Self {
        let mut options = Vec::new();
        if let Some(pattern) = &args.pattern {
            options.push(b"MATCH".to_vec());
            options.push(std::os::unix::ffi::OsStrExt::as_bytes(pattern.as_os_str()).to_vec());
        }
        options.push(b"COUNT".to_vec());
        options.push(args.count.unwrap_or(DEFAULT_COUNT).to_string().into_bytes());
        Self { cursor: Some(Bytes::from_static(b"0")), options }
    }

    /// The next keys; `None` at the end. A key may come twice, as with any SCAN.
    pub(crate) async fn next(&mut self, session: &mut Session) -> Result<Option<Vec<Bytes>>, Stop> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let mut command = vec![b"SCAN".to_vec(), cursor.to_vec()];
        command.extend_from_slice(&self.options);
        let (cursor, keys) = match session.call(&command).await?.reply {
            Frame::Array(parts) => match <[Frame; 2]>::try_from(parts) {
                Ok([Frame::Bulk(cursor) | Frame::Simple(cursor), Frame::Array(keys)]) => (cursor, keys),
                _ => return Err(unexpected("SCAN")),
            },
            Frame::Error(text) => return Err(refused("SCAN", &text)),
            _ => return Err(unexpected("SCAN")),
        };
        self.cursor = Some(cursor).filter(|cursor| &cursor[..] != b"0");
        Ok(Some(keys.into_iter().filter_map(|key| if let Frame::Bulk(key) = key { Some(key) } else { None }).collect()))
    }
}

/// Prints every key, one a line; in the pretty format quoted.
pub(crate) async fn run(session: &mut Session, args: &CliArgs, printer: &Printer) -> Result<Status, Stop> {
    let mut walk = Walk::new(args);
    let one_a_line = Printer { newline: true, ..*printer };
    while let Some(keys) = walk.next(session).await? {
        let mut out = Vec::new();
        for key in keys {
            match printer.format {
                Format::Pretty if super::output::quote_if_needed(&key).as_bytes() == &key[..] => {
                    out.extend_from_slice(&key);
                    out.push(b'\n');
                }
                _ => one_a_line.render(&mut out, &Frame::Bulk(key), false),
            }
        }
        write_out(&out)?;
        if let Some(wait) = args.interval {
            tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        }
    }
    Ok(Status::Fine)
}

fn unexpected(command: &str) -> Stop {
    failure!(Negative, "{command} was answered with something that is not its reply").into()
}
