//! Writes replies and requests as RESP bytes, into any `Vec<u8>`.

use bytes::Bytes;

use super::rope::{Rope, SHARE_AT_LEAST_BYTES};

/// Which version of the protocol a connection asked for with `HELLO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resp {
    /// RESP2, what every connection starts with.
    #[default]
    V2,
    /// RESP3: its null and its map; every other reply is as in RESP2.
    V3,
}

#[inline]
fn header(out: &mut Vec<u8>, kind: u8, number: impl itoa::Integer) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `+text\r\n`. The text has no line breaks.
pub fn simple(out: &mut Vec<u8>, text: &str) {
    debug_assert!(!text.contains(['\r', '\n']), "a simple string is one line");
    out.push(b'+');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `-text\r\n`; line breaks in the text become spaces, as in Redis, since an error is one line.
pub fn error(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    out.push(b'-');
    out.extend(text.as_ref().iter().map(|&c| if matches!(c, b'\r' | b'\n') { b' ' } else { c }));
    out.extend_from_slice(b"\r\n");
}

/// `:number\r\n`.
pub fn integer(out: &mut Vec<u8>, number: i64) {
    header(out, b':', number);
}

/// `$length\r\n`, where most lengths have few digits.
#[inline(always)]
fn bulk_header(out: &mut Vec<u8>, len: usize) {
    let digit = |unit: usize| b'0' + (len / unit % 10) as u8;
    match len {
        0..10 => out.extend_from_slice(&[b'$', digit(1), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[b'$', digit(10), digit(1), b'\r', b'\n']),
        100..1000 => out.extend_from_slice(&[b'$', digit(100), digit(10), digit(1), b'\r', b'\n']),
        _ => header(out, b'$', len),
    }
}

/// `$length\r\nbytes\r\n`.
#[inline(always)]
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    bulk_header(out, bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// A bulk string that is shared, if it is worth it, and not copied.
pub fn bulk_shared(out: &mut Rope, bytes: &Bytes) {
    if bytes.len() < SHARE_AT_LEAST_BYTES {
        return bulk(&mut out.buffer, bytes);
    }
    header(&mut out.buffer, b'$', bytes.len());
    out.push_shared(bytes.clone());
    out.buffer.extend_from_slice(b"\r\n");
}

/// The null of a missing value: `$-1\r\n`, or RESP3's `_\r\n`.
pub fn null(out: &mut Vec<u8>, resp: Resp) {
    out.extend_from_slice(match resp {
        Resp::V2 => b"$-1\r\n",
        Resp::V3 => b"_\r\n",
    });
}

/// The header of an array; its elements follow.
pub fn array(out: &mut Vec<u8>, len: usize) {
    header(out, b'*', len);
}

/// The header of a map of so many pairs; keys and values follow in turn. In RESP2 it is a flat array.
pub fn map(out: &mut Vec<u8>, pairs: usize, resp: Resp) {
    match resp {
        Resp::V2 => header(out, b'*', pairs * 2),
        Resp::V3 => header(out, b'%', pairs),
    }
}

/// A whole request, as clients send it and as the log keeps it: an array of bulk strings.
pub fn request<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    array(out, args.len());
    for arg in args {
        bulk(out, arg.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn replies_are_redis_bytes() {
        assert_eq!(written(|o| simple(o, "OK")), "+OK\r\n");
        assert_eq!(written(|o| error(o, "ERR a\r\nb")), "-ERR a  b\r\n");
        assert_eq!(written(|o| integer(o, i64::MIN)), ":-9223372036854775808\r\n");
        assert_eq!(written(|o| bulk(o, b"")), "$0\r\n\r\n");
        assert_eq!(written(|o| null(o, Resp::V2)), "$-1\r\n");
        assert_eq!(written(|o| null(o, Resp::V3)), "_\r\n");
        assert_eq!(written(|o| map(o, 3, Resp::V2)), "*6\r\n");
        assert_eq!(written(|o| map(o, 3, Resp::V3)), "%3\r\n");
        assert_eq!(written(|o| request(o, &["GET", "k"])), "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }

    #[test]
    fn any_number_of_digits_is_encoded_alike() {
        for len in [0, 1, 9, 10, 11, 99, 100, 101, 909, 999, 1000, 12_345] {
            let value = "v".repeat(len);
            assert_eq!(written(|o| bulk(o, value.as_bytes())), format!("${len}\r\n{value}\r\n"));
        }
    }

    #[test]
    fn a_large_value_is_shared_and_a_small_one_copied() {
        for (len, shared) in [(SHARE_AT_LEAST_BYTES - 1, false), (SHARE_AT_LEAST_BYTES, true)] {
            let value = Bytes::from(vec![b'v'; len]);
            let mut rope = Rope::default();
            bulk_shared(&mut rope, &value);
            assert_eq!(rope.as_single_slice().is_none(), shared);
            let mut copied = Vec::new();
            bulk(&mut copied, &value);
            assert_eq!(rope.pieces_from(0).flatten().copied().collect::<Vec<_>>(), copied);
        }
    }
}
