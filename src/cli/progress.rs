//! Progress on stderr, where that is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal::is_dumb;

/// A bar of bytes where the total is known, else a spinner; invisible where stderr is no terminal.
pub(crate) fn bytes(total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, target());
    let template = match total {
        Some(_) => "{bar:30} {percent:>3}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} ETA {eta} {msg}",
        None => "{spinner} {binary_bytes} {binary_bytes_per_sec} {elapsed} {msg}",
    };
    bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
    bar
}

/// A count without an end in sight.
pub(crate) fn count(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target()).with_message(what);
    let template = "{spinner} {human_pos} {msg}, {elapsed}";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() && !is_dumb() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    }
}
