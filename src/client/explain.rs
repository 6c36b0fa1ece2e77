//! Why there is no connection, in the words for it and with the exit code for it.

use std::io::{self, ErrorKind};

use anyhow::anyhow;
use rustix::io::Errno;

use super::address::Address;
use super::connection::ClientError;
use super::setup::SetupError;
use crate::exit::{Failure, Status};
use crate::terminal::{for_shell, shown};

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        let status = match &error {
            SetupError::Refused { .. } => Status::Negative,
            SetupError::Client(_) => Status::Unavailable,
        };
        Self::new(status, anyhow!(explain(&error)))
    }
}

/// What to do about an error that is not about the command.
pub(crate) fn hint(error: &[u8]) -> Option<&'static str> {
    let refused = |by: &str| error.starts_with(by.as_bytes());
    // The second is said of a large value, which is not even read.
    if refused("NOAUTH") || refused("ERR Protocol error: unauthenticated") {
        Some("give a password with --askpass, --password-file or KVRED_PASSWORD, or in its URI")
    } else if refused("ERR max number of clients reached") {
        Some("use fewer connections, or raise the server's maxclients")
    } else {
        None
    }
}

/// Why there is no connection, and what to do about it, in one line.
pub(crate) fn explain(error: &SetupError) -> String {
    match error {
        SetupError::Refused { address, step, reply } => {
            let hint = hint(reply.as_bytes()).unwrap_or("no command was sent");
            format!("{address}: {step} failed: {}; {hint}", shown(reply.as_bytes()))
        }
        SetupError::Client(ClientError::Unreachable { address, tried, source }) => {
            let reason = source.to_string();
            let reason = reason.split(" (os error").next().unwrap_or(&reason).to_lowercase();
            let hint = what_to_do(address, source).map_or_else(String::new, |hint| format!("; {hint}"));
            format!("cannot connect to {address}{tried}: {reason}{hint}")
        }
        SetupError::Client(error @ ClientError::TimedOut { .. }) => {
            format!("{error}; is the address right, and the server not stuck?")
        }
        SetupError::Client(error) => error.to_string(),
    }
}

/// What to do where there is no connection; `None` where that is not known.
fn what_to_do(address: &Address, reason: &io::Error) -> Option<String> {
    let hint = match (reason.kind(), address) {
        // It says itself what is wrong with the path.
        (ErrorKind::InvalidInput, Address::Unix(_)) => return None,
        (ErrorKind::ConnectionRefused | ErrorKind::NotFound, _) => return Some(how_to_start(address)),
        (ErrorKind::PermissionDenied, Address::Unix(_)) => {
            "only who may write to a socket can connect: run this as its owner, or chmod it"
        }
        (ErrorKind::PermissionDenied, Address::Tcp { .. }) => "does a firewall or a sandbox forbid it?",
        (ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable, _) => "is the address right?",
        _ if Errno::from_io_error(reason) == Some(Errno::MFILE) => {
            "raise the limit with \"ulimit -n\", or use fewer connections"
        }
        // It does not come from the system: the name could not be looked up.
        _ if reason.raw_os_error().is_none() => "is the address right?",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn how_to_start(address: &Address) -> String {
    match address {
        Address::Unix(path) => format!("start a server with \"kvred serve --unixsocket {}\"", for_shell(path)),
        Address::Tcp { host, port } if matches!(host.as_str(), "127.0.0.1" | "localhost") => {
            format!("start a server with \"kvred serve --port {port}\"")
        }
        Address::Tcp { host, port } if host == "::1" => {
            format!("start a server with \"kvred serve --bind {host} --port {port}\"")
        }
        Address::Tcp { port, .. } => {
            format!("is a server running there, with \"kvred serve --bind ADDR --port {port}\"?")
        }
    }
}
