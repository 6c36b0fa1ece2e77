//! Who sends what, and when: requests have indices, which the connections of all workers share out among themselves.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The requests of a phase.
#[derive(Debug)]
pub(super) struct Schedule {
    next: AtomicU64,
    total: u64,
    /// With a rate: nanoseconds from one request to the next.
    interval_ns: Option<f64>,
    /// With a rate and a duration: requests due later than this are not sent.
    until_ns: u64,
    stopped: AtomicBool,
}

impl Schedule {
    /// `total` requests at most, at `rate` a second if there is one, none that is due after `until_ns`.
    pub(super) fn new(total: u64, rate: Option<u64>, until_ns: Option<u64>) -> Self {
        Self {
            next: AtomicU64::new(0),
            total,
            interval_ns: rate.map(|rate| 1e9 / rate as f64),
            until_ns: until_ns.unwrap_or(u64::MAX),
            stopped: AtomicBool::new(false),
        }
    }

    /// Whether requests leave at set times.
    pub(super) fn is_open(&self) -> bool {
        self.interval_ns.is_some()
    }

    /// When the request should leave.
    pub(super) fn due_ns(&self, index: u64) -> u64 {
        self.interval_ns.map_or(0, |interval| (index as f64 * interval) as u64)
    }

    /// Takes up to `most` requests. `None`: there are none left.
    pub(super) fn claim(&self, most: u64) -> Option<Range<u64>> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let from = self.next.fetch_add(most, Ordering::Relaxed);
        let fits = from < self.total && self.due_ns(from) <= self.until_ns;
        fits.then(|| from..(from + most).min(self.total))
    }

    /// Takes up to `most` requests that are due already, perhaps none.
    pub(super) fn claim_due(&self, most: u64, now_ns: u64) -> Range<u64> {
        let Some(interval) = self.interval_ns else { return 0..0 };
        let due = ((now_ns.min(self.until_ns) as f64 / interval) as u64).saturating_add(1).min(self.total);
        if self.stopped.load(Ordering::Relaxed) {
            return 0..0;
        }
        let claimed = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            let to = due.min(next + most);
            (to > next).then_some(to)
        });
        claimed.map_or(0..0, |from| from..due.min(from + most))
    }

    /// No more requests are given out.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// With a rate, and an end, by its duration or before that: how many requests were due and never sent.
    pub(super) fn unsent(&self, ended_ns: Option<u64>) -> u64 {
        let until_ns = ended_ns.unwrap_or(u64::MAX).min(self.until_ns);
        let Some(interval) = self.interval_ns.filter(|_| until_ns != u64::MAX) else { return 0 };
        let due = ((until_ns as f64 / interval) as u64).min(self.total);
        due.saturating_sub(self.next.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_given_out_once() {
        let schedule = Schedule::new(10, None, None);
        let claims: Vec<_> = std::iter::from_fn(|| schedule.claim(4)).collect();
        assert_eq!(claims, [0..4, 4..8, 8..10]);
        assert_eq!(schedule.claim(1), None);
    }

    #[test]
    fn a_stopped_schedule_gives_nothing_out() {
        let schedule = Schedule::new(10, Some(1000), None);
        schedule.stop();
        assert_eq!(schedule.claim(1), None);
        assert_eq!(schedule.claim_due(4, u64::MAX / 2), 0..0);
    }

    #[test]
    fn an_open_loop_gives_out_what_is_due() {
        // One request each millisecond.
        let schedule = Schedule::new(100, Some(1000), None);
        assert_eq!(schedule.due_ns(3), 3_000_000);
        assert_eq!(schedule.claim(1), Some(0..1));
        assert_eq!(schedule.claim_due(10, 500_000), 0..0, "the second is not due yet");
        assert_eq!(schedule.claim_due(10, 3_500_000), 1..4);
        assert_eq!(schedule.claim_due(10, 90_000_000), 4..14, "no more than was asked for");
        assert_eq!(schedule.claim_due(1000, 900_000_000), 14..100);
        assert!(schedule.claim_due(1000, 900_000_000).is_empty());
    }

    #[test]
    fn what_was_due_and_never_sent_is_known() {
        let schedule = Schedule::new(u64::MAX, Some(1000), Some(50_000_000));
        assert_eq!(schedule.claim_due(10, 90_000_000), 0..10);
        assert_eq!(schedule.unsent(None), 40);
        assert_eq!(schedule.unsent(Some(30_000_000)), 20, "the rest was not due yet");
        assert_eq!(schedule.unsent(Some(90_000_000)), 40, "nothing is due after the end");
        assert_eq!(schedule.claim_due(1000, 90_000_000), 10..51, "nothing is due after the end");
        assert_eq!(schedule.claim(1), None);
        assert_eq!(schedule.unsent(None), 0);
        // Nothing else was to be sent.
        let schedule = Schedule::new(10, Some(1000), Some(50_000_000));
        assert_eq!(schedule.claim_due(4, 90_000_000), 0..4);
        assert_eq!(schedule.unsent(None), 6);
        let endless = Schedule::new(u64::MAX, Some(1000), None);
        assert_eq!((endless.unsent(None), endless.unsent(Some(9_000_000))), (0, 9));
        assert_eq!(schedule.claim_due(10, 90_000_000), 4..10);
        assert_eq!(schedule.unsent(None), 0);
    }
}
