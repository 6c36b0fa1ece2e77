//! The exit codes, and the error that carries one to `main`.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// How a run ended; the numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 0: fine.
    Fine,
    /// 1: what was asked for came back negative (an error reply, a torn log, a failed threshold).
    Negative,
    /// 2: wrong usage.
    Usage,
    /// 3: the server cannot be reached, or a file cannot be read or written.
    Unavailable,
    /// 4: a log is damaged in its middle.
    Damaged,
    /// 130: interrupted, by commands that take the signal, mostly to print or remove something. Others let it kill
    /// them: a shell shows 130 as well, and ends its own loop, too.
    Interrupted,
}

impl Status {
    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Negative => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
            Self::Damaged => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

/// Why a run could not do its work, for a person, and the exit code that says so to a script.
pub struct Failure {
    status: Status,
    error: anyhow::Error,
}

impl Failure {
    /// An error that ends the run with `status`.
    pub fn new(status: Status, error: impl Into<anyhow::Error>) -> Self {
        Self { status, error: error.into() }
    }

    /// The exit code to end with.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Says on stderr what went wrong; returns the exit code to end with.
    pub fn report(&self) -> Status {
        say!("kvred: {self:#}");
        self.status
    }
}

/// A [`Failure`] that ends the run with this [`Status`], because of an error, or in the words of a format string.
macro_rules! failure {
    ($status:ident, $($why:tt)+) => {
        $crate::exit::Failure::new($crate::exit::Status::$status, anyhow::anyhow!($($why)+))
    };
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

/// Gives errors an exit code.
pub trait OrExit<T>: Sized {
    /// Wraps the error with what was being done, to end the run with `status`.
    ///
    /// # Errors
    /// The error that was there.
    fn or_exit(self, status: Status, doing: impl FnOnce() -> String) -> Result<T, Failure>;

    /// [`OrExit::or_exit`] with [`Status::Unavailable`].
    ///
    /// # Errors
    /// The error that was there.
    fn or_unavailable(self, doing: impl FnOnce() -> String) -> Result<T, Failure> {
        self.or_exit(Status::Unavailable, doing)
    }
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, status: Status, doing: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|e| Failure::new(status, e.into().context(doing())))
    }
}

/// Prints to stdout; that nobody reads it any more is no error.
///
/// # Errors
/// Any other: exit code 3.
pub fn print(text: &str) -> Result<(), Failure> {
    printed(write_out(text.as_bytes()))
}

/// What printing came to; that nobody reads it any more is no error.
///
/// # Errors
/// Any other: exit code 3.
pub fn printed(written: io::Result<()>) -> Result<(), Failure> {
    unless_closed(written).map_err(cannot_write)
}

/// Writes to stdout, at once.
pub(crate) fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// The end of a run whose output cannot be written.
pub(crate) fn cannot_write(error: io::Error) -> Failure {
    Failure::new(Status::Unavailable, anyhow::Error::new(error).context("cannot write the output"))
}

/// What writing comes to where the reader may have seen enough: that it has closed the pipe is no error.
pub(crate) fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    written.or_else(|e| if is_closed_pipe(&e) { Ok(()) } else { Err(e) })
}

/// Whether the reader of what is written has gone, as behind `| head`.
pub(crate) fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// `AlreadyExists` from making a directory means that a file is in its place: says so.
pub(crate) fn no_directory(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::AlreadyExists { io::ErrorKind::NotADirectory.into() } else { error }
}
