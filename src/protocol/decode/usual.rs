//! The fast path for commands of the usual form; others are left to the decoder's care.

use super::{CRLF, Span, behind_crlf};
use crate::protocol::limits::RequestLimits;

/// Decodes a command of the usual form: up to nine arguments, a name of up to nine bytes and the others of less than
/// ten thousand each, all of it there. `None`, with `args` as it was, for anything else, be it right or wrong: that is
/// looked at with care.
#[inline(always)]
pub(super) fn usual_command(buffer: &[u8], start: usize, limits: RequestLimits, args: &mut Vec<Span>) -> Option<usize> {
    let opening = u64::from_le_bytes(*buffer.get(start..)?.first_chunk()?);
    let [_, count, _, _, _, name_len, _, _] = opening.to_le_bytes().map(|digit| digit.wrapping_sub(b'0'));
    if opening & !OPENING_DIGITS != OPENING || !(1..=9).contains(&count) || name_len > 9 {
        return None;
    }
    let name = start + size_of_val(&opening);
    let name = Span::new(name, name + usize::from(name_len));
    let at = behind_crlf(buffer, name.end as usize)?;
    if i64::from(count) > limits.array_len {
        return None;
    }
    usual_arguments(buffer, name, at, count, limits, args)
}

/// Its arguments, from the one at `at` on; `name` is the first of `count`.
#[inline(always)]
pub(super) fn usual_arguments(
    buffer: &[u8],
    name: Span,
    mut at: usize,
    count: u8,
    limits: RequestLimits,
    args: &mut Vec<Span>,
) -> Option<usize> {
    let before = args.len();
    args.push(name);
    for _ in 1..count {
        let Some(argument) = usual_bulk(buffer, at).filter(|argument| argument.len() <= limits.bulk_bytes) else {
            args.truncate(before);
            return None;
        };
        args.push(argument);
        at = argument.end as usize + CRLF.len();
    }
    Some(at)
}

/// What such a command begins with, as one word, and where that has the two digits.
const OPENING: u64 = u64::from_le_bytes(*b"*\0\r\n$\0\r\n");
const OPENING_DIGITS: u64 = u64::from_le_bytes(*b"\0\xFF\0\0\0\xFF\0\0");

/// So many bytes tell whether a command has an [`Opening`].
pub const OPENING_BYTES: usize = 16;

/// How a command begins, up to its first argument: its number of arguments and its name. Only of one whose name is
/// short.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    pub(super) first: u64,
    /// What follows, as far as `mask` has bits: the name, and the end of its line.
    second: u64,
    mask: u64,
    pub(super) name_len: u8,
}

impl Default for Opening {
    /// One that no command has.
    fn default() -> Self {
        Self { first: 0, second: u64::MAX, mask: 0, name_len: 0 }
    }
}

impl Opening {
    /// The opening of the command at `buffer[start]`, which was decoded, its name being at `name`; and the bytes there.
    pub fn of(buffer: &[u8], start: usize, name: Span) -> Option<(&[u8; OPENING_BYTES], Self)> {
        let bytes = buffer.get(start..)?.first_chunk()?;
        let (first, second) = Self::words(bytes);
        let line_bytes = name.len() + CRLF.len();
        if first & !OPENING_DIGITS != OPENING || name.start as usize != start + 8 || line_bytes > size_of_val(&second) {
            return None;
        }
        let mask = u64::MAX >> (u64::BITS as usize - 8 * line_bytes);
        Some((bytes, Self { first, second: second & mask, mask, name_len: name.len() as u8 }))
    }

    /// Whether a command that begins with these bytes has it.
    #[inline(always)]
    pub fn begins(&self, bytes: &[u8; OPENING_BYTES]) -> bool {
        let (first, second) = Self::words(bytes);
        first == self.first && second & self.mask == self.second
    }

    #[inline(always)]
    fn words(bytes: &[u8; OPENING_BYTES]) -> (u64, u64) {
        let both = u128::from_le_bytes(*bytes);
        (both as u64, (both >> 64) as u64)
    }

    pub(super) fn count(&self) -> u8 {
        self.first.to_le_bytes()[1] - b'0'
    }
}

#[inline(always)]
fn usual_bulk(buffer: &[u8], at: usize) -> Option<Span> {
    let (len, start) = match *buffer.get(at..)?.first_chunk::<6>()? {
        [b'$', ones @ b'0'..=b'9', b'\r', b'\n', ..] => (usize::from(ones - b'0'), at + 4),
        [b'$', tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', _] => {
            (usize::from(tens - b'0') * 10 + usize::from(ones - b'0'), at + 5)
        }
        [b'$', b'1'..=b'9', ..] => usual_long_len(buffer, at + 1)?,
        _ => return None,
    };
    behind_crlf(buffer, start + len).map(|_| Span::new(start, start + len))
}

/// A number of up to four digits, and the position behind its line.
#[inline(never)]
fn usual_long_len(buffer: &[u8], at: usize) -> Option<(usize, usize)> {
    let digits = buffer[at..].iter().take(5).take_while(|c| c.is_ascii_digit()).count();
    let behind = at + digits;
    let len = buffer[at..behind].iter().fold(0, |len, digit| len * 10 + usize::from(digit - b'0'));
    if digits <= 4 { Some((len, behind_crlf(buffer, behind)?)) } else { None }
}
