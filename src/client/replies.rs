//! Replies, looked at where they lie: who asks millions of times must not spend more on a reply than the server did.
//!
//! The kinds that nearly all commands are answered with; all others are left to `protocol::frame`.

use bytes::Bytes;
use memchr::memchr;

use crate::protocol::frame::{Frame, FrameError};
use crate::protocol::limits::{MAX_LINE_BYTES, MAX_REPLY_BULK_BYTES};
use crate::protocol::number::parse_i64;

/// A reply in the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `+OK`
    Simple(&'a [u8]),
    /// `-ERR …`
    Error(&'a [u8]),
    /// `:1`
    Integer(i64),
    /// `$3`
    Bulk(&'a [u8]),
    /// `$-1` and RESP3's `_`.
    Null,
}

impl Reply<'_> {
    /// The same as a value of its own.
    pub(crate) fn to_frame(&self) -> Frame {
        let copy = Bytes::copy_from_slice;
        match self {
            Self::Simple(text) => Frame::Simple(copy(text)),
            Self::Error(text) => Frame::Error(copy(text)),
            Self::Integer(number) => Frame::Integer(*number),
            Self::Bulk(text) => Frame::Bulk(copy(text)),
            Self::Null => Frame::Null,
        }
    }
}

/// What the input begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A reply, and how many bytes it takes.
    Reply(Reply<'a>, usize),
    /// Not yet a whole one.
    More,
    /// One of the rarer kinds, or a line too long to be looked for twice.
    Other,
}

/// Reads the reply that the input begins with.
#[inline]
pub(super) fn next(input: &[u8]) -> Result<Next<'_>, FrameError> {
    let Some(&kind) = input.first() else { return Ok(Next::More) };
    if !matches!(kind, b'+' | b'-' | b':' | b'$' | b'_') {
        return Ok(Next::Other);
    }
    let line_end = match line_end(input) {
        Some(end) if end >= 2 && input[end - 1] == b'\r' => end,
        Some(_) => return Err(FrameError::BadLine),
        None if input.len() > MAX_LINE_BYTES => return Ok(Next::Other),
        None => return Ok(Next::More),
    };
    let (line, after) = (&input[1..line_end - 1], line_end + 1);
    let number = || parse_i64(line).ok_or_else(|| FrameError::BadNumber(String::from_utf8_lossy(line).into_owned()));
    let reply = match kind {
        b'+' => Reply::Simple(line),
        b'-' => Reply::Error(line),
        b':' => Reply::Integer(number()?),
        b'_' => Reply::Null,
        _ => match number()? {
            -1 => Reply::Null,
            len @ 0..=MAX_REPLY_BULK_BYTES => {
                let end = after + len as usize;
                match input.get(end..end + 2) {
                    Some(b"\r\n") => return Ok(Next::Reply(Reply::Bulk(&input[after..end]), end + 2)),
                    Some(_) => return Err(FrameError::BadLine),
                    None => return Ok(Next::More),
                }
            }
            len => return Err(FrameError::BadNumber(len.to_string())),
        },
    };
    Ok(Next::Reply(reply, after))
}

/// Where the first line's end is. Most are a few bytes away, nearer than a call.
fn line_end(input: &[u8]) -> Option<usize> {
    const NEAR: usize = 8;
    match input.iter().take(NEAR).position(|&c| c == b'\n') {
        None => memchr(b'\n', input),
        near => near,
    }
}

/// The fields of `INFO`: `name:value`, a line each.
pub(crate) fn info_fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.trim().split_once(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_whole_and_never_in_part() {
        for (bytes, reply) in [
            (&b"+OK\r\n"[..], Reply::Simple(b"OK")),
            (b"-ERR no\r\n", Reply::Error(b"ERR no")),
            (b":-12\r\n", Reply::Integer(-12)),
            (b"$-1\r\n", Reply::Null),
            (b"_\r\n", Reply::Null),
            (b"$0\r\n\r\n", Reply::Bulk(b"")),
            (b"$4\r\na\r\nb\r\n", Reply::Bulk(b"a\r\nb")),
        ] {
            for cut in 0..bytes.len() {
                assert_eq!(next(&bytes[..cut]), Ok(Next::More), "{cut} of {bytes:?}");
            }
            let more = [bytes, b"+more\r\n"].concat();
            assert_eq!(next(&more), Ok(Next::Reply(reply, bytes.len())));
        }
        assert_eq!(next(b"*1\r\n"), Ok(Next::Other));
        assert_eq!(next(&vec![b'-'; MAX_LINE_BYTES + 1]), Ok(Next::Other));
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for bytes in [&b"$x\r\n"[..], b":\r\n", b"+a\n", b"$-2\r\n", b"$1\r\nabc", b"$99999999999999\r\n"] {
            assert!(next(bytes).is_err(), "{bytes:?}");
        }
    }
}
