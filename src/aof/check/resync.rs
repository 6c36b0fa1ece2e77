//! Counts the commands behind a flaw: where decoding fails, it goes on at the next place that looks like a command.

use std::io;

use memchr::memmem;

use crate::persistence::LogOffset;
use crate::persistence::disk::{DiskFile, read_full_at};
use crate::protocol::decode::RequestDecoder;

/// What is looked at in one go. A longer command counts as one, and is not looked into.
const WINDOW_BYTES: usize = 4 << 20;

/// How many commands can be told apart from `from` to the end of the file.
pub(super) fn count_commands(file: &dyn DiskFile, from: LogOffset, file_len: u64) -> io::Result<u64> {
    let (mut count, mut window, mut base) = (0, Vec::new(), from.0);
    while base < file_len {
        window.resize((file_len - base).min(WINDOW_BYTES as u64) as usize, 0);
        let read = read_full_at(file, &mut window, base)?;
        if read == 0 {
            break;
        }
        window.truncate(read);
        let is_last = base + read as u64 >= file_len;
        let (commands, done) = count_in(&mut window, is_last);
        count += commands;
        base += done.max(1) as u64;
    }
    Ok(count)
}

/// The commands in a window, and how much of it is done with.
fn count_in(window: &mut [u8], is_last: bool) -> (u64, usize) {
    let (mut count, mut at, mut args, mut decoder) = (0, 0, Vec::new(), RequestDecoder::for_log());
    while at < window.len() {
        args.clear();
        match decoder.decode(window, at, &mut args) {
            Ok(Some(end)) if !args.is_empty() => {
                count += 1;
                at = end;
                continue;
            }
            // It may go on behind the window, unless it is as long as that.
            Ok(None) if !is_last && at > 0 => return (count, at),
            _ => decoder.restart(),
        }
        match memmem::find(&window[at + 1..], b"\n*") {
            Some(next) => at += next + 2,
            None => return (count, window.len()),
        }
    }
    (count, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_again_behind_damage() {
        let one = "*2\r\n$3\r\nDEL\r\n$1\r\na\r\n";
        let text = format!("{one}#C:0:0\r\n{one}*2\r\n$3\r\nD*L\r\n$999\r\na\r\n{one}xx{one}*1\r\n$5\r\nab");
        let mut bytes = text.into_bytes();
        // The last but one stands behind garbage on its own line.
        assert_eq!(count_in(&mut bytes, true).0, 3);
    }
}
