//! Writes replies to stdout in the format asked for.
//!
//! In the raw format an error goes to stderr: bytes on stdout could not be told from a value's.

use std::io::{self, IsTerminal};

use super::{Format, csv, json, pretty, raw};
use crate::args::{CliArgs, ColorWhen, OutputFormat};
use crate::exit::write_out;
use crate::protocol::frame::Frame;
use crate::terminal::{Paint, shown};

/// Where replies go, and how they look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    /// The format.
    pub(crate) format: Format,
    /// Colours, in the pretty format.
    pub(crate) paint: Paint,
    /// Whether a newline follows a reply.
    pub(crate) newline: bool,
}

impl Printer {
    /// The printer that the flags ask for.
    pub(crate) fn new(args: &CliArgs, color: ColorWhen) -> Self {
        let format = match args.output {
            _ if args.json => Format::Json,
            _ if args.csv => Format::Csv,
            _ if args.raw => Format::Raw,
            _ if args.no_raw => Format::Pretty,
            OutputFormat::Auto if args.no_newline => Format::Raw,
            OutputFormat::Auto if io::stdout().is_terminal() => Format::Pretty,
            OutputFormat::Auto | OutputFormat::Raw => Format::Raw,
            OutputFormat::Pretty => Format::Pretty,
            OutputFormat::Csv => Format::Csv,
            OutputFormat::Json => Format::Json,
        };
        Self { format, paint: Paint::for_stdout(color), newline: !args.no_newline }
    }

    /// Appends a reply as it is printed, newline included. `plain`: a text for people, such as INFO's, is not quoted.
    pub(crate) fn render(self, out: &mut Vec<u8>, frame: &Frame, plain: bool) {
        match self.format {
            Format::Raw => raw::render(out, frame),
            Format::Csv => csv::render(out, frame),
            Format::Json => json::render(out, frame),
            Format::Pretty => match frame {
                Frame::Bulk(text) if plain => pretty::visible_lines(out, text.trim_ascii_end()),
                Frame::Verbatim(_, text) => pretty::visible_lines(out, text.trim_ascii_end()),
                _ => pretty::render(out, frame, self.paint),
            },
        }
        if self.newline {
            out.push(b'\n');
        }
    }

    /// Prints a reply to a command.
    ///
    /// # Errors
    /// stdout cannot be written to; see [`is_closed_pipe`](crate::exit::is_closed_pipe).
    pub(crate) fn print(self, frame: &Frame, plain: bool) -> io::Result<()> {
        if let (Format::Raw, Frame::Error(text)) = (self.format, frame) {
            say!("{}", shown(text));
            return Ok(());
        }
        let mut out = Vec::new();
        self.render(&mut out, frame, plain);
        write_out(&out)
    }
}
