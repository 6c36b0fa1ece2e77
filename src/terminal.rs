//! What the terminal can show, and the colours.

pub(crate) mod password;
pub(crate) mod progress;

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use console::Term;
use indicatif::{ProgressDrawTarget, TermLike};
use rustix::termios::tcgetwinsize;

use crate::args::ColorWhen;

/// Writes a line to stderr, as `eprintln!` does, which would panic where it cannot be written: behind a closed pipe, on
/// a full disk. What was to be said is lost then, and the work goes on. It may hold names that others gave: see
/// [`shown_lines`].
macro_rules! say {
    ($($what:tt)*) => {
        $crate::terminal::write_line(format_args!($($what)*))
    };
}

pub(crate) fn write_line(what: std::fmt::Arguments<'_>) {
    drop(io::stderr().write_all(shown_lines(&format!("{what}\n")).as_bytes()));
}

/// What a piece of text is; each has its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Status,
    Error,
    Number,
    String,
    Null,
    Index,
    Command,
    Option,
    Hint,
    Strong,
}

impl Style {
    /// The escape sequence that starts it: the 16 colours that every terminal has, as its user set them.
    fn start(self) -> &'static str {
        match self {
            Self::Status => "\x1b[32m",
            Self::Error => "\x1b[31m",
            Self::Number => "\x1b[36m",
            Self::String => "\x1b[33m",
            Self::Null | Self::Index | Self::Hint => "\x1b[90m",
            Self::Command => "\x1b[1;32m",
            Self::Option => "\x1b[35m",
            Self::Strong => "\x1b[1m",
        }
    }
}

/// Whether to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    /// Decides for what goes to stdout.
    pub(crate) fn for_stdout(when: ColorWhen) -> Self {
        Self::decide(when, std::io::stdout().is_terminal())
    }

    /// Decides for what goes to stderr.
    pub(crate) fn for_stderr(when: ColorWhen) -> Self {
        Self::decide(when, std::io::stderr().is_terminal())
    }

    fn decide(when: ColorWhen, is_terminal: bool) -> Self {
        Self(match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => is_terminal && !is_dumb() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        })
    }

    /// Appends what `write` appends, in colour.
    pub(crate) fn with(self, out: &mut Vec<u8>, style: Style, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.0 {
            return write(out);
        }
        out.extend_from_slice(style.start().as_bytes());
        write(out);
        out.extend_from_slice(b"\x1b[0m");
    }

    /// Text in colour.
    pub(crate) fn text(self, style: Style, text: &str) -> String {
        if self.0 { format!("{}{text}\x1b[0m", style.start()) } else { text.to_owned() }
    }
}

/// Whether the terminal understands no escape sequences.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty())
}

/// Where progress is drawn: on stderr, and nowhere if that is no terminal that could.
pub(crate) fn progress_target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() && !is_dumb() {
        ProgressDrawTarget::term_like(Box::new(BarTerminal(Term::buffered_stderr())))
    } else {
        ProgressDrawTarget::hidden()
    }
}

/// A terminal without its last columns. A bar is filled up to the terminal's width; so the `^C` that a terminal adds
/// stays on the bar's line, and goes with it.
#[derive(Debug)]
struct BarTerminal(Term);

impl TermLike for BarTerminal {
    fn width(&self) -> u16 {
        self.0.width().saturating_sub(2).max(1)
    }

    fn height(&self) -> u16 {
        self.0.height()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.0.write_line(s)
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.0.write_str(s)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The terminal's size in columns and rows; 80 by 24 where that is not known. It is the one that stdout goes to, or
/// stderr where that is a pipe.
pub(crate) fn size() -> (usize, usize) {
    size_of(std::io::stdout()).unwrap_or_else(stderr_size)
}

/// The size of the terminal that stderr goes to.
fn stderr_size() -> (usize, usize) {
    size_of(std::io::stderr()).unwrap_or((80, 24))
}

/// The width of a terminal; `None` for what is none, or does not tell.
pub(crate) fn columns_of(terminal: impl AsFd) -> Option<usize> {
    let columns = tcgetwinsize(terminal).ok()?.ws_col;
    (columns > 0).then_some(columns.into())
}

/// The size of a terminal; `None` for what is none, or does not tell.
pub(crate) fn size_of(terminal: impl AsFd) -> Option<(usize, usize)> {
    let size = tcgetwinsize(terminal).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0)?;
    Some((size.ws_col.into(), size.ws_row.into()))
}

/// One line of the server's text, as a terminal may have it: what would move the cursor or change the terminal's state
/// is shown as `?`.
pub(crate) fn shown(text: &[u8]) -> String {
    without_controls(text, |c| c == '\t')
}

/// Several lines, in which nothing steers the terminal either.
pub(crate) fn shown_lines(text: &str) -> String {
    without_controls(text.as_bytes(), |c| matches!(c, '\t' | '\n'))
}

/// Text in which every control character is a `?`, but for those that are wanted.
pub(crate) fn without_controls(text: &[u8], but: impl Fn(char) -> bool) -> String {
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() && !but(c) { '?' } else { c }).collect()
}

/// Breaks a line between words, so that it fits; `indent` stands before the following lines, and no more than that
/// before the first.
pub(crate) fn wrap(text: &str, indent: usize, columns: usize) -> String {
    let mut out = String::new();
    let mut column = indent;
    for word in text.split(' ') {
        if !out.is_empty() && column + 1 + word.len() >= columns {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if !out.is_empty() {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

/// A path as a word of a command that is pasted into a shell; one that would steer the terminal has to be typed.
pub(crate) fn for_shell(path: &Path) -> String {
    let path = shown(path.as_os_str().as_encoded_bytes());
    // No path has a NUL byte, which is all that cannot be quoted.
    shlex::try_quote(&path).map_or_else(|_| path.clone(), Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 2, 11), "one two\n  three");
        assert_eq!(wrap("a-word-that-is-too-long b", 2, 10), "a-word-that-is-too-long\n  b");
    }
}
