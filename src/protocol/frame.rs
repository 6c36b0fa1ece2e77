//! Replies as values: what a client decodes from a server, RESP2 and RESP3 alike.
//!
//! Decoding is incremental (what is complete is taken out of the buffer at once) and iterative: arrays under way are
//! kept on a stack of at most [`MAX_REPLY_DEPTH`] levels.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use thiserror::Error;

use super::limits::{MAX_LINE_BYTES, MAX_REPLY_BULK_BYTES, MAX_REPLY_DEPTH};
use super::number::parse_i64;

/// Any RESP value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// `+OK`
    Simple(Bytes),
    /// `-ERR …`, and RESP3's `!` (an error of any bytes).
    Error(Bytes),
    /// `:1`
    Integer(i64),
    /// `$3`: a string of any bytes.
    Bulk(Bytes),
    /// `*2`
    Array(Vec<Frame>),
    /// `$-1`, `*-1` and RESP3's `_`.
    Null,
    /// RESP3's `,`: kept as the text that the server sent.
    Double(Bytes),
    /// RESP3's `#t` and `#f`.
    Boolean(bool),
    /// RESP3's `(`: an integer of any size, as text.
    BigNumber(Bytes),
    /// RESP3's `=`: a string with its three-letter format.
    Verbatim(Bytes, Bytes),
    /// RESP3's `%`.
    Map(Vec<(Frame, Frame)>),
    /// RESP3's `~`.
    Set(Vec<Frame>),
    /// RESP3's `>`: not the answer to a request.
    Push(Vec<Frame>),
}

/// A reply that is not RESP.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// An unknown type byte.
    #[error("the server's reply is not RESP: unexpected byte {0:#04x} where a reply should begin")]
    UnknownType(u8),
    /// A length or a number that is none.
    #[error("the server's reply is not RESP: bad number {0:?}")]
    BadNumber(String),
    /// A header line without an end, or without CRLF.
    #[error("the server's reply is not RESP: a line does not end")]
    BadLine,
    /// Deeper than [`MAX_REPLY_DEPTH`].
    #[error("the server's reply is nested deeper than {MAX_REPLY_DEPTH} levels")]
    TooDeep,
}

/// An aggregate whose elements are still arriving.
#[derive(Debug)]
struct Open {
    kind: u8,
    missing: usize,
    items: Vec<Frame>,
}

/// The state of decoding one connection's replies.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    open: Vec<Open>,
}

impl FrameDecoder {
    /// Takes the next complete frame out of `buffer`. `None`: more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`]; the stream cannot be decoded any further.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        loop {
            let Some(item) = Self::item(buffer)? else {
                return Ok(None);
            };
            let mut frame = match item {
                Item::Frame(frame) => frame,
                // Nothing annotates what follows it.
                Item::Open(open) if open.missing == 0 && open.kind == b'|' => continue,
                Item::Open(open) if open.missing == 0 => open.close(),
                Item::Open(open) => {
                    if self.open.len() == MAX_REPLY_DEPTH {
                        return Err(FrameError::TooDeep);
                    }
                    self.open.push(open);
                    continue;
                }
            };
            loop {
                let Some(mut parent) = self.open.pop() else {
                    return Ok(Some(frame));
                };
                parent.items.push(frame);
                parent.missing -= 1;
                if parent.missing > 0 {
                    self.open.push(parent);
                    break;
                }
                if parent.kind == b'|' {
                    // An attribute only annotates what follows it; the reply itself is still to come.
                    break;
                }
                frame = parent.close();
            }
        }
    }

    /// The next frame or the next aggregate's header.
    fn item(buffer: &mut BytesMut) -> Result<Option<Item>, FrameError> {
        let Some(&kind) = buffer.first() else {
            return Ok(None);
        };
        let Some(line_len) = line_len(buffer, kind)? else {
            return Ok(None);
        };
        let number = || {
            let text = &buffer[1..=line_len];
            parse_i64(text).ok_or_else(|| FrameError::BadNumber(String::from_utf8_lossy(text).into_owned()))
        };
        let header_bytes = line_len + 3;
        let item = match kind {
            b'$' | b'=' | b'!' => {
                let len = number()?;
                if len == -1 && kind == b'$' {
                    Item::Frame(Frame::Null)
                } else {
                    return Ok(bulk(buffer, kind, len, header_bytes)?.map(Item::Frame));
                }
            }
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let len = number()?;
                if len == -1 {
                    Item::Frame(Frame::Null)
                } else {
                    let len = usize::try_from(len).map_err(|_| FrameError::BadNumber(len.to_string()))?;
                    let missing = if matches!(kind, b'%' | b'|') { len.saturating_mul(2) } else { len };
                    // Room for what can be there already; a server that announces more has to send it first.
                    let items = Vec::with_capacity(missing.min(buffer.len() / 3));
                    Item::Open(Open { kind, missing, items })
                }
            }
            b':' => Item::Frame(Frame::Integer(number()?)),
            b'_' => Item::Frame(Frame::Null),
            b'#' => Item::Frame(Frame::Boolean(buffer[1] == b't')),
            // `+`, `-`, `,` or `(`: others were refused above.
            _ => return Ok(Some(Item::Frame(line_of_text(buffer, kind, line_len)))),
        };
        buffer.advance(header_bytes);
        Ok(Some(item))
    }
}

