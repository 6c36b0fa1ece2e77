//! A header with one wrong bit: all checksums hang on its salt, and its own checksum tells which bit it is.

use std::io;

use crate::persistence::disk::{DiskFile, read_full_at};
use crate::persistence::format::{Annotation, HEADER_LINE_BYTES};

/// A header line, CRLF included.
pub(super) type Line = [u8; HEADER_LINE_BYTES];

/// The header as it must have been, if the file's beginning is one bit away from a header.
pub(super) fn mended(file: &dyn DiskFile) -> io::Result<Option<Line>> {
    let mut line: Line = [0; HEADER_LINE_BYTES];
    if read_full_at(file, &mut line, 0)? < line.len() || is_header(&line) {
        return Ok(None);
    }
    for bit in 0..line.len() * 8 {
        line[bit / 8] ^= 1 << (bit % 8);
        if is_header(&line) {
            return Ok(Some(line));
        }
        line[bit / 8] ^= 1 << (bit % 8);
    }
    Ok(None)
}

fn is_header(line: &Line) -> bool {
    line.strip_suffix(b"\r\n").is_some_and(|line| matches!(Annotation::parse(line), Annotation::Header(_)))
}
