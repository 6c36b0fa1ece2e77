//! Counts the commands behind a flaw: where decoding fails, it goes on at the next place that looks like a command.

use std::io;

use memchr::memmem;

use crate::persistence::LogOffset;
use crate::persistence::disk::{DiskRead, read_full_at};
use crate::protocol::decode::{array_at, bulk_at};

/// The longest command that is told apart for sure.
const COMMAND_BYTES: usize = 4 << 20;

/// What is looked at in one go. As every command that begins in its first half is seen to its end, no byte is read
/// more than twice.
const WINDOW_BYTES: usize = 2 * COMMAND_BYTES;

/// How many commands can be told apart from `from` to the end of the file.
pub(super) fn count_commands(file: &dyn DiskRead, from: LogOffset, file_len: u64) -> io::Result<u64> {
    let (mut count, mut window, mut base) = (0, Vec::new(), from.0);
    while base < file_len {
        window.resize((file_len - base).min(WINDOW_BYTES as u64) as usize, 0);
        let read = read_full_at(file, &mut window, base)?;
        if read == 0 {
            break;
        }
        window.truncate(read);
        let (commands, done) = count_in(&window, read < WINDOW_BYTES);
        count += commands;
        base += done as u64;
    }
    Ok(count)
}

/// The commands in a window, and how much of it is done with.
fn count_in(window: &[u8], is_last: bool) -> (u64, usize) {
    let enough = if is_last { window.len() } else { COMMAND_BYTES };
    let (mut count, mut at) = (0, 0);
    while at < enough {
        let broken = match command_at(window, at) {
            Ok(end) => {
                count += 1;
                at = end;
                continue;
            }
            Err(broken) => broken,
        };
        // A value may hold a million lines that look like commands, each of all the strings behind it. So that no
        // string is looked at twice, it goes on where the last one broke off.
        let from = broken.max(at + 1) - 1;
        match memmem::find(&window[from.min(window.len())..], b"\n*") {
            Some(next) => at = from + next + 1,
            None => return (count, window.len()),
        }
    }
    (count, at)
}

/// Where the command at `at` ends; or, if it is none or not whole, where it breaks off.
fn command_at(window: &[u8], at: usize) -> Result<usize, usize> {
    let (strings, mut at) = array_at(window, at).ok_or(at)?;
    for _ in 0..strings {
        at = bulk_at(window, at).ok_or(at)?.1;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::persistence::disk::Disk;
    use crate::persistence::real_disk::RealDisk;

    #[test]
    fn commands_are_found_again_behind_damage() {
        let one = "*2\r\n$3\r\nDEL\r\n$1\r\na\r\n";
        let text = format!("{one}#C:0:0\r\n{one}*2\r\n$3\r\nD*L\r\n$999\r\na\r\n{one}xx{one}*1\r\n$5\r\nab");
        // The last but one stands behind garbage on its own line.
        assert_eq!(count_in(text.as_bytes(), true).0, 3);
    }

    #[test]
    fn what_looks_like_many_commands_is_looked_at_once() {
        // Every 15 bytes a command that begins with all the strings behind it: minutes, if each were followed anew.
        let value = b"$9\r\n\n*9999999\r\n".repeat(300_000);
        let text = [b"*1\r\n$99999999\r\n", &value[..], b"\n*1\r\n$1\r\na\r\n"].concat();
        assert_eq!(count_in(&text, true), (1, text.len()));
    }

    fn count_in_file(text: &[u8]) -> u64 {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log"), text).unwrap();
        let file = RealDisk::new(dir.path()).unwrap().open(Path::new("log"), false).unwrap();
        count_commands(&*file, LogOffset(1), text.len() as u64).unwrap()
    }

    #[test]
    fn commands_across_windows_are_counted_once() {
        let value = "v".repeat(COMMAND_BYTES - 100);
        let command = format!("*1\r\n${}\r\n{value}\r\n", value.len());
        assert_eq!(count_in_file(format!("x{}", command.repeat(7)).as_bytes()), 7);
        assert_eq!(count_in_file(format!("x\n{}garbage{}", command.repeat(3), command.repeat(2)).as_bytes()), 4);
    }

    #[test]
    fn commands_that_all_end_in_the_next_window_cost_one_look_each() {
        // If for each of them the window began anew, terabytes were read.
        let text = format!("*1\r\n${}\r\n", COMMAND_BYTES - 1).repeat(1_000_000);
        assert_eq!(count_in_file(text.as_bytes()), 0);
    }
}
