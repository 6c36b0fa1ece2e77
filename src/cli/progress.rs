//! Progress on stderr, where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal::{progress_target, size};

/// A bar of bytes where the total is known, else a spinner, and a message; invisible where stderr is no terminal. It
/// keeps to one line: what does not fit into the terminal is left out.
pub(crate) fn bytes(total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, progress_target());
    let template = match (total, size().0) {
        (Some(_), 100..) => "{wide_bar} {percent}% {binary_bytes_per_sec}, {eta} left, {msg}",
        (Some(_), 64..) => "{percent}% {binary_bytes_per_sec}, {eta} left, {msg}",
        (Some(_), _) => "{percent}%, {msg}",
        (None, 64..) => "{spinner} {binary_bytes} {binary_bytes_per_sec} {elapsed}, {msg}",
        (None, _) => "{spinner} {msg}",
    };
    bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
    bar
}

/// A count without an end in sight.
pub(crate) fn count(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, progress_target()).with_message(what);
    let template = "{spinner} {human_pos} {msg}, {elapsed}";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
