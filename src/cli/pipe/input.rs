//! The input of `--pipe`: bytes -> chunks of RESP and the places of their commands.

use std::io::{self, Read};

use thiserror::Error;
use tokio::sync::mpsc::Sender;

use crate::protocol::decode::{ProtocolError, RequestDecoder, Span};
use crate::protocol::encode;
use crate::protocol::limits::{HIGHEST_MAX_BULK_BYTES, RequestLimits};

/// How much is read, and sent, at a time.
const READ_BYTES: usize = 1 << 20;

/// Set in a place that is a line; else it is the number of the command.
const IS_LINE: u64 = 1 << 63;

/// Encoded commands.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// What goes to the server.
    pub(crate) bytes: Vec<u8>,
    /// Where each command stood; see [`place`].
    pub(crate) lines: Vec<u64>,
    /// How much of the input it stands for.
    pub(crate) input_bytes: u64,
}

/// Why the input ended before its end.
#[derive(Debug, Error)]
pub(crate) enum InputError {
    #[error("cannot read the standard input: {0}")]
    Read(io::Error),
    #[error("{}: {error}; what stood before it was sent", place(*at))]
    Malformed { at: u64, error: ProtocolError },
    #[error("{}: the input ends in the middle of a command; what stood before it was sent", place(*at))]
    Truncated { at: u64 },
}

/// The words for where a command stood.
pub(crate) fn place(at: u64) -> String {
    if at & IS_LINE != 0 { format!("line {}", at & !IS_LINE) } else { format!("command {at}") }
}

/// Reads the input to its end, and sends it on in chunks; stops early when nobody takes them any more.
///
/// # Errors
/// [`InputError`]; the commands before it have been sent on.
pub(crate) fn read(mut input: impl Read, chunks: &Sender<Chunk>) -> Result<(), InputError> {
    let mut reader = Reader::new();
    let mut at_end = false;
    while !at_end {
        let got = reader.fill(&mut input).map_err(InputError::Read)?;
        at_end = got == 0;
        let result = reader.decode(at_end);
        let mut chunk = std::mem::take(&mut reader.chunk);
        chunk.input_bytes = got as u64;
        if chunks.blocking_send(chunk).is_err() {
            return Ok(());
        }
        result?;
    }
    Ok(())
}

struct Reader {
    decoder: RequestDecoder,
    buffer: Vec<u8>,
    /// The start of the command under way.
    start: usize,
    spans: Vec<Span>,
    chunk: Chunk,
    /// Lines so far, as long as all the input was lines; then commands.
    count: u64,
    only_lines: bool,
}

impl Reader {
    fn new() -> Self {
        Self {
            decoder: RequestDecoder::new(RequestLimits::new(HIGHEST_MAX_BULK_BYTES)),
            buffer: Vec::new(),
            start: 0,
            spans: Vec::new(),
            chunk: Chunk::default(),
            count: 0,
            only_lines: true,
        }
    }

    fn fill(&mut self, input: &mut impl Read) -> io::Result<usize> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let room = READ_BYTES.max(self.decoder.bytes_wanted().saturating_sub(self.buffer.len()));
        let before = self.buffer.len();
        self.buffer.resize(before + room, 0);
        loop {
            match input.read(&mut self.buffer[before..]) {
                Ok(got) => {
                    self.buffer.truncate(before + got);
                    return Ok(got);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Moves the complete commands of the buffer to the chunk.
    fn decode(&mut self, at_end: bool) -> Result<(), InputError> {
        if at_end && self.buffer.get(self.start).is_some_and(|&c| c != b'*') {
            // The last line may lack its newline.
            self.buffer.push(b'\n');
        }
        loop {
            self.spans.clear();
            let next = match self.decoder.decode(&mut self.buffer, self.start, &mut self.spans) {
                Ok(Some(next)) => next,
                Ok(None) if at_end && self.start < self.buffer.len() => {
                    return Err(InputError::Truncated { at: self.place(self.count + 1) });
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(InputError::Malformed { at: self.place(self.count + 1), error }),
            };
            let is_array = self.buffer[self.start] == b'*';
            self.only_lines &= !is_array;
            let is_comment =
                !is_array && self.spans.first().is_some_and(|word| word.of(&self.buffer).starts_with(b"#"));
            let is_command = !self.spans.is_empty() && !is_comment;
            // Lines count even when they are empty; commands do not.
            self.count += u64::from(is_command || self.only_lines);
            if is_command {
                self.chunk.lines.push(self.place(self.count));
                if is_array {
                    self.chunk.bytes.extend_from_slice(&self.buffer[self.start..next]);
                } else {
                    let words: Vec<&[u8]> = self.spans.iter().map(|word| word.of(&self.buffer)).collect();
                    encode::request(&mut self.chunk.bytes, &words);
                }
            }
            self.start = next;
        }
    }

    fn place(&self, count: u64) -> u64 {
        if self.only_lines { count | IS_LINE } else { count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> (String, Vec<String>, Result<(), String>) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
        let result = read(input, &sender).map_err(|e| e.to_string());
        drop(sender);
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        while let Some(chunk) = receiver.blocking_recv() {
            bytes.extend(chunk.bytes);
            places.extend(chunk.lines.into_iter().map(place));
        }
        (String::from_utf8(bytes).unwrap(), places, result)
    }

    #[test]
    fn lines_and_resp_become_requests_with_places() {
        let (bytes, places, result) = all(b"# note\n\nGET 'a b'\r\nPING");
        assert_eq!(bytes, "*2\r\n$3\r\nGET\r\n$3\r\na b\r\n*1\r\n$4\r\nPING\r\n");
        assert_eq!((places, result), (vec!["line 3".to_owned(), "line 4".to_owned()], Ok(())));

        let resp = "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        let (bytes, places, result) = all(resp.as_bytes());
        assert_eq!(bytes, resp);
        assert_eq!((places, result), (vec!["command 1".to_owned(), "command 2".to_owned()], Ok(())));
    }

    #[test]
    fn an_input_that_breaks_off_is_named_and_what_came_before_is_sent() {
        let (bytes, _, result) = all(b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1");
        assert_eq!(bytes, "*1\r\n$4\r\nPING\r\n");
        assert!(result.unwrap_err().starts_with("command 2: the input ends in the middle"));
        let (bytes, _, result) = all(b"PING\nGET \"open\n");
        assert_eq!(bytes, "*1\r\n$4\r\nPING\r\n");
        assert!(result.unwrap_err().starts_with("line 2: ERR Protocol error: unbalanced quotes"));
    }
}
