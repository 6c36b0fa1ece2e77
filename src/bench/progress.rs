//! What is going on: a bar on stderr, where that is a terminal.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::phase::Phase;
use super::text::compact;
use crate::terminal::progress_target;

/// Where progress is shown.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// What goes before the name of what is running, such as `3/20 `.
    pub(super) prefix: String,
    /// Whether it goes without saying that keys are filled in.
    pub(super) fills_silently: bool,
}

impl Progress {
    /// A bar for a phase; invisible where stderr is no terminal.
    pub(super) fn start(&self, what: &str, phase: &Phase<'_>) -> Bar {
        let length = phase.duration.map_or(phase.total, |d| d.as_millis() as u64);
        let bar = ProgressBar::with_draw_target(Some(length.max(1)), progress_target());
        let style = ProgressStyle::with_template("{bar:16} {percent:>3}% {prefix:>9} {wide_msg}");
        bar.set_style(style.expect("the template is well-formed"));
        bar.set_message(format!("{}{what}", self.prefix));
        Bar { drawn: bar, duration: phase.duration, began: Instant::now(), last: Cell::new((Instant::now(), 0)) }
    }
}

/// A bar that moves.
pub(super) struct Bar {
    drawn: ProgressBar,
    duration: Option<Duration>,
    began: Instant,
    /// When it was last drawn, and at how many replies.
    last: Cell<(Instant, u64)>,
}

impl Bar {
    /// So many replies have come.
    pub(super) fn at(&self, replies: u64) {
        let now = Instant::now();
        let (before, replies_before) = self.last.replace((now, replies));
        let seconds = (now - before).as_secs_f64();
        // The first tick comes at once, and says nothing about a rate.
        if seconds > 0.01 {
            let rate = (replies - replies_before) as f64 / seconds;
            self.drawn.set_prefix(format!("{}/s", compact(rate)));
        }
        let position = self.duration.map_or(replies, |_| self.began.elapsed().as_millis() as u64);
        self.drawn.set_position(position.min(self.drawn.length().unwrap_or(u64::MAX)));
    }

    /// Takes it off the screen.
    pub(super) fn end(self) {
        self.drawn.finish_and_clear();
    }
}
