//! The pretty format: typed, quoted and nested, as `redis-cli` prints at a terminal.

use std::io::Write;

use crate::protocol::frame::Frame;
use crate::protocol::quote::quote;
use crate::terminal::{Paint, Style, shown, without_controls};

/// Appends a reply, without a newline at its end.
pub(crate) fn render(out: &mut Vec<u8>, frame: &Frame, paint: Paint) {
    nested(out, frame, 0, paint);
}

/// `indent`: the width of what stands before this element on its line.
fn nested(out: &mut Vec<u8>, frame: &Frame, indent: usize, paint: Paint) {
    match frame {
        Frame::Simple(text) => paint.with(out, Style::Status, |out| visible(out, text)),
        Frame::Error(text) => paint.with(out, Style::Error, |out| {
            out.extend_from_slice(b"(error) ");
            visible(out, text);
        }),
        Frame::Integer(n) => typed(out, "integer", n.to_string().as_bytes(), paint),
        Frame::Double(text) => typed(out, "double", text, paint),
        Frame::BigNumber(text) => typed(out, "big number", text, paint),
        Frame::Boolean(yes) => paint.with(out, Style::Number, |out| {
            out.extend_from_slice(if *yes { b"(true)" } else { b"(false)" });
        }),
        Frame::Bulk(bytes) => paint.with(out, Style::String, |out| quote(out, bytes)),
        Frame::Verbatim(_, text) => visible_lines(out, text),
        Frame::Null => paint.with(out, Style::Null, |out| out.extend_from_slice(b"(nil)")),
        Frame::Array(items) => list(out, items, ("(empty array)", ')'), indent, paint),
        Frame::Set(items) => list(out, items, ("(empty set)", '~'), indent, paint),
        Frame::Push(items) => list(out, items, ("(empty push)", '>'), indent, paint),
        Frame::Map(pairs) => map(out, pairs, indent, paint),
    }
}

fn typed(out: &mut Vec<u8>, kind: &str, value: &[u8], paint: Paint) {
    paint.with(out, Style::Number, |out| {
        out.push(b'(');
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b") ");
        visible(out, value);
    });
}

fn list(out: &mut Vec<u8>, items: &[Frame], (empty, mark): (&str, char), indent: usize, paint: Paint) {
    if items.is_empty() {
        return paint.with(out, Style::Null, |out| out.extend_from_slice(empty.as_bytes()));
    }
    let digits = items.len().to_string().len();
    for (i, item) in items.iter().enumerate() {
        start_line(out, i, indent);
        paint.with(out, Style::Index, |out| {
            write!(out, "{:>digits$}{mark} ", i + 1).expect("a vector takes all bytes");
        });
        nested(out, item, indent + digits + 2, paint);
    }
}

fn map(out: &mut Vec<u8>, pairs: &[(Frame, Frame)], indent: usize, paint: Paint) {
    if pairs.is_empty() {
        return paint.with(out, Style::Null, |out| out.extend_from_slice(b"(empty hash)"));
    }
    let digits = pairs.len().to_string().len();
    for (i, (key, value)) in pairs.iter().enumerate() {
        start_line(out, i, indent);
        paint.with(out, Style::Index, |out| {
            write!(out, "{:>digits$}# ", i + 1).expect("a vector takes all bytes");
        });
        nested(out, key, indent + digits + 2, paint);
        let has_lines = match value {
            Frame::Array(items) | Frame::Set(items) => !items.is_empty(),
            Frame::Map(pairs) => !pairs.is_empty(),
            _ => false,
        };
        let deeper = indent + digits + 2;
        if has_lines {
            // What has lines of its own begins on one.
            out.extend_from_slice(b" =>");
            start_line(out, 1, deeper);
        } else {
            out.extend_from_slice(b" => ");
        }
        nested(out, value, deeper, paint);
    }
}

fn start_line(out: &mut Vec<u8>, element: usize, indent: usize) {
    if element > 0 {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', indent));
    }
}

fn visible(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(shown(text).as_bytes());
}

/// Appends text of several lines, as a terminal may have it.
pub(crate) fn visible_lines(out: &mut Vec<u8>, text: &[u8]) {
    let text: Vec<u8> =
        text.split(|&c| c == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).collect::<Vec<_>>().join(&b'\n');
    out.extend_from_slice(without_controls(&text, |c| matches!(c, '\t' | '\n')).as_bytes());
}
