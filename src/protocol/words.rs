//! A line's words, in quotes or not: inline commands, and what is typed at `kvred cli`.

use memchr::memchr2;

use super::decode::ProtocolError;

/// Whether it is white space between words; so C's `isspace` has it.
pub fn is_space(c: u8) -> bool {
    ends_word(c) || matches!(c, 0x0b | 0x0c)
}

/// Whether it ends a word that no closing quote has ended. The rarer white space is then a part of the word.
pub fn ends_word(c: u8) -> bool {
    matches!(c, b' ' | b'\n' | b'\r' | b'\t')
}

/// Splits a line into words and unquotes them, as Redis's `sdssplitargs` does: in `"…"` the escapes `\n \r \t \b \a
/// \xHH` and `\` before any other byte hold, in `'…'` only `\'`. A word is never longer than its spelling, so it is
/// unquoted in place; `word(from, to)` is called for each. Unlike there, a NUL does not end the line: it is a byte like
/// others.
///
/// # Errors
/// [`ProtocolError::UnbalancedQuotes`]
pub fn split_words(line: &mut [u8], mut word: impl FnMut(usize, usize)) -> Result<(), ProtocolError> {
    let mut at = 0;
    loop {
        while at < line.len() && is_space(line[at]) {
            at += 1;
        }
        if at == line.len() {
            return Ok(());
        }
        let from = at;
        let mut to = at;
        while at < line.len() && !ends_word(line[at]) {
            match line[at] {
                quote @ (b'"' | b'\'') => {
                    (at, to) = unquote(line, at, to, quote)?;
                    if at < line.len() && !is_space(line[at]) {
                        return Err(ProtocolError::UnbalancedQuotes);
                    }
                    break;
                }
                c => {
                    line[to] = c;
                    to += 1;
                    at += 1;
                }
            }
        }
        word(from, to);
    }
}

/// Unquotes the string that opens at `line[at]`, writing it from `to` on: the positions behind both.
fn unquote(line: &mut [u8], at: usize, to: usize, quote: u8) -> Result<(usize, usize), ProtocolError> {
    let (mut at, mut to) = (at + 1, to);
    loop {
        // Most strings are plain from one quote to the other.
        let plain = memchr2(quote, b'\\', &line[at..]).unwrap_or(line.len() - at);
        line.copy_within(at..at + plain, to);
        at += plain;
        to += plain;
        let (byte, used) = match &line[at..] {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [c, ..] if *c == quote => return Ok((at + 1, to)),
            [b'\\', b'x', high, low, ..] if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex_digit(*high) << 4 | hex_digit(*low), 4)
            }
            [b'\\', c, ..] if quote == b'"' => {
                let byte = match c {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                };
                (byte, 2)
            }
            [b'\\', b'\'', ..] if quote == b'\'' => (b'\'', 2),
            [c, ..] => (*c, 1),
        };
        line[to] = byte;
        to += 1;
        at += used;
    }
}

fn hex_digit(c: u8) -> u8 {
    match c {
        b'0'..=b'9' => c - b'0',
        _ => (c | 0x20) - b'a' + 10,
    }
}
