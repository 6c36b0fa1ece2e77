//! The CSV format: a line for each reply, its elements the fields, nested ones in a row.
//!
//! Every string stands in quotes (RFC 4180: a quote inside is doubled, every other byte is as it is), so that `NULL`,
//! which does not, is a null. An error is the two fields `ERROR` and its text.

use crate::protocol::frame::Frame;

/// Appends a reply, without a newline at its end.
pub(crate) fn render(out: &mut Vec<u8>, frame: &Frame) {
    match frame {
        Frame::Simple(b) | Frame::Bulk(b) | Frame::Verbatim(_, b) => string(out, b),
        Frame::Error(text) => {
            out.extend_from_slice(b"ERROR,");
            string(out, text);
        }
        Frame::Integer(n) => out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
        Frame::Double(text) | Frame::BigNumber(text) => out.extend_from_slice(text),
        Frame::Boolean(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
        Frame::Null => out.extend_from_slice(b"NULL"),
        Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => fields(out, items.iter()),
        Frame::Map(pairs) => fields(out, pairs.iter().flat_map(|(key, value)| [key, value])),
    }
}

fn fields<'a>(out: &mut Vec<u8>, items: impl Iterator<Item = &'a Frame>) {
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        render(out, item);
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &c in bytes {
        if c == b'"' {
            out.push(c);
        }
        out.push(c);
    }
    out.push(b'"');
}
