//! What the end of a plain Redis log means, and whether one begins behind a chain. Such a log states nothing of itself.
//!
//! Its incomplete last command is a torn tail only if no later offset parses as commands to the end of the file, and
//! anything else that is wrong is damage; but for the remains of the header with which kvred had begun to go on in it.
//! Where kvred has gone on, which it does behind whole commands only, its first batch states that they were durable, as
//! in the table of [`replay`](super::replay); and a header with no batch yet tells the same.

use std::io;

use memchr::{memchr_iter, memmem};

use super::LogOffset;
use super::disk::{DiskFile, read_full_at};
use super::format::{Annotation, COMMIT_LINE_BYTES, COMMIT_NAME, HEADER_LINE_BYTES, HEADER_NAME, Salt, salt_of_header};
use super::replay::Because;
use super::survey::commit_line;
use crate::protocol::decode::{Args, array_at, bulk_at};

/// Whether commands begin at `from` that another server has appended: it first says which database they are for, or that
/// a transaction begins. A server of ours writes neither; and where one of our tools has, all of it was synced before the
/// log got its name.
pub(super) fn begins_at(file: &dyn DiskFile, from: LogOffset) -> io::Result<bool> {
    // Enough for such a command, and for the annotations that may stand before it.
    let mut text = [0; 4 << 10];
    let read = read_full_at(file, &mut text, from.0)?;
    let (text, mut at) = (&text[..read], 0);
    while text.get(at) == Some(&b'#') {
        let Some(len) = memmem::find(&text[at..], b"\r\n") else { return Ok(false) };
        at += len + 2;
    }
    let Some((len, first)) = array_at(text, at) else { return Ok(false) };
    let Some((name, mut end)) = bulk_at(text, first) else { return Ok(false) };
    for _ in 1..len {
        let Some((_, behind)) = bulk_at(text, end) else { return Ok(false) };
        end = behind;
    }
    let is = |word: &[u8]| name.of(text).eq_ignore_ascii_case(word);
    Ok(len == 2 && is(b"SELECT") || len == 1 && is(b"MULTI"))
}

/// Whether all that follows `from` is what a power cut left of a chain's header, which kvred writes behind a plain log:
/// some of its bytes, the others zeros.
pub(super) fn header_remains(file: &dyn DiskFile, from: LogOffset, file_len: u64) -> io::Result<bool> {
    if file_len - from.0 > HEADER_LINE_BYTES as u64 {
        return Ok(false);
    }
    let mut tail = [0; HEADER_LINE_BYTES];
    let read = read_full_at(file, &mut tail, from.0)?;
    if read == HEADER_LINE_BYTES && !tail.contains(&0) {
        // All of it is there: what is wrong with it has changed since.
        return Ok(false);
    }
    let mut any_header = Vec::with_capacity(HEADER_LINE_BYTES);
    Annotation::Header(Salt(0)).write(&mut any_header);
    let fits = |(&byte, &form): (&u8, &u8)| match form {
        _ if byte == 0 => true,
        b'0'..=b'9' | b'a'..=b'f' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        _ => byte == form,
    };
    Ok(tail[..read].iter().zip(&any_header).all(fits))
}

/// Whether the line at `from` ends without a CR, as in a file that an editor has converted: the decoder waits for one,
/// and so takes all that follows for an incomplete command.
pub(super) fn has_bare_newline(file: &dyn DiskFile, from: LogOffset) -> io::Result<bool> {
    // Enough for any number.
    let mut line = [0; 64];
    let read = read_full_at(file, &mut line, from.0)?;
    Ok(memchr::memchr2(b'\r', b'\n', &line[..read]).is_some_and(|at| line[at] == b'\n'))
}

/// Whether what looks like an incomplete end of a plain log is a wrong length that swallowed the rest: some offset behind
/// `seen_at` parses as whole commands to the end of the file, or kvred had begun to go on there.
pub(super) fn judge_by_text(
    file: &dyn DiskFile,
    end: LogOffset,
    seen_at: LogOffset,
    file_len: u64,
) -> io::Result<Option<Because>> {
    let mut tail = vec![0; (file_len - end.0) as usize];
    let read = read_full_at(file, &mut tail, end.0)?;
    tail.truncate(read);
    // Behind an open MULTI there are whole commands; only what follows an incomplete one tells.
    let behind = tail.get((seen_at - end) as usize..).unwrap_or_default();
    Ok(if ends_with_command(behind) {
        Some(Because::CommandsFollow)
    } else if ends_with_header(&tail) {
        Some(Because::HeaderFollows)
    } else {
        None
    })
}

/// Whether a text ends with a chain's header, or with that and a beginning of the chain's first batch. A header with
/// whole batches that do not verify is none: it stands in a value.
fn ends_with_header(text: &[u8]) -> bool {
    let Some(at) = memmem::rfind(text, HEADER_NAME) else { return false };
    let (before, header) = text.split_at(at);
    let is_whole = |at: usize| header.get(at..at + COMMIT_LINE_BYTES).and_then(commit_line).is_some();
    before.ends_with(b"\n")
        && header.get(..HEADER_LINE_BYTES).and_then(salt_of_header).is_some()
        && !memmem::find_iter(header, COMMIT_NAME).any(is_whole)
}

/// Whether a command that begins with a line, but not the first, ends where the text does. If whole commands lead to
/// the end from anywhere, the last of them does so by itself.
///
/// A value may hold a million lines that look like commands, each of all the strings behind it. So that none of them
/// costs more than a look, strings are followed from the end backwards, each once, and for each it is noted how many
/// lead from it to the end: time grows as n log n, memory with the number of such strings.
pub(super) fn ends_with_command(text: &[u8]) -> bool {
    // Where each begins, the last one first, and how many there are from it on.
    let mut strings: Vec<(u32, u32)> = Vec::new();
    for at in memchr_iter(b'\n', text).rev().map(|newline| newline + 1) {
        if let Some((_, behind)) = bulk_at(text, at) {
            if let Some(more) = strings_from(&strings, behind, text.len()) {
                strings.push((at as u32, more + 1));
            }
        } else if let Some((len, first)) = array_at(text, at)
            && strings_from(&strings, first, text.len()).is_some_and(|strings| strings as usize == len)
            && bulk_at(text, first).is_some_and(|(name, _)| is_command(Args::new(text, &[name])))
        {
            return true;
        }
    }
    false
}

/// How many strings lead from `at` to the end, if they do.
fn strings_from(strings: &[(u32, u32)], at: usize, end: usize) -> Option<u32> {
    if at == end {
        return Some(0);
    }
    let found = strings.binary_search_by(|(start, _)| at.cmp(&(*start as usize))).ok()?;
    Some(strings[found].1)
}

/// Whether arguments begin with something like a command's name: a value that holds RESP by chance seldom does.
pub(super) fn is_command(args: Args<'_>) -> bool {
    !args.is_empty() && !args.at(0).is_empty() && args.at(0).iter().all(u8::is_ascii_graphic)
}
