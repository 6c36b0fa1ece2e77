//! Who sends what, and when: requests have indices, which the connections of all workers share out among themselves.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The requests of a phase.
#[derive(Debug)]
pub(super) struct Schedule {
    next: AtomicU64,
    total: u64,
    /// With a rate: nanoseconds from one request to the next.
    interval_ns: Option<f64>,
    stopped: AtomicBool,
}

impl Schedule {
    /// `total` requests at most, at `rate` a second if there is one, and then only those due before `duration` is over.
    pub(super) fn new(total: u64, rate: Option<u64>, duration: Option<Duration>) -> Self {
        let due = rate.zip(duration).map_or(u128::MAX, |(rate, duration)| {
            duration.as_nanos().saturating_mul(rate.into()).div_ceil(Duration::from_secs(1).as_nanos())
        });
        Self {
            next: AtomicU64::new(0),
            total: due.min(total.into()) as u64,
            interval_ns: rate.map(|rate| 1e9 / rate as f64),
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

    /// How many requests are due at this time.
    fn due_by(&self, now_ns: u64) -> u64 {
        let due = self.interval_ns.map_or(0, |interval| ((now_ns as f64 / interval) as u64).saturating_add(1));
        due.min(self.total)
    }

    /// With a rate: when the request after the last one would be due, for the last one has its interval, too.
    pub(super) fn lasts_ns(&self) -> u64 {
        self.due_ns(self.total)
    }

    /// Takes up to `most` requests. `None`: there are none left.
    pub(super) fn claim(&self, most: u64) -> Option<Range<u64>> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let from = self.next.fetch_add(most, Ordering::Relaxed);
        (from < self.total).then(|| from..(from + most).min(self.total))
    }

    /// Takes up to `most` requests that are due already, perhaps none.
    pub(super) fn claim_due(&self, most: u64, now_ns: u64) -> Range<u64> {
        let due = self.due_by(now_ns);
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

    /// With a rate: how many requests were due and never sent; all are due unless it ended before its time.
    pub(super) fn unsent(&self, ended_ns: Option<u64>) -> u64 {
        self.due_by(ended_ns.unwrap_or(u64::MAX)).saturating_sub(self.next.load(Ordering::Relaxed))
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
        let ms = |ms| Some(Duration::from_millis(ms));
        let schedule = Schedule::new(u64::MAX, Some(1000), ms(50));
        assert_eq!(schedule.claim_due(10, 90_000_000), 0..10);
        assert_eq!(schedule.unsent(None), 40);
        assert_eq!(schedule.unsent(Some(30_000_000)), 21, "the rest was not due yet");
        assert_eq!(schedule.unsent(Some(90_000_000)), 40, "nothing is due at the end, or after it");
        assert_eq!(schedule.claim_due(39, 90_000_000), 10..49);
        assert_eq!(schedule.unsent(None), 1);
        assert_eq!(schedule.claim_due(1000, 90_000_000), 49..50, "nothing is due at the end, or after it");
        assert_eq!(schedule.claim(1), None);
        assert_eq!(schedule.unsent(None), 0);
        // Nothing else was to be sent.
        let schedule = Schedule::new(10, Some(1000), ms(50));
        assert_eq!(schedule.claim_due(4, 90_000_000), 0..4);
        assert_eq!(schedule.unsent(None), 6);
        assert_eq!(schedule.claim_due(10, 90_000_000), 4..10);
        assert_eq!(schedule.unsent(None), 0);
        // Without a rate, nothing is due at any time.
        assert_eq!(Schedule::new(10, None, ms(50)).unsent(None), 0);
    }

    #[test]
    fn a_schedule_lasts_as_long_as_its_rate_says() {
        for (total, rate, ms, requests, lasts_ns) in [
            (u64::MAX, Some(10), Some(1000), 10, 1_000_000_000),
            // A third of a second has no end in nanoseconds.
            (u64::MAX, Some(3), Some(3000), 9, 3_000_000_000),
            (u64::MAX, Some(10), Some(250), 3, 300_000_000),
            (u64::MAX, Some(1), Some(1), 1, 1_000_000_000),
            (20, Some(10), None, 20, 2_000_000_000),
            (20, None, Some(1000), 20, 0),
        ] {
            let schedule = Schedule::new(total, rate, ms.map(Duration::from_millis));
            assert_eq!(schedule.claim(u64::MAX), Some(0..requests), "{rate:?} {ms:?}");
            assert_eq!(schedule.lasts_ns(), lasts_ns, "{rate:?} {ms:?}");
        }
        let endless = Schedule::new(u64::MAX, Some(1 << 50), Some(Duration::MAX));
        assert_eq!(endless.claim(1), Some(0..1));
    }
}
