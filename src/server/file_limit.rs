//! How many files the system lets the process have open: each client is one.

use crate::machine;

/// Files that are not clients': the log, sockets, what libraries open.
const RESERVED: u64 = 64;

/// What the runtime of each worker has open, and that of the thread that accepts.
const OF_A_RUNTIME: u64 = 4;

/// Raises the limit to what so many clients need, as far as the system allows: how many of them can be served then.
pub fn raise(max_clients: u64, workers: usize) -> u64 {
    let others = other_files(workers);
    max_clients.min(machine::allow_open_files(max_clients + others).saturating_sub(others))
}

/// How many files are needed besides those of clients.
pub fn other_files(workers: usize) -> u64 {
    RESERVED + OF_A_RUNTIME * (workers as u64 + 1)
}
