//! The raw format: the bytes of the value, an element a line.

use crate::protocol::frame::Frame;

/// Appends a reply, without a newline at its end. A null is nothing, as an empty string is: who has to tell them apart
/// takes another format.
pub(crate) fn render(out: &mut Vec<u8>, frame: &Frame) {
    match frame {
        Frame::Simple(b) | Frame::Error(b) | Frame::Bulk(b) | Frame::Double(b) | Frame::BigNumber(b) => {
            out.extend_from_slice(b);
        }
        Frame::Verbatim(_, text) => out.extend_from_slice(text),
        Frame::Integer(n) => out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
        Frame::Boolean(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
        Frame::Null => {}
        Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b'\n');
                }
                render(out, item);
            }
        }
        Frame::Map(pairs) => {
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    out.push(b'\n');
                }
                render(out, key);
                out.push(b'\n');
                render(out, value);
            }
        }
    }
}
