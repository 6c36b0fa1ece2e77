//! How long to wait before the next attempt to reach a server.

use std::time::Duration;

/// Waits that double from one to the next, up to a limit.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// The first wait is `first`, none is longer than `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    /// The next wait; there is always one.
    fn next(&mut self) -> Option<Duration> {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let waits = Backoff::new(Duration::from_millis(100), Duration::from_millis(500));
        assert_eq!(waits.take(5).map(|w| w.as_millis()).collect::<Vec<_>>(), [100, 200, 400, 500, 500]);
    }
}