enum Item {
    Frame(Frame),
    Open(Open),
}

impl Open {
    fn close(self) -> Frame {
        match self.kind {
            b'*' => Frame::Array(self.items),
            b'~' => Frame::Set(self.items),
            b'>' => Frame::Push(self.items),
            _ => {
                let mut items = self.items.into_iter();
                let mut pairs = Vec::with_capacity(items.len() / 2);
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.push((key, value));
                }
                Frame::Map(pairs)
            }
        }
    }
}

/// The string of `len` bytes behind a header, if all of it is there.
fn bulk(buffer: &mut BytesMut, kind: u8, len: i64, header_bytes: usize) -> Result<Option<Frame>, FrameError> {
    if !(0..=MAX_REPLY_BULK_BYTES).contains(&len) {
        return Err(FrameError::BadNumber(len.to_string()));
    }
    let len = len as usize;
    if buffer.len() < header_bytes + len + 2 {
        buffer.reserve(header_bytes + len + 2 - buffer.len());
        return Ok(None);
    }
    if &buffer[header_bytes + len..header_bytes + len + 2] != b"\r\n" {
        return Err(FrameError::BadLine);
    }
    buffer.advance(header_bytes);
    let mut bytes = buffer.split_to(len).freeze();
    buffer.advance(2);
    Ok(Some(match kind {
        b'$' => Frame::Bulk(bytes),
        b'!' => Frame::Error(bytes),
        _ if bytes.get(3) == Some(&b':') => {
            let format = bytes.split_to(3);
            bytes.advance(1);
            Frame::Verbatim(format, bytes)
        }
        _ => Frame::Verbatim(Bytes::new(), bytes),
    }))
}

/// The first line, whose text is the frame.
fn line_of_text(buffer: &mut BytesMut, kind: u8, line_len: usize) -> Frame {
    buffer.advance(1);
    let text = buffer.split_to(line_len).freeze();
    buffer.advance(2);
    match kind {
        b'+' => Frame::Simple(text),
        b'-' => Frame::Error(text),
        b',' => Frame::Double(text),
        _ => Frame::BigNumber(text),
    }
}

