//! Log messages on stderr, as text or as JSON Lines.

use tracing::level_filters::LevelFilter;

use crate::args::{ColorWhen, LogFormat, LogLevel};
use crate::terminal::Paint;

/// Begins to log. A second call changes nothing.
pub(super) fn init(level: LogLevel, format: LogFormat, color: ColorWhen) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(Paint::for_stderr(color).0)
        .with_writer(std::io::stderr)
        // Those are about lines that cannot be written to stderr, and go there, in a way that then ends the process.
        .log_internal_errors(false);
    // It fails only if logging has begun already.
    drop(match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    });
}
