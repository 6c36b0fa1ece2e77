//! Replies longer than the screen go through `$PAGER`, if the user has one.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

use crate::terminal::size;

/// Shows text with the pager: whether that was wanted, needed, and possible.
pub(crate) fn show(text: &[u8], wanted: bool) -> bool {
    match env::var_os("PAGER").filter(|pager| !pager.is_empty()) {
        Some(pager) if wanted && io::stdout().is_terminal() && lines(text, size().0) >= size().1 => {
            // A pager that is not there is no reason not to show the reply.
            page(&pager, text).is_ok_and(|shown| shown)
        }
        _ => false,
    }
}

/// Whether the pager could be started.
fn page(pager: &std::ffi::OsStr, text: &[u8]) -> io::Result<bool> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(pager).stdin(Stdio::piped());
    if env::var_os("LESS").is_none() {
        // As git does: leave if it fits, show colours, keep the screen.
        command.env("LESS", "FRX");
    }
    let mut child = command.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // Who quits a pager early has seen enough.
        drop(input.write_all(text));
    }
    // A shell says 127 when there is no such program, and 126 when it is none that can be run.
    Ok(!matches!(child.wait()?.code(), Some(126 | 127)))
}

/// How many lines of the screen the text takes.
fn lines(text: &[u8], columns: usize) -> usize {
    text.split(|&c| c == b'\n').map(|line| line.len() / columns.max(1) + 1).sum()
}
