//! Whether a rewrite is asked for or under way, and how the last ones went.

use std::time::Duration;

use crate::db::writer::Writer;

/// The first pause before a rewrite starts by itself again after one that came to nothing, and the longest.
const AUTO_PAUSE: Duration = Duration::from_mins(1);
const AUTO_PAUSE_MAX: Duration = Duration::from_hours(1);

/// How rewrites go, for `INFO`.
#[derive(Debug, Clone, Default)]
pub struct RewriteReport {
    /// One was started by hand or by itself and has not begun yet.
    pub scheduled: bool,
    /// One is under way since then, by the writer's monotonic clock.
    pub running_since: Option<Duration>,
    /// Keys that it has written.
    pub keys: u64,
    /// How long the last took.
    pub last_took: Option<Duration>,
    /// Why the last came to nothing.
    pub last_error: Option<String>,
    /// How many were finished.
    pub finished: u64,
    /// How many in a row came to nothing.
    pub failed_in_a_row: u32,
    /// When the last ended, by the writer's monotonic clock.
    pub ended: Option<Duration>,
}

impl RewriteReport {
    pub(in crate::db::writer) fn begin(&mut self, now: Duration) {
        self.scheduled = false;
        self.running_since = Some(now);
        self.keys = 0;
    }

    /// Whether one may start that nobody asked for: one that came to nothing has filled the disk for a while, perhaps,
    /// so the next is put off, for longer each time.
    pub fn may_start_by_itself(&self, now: Duration) -> bool {
        let pause = AUTO_PAUSE.saturating_mul(1 << self.failed_in_a_row.saturating_sub(1).min(6)).min(AUTO_PAUSE_MAX);
        self.has_rested(now, pause)
    }

    /// Whether one may start without which all data would be lost; none is asked for or under way.
    pub(in crate::db::writer) fn may_try_again(&self, now: Duration) -> bool {
        !self.scheduled && self.running_since.is_none() && self.has_rested(now, AUTO_PAUSE)
    }

    fn has_rested(&self, now: Duration, pause: Duration) -> bool {
        self.failed_in_a_row == 0 || self.ended.is_none_or(|ended| now >= ended + pause)
    }

    pub(in crate::db::writer) fn end(&mut self, began: Duration, took: Duration, error: Option<String>) {
        self.running_since = None;
        self.ended = Some(began + took);
        self.failed_in_a_row = if error.is_some() { self.failed_in_a_row.saturating_add(1) } else { 0 };
        self.finished += u64::from(error.is_none());
        self.last_took = Some(took);
        self.last_error = error;
    }
}

impl Writer {
    /// Asks for a rewrite; the thread that does them begins soon. `false`: one is under way, or there is no log.
    pub fn request_rewrite(&self) -> bool {
        let mut report = self.rewrite_report.lock();
        if report.running_since.is_some() || report.scheduled || self.place.is_none() {
            return false;
        }
        report.scheduled = true;
        drop(report);
        self.rewrite_signal.raise();
        true
    }

    /// Whether a rewrite was asked for that has not begun. Its beginning takes the request away, so that at no moment
    /// it is neither asked for nor running.
    pub(in crate::db::writer) fn rewrite_requested(&self) -> bool {
        self.rewrite_report.lock().scheduled
    }

    /// Notes how a rewrite goes.
    pub(in crate::db::writer) fn report_rewrite(&self, note: impl FnOnce(&mut RewriteReport)) {
        note(&mut self.rewrite_report.lock());
    }

    /// How rewrites go.
    pub(in crate::db::writer) fn rewrite_report(&self) -> RewriteReport {
        self.rewrite_report.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_to_nothing_is_not_tried_again_at_once() {
        let mut report = RewriteReport::default();
        let minutes = |n| Duration::from_mins(n);
        assert!(report.may_start_by_itself(minutes(0)) && report.may_try_again(minutes(0)));
        for (failures, pause) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
            report.end(minutes(0), minutes(10), Some("no room".to_owned()));
            let just_before = minutes(10 + pause).saturating_sub(Duration::from_secs(1));
            assert!(!report.may_start_by_itself(just_before), "after {failures} failures");
            assert!(report.may_start_by_itself(minutes(10 + pause)), "after {failures} failures");
            assert!(!report.may_try_again(minutes(10)) && report.may_try_again(minutes(11)));
        }
        report.end(minutes(0), minutes(10), None);
        assert!(report.may_start_by_itself(minutes(10)) && report.may_try_again(minutes(10)));
    }
}
