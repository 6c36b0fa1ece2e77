//! What the end of a plain Redis log means, and whether one follows a chain. Such a log states nothing of itself.
//!
//! Its incomplete last command is a torn tail only if no later offset parses as commands to the end of the file, and
//! anything else that is wrong is damage; but for the remains of the header with which kvred had begun to go on in it.
//! Where kvred has gone on, which it does behind whole commands only, its first batch states that they were durable, as
//! in the table of [`replay`](super::replay); and a header with no batch yet tells the same.

use std::io;

use memchr::{memchr, memchr_iter, memmem};

use super::LogOffset;
use super::disk::{BLOCK_BYTES, DiskRead, read_full_at};
use super::format::{
    COMMIT_LINE_BYTES, COMMIT_NAME, HEADER_LINE_BYTES, HEADER_NAME, MAX_COMMENT_BYTES, Salt, is_in_headers,
    salt_of_header,
};
use super::replay::Because;
use super::survey::commit_line;
use crate::protocol::decode::{Args, array_at, bulk_at, bulk_header_at};

/// The salt of the header that stands at `at`, if one does.
///
/// # Errors
/// It cannot be read.
pub fn salt_at(file: &dyn DiskRead, at: LogOffset) -> io::Result<Option<Salt>> {
    let mut line = [0; HEADER_LINE_BYTES];
    let read = read_full_at(file, &mut line, at.0)?;
    Ok(salt_of_header(&line[..read]))
}

/// Whether another server has appended commands behind a chain whose last sound batch ends at `from`: it first says
/// which database they are for, or that a transaction begins. Neither our server nor our tools write either.
///
/// They need not stand at `from`. Of a batch that was torn, another server has cut off no more than an incomplete
/// command; an incomplete annotation line it has left as it was.
pub(super) fn another_server_follows(file: &dyn DiskRead, from: LogOffset) -> io::Result<bool> {
    let (mut items, mut at) = (Items { file, block: Vec::new(), start: from }, from);
    while let Some(item) = items.item(at)? {
        if item.is_of_another_server {
            return Ok(true);
        }
        at = item.end;
    }
    Ok(false)
}

/// Commands and annotation lines, one after the other. What is long is not read.
struct Items<'a> {
    file: &'a dyn DiskRead,
    /// The bytes of the file from `start` on.
    block: Vec<u8>,
    start: LogOffset,
}

struct Item {
    /// Whether it is a command with which another server begins.
    is_of_another_server: bool,
    end: LogOffset,
}

impl Items<'_> {
    /// The whole command or annotation line at `at`, if there is one.
    fn item(&mut self, at: LogOffset) -> io::Result<Option<Item>> {
        let text = self.text(at)?;
        if text.starts_with(b"#") {
            // A line that the file ends in is whole for Redis, and what it appends stands on it. None of ours has an
            // asterisk.
            let line = memchr(b'\n', text);
            let command = memchr(b'*', &text[..line.unwrap_or(text.len())]);
            let end = command.or(line.map(|len| len + 1));
            return Ok(end.map(|len| Item { is_of_another_server: false, end: at + len as u64 }));
        }
        let Some((strings, first)) = array_at(text, 0) else { return Ok(None) };
        let (mut is_of_another_server, mut end) = (false, at + first as u64);
        for n in 0..strings {
            let text = self.text(end)?;
            let Some((len, string)) = bulk_header_at(text, 0) else { return Ok(None) };
            if n == 0 {
                let is =
                    |word: &[u8]| text.get(string..string + len).is_some_and(|name| name.eq_ignore_ascii_case(word));
                is_of_another_server = strings == 2 && is(b"SELECT") || strings == 1 && is(b"MULTI");
            }
            end = end + (string + len) as u64;
            if !self.text(end)?.starts_with(b"\r\n") {
                return Ok(None);
            }
            end = end + 2;
        }
        Ok(Some(Item { is_of_another_server, end }))
    }

    /// What stands at `at`: enough for an annotation line, for a number, and for the name of a command.
    fn text(&mut self, at: LogOffset) -> io::Result<&[u8]> {
        if (at - self.start) as usize + MAX_COMMENT_BYTES > self.block.len() {
            self.block.resize(BLOCK_BYTES, 0);
            let read = read_full_at(self.file, &mut self.block, at.0)?;
            self.block.truncate(read);
            self.start = at;
        }
        let text = &self.block[(at - self.start) as usize..];
        Ok(&text[..text.len().min(MAX_COMMENT_BYTES)])
    }
}

/// Whether all that follows `from` is what a power cut left of a chain's header, which kvred writes behind a plain log:
/// some of its bytes, the others zeros.
pub(super) fn header_remains(file: &dyn DiskRead, from: LogOffset, file_len: u64) -> io::Result<bool> {
    if file_len - from.0 > HEADER_LINE_BYTES as u64 {
        return Ok(false);
    }
    let mut tail = [0; HEADER_LINE_BYTES];
    let read = read_full_at(file, &mut tail, from.0)?;
    if read == HEADER_LINE_BYTES && !tail.contains(&0) {
        // All of it is there: what is wrong with it has changed since.
        return Ok(false);
    }
    Ok(tail[..read].iter().enumerate().all(|(at, byte)| *byte == 0 || is_in_headers(at, *byte)))
}

/// Whether the line at `from` ends without a CR, as in a file that an editor has converted: the decoder waits for one,
/// and so takes all that follows for an incomplete command.
pub(super) fn has_bare_newline(file: &dyn DiskRead, from: LogOffset) -> io::Result<bool> {
    // Enough for any number.
    let mut line = [0; 64];
    let read = read_full_at(file, &mut line, from.0)?;
    Ok(memchr::memchr2(b'\r', b'\n', &line[..read]).is_some_and(|at| line[at] == b'\n'))
}

/// Whether what looks like an incomplete end of a plain log is a wrong length that swallowed the rest: some offset
/// behind `seen_at` parses as whole commands to the end of the file, or kvred had begun to go on there.
pub(super) fn judge_by_text(
    file: &dyn DiskRead,
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
