//! Why a run ends early, and the words for it.

use std::io;

use super::session::CallError;
use crate::client::SetupError;
use crate::client::explain::hint;
use crate::exit::{Failure, cannot_write, is_closed_pipe};
use crate::terminal::shown;

/// The end of a run before its work was done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Nobody reads stdout any more, as behind `| head`: no error.
    ClosedPipe,
    /// Something to tell, and an exit code.
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// stdout cannot be written to.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if is_closed_pipe(&error) { Self::ClosedPipe } else { Self::Failure(cannot_write(error)) }
    }
}

impl From<SetupError> for Stop {
    fn from(error: SetupError) -> Self {
        Self::Failure(error.into())
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSent(error) => error.into(),
            error => Self::Failure(failure!(Unavailable, error.to_string())),
        }
    }
}

/// A command that a mode needs was answered with an error.
pub(crate) fn refused(command: &str, text: &[u8]) -> Stop {
    let hint = hint(text).map_or_else(String::new, |hint| format!("; {hint}"));
    failure!(Negative, "{command} failed: {}{hint}", shown(text)).into()
}