/// The length of the first line between its type byte and its CRLF; `None` while that is not there.
fn line_len(buffer: &[u8], kind: u8) -> Result<Option<usize>, FrameError> {
    if !b"+-:$*_,#!=(%~>|".contains(&kind) {
        return Err(FrameError::UnknownType(kind));
    }
    let line = &buffer[1..];
    // Simple strings and errors may be long (Redis's INFO fits a bulk, but errors quote arguments); headers may not.
    let is_text = matches!(kind, b'+' | b'-' | b',' | b'(');
    match memchr(b'\r', line) {
        None if !is_text && line.len() > MAX_LINE_BYTES => Err(FrameError::BadLine),
        None => Ok(None),
        Some(at) => match line.get(at + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some(at)),
            Some(_) => Err(FrameError::BadLine),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(frame: &Frame, out: &mut Vec<u8>) {
        let mut line = |kind: &str, text: &[u8]| {
            out.extend_from_slice(kind.as_bytes());
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        };
        let number = |n: usize| n.to_string().into_bytes();
        match frame {
            Frame::Simple(text) => line("+", text),
            Frame::Error(text) => line("-", text),
            Frame::Integer(n) => line(":", n.to_string().as_bytes()),
            Frame::Bulk(bytes) => {
                line("$", &number(bytes.len()));
                line("", bytes);
            }
            Frame::Null => line("_", b""),
            Frame::Double(text) => line(",", text),
            Frame::Boolean(yes) => line("#", if *yes { b"t" } else { b"f" }),
            Frame::BigNumber(text) => line("(", text),
            Frame::Verbatim(format, text) => {
                line("=", &number(text.len() + 4));
                line("", &[format, &b":"[..], text].concat());
            }
            Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => {
                let kind = match frame {
                    Frame::Array(_) => "*",
                    Frame::Set(_) => "~",
                    _ => ">",
                };
                line(kind, &number(items.len()));
                for item in items {
                    encode(item, out);
                }
            }
            Frame::Map(pairs) => {
                line("%", &number(pairs.len()));
                for (key, value) in pairs {
                    encode(key, out);
                    encode(value, out);
                }
            }
        }
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        let text = || prop::collection::vec(b' '..=b'~', 0..12).prop_map(Bytes::from);
        let leaf = prop_oneof![
            text().prop_map(Frame::Simple),
            text().prop_map(Frame::Error),
            any::<i64>().prop_map(Frame::Integer),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|b| Frame::Bulk(b.into())),
            Just(Frame::Null),
            text().prop_map(Frame::Double),
            any::<bool>().prop_map(Frame::Boolean),
            text().prop_map(Frame::BigNumber),
            text().prop_map(|t| Frame::Verbatim(Bytes::from_static(b"txt"), t)),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Frame::Array),
                prop::collection::vec(inner.clone(), 0..5).prop_map(Frame::Set),
                prop::collection::vec(inner.clone(), 0..5).prop_map(Frame::Push),
                prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Frame::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(frames in prop::collection::vec(any_frame(), 1..4), cut in any::<prop::sample::Index>()) {
            let mut input = Vec::new();
            for frame in &frames {
                encode(frame, &mut input);
            }
            let cut = cut.index(input.len());
            let (mut decoder, mut buffer, mut got) = (FrameDecoder::default(), BytesMut::new(), Vec::new());
            for piece in [&input[..cut], &input[cut..]] {
                buffer.extend_from_slice(piece);
                while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
                    got.push(frame);
                }
            }
            prop_assert_eq!(got, frames);
            prop_assert!(buffer.is_empty());
        }
    }

    #[test]
    fn resp2_nulls_and_attributes() {
        let mut buffer = BytesMut::from(&b"$-1\r\n*-1\r\n|1\r\n+ttl\r\n:3\r\n*2\r\n:1\r\n$-1\r\n"[..]);
        let mut decoder = FrameDecoder::default();
        let mut next = || decoder.decode(&mut buffer).unwrap();
        assert_eq!(next(), Some(Frame::Null));
        assert_eq!(next(), Some(Frame::Null));
        assert_eq!(next(), Some(Frame::Array(vec![Frame::Integer(1), Frame::Null])));
        assert_eq!(next(), None);
    }

    #[test]
    fn an_attribute_of_nothing_is_no_reply() {
        let mut buffer = BytesMut::from(&b"|0\r\n$2\r\nhi\r\n*2\r\n|0\r\n:1\r\n:2\r\n*0\r\n"[..]);
        let mut decoder = FrameDecoder::default();
        let mut next = || decoder.decode(&mut buffer).unwrap();
        assert_eq!(next(), Some(Frame::Bulk(Bytes::from_static(b"hi"))));
        assert_eq!(next(), Some(Frame::Array(vec![Frame::Integer(1), Frame::Integer(2)])));
        assert_eq!(next(), Some(Frame::Array(Vec::new())));
        assert_eq!(next(), None);
    }

    #[test]
    fn what_is_not_resp_is_refused() {
        for input in
            ["HTTP/1.1 400\r\n", ":x\r\n", "$-2\r\n", "$1\r\nabc", "*-2\r\n", "+a\rb", "$99999999999999999\r\n"]
        {
            let result = FrameDecoder::default().decode(&mut BytesMut::from(input));
            assert!(result.is_err(), "{input:?}: {result:?}");
        }
        let deep = "*1\r\n".repeat(MAX_REPLY_DEPTH + 1);
        assert_eq!(FrameDecoder::default().decode(&mut BytesMut::from(&deep[..])), Err(FrameError::TooDeep));
    }
}
