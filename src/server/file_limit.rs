//! How many files the system lets the process have open: each client is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not clients': the log, sockets, what libraries open.
const RESERVED: u64 = 64;

/// What the runtime of each worker has open, and that of the thread that accepts.
const OF_A_RUNTIME: u64 = 4;

/// Raises the limit to what so many clients need, as far as the system allows: how many of them can be served then.
pub fn raise(max_clients: u64, workers: usize) -> u64 {
    let others = RESERVED + OF_A_RUNTIME * (workers as u64 + 1);
    let wanted = max_clients + others;
    let limit = getrlimit(Resource::Nofile);
    // Without a number, there is no limit.
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return max_clients;
    }
    let possible = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: limit.maximum });
    let allowed = if raised.is_ok() { possible } else { current };
    max_clients.min(allowed.saturating_sub(others))
}
