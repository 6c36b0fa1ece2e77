//! Progress bars: on stderr, on a terminal only, and only where there is something to wait for.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal::progress_target;

/// How often the bar moves.
const INTERVAL: Duration = Duration::from_millis(100);

/// What is shorter is done before a bar could be read.
const WORTH_A_BAR_BYTES: u64 = 32 << 20;

/// In fewer columns there is room for the figures only.
const WORTH_ALL_COLUMNS: u16 = 64;

/// How wide the terminal on stderr is.
fn columns() -> u16 {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| if size.ws_col == 0 { 80 } else { size.ws_col })
}

/// A bar that counts bytes.
pub(super) struct Progress {
    bar: ProgressBar,
    shown_at: Cell<Instant>,
}

impl Progress {
    /// A bar for `bytes` of work, which `doing` names.
    pub(super) fn new(doing: &str, bytes: u64) -> Self {
        let bar = if bytes < WORTH_A_BAR_BYTES {
            ProgressBar::hidden()
        } else {
            let how_far = if columns() < WORTH_ALL_COLUMNS { "{percent}%" } else { "{bytes}/{total_bytes} {wide_bar}" };
            let template = format!("{doing} {how_far} {{bytes_per_sec}}, {{eta}} left");
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(Some(bytes), progress_target()).with_style(style)
        };
        Self { bar, shown_at: Cell::new(Instant::now()) }
    }

    /// None: for tests, and for what follows a log without end.
    pub(super) fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), shown_at: Cell::new(Instant::now()) }
    }

    /// So many bytes are done.
    pub(super) fn at(&self, bytes: u64) {
        if !self.bar.is_hidden() && self.shown_at.get().elapsed() >= INTERVAL {
            self.shown_at.set(Instant::now());
            self.bar.set_position(bytes);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
