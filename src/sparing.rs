//! Log lines that clients can bring about as often as they like: only some are written.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many lines of a kind that clients can bring about are written at most, and in which time.
const LINES: u64 = 5;
const LINES_TIME: Duration = Duration::from_mins(1);

/// A kind of lines that clients, strangers too, can bring about as often as they like. Only some are written: else the
/// disk that keeps them would fill up, or whoever is to read them, and does not, would hold up the server.
#[derive(Debug)]
pub(crate) struct Sparing(Mutex<Told>);

#[derive(Debug)]
struct Told {
    /// When the time began in which lines are counted.
    since: Option<Instant>,
    /// Lines since then, those too that were left out.
    lines: u64,
}

/// How many lines were left out before one; it is added to that.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut(u64);

impl Sparing {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Told { since: None, lines: 0 }))
    }

    /// Whether a line may be written now.
    pub(crate) fn due(&self) -> Option<LeftOut> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<LeftOut> {
        let mut told = self.0.lock();
        let mut left_out = 0;
        if told.since.is_none_or(|since| now.saturating_duration_since(since) >= LINES_TIME) {
            left_out = told.lines.saturating_sub(LINES);
            *told = Told { since: Some(now), lines: 0 };
        }
        told.lines += 1;
        (told.lines <= LINES).then_some(LeftOut(left_out))
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, " ({} more like this left out)", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_most_are_left_out_and_counted() {
        let (sparing, start) = (Sparing::new(), Instant::now());
        let told = |seconds| sparing.due_at(start + Duration::from_secs(seconds));
        assert!((0..LINES).all(|_| told(0) == Some(LeftOut(0))));
        assert!((0..7).all(|_| told(59).is_none()));
        let first = told(60).unwrap();
        assert_eq!(first.to_string(), " (7 more like this left out)");
        let second = told(60).unwrap();
        assert_eq!(second.to_string(), "", "they are told of once");
    }
}
