//! What the black-box tests are written with: a real server, raw clients, an independent reading of logs, and accounts
//! of what writers were told.
//!
//! Nothing here uses the crate's own protocol or log code, so that a mistake there cannot hide behind itself.

pub mod client;
pub mod ledger;
pub mod log;
pub mod peer;
pub mod programs;
pub mod random;
pub mod server;
pub mod strace;
pub mod terminal;

use std::time::{Duration, Instant};

pub use client::{Client, Reply, command, commands, info, info_number, rewrite};
pub use programs::{Exit, Killed, free_port, output_of, program};
pub use random::Random;
pub use server::{Launch, Server};
pub use strace::{QUIET_STRACE, traced, was_traced};

/// How long anything may take before a test gives up. Never what a test measures: only a machine that hangs gets here.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// Polls until `condition` holds.
///
/// # Panics
/// At the deadline, with `what`.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until the client of the server at this port has been told that it closes. On a busy machine that comes some
/// time after the call that does so.
pub fn wait_until_told_of_the_end(port: u16) {
    // In the table of connections: its other end, and the state CLOSE_WAIT.
    let end = format!(":{port:04X} 08 ");
    wait_until("the client is told that the server closes", || {
        std::fs::read_to_string("/proc/net/tcp").expect("Linux has /proc").contains(&end)
    });
}

/// How many rounds of a repeated test to run: `KVRED_TEST_ROUNDS`, or so many.
pub fn rounds(usual: u64) -> u64 {
    std::env::var("KVRED_TEST_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Says in the test's output why it was not run.
pub fn skip(why: &str) {
    use std::io::Write;
    // Past the capture of the test harness, so that a passing run shows it.
    drop(writeln!(std::io::stderr().lock(), "skipped: {why}"));
}
