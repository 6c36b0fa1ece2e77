//! Commands as lines: for a client, for programs, as RESP, for eyes.

use std::io::{self, Write};

use unicode_width::UnicodeWidthChar;

use super::super::text;
use super::sendable;
use crate::args::DumpFormat;
use crate::exit::write_out;
use crate::protocol::encode;
use crate::protocol::json::{self, Text};
use crate::protocol::quote::{escaped, quoted};
use crate::terminal;

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 64 << 10;

/// How wide a table is where no terminal says it.
const WIDTH: usize = 80;

/// Where a command stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Its first byte.
    pub(super) offset: u64,
    /// The number of its batch, from 1; none in a plain log.
    pub(super) batch: Option<u64>,
    /// When it was written, in unix seconds.
    pub(super) time: Option<i64>,
}

/// Writes commands to stdout.
pub(super) struct Printer {
    format: DumpFormat,
    /// Whether a command was met that may have given a key an expiry.
    pub(super) may_expire: bool,
    buffer: Vec<u8>,
    width: usize,
    headed: bool,
}

impl Printer {
    /// A printer of this format.
    pub(super) fn new(format: DumpFormat) -> Self {
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Self { format, may_expire: false, buffer, width: width(), headed: false }
    }

    /// Prints a record: what may be fed to a server as commands that one takes, the others as it stands in the log.
    pub(super) fn record<'a>(
        &mut self,
        entry: &Entry,
        words: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> io::Result<()> {
        let out = &mut self.buffer;
        match self.format {
            DumpFormat::Commands => {
                sendable::each(&words.collect::<Vec<_>>(), self.may_expire, |command| commands(out, command));
            }
            DumpFormat::Json => json_line(out, entry, words),
            DumpFormat::Resp => {
                sendable::each(&words.collect::<Vec<_>>(), self.may_expire, |command| encode::request(out, command));
            }
            DumpFormat::Table => {
                if !self.headed {
                    self.headed = true;
                    writeln!(out, "{}  COMMAND", before(self.width, "OFFSET", "BATCH", "TIME"))?;
                }
                row(out, self.width, entry, words);
            }
        }
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what is gathered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let result = write_out(&self.buffer);
        self.buffer.clear();
        // A value of many megabytes need not be made room for for ever.
        self.buffer.shrink_to(BUFFER_BYTES * 4);
        result
    }
}

fn commands(out: &mut Vec<u8>, words: &[&[u8]]) {
    for (n, word) in words.iter().enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        quoted(out, word);
    }
    out.push(b'\n');
}

fn json_line<'a>(out: &mut Vec<u8>, entry: &Entry, words: impl ExactSizeIterator<Item = &'a [u8]>) {
    let many = words.len() > 1;
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(b"{\"offset\":");
    out.extend_from_slice(number.format(entry.offset).as_bytes());
    out.extend_from_slice(b",\"batch\":");
    out.extend_from_slice(entry.batch.map_or("null", |n| number.format(n)).as_bytes());
    out.extend_from_slice(b",\"time\":");
    out.extend_from_slice(entry.time.map_or("null", |n| number.format(n)).as_bytes());
    out.extend_from_slice(b",\"command\":");
    for (n, word) in words.enumerate() {
        match n {
            0 => {}
            1 => out.extend_from_slice(b",\"args\":["),
            _ => out.push(b','),
        }
        json::write(out, &Text(word));
    }
    out.extend_from_slice(if many { &b"]}\n"[..] } else { b",\"args\":[]}\n" });
}

/// In fewer columns the command needs the room of batch and time.
const WORTH_ALL_COLUMNS: usize = 72;

/// What stands before the command.
fn before(width: usize, offset: &str, batch: &str, time: &str) -> String {
    if width < WORTH_ALL_COLUMNS { format!("{offset:>12} ") } else { format!("{offset:>12}  {batch:>9}  {time:<20}") }
}

fn row<'a>(out: &mut Vec<u8>, width: usize, entry: &Entry, words: impl Iterator<Item = &'a [u8]>) {
    let batch = entry.batch.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let time = entry.time.map_or_else(|| "-".to_owned(), text::time);
    let start = before(width, &entry.offset.to_string(), &batch, &time);
    let mut left = width.saturating_sub(start.chars().count() + 1);
    out.extend_from_slice(start.as_bytes());
    out.push(b' ');
    'words: for word in words {
        if left < 2 {
            out.extend_from_slice("…".as_bytes());
            break;
        }
        out.push(b' ');
        left -= 1;
        for piece in pieces(word) {
            // The last column is the ellipsis's.
            if piece.width >= left {
                out.extend_from_slice("…".as_bytes());
                break 'words;
            }
            left -= piece.width;
            out.extend_from_slice(&piece.bytes);
        }
    }
    out.push(b'\n');
}

/// What is shown of an argument, character by character: text as it is, other bytes escaped.
fn pieces(word: &[u8]) -> impl Iterator<Item = Piece> + '_ {
    let needs_quotes =
        word.is_empty() || word.iter().any(|b| b.is_ascii_whitespace() || b.is_ascii_control() || *b == b'"');
    let quote = needs_quotes.then(|| Piece { bytes: vec![b'"'], width: 1 });
    let inner = word.utf8_chunks().flat_map(move |chunk| {
        let text = chunk.valid().chars().map(move |c| Piece::char(c, needs_quotes));
        text.chain(chunk.invalid().iter().map(|&byte| Piece::byte(byte)))
    });
    quote.clone().into_iter().chain(inner).chain(quote)
}

#[derive(Clone)]
struct Piece {
    bytes: Vec<u8>,
    width: usize,
}

impl Piece {
    fn char(c: char, in_quotes: bool) -> Self {
        match c.width() {
            Some(width) if !c.is_ascii() && !c.is_control() => Self { bytes: c.to_string().into_bytes(), width },
            _ if c.is_ascii() && (in_quotes || c.is_ascii_control()) => Self::byte(c as u8),
            Some(_) if c.is_ascii() => Self { bytes: vec![c as u8], width: 1 },
            _ => {
                let bytes = c.escape_unicode().to_string().into_bytes();
                Self { width: bytes.len(), bytes }
            }
        }
    }

    fn byte(byte: u8) -> Self {
        let mut bytes = Vec::new();
        escaped(&mut bytes, byte);
        Self { width: bytes.len(), bytes }
    }
}

/// The terminal's width; or what `COLUMNS` says; or, behind `| less`, the width of the terminal that messages go to.
fn width() -> usize {
    let told = || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let columns = terminal::columns_of(io::stdout()).or_else(told);
    columns.or_else(|| terminal::columns_of(io::stderr())).unwrap_or(WIDTH)
}
