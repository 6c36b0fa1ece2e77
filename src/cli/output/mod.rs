//! Replies as text: four formats, one function each that appends a frame to a buffer.
//!
//! | module | format |
//! |---|---|
//! | [`pretty`] | typed, quoted and nested, as `redis-cli` prints at a terminal |
//! | [`raw`] | the bytes themselves |
//! | [`csv`] | RFC 4180: strings in quotes, so a null (`NULL`) is no string |
//! | [`json`] | a document a reply, bytes that are no text as base64 |
//! | [`printer`] | picks a format, writes to stdout |

pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod pretty;
pub(crate) mod printer;
pub(crate) mod raw;

pub(crate) use self::printer::Printer;

use crate::protocol::frame::Frame;
use crate::protocol::quote::quoted;

/// How replies are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Pretty,
    Raw,
    Csv,
    Json,
}

impl Format {
    /// The name that `--output` and `:set output` take.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pretty => "pretty",
            Self::Raw => "raw",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Pretty, Self::Raw, Self::Csv, Self::Json];
}

/// One word for a command line: as it is where that is read back as the same, else in quotes.
pub(crate) fn quote_if_needed(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    quoted(&mut out, bytes);
    String::from_utf8(out).expect("quoting leaves printable ASCII")
}

/// The first error in a reply: the reply itself, or an element of it, as `EXEC` has them.
pub(crate) fn first_error(frame: &Frame) -> Option<&[u8]> {
    match frame {
        Frame::Error(text) => Some(text),
        Frame::Array(items) | Frame::Set(items) => items.iter().find_map(first_error),
        Frame::Map(pairs) => pairs.iter().find_map(|(_, value)| first_error(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
