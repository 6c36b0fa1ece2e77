//! Progress bars: on stderr, on a terminal only, and only where there is something to wait for.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{progress_target, stderr_size};

/// How often the bar moves.
const INTERVAL: Duration = Duration::from_millis(100);

/// What is shorter is done before a bar could be read.
const WORTH_A_BAR_BYTES: u64 = 32 << 20;

/// In fewer columns there is room for the figures only.
const WORTH_ALL_COLUMNS: usize = 64;

/// A bar that counts bytes.
pub(crate) struct Progress {
    /// None where there is nothing to wait for.
    bar: Option<ProgressBar>,
    shown_at: Cell<Instant>,
}

impl Progress {
    /// A bar for `bytes` of work, which `doing` names.
    pub(crate) fn new(doing: &str, bytes: u64) -> Self {
        if bytes < WORTH_A_BAR_BYTES {
            return Self::hidden();
        }
        let how_far =
            if stderr_size().0 < WORTH_ALL_COLUMNS { "{percent}%" } else { "{bytes}/{total_bytes} {wide_bar}" };
        let template = format!("{doing} {how_far} {{bytes_per_sec}}, {{eta}} left");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(bytes), progress_target()).with_style(style);
        Self::of(Some(bar))
    }

    /// None: for tests, and for what follows a log without end.
    pub(crate) fn hidden() -> Self {
        Self::of(None)
    }

    fn of(bar: Option<ProgressBar>) -> Self {
        Self { bar, shown_at: Cell::new(Instant::now()) }
    }

    /// So many bytes are done.
    pub(crate) fn at(&self, bytes: u64) {
        if let Some(bar) = &self.bar
            && self.shown_at.get().elapsed() >= INTERVAL
        {
            self.shown_at.set(Instant::now());
            bar.set_position(bytes);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}
