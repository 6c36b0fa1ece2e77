//! Why a run ends early, and the words for it.

use std::io;

use anyhow::anyhow;

use super::output::printer::closed_pipe;
use super::output::shown;
use super::session::CallError;
use crate::client::{Address, ClientError, SetupError};
use crate::exit::{Failure, Status};

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
        if closed_pipe(&error) {
            Self::ClosedPipe
        } else {
            Self::Failure(Failure::new(Status::Unavailable, anyhow!("cannot write the output: {error}")))
        }
    }
}

impl From<SetupError> for Stop {
    fn from(error: SetupError) -> Self {
        let status = match &error {
            SetupError::Refused { .. } => Status::Negative,
            SetupError::Client(_) => Status::Unavailable,
        };
        Self::Failure(Failure::new(status, anyhow!(explain(&error))))
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSent(error) => error.into(),
            error => Self::Failure(Failure::new(Status::Unavailable, anyhow!(error.to_string()))),
        }
    }
}

/// A command that a mode needs was answered with an error.
pub(crate) fn refused(command: &str, text: &[u8]) -> Stop {
    let hint = password_hint(text).map_or_else(String::new, |hint| format!("; {hint}"));
    Failure::new(Status::Negative, anyhow!("{command} failed: {}{hint}", shown(text))).into()
}

/// What to do about an error that asks for a password.
pub(crate) fn password_hint(error: &[u8]) -> Option<&'static str> {
    error.starts_with(b"NOAUTH").then_some("give a password with --askpass, --password-file or KVRED_PASSWORD")
}

/// Why there is no connection, and what to do about it, in one line.
pub(crate) fn explain(error: &SetupError) -> String {
    match error {
        SetupError::Refused { step, reply } => {
            let hint = password_hint(reply.as_bytes()).unwrap_or("no command was sent");
            format!("{step} failed: {}; {hint}", shown(reply.as_bytes()))
        }
        SetupError::Client(ClientError::Unreachable { address, source }) => {
            let reason = source.to_string();
            let reason = reason.split(" (os error").next().unwrap_or(&reason).to_lowercase();
            format!("cannot connect to {address}: {reason}; {}", how_to_start(address))
        }
        SetupError::Client(error @ ClientError::TimedOut { .. }) => {
            format!("{error}; is the address right, and the server not stuck?")
        }
        SetupError::Client(error) => error.to_string(),
    }
}

fn how_to_start(address: &Address) -> String {
    match address {
        Address::Unix(path) => format!("start a server with \"kvred serve --unixsocket {}\"", path.display()),
        Address::Tcp { host, port } if matches!(host.as_str(), "127.0.0.1" | "localhost" | "::1") => {
            format!("start a server with \"kvred serve --port {port}\"")
        }
        Address::Tcp { port, .. } => {
            format!("is a server running there, with \"kvred serve --bind ADDR --port {port}\"?")
        }
    }
}
